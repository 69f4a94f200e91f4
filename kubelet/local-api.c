#include "kubelet/local-api.h"

#include <errno.h>
#include <string.h>

#include "base/local-socket.h"
#include "base/log.h"
#include "base/text.h"
#include "kubelet/local-config.h"
#include "kubelet/local-containers.h"
#include "kubelet/local-exec.h"
#include "kubelet/local-forward.h"
#include "kubelet/local-images.h"
#include "kubelet/local-plan.h"
#include "kubelet/local-pods.h"
#include "kubelet/local-status.h"
#include "kubelet/pod-observe.h"
#include "kubelet/server-logs.h"

struct local_api {
        struct local_api_options options;
        struct server_ops ops; /* a copy: those of the options are gone */
        const struct context *ctx;
        struct server_logs *logs;
        struct local_images *images;
        struct local_forwards *forwards;
};

/* ---- answers ---- */

void local_api_fail(struct http_exchange *x, int status, const char *message)
{
        local_socket_fail(x, status, message);
}

bool local_api_is_root(struct http_exchange *x)
{
        const struct http_peer *peer = http_exchange_peer(x);

        if (peer->is_unix && peer->uid == 0)
                return true;
        local_api_fail(x, 403, "this needs root; a member of the socket's group may only look");
        return false;
}

bool local_api_is_method(struct http_exchange *x, const char *method)
{
        return local_socket_is_method(x, method);
}

/* The body as an object; answers when it is none. */
json_t *local_api_body(struct http_exchange *x)
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
json_t *local_api_sorted(json_t *list, int (*compare)(const void *a, const void *b))
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
                         "items", local_api_sorted(l.items, compare_names));
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
        body = local_api_body(x);
        if (body)
                local_exec_serve(a->ctx, x, pod, body);
}

static void serve_restart(struct http_exchange *x, struct pod_worker *w)
{
        json_auto_t *body = local_api_body(x);

        if (body)
                local_pod_restart(x, w, body);
}

static void handle_pod_part(struct local_api *a, struct http_exchange *x, struct pod *pod,
                            struct pod_worker *w, const char *part)
{
        if (streq(part, "log")) {
                if (local_api_is_method(x, "GET"))
                        serve_log(a, x, pod);
        } else if (streq(part, "inspect")) { /* it shows values out of Secrets */
                if (local_api_is_method(x, "GET") && local_api_is_root(x))
                        local_pod_inspect(a->ctx, x, pod);
        } else if (local_api_is_method(x, "POST") && local_api_is_root(x)) {
                if (streq(part, "exec"))
                        serve_exec(a, x, pod);
                else if (streq(part, "attach"))
                        serve_session(a, x, pod, true);
                else if (streq(part, "port-forward"))
                        local_forward_serve(a->forwards, x, pod);
                else if (streq(part, "restart"))
                        serve_restart(x, w);
                else
                        local_pod_stop(x, w, pod);
        }
}

/* /v1/pods/NS/NAME[/PART] */
static void handle_pod(struct local_api *a, struct http_exchange *x, const char *rest)
{
        static const char *const known[] = { "log",          "exec",    "attach", "inspect",
                                             "port-forward", "restart", "stop",   NULL };
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
                        "no such path: expected /v1/pods/NAMESPACE/NAME[/log|/exec|/attach|/inspect|/port-forward|/restart|/stop]");
        pod = pod_manager_find(a->options.pods, parts[0], parts[1], &w);
        if (!pod) {
                message = text_printf("pods \"%s\" not found in namespace \"%s\" on this node",
                                      parts[1], parts[0]);
                return local_api_fail(x, 404, message ? message : "pod not found");
        }
        if (n == 3)
                handle_pod_part(a, x, pod, w, parts[2]);
        else if (local_api_is_method(x, "GET"))
                answer_pod(a, x, pod, w);
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

/* It tells what would be: nothing is changed, and who may look may ask. */
static void serve_plan(struct local_api *a, struct http_exchange *x)
{
        json_auto_t *body = local_api_body(x);

        if (body)
                local_plan_serve(a->ctx, a->options.pods, x, body);
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
                if (local_api_is_method(x, "GET"))
                        http_answer_json(x, 200,
                                         local_api_pod_list(a,
                                                            http_exchange_query(x, "namespace")));
        } else if ((rest = startswith(path, "/v1/pods/"))) {
                handle_pod(a, x, rest);
        } else if (streq(path, "/v1/containers")) {
                if (local_api_is_method(x, "GET"))
                        http_answer_json(x, 200,
                                         local_containers_json(a->ctx, a->options.pods,
                                                               http_exchange_query(x, "namespace"),
                                                               http_exchange_query(x, "pod")));
        } else if (local_images_serve(a->images, x, path)) {
                return;
        } else if (streq(path, "/v1/config")) {
                if (local_api_is_method(x, "GET"))
                        serve_config(a, x);
        } else if (streq(path, "/v1/plan")) {
                if (local_api_is_method(x, "POST"))
                        serve_plan(a, x);
        } else if (streq(path, "/v1/stats")) {
                if (local_api_is_method(x, "GET"))
                        serve_stats(a, x);
        } else if (streq(path, "/v1/status")) {
                if (local_api_is_method(x, "GET"))
                        http_answer_json(x, 200,
                                         local_status_json(a->ctx, a->options.pods,
                                                           a->options.node(a->options.userdata)));
        } else if (streq(path, "/v1/node")) {
                if (local_api_is_method(x, "GET"))
                        http_answer_json(x, 200, a->options.node(a->options.userdata));
        } else if (streq(path, "/v1/events")) {
                if (local_api_is_method(x, "GET"))
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
        a->images = local_images_new(options->ctx->event, options->ctx->rt);
        a->forwards = local_forwards_new(options->ctx);
        if (!a->images || !a->forwards ||
            server_logs_new(a->ctx->event, a->ctx->pod_log_dir, options->logs, local_api_fail,
                            &a->logs) < 0) {
                local_forwards_free(a->forwards);
                local_images_free(a->images);
                free(a);
                return err_sys(err, -ENOMEM, "start the local socket");
        }
        *ret = a;
        return 0;
}

struct local_api *local_api_free(struct local_api *a)
{
        if (!a)
                return NULL;
        local_forwards_free(a->forwards);
        local_images_free(a->images);
        server_logs_free(a->logs);
        free(a);
        return NULL;
}
