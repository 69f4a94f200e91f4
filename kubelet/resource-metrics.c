#include "kubelet/resource-metrics.h"

#include "base/prometheus.h"

/* Of what a family has samples. */
enum subject { OF_NODE, OF_POD, OF_CONTAINER };
enum unit { UNIT_BYTES, UNIT_USEC };

static const struct family {
        const char *name, *type, *help;
        enum subject subject;
        enum unit unit;
        size_t offset; /* in struct stats_usage */
} families[] = {
        /* clang-format off */
        { "container_cpu_usage_seconds_total",   "counter", "[STABLE] Cumulative cpu time consumed by the container in core-seconds",
          OF_CONTAINER, UNIT_USEC,  offsetof(struct stats_usage, cpu_usec) },
        { "container_memory_working_set_bytes",  "gauge",   "[STABLE] Current working set of the container in bytes",
          OF_CONTAINER, UNIT_BYTES, offsetof(struct stats_usage, memory_working_set) },
        { "container_swap_limit_bytes",          "gauge",   "[ALPHA] Current amount of the container swap limit in bytes. Reported only on non-windows systems",
          OF_CONTAINER, UNIT_BYTES, offsetof(struct stats_usage, swap_limit) },
        { "container_swap_usage_bytes",          "gauge",   "[ALPHA] Current amount of the container swap usage in bytes. Reported only on non-windows systems",
          OF_CONTAINER, UNIT_BYTES, offsetof(struct stats_usage, swap_usage) },
        { "node_cpu_usage_seconds_total",        "counter", "[STABLE] Cumulative cpu time consumed by the node in core-seconds",
          OF_NODE,      UNIT_USEC,  offsetof(struct stats_usage, cpu_usec) },
        { "node_memory_working_set_bytes",       "gauge",   "[STABLE] Current working set of the node in bytes",
          OF_NODE,      UNIT_BYTES, offsetof(struct stats_usage, memory_working_set) },
        { "node_swap_usage_bytes",               "gauge",   "[ALPHA] Current swap usage of the node in bytes. Reported only on non-windows systems",
          OF_NODE,      UNIT_BYTES, offsetof(struct stats_usage, swap_usage) },
        { "pod_cpu_usage_seconds_total",         "counter", "[STABLE] Cumulative cpu time consumed by the pod in core-seconds",
          OF_POD,       UNIT_USEC,  offsetof(struct stats_usage, cpu_usec) },
        { "pod_memory_working_set_bytes",        "gauge",   "[STABLE] Current working set of the pod in bytes",
          OF_POD,       UNIT_BYTES, offsetof(struct stats_usage, memory_working_set) },
        { "pod_swap_usage_bytes",                "gauge",   "[ALPHA] Current amount of the pod swap usage in bytes. Reported only on non-windows systems",
          OF_POD,       UNIT_BYTES, offsetof(struct stats_usage, swap_usage) },
}; /* clang-format on */

/* The text as it grows. */
struct page {
        struct strbuf *b;
        const char *name, *type,
                *help; /* of the family; the head is written with its first sample */
        bool has_head;
};

static void add(struct page *page, const struct stats_pod *pod, const struct stats_container *c,
                double value, usec_t at)
{
        const struct prometheus_label labels[] = {
                { "container", c ? c->name : "" },
                { "pod", pod ? pod->name : "" },
                { "namespace", pod ? pod->namespace : "" },
        };
        size_t first = c ? 0 : 1;

        if (!page->has_head)
                prometheus_add_head(page->b, page->name, page->type, page->help);
        page->has_head = true;
        prometheus_add_sample(page->b, page->name, labels + first,
                              pod ? ARRAY_SIZE(labels) - first : 0, value, at);
}

static void add_usage(struct page *page, const struct family *f, const struct stats_usage *usage,
                      const struct stats_pod *pod, const struct stats_container *c)
{
        uint64_t value = *(const uint64_t *)((const char *)usage + f->offset);

        if (usage->read_at > 0 && value != STATS_UNKNOWN)
                add(page, pod, c,
                    f->unit == UNIT_USEC ? (double)value / USEC_PER_SEC : (double)value,
                    usage->read_at);
}

/* Two pods of one name: one ends while its successor starts, and labels do not tell them apart. */
static bool is_superseded(const struct stats_snapshot *s, const struct stats_pod *pod)
{
        for (const struct stats_pod *p = s->pods; p < s->pods + s->n_pods; p++)
                if (p != pod && streq(p->name, pod->name) && streq(p->namespace, pod->namespace) &&
                    (p->started_at > pod->started_at ||
                     (p->started_at == pod->started_at && p > pod)))
                        return true;
        return false;
}

static void add_family(struct strbuf *b, const struct stats_snapshot *s, const struct family *f)
{
        struct page page = { b, f->name, f->type, f->help, false };

        if (f->subject == OF_NODE)
                add_usage(&page, f, &s->node, NULL, NULL);
        for (size_t i = 0; i < s->n_pods && f->subject != OF_NODE; i++) {
                const struct stats_pod *pod = &s->pods[i];

                if (is_superseded(s, pod))
                        continue;
                if (f->subject == OF_POD)
                        add_usage(&page, f, &pod->usage, pod, NULL);
                for (size_t k = 0; k < pod->n_containers && f->subject == OF_CONTAINER; k++)
                        add_usage(&page, f, &pod->containers[k].usage, pod, &pod->containers[k]);
        }
}

static void add_start_times(struct strbuf *b, const struct stats_snapshot *s)
{
        struct page page = { b, "container_start_time_seconds", "gauge",
                             "[STABLE] Start time of the container since unix epoch in seconds",
                             false };

        for (size_t i = 0; i < s->n_pods; i++) {
                const struct stats_pod *pod = &s->pods[i];

                if (is_superseded(s, pod))
                        continue;
                for (size_t k = 0; k < pod->n_containers; k++)
                        if (pod->containers[k].started_at > 0)
                                add(&page, pod, &pod->containers[k],
                                    (double)pod->containers[k].started_at / USEC_PER_SEC, 0);
        }
}

char *resource_metrics_format(const struct stats_snapshot *s)
{
        static const char scrape_error[] = "resource_scrape_error";
        _cleanup_strbuf_ struct strbuf b = { 0 };

        add_start_times(&b, s);
        for (size_t i = 0; i < ARRAY_SIZE(families); i++)
                add_family(&b, s, &families[i]);
        prometheus_add_head(
                &b, scrape_error, "gauge",
                "[STABLE] 1 if there was an error while getting container metrics, 0 otherwise");
        prometheus_add_sample(&b, scrape_error, NULL, 0, s->has_failed, 0);
        return strbuf_take(&b);
}
