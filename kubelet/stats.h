/*
 * Measures what node, pods and containers use, when somebody asks and never by itself (but for what
 * they hold on disk, which pod-disks measures now and then), and answers /stats/summary,
 * /metrics/resource and /metrics with it. Of each living cgroup it keeps the former reading, for
 * the rate of CPU time.
 */
#pragma once
#include "kubelet/context.h"
#include "kubelet/pod-manager.h"

struct stats; /* opaque */

int stats_new(const struct context *ctx, const struct pod_manager *pods, struct stats **ret);
struct stats *stats_free(struct stats *s);
DEFINE_CLEANUP(struct stats *, stats_free)

/* Prometheus' text; owned, NULL without memory. */
char *stats_resource_metrics(struct stats *s); /* for metrics-server */
char *stats_agent_metrics(struct stats *s);    /* about skiffd itself */
/* stats v1alpha1's Summary; new reference, NULL without memory. */
json_t *stats_summary(struct stats *s, bool only_cpu_and_memory);
