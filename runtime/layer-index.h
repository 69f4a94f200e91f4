/*
 * The index of a layer: all that the archive held beside the files' contents, and a digest of each
 * of these. With it and the unpacked tree the archive can be written again, byte for byte, and the
 * tree can be checked; no second copy of a layer is ever kept.
 *
 * On disk: a zstd stream of records, each a type byte, a little-endian 32-bit length and so many
 * bytes. The first is LAYER_INDEX_VERSION, the last LAYER_INDEX_END; without it the index is not
 * complete.
 */
#pragma once
#include <stdint.h>

#include "base/err.h"

enum layer_index_type {
        LAYER_INDEX_VERSION = 'V', /* "1" */
        LAYER_INDEX_RAW = 'R',     /* bytes of the archive: headers, padding, end mark */
        LAYER_INDEX_FILE = 'F',    /* 8 bytes size, 32 bytes SHA-256, path: contents go here */
        LAYER_INDEX_END = 'E',     /* 8 bytes: names that were replaced within the archive */
};

enum { LAYER_INDEX_RECORD_MAX = 64 << 10, LAYER_INDEX_FILE_HEAD = 8 + 32 };

struct layer_index_writer; /* opaque */
/* @fd: an empty file, borrowed. NULL without memory. */
struct layer_index_writer *layer_index_writer_new(int fd);
struct layer_index_writer *layer_index_writer_free(struct layer_index_writer *w);
DEFINE_CLEANUP(struct layer_index_writer *, layer_index_writer_free)
/* Raw bytes are collected into records; the first failure is remembered and returned by _end. */
void layer_index_raw(struct layer_index_writer *w, const void *data, size_t n);
void layer_index_file(struct layer_index_writer *w, const char *path, uint64_t size,
                      const unsigned char sha256[static 32]);
int layer_index_end(struct layer_index_writer *w, uint64_t n_replaced, struct err *err);

struct layer_index_reader;                                 /* opaque */
struct layer_index_reader *layer_index_reader_new(int fd); /* NULL without memory */
struct layer_index_reader *layer_index_reader_free(struct layer_index_reader *r);
DEFINE_CLEANUP(struct layer_index_reader *, layer_index_reader_free)
/**
 * layer_index_next() - the next record
 * @ret_data: borrowed until the next call; NUL-terminated beyond *@ret_n
 * Return: enum layer_index_type; -EINVAL when the index is damaged or cut short; other negative
 * errno.
 */
int layer_index_next(struct layer_index_reader *r, const uint8_t **ret_data, size_t *ret_n,
                     struct err *err);
