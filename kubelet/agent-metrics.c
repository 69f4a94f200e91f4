#include "kubelet/agent-metrics.h"

#include <math.h>
#include <string.h>

#include "base/prometheus.h"
#include "kubelet/node-shutdown.h"

static void add(struct strbuf *b, const char *name, const char *type, const char *help,
                double value)
{
        prometheus_add_head(b, name, type, help);
        prometheus_add_sample(b, name, NULL, 0, value, 0);
}

/* ---- certificates ---- */

/* Seconds until it ends, cut; +Inf where there is none, so that no alert takes it for expired. */
static double seconds_left(const struct certificate_counts *c)
{
        if (!c || c->not_after == 0)
                return INFINITY;
        return trunc(((double)c->not_after - (double)now_realtime()) / USEC_PER_SEC);
}

static void add_certificates(struct strbuf *b, const struct certificate_counts *client,
                             const struct certificate_counts *serving)
{
        static const char age[] = "kubelet_certificate_manager_server_rotation_seconds";

        add(b, "kubelet_certificate_manager_client_ttl_seconds", "gauge",
            "[ALPHA] Gauge of the TTL (time-to-live) of the Kubelet's client certificate. The "
            "value is in seconds until certificate expiry (negative if already expired). If client "
            "certificate is invalid or unused, the value will be +INF.",
            seconds_left(client));
        add(b, "kubelet_certificate_manager_client_expiration_renew_errors", "counter",
            "[ALPHA] Counter of certificate renewal errors.",
            client ? (double)client->renew_errors : 0);
        if (!serving)
                return;
        add(b, "kubelet_certificate_manager_server_ttl_seconds", "gauge",
            "[ALPHA] Gauge of the shortest TTL (time-to-live) of the Kubelet's serving "
            "certificate. The value is in seconds until certificate expiry (negative if already "
            "expired). If serving certificate is invalid or unused, the value will be +INF.",
            seconds_left(serving));
        add(b, "kubelet_server_expiration_renew_errors", "counter",
            "[ALPHA] Counter of certificate renewal errors.", (double)serving->renew_errors);
        prometheus_add_head(b, age, "histogram",
                            "[ALPHA] Histogram of the number of seconds the previous certificate "
                            "lived before being rotated.");
        prometheus_add_buckets(b, age, NULL, 0, certificate_age_buckets, serving->ages,
                               CERTIFICATE_AGE_BUCKETS, serving->age_sum_sec);
}

/* ---- pods ---- */

struct pod_counts {
        size_t desired[2], active[2]; /* of the API, static */
};

static void count_pod(struct pod *pod, struct pod_worker *w, void *userdata)
{
        struct pod_counts *n = userdata;
        bool is_static = pod->source != POD_SOURCE_API;

        n->desired[is_static]++;
        n->active[is_static] += w != NULL;
}

static void add_pods(struct strbuf *b, const struct pod_manager *pods)
{
        static const struct prometheus_label labels[] = { { "static", "" }, { "static", "true" } };
        struct pod_counts n = { 0 };

        pod_manager_foreach(pods, count_pod, &n);
        prometheus_add_head(b, "kubelet_desired_pods", "gauge",
                            "[ALPHA] The number of pods the kubelet is being instructed to run. "
                            "static is true if the pod is not from the apiserver.");
        for (int i = 0; i < 2; i++)
                prometheus_add_sample(b, "kubelet_desired_pods", &labels[i], 1,
                                      (double)n.desired[i], 0);
        prometheus_add_head(b, "kubelet_active_pods", "gauge",
                            "[ALPHA] The number of pods the kubelet considers active and which are "
                            "being considered when admitting new pods. static is true if the pod "
                            "is not from the apiserver.");
        for (int i = 0; i < 2; i++)
                prometheus_add_sample(b, "kubelet_active_pods", &labels[i], 1, (double)n.active[i],
                                      0);
}

/* ---- requests to the API server ---- */

static void add_requests(struct strbuf *b, const struct kube_session *s)
{
        static const char name[] = "rest_client_requests_total";
        const char *server = kube_session_server(s), *scheme = strstr(server, "://");
        const char *host = scheme ? scheme + 3 : server;
        size_t n;
        const struct kube_answer_count *answers = kube_session_answers(s, &n);

        if (n > 0)
                prometheus_add_head(b, name, "counter",
                                    "[ALPHA] Number of HTTP requests, partitioned by status code, "
                                    "method, and host.");
        for (size_t i = 0; i < n; i++) {
                char code[16] = "<error>"; /* client-go's word for no answer */
                const struct prometheus_label labels[] = {
                        { "code", code },
                        { "host", host },
                        { "method", answers[i].method },
                };

                if (answers[i].code != 0)
                        snprintf(code, sizeof code, "%d", answers[i].code);
                prometheus_add_sample(b, name, labels, ARRAY_SIZE(labels), (double)answers[i].n, 0);
        }
}

/* ---- streams ---- */

static void add_streams(struct strbuf *b, const struct remote_counts *execs,
                        const struct remote_counts *forwards)
{
        static const struct {
                const char *name, *type, *help;
                size_t offset;
        } families[] = {
                { "skiff_streams", "gauge", "Commands, attachments and port-forwards that are open",
                  offsetof(struct remote_counts, open) },
                { "skiff_streams_started_total", "counter", "Those that were begun",
                  offsetof(struct remote_counts, started) },
                { "skiff_streams_refused_total", "counter",
                  "Those that were refused because there were too many",
                  offsetof(struct remote_counts, refused) },
                { "skiff_streams_broken_total", "counter",
                  "Those that ended because the client broke a rule or was silent for too long",
                  offsetof(struct remote_counts, broken) },
        };
        static const struct prometheus_label kinds[] = { { "kind", "exec" },
                                                         { "kind", "portforward" } };
        const struct remote_counts *const counts[] = { execs, forwards };

        for (size_t f = 0; f < ARRAY_SIZE(families); f++) {
                prometheus_add_head(b, families[f].name, families[f].type, families[f].help);
                for (size_t k = 0; k < ARRAY_SIZE(kinds); k++)
                        prometheus_add_sample(b, families[f].name, &kinds[k], 1,
                                              (double)*(const uint64_t *)((const char *)counts[k] +
                                                                          families[f].offset),
                                              0);
        }
}

char *agent_metrics_format(const struct agent_metrics *m)
{
        _cleanup_free_ char *own = stats_agent_metrics(m->stats);
        _cleanup_strbuf_ struct strbuf b = { 0 };

        if (!own)
                return NULL;
        strbuf_add(&b, own);
        add_pods(&b, m->pods);
        if (m->shutdown)
                node_shutdown_add_metrics(m->shutdown, &b);
        add_certificates(&b, m->client, m->serving);
        if (m->session)
                add_requests(&b, m->session);
        add_streams(&b, &m->execs, &m->forwards);
        server_add_metrics(m->server, &b);
        return strbuf_take(&b);
}
