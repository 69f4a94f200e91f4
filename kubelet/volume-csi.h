/*
 * CSI as one of the kinds of volumes (volume-driver.h): the kubelet's flow of calls to the driver
 * that has registered, and what these calls need: the attachment, Secrets, tokens, pod information.
 * Source: pkg/volume/csi (csi_attacher.go, csi_mounter.go, csi_block.go).
 */
#pragma once
#include "kubelet/csi.h"
#include "kubelet/volume-driver.h"

struct volume_csi_kind; /* opaque: what volume_csi_driver's functions are handed */

struct volume_csi_options {
        sd_event *event; /* borrowed, as all of these */
        struct kube_session *session;
        struct csi *csi;
        const char *root_dir, *node_name; /* copied */
};
int volume_csi_new(const struct volume_csi_options *options, struct volume_csi_kind **ret,
                   struct err *err);
/* No step may be under way. */
struct volume_csi_kind *volume_csi_free(struct volume_csi_kind *k);
DEFINE_CLEANUP(struct volume_csi_kind *, volume_csi_free)
extern const struct volume_driver volume_csi_driver;
