#include "runtime/image-store.h"

#include <errno.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <string.h>
#include <sys/statvfs.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/text.h"
#include "runtime/image-ref.h"
#include "runtime/image-store-internal.h"
#include "runtime/record.h"
#include "runtime/runtime-internal.h"

#define LAYER_NAME_DIGITS 8

/* ---- values ---- */

static void layer_free(void *value)
{
        struct stored_layer *l = value;

        if (!l)
                return;
        free(l->name);
        free(l->diff_id);
        free(l->chain_id);
        free(l->digest);
        free(l);
}

static void image_free(void *value)
{
        struct stored_image *i = value;

        if (!i)
                return;
        free(i->id);
        strv_free(i->tags);
        strv_free(i->digests);
        free(i->layers);
        image_config_done(&i->config);
        free(i);
}

/* After every change: what callers of runtime.h see. */
static void refresh_info(struct stored_image *i)
{
        uint64_t size = 0;

        for (size_t k = 0; k < i->n_layers; k++)
                size += i->layers[k]->disk_bytes;
        i->info = (struct image_info){
                .id = i->id,
                .repo_tags = i->tags,
                .repo_digests = i->digests,
                .size = size,
                .pulled_at = i->pulled_at,
                .entrypoint = i->config.entrypoint,
                .cmd = i->config.cmd,
                .env = i->config.env,
                .user = i->config.user,
                .working_dir = i->config.working_dir,
                .stop_signal = i->config.stop_signal,
        };
}

static int on_tell(_unused_ sd_event_source *source, void *userdata)
{
        struct image_store *s = userdata;

        if (s->changed)
                s->changed(s->userdata);
        return 0;
}

void image_store_tell(struct image_store *s)
{
        sd_event_source_set_enabled(s->tell, SD_EVENT_ONESHOT);
}

/* ---- records ---- */

static json_t *strv_json(char *const *v)
{
        json_t *list = json_array();

        STRV_FOREACH (e, v)
                json_array_append_new(list, json_string(*e));
        return list;
}

static int write_layer_record(struct image_store *s, const struct stored_layer *l)
{
        _cleanup_free_ char *path = text_printf("layer-%s", l->name);
        json_t *o = json_pack("{s:s, s:s, s:I, s:I}", "name", l->name, "diffId", l->diff_id, "size",
                              (json_int_t)l->size, "diskBytes", (json_int_t)l->disk_bytes);

        json_set_text(o, "chainId", l->chain_id);
        json_set_text(o, "digest", l->digest);
        if (!path) {
                json_decref(o);
                return -ENOMEM;
        }
        return record_write(s->records_fd, path, o);
}

static char *image_record_path(const char *id)
{
        return text_printf("image-%s", strchr(id, ':') + 1);
}

static int write_image_record(struct image_store *s, const struct stored_image *i)
{
        _cleanup_free_ char *path = image_record_path(i->id);
        json_t *layers = json_array();
        json_t *o = json_pack("{s:s, s:o, s:o, s:o, s:I, s:o, s:o, s:o}", "id", i->id, "tags",
                              strv_json(i->tags), "digests", strv_json(i->digests), "layers",
                              layers, "pulledAt", (json_int_t)i->pulled_at, "entrypoint",
                              strv_json(i->config.entrypoint), "cmd", strv_json(i->config.cmd),
                              "env", strv_json(i->config.env));

        for (size_t k = 0; k < i->n_layers; k++)
                json_array_append_new(layers, json_string(i->layers[k]->name));
        json_set_text(o, "user", i->config.user);
        json_set_text(o, "workingDir", i->config.working_dir);
        json_set_text(o, "stopSignal", i->config.stop_signal);
        if (!path) {
                json_decref(o);
                return -ENOMEM;
        }
        return record_write(s->records_fd, path, o);
}

static const struct json_field
        layer_fields[] = { /* clang-format off */
        { "name",      decode_string, offsetof(struct stored_layer, name),       JSON_REQUIRED, NULL },
        { "diffId",    decode_string, offsetof(struct stored_layer, diff_id),    JSON_REQUIRED, NULL },
        { "chainId",   decode_string, offsetof(struct stored_layer, chain_id),   JSON_OPTIONAL, NULL },
        { "digest",    decode_string, offsetof(struct stored_layer, digest),     JSON_OPTIONAL, NULL },
        { "size",      decode_i64,    offsetof(struct stored_layer, size),       JSON_REQUIRED, NULL },
        { "diskBytes", decode_i64,    offsetof(struct stored_layer, disk_bytes), JSON_REQUIRED, NULL },
        {}
}; /* clang-format on */

