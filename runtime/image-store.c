#include "runtime/image-store.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/text.h"
#include "runtime/digest.h"
#include "runtime/image-plan.h"
#include "runtime/image-pull.h"
#include "runtime/image-read.h"
#include "runtime/image-store-internal.h"

#define LOOSE_USEC (10 * USEC_PER_MINUTE)

/* ---- layers ---- */

struct layer *image_layer_free(struct layer *l)
{
        if (!l)
                return NULL;
        image_layer_event_done(&l->what);
        free(l->name);
        free(l);
        return NULL;
}

static void free_layer(void *l)
{
        image_layer_free(l);
}

char **image_chain_ids(char *const *diff_ids)
{
        _cleanup_strv_ char **chain = NULL;
        const char *below = NULL;

        STRV_FOREACH (diff_id, diff_ids) {
                _cleanup_(digest_freep)
                struct digest *d = NULL;

                if (!below) {
                        if (strv_append(&chain, *diff_id) < 0)
                                return NULL;
                        below = chain[0];
                        continue;
                }
                d = digest_new("sha256:");
                if (!d)
                        return NULL;
                digest_add(d, below, strlen(below));
                digest_add(d, " ", 1);
                digest_add(d, *diff_id, strlen(*diff_id));
                if (strv_append(&chain, digest_text(d)) < 0)
                        return NULL;
                below = chain[strv_len(chain) - 1];
        }
        return TAKE_PTR(chain);
}

struct layer *image_store_find_layer(const struct image_store *s, const char *diff_id,
                                     const char *chain_id)
{
        const char *name;
        struct layer *l;

        MAP_FOREACH (name, l, s->layers)
                if (streq(l->what.diff_id, diff_id) &&
                    (!l->what.chain_id || streq(l->what.chain_id, chain_id)))
                        return l;
        return NULL;
}

/* Short, since 256 of them must fit into one page of mount options. */
static char *make_name(struct image_store *s)
{
        char text[16], *p = text + sizeof text - 1;
        uint64_t n = s->next_name++;

        *p = '\0';
        do
                *--p = "0123456789abcdefghijklmnopqrstuvwxyz"[n % 36];
        while (n /= 36);
        return strdup(p);
}

static int on_loose_due(sd_event_source *source, uint64_t now, void *userdata);

static void watch_loose(struct image_store *s)
{
        int r;

        if (s->loose_source)
                return;
        r = sd_event_add_time_relative(s->event, &s->loose_source, CLOCK_MONOTONIC, LOOSE_USEC,
                                       USEC_PER_SEC, on_loose_due, s);
        if (r < 0)
                log_warn(r, "Cannot watch over layers that no image refers to");
}

static void drop_layer(struct image_store *s, struct layer *l)
{
        int r;

        image_store_forget_record(s, "layer", l->name);
        r = image_store_trash(s, s->layers_fd, l->name);
        if (r < 0)
                log_warn(r, "Failed to remove layer '%s', the next start will", l->name);
        unlinkat(s->index_fd, l->name, 0);
        map_remove(s->layers, l->name);
        image_layer_free(l);
}

static int on_loose_due(_unused_ sd_event_source *source, _unused_ uint64_t due, void *userdata)
{
        struct image_store *s = userdata;
        usec_t now = now_monotonic();
        _cleanup_strv_ char **names = map_keys(s->layers);
        bool left = false;

        s->loose_source = sd_event_source_disable_unref(s->loose_source);
        STRV_FOREACH (name, names) {
                struct layer *l = map_get(s->layers, *name);

                if (!l || l->n_images > 0)
                        continue;
                if (s->keeps_loose || now < l->loose_since + LOOSE_USEC)
                        left = true;
                else
                        drop_layer(s, l);
        }
        if (left && !s->keeps_loose)
                watch_loose(s);
        return 0;
}

