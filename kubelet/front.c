#include "kubelet/front.h"

#include <errno.h>
#include <string.h>
#include <systemd/sd-daemon.h>

#include "base/local-socket.h"
#include "base/log.h"
#include "base/text.h"
#include "kubelet/agent-metrics.h"
#include "kubelet/cadvisor.h"
#include "kubelet/certificate-manager.h"
#include "kubelet/certificate-store.h"
#include "kubelet/config.h"
#include "kubelet/local-api.h"
#include "kubelet/local-exec.h"
#include "kubelet/pod-observe.h"
#include "kubelet/port-forward.h"
#include "kubelet/probe-metrics.h"
#include "kubelet/remote-exec.h"
#include "kubelet/remote-run.h"
#include "kubelet/running-pods.h"
#include "kubelet/server.h"
#include "kubelet/stats.h"

struct front {
        const struct context *ctx;
        struct front_options options;
        char *socket_path;                   /* owned */
        char *serving_path;                  /* owned; serverTLSBootstrap, or NULL */
        const char *names[2], *addresses[2]; /* of a serving certificate; borrowed */
        struct certificate_manager *serving; /* owned; NULL: the certificate is made elsewhere */
        struct server *server;
        struct remote_execs *execs;
        struct remote_runs *runs;
        struct port_forwards *forwards;
        struct stats *stats;
        struct cadvisor *cadvisor;
        struct local_api *local;
        struct http_server *local_server;
};

/* ---- what the servers ask ---- */

static json_t *on_list_pods(void *userdata)
{
        const struct front *f = userdata;

        return local_api_pod_list(f->local, NULL);
}

static json_t *on_list_running_pods(void *userdata)
{
        const struct front *f = userdata;

        return running_pods_list(f->ctx->rt);
}

static enum server_lookup on_pod_status(const char *namespace, const char *name,
                                        const char *container, json_t **ret_status, void *userdata)
{
        const struct front *f = userdata;
        struct pod_worker *w;
        struct pod *pod = pod_manager_find(f->options.pods, namespace, name, &w);
        json_t *status;

        if (!pod)
                return SERVER_NO_POD;
        if (!pod_find_container(pod, container))
                return SERVER_NO_CONTAINER;
        status = w ? pod_worker_status(w) : NULL;
        *ret_status = status ? status : pod_status_json(pod);
        return SERVER_FOUND;
}

static int on_find_log(const char *container_id, char **ret_path, bool *ret_is_running,
                       void *userdata)
{
        const struct front *f = userdata;
        const struct container_status *c = container_find(f->ctx->rt, container_id);

        if (!c || !c->log_path)
                return -ENOENT;
        *ret_path = strdup(c->log_path);
        *ret_is_running = c->state == CONTAINER_RUNNING || c->state == CONTAINER_CREATED;
        return *ret_path ? 0 : -ENOMEM;
}

/* The container that runs of a pod that is here, or NULL: @x was answered. */
static const struct container_status *find_running(const struct front *f, struct http_exchange *x,
                                                   const char *namespace, const char *name,
                                                   const char *uid, const char *container)
{
        const struct pod *pod = pod_manager_find(f->options.pods, namespace, name, NULL);
        const struct container_status *c;
        _cleanup_err_ struct err err = { 0 };

        if (!pod || (uid && !streq(uid, pod->uid))) {
                http_answer_text(x, 404, "pod does not exist");
                return NULL;
        }
        c = pod_running_container(f->ctx, pod, container, &err);
        if (!c)
                http_answer_text(x, 500, "%s", err_text(&err));
        return c;
}

static void on_exec(struct http_exchange *x, const char *namespace, const char *name,
                    const char *uid, const char *container, bool attach, void *userdata)
{
        const struct front *f = userdata;
        const struct container_status *c = find_running(f, x, namespace, name, uid, container);

        if (c)
                remote_execs_handle(f->execs, x, c->id, attach);
}

static void on_run(struct http_exchange *x, const char *namespace, const char *name,
                   const char *uid, const char *container, void *userdata)
{
        const struct front *f = userdata;
        const struct container_status *c = find_running(f, x, namespace, name, uid, container);

        if (c)
                remote_runs_handle(f->runs, x, c->id);
}