static bool is_layer_name(const char *name)
{
        return is_hex_lower(name, LAYER_NAME_DIGITS);
}

static int read_layer(struct image_store *s, const char *path, struct err *err)
{
        struct stored_layer *l = calloc(1, sizeof *l);
        json_auto_t *o = NULL;
        int r = l ? record_read(s->records_fd, path, &o, err) : -ENOMEM;

        if (r == 0)
                r = json_decode(o, layer_fields, l, err);
        if (r == 0 && (!is_layer_name(l->name) ||
                       faccessat(s->layers_fd, l->name, F_OK, AT_SYMLINK_NOFOLLOW) < 0))
                r = err_set(err, -ENOENT, "its layer '%s' is not here", l->name);
        if (r == 0)
                r = map_put(s->layers, l->name, l, NULL);
        if (r < 0)
                layer_free(l);
        return r;
}

static int decode_image(const json_t *o, struct stored_image *i, char ***layer_names,
                        struct err *err)
{
        int64_t pulled_at = 0;
        const json_t *v;
        struct {
                const char *key;
                json_decode_fn decode;
                void *member;
                bool required;
        } fields[] = {
                { "id", decode_string, &i->id, true },
                { "tags", decode_strv, &i->tags, true },
                { "digests", decode_strv, &i->digests, true },
                { "layers", decode_strv, layer_names, true },
                { "pulledAt", decode_i64, &pulled_at, true },
                { "entrypoint", decode_strv, &i->config.entrypoint, false },
                { "cmd", decode_strv, &i->config.cmd, false },
                { "env", decode_strv, &i->config.env, false },
                { "user", decode_string, &i->config.user, false },
                { "workingDir", decode_string, &i->config.working_dir, false },
                { "stopSignal", decode_string, &i->config.stop_signal, false },
        };

        for (size_t k = 0; k < ARRAY_SIZE(fields); k++) {
                int r;

                v = json_object_get(o, fields[k].key);
                if (!v && !fields[k].required)
                        continue;
                r = v ? fields[k].decode(v, fields[k].member, NULL, err) : -EINVAL;
                if (r < 0)
                        return err_wrap(err, r, "%s", fields[k].key);
        }
        i->pulled_at = (usec_t)pulled_at;
        return digest_is_valid(i->id) ? 0
                                      : err_set(err, -EINVAL, "id: '%s': expected a digest", i->id);
}

/* An image is here when all its layers are. */
static int bind_layers(struct image_store *s, struct stored_image *i, char *const *names,
                       struct err *err)
{
        size_t n = strv_len(names);

        i->layers = calloc(n ? n : 1, sizeof *i->layers);
        if (!i->layers)
                return err_sys(err, -ENOMEM, "read an image record");
        for (; i->n_layers < n; i->n_layers++) {
                struct stored_layer *l = map_get(s->layers, names[i->n_layers]);

                if (!l)
                        return err_set(err, -ENOENT, "its layer '%s' is not here",
                                       names[i->n_layers]);
                i->layers[i->n_layers] = l;
        }
        return 0;
}

static int read_image(struct image_store *s, const char *path, struct err *err)
{
        struct stored_image *i = calloc(1, sizeof *i);
        _cleanup_strv_ char **names = NULL;
        json_auto_t *o = NULL;
        int r = i ? record_read(s->records_fd, path, &o, err) : -ENOMEM;

        if (r == 0)
                r = decode_image(o, i, &names, err);
        if (r == 0)
                r = bind_layers(s, i, names, err);
        if (r == 0)
                r = map_put(s->images, i->id, i, NULL);
        if (r < 0) {
                image_free(i);
                return r;
        }
        for (size_t k = 0; k < i->n_layers; k++)
                i->layers[k]->n_images++;
        refresh_info(i);
        return 0;
}

