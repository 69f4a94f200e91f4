#include "kubelet/local-api.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/list.h"
#include "base/log.h"
#include "base/text.h"
#include "kubelet/local-config.h"
#include "kubelet/local-containers.h"
#include "kubelet/local-exec.h"
#include "kubelet/local-pods.h"
#include "kubelet/local-status.h"
#include "kubelet/pod-observe.h"
#include "kubelet/server-logs.h"

struct local_api {
        struct local_api_options options;
        struct server_ops ops; /* a copy: those of the options are gone */
        const struct context *ctx;
        struct server_logs *logs;
        struct list waiting; /* struct image_request */
};

/* ---- answers ---- */

static const char *reason_of_status(int status)
{
        switch (status) {
        case 400:
                return "BadRequest";
        case 403:
                return "Forbidden";
        case 404:
                return "NotFound";
        case 405:
                return "MethodNotAllowed";
        case 409:
                return "Conflict";
        case 422:
                return "Invalid";
        default:
                return "InternalError";
        }
}

void local_api_fail(struct http_exchange *x, int status, const char *message)
{
        http_answer_json(x, status,
                         json_pack("{s:s, s:s, s:s, s:s, s:s, s:i}", "apiVersion", "v1", "kind",
                                   "Status", "status", "Failure", "reason",
                                   reason_of_status(status), "message", message, "code", status));
}

static bool is_root(struct http_exchange *x)
{
        const struct http_peer *peer = http_exchange_peer(x);

        if (peer->is_unix && peer->uid == 0)
                return true;
        local_api_fail(x, 403, "this needs root; a member of the socket's group may only look");
        return false;
}

static bool is_method(struct http_exchange *x, const char *method)
{
        _cleanup_free_ char *message = NULL;

        if (streq(http_exchange_method(x), method))
                return true;
        message = text_printf("the method is not allowed here: expected %s", method);
        local_api_fail(x, 405, message ? message : "the method is not allowed here");
        return false;
}

/* The body as an object; answers when it is none. */
static json_t *body_of(struct http_exchange *x)
{
        _cleanup_err_ struct err err = { 0 };
        json_t *o = NULL;
        size_t n;
        const char *text = http_exchange_body(x, &n);

        if (json_parse(text ? text : "", n, true, &o, &err) < 0) {
                local_api_fail(x, 400, err_text(&err));
                return NULL;
        }
        if (json_is_object(o))
                return o;
        json_decref(o);
        local_api_fail(x, 400, "body: expected a JSON object");
        return NULL;
}

/* ---- pods ---- */

static int compare_names(const void *a, const void *b)
{
        static const char *const keys[] = { "namespace", "name" };
        const json_t *x = json_object_get(*(json_t *const *)a, "metadata"),
                     *y = json_object_get(*(json_t *const *)b, "metadata");
        int r = 0;

        for (size_t i = 0; r == 0 && i < ARRAY_SIZE(keys); i++) {
                const char *s = json_text_at(x, keys[i]), *t = json_text_at(y, keys[i]);

                r = strcmp(s ? s : "", t ? t : "");
        }
        return r;
}

/* What a person sees stays in its place from one look to the next. Steals @list. */
static json_t *sorted(json_t *list, int (*compare)(const void *a, const void *b))
{
        size_t n = json_array_size(list), i;
        _cleanup_free_ json_t **items = calloc(n ? n : 1, sizeof *items);
        json_t *ordered = items ? json_array() : NULL, *e;

        if (!ordered)
                return list;
        json_array_foreach (list, i, e)
                items[i] = e;
        qsort(items, n, sizeof *items, compare);
        for (i = 0; i < n; i++)
                json_array_append(ordered, items[i]);
        json_decref(list);
        return ordered;
}

struct listing {
        struct local_api *api;
        const char *namespace;
        json_t *items;
};

static void add_pod(struct pod *pod, struct pod_worker *w, void *userdata)
{
        struct listing *l = userdata;
        json_t *o;

        if (l->namespace && !streq(pod->namespace, l->namespace))
                return;
        o = pod_manager_pod_json(l->api->options.pods, pod, w);
        if (o)
                json_array_append_new(l->items, o);
}

