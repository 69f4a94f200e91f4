#include "cli/dash-model.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/quantity.h"
#include "cli/verbs.h"

enum { THOUSAND = 1000, PAGE = 10 };

static void row_done(struct dash_row *r)
{
        free(r->key);
        *r = (struct dash_row){ 0 };
}

static void rows_free(struct dash_row *rows, size_t n)
{
        for (size_t i = 0; i < n; i++)
                row_done(&rows[i]);
        free(rows);
}

static void events_clear(struct dash_model *m)
{
        for (size_t i = 0; i < m->n_events; i++)
                free(m->events[i].text);
        m->n_events = 0;
}

void dash_model_done(struct dash_model *m)
{
        rows_free(m->rows, m->n_rows);
        events_clear(m);
        free(m->node);
        free(m->trouble);
        free(m->selected);
        *m = (struct dash_model){ 0 };
}

void dash_model_trouble(struct dash_model *m, const char *sentence)
{
        free(m->trouble);
        m->trouble = strdup_null(sentence);
}

/* ---- rows ---- */

static const struct dash_row *find_row(const struct dash_row *rows, size_t n, const char *key)
{
        for (size_t i = 0; key && i < n; i++)
                if (streq(rows[i].key, key))
                        return &rows[i];
        return NULL;
}

static int64_t number_at(const json_t *o, const char *a, const char *b)
{
        const json_t *v = json_path(o, a, b, NULL);

        return v ? json_integer_value(v) : -1;
}

static const json_t *stats_of(const json_t *stats, const json_t *pod)
{
        const json_t *s;
        size_t i;

        json_array_foreach (json_object_get(stats, "pods"), i, s)
                if (streq(text_in(s, "podRef", "name"), text_in(pod, "metadata", "name")) &&
                    streq(text_in(s, "podRef", "namespace"), text_in(pod, "metadata", "namespace")))
                        return s;
        return NULL;
}

static const json_t *named(const json_t *list, const char *name)
{
        const json_t *o;
        size_t i;

        json_array_foreach ((json_t *)list, i, o)
                if (streq_null(json_text_at(o, "name"), name))
                        return o;
        return NULL;
}

/* What it uses, and the step that this adds to its history. */
static void set_usage(struct dash_row *r, const json_t *usage, const struct dash_row *before)
{
        const int64_t nano = number_at(usage, "cpu", "usageNanoCores");
        int64_t part = 0;

        r->cpu_milli = nano < 0 ? -1 : (nano + 999999) / 1000000;
        r->memory = number_at(usage, "memory", "workingSetBytes");
        if (before) {
                size_t skip = before->n_history == DASH_HISTORY;

                r->n_history = before->n_history - skip;
                memcpy(r->history, before->history + skip, r->n_history * sizeof r->history[0]);
        }
        if (r->cpu_milli < 0)
                return;
        if (r->cpu_limit > 0)
                part = MIN(r->cpu_milli * THOUSAND / r->cpu_limit, (int64_t)THOUSAND);
        r->history[r->n_history++] = (uint16_t)part;
}

static int64_t limit_of(const json_t *container, const char *what, bool is_milli)
{
        const char *text = json_string_value(
                json_path(container, "resources", "limits", what, NULL));
        int64_t v = 0;

        if (text && (is_milli ? quantity_parse_milli : quantity_parse)(text, &v) == 0)
                return v;
        return 0;
}

static void set_state(struct dash_row *r, const json_t *status)
{
        static const char *const kinds[] = { "waiting", "terminated" };
        const char *word = "Pending";

        snprintf(r->ready, sizeof r->ready, "%s",
                 json_is_true(json_object_get(status, "ready")) ? "yes" : "no");
        snprintf(r->restarts, sizeof r->restarts, "%lld",
                 (long long)json_integer_value(json_object_get(status, "restartCount")));
        if (json_path(status, "state", "running", NULL))
                word = "Running";
        for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
                const json_t *state = json_path(status, "state", kinds[i], NULL);

                if (state)
                        word = json_text_at(state, "reason") ? json_text_at(state, "reason")
                                                             : kinds[i];
        }
        snprintf(r->status, sizeof r->status, "%s", word);
        r->colour = status_colour(r->status);
}

struct building {
        const struct dash_model *old;
        struct dash_row *rows; /* owned */
        size_t n, cap;
        usec_t now;
};

