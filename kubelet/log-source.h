/*
 * One log file, plain or gzip, read forwards in pieces. Whoever writes to the log folder is not
 * trusted: links, FIFOs and devices are refused, nothing blocks, and a gzip bomb costs time only
 * in the pieces that the caller asks for.
 */
#pragma once
#include <sys/types.h>

#include "base/cleanup.h"

struct log_source; /* opaque */

/*
 * Opens @name (no path) in @dir_fd. -ENOENT: gone meanwhile; -EPERM: neither a regular file nor one
 * with a single name; or another negative errno.
 */
int log_source_open(int dir_fd, const char *name, struct log_source **ret);
struct log_source *log_source_free(struct log_source *s);
DEFINE_CLEANUP(struct log_source *, log_source_free)

ino_t log_source_inode(const struct log_source *s);
/* Bytes of a plain file when it was opened; gzip: 0. */
off_t log_source_size(const struct log_source *s);
bool log_source_is_compressed(const struct log_source *s);
/* The next bytes; 0 at the end (a plain file may grow: ask again); -EBADMSG: damaged gzip. */
ssize_t log_source_read(struct log_source *s, void *buf, size_t n);
/* Plain files only. */
ssize_t log_source_read_at(struct log_source *s, void *buf, size_t n, off_t at);
void log_source_seek(struct log_source *s, off_t at);
off_t log_source_position(const struct log_source *s);
