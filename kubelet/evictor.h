/*
 * Sees to it that no pod takes more of the node than it may: every 10 s it looks whether one holds
 * more on local disks than its limits allow, and ends it with reason Evicted.
 * Source: pkg/kubelet/eviction/eviction_manager.go.
 */
#pragma once
#include "kubelet/pod-disks.h"

struct evictor; /* opaque */

struct evictor_options {
        const struct context *ctx;
        const struct pod_manager *pods; /* borrowed */
        struct pod_disks *disks;        /* borrowed */
};
int evictor_new(const struct evictor_options *options, struct evictor **ret, struct err *err);
struct evictor *evictor_free(struct evictor *e);
DEFINE_CLEANUP(struct evictor *, evictor_free)
/* From now on: not before every source has delivered. */
void evictor_start(struct evictor *e);
/* From pod-disks: what pods hold is known anew. */
void evictor_disks_measured(struct evictor *e);
