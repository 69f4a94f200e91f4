/*
 * One layer from its compressed bytes to a verified tree: digest of the bytes as they come, undo
 * the compression, digest of the archive, entries into the tree, all else into the index.
 * Constant memory. Runs in the unpacker.
 */
#pragma once
#include "runtime/layer-tree.h"
#include "runtime/manifest.h"

struct layer_job {
        enum compression compression;
        const char *digest;    /* of the bytes as they come; NULL: not known (docker save) */
        const char *diff_id;   /* of the archive */
        uint64_t size;         /* of the bytes as they come; UINT64_MAX: not known */
        uint64_t unpacked_max; /* 0: LAYER_RATIO_MAX times the size and LAYER_UNPACKED_MIN */
        int input_fd;          /* pipe or file; read to its end */
        int index_fd;          /* empty file for the layer's index */
        struct layer_tree_options tree;
};

enum {
        LAYER_RATIO_MAX = 200,
        LAYER_UNPACKED_MIN = 64 << 20,
};
#define LAYER_UNPACKED_MAX (UINT64_C(64) << 30)

struct layer_result {
        uint64_t size, unpacked_size; /* bytes read; bytes of the archive */
        struct layer_tree_result tree;
};

/**
 * layer_unpack() - the whole of it; nothing is synced
 * Return: 0; -EINVAL (ERR_IMAGE_VERIFY, ERR_BAD_INPUT) when digest, size or archive are not as they
 * must be; -EFBIG at a limit; -ENOSPC; -EPIPE when the input ended before its size; other negative
 * errno. After a failure the tree is of no use.
 */
int layer_unpack(const struct layer_job *job, struct layer_result *ret, struct err *err);

/**
 * layer_export() - write a layer's archive again, from its tree and its index
 * @write: takes the bytes in order; a negative value stops
 * Return: 0; -EINVAL (ERR_IMAGE_VERIFY) naming the first file that is not what it was; -ENOTSUP
 * when entries of the archive replaced one another, so that not all contents are left.
 */
int layer_export(int root_fd, int index_fd,
                 int (*write)(const void *data, size_t n, void *userdata), void *userdata,
                 struct err *err);
