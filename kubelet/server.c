#include "kubelet/server.h"

#include <errno.h>
#include <string.h>

#include "base/fs.h"
#include "base/http-server.h"
#include "base/list.h"
#include "base/log.h"
#include "base/prometheus.h"
#include "base/text.h"
#include "kubelet/config.h"
#include "kubelet/server-auth.h"
#include "kubelet/server-files.h"
#include "kubelet/server-logs.h"
#include "kubelet/server-metrics.h"
#include "kubelet/server-zpages.h"

enum { BODY_MAX = 64 * 1024 }; /* no route of ours reads one */

struct server {
        struct server_ops ops;
        const struct kubelet_config *config; /* borrowed */
        const struct options *agent;         /* borrowed; may be NULL */
        usec_t started_at;                   /* CLOCK_REALTIME */
        struct http_tls *tls;                /* owned */
        struct http_server *api, *healthz;   /* owned; NULL: off */
        struct server_auth *auth;            /* owned */
        struct server_logs *logs;            /* owned */
        struct server_files *files;          /* owned */
        struct server_metrics *metrics;      /* owned */
        int api_fd, healthz_fd;              /* owned by the http_servers */
};

/* A request to :10250 until its handler has it. */
struct visit {
        struct server *server;          /* borrowed */
        struct http_exchange *exchange; /* borrowed */
        struct server_request request;
        struct auth_request *auth; /* owned; NULL once it is settled */
};

static struct visit *visit_free(struct visit *v)
{
        if (!v)
                return NULL;
        server_auth_cancel(v->auth);
        server_request_done(&v->request);
        free(v);
        return NULL;
}
DEFINE_CLEANUP(struct visit *, visit_free)

/* ---- /healthz ---- */

enum check_state { CHECK_OK, CHECK_FAILED, CHECK_EXCLUDED };

static const char *const checks[] = { "ping", "log", "syncloop" };

static bool is_excluded(const struct http_exchange *x, const char *check)
{
        const char *names[8];
        size_t n = http_exchange_query_all(x, "exclude", names, ARRAY_SIZE(names));

        for (size_t i = 0; i < MIN(n, ARRAY_SIZE(names)); i++)
                if (streq(names[i], check))
                        return true;
        return false;
}

static bool passes(const struct server *s, const char *check)
{
        return !streq(check, "syncloop") || !s->ops.is_sync_loop_healthy ||
               s->ops.is_sync_loop_healthy(s->ops.userdata);
}

static void answer_one_check(const struct server *s, struct http_exchange *x, const char *check)
{
        for (size_t i = 0; i < ARRAY_SIZE(checks); i++) {
                if (!streq(checks[i], check))
                        continue;
                if (passes(s, check))
                        http_answer_text(x, 200, "ok");
                else
                        http_answer_text(x, 500, "internal server error: %s failed\n", check);
                return;
        }
        http_answer_text(x, 404, "404 page not found\n");
}

static void answer_healthz(const struct server *s, struct http_exchange *x)
{
        _cleanup_strbuf_ struct strbuf b = { 0 };
        bool is_healthy = true;

        for (size_t i = 0; i < ARRAY_SIZE(checks); i++) {
                if (is_excluded(x, checks[i])) {
                        strbuf_addf(&b, "[+]%s excluded: ok\n", checks[i]);
                } else if (passes(s, checks[i])) {
                        strbuf_addf(&b, "[+]%s ok\n", checks[i]);
                } else {
                        strbuf_addf(&b, "[-]%s failed: reason withheld\n", checks[i]);
                        is_healthy = false;
                }
        }
        if (b.failed || !is_healthy)
                http_answer_text(x, 500, "%shealthz check failed\n", b.failed ? "" : b.data);
        else if (http_exchange_query(x, "verbose"))
                http_answer_text(x, 200, "%shealthz check passed\n", b.data);
        else
                http_answer_text(x, 200, "ok");
}

/* 127.0.0.1:10248 is open to everybody on the node and says no more than that we are alive. */
static void on_healthz(struct http_exchange *x, void _unused_ *userdata)
{
        if (streq(http_exchange_path(x), "/healthz"))
                http_answer_text(x, 200, "ok");
        else
                http_answer_text(x, 404, "404 page not found\n");
}

/* ---- :10250 ---- */