static int read_records(struct image_store *s, const char *prefix,
                        int (*read)(struct image_store *s, const char *path, struct err *err))
{
        _cleanup_strv_ char **names = NULL;
        int r = fs_list_at(s->records_fd, ".", &names);

        if (r < 0)
                return r;
        STRV_FOREACH (name, names) {
                _cleanup_err_ struct err err = { 0 };

                if (!startswith(*name, prefix) || endswith(*name, ".bad") || strchr(*name, '.'))
                        continue;
                r = read(s, *name, &err);
                if (r == -ENOMEM)
                        return r;
                if (r < 0)
                        record_set_aside(s->records_fd, *name, r, &err);
        }
        return 0;
}

/* What has no record was never complete: it goes. */
static void remove_unrecorded(struct image_store *s)
{
        const int dirs[] = { s->layers_fd, s->index_fd };
        _cleanup_strv_ char **jobs = NULL;

        for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
                _cleanup_strv_ char **names = NULL;

                if (fs_list_at(dirs[i], ".", &names) < 0)
                        continue;
                STRV_FOREACH (name, names)
                        if (!map_get(s->layers, *name) && fs_remove_tree_at(dirs[i], *name) < 0)
                                log_warn(0, "Failed to remove the unrecorded layer '%s'", *name);
        }
        if (fs_list_at(s->jobs_fd, ".", &jobs) < 0)
                return;
        STRV_FOREACH (name, jobs)
                fs_remove_tree_at(s->jobs_fd, *name);
}

void image_store_sweep(struct image_store *s)
{
        _cleanup_strv_ char **names = map_keys(s->layers);

        STRV_FOREACH (name, names) {
                struct stored_layer *l = map_get(s->layers, *name);
                _cleanup_free_ char *record = text_printf("layer-%s", *name),
                                    *trash = text_printf("gone-%s", *name);

                if (l->n_images || !record || !trash)
                        continue;
                /* first out of sight, then bit by bit: a crash in between leaves no half layer
                 * under its name */
                unlinkat(s->records_fd, record, 0);
                if (renameat(s->layers_fd, *name, s->jobs_fd, trash) == 0)
                        fs_remove_tree_at(s->jobs_fd, trash);
                fs_remove_tree_at(s->index_fd, *name);
                layer_free(map_remove(s->layers, *name));
        }
}

/* ---- adding ---- */

int image_store_add_layer(struct image_store *s, int job_fd, const struct image_layer_event *e,
                          struct err *err)
{
        struct stored_layer *l = calloc(1, sizeof *l);
        _cleanup_free_ char *index = text_printf("%s.index", e->dir);
        int r = l && index ? 0 : -ENOMEM;

        if (r == 0) {
                *l = (struct stored_layer){
                        .diff_id = strdup(e->diff_id),
                        .chain_id = strdup_null(e->chain_id),
                        .digest = strdup_null(e->digest),
                        .size = e->size,
                        .disk_bytes = e->disk_bytes,
                };
                do {
                        free(l->name);
                        l->name = text_printf("%08" PRIx32, random_u32());
                } while (l->name && map_get(s->layers, l->name));
                r = l->name && l->diff_id ? 0 : -ENOMEM;
        }
        if (r == 0 && strchr(e->dir, '/'))
                r = -EINVAL;
        if (r == 0 && renameat(job_fd, e->dir, s->layers_fd, l->name) < 0)
                r = -errno;
        if (r == 0 && renameat(job_fd, index, s->index_fd, l->name) < 0 && errno != ENOENT)
                r = -errno;
        if (r == 0)
                r = write_layer_record(s, l);
        if (r == 0)
                r = map_put(s->layers, l->name, l, NULL);
        if (r < 0) {
                layer_free(l);
                return err_sys(err, r, "keep layer '%s'", e->diff_id);
        }
        return 0;
}

/* ChainID of the OCI image spec: sha256 of "<chain below> <diff id>". */
static int chain_next(char chain[static DIGEST_TEXT_MAX], const char *diff_id)
{
        unsigned char hash[EVP_MAX_MD_SIZE];
        _cleanup_free_ char *text = NULL;
        unsigned n;

        if (!chain[0]) {
                snprintf(chain, DIGEST_TEXT_MAX, "%s", diff_id);
                return 0;
        }
        text = text_printf("%s %s", chain, diff_id);
        if (!text || !EVP_Digest(text, strlen(text), hash, &n, EVP_sha256(), NULL))
                return -ENOMEM;
        memcpy(chain, "sha256:", 7);
        hex_encode(hash, n, chain + 7);
        return 0;
}

