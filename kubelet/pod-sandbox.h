/*
 * A pod's sandbox, from its spec: labels, hostname, ports, sysctls, and the cgroup above it.
 */
#pragma once
#include "kubelet/context.h"

/* Starts it (sandbox_run() of runtime/); trouble that has an event of its own is told by it.
 * Negative errno with the sentence. */
int pod_sandbox_run(const struct context *ctx, const struct pod *pod, uint32_t attempt,
                    sandbox_done_fn done, void *userdata, struct runtime_op **ret, struct err *err);
