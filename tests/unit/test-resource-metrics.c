#include "kubelet/resource-metrics.h"

#include <stdlib.h>

#include "base/text.h"
#include "tests/check.h"

#define READ_AT (1700000000123 * USEC_PER_MSEC)

static const struct stats_usage nothing = {
        .read_at = READ_AT,
        .cpu_usec = STATS_UNKNOWN,
        .memory_usage = STATS_UNKNOWN,
        .memory_working_set = STATS_UNKNOWN,
        .memory_rss = STATS_UNKNOWN,
        .memory_limit = STATS_UNKNOWN,
        .page_faults = STATS_UNKNOWN,
        .major_page_faults = STATS_UNKNOWN,
        .swap_usage = STATS_UNKNOWN,
        .swap_limit = STATS_UNKNOWN,
};

/* Length of a sample's name and labels; 0: it is none. */
static size_t series_length(const char *line)
{
        bool quoted = false;
        size_t i = strspn(line, "abcdefghijklmnopqrstuvwxyz_");

        for (; line[i] && (quoted || line[i] != ' '); i++) {
                if (quoted && line[i] == '\\' && line[i + 1])
                        i++;
                else if (line[i] == '"')
                        quoted = !quoted;
        }
        return quoted || line[i] != ' ' ? 0 : i;
}

/* Fails unless a Prometheus would take @text: announced families, whole samples, no series twice.
 */
static void check_page(const char *text)
{
        _cleanup_strv_ char **lines = NULL, **seen = NULL;
        _cleanup_free_ char *family = NULL;

        CHECK(endswith(text, "\n"));
        CHECK_INT(strv_split(text, "\n", &lines), 0);
        STRV_FOREACH (line, lines) {
                const char *head = startswith(*line, "# TYPE ");
                _cleanup_free_ char *series = NULL;
                char *end;

                if (head) {
                        free(family);
                        family = strndup(head, strcspn(head, " "));
                        if (strv_contains(seen, family))
                                fail_msg("'%s' is announced twice", family);
                        strv_append(&seen, family);
                        continue;
                }
                if (startswith(*line, "# HELP "))
                        continue;
                series = strndup(*line, series_length(*line));
                if (!family || strncmp(*line, family, strlen(family)) != 0 ||
                    !strchr("{ ", (*line)[strlen(family)]))
                        fail_msg("'%s' stands in family '%s'", *line, family ? family : "");
                if (strv_contains(seen, series) && strchr(series, '{'))
                        fail_msg("'%s' is there twice", series);
                strv_append(&seen, series);
                strtod(*line + strlen(series), &end);
                if (end == *line + strlen(series) ||
                    (*end && (*end != ' ' || strspn(end + 1, "0123456789") != strlen(end + 1))))
                        fail_msg("'%s' has no value", *line);
        }
}

static char *format(const struct stats_snapshot *s)
{
        char *text = resource_metrics_format(s);

        CHECK(text);
        check_page(text);
        return text;
}

static struct stats_usage usage_of(uint64_t cpu_usec, uint64_t working_set)
{
        struct stats_usage u = nothing;

        u.cpu_usec = cpu_usec;
        u.memory_working_set = working_set;
        return u;
}

