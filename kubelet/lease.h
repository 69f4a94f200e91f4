/*
 * The node's Lease in kube-node-lease: renewed every quarter of its duration, and our heartbeat: a
 * renewal that times out tears the API session down (design decision 10).
 * Source: k8s.io/component-helpers apimachinery/lease, pkg/kubelet/util/nodelease.go.
 */
#pragma once
#include "base/kube-client.h"

struct lease; /* opaque */

struct lease_options {
        const char *node_name;
        uint32_t duration_sec; /* nodeLeaseDurationSeconds */
        /* UID of the Node object for the owner reference, or NULL while it is not known. */
        const char *(*node_uid)(void *userdata);
        void *userdata;
};
/* Starts renewing at once. Strings are copied. */
int lease_new(struct kube_session *session, const struct lease_options *options, struct lease **ret,
              struct err *err);
struct lease *lease_free(struct lease *l);
DEFINE_CLEANUP(struct lease *, lease_free)
