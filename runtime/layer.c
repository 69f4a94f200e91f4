#include "runtime/layer.h"

#include <errno.h>
#include <string.h>

#include "runtime/decompress.h"
#include "runtime/digest.h"
#include "runtime/layer-index.h"

enum {
        IN_SIZE = 64 << 10,
        OUT_SIZE = 256 << 10,
};

struct unpacking {
        const struct layer_job *job;
        struct decompress *decompress;
        struct digest *digest, *diff_id, *contents;
        struct tar *tar;
        struct layer_tree *tree;
        struct layer_index_writer *index;
        uint64_t size, unpacked_size;
        bool keeps_data; /* the entry at hand has its contents in the tree */
        uint8_t in[IN_SIZE], out[OUT_SIZE];
};

static struct unpacking *unpacking_free(struct unpacking *u)
{
        if (!u)
                return NULL;
        decompress_free(u->decompress);
        digest_free(u->digest);
        digest_free(u->diff_id);
        digest_free(u->contents);
        tar_free(u->tar);
        layer_tree_free(u->tree);
        layer_index_writer_free(u->index);
        free(u);
        return NULL;
}
DEFINE_CLEANUP(struct unpacking *, unpacking_free)

static uint64_t unpacked_limit(const struct layer_job *job)
{
        uint64_t limit;

        if (job->unpacked_max)
                return job->unpacked_max;
        if (job->size == UINT64_MAX || __builtin_mul_overflow(job->size, LAYER_RATIO_MAX, &limit) ||
            __builtin_add_overflow(limit, LAYER_UNPACKED_MIN, &limit))
                return LAYER_UNPACKED_MAX;
        return MIN(limit, LAYER_UNPACKED_MAX);
}

static struct unpacking *unpacking_new(const struct layer_job *job)
{
        _cleanup_(unpacking_freep)
        struct unpacking *u = calloc(1, sizeof *u);

        if (!u)
                return NULL;
        u->job = job;
        u->decompress = decompress_new(job->compression, unpacked_limit(job));
        u->digest = digest_new(job->digest ? job->digest : "sha256:");
        u->diff_id = digest_new(job->diff_id);
        u->contents = digest_new("sha256:");
        u->tar = tar_new();
        u->tree = layer_tree_new(&job->tree);
        u->index = layer_index_writer_new(job->index_fd);
        if (!u->decompress || !u->digest || !u->diff_id || !u->contents || !u->tar || !u->tree ||
            !u->index)
                return NULL;
        return TAKE_PTR(u);
}

/* ---- the archive ---- */

static int on_entry(struct unpacking *u, struct err *err)
{
        int r = layer_tree_begin(u->tree, tar_entry(u->tar), err);

        u->keeps_data = r == 0 && layer_tree_keeps_data(u->tree);
        return r;
}

static int on_data(struct unpacking *u, const uint8_t *data, size_t n, struct err *err)
{
        if (!u->keeps_data) { /* of a whiteout: there is no file to find it in again */
                layer_index_raw(u->index, data, n);
                return 0;
        }
        digest_add(u->contents, data, n);
        return layer_tree_data(u->tree, data, n, err);
}

static int on_entry_end(struct unpacking *u, struct err *err)
{
        const struct tar_entry *e = tar_entry(u->tar);
        unsigned char sha256[64];

        if (u->keeps_data) {
                if (digest_bytes(u->contents, sha256) != 32)
                        return err_set(err, -EIO, "SHA-256 is not to be had");
                layer_index_file(u->index, layer_tree_path(u->tree), e->size, sha256);
        }
        return layer_tree_end(u->tree, e, err);
}

static int feed_tar(struct unpacking *u, const uint8_t *data, size_t n, struct err *err)
{
        for (;;) {
                size_t used = 0;
                int event = tar_next(u->tar, data, n, &used, err), r = 0;

                if (event < 0)
                        return event;
                if (event == TAR_DATA)
                        r = on_data(u, data, used, err);
                else
                        layer_index_raw(u->index, data, used);
                if (event == TAR_ENTRY)
                        r = on_entry(u, err);
                else if (event == TAR_ENTRY_END)
                        r = on_entry_end(u, err);
                if (r < 0)
                        return r;
                data += used;
                n -= used;
                if (event == TAR_NEED_MORE && n == 0)
                        return 0;
        }
}

/* ---- the bytes ---- */

static int feed(struct unpacking *u, size_t n, struct err *err)
{
        size_t at = 0;

        for (;;) {
                size_t used, out;
                int r = decompress_step(u->decompress, u->in + at, n - at, &used, u->out,
                                        sizeof u->out, &out, err);

                if (r < 0)
                        return r;
                at += used;
                if (out > 0) {
                        digest_add(u->diff_id, u->out, out);
                        u->unpacked_size += out;
                        r = feed_tar(u, u->out, out, err);
                        if (r < 0)
                                return r;
                }
                if (used == 0 && out == 0)
                        return 0;
        }
}

static int read_all(struct unpacking *u, struct err *err)
{
        for (;;) {
                ssize_t n = read(u->job->input_fd, u->in, sizeof u->in);
                int r;

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return err_sys(err, -errno, "read layer");
                if (n == 0)
                        return 0;
                u->size += (uint64_t)n;
                if (u->size > u->job->size)
                        return err_set_kind(err, -EINVAL, ERR_IMAGE_VERIFY,
                                            "more than the %llu bytes that the manifest says",
                                            (unsigned long long)u->job->size);
                digest_add(u->digest, u->in, (size_t)n);
                r = feed(u, (size_t)n, err);
                if (r < 0)
                        return r;
        }
}

static int differs(struct err *err, const char *what, const char *is, const char *wanted)
{
        return err_set_kind(err, -EINVAL, ERR_IMAGE_VERIFY, "%s is %s, expected %s", what, is,
                            wanted);
}

/* What was promised is checked last: the digest tells more than a stream cut short. */
static int check(struct unpacking *u, struct err *err)
{
        const struct layer_job *job = u->job;
        const char *text;

        if (job->size != UINT64_MAX && u->size < job->size)
                return err_set_kind(err, -EPIPE, ERR_IMAGE_VERIFY, "ended after %llu of %llu bytes",
                                    (unsigned long long)u->size, (unsigned long long)job->size);
        text = digest_text(u->digest);
        if (job->digest && strcmp(text, job->digest) != 0)
                return differs(err, "digest", text, job->digest);
        text = digest_text(u->diff_id);
        if (strcmp(text, job->diff_id) != 0)
                return differs(err, "diff id", text, job->diff_id);
        return 0;
}

int layer_unpack(const struct layer_job *job, struct layer_result *ret, struct err *err)
{
        _cleanup_(unpacking_freep)
        struct unpacking *u = unpacking_new(job);
        struct layer_tree_result tree;
        int r;

        if (!u)
                return err_sys(err, -ENOMEM, "unpack layer");
        r = read_all(u, err);
        if (r == 0)
                r = check(u, err);
        if (r == 0)
                r = decompress_finish(u->decompress, err);
        if (r == 0)
                r = tar_finish(u->tar, err);
        if (r < 0)
                return r;
        tree = layer_tree_result(u->tree);
        r = layer_index_end(u->index, tree.n_replaced, err);
        if (r < 0)
                return r;
        *ret = (struct layer_result){ .size = u->size,
                                      .unpacked_size = u->unpacked_size,
                                      .tree = tree };
        return 0;
}
