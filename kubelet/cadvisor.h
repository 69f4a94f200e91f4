/*
 * What every cgroup of the node used, for /metrics/cadvisor: measured when it is asked for.
 */
#pragma once
#include "kubelet/context.h"

struct cadvisor; /* opaque: what is true of the machine */

int cadvisor_new(const struct context *ctx, struct cadvisor **ret, struct err *err);
struct cadvisor *cadvisor_free(struct cadvisor *c);
DEFINE_CLEANUP(struct cadvisor *, cadvisor_free)
/* Prometheus' text; owned, NULL without memory. */
char *cadvisor_metrics(const struct cadvisor *c);