static struct stored_layer *find_layer(const struct image_store *s, const char *diff_id,
                                       const char *chain)
{
        struct stored_layer *l;
        const char *name;

        MAP_FOREACH (name, l, s->layers)
                if (streq(l->diff_id, diff_id) && (!l->chain_id || streq(l->chain_id, chain)))
                        return l;
        return NULL;
}

static int collect_layers(const struct image_store *s, char *const *diff_ids,
                          struct stored_image *i, struct err *err)
{
        char chain[DIGEST_TEXT_MAX] = "";
        size_t n = strv_len(diff_ids);

        i->layers = calloc(n ? n : 1, sizeof *i->layers);
        if (!i->layers)
                return err_sys(err, -ENOMEM, "keep an image");
        for (; i->n_layers < n; i->n_layers++) {
                int r = chain_next(chain, diff_ids[i->n_layers]);
                struct stored_layer *l = r < 0 ? NULL : find_layer(s, diff_ids[i->n_layers], chain);

                if (!l)
                        return err_set_kind(err, -EBADMSG, ERR_IMAGE_PULL,
                                            "layer '%s' of the image did not come",
                                            diff_ids[i->n_layers]);
                i->layers[i->n_layers] = l;
        }
        return 0;
}

static void strv_drop(char **v, const char *s)
{
        for (; v && *v; v++)
                if (streq(*v, s)) {
                        free(*v);
                        memmove(v, v + 1, (strv_len(v + 1) + 1) * sizeof *v);
                        return;
                }
}

int image_store_tag(struct image_store *s, struct stored_image *i, const char *tag, struct err *err)
{
        struct stored_image *other;
        const char *id;
        int r;

        if (strv_contains(i->tags, tag))
                return 0;
        r = strv_append(&i->tags, tag);
        if (r == 0)
                r = write_image_record(s, i);
        if (r < 0)
                return err_sys(err, r, "tag image '%s'", tag);
        refresh_info(i);
        MAP_FOREACH (id, other, s->images)
                if (other != i && strv_contains(other->tags, tag)) {
                        strv_drop(other->tags, tag);
                        if (write_image_record(s, other) < 0)
                                log_warn(0, "Failed to record that '%s' moved to another image",
                                         tag);
                }
        image_store_tell(s);
        return 0;
}

static int add_digest(struct image_store *s, struct stored_image *i, const char *digest)
{
        int r;

        if (!digest || strv_contains(i->digests, digest))
                return 0;
        r = strv_append(&i->digests, digest);
        return r < 0 ? r : write_image_record(s, i);
}

static int copy_config(const struct image_config *from, struct image_config *to)
{
        *to = (struct image_config){
                .entrypoint = strv_copy(from->entrypoint),
                .cmd = strv_copy(from->cmd),
                .env = strv_copy(from->env),
                .user = strdup_null(from->user),
                .working_dir = strdup_null(from->working_dir),
                .stop_signal = strdup_null(from->stop_signal),
        };
        return (from->entrypoint && !to->entrypoint) || (from->cmd && !to->cmd) ||
                               (from->env && !to->env)
                       ? -ENOMEM
                       : 0;
}

static int new_image(struct image_store *s, const struct image_event_image *e,
                     struct stored_image **ret, struct err *err)
{
        struct stored_image *i = calloc(1, sizeof *i);
        int r = i ? 0 : -ENOMEM;

        if (r == 0) {
                i->id = strdup(e->id);
                i->pulled_at = now_realtime();
                r = i->id ? copy_config(&e->config, &i->config) : -ENOMEM;
        }
        if (r == 0)
                r = collect_layers(s, e->diff_ids, i, err);
        if (r == 0)
                r = map_put(s->images, i->id, i, NULL);
        if (r < 0) {
                image_free(i);
                return err && err->message ? r : err_sys(err, r, "keep an image");
        }
        for (size_t k = 0; k < i->n_layers; k++)
                i->layers[k]->n_images++;
        refresh_info(i);
        *ret = i;
        return 0;
}

