/*
 * skiff-netproxy: options, configuration, one event loop.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/text.h"
#include "base/yaml.h"
#include "netproxy/events.h"
#include "netproxy/family.h"
#include "netproxy/feed.h"
#include "netproxy/health.h"
#include "netproxy/local-api.h"
#include "netproxy/node-routes.h"
#include "netproxy/options.h"
#include "netproxy/sysctls.h"

enum { READY_LATEST_SEC = 10 };

struct proxy {
        struct options options;
        struct proxy_config config;
        char *node_name, *table; /* owned */
        sd_event *event;         /* owned reference */
        struct kube_config kube;
        struct kube_session *session; /* owned */
        struct sync *sync;            /* owned */
        struct feed *feed;            /* owned */
        struct proxy_events *events;  /* owned */
        struct health *health;        /* owned */
        struct local_api *local;      /* owned; NULL: it could not be served */
        sd_event_source *late;        /* owned */
        sd_event_source *watch;       /* owned; of the configuration file */
        bool is_ready;
        char *status; /* owned; told last */
};

static void proxy_done(struct proxy *p)
{
        sd_event_source_disable_unref(p->late);
        sd_event_source_disable_unref(p->watch);
        local_api_free(p->local);
        health_free(p->health);
        feed_free(p->feed);
        proxy_events_free(p->events);
        sync_free(p->sync);
        kube_session_free(p->session);
        kube_config_done(&p->kube);
        sd_event_unref(p->event);
        proxy_config_done(&p->config);
        options_done(&p->options);
        free(p->node_name);
        free(p->table);
        free(p->status);
}

/* Standard output is a terminal's or a pipe's, not the log's: --version and --help answer there. */
static void print(const char *text)
{
        if (fs_write_all(STDOUT_FILENO, text, strlen(text)) < 0)
                _exit(1);
}

/* ---- what systemd and the log are told ---- */
static char *describe(const struct proxy *p)
{
        _cleanup_free_ char *waits = p->feed ? feed_missing(p->feed) : NULL;
        struct strbuf b = { 0 };

        if (waits)
                return text_printf("waiting for the API server's list of %s", waits);
        strbuf_addf(&b, "%zu Services", state_count_services(sync_state(p->sync)));
        for (size_t i = 0; i < FAMILIES; i++) {
                const struct sync_family_status *s = sync_status(p->sync, i);

                if (s->is_used && s->missing)
                        strbuf_addf(&b, "; not routed: %s", s->missing);
        }
        return strbuf_take(&b);
}

static void tell_status(struct proxy *p)
{
        _cleanup_free_ char *now = describe(p);

        if (!now || streq_null(now, p->status))
                return;
        sd_notifyf(0, "STATUS=%s", now);
        free(p->status);
        p->status = TAKE_PTR(now);
}

static void tell_ready(struct proxy *p)
{
        if (!p->is_ready) {
                log_info("Ready: %s", p->status ? p->status : "");
                sd_notify(0, "READY=1");
        }
        p->is_ready = true;
        p->late = sd_event_source_disable_unref(p->late);
}

static void on_synced(void *userdata)
{
        struct proxy *p = userdata;

        tell_status(p);
        tell_ready(p);
}

static void on_warning(const char *kind, const char *key, const char *reason, const char *why,
                       void *userdata)
{
        struct proxy *p = userdata;

        if (p->events)
                proxy_events_warn(p->events, kind, key, reason, "Program", why);
}

/* The unit is up also while the API server is away: what was routed before still is. */
static int on_late(_unused_ sd_event_source *s, _unused_ uint64_t due_usec, void *userdata)
{
        struct proxy *p = userdata;

        tell_status(p);
        tell_ready(p);
        return 0;
}

/* ---- set-up ---- */
static int load_config(struct proxy *p, struct err *err)
{
        json_auto_t *document = NULL;
        int r;

        proxy_config_init(&p->config);
        if (!p->options.config)
                return 0;
        r = yaml_parse_file(p->options.config, &document, err);
        if (r < 0)
                return r;
        r = proxy_config_decode(document, &p->config, err);
        return r < 0 ? err_wrap(err, r, "configuration '%s'", p->options.config) : 0;
}

