#include "runtime/image-check.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/fs.h"
#include "base/tar-write.h"
#include "base/text.h"
#include "runtime/digest.h"
#include "runtime/layer.h"

enum { DOCUMENT_MAX = 16 << 20 };
#define MEDIA "application/vnd.oci.image."

/* ---- one layer ---- */

struct sink {
        struct digest *digest; /* owned; NULL: nobody asks */
        int fd;                /* borrowed; -1: nowhere */
        uint64_t bytes;
};

static int on_bytes(const void *data, size_t n, void *userdata)
{
        struct sink *s = userdata;

        digest_add(s->digest, data, n);
        s->bytes += n;
        return s->fd < 0 ? 0 : fs_write_all(s->fd, data, n);
}

/* The archive of a layer, to the last byte; -EINVAL (ERR_IMAGE_VERIFY) when it is another one. */
static int read_layer(const struct image_job_layer *l, int fd, uint64_t *ret_bytes, struct err *err)
{
        _cleanup_close_ int root = fs_open_beneath(IMAGE_LAYERS_FD, l->name, O_RDONLY | O_DIRECTORY,
                                                   0),
                            index = fs_open_beneath(IMAGE_INDEX_FD, l->name, O_RDONLY, 0);
        _cleanup_(digest_freep)
        struct digest *digest = digest_new(l->diff_id);
        struct sink s = { .digest = digest, .fd = fd };
        int r;

        if (!digest)
                return err_sys(err, -ENOMEM, "read a layer");
        if (root < 0 || index < 0)
                return err_set_kind(err, -EINVAL, ERR_IMAGE_VERIFY, "its %s is missing",
                                    root < 0 ? "tree" : "index");
        r = layer_export(root, index, on_bytes, &s, err);
        *ret_bytes = s.bytes;
        if (r == 0 && !streq(digest_text(digest), l->diff_id))
                r = err_set_kind(err, -EINVAL, ERR_IMAGE_VERIFY,
                                 "its index is not what it was: the archive has another digest");
        return r;
}

/* ---- documents ---- */

/* @ret: owned. */
static int read_document(const char *digest, char **ret, size_t *ret_len, struct err *err)
{
        _cleanup_free_ char *text = NULL, *name = strdup(digest);
        _cleanup_(digest_freep)
        struct digest *d = digest_new(digest);
        char *colon = name ? strchr(name, ':') : NULL;
        size_t n = 0;
        int r;

        if (!d || !colon)
                return err_sys(err, -ENOMEM, "read a document");
        *colon = '-';
        r = fs_read_at(IMAGE_DIR_FD, name, DOCUMENT_MAX, &text, &n);
        if (r == -ENOENT)
                return err_set_kind(err, -EINVAL, ERR_IMAGE_VERIFY, "it is missing");
        if (r < 0)
                return err_sys(err, r, "read it");
        digest_add(d, text, n);
        if (!streq(digest_text(d), digest))
                return err_set_kind(err, -EINVAL, ERR_IMAGE_VERIFY, "it has changed");
        *ret = TAKE_PTR(text);
        *ret_len = n;
        return 0;
}

/* ---- checking ---- */

static int report(const char *kind, const char *digest, int r, uint64_t bytes, const struct err *e)
{
        json_auto_t *o =
                json_pack("{s:s, s:s, s:s, s:I, s:s*}", "digest", digest, "kind", kind, "state",
                          r == 0          ? "ok"
                          : r == -ENOTSUP ? "unknown"
                                          : "damaged",
                          "bytes", (json_int_t)bytes, "problem", r < 0 ? err_text(e) : NULL);
        _cleanup_free_ char *text = o ? json_dumps(o, JSON_COMPACT) : NULL,
                            *line = text ? text_printf("%s\n", text) : NULL;

        return line ? fs_write_all(IMAGE_ARCHIVE_FD, line, strlen(line)) : -ENOMEM;
}

int image_check(const struct image_job *job, struct err *err)
{
        int r = 0;

        STRV_FOREACH (digest, job->known_manifests) {
                _cleanup_err_ struct err found = { 0 };
                _cleanup_free_ char *text = NULL;
                size_t n = 0;

                r = read_document(*digest, &text, &n, &found);
                r = report("document", *digest, r, n, &found);
                if (r < 0)
                        return err_sys(err, r, "report");
        }
        for (size_t i = 0; i < job->n_layers; i++) {
                const struct image_job_layer *l = &job->layers[i];
                _cleanup_err_ struct err found = { 0 };
                uint64_t bytes = 0;

                r = read_layer(l, -1, &bytes, &found);
                r = report("layer", l->diff_id, r, bytes, &found);
                if (r < 0)
                        return err_sys(err, r, "report");
        }
        return 0;
}

/* ---- exporting ---- */

static int put(struct strbuf *b, struct err *err)
{
        int r = b->failed ? -ENOMEM : fs_write_all(IMAGE_ARCHIVE_FD, b->data, b->len);

        b->len = 0;
        return r < 0 ? err_sys(err, r, "write the archive") : 0;
}

static void add_header(struct strbuf *b, const char *name, uint64_t size)
{
        tar_write_header(b, &(struct tar_entry){
                                    .type = TAR_FILE, .name = name, .size = size, .mode = 0444 });
}

