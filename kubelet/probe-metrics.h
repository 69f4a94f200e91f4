/* /metrics/probes: how the attempts of all pods' probes came out, as Prometheus' text. */
#pragma once
#include "kubelet/pod-manager.h"

/* @started_at: of skiffd, CLOCK_REALTIME. Owned; NULL without memory. */
char *probe_metrics(const struct pod_manager *pods, usec_t started_at);