/* Steals @o, NULL: there was no memory for it. */
static void answer_json(struct http_exchange *x, json_t *o)
{
        if (o)
                http_answer_json(x, 200, o);
        else
                http_answer_text(x, 500, "out of memory");
}

static void answer_metrics(const struct server *s, struct http_exchange *x, enum server_route route)
{
        _cleanup_free_ char *text = s->ops.metrics(route, s->ops.userdata);

        if (text)
                http_answer(x, 200, PROMETHEUS_CONTENT_TYPE, text, strlen(text));
        else
                http_answer_text(x, 500, "out of memory");
}

static void answer_summary(const struct server *s, struct http_exchange *x)
{
        const char *only = http_exchange_query(x, "only_cpu_and_memory");

        answer_json(x, s->ops.stats_summary(only && streq(only, "true"), s->ops.userdata));
}

/* Checkpoints need CRIU, which this runtime does without; who asks is told so as a kubelet whose
 * runtime cannot do it tells it. */
static void answer_checkpoint(const struct server *s, struct http_exchange *x,
                              const struct server_request *r)
{
        json_auto_t *status = NULL;

        switch (s->ops.pod_status(r->names[0], r->names[1], r->names[2], &status,
                                  s->ops.userdata)) {
        case SERVER_NO_POD:
                http_answer_text(x, 404, "pod does not exist");
                return;
        case SERVER_NO_CONTAINER:
                http_answer_text(x, 404, "container %s does not exist", r->names[2]);
                return;
        case SERVER_FOUND:
                break;
        }
        http_answer_text(x, 500,
                         "checkpointing of %s/%s/%s failed (this node's runtime does not support "
                         "checkpoints of containers)",
                         r->names[0], r->names[1], r->names[2]);
}

static void answer_logs(const struct server *s, struct http_exchange *x, const char *path)
{
        if (s->files)
                server_files_handle(s->files, x, path);
        else
                http_answer_text(x, 405, "logs endpoint is disabled.\n");
}

/* The caller may do it: so it is done. */
static void route(struct server *s, struct http_exchange *x, const struct server_request *r)
{
        if (r->is_debug && !s->config->enable_debugging_handlers) {
                http_answer_text(x, 405, "Debug endpoints are disabled.\n");
                return;
        }
        if (r->route != ROUTE_NONE && r->route != ROUTE_UNKNOWN && !r->is_method_ok) {
                (void)http_exchange_add_header(x, "Allow", server_route_methods(r->route));
                http_answer_text(x, 405, "405: Method Not Allowed");
                return;
        }
        switch (r->route) {
        case ROUTE_HEALTHZ:
                if (r->names[0])
                        answer_one_check(s, x, r->names[0]);
                else
                        answer_healthz(s, x);
                return;
        case ROUTE_PODS:
                answer_json(x, s->ops.list_pods(s->ops.userdata));
                return;
        case ROUTE_RUNNING_PODS:
                answer_json(x, s->ops.list_running_pods(s->ops.userdata));
                return;
        case ROUTE_CONFIGZ:
                http_answer(x, 200, "application/json", s->config->configz,
                            strlen(s->config->configz));
                return;
        case ROUTE_STATUSZ:
                server_statusz_handle(x, s->started_at);
                return;
        case ROUTE_FLAGZ:
                server_flagz_handle(x, s->agent);
                return;
        case ROUTE_CONTAINER_LOGS:
                server_logs_handle(s->logs, x, r->names[0], r->names[1], r->names[2]);
                return;
        case ROUTE_EXEC:
        case ROUTE_ATTACH:
                s->ops.exec(x, r->names[0], r->names[1], r->names[3], r->names[2],
                            r->route == ROUTE_ATTACH, s->ops.userdata);
                return;
        case ROUTE_RUN:
                s->ops.run(x, r->names[0], r->names[1], r->names[3], r->names[2], s->ops.userdata);
                return;
        case ROUTE_LOGS:
                answer_logs(s, x, r->names[0]);
                return;
        case ROUTE_CHECKPOINT:
                answer_checkpoint(s, x, r);
                return;
        case ROUTE_PPROF:
                http_answer_text(x, 405, "profiling endpoint is disabled.\n");
                return;
        case ROUTE_DEBUG_FLAGS:
                http_answer_text(x, 405, "flags endpoint is disabled.\n");
                return;
        case ROUTE_PORT_FORWARD:
                s->ops.port_forward(x, r->names[0], r->names[1], r->names[3], s->ops.userdata);
                return;
        case ROUTE_METRICS:
        case ROUTE_METRICS_RESOURCE:
        case ROUTE_METRICS_PROBES:
        case ROUTE_METRICS_CADVISOR:
                answer_metrics(s, x, r->route);
                return;
        case ROUTE_STATS_SUMMARY:
                answer_summary(s, x);
                return;
        case ROUTE_UNKNOWN:
                http_answer_text(x, 404, "404: Page Not Found");
                return;
        case ROUTE_NONE:
                break;
        }
        http_answer_text(x, 404, "404 page not found\n");
}

