#include "kubelet/local-images.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/list.h"
#include "base/log.h"
#include "base/text.h"
#include "kubelet/local-image-read.h"
#include "kubelet/pod-observe.h"

struct local_images {
        struct runtime *rt;              /* borrowed */
        struct list waiting;             /* struct image_request */
        struct local_image_reads *reads; /* owned */
};

struct image_request {           /* answered when the runtime is done */
        struct http_exchange *x; /* NULL: the peer went away; the pull goes on */
        struct runtime_op *op;   /* owned */
        char *what;              /* owned: "image 'busybox'", for errors */
        struct list_node node;
};

static void image_request_free(struct image_request *r)
{
        runtime_op_abandon(r->op);
        list_remove(&r->node);
        free(r->what);
        free(r);
}

static void fail_image(struct http_exchange *x, const char *what, const struct err *err)
{
        const bool is_ours = err->kind != ERR_INVALID_IMAGE_NAME && err->kind != ERR_BAD_INPUT;
        _cleanup_free_ char *message = text_printf("%s: %s", what, err_text(err));

        local_api_fail(x, is_ours ? 500 : 400, message ? message : err_text(err));
}

static void on_image_peer_gone(_unused_ struct http_exchange *x, void *userdata)
{
        struct image_request *r = userdata;

        r->x = NULL;
}

static json_t *strings_json(char *const *v)
{
        json_t *list = json_array();

        STRV_FOREACH (s, v)
                json_array_append_new(list, json_string(*s));
        return list;
}

/* One of an archive's images for each: what it is called now, and what it is not and why. */
static json_t *imported_json(const struct image_pull_result *result)
{
        json_t *list = json_array();

        for (size_t i = 0; i < result->n_imported; i++) {
                const struct image_imported *n = &result->imported[i];

                json_array_append_new(list, json_pack("{s:s, s:I, s:o, s:o}", "id", n->id, "size",
                                                      (json_int_t)n->size, "names",
                                                      strings_json(n->names), "refused",
                                                      strings_json(n->refused)));
        }
        return list;
}

static void on_image_done(int r, const struct image_pull_result *result, const struct err *err,
                          void *userdata)
{
        struct image_request *request = userdata;
        struct http_exchange *x = request->x;

        request->op = NULL;
        if (x && r < 0)
                fail_image(x, request->what, err);
        else if (x)
                http_answer_json(x, 200,
                                 json_pack("{s:s, s:I, s:o*}", "id", result->id, "size",
                                           (json_int_t)result->size, "images",
                                           result->imported ? imported_json(result) : NULL));
        image_request_free(request);
}

static struct image_request *image_request_new(struct local_images *a, struct http_exchange *x,
                                               const char *kind, const char *name)
{
        struct image_request *r = calloc(1, sizeof *r);

        if (r)
                r->what = text_printf("%s '%s'", kind, name);
        if (!r || !r->what) {
                free(r);
                local_api_fail(x, 500, "out of memory");
                return NULL;
        }
        r->x = x;
        list_append(&a->waiting, &r->node);
        return r;
}

static void begin_image_request(struct image_request *r, int result, const struct err *err)
{
        struct http_exchange *x = r->x;

        if (result >= 0) {
                http_exchange_on_closed(x, on_image_peer_gone, r);
                return;
        }
        fail_image(x, r->what, err);
        image_request_free(r);
}

static void pull_image(struct local_images *a, struct http_exchange *x, const json_t *body)
{
        const char *image = json_text_at(body, "image");
        _cleanup_err_ struct err err = { 0 };
        struct image_request *r;

        if (!image)
                return local_api_fail(x, 400, "image: expected an image name");
        r = image_request_new(a, x, "image", image);
        if (r)
                begin_image_request(
                        r, image_pull(a->rt, image, NULL, 0, on_image_done, r, &r->op, &err), &err);
}

/* By its first bytes; NULL: not by what we know. */
static const char *compression_of(int fd)
{
        static const struct {
                const char *bytes, *name;
        } known[] = { { "\x1f\x8b", "gzip" },
                      { "\x28\xb5\x2f\xfd", "zstd" },
                      { "\xfd"
                        "7zXZ",
                        "xz" },
                      { "BZh", "bzip2" },
                      { "PK\x03\x04", "zip" } };
        char start[8] = "";

        if (pread(fd, start, sizeof start, 0) < 0)
                return NULL;
        for (size_t i = 0; i < ARRAY_SIZE(known); i++)
                if (memcmp(start, known[i].bytes, strlen(known[i].bytes)) == 0)
                        return known[i].name;
        return NULL;
}

