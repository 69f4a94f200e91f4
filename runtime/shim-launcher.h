/* What shim-client.c and shim-spawn.c share. See shim-client.h. */
#pragma once
#include "runtime/shim-client.h"

struct shim_launcher {
        struct runtime *rt; /* borrowed */
        int program_fd;     /* sealed memfd */
        int template_fd;    /* mount namespace */
        int sockets_fd;     /* <run_dir>/shims */
};

/**
 * shim_launch() - clones and executes one shim
 * @ret_fd: our end of its first connection
 * Return: 0; negative errno. A program that cannot be executed shows as an end of the connection.
 */
int shim_launch(struct shim_launcher *l, const char *id, int plan_fd, int *ret_fd, int *ret_pidfd,
                pid_t *ret_pid, struct err *err);
/* Connects to the socket of an existing one; -ECONNREFUSED, -ENOENT: nobody is there. */
int shim_dial(const struct shim_launcher *l, const char *id, int *ret_fd);
