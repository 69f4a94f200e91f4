/* What a manifest would do on this node, for the local socket. Reads only. */
#pragma once
#include "kubelet/local-api.h"

/* POST /v1/plan with one object, or a v1.List of them: { items: [...] } in the same order. */
void local_plan_serve(const struct context *ctx, const struct pod_manager *pods,
                      struct http_exchange *x, const json_t *body);
