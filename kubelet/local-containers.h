/*
 * /v1/containers of the local socket: the containers of this node's pods, one object each.
 */
#pragma once
#include "kubelet/local-api.h"

/* { items: [ { namespace, pod, name, kind, image, state, lastState, ready, restartCount, id, pid,
 * logPath } ] }; @namespace and @pod may be NULL. New reference. */
json_t *local_containers_json(const struct context *ctx, const struct pod_manager *pods,
                              const char *namespace, const char *pod);
