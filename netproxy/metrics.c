#include "netproxy/metrics.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/prometheus.h"

const char *metrics_family_name(size_t family)
{
        return family == 0 ? "IPv4" : "IPv6";
}

void metrics_add_head(struct strbuf *b, const char *name, const char *type, const char *help)
{
        char full_name[96], full_help[160];

        snprintf(full_name, sizeof full_name, "kubeproxy_%s", name);
        snprintf(full_help, sizeof full_help, "[ALPHA] %s", help);
        prometheus_add_head(b, full_name, type, full_help);
}

/* ---- by family ---- */
static void add_values(struct strbuf *b, const struct sync *sync)
{
        static const struct {
                const char *name, *type, *help;
        } metrics[] = {
                { "sync_proxy_rules_last_timestamp_seconds", "gauge",
                  "The last time proxy rules were successfully synced" },
                { "sync_proxy_rules_last_queued_timestamp_seconds", "gauge",
                  "The last time a sync of proxy rules was queued" },
                { "sync_proxy_rules_nftables_sync_failures_total", "counter",
                  "Cumulative proxy nftables sync failures" },
                { "sync_proxy_rules_nftables_cleanup_failures_total", "counter",
                  "Cumulative proxy nftables cleanup failures" },
                { "conntrack_reconciler_deleted_entries_total", "counter",
                  "Cumulative conntrack flows deleted by conntrack reconciler" },
                { "skiff_syncs_total", "counter", "Transactions tried" },
                { "skiff_last_sync_duration_seconds", "gauge", "What the last transaction took" },
                { "skiff_last_sync_operations", "gauge", "How many operations it had" },
        };

        for (size_t m = 0; m < ARRAY_SIZE(metrics); m++) {
                metrics_add_head(b, metrics[m].name, metrics[m].type, metrics[m].help);
                for (size_t i = 0; i < FAMILIES; i++) {
                        const struct sync_family_status *s = sync_status(sync, i);
                        const double values[] = {
                                (double)s->synced_at / USEC_PER_SEC,
                                (double)s->queued_at / USEC_PER_SEC,
                                (double)s->failures,
                                (double)s->collect_failures,
                                (double)s->flows_forgotten,
                                (double)s->syncs,
                                (double)s->last_duration_usec / USEC_PER_SEC,
                                (double)s->last_operations,
                        };

                        static_assert(ARRAY_SIZE(values) == ARRAY_SIZE(metrics),
                                      "a metric has no value");
                        if (s->is_used)
                                strbuf_addf(b, "kubeproxy_%s{ip_family=\"%s\"} %.6f\n",
                                            metrics[m].name, metrics_family_name(i), values[m]);
                }
        }
}

static void add_histograms(struct strbuf *b, const struct sync *sync)
{
        static const struct {
                const char *name, *help;
                size_t offset;
        } metrics[] = {
                /* clang-format off */
                { "sync_proxy_rules_duration_seconds",         "SyncProxyRules latency in seconds",
                  offsetof(struct sync_family_status, durations) },
                { "sync_full_proxy_rules_duration_seconds",    "SyncProxyRules latency in seconds for full resyncs",
                  offsetof(struct sync_family_status, full_durations) },
                { "sync_partial_proxy_rules_duration_seconds", "SyncProxyRules latency in seconds for partial resyncs",
                  offsetof(struct sync_family_status, partial_durations) },
                { "network_programming_duration_seconds",      "In Cluster Network Programming Latency in seconds",
                  offsetof(struct sync_family_status, programming) },
                { "conntrack_reconciler_sync_duration_seconds", "ReconcileConntrackFlowsLatency latency in seconds",
                  offsetof(struct sync_family_status, sweeps) },
        }; /* clang-format on */

        for (size_t m = 0; m < ARRAY_SIZE(metrics); m++) {
                char name[96];

                snprintf(name, sizeof name, "kubeproxy_%s", metrics[m].name);
                metrics_add_head(b, metrics[m].name, "histogram", metrics[m].help);
                for (size_t i = 0; i < FAMILIES; i++) {
                        const struct sync_family_status *s = sync_status(sync, i);
                        const void *h = (const char *)s + metrics[m].offset;

                        if (s->is_used)
                                histogram_print(h, name,
                                                i == 0 ? "ip_family=\"IPv4\""
                                                       : "ip_family=\"IPv6\"",
                                                b);
                }
        }
}

static void add_without_local(struct strbuf *b, const struct sync *sync, const struct state *state)
{
        static const char name[] = "sync_proxy_rules_no_local_endpoints_total";

        metrics_add_head(b, name, "gauge",
                         "Number of services with a Local traffic policy and no endpoints");
        for (size_t i = 0; i < FAMILIES; i++) {
                size_t internal = 0, external = 0;

                if (!sync_status(sync, i)->is_used)
                        continue;
                state_count_without_local(state, i, &internal, &external);
                strbuf_addf(b,
                            "kubeproxy_%s{ip_family=\"%s\",traffic_policy=\"internal\"} %zu\n"
                            "kubeproxy_%s{ip_family=\"%s\",traffic_policy=\"external\"} %zu\n",
                            name, metrics_family_name(i), internal, name, metrics_family_name(i),
                            external);
        }
}

static void add_changes(struct strbuf *b, const struct state *s)
{
        const struct {
                const char *name, *type, *help;
                uint64_t value;
        } metrics[] = {
                /* clang-format off */
                { "sync_proxy_rules_endpoint_changes_pending", "gauge",   "Pending proxy rules Endpoint changes",    s->slices_pending },
                { "sync_proxy_rules_endpoint_changes_total",   "counter", "Cumulative proxy rules Endpoint changes", s->slice_changes },
                { "sync_proxy_rules_service_changes_pending",  "gauge",   "Pending proxy rules Service changes",     s->services_pending },
                { "sync_proxy_rules_service_changes_total",    "counter", "Cumulative proxy rules Service changes",  s->service_changes },
        }; /* clang-format on */

        for (size_t i = 0; i < ARRAY_SIZE(metrics); i++) {
                metrics_add_head(b, metrics[i].name, metrics[i].type, metrics[i].help);
                strbuf_addf(b, "kubeproxy_%s %" PRIu64 "\n", metrics[i].name, metrics[i].value);
        }
}

void metrics_add_sync(struct strbuf *b, struct sync *sync)
{
        add_values(b, sync);
        add_histograms(b, sync);
        add_without_local(b, sync, sync_state(sync));
        add_changes(b, sync_state(sync));
}
