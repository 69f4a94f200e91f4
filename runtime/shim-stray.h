/*
 * Shims that nobody can reach any more: their socket was removed under them. Found after a start by
 * the group that all shims live in, and ended; their containers were lost with them.
 */
#pragma once
#include <stdbool.h>

#include "base/err.h"

/**
 * shim_strays_end() - SIGKILL to each shim for which @is_stray is true
 * @shims_group_fd: the cgroup of all shims; borrowed. Others' shims may live in it too
 * @is_stray:       of a sandbox id; must be true for our own sandboxes only
 * Return: how many there were, or negative errno when the group cannot be read.
 */
int shim_strays_end(int shims_group_fd, bool (*is_stray)(const char *id, void *userdata),
                    void *userdata);