int image_store_add_layer(struct image_store *s, int job_fd, const struct image_layer_event *event,
                          struct err *err)
{
        _cleanup_(image_layer_freep)
        struct layer *l = calloc(1, sizeof *l);
        _cleanup_free_ char *index = text_printf("%s.index", event->dir);
        int r;

        if (image_store_find_layer(s, event->diff_id, event->chain_id ? event->chain_id : ""))
                return 0; /* another pull was quicker */
        if (!l || !index || !(l->name = make_name(s)))
                return err_sys(err, -ENOMEM, "keep layer");
        l->what = *event;
        l->what.dir = NULL;
        l->what.diff_id = strdup(event->diff_id);
        l->what.digest = strdup_null(event->digest);
        l->what.chain_id = strdup_null(event->chain_id);
        if (!l->what.diff_id || (event->digest && !l->what.digest) ||
            (event->chain_id && !l->what.chain_id))
                return err_sys(err, -ENOMEM, "keep layer");
        if (renameat(job_fd, index, s->index_fd, l->name) < 0 ||
            renameat(job_fd, event->dir, s->layers_fd, l->name) < 0)
                return err_sys(err, -errno, "keep layer '%s'", event->diff_id);
        r = image_store_record_layer(s, l);
        if (r == 0)
                r = map_put(s->layers, l->name, l, NULL);
        if (r < 0) {
                image_store_trash(s, s->layers_fd, l->name);
                return err_sys(err, r, "record layer '%s'", event->diff_id);
        }
        l->loose_since = now_monotonic();
        watch_loose(s);
        TAKE_PTR(l);
        return 0;
}

/* ---- images ---- */

struct image *image_free(struct image *i)
{
        if (!i)
                return NULL;
        image_event_image_done(&i->what);
        free(i->layers);
        strv_free(i->repo_tags);
        strv_free(i->repo_digests);
        free(i);
        return NULL;
}

static void free_image(void *i)
{
        image_free(i);
}

void image_refresh_info(struct image *i)
{
        const struct image_config *c = &i->what.config;
        uint64_t size = 0;

        for (size_t k = 0; k < strv_len(i->what.diff_ids); k++)
                size += i->layers[k]->what.disk_bytes;
        i->info = (struct image_info){
                .id = i->what.id,
                .repo_tags = i->repo_tags,
                .repo_digests = i->repo_digests,
                .size = size,
                .pulled_at = i->pulled_at,
                .last_used_at = i->last_used_at,
                .n_users = i->holds,
                .entrypoint = c->entrypoint,
                .cmd = c->cmd,
                .env = c->env,
                .user = c->user,
                .working_dir = c->working_dir,
                .stop_signal = c->stop_signal,
        };
}

int image_bind_layers(struct image_store *s, struct image *i, struct err *err)
{
        _cleanup_strv_ char **chain = image_chain_ids(i->what.diff_ids);
        size_t n = strv_len(i->what.diff_ids);

        i->layers = calloc(n + 1, sizeof *i->layers);
        if (!chain || !i->layers)
                return err_sys(err, -ENOMEM, "look up layers");
        for (size_t k = 0; k < n; k++) {
                i->layers[k] = image_store_find_layer(s, i->what.diff_ids[k], chain[k]);
                if (!i->layers[k])
                        return err_set_kind(err, -ENOENT, ERR_IMAGE_NOT_PRESENT,
                                            "layer '%s' is missing", i->what.diff_ids[k]);
        }
        for (size_t k = 0; k < n; k++)
                i->layers[k]->n_images++;
        return 0;
}

void image_unbind_layers(struct image_store *s, struct image *i)
{
        for (size_t k = 0; k < strv_len(i->what.diff_ids); k++) {
                struct layer *l = i->layers[k];

                /* the same layer may be in an image twice; a job under way may count on it */
                if (--l->n_images > 0)
                        continue;
                if (list_is_empty(&s->pulls)) {
                        drop_layer(s, l);
                } else {
                        l->loose_since = now_monotonic();
                        watch_loose(s);
                }
        }
}

