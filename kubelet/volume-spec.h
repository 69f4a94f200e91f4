/*
 * struct volume_spec: what is behind a pod's volume that a driver mounts (volume-driver.h), decoded
 * once, whether it stands in the pod itself (nfs, csi) or in a PersistentVolume that a claim is
 * bound to. Also the rules under which a pod may use a claim. Pure.
 *
 * Source: k8s.io/api core/v1 (PersistentVolumeSpec), pkg/kubelet/volumemanager/populator.
 */
#pragma once
#include <jansson.h>

#include "base/json.h"

struct pod;
struct pod_node_term;
struct pod_volume;

enum volume_spec_kind {
        VOLUME_SPEC_UNSUPPORTED, /* .unsupported names the field: "iscsi" */
        VOLUME_SPEC_HOST_PATH,   /* of a PersistentVolume; a pod's own hostPath needs no driver */
        VOLUME_SPEC_LOCAL,
        VOLUME_SPEC_NFS,
        VOLUME_SPEC_CSI,
        _VOLUME_SPEC_KIND_MAX,
};
struct volume_secret { /* secretRef of a CSI source; name NULL: none */
        char *namespace, *name;
};
struct volume_spec {    /* never changed once it is decoded */
        unsigned n_ref; /* volume-spec.c's */
        enum volume_spec_kind kind;
        char *unsupported;
        char *name;                         /* the PersistentVolume's, or of the pod's volume */
        char *claim_namespace, *claim_name; /* NULL: it stands in the pod itself */
        bool is_block;                      /* volumeMode: Block */
        bool read_only;                     /* the claim's in the pod, or the inline source's */
        char **access_modes;                /* of the PersistentVolume: "ReadWriteOnce", … */
        char **mount_options;
        int64_t gid;            /* annotation pv.beta.kubernetes.io/gid; -1: none */
        bool has_node_affinity; /* at least one term must match the node */
        struct pod_node_term *node_terms;
        size_t n_node_terms;
        char *path;      /* HOST_PATH, LOCAL; NFS: what is exported */
        char *path_type; /* HOST_PATH: "", "Directory", …; never NULL there */
        char *server;    /* NFS */
        char *fs_type;   /* LOCAL on a block device, CSI; NULL: not given */
        struct volume_csi {
                char *driver;
                char *handle;                 /* NULL: inline */
                bool source_read_only;        /* the PersistentVolume's own csi.readOnly */
                struct string_map attributes; /* volumeAttributes */
                struct volume_secret stage_secret, publish_secret, expand_secret;
        } csi;
};
struct volume_spec *volume_spec_ref(struct volume_spec *s);  /* returns s */
struct volume_spec *volume_spec_free(struct volume_spec *s); /* lets go of one reference */
DEFINE_CLEANUP(struct volume_spec *, volume_spec_free)
static inline bool volume_spec_is_persistent(const struct volume_spec *s)
{
        return s->claim_name != NULL;
}

/* A source that stands in the pod: @value is the object below "nfs" or "csi". @ret is owned. */
int volume_spec_decode_inline(enum volume_spec_kind kind, const char *volume_name,
                              const json_t *value, struct volume_spec **ret, struct err *err);
/**
 * volume_spec_from_pv() - a v1.PersistentVolume, for a claim that is bound to it
 * @claim:     the v1.PersistentVolumeClaim, checked by claim_check()
 * @read_only: the pod's persistentVolumeClaim.readOnly
 * @ret:       owned; .kind UNSUPPORTED when this node has no driver for its source
 * Return: 0; -EINVAL with the kubelet's sentence when the two do not belong together, or with the
 * path of a field that cannot be read; -ENOMEM.
 */
int volume_spec_from_pv(const json_t *pv, const json_t *claim, bool read_only,
                        struct volume_spec **ret, struct err *err);

/* "<pod>-<volume>" of a generic ephemeral volume, or the name that stands in the pod; owned. */
char *claim_name_of(const struct pod *pod, const struct pod_volume *volume);
/**
 * claim_check() - may the pod use this claim now?
 * Return: 0; -EAGAIN with the kubelet's sentence: it is not bound, is being deleted, or (generic
 * ephemeral) belongs to another pod.
 */
int claim_check(const json_t *claim, const struct pod *pod, const struct pod_volume *volume,
                struct err *err);
/* volumeMounts of a Block volume and volumeDevices of another are refused: -EINVAL. */
int volume_spec_check_mode(const struct volume_spec *s, const struct pod *pod,
                           const struct pod_volume *volume, struct err *err);
/* Do the node's labels fit nodeAffinity? -EINVAL: "no matching NodeSelectorTerms". */
int volume_spec_check_node(const struct volume_spec *s, const json_t *labels, const char *node_name,
                           struct err *err);
/* ReadWriteOncePod is its only access mode. */
bool volume_spec_is_for_one_pod(const struct volume_spec *s);
