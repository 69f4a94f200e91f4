/*
 * In which order pods end when the machine shuts down, and how long each may take. Pure.
 *
 * Pods are told apart by priority: each group begins at its own and reaches to the next one's. The
 * group of the lowest priority ends first.
 * Source: pkg/kubelet/nodeshutdown/nodeshutdown_manager.go.
 */
#pragma once
#include "kubelet/config.h"

enum { SHUTDOWN_PRIORITY_CRITICAL = 2000000000 }; /* system-cluster-critical */

struct shutdown_plan {
        struct shutdown_group *groups; /* owned; the lowest priority first */
        size_t n;                      /* 0: shutdowns are not waited for */
};
/* Of shutdownGracePeriodByPodPriority, else of shutdownGracePeriod and …CriticalPods. 0, -ENOMEM.
 */
int shutdown_plan_from(const struct kubelet_config *c, struct shutdown_plan *ret);
void shutdown_plan_done(struct shutdown_plan *p);
/* The sum of all groups, which the machine must grant. */
usec_t shutdown_plan_usec(const struct shutdown_plan *p);
/* The index of a pod's group. Only where there are any. */
size_t shutdown_plan_group(const struct shutdown_plan *p, int32_t priority);
/* What a pod of @group gets: its own grace period, or all that the group has. */
int64_t shutdown_plan_grace(const struct shutdown_group *group, int64_t own_grace_sec);