int image_index_names(struct image_store *s, struct image *i)
{
        int r = 0;

        STRV_FOREACH (name, i->repo_tags)
                r = r < 0 ? r : map_put(s->names, *name, i, NULL);
        STRV_FOREACH (name, i->repo_digests)
                r = r < 0 ? r : map_put(s->names, *name, i, NULL);
        return r;
}

struct image *image_store_find_manifest(const struct image_store *s, const char *digest)
{
        const char *id;
        struct image *i;

        MAP_FOREACH (id, i, s->images)
                if ((i->what.manifest_digest && streq(i->what.manifest_digest, digest)) ||
                    (i->what.index_digest && streq(i->what.index_digest, digest)))
                        return i;
        return NULL;
}

struct image *image_store_find(const struct image_store *s, const char *reference)
{
        _cleanup_image_ref_ struct image_ref ref = { 0 };
        _cleanup_free_ char *name = NULL;

        if (digest_is_valid(reference))
                return map_get(s->images, reference);
        if (is_hex_lower(reference, 64)) {
                name = text_printf("sha256:%s", reference);
                return name ? map_get(s->images, name) : NULL;
        }
        if (image_ref_parse(reference, &ref, NULL) < 0)
                return NULL;
        name = image_ref_format(&ref);
        return name ? map_get(s->names, name) : NULL;
}

static bool strv_remove(char **v, const char *text)
{
        size_t kept = 0;
        bool found = false;

        for (size_t i = 0; v && v[i]; i++) {
                char *e = v[i];

                v[i] = NULL;
                if (streq(e, text)) {
                        free(e);
                        found = true;
                } else {
                        v[kept++] = e;
                }
        }
        return found;
}

int image_store_name(struct image_store *s, struct image *image, const char *name, struct err *err)
{
        struct image *before = map_get(s->names, name);
        char ***list = strchr(name, '@') ? &image->repo_digests : &image->repo_tags;
        int r;

        if (before == image)
                return 0;
        r = strv_append(list, name);
        if (r == 0)
                r = map_put(s->names, name, image, NULL);
        if (r < 0)
                return err_sys(err, r, "name image '%s'", name);
        if (before) {
                strv_remove(before->repo_tags, name);
                strv_remove(before->repo_digests, name);
                image_refresh_info(before);
                r = image_store_record_image(s, before);
        }
        image_refresh_info(image);
        if (r == 0)
                r = image_store_record_image(s, image);
        image_store_tell(s);
        return r < 0 ? err_sys(err, r, "record image '%s'", name) : 0;
}

