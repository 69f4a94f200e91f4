/*
 * Records of images and layers, and what is made of them at the start: a layer counts when its
 * record, its tree and its index are there, an image when its record and all its layers are. All
 * else below the store is what a crash left behind and goes into the trash.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/text.h"
#include "runtime/image-store-internal.h"
#include "runtime/record.h"

/* ---- writing ---- */

static char *record_name(const char *kind, const char *name)
{
        return text_printf("%s-%s.json", kind, name);
}

/* A record that says something is complete outlives a power cut, as what it speaks of does. */
static int write_synced(struct image_store *s, const char *kind, const char *name, json_t *object)
{
        _cleanup_free_ char *file = record_name(kind, name);
        _cleanup_close_ int fd = -1;
        int r;

        if (!file) {
                json_decref(object);
                return -ENOMEM;
        }
        r = record_write(s->records_fd, file, object);
        if (r < 0)
                return r;
        fd = openat(s->records_fd, file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0 || fsync(fd) < 0)
                return -errno;
        return 0;
}

int image_store_record_layer(struct image_store *s, const struct layer *l)
{
        struct image_layer_event what = l->what;

        what.dir = (char *)"0"; /* of no meaning here */
        return write_synced(s, "layer", l->name,
                            json_pack("{s:s, s:o}", "name", l->name, "layer",
                                      image_layer_event_to_json(&what)));
}

static json_t *strv_to_json(char *const *v)
{
        json_t *a = json_array();

        STRV_FOREACH (s, v)
                json_array_append_new(a, json_string(*s));
        return a;
}

int image_store_record_image(struct image_store *s, const struct image *i)
{
        return write_synced(s, "image", strchr(i->what.id, ':') + 1,
                            json_pack("{s:o, s:o, s:o, s:I}", "image",
                                      image_event_image_to_json(&i->what), "repo_tags",
                                      strv_to_json(i->repo_tags), "repo_digests",
                                      strv_to_json(i->repo_digests), "pulled_at",
                                      (json_int_t)i->pulled_at));
}

void image_store_forget_record(struct image_store *s, const char *kind, const char *name)
{
        _cleanup_free_ char *file = record_name(kind, name);

        if (!file || (unlinkat(s->records_fd, file, 0) < 0 && errno != ENOENT))
                log_warn(file ? -errno : -ENOMEM, "Failed to remove the record of %s '%s'", kind,
                         name);
}

/* ---- reading ---- */

struct layer_record {
        char *name;
        struct image_layer_event layer;
};
static const struct json_field layer_record_fields[] = { /* clang-format off */
        { "name",  decode_string, offsetof(struct layer_record, name),  JSON_REQUIRED },
        { "layer", decode_object, offsetof(struct layer_record, layer), JSON_REQUIRED, image_layer_event_fields },
        {}
}; /* clang-format on */

static bool is_layer_name(const char *name)
{
        size_t n = strlen(name);

        return n > 0 && n < 16 && strspn(name, "0123456789abcdefghijklmnopqrstuvwxyz") == n;
}

static bool is_there(int dir_fd, const char *name, mode_t type)
{
        struct stat st;

        return fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
               (st.st_mode & S_IFMT) == type;
}

/* New names are beyond all that are in use. */
static void skip_name(struct image_store *s, const char *name)
{
        uint64_t n = 0;

        for (const char *c = name; *c; c++)
                n = n * 36 + (uint64_t)(*c <= '9' ? *c - '0' : *c - 'a' + 10);
        s->next_name = MAX(s->next_name, n + 1);
}

static int load_layer(struct image_store *s, const char *file, const json_t *root, struct err *err)
{
        _cleanup_(image_layer_freep)
        struct layer *l = calloc(1, sizeof *l);
        struct layer_record record = { 0 };
        _cleanup_free_ char *wanted = NULL;
        int r;

        if (!l)
                return err_sys(err, -ENOMEM, "read record");
        r = json_decode(root, layer_record_fields, &record, err);
        l->name = record.name;
        l->what = record.layer;
        if (r < 0)
                return r;
        wanted = record_name("layer", l->name);
        if (!wanted || !is_layer_name(l->name) || !streq(wanted, file))
                return err_set(err, -EBADMSG, "name: '%s': not that of the file", l->name);
        if (!is_there(s->layers_fd, l->name, S_IFDIR) || !is_there(s->index_fd, l->name, S_IFREG)) {
                log_warn(0, "Layer '%s' (%s) is gone, its images will be pulled anew", l->name,
                         l->what.diff_id);
                unlinkat(s->records_fd, file, 0);
                return 0;
        }
        l->loose_since = now_monotonic();
        r = map_put(s->layers, l->name, l, NULL);
        if (r < 0)
                return err_sys(err, r, "read record");
        TAKE_PTR(l);
        return 0;
}

