#include "kubelet/probe-metrics.h"

#include "base/prometheus.h"
#include "base/text.h"
#include "kubelet/pod-probes.h"

#define NAME     "prober_probe_total"
#define DURATION "prober_probe_duration_seconds"

struct page {
        struct strbuf b;
        bool has_head, wants_durations; /* counts and durations are two families */
};

static void add_probe(struct page *page, const struct pod *pod, const struct pod_container *c,
                      enum probe_kind kind, const struct probe_counts *counts)
{
        static const char *const results[_PROBE_COUNT_MAX] = {
                [PROBE_COUNT_SUCCESSFUL] = "successful",
                [PROBE_COUNT_FAILED] = "failed",
                [PROBE_COUNT_UNKNOWN] = "unknown",
        };

        for (size_t i = 0; i < ARRAY_SIZE(results); i++) {
                const struct prometheus_label labels[] = {
                        { "probe_type", probe_kind_name(kind) },
                        { "result", results[i] },
                        { "container", c->name },
                        { "pod", pod->name },
                        { "namespace", pod->namespace },
                        { "pod_uid", pod->uid },
                };

                if (counts->by_result[i] == 0)
                        continue;
                if (!page->has_head)
                        prometheus_add_head(&page->b, NAME, "counter",
                                            "[BETA] Cumulative number of a liveness, readiness or "
                                            "startup probe for a container by result.");
                page->has_head = true;
                prometheus_add_sample(&page->b, NAME, labels, ARRAY_SIZE(labels),
                                      (double)counts->by_result[i], 0);
        }
}

static void add_duration(struct page *page, const struct pod *pod, const struct pod_container *c,
                         enum probe_kind kind, const struct probe_counts *counts)
{
        const struct prometheus_label labels[] = {
                { "probe_type", probe_kind_name(kind) },
                { "container", c->name },
                { "pod", pod->name },
                { "namespace", pod->namespace },
        };

        if (prometheus_count(&counts->durations) == 0)
                return;
        if (!page->has_head)
                prometheus_add_head(&page->b, DURATION, "histogram",
                                    "[ALPHA] Duration in seconds for a probe response.");
        page->has_head = true;
        prometheus_add_histogram(&page->b, DURATION, labels, ARRAY_SIZE(labels),
                                 &counts->durations);
}

static void add_pod(struct pod *pod, struct pod_worker *w, void *userdata)
{
        const struct pod_probes *probes = w ? pod_worker_probes(w) : NULL;
        const struct page *page = userdata;
        const struct pod_container *c;

        for (size_t i = 0; probes && (c = pod_container_at(pod, i)); i++)
                for (int k = 0; k < _PROBE_KIND_MAX; k++) {
                        struct probe_counts counts = pod_probes_counts(probes, i,
                                                                       (enum probe_kind)k);

                        if (page->wants_durations)
                                add_duration(userdata, pod, c, (enum probe_kind)k, &counts);
                        else
                                add_probe(userdata, pod, c, (enum probe_kind)k, &counts);
                }
}

char *probe_metrics(const struct pod_manager *pods, usec_t started_at)
{
        struct page page = { 0 };
        char *text;

        pod_manager_foreach(pods, add_pod, &page);
        page.has_head = false;
        page.wants_durations = true;
        pod_manager_foreach(pods, add_pod, &page);
        prometheus_add_start_time(&page.b, started_at);
        text = strbuf_take(&page.b);
        strbuf_done(&page.b);
        return text;
}
