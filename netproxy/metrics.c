#include "netproxy/metrics.h"

#include <assert.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/fs.h"

const char *metrics_family_name(size_t family)
{
        return family == 0 ? "IPv4" : "IPv6";
}

void metrics_add_head(struct strbuf *b, const char *name, const char *type, const char *help)
{
        strbuf_addf(b, "# HELP kubeproxy_%s [ALPHA] %s\n# TYPE kubeproxy_%s %s\n", name, help, name,
                    type);
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

/* ---- the process, by the names that every Prometheus client library has ---- */
static void add_process(struct strbuf *b, const char *name, const char *type, const char *help,
                        double value)
{
        strbuf_addf(b, "# HELP process_%s %s\n# TYPE process_%s %s\nprocess_%s %.15g\n", name, help,
                    name, type, name, value);
}

static void add_memory(struct strbuf *b)
{
        _cleanup_free_ char *line = NULL;
        _cleanup_strv_ char **pages = NULL;
        uint64_t size, resident, page = (uint64_t)sysconf(_SC_PAGESIZE);

        if (fs_read_line_at(AT_FDCWD, "/proc/self/statm", &line) < 0 ||
            strv_split(line, " ", &pages) < 0 || strv_len(pages) < 2 ||
            text_to_u64(pages[0], &size) < 0 || text_to_u64(pages[1], &resident) < 0)
                return;
        add_process(b, "virtual_memory_bytes", "gauge", "Virtual memory size in bytes.",
                    (double)(size * page));
        add_process(b, "resident_memory_bytes", "gauge", "Resident memory size in bytes.",
                    (double)(resident * page));
}

static void add_descriptors(struct strbuf *b)
{
        _cleanup_strv_ char **names = NULL;
        struct rlimit limit;

        if (fs_list_at(AT_FDCWD, "/proc/self/fd", &names) == 0) /* one of them is this look's */
                add_process(b, "open_fds", "gauge", "Number of open file descriptors.",
                            (double)strv_len(names) - 1);
        if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
                add_process(b, "max_fds", "gauge", "Maximum number of open file descriptors.",
                            (double)limit.rlim_cur);
}

static double seconds_of(const struct timeval *t)
{
        return (double)t->tv_sec + (double)t->tv_usec / USEC_PER_SEC;
}

void metrics_add_process(struct strbuf *b, usec_t started_at)
{
        struct rusage usage;

        if (getrusage(RUSAGE_SELF, &usage) == 0)
                add_process(b, "cpu_seconds_total", "counter",
                            "Total user and system CPU time spent in seconds.",
                            seconds_of(&usage.ru_utime) + seconds_of(&usage.ru_stime));
        add_process(b, "start_time_seconds", "gauge",
                    "Start time of the process since unix epoch in seconds.",
                    (double)started_at / USEC_PER_SEC);
        add_memory(b);
        add_descriptors(b);
        strbuf_add(b, "# HELP kubernetes_build_info [ALPHA] The version of Kubernetes that this is "
                      "compatible with\n# TYPE kubernetes_build_info gauge\n"
                      "kubernetes_build_info{git_version=\"" KUBERNETES_VERSION
                      "\",skiff_version=\"" SKIFF_VERSION "\"} 1\n");
}