/* As kube-proxy: the option, the file, the host's name; trimmed and in lower case. */
static int find_node_name(struct proxy *p, struct err *err)
{
        _cleanup_strv_ char **words = NULL;
        char host[HOST_NAME_MAX + 1] = { 0 };
        const char *name = p->options.hostname_override;

        if ((!name || !name[0]) && p->config.hostname_override)
                name = p->config.hostname_override;
        if (!name || !name[0]) {
                if (gethostname(host, sizeof host - 1) < 0)
                        return err_sys(err, -errno, "find the host's name");
                name = host;
        }
        if (strv_split(name, " \t\r\n", &words) < 0)
                return err_sys(err, -ENOMEM, "node name");
        p->node_name = strv_len(words) == 1 ? strdup(words[0]) : NULL;
        for (char *c = p->node_name; c && *c; c++)
                *c = (char)tolower((unsigned char)*c);
        if (!p->node_name || !is_dns_subdomain(p->node_name))
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                    "node name '%s': expected a DNS subdomain; set "
                                    "--hostname-override",
                                    name);
        return 0;
}

static bool has_ipv6(void)
{
        _cleanup_free_ char *disabled = NULL;

        if (access("/proc/net/if_inet6", F_OK) < 0)
                return false;
        return fs_read_line_at(AT_FDCWD, "/proc/sys/net/ipv6/conf/all/disable_ipv6", &disabled) <
                       0 ||
               !streq(disabled, "1");
}

static int on_signal(sd_event_source *s, _unused_ const struct signalfd_siginfo *si,
                     _unused_ void *userdata)
{
        log_info("Asked to stop; what is routed stays routed");
        return sd_event_exit(sd_event_source_get_event(s), 0);
}

/* kube-proxy's way: whoever changes the file wants the process to begin anew with it. */
static int on_config_changed(sd_event_source *s, _unused_ const struct inotify_event *e,
                             _unused_ void *userdata)
{
        log_notice("The configuration file has changed: ending, to be started with it");
        return sd_event_exit(sd_event_source_get_event(s), 1);
}

static int watch_surroundings(struct proxy *p, struct err *err)
{
        static const int signals[] = { SIGTERM, SIGINT };
        sigset_t mask;
        int r;

        sigemptyset(&mask);
        for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
                sigaddset(&mask, signals[i]);
        sigaddset(&mask, SIGPIPE); /* a peer that went away is an error of the write */
        if (sigprocmask(SIG_BLOCK, &mask, NULL) < 0)
                return err_sys(err, -errno, "block signals");
        for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
                r = sd_event_add_signal(p->event, NULL, signals[i], on_signal, NULL);
                if (r < 0)
                        return err_sys(err, r, "watch signals");
        }
        if (!p->options.config)
                return 0;
        /* systemd 252 leaks this source, and the loop with it, when nobody takes it */
        r = sd_event_add_inotify(p->event, &p->watch, p->options.config,
                                 IN_CLOSE_WRITE | IN_MOVE_SELF | IN_DELETE_SELF, on_config_changed,
                                 NULL);
        return r < 0 ? err_sys(err, r, "watch '%s'", p->options.config) : 0;
}

/* Not dumpable, no core: credentials pass through this memory. */
static void harden(const struct proxy *p)
{
        const struct rlimit no_core = { 0, 0 };
        char text[16];
        int r;

        umask(077);
        if (prctl(PR_SET_DUMPABLE, 0) < 0)
                log_warn(-errno, "Failed to become undumpable, going on");
        if (setrlimit(RLIMIT_CORE, &no_core) < 0)
                log_warn(-errno, "Failed to forbid core files, going on");
        snprintf(text, sizeof text, "%d", p->config.oom_score_adj);
        r = fs_write_kernel_at(AT_FDCWD, "/proc/self/oom_score_adj", text);
        if (r < 0)
                log_info("oomScoreAdj %s is not allowed here (%s), going on", text, strerror(-r));
}