static void on_verdict(int status, const struct identity *who, const char *text, void *userdata)
{
        _cleanup_(visit_freep)
        struct visit *v = userdata;
        struct http_exchange *x = v->exchange;

        v->auth = NULL;
        http_exchange_on_closed(x, NULL, NULL);
        if (who)
                http_exchange_trust(x);
        if (status == 200)
                route(v->server, x, &v->request);
        else
                http_answer_text(x, status, "%s", text);
}

static void on_visitor_gone(struct http_exchange _unused_ *x, void *userdata)
{
        visit_free(userdata);
}

static void on_api_request(struct http_exchange *x, void *userdata)
{
        struct visit *v = calloc(1, sizeof *v);
        struct server *s = userdata;
        struct auth_request *pending;

        server_metrics_begin(s->metrics, http_exchange_method(x), http_exchange_path(x));
        if (!v ||
            server_request_parse(http_exchange_method(x), http_exchange_path(x), &v->request) < 0) {
                free(v);
                http_answer_text(x, 500, "out of memory");
                return;
        }
        v->server = s;
        v->exchange = x;
        http_exchange_on_closed(x, on_visitor_gone, v);
        pending = server_auth_check(s->auth, http_exchange_peer(x),
                                    http_exchange_header(x, "Authorization"), &v->request,
                                    on_verdict, v);
        if (pending) /* else it was settled and v is gone */
                v->auth = pending;
}

static void on_api_finished(struct http_exchange *x, usec_t took, void *userdata)
{
        struct server *s = userdata;

        server_metrics_end(s->metrics, http_exchange_method(x), http_exchange_path(x), took);
}

void server_add_metrics(const struct server *s, struct strbuf *b)
{
        struct http_server_counts counts = { 0 };

        if (!s->api)
                return;
        http_server_read_counts(s->api, &counts);
        server_metrics_format(s->metrics, &counts, b);
}

/* ---- set-up ---- */

static int load_tls(struct server *s, const char *cert, const char *key, bool may_come_later,
                    const struct kubelet_config *c, struct err *err)
{
        int r = may_come_later ? http_tls_new_awaiting(cert, key, c->client_ca_file, &s->tls, err)
                               : http_tls_new(cert, key, c->client_ca_file, &s->tls, err);

        if (r < 0)
                return r;
        return http_tls_restrict(s->tls, c->tls_min_version,
                                 (const char *const *)c->tls_cipher_suites, err);
}

static int make_tls(struct server *s, const struct server_options *o, struct err *err)
{
        const struct kubelet_config *c = o->config;
        _cleanup_free_ char *cert = NULL, *key = NULL;
        _cleanup_close_ int dir_fd = -1;
        int r;

        if (c->tls_cert_file && c->tls_key_file)
                return load_tls(s, c->tls_cert_file, c->tls_key_file, false, c, err);
        if (o->serving_certificate)
                return load_tls(s, o->serving_certificate, o->serving_certificate, true, c, err);
        dir_fd = fs_open_dir(o->pki_dir, 0700, err);
        if (dir_fd < 0)
                return dir_fd;
        cert = text_printf("%s/kubelet.crt", o->pki_dir);
        key = text_printf("%s/kubelet.key", o->pki_dir);
        if (!cert || !key)
                return -ENOMEM;
        r = http_tls_make_self_signed(cert, key, o->node_name, o->addresses, err);
        if (r < 0)
                return r;
        return load_tls(s, cert, key, false, c, err);
}