struct image_record {
        json_t *image;
        char **repo_tags, **repo_digests;
        int64_t pulled_at;
};
static const struct json_range time_range = { 0, INT64_MAX };
static const struct json_field
        image_record_fields[] = { /* clang-format off */
        { "image",        decode_json, offsetof(struct image_record, image),        JSON_REQUIRED },
        { "repo_tags",    decode_strv, offsetof(struct image_record, repo_tags),    JSON_REQUIRED },
        { "repo_digests", decode_strv, offsetof(struct image_record, repo_digests), JSON_REQUIRED },
        { "pulled_at",    decode_i64,  offsetof(struct image_record, pulled_at),    JSON_REQUIRED, &time_range },
        {}
}; /* clang-format on */

static int load_image(struct image_store *s, const char *file, const json_t *root, struct err *err)
{
        _cleanup_(image_freep)
        struct image *i = calloc(1, sizeof *i);
        struct image_record record = { 0 };
        _cleanup_free_ char *wanted = NULL;
        _cleanup_err_ struct err missing = { 0 };
        int r;

        if (!i)
                return err_sys(err, -ENOMEM, "read record");
        r = json_decode(root, image_record_fields, &record, err);
        i->repo_tags = record.repo_tags;
        i->repo_digests = record.repo_digests;
        i->pulled_at = (usec_t)record.pulled_at;
        if (r == 0)
                r = image_event_image_from_json(record.image, &i->what, err);
        json_decref(record.image);
        if (r < 0)
                return r;
        wanted = record_name("image", strchr(i->what.id, ':') + 1);
        if (!wanted || !streq(wanted, file))
                return err_set(err, -EBADMSG, "id: '%s': not that of the file", i->what.id);
        r = image_bind_layers(s, i, &missing);
        if (r == -ENOENT) {
                log_warn(0, "Image '%s' is incomplete and forgotten: %s", i->what.id,
                         err_text(&missing));
                unlinkat(s->records_fd, file, 0);
                return 0;
        }
        if (r == 0)
                r = map_put(s->images, i->what.id, i, NULL);
        if (r == 0)
                r = image_index_names(s, i);
        if (r < 0)
                return err_sys(err, r, "read record");
        image_refresh_info(i);
        TAKE_PTR(i);
        return 0;
}

static void load_records(struct image_store *s, char *const *files, const char *prefix,
                         int (*load)(struct image_store *s, const char *file, const json_t *root,
                                     struct err *err))
{
        STRV_FOREACH (file, files) {
                _cleanup_err_ struct err err = { 0 };
                json_auto_t *root = NULL;
                int r;

                if (!startswith(*file, prefix) || !endswith(*file, ".json"))
                        continue;
                r = record_read(s->records_fd, *file, &root, &err);
                if (r == 0)
                        r = load(s, *file, root, &err);
                if (r == 0)
                        continue;
                record_set_aside(s->records_fd, *file, r, &err);
                s->keeps_loose = true;
        }
}

/* ---- what is left over ---- */

static bool is_document_used(const struct image_store *s, const char *file)
{
        const char *id;
        struct image *i;

        MAP_FOREACH (id, i, s->images) {
                char name[DIGEST_TEXT_MAX];

                image_document_name(i->what.id, name);
                if (streq(name, file))
                        return true;
                image_document_name(i->what.manifest_digest ? i->what.manifest_digest : "", name);
                if (streq(name, file))
                        return true;
        }
        return false;
}

static void trash_unknown(struct image_store *s, int dir_fd, const char *what,
                          bool (*is_known)(const struct image_store *s, const char *name))
{
        _cleanup_strv_ char **names = NULL;
        int r = fs_list_at(dir_fd, ".", &names);

        STRV_FOREACH (name, names) {
                if (is_known && is_known(s, *name))
                        continue;
                log_info("Removing %s '%s', which was never finished", what, *name);
                if (image_store_trash(s, dir_fd, *name) < 0)
                        r = -EIO;
        }
        if (r < 0)
                log_warn(r, "Failed to clear up images/%s, the next start will try again", what);
}

static bool is_layer_known(const struct image_store *s, const char *name)
{
        return map_get(s->layers, name) != NULL;
}

/* Trees of layers whose record cannot be read may be below a running container. */
static bool is_layer_doubtful(const struct image_store *s, const char *name)
{
        return s->keeps_loose || is_layer_known(s, name);
}

int image_store_load(struct image_store *s, struct err *err)
{
        _cleanup_strv_ char **files = NULL;
        _cleanup_strv_ char **trees = NULL;
        _cleanup_strv_ char **waste = NULL;
        int r = fs_list_at(s->records_fd, ".", &files);

        if (r == 0)
                r = fs_list_at(s->layers_fd, ".", &trees);
        if (r < 0)
                return err_sys(err, r, "list the records of images");
        STRV_FOREACH (name, trees)
                if (is_layer_name(*name))
                        skip_name(s, *name);
        load_records(s, files, "layer-", load_layer);
        load_records(s, files, "image-", load_image);
        trash_unknown(s, s->layers_fd, "layers", is_layer_doubtful);
        trash_unknown(s, s->index_fd, "index", is_layer_doubtful);
        trash_unknown(s, s->documents_fd, "documents", is_document_used);
        trash_unknown(s, s->incoming_fd, "incoming", NULL);
        if (fs_list_at(s->trash_fd, ".", &waste) == 0 && strv_len(waste) > 0)
                image_store_trash(s, -1, NULL);
        return 0;
}
