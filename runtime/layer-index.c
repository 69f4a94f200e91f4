#include "runtime/layer-index.h"

#include <endian.h>
#include <errno.h>
#include <string.h>
#include <zstd.h>

#include "base/fs.h"

enum {
        HEAD = 5, /* type and length */
        LEVEL = 1,
        RAW_CHUNK = 16 << 10,
        OUT_SIZE = 32 << 10,
};

struct layer_index_writer {
        int fd; /* borrowed */
        int failed;
        ZSTD_CCtx *zstd;
        size_t raw_len;
        uint8_t raw[RAW_CHUNK], out[OUT_SIZE];
};

struct layer_index_writer *layer_index_writer_free(struct layer_index_writer *w)
{
        if (w)
                ZSTD_freeCCtx(w->zstd);
        free(w);
        return NULL;
}

static void compress(struct layer_index_writer *w, const void *data, size_t n,
                     ZSTD_EndDirective how)
{
        ZSTD_inBuffer in = { .src = data, .size = n };
        size_t left;

        do {
                ZSTD_outBuffer out = { .dst = w->out, .size = sizeof w->out };

                left = ZSTD_compressStream2(w->zstd, &out, &in, how);
                if (w->failed == 0 && ZSTD_isError(left))
                        w->failed = -ENOMEM;
                if (w->failed == 0)
                        w->failed = fs_write_all(w->fd, out.dst, out.pos);
        } while (w->failed == 0 && (in.pos < in.size || (how == ZSTD_e_end && left > 0)));
}

static void write_record(struct layer_index_writer *w, enum layer_index_type type, const void *a,
                         size_t a_len, const void *b, size_t b_len)
{
        uint32_t len = htole32((uint32_t)(a_len + b_len));
        uint8_t head[HEAD] = { (uint8_t)type };

        memcpy(head + 1, &len, sizeof len);
        compress(w, head, sizeof head, ZSTD_e_continue);
        compress(w, a, a_len, ZSTD_e_continue);
        compress(w, b, b_len, ZSTD_e_continue);
}

struct layer_index_writer *layer_index_writer_new(int fd)
{
        struct layer_index_writer *w = calloc(1, sizeof *w);

        if (!w)
                return NULL;
        w->fd = fd;
        w->zstd = ZSTD_createCCtx();
        if (!w->zstd ||
            ZSTD_isError(ZSTD_CCtx_setParameter(w->zstd, ZSTD_c_compressionLevel, LEVEL)))
                return layer_index_writer_free(w);
        write_record(w, LAYER_INDEX_VERSION, "1", 1, NULL, 0);
        return w;
}

static void flush_raw(struct layer_index_writer *w)
{
        if (w->raw_len > 0)
                write_record(w, LAYER_INDEX_RAW, w->raw, w->raw_len, NULL, 0);
        w->raw_len = 0;
}

void layer_index_raw(struct layer_index_writer *w, const void *data, size_t n)
{
        const uint8_t *p = data;

        while (n > 0) {
                size_t take = MIN(n, sizeof w->raw - w->raw_len);

                memcpy(w->raw + w->raw_len, p, take);
                w->raw_len += take;
                p += take;
                n -= take;
                if (w->raw_len == sizeof w->raw)
                        flush_raw(w);
        }
}

void layer_index_file(struct layer_index_writer *w, const char *path, uint64_t size,
                      const unsigned char sha256[static 32])
{
        uint8_t head[LAYER_INDEX_FILE_HEAD];

        flush_raw(w);
        size = htole64(size);
        memcpy(head, &size, sizeof size);
        memcpy(head + 8, sha256, 32);
        write_record(w, LAYER_INDEX_FILE, head, sizeof head, path, strlen(path));
}

int layer_index_end(struct layer_index_writer *w, uint64_t n_replaced, struct err *err)
{
        flush_raw(w);
        n_replaced = htole64(n_replaced);
        write_record(w, LAYER_INDEX_END, &n_replaced, sizeof n_replaced, NULL, 0);
        compress(w, NULL, 0, ZSTD_e_end);
        return w->failed < 0 ? err_sys(err, w->failed, "write the layer's index") : 0;
}

/* ---- reading ---- */

struct layer_index_reader {
        int fd; /* borrowed */
        ZSTD_DCtx *zstd;
        ZSTD_inBuffer in;
        uint8_t bytes[OUT_SIZE];
        uint8_t record[LAYER_INDEX_RECORD_MAX + 1];
};

struct layer_index_reader *layer_index_reader_free(struct layer_index_reader *r)
{
        if (r)
                ZSTD_freeDCtx(r->zstd);
        free(r);
        return NULL;
}

struct layer_index_reader *layer_index_reader_new(int fd)
{
        struct layer_index_reader *r = calloc(1, sizeof *r);

        if (!r)
                return NULL;
        r->fd = fd;
        r->in.src = r->bytes;
        r->zstd = ZSTD_createDCtx();
        return r->zstd ? r : layer_index_reader_free(r);
}

static int damaged(struct err *err, const char *why)
{
        return err_set_kind(err, -EINVAL, ERR_IMAGE_VERIFY, "the layer's index is damaged: %s",
                            why);
}

/* Fills @n bytes of @to. */
static int pull(struct layer_index_reader *r, void *to, size_t n, struct err *err)
{
        ZSTD_outBuffer out = { .dst = to, .size = n };

        while (out.pos < n) {
                size_t before = out.pos, code = ZSTD_decompressStream(r->zstd, &out, &r->in);
                ssize_t k;

                if (ZSTD_isError(code))
                        return damaged(err, ZSTD_getErrorName(code));
                if (out.pos > before || r->in.pos < r->in.size)
                        continue;
                k = read(r->fd, r->bytes, sizeof r->bytes);
                if (k < 0 && errno == EINTR)
                        continue;
                if (k < 0)
                        return err_sys(err, -errno, "read the layer's index");
                if (k == 0)
                        return damaged(err, "cut short");
                r->in.pos = 0;
                r->in.size = (size_t)k;
        }
        return 0;
}

int layer_index_next(struct layer_index_reader *r, const uint8_t **ret_data, size_t *ret_n,
                     struct err *err)
{
        uint8_t head[HEAD];
        uint32_t len;
        int k = pull(r, head, sizeof head, err);

        if (k < 0)
                return k;
        memcpy(&len, head + 1, sizeof len);
        len = le32toh(len);
        if (len > LAYER_INDEX_RECORD_MAX)
                return damaged(err, "a record is too long");
        k = pull(r, r->record, len, err);
        if (k < 0)
                return k;
        r->record[len] = '\0';
        if (head[0] == LAYER_INDEX_VERSION && !(len == 1 && r->record[0] == '1'))
                return damaged(err, "not of version 1");
        if ((head[0] == LAYER_INDEX_FILE && len <= LAYER_INDEX_FILE_HEAD) ||
            (head[0] == LAYER_INDEX_END && len != 8))
                return damaged(err, "a record is too short");
        *ret_data = r->record;
        *ret_n = len;
        return head[0];
}
