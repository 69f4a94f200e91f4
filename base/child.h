/*
 * One child program: spawned with a pidfd, its output capped, its end told on the event loop.
 * Absolute path, argument vector, fixed environment; never a shell. It gets a session of its own,
 * default signals, umask 022, "/" as directory, and no descriptor that was not given to it.
 */
#pragma once
#include <systemd/sd-event.h>

#include "base/err.h"
#include "base/usec.h"

struct child; /* opaque; the owner frees it: from the done callback or later */

struct child_result {
        bool timed_out;     /* killed at its deadline */
        int exit_code;      /* 0 to 255, or 128 + signal */
        const char *output; /* standard output, NUL-terminated; borrowed for the callback */
        size_t output_len;
        const char *errors; /* standard error, likewise */
        size_t errors_len;
};
typedef void (*child_done_fn)(struct child *c, const struct child_result *result, void *userdata);

struct child_options {
        const char *const *argv; /* argv[0]: absolute path, or a name when .exec_fd is used */
        int exec_fd;             /* 0 or -1, or execveat() this descriptor instead of argv[0] */
        const char *const *env;  /* NULL: PATH alone */
        const void *input;       /* becomes standard input (a sealed file); NULL: /dev/null */
        size_t input_len;
        const int *fds; /* become 3, 4, … in the child; borrowed */
        size_t n_fds;
        int cgroup_fd;          /* 0 or -1, or born in this cgroup (CLONE_INTO_CGROUP) */
        int netns_fd, mntns_fd; /* 0 or -1, or entered by setns() before execve */
        size_t output_max;      /* bytes kept of each stream; the rest is dropped. 0: 64 KiB */
        usec_t timeout_usec;    /* 0: none; then SIGKILL for its process group */
};
/**
 * child_spawn() - starts it; @done is called once, from the loop, never from here
 * Blocks until execve has happened, some 0.5 ms.
 * Return: 0; negative errno when it could not be started (execve failures included).
 */
int child_spawn(sd_event *event, const struct child_options *options, child_done_fn done,
                void *userdata, struct child **ret, struct err *err);
/* Kills (its process group) and reaps one that still runs; done is not called. Returns NULL. */
struct child *child_free(struct child *c);
int child_kill(struct child *c, int signal); /* the program alone; -ESRCH when it has ended */
DEFINE_CLEANUP(struct child *, child_free)