/* An archive that we may read to its end: no directory, no device. */
static int open_archive(const char *path, struct err *err)
{
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        const char *compression;
        struct stat st;

        if (fd < 0 || fstat(fd, &st) < 0)
                return err_sys(err, -errno, "path: '%s'", path);
        if (!S_ISREG(st.st_mode))
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                    "path: '%s': expected a tar archive, and no %s", path,
                                    S_ISDIR(st.st_mode) ? "directory" : "special file");
        compression = compression_of(fd);
        if (compression)
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                    "path: '%s': expected a plain tar archive, this one is packed "
                                    "by %s: unpack it first",
                                    path, compression);
        return TAKE_FD(fd);
}

static void import_image(struct local_images *a, struct http_exchange *x, const json_t *body)
{
        const char *path = json_text_at(body, "path"), *name = json_text_at(body, "name");
        _cleanup_err_ struct err err = { 0 };
        struct image_request *r;
        int fd;

        if (!path || path[0] != '/')
                return local_api_fail(x, 400, "path: expected an absolute path");
        fd = open_archive(path, &err);
        if (fd < 0)
                return local_api_fail(x, 400, err_text(&err));
        r = image_request_new(a, x, "archive", path);
        if (!r) {
                safe_close(fd);
                return;
        }
        begin_image_request(r, image_import(a->rt, fd, name, on_image_done, r, &r->op, &err), &err);
}

/* The containers that are here, by their image: also those that have ended and are kept. */
struct image_listing {
        const struct runtime *rt;
        json_t *items, *users; /* users: image id -> [ "ns/pod/container" ] */
};

static void add_user(const struct container_status *c, void *userdata)
{
        struct image_listing *l = userdata;
        const char *ns = string_map_get(c->labels, LABEL_POD_NAMESPACE),
                   *pod = string_map_get(c->labels, LABEL_POD_NAME),
                   *name = string_map_get(c->labels, LABEL_CONTAINER_NAME);
        _cleanup_free_ char *text = ns && pod && name ? text_printf("%s/%s/%s", ns, pod, name)
                                                      : NULL;
        json_t *list = c->image_id ? json_object_get(l->users, c->image_id) : NULL, *e;
        size_t i;

        if (!text || !c->image_id)
                return;
        json_array_foreach (list, i, e)
                if (streq(json_string_value(e), text))
                        return; /* another instance of it */
        if (list)
                json_array_append_new(list, json_string(text));
        else
                json_object_set_new(l->users, c->image_id, json_pack("[s]", text));
}

struct layer_listing {
        json_t *items;
        json_int_t alone, shared; /* bytes */
};

static void add_layer(const struct image_layer_info *i, void *userdata)
{
        struct layer_listing *l = userdata;

        *(i->n_images > 1 ? &l->shared : &l->alone) += (json_int_t)i->size;
        json_array_append_new(l->items, json_pack("{s:s, s:I, s:i}", "diffId", i->diff_id, "size",
                                                  (json_int_t)i->size, "images", (int)i->n_images));
}

static void add_image(const struct image_info *i, void *userdata)
{
        struct image_listing *l = userdata;
        struct layer_listing layers = { .items = json_array() };
        json_t *users = json_object_get(l->users, i->id);
        char time[TIME_TEXT_MAX];

        image_foreach_layer(l->rt, i->id, add_layer, &layers);
        json_array_append_new(l->items,
                              json_pack("{s:s, s:o, s:o, s:I, s:I, s:I, s:o, s:s, s:o}", "id",
                                        i->id, "tags", strings_json(i->repo_tags), "digests",
                                        strings_json(i->repo_digests), "size", (json_int_t)i->size,
                                        "sizeAlone", layers.alone, "sizeShared", layers.shared,
                                        "layers", layers.items, "pulledAt",
                                        time_format(i->pulled_at, time), "usedBy",
                                        users ? json_incref(users) : json_array()));
}

static json_t *image_list(struct local_images *a)
{
        json_auto_t *users = json_object();
        struct image_listing l = { a->rt, json_array(), users };

        container_foreach(l.rt, NULL, add_user, &l);
        image_foreach(l.rt, add_image, &l);
        return l.items;
}

static int compare_tags(const void *a, const void *b)
{
        const json_t *x = *(json_t *const *)a, *y = *(json_t *const *)b;
        const char *s = json_string_value(json_array_get(json_object_get(x, "tags"), 0));
        const char *t = json_string_value(json_array_get(json_object_get(y, "tags"), 0));

        if (s && t)
                return strcmp(s, t);
        if (s || t)
                return s ? -1 : 1; /* those without a name last */
        return strcmp(json_text_at(x, "id"), json_text_at(y, "id"));
}

