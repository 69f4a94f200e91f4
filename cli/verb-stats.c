/*
 * top, stats: from the kubelet's stats summary.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/text.h"
#include "cli/verbs.h"

#define RATE_PAUSE_USEC 1000000

/* ---- the summary ---- */

static bool lacks_rates(const json_t *summary)
{
        const json_t *pod;
        size_t i;

        json_array_foreach (json_object_get(summary, "pods"), i, pod)
                if (json_path(pod, "cpu", "usageCoreNanoSeconds", NULL) &&
                    !json_path(pod, "cpu", "usageNanoCores", NULL))
                        return true;
        return false;
}

/* Two looks when there is no rate of CPU time yet. */
static int get_summary(struct invocation *in, json_t **ret, struct err *err)
{
        json_auto_t *first = NULL;
        int r = client_call(in->client, "GET", "/v1/stats", NULL, &first, err);

        if (r < 0)
                return r;
        if (lacks_rates(first)) {
                usleep(RATE_PAUSE_USEC);
                return client_call(in->client, "GET", "/v1/stats", NULL, ret, err);
        }
        *ret = TAKE_PTR(first);
        return 0;
}

static bool is_wanted(const struct invocation *in, const json_t *pod)
{
        const char *ns = text_in(pod, "podRef", "namespace"),
                   *name = text_in(pod, "podRef", "name");
        _cleanup_free_ char *full = text_printf("%s/%s", ns, name);

        if (in->namespace && !streq(in->namespace, ns))
                return false;
        return !in->n_words ||
               (full && (startswith(full, in->words[0]) || startswith(name, in->words[0])));
}

/* ---- cells ---- */

static const char *cpu_text(const json_t *o, char buf[static 32])
{
        const json_t *v = json_path(o, "cpu", "usageNanoCores", NULL);

        if (!v)
                return "-";
        snprintf(buf, 32, "%lldm", (long long)(json_integer_value(v) + 999999) / 1000000);
        return buf;
}

/* As kubectl top: MiB of the working set. */
static const char *memory_text(const json_t *o, char buf[static 32])
{
        const json_t *v = json_path(o, "memory", "workingSetBytes", NULL);

        if (!v)
                return "-";
        snprintf(buf, 32, "%lldMi", (long long)json_integer_value(v) >> 20);
        return buf;
}

static const char *bytes_text(const json_t *o, const char *what, const char *key,
                              char buf[static 32])
{
        const json_t *v = json_path(o, what, key, NULL);

        return v ? size_format((uint64_t)json_integer_value(v), buf) : "-";
}

/* ---- top ---- */

static int add_top(struct table *t, const json_t *pod, const json_t *of)
{
        char cpu[32], memory[32];
        const char *const cells[] = { text_in(pod, "podRef", "namespace"),
                                      text_in(pod, "podRef", "name"), cpu_text(of, cpu),
                                      memory_text(of, memory) };
        const char *const with_name[] = { cells[0], cells[1], json_text_at(of, "name"), cells[2],
                                          cells[3] };

        return table_add(t, pod == of ? cells : with_name);
}

static int top_rows(struct invocation *in, const json_t *answer, struct table *t)
{
        const json_t *pod, *c;
        size_t i, k;

        json_array_foreach (json_object_get(answer, "pods"), i, pod) {
                if (!is_wanted(in, pod))
                        continue;
                if (!in->n_words && add_top(t, pod, pod) < 0)
                        return -ENOMEM;
                if (!in->n_words)
                        continue;
                json_array_foreach (json_object_get(pod, "containers"), k, c)
                        if (add_top(t, pod, c) < 0)
                                return -ENOMEM;
        }
        return 0;
}

int verb_top(struct invocation *in, struct err *err)
{
        static const char *const pods[] = { "NAMESPACE", "NAME", "CPU(cores)", "MEMORY(bytes)",
                                            NULL };
        static const char *const containers[] = { "NAMESPACE",  "POD",           "NAME",
                                                  "CPU(cores)", "MEMORY(bytes)", NULL };
        const struct list_view view = { in->n_words ? containers : pods,
                                        NULL,
                                        "Nothing runs on this node.",
                                        get_summary,
                                        top_rows,
                                        NULL };

        return list_show(in, &view, err);
}

/* ---- stats ---- */

static int add_stats(struct table *t, const json_t *pod, const json_t *c)
{
        char cpu[32], memory[32], anonymous[32], disk[32], logs[32];
        const char *const cells[] = { text_in(pod, "podRef", "namespace"),
                                      text_in(pod, "podRef", "name"),
                                      json_text_at(c, "name"),
                                      cpu_text(c, cpu),
                                      memory_text(c, memory),
                                      bytes_text(c, "memory", "rssBytes", anonymous),
                                      bytes_text(c, "rootfs", "usedBytes", disk),
                                      bytes_text(c, "logs", "usedBytes", logs) };

        return table_add(t, cells);
}

static int stats_rows(struct invocation *in, const json_t *answer, struct table *t)
{
        const json_t *pod, *c;
        size_t i, k;

        json_array_foreach (json_object_get(answer, "pods"), i, pod) {
                if (!is_wanted(in, pod))
                        continue;
                json_array_foreach (json_object_get(pod, "containers"), k, c)
                        if (add_stats(t, pod, c) < 0)
                                return -ENOMEM;
        }
        return 0;
}

int verb_stats(struct invocation *in, struct err *err)
{
        static const char *const headings[] = { "NAMESPACE", "POD",  "CONTAINER", "CPU", "MEMORY",
                                                "ANONYMOUS", "DISK", "LOGS",      NULL };
        static const struct list_view view = {
                headings, NULL, "Nothing runs on this node.", get_summary, stats_rows, NULL
        };

        return list_show(in, &view, err);
}
