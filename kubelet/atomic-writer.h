/*
 * The kubelet's atomic writer: a volume's files change all at once, by the swap of one link.
 *
 * Layout: "..data" -> "..2026_01_31_10_20_30.123456789", "<top-level name>" -> "..data/<top-level
 * name>". Source: pkg/volume/util/atomic_writer.go. Everything happens beneath a directory
 * descriptor, and links are created and replaced but never followed.
 */
#pragma once
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

struct payload_file {
        char *path; /* relative, may hold folders */
        void *data;
        size_t n;
        mode_t mode;
        bool owner_only; /* a token: chowned to fsUser when there is one */
};
struct payload {
        struct payload_file *files; /* owned, sorted by payload_sort() */
        size_t n_files;
};
void payload_done(struct payload *p);
/* Copies @data. A later file of the same path wins. -EINVAL for a path that leaves the volume, with
 * the rule in @err. */
int payload_add(struct payload *p, const char *path, const void *data, size_t n, mode_t mode,
                struct err *err);

struct atomic_writer_owner {
        int64_t fs_group; /* -1: none */
        int64_t fs_user;  /* -1: none */
};
/**
 * atomic_writer_write() - make the volume hold exactly @payload
 * @dir_fd: the volume's directory; borrowed
 * Return: 1 when something was written, 0 when content was the same already; negative errno and the
 * old content stays.
 */
int atomic_writer_write(int dir_fd, const struct payload *payload,
                        const struct atomic_writer_owner *owner, struct err *err);
/* The fsGroup walk of pkg/volume/volume_linux.go; errors of single entries are passed over.
 * @read_only: 0440 instead of 0660. */
void volume_set_group(int dir_fd, gid_t group, bool read_only);
