/*
 * What others ask the proxy: /healthz and /livez for load balancers and monitors (:10256), metrics
 * and /proxyMode for the administrator (127.0.0.1:10249).
 *
 * Source: kubernetes pkg/proxy/healthcheck/proxy_health.go, pkg/proxy/metrics/metrics.go.
 */
#pragma once
#include "netproxy/sync.h"

struct health; /* opaque: both servers */

/* A port that is taken is tried again every 5 s. */
int health_new(sd_event *event, const struct proxy_config *config, struct sync *sync,
               struct health **ret, struct err *err);
struct health *health_free(struct health *h);
DEFINE_CLEANUP(struct health *, health_free)
