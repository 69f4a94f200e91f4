#include "netproxy/health.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/http-server.h"
#include "base/json.h"
#include "base/log.h"
#include "base/prometheus.h"
#include "base/text.h"
#include "netproxy/metrics.h"

enum { RETRY_SEC = 5, CONNECTIONS_MAX = 64 };

struct health_server {
        const char *what;
        struct ip ip;
        uint16_t port;              /* 0: not served */
        struct http_server *server; /* owned; NULL: not listening yet */
        http_handler_fn handler;
        bool has_warned;
};

struct health {
        sd_event *event;   /* borrowed */
        struct sync *sync; /* borrowed */
        struct health_server healthz, metrics;
        sd_event_source *retry;                        /* owned */
        uint64_t healthz_answers[2], livez_answers[2]; /* 200, 503 */
};

static json_t *status_json(const struct health *h, const char *now_text, bool *ret_well)
{
        json_t *status = json_object();

        *ret_well = true;
        for (size_t i = 0; i < FAMILIES; i++) {
                const struct sync_family_status *s = sync_status(h->sync, i);
                char text[TIME_TEXT_MAX];
                bool well;

                if (!s->is_used)
                        continue;
                well = sync_family_is_well(h->sync, i);
                *ret_well &= well;
                json_object_set_new(status, metrics_family_name(i),
                                    json_pack("{s:s, s:b}", "lastUpdated",
                                              s->synced_at ? time_format_micro(s->synced_at, text)
                                                           : now_text,
                                              "healthy", well));
        }
        return status;
}

static usec_t last_update(const struct health *h)
{
        return MAX(sync_status(h->sync, 0)->synced_at, sync_status(h->sync, 1)->synced_at);
}

static void answer_health(struct health *h, struct http_exchange *x, bool with_node)
{
        const struct node *own = sync_state(h->sync)->own;
        bool eligible = own && own->is_eligible, well;
        char now_text[TIME_TEXT_MAX], updated[TIME_TEXT_MAX];
        json_t *status, *body;

        time_format_micro(now_realtime(), now_text);
        status = status_json(h, now_text, &well);
        /* load balancers of old read lastUpdated as a sign of life: it is the present when well */
        body = json_pack("{s:s, s:s, s:b, s:o}", "lastUpdated",
                         well && (eligible || !with_node)
                                 ? now_text
                                 : time_format_micro(last_update(h), updated),
                         "currentTime", now_text, "healthy", well, "status", status);
        if (body && with_node)
                json_object_set_new(body, "nodeEligible", json_boolean(eligible));
        well &= eligible || !with_node;
        (with_node ? h->healthz_answers : h->livez_answers)[well ? 0 : 1]++;
        http_answer_json(x, well ? 200 : 503, body);
}

static bool is_read(struct http_exchange *x)
{
        return streq(http_exchange_method(x), "GET") || streq(http_exchange_method(x), "HEAD");
}

static void on_healthz(struct http_exchange *x, void *userdata)
{
        const char *path = http_exchange_path(x);

        if (!is_read(x))
                http_answer_text(x, 405, "only GET is answered\n");
        else if (streq(path, "/healthz"))
                answer_health(userdata, x, true);
        else if (streq(path, "/livez"))
                answer_health(userdata, x, false);
        else
                http_answer_text(x, 404, "404 page not found\n");
}

static void add_answers(struct strbuf *b, const char *name, const uint64_t counts[static 2])
{
        metrics_add_head(b, name, "counter", "Cumulative proxy health checks by code");
        strbuf_addf(b, "kubeproxy_%s{code=\"200\"} %" PRIu64 "\n", name, counts[0]);
        strbuf_addf(b, "kubeproxy_%s{code=\"503\"} %" PRIu64 "\n", name, counts[1]);
}

static void answer_metrics(const struct health *h, struct http_exchange *x)
{
        _cleanup_strbuf_ struct strbuf b = { 0 };

        metrics_add_sync(&b, h->sync);
        prometheus_add_process(&b, sync_state(h->sync)->started_at);
        prometheus_add_build_info(&b);
        add_answers(&b, "proxy_healthz_total", h->healthz_answers);
        add_answers(&b, "proxy_livez_total", h->livez_answers);
        if (b.failed)
                http_answer_text(x, 500, "out of memory\n");
        else
                http_answer(x, 200, PROMETHEUS_CONTENT_TYPE, b.data, b.len);
}

