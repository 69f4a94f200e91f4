/*
 * A tar archive (ustar) in gzip, written as it comes.
 */
#pragma once
#include "base/err.h"

struct archive; /* opaque */

/* @fd: taken, also on failure. */
int archive_new(int fd, struct archive **ret);
/* A regular file, mode 0600. @name: at most 99 bytes. Failures are remembered for the end. */
void archive_add(struct archive *a, const char *name, const void *data, size_t n);
/* 0, or the first failure. Frees @a. */
int archive_end(struct archive *a);
