/*
 * The unpacker: one process per layer, from its pipe to a verified and synced tree.
 */
#pragma once
#include <sys/types.h>

#include "runtime/image-wire.h"

struct unpack_job {
        enum compression compression;
        const char *digest; /* NULL: not known */
        const char *diff_id;
        uint64_t size; /* UINT64_MAX: not known */
        uint64_t reserve_bytes;
        int root_fd, index_fd, implied_fd; /* borrowed */
};
/**
 * image_unpack_start() - fork the unpacker of a layer
 * @ret_pipe: write end for the layer's bytes; @ret_wire: its messages, non-blocking. Both owned.
 * Return: its pid; negative errno.
 */
pid_t image_unpack_start(const struct unpack_job *job, int *ret_pipe, int *ret_wire,
                         struct err *err);
