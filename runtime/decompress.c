#include "runtime/decompress.h"

#include <errno.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

struct decompress {
        enum compression compression;
        uint64_t output, output_max;
        bool inside; /* a member or frame has begun and not ended */
        bool any;    /* one has ended */
        z_stream gzip;
        ZSTD_DCtx *zstd;
};

struct decompress *decompress_free(struct decompress *d)
{
        if (!d)
                return NULL;
        if (d->compression == COMPRESSION_GZIP)
                inflateEnd(&d->gzip);
        ZSTD_freeDCtx(d->zstd);
        free(d);
        return NULL;
}

struct decompress *decompress_new(enum compression compression, uint64_t output_max)
{
        struct decompress *d = calloc(1, sizeof *d);

        if (!d)
                return NULL;
        d->output_max = output_max;
        if (compression == COMPRESSION_GZIP && inflateInit2(&d->gzip, 16 + MAX_WBITS) != Z_OK) {
                free(d);
                return NULL;
        }
        if (compression == COMPRESSION_ZSTD) {
                d->zstd = ZSTD_createDCtx();
                if (!d->zstd || ZSTD_isError(ZSTD_DCtx_setParameter(d->zstd, ZSTD_d_windowLogMax,
                                                                    ZSTD_WINDOW_LOG_MAX)))
                        return decompress_free(d);
        }
        d->compression = compression;
        return d;
}

static int damaged(struct err *err, const char *format, const char *why)
{
        return err_set_kind(err, -EINVAL, ERR_IMAGE_VERIFY, "%s stream is damaged: %s", format,
                            why);
}

static int step_gzip(struct decompress *d, const void *in, size_t n, size_t *ret_used, void *out,
                     size_t out_size, size_t *ret_out, struct err *err)
{
        z_stream *z = &d->gzip;
        int code;

        if (!d->inside && d->any && n > 0)
                inflateReset(z);
        z->next_in = (Bytef *)in;
        z->avail_in = (uInt)n;
        z->next_out = out;
        z->avail_out = (uInt)out_size;
        code = inflate(z, Z_NO_FLUSH);
        *ret_used = n - z->avail_in;
        *ret_out = out_size - z->avail_out;
        d->inside |= *ret_used > 0;
        if (code == Z_STREAM_END) {
                d->inside = false;
                d->any = true;
                return 0;
        }
        if (code == Z_OK || code == Z_BUF_ERROR)
                return 0;
        if (code == Z_MEM_ERROR)
                return err_sys(err, -ENOMEM, "unpack gzip");
        return damaged(err, "gzip",
                       z->msg                ? z->msg
                       : code == Z_NEED_DICT ? "needs a dictionary"
                                             : "?");
}

static int step_zstd(struct decompress *d, const void *in, size_t n, size_t *ret_used, void *out,
                     size_t out_size, size_t *ret_out, struct err *err)
{
        ZSTD_inBuffer input = { .src = in, .size = n };
        ZSTD_outBuffer output = { .dst = out, .size = out_size };
        size_t code = ZSTD_decompressStream(d->zstd, &output, &input);

        *ret_used = input.pos;
        *ret_out = output.pos;
        if (ZSTD_isError(code))
                return ZSTD_getErrorCode(code) == ZSTD_error_memory_allocation
                               ? err_sys(err, -ENOMEM, "unpack zstd")
                               : damaged(err, "zstd", ZSTD_getErrorName(code));
        if (code == 0) {
                d->any = true;
                d->inside = false;
        } else if (input.pos > 0) {
                d->inside = true;
        }
        return 0;
}

int decompress_step(struct decompress *d, const void *in, size_t n, size_t *ret_used, void *out,
                    size_t out_size, size_t *ret_out, struct err *err)
{
        int r = 0;

        *ret_used = *ret_out = 0;
        if (n == 0 && !d->inside)
                return 0; /* between members: nothing that could still come out */
        if (d->compression == COMPRESSION_GZIP) {
                r = step_gzip(d, in, n, ret_used, out, out_size, ret_out, err);
        } else if (d->compression == COMPRESSION_ZSTD) {
                r = step_zstd(d, in, n, ret_used, out, out_size, ret_out, err);
        } else {
                *ret_used = *ret_out = MIN(n, out_size);
                memcpy(out, in, *ret_out);
                d->any = true;
        }
        if (r < 0)
                return r;
        if (*ret_out > d->output_max - d->output)
                return err_set_kind(err, -EFBIG, ERR_IMAGE_VERIFY,
                                    "unpacks to more than the limit of %llu bytes",
                                    (unsigned long long)d->output_max);
        d->output += *ret_out;
        return 0;
}

int decompress_finish(const struct decompress *d, struct err *err)
{
        if (d->compression == COMPRESSION_NONE || (d->any && !d->inside))
                return 0;
        return err_set_kind(err, -EINVAL, ERR_IMAGE_VERIFY, "compressed stream ends in the middle");
}
