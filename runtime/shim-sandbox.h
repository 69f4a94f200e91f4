/*
 * What a sandbox's containers share: namespaces, host name, network, sysctls, /dev/shm and, on
 * request, a PID namespace. The shim itself stands in the network, IPC and UTS namespaces and so
 * pins them; there is no other process, but for the one that a shared PID namespace needs.
 */
#pragma once
#include "runtime/launch.h"

struct sandbox {
        struct launch_sandbox lent; /* its descriptors are owned here */
        int init_pidfd;             /* of the shared PID namespace's first process; -1: none */
};

/**
 * sandbox_make() - makes all of it, once, in this process
 * @template: the template mount namespace; borrowed
 * @why:      on failure, what was being done
 * @kind:     on failure, ERR_SANDBOX or ERR_SANDBOX_NETWORK
 * Return: 0 or a negative errno; the process is of no use after a failure.
 */
int sandbox_make(const struct plan_view *plan, int template, struct sandbox *ret, struct line *why,
                 unsigned *kind);
