/*
 * gzip and zstd streams undone within limits: window, output, and nothing behind the end. Pure.
 * Several gzip members or zstd frames in a row are one stream (estargz, pigz, zstd:chunked).
 */
#pragma once
#include <stdint.h>

#include "runtime/manifest.h"

enum { ZSTD_WINDOW_LOG_MAX = 27 }; /* 128 MiB */

struct decompress; /* opaque */

/* @output_max: more bytes than this are -EFBIG, with the limit in @err. NULL without memory. */
struct decompress *decompress_new(enum compression compression, uint64_t output_max);
struct decompress *decompress_free(struct decompress *d);
DEFINE_CLEANUP(struct decompress *, decompress_free)

/**
 * decompress_step() - turn some input into some output
 * @ret_used, @ret_out: bytes taken from @in and put into @out; with both 0 more input is needed
 * Return: 0; -EINVAL (ERR_IMAGE_VERIFY) for a damaged stream; -EFBIG; -ENOMEM.
 */
int decompress_step(struct decompress *d, const void *in, size_t n, size_t *ret_used, void *out,
                    size_t out_size, size_t *ret_out, struct err *err);
/* The input is at its end: 0, or -EINVAL when the stream is not. */
int decompress_finish(const struct decompress *d, struct err *err);