static void on_metrics(struct http_exchange *x, void *userdata)
{
        const char *path = http_exchange_path(x);

        if (!is_read(x))
                http_answer_text(x, 405, "only GET is answered\n");
        else if (streq(path, "/healthz"))
                http_answer_text(x, 200, "ok");
        else if (streq(path, "/proxyMode"))
                http_answer_text(x, 200, "nftables");
        else if (streq(path, "/metrics"))
                answer_metrics(userdata, x);
        else
                http_answer_text(x, 404, "404 page not found\n");
}

/* ---- listening ---- */
static int listen_on(struct health *h, struct health_server *s, struct err *err)
{
        struct http_server_options options = {
                .name = s->what,
                .max_connections = CONNECTIONS_MAX,
                .body_max = 1024,
                .handler = s->handler,
                .userdata = h,
        };
        _cleanup_(http_server_freep)
        struct http_server *server = NULL;
        struct ip ip = s->ip;
        char text[IP_TEXT_MAX];
        int fd, r;

        /* the unspecified address means both families wherever there is IPv6 */
        if (ip_is_unspecified(&ip) && sync_status(h->sync, 1)->is_used)
                ip = (struct ip){ .family = AF_INET6 };
        fd = http_listen_tcp(ip_format(&ip, text), s->port, err);
        if (fd < 0)
                return fd;
        r = http_server_new(h->event, &options, &server, err);
        if (r == 0)
                r = http_server_add_listener(server, fd);
        if (r < 0) {
                if (!server)
                        safe_close(fd);
                return r;
        }
        s->server = TAKE_PTR(server);
        return 0;
}

static bool try_listen(struct health *h, struct health_server *s)
{
        _cleanup_err_ struct err err = { 0 };

        if (s->server || s->port == 0)
                return true;
        if (listen_on(h, s, &err) == 0)
                return true;
        if (!s->has_warned)
                log_warn(0, "%s is not served yet, trying every %d s: %s", s->what, RETRY_SEC,
                         err_text(&err));
        s->has_warned = true;
        return false;
}

static int on_retry(sd_event_source *source, uint64_t due_usec, void *userdata)
{
        struct health *h = userdata;
        bool healthz = try_listen(h, &h->healthz), metrics = try_listen(h, &h->metrics);

        if (healthz && metrics)
                return 0;
        if (sd_event_source_set_time(source, due_usec + RETRY_SEC * USEC_PER_SEC) < 0 ||
            sd_event_source_set_enabled(source, SD_EVENT_ONESHOT) < 0)
                log_warn(0, "Failed to arm a timer: health or metrics are not served");
        return 0;
}

int health_new(sd_event *event, const struct proxy_config *config, struct sync *sync,
               struct health **ret, struct err *err)
{
        _cleanup_(health_freep)
        struct health *h = calloc(1, sizeof *h);
        int r;

        if (!h)
                return err_sys(err, -ENOMEM, "serve health");
        h->event = event;
        h->sync = sync;
        h->healthz = (struct health_server){ .what = "healthz",
                                             .ip = config->healthz_ip,
                                             .port = config->healthz_port,
                                             .handler = on_healthz };
        h->metrics = (struct health_server){ .what = "metrics",
                                             .ip = config->metrics_ip,
                                             .port = config->metrics_port,
                                             .handler = on_metrics };
        r = sd_event_add_time(event, &h->retry, CLOCK_MONOTONIC, now_monotonic(), USEC_PER_MSEC,
                              on_retry, h);
        if (r < 0)
                return err_sys(err, r, "serve health");
        *ret = TAKE_PTR(h);
        return 0;
}

struct health *health_free(struct health *h)
{
        if (!h)
                return NULL;
        sd_event_source_disable_unref(h->retry);
        http_server_free(h->healthz.server);
        http_server_free(h->metrics.server);
        free(h);
        return NULL;
}