static int make_auth(struct server *s, const struct server_options *o)
{
        const struct server_auth_options options = {
                .node_name = o->node_name,
                .session = o->session,
                .anonymous = o->config->anonymous,
                .token_webhook = o->config->webhook_authentication,
                .authorize_always = o->config->authorize_always,
                .token_ttl = o->config->authentication_cache_usec,
                .allowed_ttl = o->config->authorized_cache_usec,
                .denied_ttl = o->config->unauthorized_cache_usec,
        };

        return server_auth_new(&options, &s->auth);
}

/* Takes @fd (-1: makes one), and remembers it in *ret_fd. */
static int listen_on(struct http_server *server, int fd, const char *address, uint16_t port,
                     int *ret_fd, struct err *err)
{
        int r;

        if (fd < 0)
                fd = http_listen_tcp(address, port, err);
        if (fd < 0)
                return fd;
        r = http_server_add_listener(server, fd);
        if (r < 0)
                return err_sys(err, r, "listen on '%s' port %u", address, port);
        *ret_fd = fd;
        return 0;
}

static int start_api(struct server *s, sd_event *event, const struct server_options *o, int fd,
                     struct err *err)
{
        struct http_server_options options = {
                .name = "kubelet API",
                .body_max = BODY_MAX,
                .handler = on_api_request,
                .on_finished = on_api_finished,
                .userdata = s,
                .stream_usec = o->config->streaming_idle_usec,
        };
        int r = make_tls(s, o, err);

        if (r == 0)
                r = server_metrics_new(&s->metrics);
        if (r == 0)
                r = make_auth(s, o);
        if (r == 0)
                r = server_logs_new(event, o->pod_logs_dir, &o->ops, NULL, &s->logs);
        if (r == 0 && o->config->enable_system_log_handler)
                r = server_files_new(o->system_logs_dir, &s->files);
        options.tls = s->tls;
        if (r == 0)
                r = http_server_new(event, &options, &s->api, err);
        if (r == 0)
                return listen_on(s->api, fd, o->config->address, o->config->port, &s->api_fd, err);
        safe_close(fd);
        return r;
}

static int start_healthz(struct server *s, sd_event *event, const struct server_options *o, int fd,
                         struct err *err)
{
        const struct http_server_options options = {
                .name = "healthz",
                .body_max = 1024,
                .max_connections = 64,
                .max_untrusted = 64,
                .handler = on_healthz,
                .userdata = s,
        };
        int r = http_server_new(event, &options, &s->healthz, err);

        if (r < 0) {
                safe_close(fd);
                return r;
        }
        return listen_on(s->healthz, fd, o->config->healthz_address, o->config->healthz_port,
                         &s->healthz_fd, err);
}

int server_new(sd_event *event, const struct server_options *options, struct server **ret,
               struct err *err)
{
        _cleanup_(server_freep)
        struct server *s = malloc(sizeof *s);
        _cleanup_close_ int api_fd = options->api_fd, healthz_fd = options->healthz_fd;
        int r;

        if (!s)
                return -ENOMEM;
        *s = (struct server){
                .ops = options->ops,
                .config = options->config,
                .agent = options->agent,
                .started_at = now_realtime(),
                .api_fd = -1,
                .healthz_fd = -1,
        };
        if (options->config->enable_server) {
                r = start_api(s, event, options, TAKE_FD(api_fd), err);
                if (r < 0)
                        return err_wrap(err, r, "kubelet API");
        }
        if (options->config->healthz_port > 0) {
                r = start_healthz(s, event, options, TAKE_FD(healthz_fd), err);
                if (r < 0)
                        return err_wrap(err, r, "healthz");
        }
        *ret = TAKE_PTR(s);
        return 0;
}

struct server *server_free(struct server *s)
{
        if (!s)
                return NULL;
        /* The connections first: their handlers still need what is below. */
        http_server_free(s->api);
        http_server_free(s->healthz);
        server_logs_free(s->logs);
        server_files_free(s->files);
        server_metrics_free(s->metrics);
        server_auth_free(s->auth);
        http_tls_free(s->tls);
        free(s);
        return NULL;
}

void server_container_ended(struct server *s, const char *container_id)
{
        if (s->logs)
                server_logs_container_ended(s->logs, container_id);
}

int server_api_fd(const struct server *s)
{
        return s->api_fd;
}

int server_healthz_fd(const struct server *s)
{
        return s->healthz_fd;
}
