/*
 * One child program: spawned with a pidfd, its output capped, its end told on the event loop.
 * Absolute path, argument vector, fixed environment; never a shell.
 */
#pragma once
#include <systemd/sd-event.h>

#include "base/err.h"
#include "base/usec.h"

struct child; /* opaque; child_free() kills and reaps a child that still runs */

struct child_result {
        bool timed_out; /* killed at its deadline */
        int exit_code;  /* 0 to 255, or 128 + signal */
        const char
                *output; /* standard output, NUL-terminated; borrowed until the callback returns */
        size_t output_len;
        const char *errors; /* standard error, likewise */
        size_t errors_len;
};
typedef void (*child_done_fn)(struct child *c, const struct child_result *result, void *userdata);

struct child_options {
        const char *const *argv; /* argv[0]: absolute path, or used with .exec_fd */
        int exec_fd;             /* -1, or execveat() this descriptor instead of argv[0] */
        const char *const *env;  /* NULL: PATH alone */
        const void *input; /* fed to standard input, then closed; borrowed until spawned (copied) */
        size_t input_len;
        const int *fds; /* become 3, 4, … in the child; borrowed */
        size_t n_fds;
        int cgroup_fd;          /* -1, or born in this cgroup (CLONE_INTO_CGROUP) */
        int netns_fd, mntns_fd; /* -1, or entered by setns() before execve */
        size_t output_max; /* bytes kept of each stream; the rest is read and dropped. 0: 64 KiB */
        usec_t timeout_usec; /* 0: none */
};
/**
 * child_spawn() - starts it; @done is called once, from the loop, never from here
 * Return: 0; negative errno when it could not be started (execve failures included).
 */
int child_spawn(sd_event *event, const struct child_options *options, child_done_fn done,
                void *userdata, struct child **ret, struct err *err);
struct child *child_free(struct child *c);
int child_pidfd(const struct child *c); /* borrowed */
int child_kill(struct child *c, int signal);
DEFINE_CLEANUP(struct child *, child_free)
