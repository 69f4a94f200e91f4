/*
 * Sees to it that no pod takes more of the node than it may. Every 10 s it looks whether a pod
 * holds more on local disks than its limits allow, and ends it with reason Evicted; and whether the
 * node is short of memory, disk or process ids: then it first removes what nobody uses, and ends
 * one pod after the other until there is enough again, each only when what the one before it held
 * is free. Source: pkg/kubelet/eviction/eviction_manager.go.
 */
#pragma once
#include "kubelet/node-pressure.h"
#include "kubelet/pod-disks.h"

struct evictor; /* opaque */

struct evictor_options { /* all borrowed */
        const struct context *ctx;
        const struct pod_manager *pods;
        struct node_pressure *pressure;
        void (*on_conditions)(void *userdata); /* a condition of the node began or ended */
        void *userdata;
};
/* Conditions are looked after from now on. */
int evictor_new(const struct evictor_options *options, struct evictor **ret, struct err *err);
struct evictor *evictor_free(struct evictor *e);
DEFINE_CLEANUP(struct evictor *, evictor_free)
/* Pods may be evicted and images removed from now on: not before every source has delivered. */
void evictor_start(struct evictor *e);
/* What pods hold on disk, as it is measured for all this; borrowed. */
const struct pod_disks *evictor_disks(const struct evictor *e);