static struct dash_row *add_row(struct building *b, char *key)
{
        if (key && b->n == b->cap) {
                struct dash_row *grown = realloc(b->rows, (b->cap * 2 + 32) * sizeof *grown);

                if (grown) {
                        b->rows = grown;
                        b->cap = b->cap * 2 + 32;
                }
        }
        if (!key || b->n == b->cap) {
                free(key);
                return NULL;
        }
        b->rows[b->n] = (struct dash_row){ .key = key, .cpu_milli = -1, .memory = -1 };
        return &b->rows[b->n++];
}

static int add_containers(struct building *b, const json_t *pod, const json_t *stats,
                          const char *pod_key)
{
        static const struct {
                const char *list, *statuses;
        } kinds[] = { { "initContainers", "initContainerStatuses" },
                      { "containers", "containerStatuses" },
                      { "ephemeralContainers", "ephemeralContainerStatuses" } };

        for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
                const json_t *c;
                size_t i;

                json_array_foreach ((json_t *)json_path(pod, "spec", kinds[k].list, NULL), i, c) {
                        const char *name = json_text_at(c, "name");
                        struct dash_row *r =
                                add_row(b, text_printf("%s/%s", pod_key, name ? name : ""));

                        if (!r)
                                return -ENOMEM;
                        r->cpu_limit = limit_of(c, "cpu", true);
                        r->memory_limit = limit_of(c, "memory", false);
                        if (!r->cpu_limit)
                                r->cpu_limit = b->old->node_cpu_milli;
                        if (!r->memory_limit)
                                r->memory_limit = b->old->node_memory;
                        set_state(r,
                                  named(json_path(pod, "status", kinds[k].statuses, NULL), name));
                        set_usage(r, named(json_object_get(stats, "containers"), name),
                                  find_row(b->old->rows, b->old->n_rows, r->key));
                }
        }
        return 0;
}

static int add_pod(struct building *b, const json_t *pod, const json_t *stats)
{
        struct dash_row *r = add_row(b, text_printf("%s/%s", text_in(pod, "metadata", "namespace"),
                                                    text_in(pod, "metadata", "name")));
        usec_t created = time_at(json_object_get(pod, "metadata"), "creationTimestamp");
        _cleanup_free_ char *key = NULL;

        if (!r || !(key = strdup(r->key)))
                return -ENOMEM;
        r->is_pod = true;
        pod_summary(pod, r->ready, r->status, r->restarts, b->now);
        r->colour = status_colour(r->status);
        if (!created)
                created = time_at(json_object_get(pod, "status"), "startTime");
        if (created && b->now >= created)
                age_format(b->now - created, r->age);
        r->cpu_limit = b->old->node_cpu_milli;
        r->memory_limit = b->old->node_memory;
        set_usage(r, stats, find_row(b->old->rows, b->old->n_rows, r->key));
        return add_containers(b, pod, stats, key);
}

static bool passes(const struct dash_model *m, const struct dash_row *r)
{
        return (r->is_pod || !m->hides_containers) &&
               (!m->filter[0] || strstr(r->key, m->filter) || strstr(r->status, m->filter));
}

/* What the filter hides is no longer selected: the first that it shows is. */
static void filter_rows(struct dash_model *m)
{
        const struct dash_row *selected;
        size_t first = m->n_rows;

        for (size_t i = m->n_rows; i-- > 0;) {
                m->rows[i].is_shown = passes(m, &m->rows[i]);
                if (m->rows[i].is_shown)
                        first = i;
        }
        selected = dash_model_selected(m);
        if (selected && selected->is_shown)
                return;
        free(m->selected);
        m->selected = first < m->n_rows ? strdup(m->rows[first].key) : NULL;
}

static void set_events(struct dash_model *m, const json_t *events, usec_t now)
{
        const json_t *items = json_object_get(events, "items");
        const size_t n = json_array_size(items);

        events_clear(m);
        for (size_t i = 0; i < n && m->n_events < DASH_EVENTS; i++) {
                const json_t *e = json_array_get(items, n - 1 - i);
                const usec_t at = time_at(e, "lastTimestamp");
                const char *reason = json_text_at(e, "reason"),
                           *message = json_text_at(e, "message");
                char age[32] = "";
                char *text;

                if (at && now >= at)
                        age_format(now - at, age);
                text = text_printf("%-6s %-18s %s: %s", age, reason ? reason : "",
                                   text_in(e, "involvedObject", "name"), message ? message : "");
                if (!text)
                        return;
                m->events[m->n_events++] =
                        (struct dash_event){ text, streq_null(json_text_at(e, "type"), "Warning") };
        }
}

