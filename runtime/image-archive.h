/*
 * An archive of images, looked into without unpacking it: where its files are, and their contents.
 */
#pragma once
#include <stdint.h>

#include "base/err.h"

struct image_archive; /* opaque */

/* @fd: seekable, borrowed. Reads all headers once. -EINVAL for what is no tar archive. */
int image_archive_open(int fd, struct image_archive **ret, struct err *err);
struct image_archive *image_archive_free(struct image_archive *a);
DEFINE_CLEANUP(struct image_archive *, image_archive_free)

struct archive_file {
        uint64_t offset, size;
};
/* A file by its name, links within the archive followed. -ENOENT. */
int image_archive_find(const struct image_archive *a, const char *name, struct archive_file *ret,
                       struct err *err);
/* Its contents, NUL-terminated, at most @max bytes. Owned. */
int image_archive_read(const struct image_archive *a, const char *name, size_t max, char **ret,
                       size_t *ret_n, struct err *err);
/* Up to @n bytes from @offset of a file. */
ssize_t image_archive_pread(const struct image_archive *a, const struct archive_file *f, void *to,
                            size_t n, uint64_t offset);
