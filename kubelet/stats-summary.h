/*
 * /stats/summary: what node, pods and containers use, as stats v1alpha1's JSON. Pure.
 * Source: k8s.io/kubelet pkg/apis/stats/v1alpha1/types.go.
 */
#pragma once
#include <jansson.h>

#include "kubelet/stats-snapshot.h"

/* @only_cpu_and_memory: without what is measured on disks and networks. New reference; NULL without
 * memory. */
json_t *stats_summary_json(const struct stats_snapshot *s, bool only_cpu_and_memory);