static void set_node(struct dash_model *m, const json_t *node)
{
        const char *name = json_text_at(node, "name"), *api = json_text_at(node, "apiServer"),
                   *not_ready = json_text_at(node, "notReady"),
                   *version = json_text_at(node, "version");
        char *text = text_printf("%s  skiffd %s  %s  API server: %s", name ? name : "?",
                                 version ? version : "?", not_ready ? not_ready : "Ready",
                                 api ? api : "?");

        if (!text)
                return;
        free(m->node);
        m->node = text;
}

int dash_model_update(struct dash_model *m, const json_t *pods, const json_t *stats,
                      const json_t *events, const json_t *node, usec_t now)
{
        struct building b = { .old = m, .now = now };
        const json_t *pod;
        size_t i;

        json_array_foreach (json_object_get(pods, "items"), i, pod)
                if (add_pod(&b, pod, stats_of(stats, pod)) < 0) {
                        rows_free(b.rows, b.n);
                        return -ENOMEM;
                }
        rows_free(m->rows, m->n_rows);
        m->rows = b.rows;
        m->n_rows = b.n;
        set_events(m, events, now);
        set_node(m, node);
        filter_rows(m);
        return 0;
}

/* ---- keys ---- */

const struct dash_row *dash_model_selected(const struct dash_model *m)
{
        return find_row(m->rows, m->n_rows, m->selected);
}

/* Among the rows that are shown, by so many. */
static void move_selection(struct dash_model *m, int64_t by)
{
        const struct dash_row *at = dash_model_selected(m);
        int64_t i = at ? at - m->rows : 0, step = by < 0 ? -1 : 1;
        char *copy;

        for (int64_t k = i + step; by != 0 && k >= 0 && k < (int64_t)m->n_rows; k += step)
                if (m->rows[k].is_shown) {
                        i = k;
                        by -= step;
                }
        if (m->n_rows == 0 || !m->rows[i].is_shown || !(copy = strdup(m->rows[i].key)))
                return;
        free(m->selected);
        m->selected = copy;
}

static void edit_filter(struct dash_model *m, uint32_t key)
{
        const size_t n = strlen(m->filter);

        if (key == '\n' || key == '\r') {
                m->is_filtering = false;
        } else if (key == 27) {
                m->is_filtering = false;
                m->filter[0] = '\0';
        } else if (key == DASH_KEY_BACKSPACE || key == 127 || key == 8) {
                if (n)
                        m->filter[n - 1] = '\0';
        } else if (key > ' ' && key < 127 && n < DASH_FILTER_MAX) {
                m->filter[n] = (char)key;
                m->filter[n + 1] = '\0';
        }
        filter_rows(m);
}

static enum dash_action about_selected(const struct dash_model *m, enum dash_action a)
{
        return dash_model_selected(m) ? a : DASH_NOTHING;
}

enum dash_action dash_model_key(struct dash_model *m, uint32_t key)
{
        if (key == 0) /* none */
                return DASH_NOTHING;
        if (m->is_filtering && (key < DASH_KEY_UP || key == DASH_KEY_BACKSPACE)) {
                edit_filter(m, key);
                return DASH_NOTHING;
        }
        if (m->shows_help) {
                m->shows_help = false;
                return key == 'q' ? DASH_QUIT : DASH_NOTHING;
        }
        switch (key) {
        case 'q':
                return DASH_QUIT;
        case 'l':
        case '\n':
        case '\r':
                return about_selected(m, DASH_LOGS);
        case 's':
                return about_selected(m, DASH_SHELL);
        case 'e':
                return about_selected(m, DASH_EXPLAIN);
        case 't':
                return about_selected(m, DASH_TIMELINE);
        case '/':
                m->is_filtering = true;
                break;
        case 27:
                m->filter[0] = '\0';
                filter_rows(m);
                break;
        case 'c':
                m->hides_containers = !m->hides_containers;
                filter_rows(m);
                break;
        case '?':
        case 'h':
                m->shows_help = true;
                break;
        case 'k':
        case DASH_KEY_UP:
                move_selection(m, -1);
                break;
        case 'j':
        case DASH_KEY_DOWN:
                move_selection(m, 1);
                break;
        case DASH_KEY_PAGE_UP:
                move_selection(m, -PAGE);
                break;
        case DASH_KEY_PAGE_DOWN:
                move_selection(m, PAGE);
                break;
        case 'g':
        case DASH_KEY_HOME:
                move_selection(m, -(int64_t)m->n_rows);
                break;
        case 'G':
        case DASH_KEY_END:
                move_selection(m, (int64_t)m->n_rows);
                break;
        default:
                break;
        }
        return DASH_NOTHING;
}