json_t *local_api_pod_list(struct local_api *a, const char *namespace)
{
        struct listing l = { a, namespace, json_array() };

        pod_manager_foreach(a->options.pods, add_pod, &l);
        return json_pack("{s:s, s:s, s:{}, s:o}", "apiVersion", "v1", "kind", "PodList", "metadata",
                         "items", sorted(l.items, compare_names));
}

struct logs { /* of one pod */
        const char *uid;
        json_t *list;
};

static void add_container(const struct container_status *c, void *userdata)
{
        struct logs *l = userdata;
        const char *uid = string_map_get(c->labels, LABEL_POD_UID);
        const char *name = string_map_get(c->labels, LABEL_CONTAINER_NAME);
        json_t *o;

        if (!uid || !streq(uid, l->uid))
                return;
        o = json_pack("{s:s, s:s, s:i}", "id", c->id, "logPath", c->log_path ? c->log_path : "",
                      "pid", (int)c->pid);
        json_set_text(o, "name", name);
        json_array_append_new(l->list, o);
}

static void answer_pod(struct local_api *a, struct http_exchange *x, struct pod *pod,
                       struct pod_worker *w)
{
        json_t *o = pod_manager_pod_json(a->options.pods, pod, w),
               *ours = pod_manager_explain(a->options.pods, pod, w);
        struct logs logs = { pod->uid, json_array() };

        container_foreach(a->ctx->rt, NULL, add_container, &logs);
        json_object_set_new(ours, "containers", logs.list);
        json_object_set_new(o, "skiff", ours);
        http_answer_json(x, 200, o);
}

static void serve_log(struct local_api *a, struct http_exchange *x, const struct pod *pod)
{
        const char *container = http_exchange_query(x, "container");

        server_logs_handle(a->logs, x, pod->namespace, pod->name,
                           container && *container ? container : pod->containers[0].name);
}

void local_api_container_ended(struct local_api *a, const char *container_id)
{
        server_logs_container_ended(a->logs, container_id);
}

/* Both ways, over a connection that is no longer HTTP: exec with input or a terminal, and attach.
 */
static void serve_session(struct local_api *a, struct http_exchange *x, const struct pod *pod,
                          bool attach)
{
        const char *container = http_exchange_query(x, "container");
        _cleanup_err_ struct err err = { 0 };
        const struct container_status *c;

        if (!http_exchange_upgrade_protocol(x))
                return local_api_fail(x, 400,
                                      "expected an upgrade to skiff-frames, SPDY/3.1 or websocket");
        c = pod_running_container(a->ctx, pod, container && *container ? container : NULL, &err);
        if (!c)
                return local_api_fail(x, err.kind == ERR_NOT_FOUND ? 404 : 409, err_text(&err));
        a->options.exec(x, c->id, attach, a->options.exec_userdata);
}

static void serve_exec(struct local_api *a, struct http_exchange *x, const struct pod *pod)
{
        json_auto_t *body = NULL;

        if (http_exchange_upgrade_protocol(x))
                return serve_session(a, x, pod, false);
        body = body_of(x);
        if (body)
                local_exec_serve(a->ctx, x, pod, body);
}

static void serve_restart(struct http_exchange *x, struct pod_worker *w)
{
        json_auto_t *body = body_of(x);

        if (body)
                local_pod_restart(x, w, body);
}

static void handle_pod_part(struct local_api *a, struct http_exchange *x, struct pod *pod,
                            struct pod_worker *w, const char *part)
{
        if (streq(part, "log")) {
                if (is_method(x, "GET"))
                        serve_log(a, x, pod);
        } else if (streq(part, "inspect")) { /* it shows values out of Secrets */
                if (is_method(x, "GET") && is_root(x))
                        local_pod_inspect(a->ctx, x, pod);
        } else if (is_method(x, "POST") && is_root(x)) {
                if (streq(part, "exec"))
                        serve_exec(a, x, pod);
                else if (streq(part, "attach"))
                        serve_session(a, x, pod, true);
                else if (streq(part, "restart"))
                        serve_restart(x, w);
                else
                        local_pod_stop(x, w, pod);
        }
}

