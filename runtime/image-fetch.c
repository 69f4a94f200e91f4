#include "runtime/image-fetch.h"

#include <errno.h>
#include <string.h>

#include "base/fs.h"
#include "base/text.h"
#include "runtime/image-wire.h"
#include "runtime/registry.h"

#define PROGRESS_USEC (USEC_PER_SEC / 2)

static int lost(struct err *err, int r)
{
        return err_sys(err, r < 0 ? r : -EPIPE, "speak to the supervisor");
}

int fetch_want_layer(int wire_fd, size_t index, size_t n_layers, const struct manifest_layer *layer,
                     const char *digest, const char *diff_id, int *ret_fd, struct err *err)
{
        struct wire_message m = {
                .type = WIRE_WANT,
                .index = (uint32_t)index,
                .of = (uint32_t)n_layers,
                .size = layer->size,
                .compression = (uint32_t)layer->compression,
        };
        int fds[WIRE_FDS_MAX], r;

        snprintf(m.digest, sizeof m.digest, "%s", digest ? digest : "");
        snprintf(m.diff_id, sizeof m.diff_id, "%s", diff_id);
        r = wire_send(wire_fd, &m, NULL, 0);
        if (r < 0)
                return lost(err, r);
        r = wire_receive(wire_fd, &m, fds);
        if (r <= 0 || (m.type == WIRE_PIPE && fds[0] < 0))
                return lost(err, r);
        *ret_fd = TAKE_FD(fds[0]);
        wire_close_fds(fds);
        return m.type == WIRE_PIPE;
}

int fetch_send_image(int wire_fd, const struct image_event_image *image, const char *manifest,
                     size_t manifest_len, const char *config, size_t config_len, struct err *err)
{
        struct wire_message m = { .type = WIRE_IMAGE };
        json_auto_t *root = image_event_image_to_json(image);
        _cleanup_free_ char *text = root ? json_dumps(root, JSON_COMPACT) : NULL;
        int fds[WIRE_FDS_MAX] = { -1, -1, -1 }, r;

        if (!text)
                return err_sys(err, -ENOMEM, "describe the image");
        fds[0] = fs_sealed_memfd("image", text, strlen(text));
        fds[1] = fs_sealed_memfd("manifest", manifest ? manifest : "", manifest_len);
        fds[2] = fs_sealed_memfd("config", config, config_len);
        r = fds[0] < 0 || fds[1] < 0 || fds[2] < 0 ? -ENOMEM : wire_send(wire_fd, &m, fds, 3);
        wire_close_fds(fds);
        return r < 0 ? err_sys(err, r, "describe the image") : 0;
}

/* ---- one pull ---- */

struct pull {
        const struct image_job *job; /* borrowed */
        struct registry *registry;
        int wire_fd;
        struct manifest manifest;
        struct registry_document manifest_text, config_text;
        struct image_config config;
        char *index_digest; /* owned; NULL: there was none */

        struct flight { /* layers on their way */
                struct registry_transfer *transfer;
                struct pull *pull;
                size_t index;
                usec_t told_at;
        } flights[MANIFEST_LAYERS_MAX];
        size_t n_active;
        int failure; /* the first */
        struct err err;
};

static struct pull *pull_free(struct pull *p)
{
        if (!p)
                return NULL;
        registry_free(p->registry);
        manifest_done(&p->manifest);
        registry_document_done(&p->manifest_text);
        registry_document_done(&p->config_text);
        image_config_done(&p->config);
        free(p->index_digest);
        err_done(&p->err);
        free(p);
        return NULL;
}
DEFINE_CLEANUP(struct pull *, pull_free)

static bool is_known(const struct pull *p, const char *digest)
{
        return strv_contains(p->job->known_manifests, digest);
}

static int send_present(struct pull *p, const char *digest, struct err *err)
{
        struct wire_message m = { .type = WIRE_PRESENT,
                                  .index = (uint32_t)(registry_auth_index(p->registry) + 1) };
        int r;

        snprintf(m.digest, sizeof m.digest, "%s", digest);
        snprintf(m.index_digest, sizeof m.index_digest, "%s",
                 p->index_digest ? p->index_digest : "");
        r = wire_send(p->wire_fd, &m, NULL, 0);
        return r < 0 ? lost(err, r) : 1;
}

/* A HEAD request tells whether a tag still leads to what is here; registries do not count it. */
static int ask_whether_known(struct pull *p, struct err *err)
{
        _cleanup_free_ char *digest = NULL;
        int r;

        if (!p->job->tag || strv_len(p->job->known_manifests) == 0)
                return 0;
        r = registry_resolve(p->registry, p->job->tag, &digest, err);
        if (r < 0)
                return r;
        return digest && is_known(p, digest) ? send_present(p, digest, err) : 0;
}

/* From the reference down to an image manifest, through indexes. 1: it is here already. */
static int find_manifest(struct pull *p, struct err *err)
{
        _cleanup_free_ char *reference = strdup(p->job->tag ? p->job->tag : p->job->digest);
        _cleanup_free_ char *expected = NULL;
        struct platform platform = platform_here();
        uint64_t size = 0;

        for (int depth = 0; reference && depth <= INDEX_DEPTH_MAX; depth++) {
                const struct manifest_entry *e;
                int r;

                registry_document_done(&p->manifest_text);
                manifest_done(&p->manifest);
                r = registry_manifest(p->registry, reference, size, &p->manifest_text, err);
                if (r < 0)
                        return r;
                if (is_known(p, p->manifest_text.digest))
                        return send_present(p, p->manifest_text.digest, err);
                r = manifest_parse(p->manifest_text.text, p->manifest_text.n,
                                   p->manifest_text.content_type, expected, &p->manifest, err);
                if (r < 0)
                        return err_wrap(err, r, "manifest '%s'", reference);
                if (p->manifest.kind == MANIFEST_IMAGE)
                        return 0;
                if (depth == 0 && free_and_strdup(&p->index_digest, p->manifest_text.digest) < 0)
                        break;
                e = manifest_pick(&p->manifest, &platform, err);
                if (!e)
                        return err_wrap(err, -ENOENT, "index '%s'", reference);
                size = e->size;
                if (free_and_strdup(&reference, e->digest) < 0 ||
                    free_and_strdup(&expected, e->media_type) < 0)
                        break;
                if (depth == INDEX_DEPTH_MAX)
                        return err_set_kind(err, -ELOOP, ERR_BAD_INPUT,
                                            "more than %d indexes in one another", INDEX_DEPTH_MAX);
        }
        return err_sys(err, -ENOMEM, "find the manifest");
}