int image_store_add_image(struct image_store *s, const struct image_event_image *e, const char *tag,
                          const char *digest, struct stored_image **ret, struct err *err)
{
        struct stored_image *i = map_get(s->images, e->id);
        int r = i ? 0 : new_image(s, e, &i, err);

        if (r < 0)
                return r;
        r = write_image_record(s, i);
        if (r == 0)
                r = add_digest(s, i, digest);
        if (r < 0)
                return err_sys(err, r, "record image '%s'", i->id);
        refresh_info(i);
        if (tag)
                r = image_store_tag(s, i, tag, err);
        image_store_tell(s);
        *ret = i;
        return r;
}

/* ---- finding ---- */

struct stored_image *image_store_find_digest(const struct image_store *s, const char *name,
                                             const char *digest)
{
        _cleanup_free_ char *full = text_printf("%s@%s", name, digest);
        struct stored_image *i;
        const char *id;

        if (!full)
                return NULL;
        MAP_FOREACH (id, i, s->images)
                if (strv_contains(i->digests, full))
                        return i;
        return NULL;
}

struct stored_image *image_store_find(const struct image_store *s, const char *reference)
{
        struct stored_image *i = map_get(s->images, reference);
        _cleanup_free_ char *name = NULL;
        const char *id;

        if (i || image_normalize(reference, &name, NULL) < 0)
                return i;
        MAP_FOREACH (id, i, s->images)
                if (strv_contains(i->tags, name) || strv_contains(i->digests, name))
                        return i;
        return NULL;
}

int image_store_layers(const struct image_store *s, const char *image_id, int *ret_layer_dir,
                       char ***ret_names, struct err *err)
{
        const struct stored_image *i = map_get(s->images, image_id);
        _cleanup_strv_ char **names = NULL;

        if (!i || i->n_layers == 0)
                return err_set_kind(err, -ENOENT, ERR_IMAGE_NOT_PRESENT, "image '%s' is not here",
                                    image_id);
        for (size_t k = i->n_layers; k > 0; k--) {
                int r = strv_append(&names, i->layers[k - 1]->name);

                if (r < 0)
                        return err_sys(err, r, "list the image's layers");
        }
        *ret_layer_dir = s->layers_fd;
        *ret_names = TAKE_PTR(names);
        return 0;
}

int image_store_hold(struct image_store *s, const char *image_id)
{
        struct stored_image *i = map_get(s->images, image_id);

        if (!i)
                return -ENOENT;
        i->n_holds++;
        return 0;
}

void image_store_release(struct image_store *s, const char *image_id)
{
        struct stored_image *i = map_get(s->images, image_id);

        if (i && i->n_holds)
                i->n_holds--;
}

/* ---- runtime.h ---- */

const struct image_info *image_find(const struct runtime *rt, const char *reference)
{
        const struct stored_image *i = image_store_find(rt->images, reference);

        return i ? &i->info : NULL;
}

void image_foreach(const struct runtime *rt, void (*fn)(const struct image_info *i, void *userdata),
                   void *userdata)
{
        _cleanup_strv_ char **ids = map_keys(rt->images->images);

        STRV_FOREACH (id, ids) {
                const struct stored_image *i = map_get(rt->images->images, *id);

                fn(&i->info, userdata);
        }
}

int image_normalize(const char *reference, char **ret, struct err *err)
{
        _cleanup_image_ref_ struct image_ref ref = { 0 };
        int r = image_ref_parse(reference, &ref, err);

        if (r < 0)
                return r;
        *ret = image_ref_format(&ref);
        return *ret ? 0 : err_sys(err, -ENOMEM, "read an image name");
}

static void delete_image(struct image_store *s, struct stored_image *i)
{
        _cleanup_free_ char *record = image_record_path(i->id);

        if (record)
                unlinkat(s->records_fd, record, 0);
        for (size_t k = 0; k < i->n_layers; k++)
                i->layers[k]->n_images--;
        map_remove(s->images, i->id);
        image_free(i);
        image_store_sweep(s);
        image_store_tell(s);
}