/* /v1/pods/NS/NAME[/log|/exec|/attach|/inspect|/restart|/stop] */
static void handle_pod(struct local_api *a, struct http_exchange *x, const char *rest)
{
        static const char *const known[] = { "log",     "exec", "attach", "inspect",
                                             "restart", "stop", NULL };
        _cleanup_strv_ char **parts = NULL;
        _cleanup_free_ char *message = NULL;
        struct pod_worker *w;
        struct pod *pod;
        size_t n;

        if (strv_split(rest, "/", &parts) < 0)
                return local_api_fail(x, 500, "out of memory");
        n = strv_len(parts);
        if (n < 2 || n > 3 || (n == 3 && !strv_contains((char *const *)known, parts[2])))
                return local_api_fail(
                        x, 404,
                        "no such path: expected /v1/pods/NAMESPACE/NAME[/log|/exec|/attach|/inspect|/restart|/stop]");
        pod = pod_manager_find(a->options.pods, parts[0], parts[1], &w);
        if (!pod) {
                message = text_printf("pods \"%s\" not found in namespace \"%s\" on this node",
                                      parts[1], parts[0]);
                return local_api_fail(x, 404, message ? message : "pod not found");
        }
        if (n == 3)
                handle_pod_part(a, x, pod, w, parts[2]);
        else if (is_method(x, "GET"))
                answer_pod(a, x, pod, w);
}

/* ---- images ---- */

