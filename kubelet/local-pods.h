/*
 * What the local socket does with one pod beyond showing it: inspect, restart, stop. All of it is
 * root's.
 */
#pragma once
#include "kubelet/local-api.h"

/* GET /v1/pods/NS/NAME/inspect?container=: { id, pid, image, logPath, namespaces, cgroup, config }
 * of a container, which need not run. */
void local_pod_inspect(const struct context *ctx, struct http_exchange *x, const struct pod *pod);
/* POST /v1/pods/NS/NAME/restart { container? }: its running containers, or one, are stopped with
 * their grace period and started anew; back-offs are forgotten. */
void local_pod_restart(struct http_exchange *x, struct pod_worker *w, const json_t *body);
/* POST /v1/pods/NS/NAME/stop: of a static pod; it comes back when its manifest changes or skiffd
 * starts anew. */
void local_pod_stop(struct http_exchange *x, struct pod_worker *w, const struct pod *pod);
