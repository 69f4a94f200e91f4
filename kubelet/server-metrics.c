#include "kubelet/server-metrics.h"

#include <errno.h>
#include <string.h>

#include "base/prometheus.h"

static const char *const methods[] = { "GET", "POST", "PUT", "PATCH", "DELETE", "other" };
static const struct {
        const char *path;
        bool is_long_running;
} paths[] = {
        { "attach", true },        { "checkpoint", false }, { "configz", false },
        { "containerLogs", true }, { "debug", true },       { "exec", true },
        { "healthz", false },      { "logs", false },       { "metrics", false },
        { "pods", false },         { "portForward", true }, { "run", true },
        { "runningpods", false },  { "stats", false },      { "other", false },
};

struct request_counts {
        uint64_t n_begun;
        struct prometheus_histogram durations;
};

struct server_metrics {
        /* Owned; NULL: never asked for. */
        struct request_counts *counts[ARRAY_SIZE(paths)][ARRAY_SIZE(methods)];
};

int server_metrics_new(struct server_metrics **ret)
{
        *ret = calloc(1, sizeof **ret);
        return *ret ? 0 : -ENOMEM;
}

struct server_metrics *server_metrics_free(struct server_metrics *m)
{
        if (!m)
                return NULL;
        for (size_t p = 0; p < ARRAY_SIZE(paths); p++)
                for (size_t i = 0; i < ARRAY_SIZE(methods); i++)
                        free(m->counts[p][i]);
        free(m);
        return NULL;
}

static struct request_counts **place(struct server_metrics *m, const char *method, const char *path)
{
        const char *first = path + (*path == '/');
        size_t n = strcspn(first, "/"), p = 0, i = 0;

        while (p < ARRAY_SIZE(paths) - 1 &&
               (strlen(paths[p].path) != n || memcmp(paths[p].path, first, n) != 0))
                p++;
        while (i < ARRAY_SIZE(methods) - 1 && !streq(methods[i], method))
                i++;
        return &m->counts[p][i];
}

void server_metrics_begin(struct server_metrics *m, const char *method, const char *path)
{
        struct request_counts **c = place(m, method, path);

        if (!*c)
                *c = calloc(1, sizeof **c);
        if (*c) /* without memory it goes uncounted */
                (*c)->n_begun++;
}

void server_metrics_end(struct server_metrics *m, const char *method, const char *path, usec_t took)
{
        struct request_counts *c = *place(m, method, path);

        if (c)
                prometheus_observe(&c->durations, took);
}

enum family { FAMILY_TOTAL, FAMILY_INFLIGHT, FAMILY_DURATION, _FAMILY_MAX };

static const struct {
        const char *name, *type, *help;
} families[_FAMILY_MAX] = {
        [FAMILY_TOTAL] = { "kubelet_http_requests_total", "counter",
                           "[ALPHA] Number of the http requests received since the server "
                           "started" },
        [FAMILY_INFLIGHT] = { "kubelet_http_inflight_requests", "gauge",
                              "[ALPHA] Number of the inflight http requests" },
        [FAMILY_DURATION] = { "kubelet_http_requests_duration_seconds", "histogram",
                              "[ALPHA] Duration in seconds to serve http requests" },
};

static void add_sample(struct strbuf *b, enum family f, const struct prometheus_label *labels,
                       size_t n, const struct request_counts *c)
{
        uint64_t finished = prometheus_count(&c->durations);

        switch (f) {
        case FAMILY_TOTAL:
                prometheus_add_sample(b, families[f].name, labels, n, (double)finished, 0);
                break;
        case FAMILY_INFLIGHT:
                prometheus_add_sample(b, families[f].name, labels, n,
                                      (double)(c->n_begun - finished), 0);
                break;
        case FAMILY_DURATION:
                prometheus_add_histogram(b, families[f].name, labels, n, &c->durations);
                break;
        case _FAMILY_MAX:
                break;
        }
}

static void add_family(struct strbuf *b, enum family f, const struct server_metrics *m)
{
        bool has_head = false;

        for (size_t p = 0; p < ARRAY_SIZE(paths); p++)
                for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
                        const struct prometheus_label labels[] = {
                                { "long_running", paths[p].is_long_running ? "true" : "false" },
                                { "method", methods[i] },
                                { "path", paths[p].path },
                                { "server_type", "readwrite" },
                        };

                        if (!m->counts[p][i])
                                continue;
                        if (!has_head)
                                prometheus_add_head(b, families[f].name, families[f].type,
                                                    families[f].help);
                        has_head = true;
                        add_sample(b, f, labels, ARRAY_SIZE(labels), m->counts[p][i]);
                }
}

static void add_connections(struct strbuf *b, const struct http_server_counts *c)
{
        static const char name[] = "skiff_http_connections";
        const struct prometheus_label states[] = { { "state", "untrusted" }, { "state", "known" } };

        prometheus_add_head(b, name, "gauge",
                            "Connections to :10250, by whether the peer has shown who it is");
        prometheus_add_sample(b, name, &states[0], 1, (double)c->untrusted, 0);
        prometheus_add_sample(b, name, &states[1], 1, (double)(c->open - c->untrusted), 0);
        prometheus_add_head(b, "skiff_http_accepted_total", "counter",
                            "Connections to :10250 that were accepted");
        prometheus_add_sample(b, "skiff_http_accepted_total", NULL, 0, (double)c->accepted, 0);
}

static void add_troubles(struct strbuf *b, const struct http_server_counts *c)
{
        static const char name[] = "skiff_http_troubles_total";
        const struct {
                const char *reason;
                uint64_t n;
        } troubles[] = {
                { "evicted", c->evicted },
                { "refused", c->refused },
                { "tls", c->failed_tls },
                { "malformed", c->malformed },
                { "slow_handshake", c->slow_handshakes },
                { "slow_request", c->slow_requests },
                { "slow_reader", c->slow_readers },
        };

        prometheus_add_head(
                b, name, "counter",
                "Connections to :10250 that were ended by us, by reason: evicted to "
                "make room, refused for want of it, TLS that failed, a malformed or too "
                "large request, one of the deadlines");
        for (size_t i = 0; i < ARRAY_SIZE(troubles); i++) {
                const struct prometheus_label label = { "reason", troubles[i].reason };

                prometheus_add_sample(b, name, &label, 1, (double)troubles[i].n, 0);
        }
}

void server_metrics_format(const struct server_metrics *m, const struct http_server_counts *counts,
                           struct strbuf *b)
{
        for (int f = 0; f < _FAMILY_MAX; f++)
                add_family(b, (enum family)f, m);
        add_connections(b, counts);
        add_troubles(b, counts);
}