struct image_request { /* answered when the runtime is done */
        struct local_api *api;
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

static struct image_request *image_request_new(struct local_api *a, struct http_exchange *x,
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
        r->api = a;
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

static void pull_image(struct local_api *a, struct http_exchange *x, const json_t *body)
{
        const char *image = json_text_at(body, "image");
        _cleanup_err_ struct err err = { 0 };
        struct image_request *r;

        if (!image)
                return local_api_fail(x, 400, "image: expected an image name");
        r = image_request_new(a, x, "image", image);
        if (r)
                begin_image_request(r,
                                    image_pull(a->ctx->rt, image, NULL, 0, on_image_done, r, &r->op,
                                               &err),
                                    &err);
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

static void import_image(struct local_api *a, struct http_exchange *x, const json_t *body)
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
        begin_image_request(r, image_import(a->ctx->rt, fd, name, on_image_done, r, &r->op, &err),
                            &err);
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

static void add_image(const struct image_info *i, void *userdata)
{
        struct image_listing *l = userdata;
        json_t *users = json_object_get(l->users, i->id);
        char time[TIME_TEXT_MAX];

        json_array_append_new(l->items,
                              json_pack("{s:s, s:o, s:o, s:I, s:s, s:o}", "id", i->id, "tags",
                                        strings_json(i->repo_tags), "digests",
                                        strings_json(i->repo_digests), "size", (json_int_t)i->size,
                                        "pulledAt", time_format(i->pulled_at, time), "usedBy",
                                        users ? json_incref(users) : json_array()));
}

static json_t *image_list(struct local_api *a)
{
        json_auto_t *users = json_object();
        struct image_listing l = { a->ctx->rt, json_array(), users };

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

static void remove_image_by_name(struct local_api *a, struct http_exchange *x)
{
        const char *name = http_exchange_query(x, "name");
        _cleanup_err_ struct err err = { 0 };
        int r;

        if (!name || !*name)
                return local_api_fail(x, 400, "name: expected an image name or id");
        r = image_remove(a->ctx->rt, name, &err);
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
static void prune_images(struct local_api *a, struct http_exchange *x, _unused_ const json_t *body)
{
        _cleanup_strv_ char **ids = NULL;
        json_t *removed = json_array();
        uint64_t bytes = 0;

        image_foreach(a->ctx->rt, collect_id, &ids);
        STRV_FOREACH (id, ids) {
                const struct image_info *i = image_find(a->ctx->rt, *id);
                _cleanup_err_ struct err err = { 0 };
                uint64_t size = i ? i->size : 0;
                json_t *o = json_pack("{s:s, s:I, s:o}", "id", *id, "size", (json_int_t)size,
                                      "names", strings_json(i ? i->repo_tags : NULL));
                int r = image_remove(a->ctx->rt, *id, &err);

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

static void handle_images(struct local_api *a, struct http_exchange *x)
{
        const char *method = http_exchange_method(x);

        if (streq(method, "GET")) {
                http_answer_json(x, 200,
                                 json_pack("{s:o}", "items", sorted(image_list(a), compare_tags)));
        } else if (streq(method, "DELETE")) {
                if (is_root(x))
                        remove_image_by_name(a, x);
        } else {
                local_api_fail(x, 405, "the method is not allowed here: expected GET or DELETE");
        }
}

static void handle_image_action(struct local_api *a, struct http_exchange *x,
                                void (*action)(struct local_api *a, struct http_exchange *x,
                                               const json_t *body))
{
        json_auto_t *body = NULL;

        if (!is_method(x, "POST") || !is_root(x))
                return;
        body = body_of(x);
        if (body)
                action(a, x, body);
}

/* ---- the whole ---- */

static void serve_config(struct local_api *a, struct http_exchange *x)
{
        json_t *o = local_config_json(a->ctx->config, a->options.agent);

        if (o)
                http_answer_json(x, 200, o);
        else
                local_api_fail(x, 500, "out of memory");
}

static void serve_stats(struct local_api *a, struct http_exchange *x)
{
        json_t *o = a->ops.stats_summary(false, a->ops.userdata);

        if (o)
                http_answer_json(x, 200, o);
        else
                local_api_fail(x, 500, "out of memory");
}

void local_api_handle(struct http_exchange *x, void *userdata)
{
        struct local_api *a = userdata;
        const char *path = http_exchange_path(x), *rest;

        http_exchange_trust(x);
        if (streq(path, "/v1/pods")) {
                if (is_method(x, "GET"))
                        http_answer_json(x, 200,
                                         local_api_pod_list(a,
                                                            http_exchange_query(x, "namespace")));
        } else if ((rest = startswith(path, "/v1/pods/"))) {
                handle_pod(a, x, rest);
        } else if (streq(path, "/v1/containers")) {
                if (is_method(x, "GET"))
                        http_answer_json(x, 200,
                                         local_containers_json(a->ctx, a->options.pods,
                                                               http_exchange_query(x, "namespace"),
                                                               http_exchange_query(x, "pod")));
        } else if (streq(path, "/v1/images")) {
                handle_images(a, x);
        } else if (streq(path, "/v1/images/pull")) {
                handle_image_action(a, x, pull_image);
        } else if (streq(path, "/v1/images/prune")) {
                handle_image_action(a, x, prune_images);
        } else if (streq(path, "/v1/images/import")) {
                handle_image_action(a, x, import_image);
        } else if (streq(path, "/v1/config")) {
                if (is_method(x, "GET"))
                        serve_config(a, x);
        } else if (streq(path, "/v1/stats")) {
                if (is_method(x, "GET"))
                        serve_stats(a, x);
        } else if (streq(path, "/v1/status")) {
                if (is_method(x, "GET"))
                        http_answer_json(x, 200,
                                         local_status_json(a->ctx, a->options.pods,
                                                           a->options.node(a->options.userdata)));
        } else if (streq(path, "/v1/node")) {
                if (is_method(x, "GET"))
                        http_answer_json(x, 200, a->options.node(a->options.userdata));
        } else if (streq(path, "/v1/events")) {
                if (is_method(x, "GET"))
                        http_answer_json(x, 200,
                                         json_pack("{s:s, s:s, s:{}, s:o}", "apiVersion", "v1",
                                                   "kind", "EventList", "metadata", "items",
                                                   events_recent(a->ctx->events)));
        } else {
                local_api_fail(x, 404,
                               "no such path: expected /v1/pods, /v1/images, /v1/node or "
                               "/v1/events");
        }
}

int local_api_new(const struct local_api_options *options, struct local_api **ret, struct err *err)
{
        struct local_api *a = calloc(1, sizeof *a);

        if (!a)
                return err_sys(err, -ENOMEM, "start the local socket");
        *a = (struct local_api){ .options = *options, .ops = *options->logs, .ctx = options->ctx };
        list_init(&a->waiting);
        if (server_logs_new(a->ctx->event, a->ctx->pod_log_dir, options->logs, local_api_fail,
                            &a->logs) < 0) {
                free(a);
                return err_sys(err, -ENOMEM, "start the local socket");
        }
        *ret = a;
        return 0;
}

struct local_api *local_api_free(struct local_api *a)
{
        struct image_request *r, *next;

        if (!a)
                return NULL;
        LIST_FOREACH_SAFE (r, next, &a->waiting, node)
                image_request_free(r);
        server_logs_free(a->logs);
        free(a);
        return NULL;
}
