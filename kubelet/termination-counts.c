#include "kubelet/termination-counts.h"

#include <stdlib.h>

#include "base/json.h"
#include "base/log.h"
#include "base/map.h"
#include "base/prometheus.h"

#define NAME      "kubelet_terminated_containers_total"
#define COUNT_MAX 1024 /* kinds; exit codes and reasons are few, whatever containers do */

struct count {
        const char *type; /* static */
        char *code, *reason;
        uint64_t n;
};

struct termination_counts {
        struct map *counts; /* "type code reason" -> struct count, owned */
};

static void count_free(void *value)
{
        struct count *c = value;

        if (!c)
                return;
        free(c->code);
        free(c->reason);
        free(c);
}

struct termination_counts *termination_counts_new(void)
{
        struct termination_counts *t = malloc(sizeof *t);

        if (!t)
                return NULL;
        t->counts = map_new();
        return t->counts ? t : termination_counts_free(t);
}

struct termination_counts *termination_counts_free(struct termination_counts *t)
{
        if (t)
                map_free_with(t->counts, count_free);
        free(t);
        return NULL;
}

static struct count *add_count(struct termination_counts *t, const char *key, const char *type,
                               const char *code, const char *reason)
{
        struct count *c = calloc(1, sizeof *c);

        if (!c)
                return NULL;
        c->type = type;
        c->code = strdup_null(code);
        c->reason = strdup_null(reason);
        if (c->code && c->reason && map_put(t->counts, key, c, NULL) >= 0)
                return c;
        count_free(c);
        return NULL;
}

static void count_end(struct termination_counts *t, const char *type, const json_t *end)
{
        const char *reason = json_text_at(end, "reason");
        _cleanup_free_ char *code = text_printf("%lld", (long long)json_integer_value(
                                                                json_object_get(end, "exitCode")));
        _cleanup_free_ char *key = NULL;
        struct count *c;

        reason = reason ? reason : "";
        if (code)
                key = text_printf("%s %s %s", type, code, reason);
        if (!key)
                return log_oom();
        c = map_get(t->counts, key);
        if (!c && map_size(t->counts) < COUNT_MAX)
                c = add_count(t, key, type, code, reason);
        if (c)
                c->n++;
}

static const json_t *end_of(const json_t *list, const char *name)
{
        size_t i;
        json_t *s;

        json_array_foreach ((json_t *)list, i, s)
                if (streq_null(json_text_at(s, "name"), name))
                        return json_object_get(json_object_get(s, "state"), "terminated");
        return NULL;
}

void termination_counts_note(struct termination_counts *t, const json_t *before, const json_t *now)
{
        static const struct {
                const char *list, *type;
        } kinds[] = {
                { "initContainerStatuses", "init_container" },
                { "containerStatuses", "container" },
                { "ephemeralContainerStatuses", "ephemeral_container" },
        };

        for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
                const json_t *old = json_object_get(before, kinds[k].list);
                size_t i;
                json_t *s;

                json_array_foreach (json_object_get(now, kinds[k].list), i, s) {
                        const json_t *end = json_object_get(json_object_get(s, "state"),
                                                            "terminated");

                        if (end && !end_of(old, json_text_at(s, "name")))
                                count_end(t, kinds[k].type, end);
                }
        }
}

void termination_counts_format(const struct termination_counts *t, struct strbuf *b)
{
        const char *key;
        struct count *c;
        bool has_head = false;

        MAP_FOREACH (key, c, t->counts) {
                const struct prometheus_label labels[] = { { "container_type", c->type },
                                                           { "exit_code", c->code },
                                                           { "reason", c->reason } };

                if (!has_head)
                        prometheus_add_head(b, NAME, "counter",
                                            "[ALPHA] Cumulative number of container terminations.");
                has_head = true;
                prometheus_add_sample(b, NAME, labels, ARRAY_SIZE(labels), (double)c->n, 0);
        }
}
