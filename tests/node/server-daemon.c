/*
 * kubelet/server in a process of its own for tests/node/test-server.py. Arguments: the API server's
 * URL, a folder, and pairs of KubeletConfiguration as JSON. In the folder: state.json, read anew
 * for each question, { "pods": { "ns/name": v1.PodStatus }, "containers": { id: { path, running }
 * }, "healthy": bool }; logs/ (pod logs); var-log/ (the machine's); pki/. SIGUSR1: containers that
 * do not run have ended.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fs.h"
#include "base/http-server.h"
#include "base/json.h"
#include "base/log.h"
#include "base/text.h"
#include "kubelet/config.h"
#include "kubelet/server.h"

struct state {
        const char *folder;
        struct server *server;
};

static json_t *read_state(const struct state *s)
{
        _cleanup_free_ char *path = text_printf("%s/state.json", s->folder), *text = NULL;
        json_t *state = NULL;
        size_t n;

        if (fs_read_at(AT_FDCWD, path, 1 << 20, &text, &n) < 0 ||
            json_parse(text, n, false, &state, NULL) < 0)
                abort();
        return state;
}

static json_t *list_pods(void *userdata)
{
        json_auto_t *state = read_state(userdata);
        json_t *items = json_array(), *status;
        const char *name;

        json_object_foreach (json_object_get(state, "pods"), name, status)
                json_array_append_new(items, json_pack("{s:{s:s}, s:O}", "metadata", "name", name,
                                                       "status", status));
        return json_pack("{s:s, s:s, s:{}, s:o}", "apiVersion", "v1", "kind", "PodList", "metadata",
                         "items", items);
}

static json_t *list_running_pods(void _unused_ *userdata)
{
        return json_pack("{s:s}", "kind", "Running");
}

static void run(struct http_exchange *x, const char *namespace, const char *pod, const char *uid,
                const char *container, void _unused_ *userdata)
{
        http_answer_text(x, 200, "%s %s %s %s %s", namespace, pod, uid ? uid : "-", container,
                         http_exchange_query(x, "cmd"));
}

static enum server_lookup pod_status(const char *namespace, const char *pod, const char *container,
                                     json_t **ret_status, void *userdata)
{
        _cleanup_free_ char *key = text_printf("%s/%s", namespace, pod);
        json_auto_t *state = read_state(userdata);
        json_t *status = json_object_get(json_object_get(state, "pods"), key);

        if (!status)
                return SERVER_NO_POD;
        if (streq(container, "absent"))
                return SERVER_NO_CONTAINER;
        *ret_status = json_incref(status);
        return SERVER_FOUND;
}

static int find_log(const char *container_id, char **ret_path, bool *ret_is_running, void *userdata)
{
        json_auto_t *state = read_state(userdata);
        const json_t *c = json_object_get(json_object_get(state, "containers"), container_id);

        if (!c)
                return -ENOENT;
        *ret_path = strdup(json_text_at(c, "path"));
        *ret_is_running = json_is_true(json_object_get(c, "running"));
        return 0;
}

static char *metrics(enum server_route route, void *userdata)
{
        const struct state *s = userdata;
        struct strbuf b = { 0 };

        strbuf_add(&b, route == ROUTE_METRICS_RESOURCE ? "of_pods 1\n" : "of_agent 1\n");
        if (route == ROUTE_METRICS)
                server_add_metrics(s->server, &b);
        return strbuf_take(&b);
}

static json_t *stats_summary(bool only_cpu_and_memory, void _unused_ *userdata)
{
        return json_pack("{s:b}", "only", only_cpu_and_memory);
}

static bool is_healthy(void *userdata)
{
        json_auto_t *state = read_state(userdata);

        return !json_is_false(json_object_get(state, "healthy"));
}

static int on_ended(sd_event_source _unused_ *source, const struct signalfd_siginfo _unused_ *si,
                    void *userdata)
{
        struct state *s = userdata;
        json_auto_t *state = read_state(s);
        const char *id;
        json_t *c;

        json_object_foreach (json_object_get(state, "containers"), id, c)
                if (!json_is_true(json_object_get(c, "running")))
                        server_container_ended(s->server, id);
        return 0;
}

static uint16_t port_of(int fd)
{
        struct sockaddr_in a = { 0 };
        socklen_t len = sizeof a;

        return fd < 0 || getsockname(fd, (struct sockaddr *)&a, &len) < 0 ? 0 : ntohs(a.sin_port);
}

static int fail(const struct err *err)
{
        fprintf(stderr, "server-daemon: %s\n", err_text(err));
        return 1;
}

int main(int argc, char **argv)
{
        _cleanup_(kubelet_config_done)
        struct kubelet_config config = { 0 };
        _cleanup_(kube_session_freep)
        struct kube_session *session = NULL;
        struct kube_config kube = { 0 };
        json_auto_t *document = NULL;
        _cleanup_free_ char *logs = NULL, *pki = NULL, *system_logs = NULL;
        const char *const addresses[] = { "127.0.0.1", NULL };
        _cleanup_err_ struct err err = { 0 };
        struct server_options o = { .config = &config, .node_name = "node-1" };
        struct state state = { 0 };
        sd_event *event;
        sigset_t set;

        if (argc != 4)
                return 2;
        log_open("server-daemon", LOG_INFO);
        sigemptyset(&set);
        sigaddset(&set, SIGTERM);
        sigaddset(&set, SIGUSR1);
        sigprocmask(SIG_BLOCK, &set, NULL);
        state.folder = argv[2];
        logs = text_printf("%s/logs", argv[2]);
        pki = text_printf("%s/pki", argv[2]);
        system_logs = text_printf("%s/var-log", argv[2]);
        kube.server = streq(argv[1], "-") ? NULL : argv[1];
        sd_event_new(&event);
        sd_event_add_signal(event, NULL, SIGTERM, NULL, NULL);
        sd_event_add_signal(event, NULL, SIGUSR1, on_ended, &state);
        if (json_parse(argv[3], strlen(argv[3]), true, &document, &err) < 0 ||
            kubelet_config_decode(document, argv[2], &config, &err) < 0)
                return fail(&err);
        if (kube.server && kube_session_new(event, &kube, "server-daemon", &session, &err) < 0)
                return fail(&err);
        o.pod_logs_dir = logs;
        o.system_logs_dir = system_logs;
        o.pki_dir = pki;
        o.addresses = addresses;
        o.session = session;
        o.api_fd = http_listen_tcp("127.0.0.1", 0, &err);
        o.healthz_fd = http_listen_tcp("127.0.0.1", 0, &err);
        o.ops = (struct server_ops){ .list_pods = list_pods,
                                     .list_running_pods = list_running_pods,
                                     .run = run,
                                     .pod_status = pod_status,
                                     .find_log = find_log,
                                     .metrics = metrics,
                                     .stats_summary = stats_summary,
                                     .is_sync_loop_healthy = is_healthy,
                                     .userdata = &state };
        if (server_new(event, &o, &state.server, &err) < 0)
                return fail(&err);
        printf("ready %u %u\n", port_of(server_api_fd(state.server)),
               port_of(server_healthz_fd(state.server)));
        fflush(stdout);
        sd_event_loop(event);
        server_free(state.server);
        session = kube_session_free(session);
        sd_event_unref(event);
        return 0;
}
