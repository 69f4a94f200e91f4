/*
 * Images out of an archive. An OCI layout (oci-layout, index.json) is preferred to what docker save
 * writes (manifest.json) when both are there, since it has the manifests as they were pushed.
 */
#include <errno.h>
#include <string.h>

#include "base/json.h"
#include "base/text.h"
#include "runtime/digest.h"
#include "runtime/image-archive.h"
#include "runtime/image-fetch.h"
#include "runtime/image-wire.h"

enum { IMAGES_MAX = 256, CHUNK = 256 << 10 };

struct import {
        int wire_fd; /* borrowed */
        struct image_archive *archive;
        size_t n_images;
        char chunk[CHUNK];
};

/* ---- layers ---- */

/* All of a file into a pipe. */
static int pour(struct import *im, const struct archive_file *f, int pipe_fd, struct err *err)
{
        for (uint64_t at = 0; at < f->size;) {
                ssize_t n = image_archive_pread(im->archive, f, im->chunk, CHUNK, at);
                size_t done = 0;

                if (n < 0)
                        return err_sys(err, (int)n, "archive: read a layer");
                while (done < (size_t)n) {
                        ssize_t k = write(pipe_fd, im->chunk + done, (size_t)n - done);

                        if (k < 0 && errno == EINTR)
                                continue;
                        if (k < 0)
                                return err_sys(err, -errno, "hand on a layer");
                        done += (size_t)k;
                }
                at += (uint64_t)n;
        }
        return 0;
}

static int send_layer(struct import *im, size_t index, size_t n_layers,
                      const struct manifest_layer *layer, const struct archive_file *f,
                      const char *diff_id, struct err *err)
{
        _cleanup_close_ int pipe_fd = -1;
        int r = fetch_want_layer(im->wire_fd, index, n_layers, layer, layer->digest, diff_id,
                                 &pipe_fd, err);

        return r <= 0 ? r : pour(im, f, pipe_fd, err);
}

/* ---- OCI layouts ---- */

static void blob_name(const char *digest, char out[static DIGEST_TEXT_MAX + 8])
{
        int n = (int)strcspn(digest, ":");

        snprintf(out, DIGEST_TEXT_MAX + 8, "blobs/%.*s/%s", n, digest, digest + n + 1);
}

/* A document by its digest, checked. */
static int read_blob(struct import *im, const char *digest, uint64_t size, char **ret,
                     size_t *ret_n, struct err *err)
{
        _cleanup_(digest_freep)
        struct digest *d = digest_new(digest);
        _cleanup_free_ char *text = NULL;
        char name[DIGEST_TEXT_MAX + 8];
        int r;

        blob_name(digest, name);
        r = image_archive_read(im->archive, name, MANIFEST_SIZE_MAX, &text, ret_n, err);
        if (r < 0 || !d)
                return r < 0 ? r : err_sys(err, -ENOMEM, "check digest");
        digest_add(d, text, *ret_n);
        if (*ret_n != size || !streq(digest_text(d), digest))
                return err_set_kind(err, -EINVAL, ERR_IMAGE_VERIFY,
                                    "archive: '%s' is not what its name and size say", name);
        *ret = TAKE_PTR(text);
        return 0;
}

static int send_blob_layers(struct import *im, const struct manifest *m,
                            const struct image_config *c, struct err *err)
{
        int r = 0;

        for (size_t i = 0; r == 0 && i < m->n_layers; i++) {
                char name[DIGEST_TEXT_MAX + 8];
                struct archive_file f;

                blob_name(m->layers[i].digest, name);
                r = image_archive_find(im->archive, name, &f, err);
                if (r == 0 && f.size != m->layers[i].size)
                        r = err_set_kind(err, -EINVAL, ERR_IMAGE_VERIFY,
                                         "archive: '%s' has %llu bytes, the manifest says %llu",
                                         name, (unsigned long long)f.size,
                                         (unsigned long long)m->layers[i].size);
                if (r == 0)
                        r = send_layer(im, i, m->n_layers, &m->layers[i], &f, c->diff_ids[i], err);
        }
        return r;
}

static int import_manifest(struct import *im, const struct manifest *m, const char *digest,
                           const char *text, size_t n, const char *index_digest, char **names,
                           struct err *err)
{
        _cleanup_image_config_ struct image_config c = { 0 };
        _cleanup_free_ char *config = NULL;
        struct platform platform = platform_here();
        struct image_event_image image;
        size_t config_len;
        int r = read_blob(im, m->config_digest, m->config_size, &config, &config_len, err);

        if (r == 0)
                r = image_config_parse(config, config_len, &c, err);
        if (r == 0)
                r = image_config_check(&c, m, &platform, err);
        if (r == 0)
                r = send_blob_layers(im, m, &c, err);
        if (r < 0)
                return r;
        image = (struct image_event_image){
                .id = m->config_digest,
                .manifest_digest = (char *)digest,
                .index_digest = (char *)index_digest,
                .media_type = m->media_type,
                .names = names,
                .diff_ids = c.diff_ids,
                .auth_index = -1,
                .config = c,
        };
        im->n_images++;
        return fetch_send_image(im->wire_fd, &image, text, n, config, config_len, err);
}