static void remove_image_by_name(struct local_images *a, struct http_exchange *x)
{
        const char *name = http_exchange_query(x, "name");
        _cleanup_err_ struct err err = { 0 };
        int r;

        if (!name || !*name)
                return local_api_fail(x, 400, "name: expected an image name or id");
        r = image_remove(a->rt, name, &err);
        if (r < 0)
                return local_api_fail(x,
                                      r == -EBUSY ? 409
                                      : err.kind == ERR_NOT_FOUND ||
                                                      err.kind == ERR_IMAGE_NOT_PRESENT
                                              ? 404
                                      : err.kind == ERR_INVALID_IMAGE_NAME ? 400
                                                                           : 500,
                                      err_text(&err));
        http_answer_json(x, 200, json_pack("{s:s}", "removed", name));
}

static void collect_id(const struct image_info *i, void *userdata)
{
        char ***ids = userdata;

        if (strv_append(ids, i->id) < 0)
                log_oom();
}

/* Removes the images that no container uses, also none that has ended and is kept. */
static void prune_images(struct local_images *a, struct http_exchange *x,
                         _unused_ const json_t *body)
{
        _cleanup_strv_ char **ids = NULL;
        json_t *removed = json_array();
        uint64_t bytes = 0;

        image_foreach(a->rt, collect_id, &ids);
        STRV_FOREACH (id, ids) {
                const struct image_info *i = image_find(a->rt, *id);
                _cleanup_err_ struct err err = { 0 };
                uint64_t size = i ? i->size : 0;
                json_t *o = json_pack("{s:s, s:I, s:o}", "id", *id, "size", (json_int_t)size,
                                      "names", strings_json(i ? i->repo_tags : NULL));
                int r = image_remove(a->rt, *id, &err);

                if (r == 0) {
                        bytes += size;
                        json_array_append_new(removed, o);
                        continue;
                }
                json_decref(o);
                if (r != -EBUSY)
                        log_warn(r, "Failed to remove image '%s': %s", *id, err_text(&err));
        }
        http_answer_json(x, 200,
                         json_pack("{s:o, s:I}", "removed", removed, "bytes", (json_int_t)bytes));
}

static void handle_images(struct local_images *a, struct http_exchange *x)
{
        const char *method = http_exchange_method(x);

        if (streq(method, "GET")) {
                http_answer_json(x, 200,
                                 json_pack("{s:o}", "items",
                                           local_api_sorted(image_list(a), compare_tags)));
        } else if (streq(method, "DELETE")) {
                if (local_api_is_root(x))
                        remove_image_by_name(a, x);
        } else {
                local_api_fail(x, 405, "the method is not allowed here: expected GET or DELETE");
        }
}

static void handle_image_action(struct local_images *a, struct http_exchange *x,
                                void (*action)(struct local_images *a, struct http_exchange *x,
                                               const json_t *body))
{
        json_auto_t *body = NULL;

        if (!local_api_is_method(x, "POST") || !local_api_is_root(x))
                return;
        body = local_api_body(x);
        if (body)
                action(a, x, body);
}

/* ---- the whole ---- */

bool local_images_serve(struct local_images *a, struct http_exchange *x, const char *path)
{
        if (streq(path, "/v1/images"))
                handle_images(a, x);
        else if (streq(path, "/v1/images/pull"))
                handle_image_action(a, x, pull_image);
        else if (streq(path, "/v1/images/prune"))
                handle_image_action(a, x, prune_images);
        else if (streq(path, "/v1/images/export") || streq(path, "/v1/images/verify"))
                local_image_read_serve(a->reads, x, endswith(path, "/export"));
        else if (streq(path, "/v1/images/import"))
                handle_image_action(a, x, import_image);
        else
                return false;
        return true;
}

struct local_images *local_images_new(sd_event *event, struct runtime *rt)
{
        struct local_images *a = calloc(1, sizeof *a);

        if (!a)
                return NULL;
        a->rt = rt;
        list_init(&a->waiting);
        a->reads = local_image_reads_new(event, rt);
        return a->reads ? a : local_images_free(a);
}

struct local_images *local_images_free(struct local_images *a)
{
        struct image_request *r, *next;

        if (!a)
                return NULL;
        LIST_FOREACH_SAFE (r, next, &a->waiting, node)
                image_request_free(r);
        local_image_reads_free(a->reads);
        free(a);
        return NULL;
}
