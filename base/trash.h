/*
 * Directories that are to go: renamed out of sight at once, removed by a child process when they
 * hold more than a handful of files, so that a container that wrote a million of them costs the
 * loop nothing. What is left when the daemon dies is removed at its next start.
 */
#pragma once
#include <stdbool.h>
#include <systemd/sd-event.h>

#include "base/cleanup.h"
#include "base/err.h"

struct trash; /* opaque */

/**
 * trash_new() - opens a directory for what is to go, and starts removing what is in it
 * @parent_fd: borrowed, only for the call
 * @name:      of the directory below @parent_fd; made when absent, mode 0700
 * @path:      of it, for messages
 * @ret:       set on success only; the caller owns it (trash_free)
 */
int trash_new(sd_event *event, int parent_fd, const char *name, const char *path,
              struct trash **ret, struct err *err);
struct trash *trash_free(struct trash *t);
DEFINE_CLEANUP(struct trash *, trash_free)

/**
 * trash_put() - removes @name below @dir_fd, now or later; it has gone from there on return
 * Mounts are not crossed: what one lies on stays, here or in the trash.
 * Return: 0, also for a name that does not exist; -EBUSY: something is mounted there; other
 * negative errno. What a child fails to remove later is logged.
 */
int trash_put(struct trash *t, int dir_fd, const char *name);
/* Something in it is still being removed. */
bool trash_is_busy(const struct trash *t);