int image_remove(struct runtime *rt, const char *reference, struct err *err)
{
        struct image_store *s = rt->images;
        struct stored_image *i = image_store_find(s, reference);
        _cleanup_free_ char *name = NULL;
        bool by_id = i && streq(i->id, reference);

        if (!i)
                return err_set_kind(err, -ENOENT, ERR_NOT_FOUND, "image '%s' is not here",
                                    reference);
        if (!by_id && image_normalize(reference, &name, err) < 0)
                return -EINVAL;
        if (!by_id && strv_len(i->tags) + strv_len(i->digests) > 1 &&
            strv_contains(i->tags, name) && strv_len(i->tags) > 1) {
                strv_drop(i->tags, name);
                refresh_info(i);
                image_store_tell(s);
                return write_image_record(s, i);
        }
        if (i->n_holds)
                return err_set(err, -EBUSY, "image '%s' is used by %zu containers", reference,
                               i->n_holds);
        delete_image(s, i);
        return 0;
}

int image_fs_usage(const struct runtime *rt, struct image_fs_usage *ret)
{
        const struct image_store *s = rt->images;
        struct stored_layer *l;
        struct statvfs v;
        const char *name;

        if (fstatvfs(s->layers_fd, &v) < 0)
                return -errno;
        *ret = (struct image_fs_usage){
                .capacity_bytes = (uint64_t)v.f_blocks * v.f_frsize,
                .available_bytes = (uint64_t)v.f_bavail * v.f_frsize,
                .inodes = v.f_files,
                .inodes_free = v.f_ffree,
        };
        MAP_FOREACH (name, l, s->layers)
                ret->used_bytes += l->disk_bytes;
        return 0;
}

/* ---- the whole ---- */

static int open_below(int dir_fd, const char *name, struct err *err)
{
        int r = fs_mkdir_p_at(dir_fd, name, 0700);

        if (r == 0)
                r = fs_open_beneath(dir_fd, name, O_RDONLY | O_DIRECTORY, 0);
        return r < 0 ? err_sys(err, r, "open the image folder '%s'", name) : r;
}

static int open_dirs(struct image_store *s, const char *state_dir, struct err *err)
{
        _cleanup_free_ char *path = text_printf("%s/images", state_dir);
        struct {
                const char *name;
                int *fd;
        } dirs[] = { { "layers", &s->layers_fd },
                     { "index", &s->index_fd },
                     { "records", &s->records_fd },
                     { "jobs", &s->jobs_fd } };

        if (!path)
                return err_sys(err, -ENOMEM, "open the image store");
        s->dir_fd = fs_open_dir(path, 0700, err);
        if (s->dir_fd < 0)
                return s->dir_fd;
        for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
                *dirs[i].fd = open_below(s->dir_fd, dirs[i].name, err);
                if (*dirs[i].fd < 0)
                        return *dirs[i].fd;
        }
        return 0;
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
                .event = event,
                .dir_fd = -1,
                .layers_fd = -1,
                .index_fd = -1,
                .records_fd = -1,
                .jobs_fd = -1,
                .program = text_printf("%s/skiff-image", options->libexec_dir),
                .registries_file = strdup_null(options->registries_file),
                .max_parallel = options->max_parallel_pulls,
                .images = map_new(),
                .layers = map_new(),
                .changed = changed,
                .userdata = userdata,
        };
        list_init(&s->jobs);
        if (!s->program || !s->images || !s->layers)
                return err_sys(err, -ENOMEM, "open the image store");
        r = sd_event_add_defer(event, &s->tell, on_tell, s);
        if (r >= 0)
                r = sd_event_source_set_enabled(s->tell, SD_EVENT_OFF);
        if (r < 0)
                return err_sys(err, r, "open the image store");
        r = open_dirs(s, options->state_dir, err);
        if (r < 0)
                return r;
        r = read_records(s, "layer-", read_layer);
        if (r == 0)
                r = read_records(s, "image-", read_image);
        if (r < 0)
                return err_sys(err, r, "read the image records");
        remove_unrecorded(s);
        image_store_sweep(s);
        *ret = TAKE_PTR(s);
        return 0;
}

struct image_store *image_store_free(struct image_store *s)
{
        if (!s)
                return NULL;
        if (s->jobs.head.next)
                image_store_stop_jobs(s);
        sd_event_source_disable_unref(s->tell);
        map_free_with(s->images, image_free);
        map_free_with(s->layers, layer_free);
        safe_close(s->layers_fd);
        safe_close(s->index_fd);
        safe_close(s->records_fd);
        safe_close(s->jobs_fd);
        safe_close(s->dir_fd);
        free(s->program);
        free(s->registries_file);
        free(s);
        return NULL;
}
