/*
 * CSI on this node as a whole: plugins that register, the drivers among them, what the API is told
 * of them and says of them.
 */
#pragma once
#include "kubelet/csi-drivers.h"
#include "kubelet/csi-objects.h"

struct csi; /* opaque */

struct csi_options {
        struct kube_session *session; /* borrowed */
        const char *root_dir, *node_name;
        const char *(*node_uid)(void *userdata); /* NULL: not known yet */
        void (*on_changed)(void *userdata);      /* a driver or a CSIDriver came, went or changed */
        void *userdata;
};
int csi_new(sd_event *event, const struct csi_options *options, struct csi **ret, struct err *err);
struct csi *csi_free(struct csi *c);
DEFINE_CLEANUP(struct csi *, csi_free)
struct csi_drivers *csi_get_drivers(struct csi *c); /* borrowed */
struct csi_objects *csi_get_objects(struct csi *c); /* borrowed */