/* An entry of index.json: an image, or an index with one of this platform in it. */
static int import_entry(struct import *im, const struct manifest_entry *entry, char **names,
                        struct err *err)
{
        struct platform platform = platform_here();
        _cleanup_free_ char *digest = strdup(entry->digest), *type = strdup(entry->media_type);
        uint64_t size = entry->size;

        for (int depth = 0; digest && type && depth <= INDEX_DEPTH_MAX; depth++) {
                _cleanup_manifest_ struct manifest m = { 0 };
                _cleanup_free_ char *text = NULL;
                const struct manifest_entry *e;
                size_t n;
                int r = read_blob(im, digest, size, &text, &n, err);

                if (r == 0)
                        r = manifest_parse(text, n, NULL, type, &m, err);
                if (r < 0)
                        return err_wrap(err, r, "manifest '%s'", digest);
                if (m.kind == MANIFEST_IMAGE)
                        return import_manifest(im, &m, digest, text, n,
                                               depth > 0 ? entry->digest : NULL, names, err);
                e = manifest_pick(&m, &platform, err);
                if (!e)
                        return err_wrap(err, -ENOENT, "index '%s'", digest);
                size = e->size;
                if (free_and_strdup(&digest, e->digest) < 0 ||
                    free_and_strdup(&type, e->media_type) < 0)
                        break;
                if (depth == INDEX_DEPTH_MAX)
                        return err_set_kind(err, -ELOOP, ERR_BAD_INPUT,
                                            "more than %d indexes in one another", INDEX_DEPTH_MAX);
        }
        return err_sys(err, -ENOMEM, "import");
}

/* What tools write beside an entry: a whole reference, or a tag alone (which names nothing). */
static int entry_names(const json_t *root, const char *digest, char ***ret)
{
        const json_t *entries = json_object_get(root, "manifests"), *e;
        size_t i;

        json_array_foreach ((json_t *)entries, i, e) {
                const json_t *a = json_object_get(e, "annotations");
                const char *name = json_text_at(a, "io.containerd.image.name"),
                           *own = json_text_at(e, "digest");

                if (!name)
                        name = json_text_at(a, "org.opencontainers.image.ref.name");
                if (!own || !streq(own, digest) || !name || !strpbrk(name, "/:"))
                        continue;
                if (strv_append(ret, name) < 0)
                        return -ENOMEM;
        }
        return 0;
}

static bool seen_before(const struct manifest *m, size_t i)
{
        for (size_t k = 0; k < i; k++)
                if (streq(m->entries[k].digest, m->entries[i].digest))
                        return true;
        return false;
}

/* Is it for another platform, by its own words? */
static bool is_foreign(const struct manifest_entry *e)
{
        struct platform p = platform_here();

        return (e->os && !streq(e->os, p.os)) ||
               (e->architecture && !streq(e->architecture, p.architecture));
}

static int import_layout(struct import *im, struct err *err)
{
        _cleanup_manifest_ struct manifest m = { 0 };
        _cleanup_free_ char *text = NULL;
        json_auto_t *root = NULL;
        size_t n;
        int r = image_archive_read(im->archive, "index.json", MANIFEST_SIZE_MAX, &text, &n, err);

        if (r == 0)
                r = strict_json_parse(text, n, &root, err);
        if (r == 0)
                r = manifest_parse(text, n, NULL, "application/vnd.oci.image.index.v1+json", &m,
                                   err);
        if (r < 0)
                return err_wrap(err, r, "archive: index.json");
        for (size_t i = 0; r == 0 && i < m.n_entries; i++) {
                _cleanup_strv_ char **names = NULL;

                if (is_foreign(&m.entries[i]) || seen_before(&m, i))
                        continue;
                r = entry_names(root, m.entries[i].digest, &names);
                if (r < 0)
                        return err_sys(err, r, "import");
                r = import_entry(im, &m.entries[i], names, err);
        }
        return r;
}

/* ---- what docker save writes ---- */

struct saved {
        char *config;
        char **repo_tags, **layers;
};
static const struct json_field saved_fields[] = { /* clang-format off */
        { "Config",   decode_string, offsetof(struct saved, config),    JSON_REQUIRED },
        { "RepoTags", decode_strv,   offsetof(struct saved, repo_tags), JSON_OPTIONAL },
        { "Layers",   decode_strv,   offsetof(struct saved, layers),    JSON_REQUIRED },
        {}
}; /* clang-format on */

static void saved_done(struct saved *s)
{
        free(s->config);
        strv_free(s->repo_tags);
        strv_free(s->layers);
}