static void on_port_forward(struct http_exchange *x, const char *namespace, const char *name,
                            const char *uid, void *userdata)
{
        const struct front *f = userdata;
        const struct pod *pod = pod_manager_find(f->options.pods, namespace, name, NULL);
        _cleanup_free_ char *what = NULL;
        const struct sandbox_status *sandbox;

        if (!pod || (uid && !streq(uid, pod->uid))) {
                http_answer_text(x, 404, "pod does not exist");
                return;
        }
        sandbox = pod_ready_sandbox(f->ctx->rt, pod->uid);
        if (!sandbox) {
                http_answer_text(x, 500, "pod %s/%s has no running sandbox", namespace, name);
                return;
        }
        what = text_printf("pod %s_%s, uid %s", name, namespace, pod->uid);
        if (what)
                port_forwards_handle(f->forwards, x, sandbox->id, what);
        else
                http_answer_text(x, 500, "out of memory");
}

static char *agent_metrics(const struct front *f)
{
        struct agent_metrics m = {
                .stats = f->stats,
                .server = f->server,
                .pods = f->options.pods,
                .shutdown = f->options.shutdown,
                .session = f->options.session,
                .client = f->options.client,
                .serving = f->serving ? certificate_manager_counts(f->serving) : NULL,
        };

        remote_execs_read_counts(f->execs, &m.execs);
        port_forwards_read_counts(f->forwards, &m.forwards);
        return agent_metrics_format(&m);
}

static char *on_metrics(enum server_route route, void *userdata)
{
        const struct front *f = userdata;

        switch (route) {
        case ROUTE_METRICS_RESOURCE:
                return stats_resource_metrics(f->stats);
        case ROUTE_METRICS_CADVISOR:
                return cadvisor_metrics(f->cadvisor);
        case ROUTE_METRICS_PROBES:
                return probe_metrics(f->options.pods, f->ctx->started_at);
        default:
                return agent_metrics(f);
        }
}

static json_t *on_stats_summary(bool only_cpu_and_memory, void *userdata)
{
        const struct front *f = userdata;

        return stats_summary(f->stats, only_cpu_and_memory);
}

static const struct server_ops *server_ops_of(struct front *f, struct server_ops *ops)
{
        *ops = (struct server_ops){ .list_pods = on_list_pods,
                                    .list_running_pods = on_list_running_pods,
                                    .pod_status = on_pod_status,
                                    .find_log = on_find_log,
                                    .exec = on_exec,
                                    .run = on_run,
                                    .port_forward = on_port_forward,
                                    .metrics = on_metrics,
                                    .stats_summary = on_stats_summary,
                                    .userdata = f };
        return ops;
}

/* ---- the fd store ---- */

/* A listening socket that systemd kept for us, by name; -1: none. */
static int stored_fd(char **names, int n, const char *name)
{
        for (int i = 0; i < n; i++)
                if (names && names[i] && streq(names[i], name))
                        return SD_LISTEN_FDS_START + i;
        return -1;
}

static void store_fd(int fd, const char *name)
{
        _cleanup_free_ char *state = text_printf("FDSTORE=1\nFDNAME=%s", name);

        if (fd >= 0 && state)
                sd_pid_notify_with_fds(0, 0, state, &fd, 1);
}

/* ---- starting ---- */

static void on_local_exec(struct http_exchange *x, const char *container_id, bool attach,
                          void *userdata)
{
        const struct front *f = userdata;

        remote_execs_handle_local(f->execs, x, container_id, attach);
}

static int start_local(struct front *f, int stored, struct err *err)
{
        struct server_ops ops;
        const struct local_api_options local = {
                .ctx = f->ctx,
                .pods = f->options.pods,
                .logs = server_ops_of(f, &ops),
                .exec = on_local_exec,
                .exec_userdata = f,
                .agent = f->options.agent,
                .node = f->options.node,
                .userdata = f->options.userdata,
        };
        struct http_server_options server = { .name = "local socket",
                                              .max_connections = 256,
                                              .handler = local_api_handle };
        int fd = stored, r = local_api_new(&local, &f->local, err);

        if (r < 0)
                return r;
        server.userdata = f->local;
        r = http_server_new(f->ctx->event, &server, &f->local_server, err);
        if (r < 0)
                return r;
        if (fd < 0)
                fd = local_socket_listen(f->socket_path, err);
        if (fd < 0)
                return fd;
        store_fd(fd, "local");
        r = http_server_add_listener(f->local_server, fd);
        return r < 0 ? err_sys(err, r, "listen on '%s'", f->socket_path) : 0;
}