/* "blobs/sha256/…" of a digest. */
static void blob_path(const char *digest, char out[static DIGEST_TEXT_MAX + 8])
{
        snprintf(out, DIGEST_TEXT_MAX + 8, "blobs/%s", digest);
        *strchr(out, ':') = '/';
}

static int put_file(const char *name, const char *data, size_t n, struct err *err)
{
        _cleanup_strbuf_ struct strbuf b = { 0 };

        add_header(&b, name, n);
        strbuf_add_n(&b, data, n);
        tar_write_padding(&b, n);
        return put(&b, err);
}

static int put_blob(const char *digest, const char *data, size_t n, struct err *err)
{
        char path[DIGEST_TEXT_MAX + 8];

        blob_path(digest, path);
        return put_file(path, data, n, err);
}

static int put_layer(const struct image_job_layer *l, struct err *err)
{
        _cleanup_strbuf_ struct strbuf b = { 0 };
        char path[DIGEST_TEXT_MAX + 8];
        uint64_t bytes = 0;
        int r;

        blob_path(l->diff_id, path);
        add_header(&b, path, l->size);
        r = put(&b, err);
        if (r == 0)
                r = read_layer(l, IMAGE_ARCHIVE_FD, &bytes, err);
        if (r == 0 && bytes != l->size)
                r = err_set_kind(err, -EINVAL, ERR_IMAGE_VERIFY, "it is not as long as it was");
        if (r < 0)
                return err_wrap(err, r, "layer '%.19s…'", l->diff_id);
        tar_write_padding(&b, l->size);
        return put(&b, err);
}

/* An archive has each layer once, an image may have it twice. */
static bool is_first(const struct image_job *job, size_t i)
{
        for (size_t k = 0; k < i; k++)
                if (streq(job->layers[k].diff_id, job->layers[i].diff_id))
                        return false;
        return true;
}

static json_t *descriptor(const char *media_type, const char *digest, uint64_t size)
{
        return json_pack("{s:s, s:s, s:I}", "mediaType", media_type, "digest", digest, "size",
                         (json_int_t)size);
}

static char *make_manifest(const struct image_job *job, size_t config_size)
{
        json_t *layers = json_array();
        json_auto_t *m = NULL;

        for (size_t i = 0; i < job->n_layers; i++)
                json_array_append_new(layers,
                                      descriptor(MEDIA "layer.v1.tar", job->layers[i].diff_id,
                                                 job->layers[i].size));
        m = json_pack("{s:i, s:s, s:o, s:o}", "schemaVersion", 2, "mediaType",
                      MEDIA "manifest.v1+json", "config",
                      descriptor(MEDIA "config.v1+json", job->digest, config_size), "layers",
                      layers);
        return m ? json_dumps(m, JSON_COMPACT) : NULL;
}

static char *make_index(const struct image_job *job, const char *digest, size_t size)
{
        json_t *d = descriptor(MEDIA "manifest.v1+json", digest, size);
        json_auto_t *index = NULL;

        if (job->name)
                json_object_set_new(d, "annotations",
                                    json_pack("{s:s, s:s*}", "io.containerd.image.name", job->name,
                                              "org.opencontainers.image.ref.name", job->tag));
        index = json_pack("{s:i, s:s, s:[o]}", "schemaVersion", 2, "mediaType",
                          MEDIA "index.v1+json", "manifests", d);
        return index ? json_dumps(index, JSON_COMPACT) : NULL;
}

static int put_documents(const struct image_job *job, const char *config, size_t n, struct err *err)
{
        _cleanup_free_ char *manifest = make_manifest(job, n), *index = NULL;
        _cleanup_(digest_freep)
        struct digest *d = digest_new("sha256:");
        const char *digest;
        int r;

        if (!manifest || !d)
                return err_sys(err, -ENOMEM, "write the manifest");
        digest_add(d, manifest, strlen(manifest));
        digest = digest_text(d);
        index = make_index(job, digest, strlen(manifest));
        if (!index)
                return err_sys(err, -ENOMEM, "write the index");
        r = put_blob(job->digest, config, n, err);
        if (r == 0)
                r = put_blob(digest, manifest, strlen(manifest), err);
        return r == 0 ? put_file("index.json", index, strlen(index), err) : r;
}

int image_export_archive(const struct image_job *job, struct err *err)
{
        static const char layout[] = "{\"imageLayoutVersion\":\"1.0.0\"}";
        _cleanup_strbuf_ struct strbuf end = { 0 };
        _cleanup_free_ char *config = NULL;
        size_t n = 0;
        int r = read_document(job->digest, &config, &n, err);

        if (r < 0)
                return err_wrap(err, r, "the image's config");
        r = put_file("oci-layout", layout, strlen(layout), err);
        for (size_t i = 0; r == 0 && i < job->n_layers; i++)
                if (is_first(job, i))
                        r = put_layer(&job->layers[i], err);
        if (r == 0)
                r = put_documents(job, config, n, err);
        if (r < 0)
                return r;
        tar_write_end(&end);
        return put(&end, err);
}