/* There is no media type to say it; what comes out is checked against the diff id in any case. */
static int sniff(struct import *im, const struct archive_file *f, enum compression *ret)
{
        uint8_t magic[4] = { 0 };
        ssize_t n = image_archive_pread(im->archive, f, magic, sizeof magic, 0);

        if (n < 0)
                return (int)n;
        *ret = magic[0] == 0x1f && magic[1] == 0x8b        ? COMPRESSION_GZIP
               : memcmp(magic, "\x28\xb5\x2f\xfd", 4) == 0 ? COMPRESSION_ZSTD
                                                           : COMPRESSION_NONE;
        return 0;
}

static int send_saved_layers(struct import *im, char *const *layers, char *const *diff_ids,
                             struct err *err)
{
        size_t n = strv_len(layers);
        int r = 0;

        for (size_t i = 0; r == 0 && i < n; i++) {
                struct manifest_layer layer = { 0 };
                struct archive_file f;

                r = image_archive_find(im->archive, layers[i], &f, err);
                if (r < 0)
                        break;
                layer.size = f.size;
                r = sniff(im, &f, &layer.compression);
                if (r < 0)
                        return err_sys(err, r, "archive: read '%s'", layers[i]);
                r = send_layer(im, i, n, &layer, &f, diff_ids[i], err);
        }
        return r;
}

static int import_saved(struct import *im, const struct saved *s, struct err *err)
{
        _cleanup_image_config_ struct image_config c = { 0 };
        _cleanup_(digest_freep)
        struct digest *d = digest_new("sha256:");
        _cleanup_free_ char *config = NULL;
        struct manifest counted = { .n_layers = strv_len(s->layers) };
        struct platform platform = platform_here();
        struct image_event_image image;
        size_t n;
        int r = image_archive_read(im->archive, s->config, MANIFEST_SIZE_MAX, &config, &n, err);

        if (r == 0)
                r = image_config_parse(config, n, &c, err);
        if (r == 0)
                r = image_config_check(&c, &counted, &platform, err);
        if (r == 0)
                r = send_saved_layers(im, s->layers, c.diff_ids, err);
        if (r < 0 || !d)
                return r < 0 ? err_wrap(err, r, "'%.128s'", s->config)
                             : err_sys(err, -ENOMEM, "import");
        digest_add(d, config, n);
        image = (struct image_event_image){
                .id = (char *)digest_text(d),
                .names = s->repo_tags,
                .diff_ids = c.diff_ids,
                .auth_index = -1,
                .config = c,
        };
        im->n_images++;
        return fetch_send_image(im->wire_fd, &image, NULL, 0, config, n, err);
}

static int import_docker(struct import *im, struct err *err)
{
        _cleanup_free_ char *text = NULL;
        json_auto_t *root = NULL;
        const json_t *e;
        size_t n, i;
        int r = image_archive_read(im->archive, "manifest.json", MANIFEST_SIZE_MAX, &text, &n, err);

        if (r == 0)
                r = strict_json_parse(text, n, &root, err);
        if (r == 0 && (!json_is_array(root) || json_array_size(root) > IMAGES_MAX))
                r = err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                 "expected an array of at most %d images", IMAGES_MAX);
        if (r < 0)
                return err_wrap(err, r, "archive: manifest.json");
        json_array_foreach (root, i, e) {
                struct saved s = { 0 };

                r = json_decode(e, saved_fields, &s, err);
                if (r == 0)
                        r = import_saved(im, &s, err);
                saved_done(&s);
                if (r < 0)
                        return err_wrap(err, r, "archive: manifest.json: [%zu]", i);
        }
        return 0;
}

int image_fetch_archive(int archive_fd, int wire_fd, struct err *err)
{
        _cleanup_free_ struct import *im = calloc(1, sizeof *im);
        _cleanup_(image_archive_freep)
        struct image_archive *archive = NULL;
        struct wire_message done = { .type = WIRE_DONE };
        struct archive_file f;
        int r;

        if (!im)
                return err_sys(err, -ENOMEM, "import");
        r = image_archive_open(archive_fd, &archive, err);
        if (r < 0)
                return r;
        im->wire_fd = wire_fd;
        im->archive = archive;
        if (image_archive_find(archive, "index.json", &f, NULL) == 0)
                r = import_layout(im, err);
        else if (image_archive_find(archive, "manifest.json", &f, NULL) == 0)
                r = import_docker(im, err);
        else
                r = err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                 "archive: neither an OCI layout (index.json) nor of docker save "
                                 "(manifest.json)");
        if (r == 0 && im->n_images == 0)
                r = err_set_kind(err, -ENOENT, ERR_BAD_INPUT,
                                 "archive: no image for this platform in it");
        if (r < 0)
                return r;
        r = wire_send(wire_fd, &done, NULL, 0);
        return r < 0 ? err_sys(err, r, "speak to the supervisor") : 0;
}