/* Moves a document in; one that is here already is the same. */
static int keep_document(struct image_store *s, int job_fd, const char *digest)
{
        char name[DIGEST_TEXT_MAX];

        image_document_name(digest, name);
        if (renameat(job_fd, name, s->documents_fd, name) == 0)
                return 0;
        return errno == ENOENT && faccessat(s->documents_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0
                       ? 0
                       : -errno;
}

void image_document_name(const char *digest, char out[static DIGEST_TEXT_MAX])
{
        snprintf(out, DIGEST_TEXT_MAX, "%s", digest);
        out[strcspn(out, ":")] = '-';
}

int image_store_add_image(struct image_store *s, int job_fd, struct image_event_image *what,
                          struct image **ret, struct err *err)
{
        _cleanup_(image_freep)
        struct image *i = NULL;
        struct image *present = map_get(s->images, what->id);
        bool new_manifest = !present || !present->what.manifest_digest;
        int r = keep_document(s, job_fd, what->id);

        /* a manifest digest by another algorithm than ours has a file of another name: optional */
        if (r == 0 && new_manifest && what->manifest_digest &&
            startswith(what->manifest_digest, "sha256:"))
                r = keep_document(s, job_fd, what->manifest_digest);
        if (r < 0)
                return err_sys(err, r, "keep the documents of image '%s'", what->id);
        if (present) {
                if (what->manifest_digest && new_manifest) {
                        present->what.manifest_digest = TAKE_PTR(what->manifest_digest);
                        present->what.media_type = TAKE_PTR(what->media_type);
                }
                if (what->index_digest && !present->what.index_digest)
                        present->what.index_digest = TAKE_PTR(what->index_digest);
                *ret = present;
                return 0;
        }
        i = calloc(1, sizeof *i);
        if (!i)
                return err_sys(err, -ENOMEM, "keep image");
        i->what = *what;
        *what = (struct image_event_image){ 0 };
        i->pulled_at = now_realtime();
        r = image_bind_layers(s, i, err);
        if (r < 0)
                return err_wrap(err, r, "image '%s'", i->what.id);
        image_refresh_info(i);
        r = map_put(s->images, i->what.id, i, NULL);
        if (r == 0)
                r = image_store_record_image(s, i);
        if (r < 0) {
                map_remove(s->images, i->what.id);
                for (size_t k = 0; k < strv_len(i->what.diff_ids); k++)
                        i->layers[k]->n_images--; /* loose again */
                return err_sys(err, r, "record image '%s'", i->what.id);
        }
        image_store_tell(s);
        *ret = TAKE_PTR(i);
        return 0;
}

/* ---- removing ---- */

static void forget_image(struct image_store *s, struct image *i)
{
        char name[DIGEST_TEXT_MAX];

        STRV_FOREACH (n, i->repo_tags)
                map_remove(s->names, *n);
        STRV_FOREACH (n, i->repo_digests)
                map_remove(s->names, *n);
        /* the record first: what is left without one the next start takes away */
        image_store_forget_record(s, "image", strchr(i->what.id, ':') + 1);
        map_remove(s->images, i->what.id);
        image_document_name(i->what.id, name);
        unlinkat(s->documents_fd, name, 0);
        if (i->what.manifest_digest && !image_store_find_manifest(s, i->what.manifest_digest)) {
                image_document_name(i->what.manifest_digest, name);
                unlinkat(s->documents_fd, name, 0);
        }
        image_unbind_layers(s, i);
        image_free(i);
        image_store_tell(s);
}

/* Digests of a repository of which no tag is left go with the last tag. */
static void drop_digests_of(struct image_store *s, struct image *i, const char *tag)
{
        size_t n = (size_t)(strrchr(tag, ':') - tag);
        _cleanup_strv_ char **digests = strv_copy(i->repo_digests);

        STRV_FOREACH (other, i->repo_tags)
                if (strncmp(*other, tag, n) == 0 && (*other)[n] == ':')
                        return;
        STRV_FOREACH (d, digests)
                if (strncmp(*d, tag, n) == 0 && (*d)[n] == '@') {
                        map_remove(s->names, *d);
                        strv_remove(i->repo_digests, *d);
                }
}

static int busy(const struct image *i, struct err *err)
{
        if (i->holds == 0)
                return err_set(err, -EBUSY, "image '%s' is being read", i->what.id);
        return err_set(err, -EBUSY, "image '%s' is used by %u container%s", i->what.id, i->holds,
                       i->holds == 1 ? "" : "s");
}

int image_store_remove(struct image_store *s, const char *reference, struct err *err)
{
        struct image *i = image_store_find(s, reference);
        _cleanup_image_ref_ struct image_ref ref = { 0 };
        _cleanup_free_ char *name = NULL;
        int r;

        if (!i)
                return err_set_kind(err, -ENOENT, ERR_NOT_FOUND, "image '%s' is not here",
                                    reference);
        if (digest_is_valid(reference) || is_hex_lower(reference, 64)) {
                if (i->holds + i->pins > 0)
                        return busy(i, err);
                forget_image(s, i);
                return 0;
        }
        r = image_ref_parse(reference, &ref, err);
        if (r == 0 && !(name = image_ref_format(&ref)))
                r = err_sys(err, -ENOMEM, "remove image");
        if (r < 0)
                return r;
        if (i->holds + i->pins > 0 && strv_len(i->repo_tags) + strv_len(i->repo_digests) <= 1)
                return busy(i, err);
        map_remove(s->names, name);
        if (strv_remove(i->repo_tags, name))
                drop_digests_of(s, i, name);
        strv_remove(i->repo_digests, name);
        image_refresh_info(i);
        image_store_tell(s);
        if (i->holds + i->pins == 0 && strv_len(i->repo_tags) == 0 &&
            strv_len(i->repo_digests) == 0) {
                forget_image(s, i);
                return 0;
        }
        r = image_store_record_image(s, i);
        return r < 0 ? err_sys(err, r, "record image '%s'", i->what.id) : 0;
}

uint64_t image_store_used_bytes(const struct image_store *s)
{
        uint64_t sum = 0;
        const char *name;
        struct layer *l;

        MAP_FOREACH (name, l, s->layers)
                sum += l->what.disk_bytes;
        return sum;
}

/* ---- for containers ---- */

int image_store_layers(const struct image_store *s, const char *image_id, int *ret_layer_dir,
                       char ***ret_names, struct err *err)
{
        const struct image *i = map_get(s->images, image_id);
        _cleanup_strv_ char **names = NULL;

        if (!i)
                return err_set_kind(err, -ENOENT, ERR_IMAGE_NOT_PRESENT, "image '%s' is not here",
                                    image_id);
        for (size_t k = strv_len(i->what.diff_ids); k-- > 0;) {
                const struct layer *l = i->layers[k];

                /* one that comes twice hides nothing the second time, and overlayfs refuses it */
                if (!strv_contains(names, l->name) && strv_append(&names, l->name) < 0)
                        return err_sys(err, -ENOMEM, "list layers");
                if (l->what.root_is_opaque)
                        break;
        }
        *ret_layer_dir = s->layers_fd;
        *ret_names = TAKE_PTR(names);
        return 0;
}

int image_store_hold(struct image_store *s, const char *image_id)
{
        struct image *i = map_get(s->images, image_id);

        if (!i)
                return -ENOENT;
        i->holds++;
        i->info.n_users = i->holds;
        return 0;
}

void image_store_release(struct image_store *s, const char *image_id)
{
        struct image *i = map_get(s->images, image_id);

        if (!i || i->holds == 0)
                return;
        i->holds--;
        i->last_used_at = now_realtime();
        i->info.n_users = i->holds;
        i->info.last_used_at = i->last_used_at;
}

void image_store_unpin(struct image_store *s, const char *image_id)
{
        struct image *i = map_get(s->images, image_id);

        if (i && i->pins > 0)
                i->pins--;
}

bool image_store_is_removing(const struct image_store *s)
{
        return s->remover != NULL;
}

/* ---- the store ---- */

static int on_changed(_unused_ sd_event_source *source, void *userdata)
{
        struct image_store *s = userdata;

        if (s->changed)
                s->changed(s->userdata);
        return 0;
}

void image_store_tell(struct image_store *s)
{
        if (s->changed_source)
                sd_event_source_set_enabled(s->changed_source, SD_EVENT_ONESHOT);
}

static int open_folder(struct image_store *s, const char *name, int *ret, struct err *err)
{
        if (mkdirat(s->dir_fd, name, 0700) < 0 && errno != EEXIST)
                return err_sys(err, -errno, "make directory 'images/%s'", name);
        *ret = fs_open_beneath(s->dir_fd, name, O_RDONLY | O_DIRECTORY, 0);
        return *ret < 0 ? err_sys(err, *ret, "open directory 'images/%s'", name) : 0;
}

static int open_folders(struct image_store *s, const char *state_dir, struct err *err)
{
        _cleanup_free_ char *path = text_printf("%s/images", state_dir);
        int r = 0;

        if (!path)
                return err_sys(err, -ENOMEM, "open the image store");
        s->dir_fd = fs_open_dir(path, 0700, err);
        if (s->dir_fd < 0)
                return s->dir_fd;
        /* set-id programs of images lie below: nobody else may come near them (UN-09) */
        if (fchmod(s->dir_fd, 0700) < 0)
                return err_sys(err, -errno, "set mode of '%s'", path);
        r = open_folder(s, "layers", &s->layers_fd, err);
        if (r == 0)
                r = open_folder(s, "index", &s->index_fd, err);
        if (r == 0)
                r = open_folder(s, "documents", &s->documents_fd, err);
        if (r == 0)
                r = open_folder(s, "records", &s->records_fd, err);
        if (r == 0)
                r = open_folder(s, "incoming", &s->incoming_fd, err);
        if (r == 0)
                r = open_folder(s, "trash", &s->trash_fd, err);
        return r;
}

static int set_up(struct image_store *s, const struct runtime_options *options, struct err *err)
{
        int r;

        s->images = map_new();
        s->names = map_new();
        s->layers = map_new();
        s->program = text_printf("%s/skiff-image",
                                 options->libexec_dir ? options->libexec_dir : SKIFF_LIBEXEC_DIR);
        s->registries_file = strdup_null(options->registries_file);
        s->max_parallel_pulls = options->max_parallel_pulls;
        if (!s->images || !s->names || !s->layers || !s->program ||
            (options->registries_file && !s->registries_file))
                return err_sys(err, -ENOMEM, "open the image store");
        r = sd_event_add_defer(s->event, &s->changed_source, on_changed, s);
        if (r == 0)
                r = sd_event_source_set_enabled(s->changed_source, SD_EVENT_OFF);
        return r < 0 ? err_sys(err, r, "open the image store") : 0;
}

int image_store_new(sd_event *event, const struct runtime_options *options,
                    void (*changed)(void *userdata), void *userdata, struct image_store **ret,
                    struct err *err)
{
        _cleanup_(image_store_freep)
        struct image_store *s = calloc(1, sizeof *s);
        int r;

        if (!s)
                return err_sys(err, -ENOMEM, "open the image store");
        *s = (struct image_store){
                .event = sd_event_ref(event),
                .changed = changed,
                .userdata = userdata,
                .dir_fd = -1,
                .layers_fd = -1,
                .index_fd = -1,
                .documents_fd = -1,
                .records_fd = -1,
                .incoming_fd = -1,
                .trash_fd = -1,
        };
        list_init(&s->pulls);
        list_init(&s->reads);
        r = set_up(s, options, err);
        if (r == 0)
                r = open_folders(s, options->state_dir, err);
        if (r == 0)
                r = image_store_load(s, err);
        if (r < 0)
                return r;
        image_plan_check(s);
        *ret = TAKE_PTR(s);
        return 0;
}

struct image_store *image_store_free(struct image_store *s)
{
        if (!s)
                return NULL;
        image_pulls_stop(s);
        image_reads_stop(s);
        child_free(s->remover);
        sd_event_source_disable_unref(s->changed_source);
        sd_event_source_disable_unref(s->loose_source);
        sd_event_source_disable_unref(s->start_source);
        map_free(s->names);
        map_free_with(s->images, free_image);
        map_free_with(s->layers, free_layer);
        safe_close(s->layers_fd);
        safe_close(s->index_fd);
        safe_close(s->documents_fd);
        safe_close(s->records_fd);
        safe_close(s->incoming_fd);
        safe_close(s->trash_fd);
        safe_close(s->dir_fd);
        free(s->program);
        free(s->registries_file);
        sd_event_unref(s->event);
        free(s);
        return NULL;
}
