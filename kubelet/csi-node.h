/*
 * Tells the API which CSI drivers this node has: the CSINode object, and the Node's annotation and
 * topology labels. One change after the other; each reads before it writes, and a conflict is tried
 * again. Source: pkg/volume/csi/nodeinfomanager.
 */
#pragma once
#include "base/kube-client.h"
#include "kubelet/csi-node-object.h"

struct csi_node; /* opaque */

struct csi_node_options {
        const char *node_name;
        const char *(*node_uid)(void *userdata); /* NULL: not known yet */
        void *userdata;
};
int csi_node_new(struct kube_session *session, const struct csi_node_options *options,
                 struct csi_node **ret, struct err *err);
struct csi_node *csi_node_free(struct csi_node *n);
DEFINE_CLEANUP(struct csi_node *, csi_node_free)

/* @why_not: NULL: the API says so. Borrowed. Called once, never from csi_node_install(). */
typedef void (*csi_node_done_fn)(const struct err *why_not, void *userdata);
/* @info is copied. A change of the same driver that is under way or due is overtaken: its done is
 * not called any more. */
int csi_node_install(struct csi_node *n, const char *driver, const struct csi_node_info *info,
                     csi_node_done_fn done, void *userdata, struct err *err);
/* Tried with back-off until it is so, or the driver is installed again. */
void csi_node_remove(struct csi_node *n, const char *driver);