static int connect_api(struct proxy *p, struct err *err)
{
        int r;

        if (!p->config.kubeconfig || !p->config.kubeconfig[0])
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                    "clientConnection: kubeconfig: required, but missing");
        r = kube_config_load(p->config.kubeconfig, &p->kube, err);
        if (r == 0)
                r = kube_session_new(p->event, &p->kube, "skiff-netproxy/" SKIFF_VERSION,
                                     &p->session, err);
        if (r == 0)
                r = proxy_events_new(p->session, p->node_name, &p->events, err);
        if (r < 0)
                return r;
        proxy_events_started(p->events);
        return feed_new(p->session, p->sync, &p->feed, err);
}

/* Who only looks must not keep the proxy from its work. */
static void serve_local(struct proxy *p)
{
        _cleanup_err_ struct err err = { 0 };
        int r = fs_mkdir_p_at(AT_FDCWD, p->options.run_dir, 0755);

        if (r < 0)
                log_warn(r, "Failed to make '%s': 'skiff services' gets no answer",
                         p->options.run_dir);
        else if (local_api_new(p->event, p->sync, p->options.run_dir, &p->local, &err) < 0)
                log_warn(0, "'skiff services' gets no answer: %s", err_text(&err));
}

static int start(struct proxy *p, struct err *err)
{
        struct sync_options sync = {
                .config = &p->config,
                .node_name = p->node_name,
                .table = p->table,
                .cni_dir = p->options.cni_dir,
                .pod_routes = p->options.pod_routes,
                .with_ipv6 = has_ipv6(),
                .on_synced = on_synced,
                .on_warning = on_warning,
                .userdata = p,
        };
        int r;

        if (p->config.mode != PROXY_MODE_NFTABLES)
                log_info("Configuration: 'mode' is not nftables, but that is what this proxy does");
        sysctls_apply(&p->config);
        r = sync_new(p->event, &sync, &p->sync, err);
        if (r == 0)
                serve_local(p);
        if (r == 0)
                r = health_new(p->event, &p->config, p->sync, &p->health, err);
        if (r == 0)
                r = connect_api(p, err);
        if (r < 0)
                return r;
        r = sd_event_add_time_relative(p->event, &p->late, CLOCK_MONOTONIC,
                                       READY_LATEST_SEC * USEC_PER_SEC, USEC_PER_SEC, on_late, p);
        return r < 0 ? err_sys(err, r, "arm a timer") : 0;
}

static int cleanup(const struct proxy *p, struct err *err)
{
        int r = 0;

        for (size_t i = 0; r == 0 && i < FAMILIES; i++)
                r = family_remove(family_of_index(i), p->table, err);
        return r == 0 ? node_routes_remove_all(err) : r;
}

static int run(struct proxy *p, struct err *err)
{
        int r;

        p->table = options_table_name(&p->options);
        if (!p->table)
                return err_sys(err, -ENOMEM, "start");
        if (p->options.cleanup)
                return cleanup(p, err);
        r = load_config(p, err);
        if (r == 0)
                r = find_node_name(p, err);
        if (r < 0)
                return r;
        harden(p);
        r = sd_event_new(&p->event);
        if (r < 0)
                return err_sys(err, r, "make the event loop");
        r = watch_surroundings(p, err);
        if (r < 0)
                return r;
        sd_event_set_watchdog(p->event, true);
        r = start(p, err);
        if (r < 0)
                return r;
        r = sd_event_loop(p->event);
        sd_notify(0, "STOPPING=1");
        return r < 0 ? err_sys(err, r, "run the event loop") : r;
}

int main(int argc, char *argv[])
{
        _cleanup_(proxy_done)
        struct proxy p = { 0 };
        _cleanup_err_ struct err err = { 0 };
        int r = options_parse(argc, argv, &p.options, &err);

        log_open("skiff-netproxy", p.options.log_level);
        if (r >= 0 && p.options.show_help) {
                print(options_help);
                return 0;
        }
        if (r >= 0 && p.options.show_version) {
                print("Kubernetes " KUBERNETES_VERSION "\nskiff-netproxy " SKIFF_VERSION "\n");
                return 0;
        }
        if (r >= 0)
                r = run(&p, &err);
        if (r < 0)
                log_error(0, "%s", err_text(&err));
        return r == 0 ? 0 : 1;
}
