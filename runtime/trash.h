/*
 * Directories that are to go: renamed out of sight at once, removed by a child process when they
 * hold more than a handful of files, so that a container that wrote a million of them costs the
 * loop nothing. What is left when skiffd dies is removed at its next start.
 */
#pragma once
#include "runtime/runtime-internal.h"

struct trash; /* opaque; <state_dir>/trash */

int trash_new(struct runtime *rt, struct trash **ret, struct err *err);
struct trash *trash_free(struct trash *t);
DEFINE_CLEANUP(struct trash *, trash_free)
/* Fine for a name that does not exist. Failures are logged. */
void trash_put(struct trash *t, int dir_fd, const char *name);