TEST(node_pods_and_containers_have_their_families)
{
        struct stats_container c = { .name = "c",
                                     .started_at = 1600000000500 * USEC_PER_MSEC,
                                     .usage = usage_of(1500000, 4096) };
        struct stats_pod pod = { .name = "p",
                                 .namespace = "ns",
                                 .usage = usage_of(2500000, 8192),
                                 .containers = &c,
                                 .n_containers = 1 };
        struct stats_snapshot s = { .node = usage_of(3500000, 12288), .pods = &pod, .n_pods = 1 };
        _cleanup_free_ char *text = NULL;

        c.usage.swap_limit = 100;
        c.usage.swap_usage = pod.usage.swap_usage = s.node.swap_usage = 7;
        text = format(&s);
        CHECK_CONTAINS(text,
                       "# HELP container_cpu_usage_seconds_total [STABLE] Cumulative cpu time "
                       "consumed by the container in core-seconds\n"
                       "# TYPE container_cpu_usage_seconds_total counter\n"
                       "container_cpu_usage_seconds_total{container=\"c\",pod=\"p\","
                       "namespace=\"ns\"} 1.5 1700000000123\n");
        CHECK_CONTAINS(text, "container_memory_working_set_bytes{container=\"c\",pod=\"p\","
                             "namespace=\"ns\"} 4096 1700000000123\n");
        CHECK_CONTAINS(text, "container_start_time_seconds{container=\"c\",pod=\"p\","
                             "namespace=\"ns\"} 1600000000.5\n");
        CHECK_CONTAINS(text, "container_swap_limit_bytes{container=\"c\",pod=\"p\","
                             "namespace=\"ns\"} 100 1700000000123\n");
        CHECK_CONTAINS(text, "\npod_cpu_usage_seconds_total{pod=\"p\",namespace=\"ns\"} 2.5 1");
        CHECK_CONTAINS(text, "\npod_memory_working_set_bytes{pod=\"p\",namespace=\"ns\"} 8192 1");
        CHECK_CONTAINS(text, "\npod_swap_usage_bytes{pod=\"p\",namespace=\"ns\"} 7 1");
        CHECK_CONTAINS(text, "\nnode_cpu_usage_seconds_total 3.5 1700000000123\n");
        CHECK_CONTAINS(text, "\nnode_memory_working_set_bytes 12288 1700000000123\n");
        CHECK_CONTAINS(text, "\nnode_swap_usage_bytes 7 1700000000123\n");
        CHECK_CONTAINS(text, "\n# TYPE resource_scrape_error gauge\nresource_scrape_error 0\n");
}

TEST(what_is_unknown_is_left_out_with_its_family)
{
        struct stats_container c = { .name = "c",
                                     .started_at = 1,
                                     .usage = usage_of(1, STATS_UNKNOWN) };
        struct stats_pod pod = {
                .name = "p", .namespace = "ns", .containers = &c, .n_containers = 1
        };
        struct stats_snapshot s = { .pods = &pod, .n_pods = 1, .has_failed = true };
        _cleanup_free_ char *text = format(&s);

        CHECK_CONTAINS(text, "container_cpu_usage_seconds_total{");
        CHECK(!strstr(text, "memory"));
        CHECK(!strstr(text, "swap"));
        CHECK(!strstr(text, "pod_"));
        CHECK(!strstr(text, "node_"));
        CHECK_CONTAINS(text, "\nresource_scrape_error 1\n");
}

TEST(of_two_pods_with_one_name_the_younger_counts)
{
        struct stats_container old = { .name = "c",
                                       .started_at = 1,
                                       .usage = usage_of(1000000, 1) };
        struct stats_container new = { .name = "c",
                                       .started_at = 2,
                                       .usage = usage_of(2000000, 2) };
        struct stats_pod pods[] = {
                { .name = "p",
                  .namespace = "ns",
                  .started_at = 20,
                  .containers = &new,
                  .n_containers = 1 },
                { .name = "p",
                  .namespace = "ns",
                  .started_at = 10,
                  .containers = &old,
                  .n_containers = 1 },
                { .name = "p",
                  .namespace = "other",
                  .started_at = 5,
                  .containers = &old,
                  .n_containers = 1 },
        };
        struct stats_snapshot s = { .pods = pods, .n_pods = 3 };
        _cleanup_free_ char *text = format(&s);

        CHECK_CONTAINS(text, "{container=\"c\",pod=\"p\",namespace=\"ns\"} 2 1");
        CHECK(!strstr(text, "{container=\"c\",pod=\"p\",namespace=\"ns\"} 1 1"));
        CHECK_CONTAINS(text, "{container=\"c\",pod=\"p\",namespace=\"other\"} 1 1");
        pods[0].started_at = 10; /* at the same moment: one of them all the same */
        free(text);
        text = format(&s);
        CHECK_CONTAINS(text, "{container=\"c\",pod=\"p\",namespace=\"ns\"} 1 1");
}