/* serverTLSBootstrap: the certificate is asked from the API server. */
static int start_serving_certificate(struct front *f, struct err *err)
{
        const struct kubelet_config *c = f->ctx->config;
        const struct certificate_manager_options options = {
                .purpose = CERTIFICATE_SERVING,
                .dir = f->options.cert_dir,
                .node_name = f->ctx->node_name,
                .dns_names = f->names,
                .addresses = f->addresses,
                .session = f->options.session,
        };

        if (!c->server_tls_bootstrap || !c->enable_server || (c->tls_cert_file && c->tls_key_file))
                return 0;
        if (!f->options.session) {
                log_warn(0, "serverTLSBootstrap needs an API server, serving a self-signed "
                            "certificate");
                return 0;
        }
        f->names[0] = f->ctx->node_name;
        f->addresses[0] = f->ctx->node_ip;
        f->serving_path = certificate_store_path(f->options.cert_dir,
                                                 certificate_purpose_prefix(CERTIFICATE_SERVING));
        if (!f->serving_path)
                return err_sys(err, -ENOMEM, "start the servers");
        return certificate_manager_new(&options, &f->serving, err);
}

static int start_server(struct front *f, int api_fd, int healthz_fd, struct err *err)
{
        const char *const addresses[] = { f->ctx->node_ip, NULL };
        struct server_options o = {
                .config = f->ctx->config,
                .node_name = f->ctx->node_name,
                .pod_logs_dir = f->ctx->pod_log_dir,
                .system_logs_dir = "/var/log",
                .pki_dir = f->options.cert_dir,
                .serving_certificate = f->serving_path,
                .addresses = addresses,
                .session = f->options.session,
                .agent = f->options.agent,
                .api_fd = api_fd,
                .healthz_fd = healthz_fd,
        };
        int r = remote_execs_new(f->ctx->event, f->ctx->rt, f->ctx->config->streaming_idle_usec,
                                 &f->execs);

        if (r == 0)
                r = remote_runs_new(f->ctx->rt, &f->runs);
        if (r == 0)
                r = port_forwards_new(f->ctx->event, f->ctx->rt,
                                      f->ctx->config->streaming_idle_usec, &f->forwards);
        if (r == 0)
                r = stats_new(f->ctx, f->options.pods, &f->stats);
        if (r < 0)
                return err_sys(err, r, "start the servers");
        r = cadvisor_new(f->ctx, &f->cadvisor, err);
        if (r < 0)
                return r;
        server_ops_of(f, &o.ops);
        r = server_new(f->ctx->event, &o, &f->server, err);
        if (r < 0)
                return r;
        store_fd(server_api_fd(f->server), "api");
        store_fd(server_healthz_fd(f->server), "healthz");
        return 0;
}

int front_new(const struct front_options *options, struct front **ret, struct err *err)
{
        _cleanup_(front_freep)
        struct front *f = calloc(1, sizeof *f);
        char **names = NULL;
        int n, r;

        if (!f)
                return err_sys(err, -ENOMEM, "start the servers");
        *f = (struct front){ .ctx = options->ctx, .options = *options };
        f->socket_path = text_printf("%s/skiff.sock", options->run_dir);
        if (!f->socket_path)
                return err_sys(err, -ENOMEM, "start the servers");
        n = sd_listen_fds_with_names(1, &names);
        r = start_local(f, stored_fd(names, n, "local"), err);
        if (r == 0)
                r = start_serving_certificate(f, err);
        if (r == 0)
                r = start_server(f, stored_fd(names, n, "api"), stored_fd(names, n, "healthz"),
                                 err);
        strv_free(names);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(f);
        return 0;
}

struct front *front_free(struct front *f)
{
        if (!f)
                return NULL;
        server_free(f->server);
        remote_execs_free(f->execs);
        remote_runs_free(f->runs);
        port_forwards_free(f->forwards);
        stats_free(f->stats);
        cadvisor_free(f->cadvisor);
        http_server_free(f->local_server);
        local_api_free(f->local);
        free(f->socket_path);
        certificate_manager_free(f->serving);
        free(f->serving_path);
        free(f);
        return NULL;
}

void front_container_ended(struct front *f, const char *container_id)
{
        server_container_ended(f->server, container_id);
        remote_execs_container_ended(f->execs, container_id);
        local_api_container_ended(f->local, container_id);
}