static int find_config(struct pull *p, struct err *err)
{
        struct platform platform = platform_here();
        int r = registry_blob(p->registry, p->manifest.config_digest, p->manifest.config_size,
                              &p->config_text, err);

        if (r < 0)
                return r;
        r = image_config_parse(p->config_text.text, p->config_text.n, &p->config, err);
        if (r == 0)
                r = image_config_check(&p->config, &p->manifest, &platform, err);
        return r < 0 ? err_wrap(err, r, "config '%s'", p->manifest.config_digest) : 0;
}

/* ---- layers ---- */

static void on_transferred(_unused_ struct registry_transfer *t, int r, const struct err *err,
                           void *userdata)
{
        struct flight *f = userdata;
        struct pull *p = f->pull;

        f->transfer = NULL;
        p->n_active--;
        if (r == 0 || p->failure < 0)
                return;
        p->failure = r;
        err_set_kind(&p->err, r, err ? err->kind : ERR_OTHER, "layer '%s': %s",
                     p->manifest.layers[f->index].digest, err ? err_text(err) : strerror(-r));
}

static void tell_progress(struct pull *p)
{
        usec_t now = now_monotonic();

        for (size_t i = 0; i < p->manifest.n_layers; i++) {
                struct flight *f = &p->flights[i];
                struct wire_message m = {
                        .type = WIRE_PROGRESS,
                        .index = (uint32_t)i,
                        .of = (uint32_t)p->manifest.n_layers,
                        .size = p->manifest.layers[i].size,
                };

                if (!f->transfer || now < f->told_at + PROGRESS_USEC)
                        continue;
                m.bytes = registry_transfer_bytes(f->transfer);
                f->told_at = now;
                (void)wire_send(p->wire_fd, &m, NULL, 0); /* news; the end is noticed elsewhere */
        }
}

static int go_on(struct pull *p, struct err *err)
{
        int r = registry_run(p->registry, -1, 500, err);

        tell_progress(p);
        if (r == 0 && p->failure < 0) {
                r = p->failure;
                err_move(err, &p->err);
        }
        return r;
}

static int start_layer(struct pull *p, size_t i, struct err *err)
{
        const struct manifest_layer *layer = &p->manifest.layers[i];
        struct flight *f = &p->flights[i];
        struct registry_transfer_events events = { .done = on_transferred, .userdata = f };
        int fd = -1, r;

        r = fetch_want_layer(p->wire_fd, i, p->manifest.n_layers, layer, layer->digest,
                             p->config.diff_ids[i], &fd, err);
        if (r <= 0)
                return r;
        *f = (struct flight){ .pull = p, .index = i, .told_at = now_monotonic() };
        p->n_active++;
        r = registry_transfer(p->registry, layer->digest, layer->size, fd, &events, &f->transfer,
                              err);
        if (r < 0)
                p->n_active--;
        return r;
}

static int fetch_layers(struct pull *p, struct err *err)
{
        int r = 0;

        for (size_t i = 0; r >= 0 && i < p->manifest.n_layers; i++) {
                while (r >= 0 && p->n_active >= p->job->parallel_layers)
                        r = go_on(p, err);
                if (r >= 0)
                        r = start_layer(p, i, err);
        }
        while (r >= 0 && p->n_active > 0)
                r = go_on(p, err);
        return r < 0 ? r : 0;
}

/* Hands over what the config says, and its digests. */
static int describe(struct pull *p, struct err *err)
{
        struct image_event_image image = {
                .id = p->manifest.config_digest,
                .manifest_digest = p->manifest_text.digest,
                .index_digest = p->index_digest,
                .media_type = p->manifest.media_type,
                .diff_ids = p->config.diff_ids,
                .auth_index = registry_auth_index(p->registry),
                .config = p->config,
        };

        return fetch_send_image(p->wire_fd, &image, p->manifest_text.text, p->manifest_text.n,
                                p->config_text.text, p->config_text.n, err);
}

int image_fetch_pull(const struct image_job *job, int wire_fd, struct err *err)
{
        _cleanup_(pull_freep)
        struct pull *p = calloc(1, sizeof *p);
        struct wire_message done = { .type = WIRE_DONE };
        int r;

        if (!p)
                return err_sys(err, -ENOMEM, "pull");
        p->job = job;
        p->wire_fd = wire_fd;
        r = registry_new(job, &p->registry, err);
        if (r == 0)
                r = ask_whether_known(p, err);
        if (r == 0)
                r = find_manifest(p, err);
        if (r == 0) {
                r = find_config(p, err);
                if (r == 0)
                        r = fetch_layers(p, err);
                if (r == 0)
                        r = describe(p, err);
        }
        if (r < 0)
                return r;
        r = wire_send(wire_fd, &done, NULL, 0);
        return r < 0 ? lost(err, r) : 0;
}
