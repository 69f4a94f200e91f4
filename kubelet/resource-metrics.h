/*
 * /metrics/resource, which metrics-server reads: CPU, memory and swap of node, pods and containers
 * as Prometheus' text. Pure.
 * Source: pkg/kubelet/metrics/collectors/resource_metrics.go.
 */
#pragma once
#include "kubelet/stats-snapshot.h"

/* A family without any sample is left out; one of two pods of the same name, the one started last,
 * stands for it. Owned; NULL without memory. */
char *resource_metrics_format(const struct stats_snapshot *s);
