/*
 * The Node object: registered once, its status written when it changed and every report period, its
 * podCIDRs, labels and UID read back. Watches its own Node alone.
 * Source: pkg/kubelet/kubelet_node_status.go.
 */
#pragma once
#include "base/kube-watch.h"
#include "kubelet/node-object.h"

struct node_status; /* opaque */

struct node_status_options {
        const char *node_name;
        bool register_node;
        usec_t update_period_usec, report_period_usec;
        /* Fills in what is true now; the strings live until the next call. */
        void (*fill)(struct node_input *in, void *userdata);
        /* The Node came or changed: podCIDRs, labels, taints. @node is borrowed. */
        void (*on_node)(const json_t *node, void *userdata);
        /* Whether there is a Node, and which, is known; after every list. */
        void (*on_synced)(void *userdata);
        /* A condition flipped: "NodeReady", "NodeHasDiskPressure", … for the event recorder. */
        void (*on_condition)(const char *reason, void *userdata);
        void *userdata;
};
int node_status_new(struct kube_session *session, const struct node_status_options *options,
                    struct node_status **ret, struct err *err);
struct node_status *node_status_free(struct node_status *n);
DEFINE_CLEANUP(struct node_status *, node_status_free)
/* Something that the status shows changed: computes and, when it differs, writes soon. */
void node_status_changed(struct node_status *n);
/* UID of the Node object; NULL while unknown. Borrowed. */
const char *node_status_uid(const struct node_status *n);
const json_t *node_status_node(const struct node_status *n); /* the last Node seen, or NULL */
