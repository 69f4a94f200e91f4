/*
 * struct csi_driver_object: a CSIDriver of the API, decoded once: what its driver wants of a node.
 * Pure. Source: k8s.io/api storage/v1 (CSIDriverSpec).
 */
#pragma once
#include "base/json.h"

struct csi_token_request {
        char *audience;         /* owned; "": the API server's own */
        int64_t expiration_sec; /* 0: as the server likes */
};
struct csi_driver_object {
        bool attach_required, pod_info_on_mount, requires_republish, tokens_in_secrets;
        bool se_linux_mount; /* noted: nothing here labels mounts */
        enum csi_group_policy {
                CSI_GROUP_READ_WRITE_ONCE_WITH_FS_TYPE,
                CSI_GROUP_FILE,
                CSI_GROUP_NONE,
        } group_policy;
        char **modes; /* owned; volumeLifecycleModes: "Persistent", "Ephemeral" */
        struct csi_token_request *tokens; /* owned */
        size_t n_tokens;
};
struct csi_driver_object *csi_driver_object_free(struct csi_driver_object *o);
DEFINE_CLEANUP(struct csi_driver_object *, csi_driver_object_free)
int csi_driver_object_decode(const json_t *object, struct csi_driver_object **ret, struct err *err);

/**
 * csi_check_mode() - may a volume of this driver stand in a pod itself, or be persistent?
 * @o: NULL: there is no such object
 * Return: 0; -EINVAL with the kubelet's sentence.
 */
int csi_check_mode(const struct csi_driver_object *o, const char *driver, bool is_persistent,
                   struct err *err);
/* Is fsGroup applied to what is in such a volume? @access_modes: of a persistent one. */
bool csi_group_applies(const struct csi_driver_object *o, const char *fs_type, bool is_persistent,
                       char *const *access_modes);
