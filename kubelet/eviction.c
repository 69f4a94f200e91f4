#include "kubelet/eviction.h"

#include <errno.h>
#include <string.h>

#include "base/quantity.h"
#include "base/text.h"
#include "kubelet/qos.h"

static const struct signal_row {
        const char *name, *resource;
        enum eviction_condition condition;
        bool is_count; /* not of bytes */
} rows[] = {
        /* clang-format off */
        [EVICTION_MEMORY]             = { "memory.available",            "memory",            EVICTION_MEMORY_PRESSURE, false },
        [EVICTION_ALLOCATABLE_MEMORY] = { "allocatableMemory.available", "memory",            EVICTION_MEMORY_PRESSURE, false },
        [EVICTION_NODEFS]             = { "nodefs.available",            "ephemeral-storage", EVICTION_DISK_PRESSURE,   false },
        [EVICTION_NODEFS_INODES]      = { "nodefs.inodesFree",           "inodes",            EVICTION_DISK_PRESSURE,   true },
        [EVICTION_IMAGEFS]            = { "imagefs.available",           "ephemeral-storage", EVICTION_DISK_PRESSURE,   false },
        [EVICTION_IMAGEFS_INODES]     = { "imagefs.inodesFree",          "inodes",            EVICTION_DISK_PRESSURE,   true },
        [EVICTION_PIDS]               = { "pid.available",               "pids",              EVICTION_PID_PRESSURE,    true },
}; /* clang-format on */

const char *eviction_signal_name(enum eviction_signal s)
{
        return rows[s].name;
}

const char *eviction_resource_name(enum eviction_signal s)
{
        return rows[s].resource;
}

const char *eviction_condition_name(enum eviction_condition c)
{
        static const char *const names[] = { [EVICTION_MEMORY_PRESSURE] = "MemoryPressure",
                                             [EVICTION_DISK_PRESSURE] = "DiskPressure",
                                             [EVICTION_PID_PRESSURE] = "PIDPressure" };

        return names[c];
}

bool eviction_signal_is_disk(enum eviction_signal s)
{
        return rows[s].condition == EVICTION_DISK_PRESSURE;
}

/* ---- thresholds ---- */

#define CONTAINERFS "containerfs."
#define SIGNAL_RULE                                                                        \
        "unknown signal; expected memory.available, nodefs.available, nodefs.inodesFree, " \
        "imagefs.available, imagefs.inodesFree or pid.available"

static int bad_value(struct err *err, const char *field, const struct string_map_entry *e,
                     const char *rule)
{
        return err_set_kind(err, -EINVAL, ERR_BAD_INPUT, "%s: %s: '%s': expected %s", field, e->key,
                            e->value, rule);
}

/* _EVICTION_SIGNAL_MAX: of the file system of containers, which is one of the others. */
static int find_signal(const char *name, const char *field, enum eviction_signal *ret,
                       struct err *err)
{
        const char *rest = startswith(name, CONTAINERFS);
        size_t i = 0;

        if (rest && (streq(rest, "available") || streq(rest, "inodesFree"))) {
                *ret = _EVICTION_SIGNAL_MAX;
                return 0;
        }
        while (i < ARRAY_SIZE(rows) && !streq(rows[i].name, name))
                i++;
        if (i == ARRAY_SIZE(rows))
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT, "%s: '%s': " SIGNAL_RULE, field,
                                    name);
        *ret = (enum eviction_signal)i;
        return 0;
}

/* "2.5%": 1; no percentage: 0; -EINVAL. */
static int parse_part(const char *text, float *ret)
{
        size_t n = strlen(text);
        _cleanup_free_ char *number = NULL;
        int64_t milli;

        if (n == 0 || text[n - 1] != '%')
                return 0;
        number = strndup(text, n - 1);
        if (!number)
                return -ENOMEM;
        if (n == 1 || strspn(number, "0123456789.") != n - 1 ||
            quantity_parse_milli(number, &milli) < 0 || milli > 100000)
                return -EINVAL;
        *ret = (float)((double)milli / 1000) / 100;
        return 1;
}

static int parse_amount(const struct string_map_entry *e, const char *field, bool may_be_zero,
                        struct eviction_amount *ret, struct err *err)
{
        struct eviction_amount a = { .is_binary = endswith(e->value, "i") };
        int64_t quantity = 0;
        int r = parse_part(e->value, &a.part);

        if (r == -ENOMEM)
                return err_sys(err, r, "parse %s", field);
        if (r < 0)
                return bad_value(err, field, e, "a percentage from 0% to 100%");
        a.is_part = r > 0;
        if (!a.is_part && quantity_parse(e->value, &quantity) < 0)
                return bad_value(err, field, e, "a quantity or a percentage");
        if (quantity < 0 || (!a.is_part && quantity == 0 && !may_be_zero))
                return bad_value(err, field, e, "a positive quantity");
        a.quantity = (uint64_t)quantity;
        *ret = a;
        return 0;
}

/* The order of signals, not that of the text, decides where a threshold stands. */
static int parse_thresholds(const struct string_map *m, const char *field,
                            struct eviction_thresholds *t, struct err *err)
{
        struct eviction_amount amounts[_EVICTION_SIGNAL_MAX] = { 0 };
        bool is_given[_EVICTION_SIGNAL_MAX] = { 0 };

        for (size_t i = 0; i < m->n; i++) {
                enum eviction_signal signal;
                struct eviction_amount a;
                int r = find_signal(m->entries[i].key, field, &signal, err);

                if (r == 0)
                        r = parse_amount(&m->entries[i], field, false, &a, err);
                if (r < 0)
                        return r;
                if (signal == _EVICTION_SIGNAL_MAX || (a.is_part && (a.part <= 0 || a.part >= 1)))
                        continue;
                amounts[signal] = a;
                is_given[signal] = true;
        }
        for (size_t i = 0; i < _EVICTION_SIGNAL_MAX; i++)
                if (is_given[i])
                        t->list[t->n++] = (struct eviction_threshold){
                                .signal = (enum eviction_signal)i, .at = amounts[i]
                        };
        return 0;
}

static int set_grace_periods(const struct eviction_config *c, struct eviction_thresholds *t,
                             size_t first_soft, struct err *err)
{
        static const char field[] = "evictionSoftGracePeriod";
        enum eviction_signal signal;

        for (size_t i = 0; i < c->soft_grace->n; i++) {
                const struct string_map_entry *e = &c->soft_grace->entries[i];
                usec_t grace;
                int r = find_signal(e->key, field, &signal, err);

                if (r < 0)
                        return r;
                if (duration_parse(e->value, &grace) < 0)
                        return bad_value(err, field, e, "a duration such as 1m30s");
                for (size_t k = first_soft; k < t->n; k++)
                        if (t->list[k].signal == signal)
                                t->list[k].grace_usec = grace;
        }
        for (size_t i = 0; i < c->soft->n; i++)
                if (!string_map_get(c->soft_grace, c->soft->entries[i].key))
                        return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                            "evictionSoft: '%s': needs a grace period in %s",
                                            c->soft->entries[i].key, field);
        return 0;
}

static int set_min_reclaims(const struct eviction_config *c, struct eviction_thresholds *t,
                            struct err *err)
{
        static const char field[] = "evictionMinimumReclaim";

        for (size_t i = 0; i < c->min_reclaim->n; i++) {
                enum eviction_signal signal;
                struct eviction_amount a;
                int r = find_signal(c->min_reclaim->entries[i].key, field, &signal, err);

                if (r == 0)
                        r = parse_amount(&c->min_reclaim->entries[i], field, true, &a, err);
                if (r < 0)
                        return r;
                for (size_t k = 0; k < t->n; k++)
                        if (t->list[k].signal == signal)
                                t->list[k].min_reclaim = a;
        }
        return 0;
}

/* What is kept free of the machine is kept free of the pods' share too. */
static void add_allocatable(struct eviction_thresholds *t)
{
        for (size_t i = 0; i < t->n; i++) {
                if (t->list[i].signal != EVICTION_MEMORY || t->list[i].grace_usec > 0)
                        continue;
                t->list[t->n] = t->list[i];
                t->list[t->n++].signal = EVICTION_ALLOCATABLE_MEMORY;
                return;
        }
}

int eviction_thresholds_parse(const struct eviction_config *c, struct eviction_thresholds *ret,
                              struct err *err)
{
        struct eviction_thresholds t = { 0 };
        int r = parse_thresholds(c->hard, "evictionHard", &t, err);
        size_t first_soft = t.n;

        if (r == 0)
                r = parse_thresholds(c->soft, "evictionSoft", &t, err);
        if (r == 0)
                r = set_grace_periods(c, &t, first_soft, err);
        if (r == 0)
                r = set_min_reclaims(c, &t, err);
        if (r < 0)
                return r;
        if (c->enforces_pods)
                add_allocatable(&t);
        *ret = t;
        return 0;
}

static uint64_t amount_of(const struct eviction_amount *a, uint64_t capacity)
{
        return a->is_part ? (uint64_t)((double)capacity * (double)a->part) : a->quantity;
}

uint64_t eviction_hard_amount(const struct eviction_thresholds *t, enum eviction_signal signal,
                              uint64_t capacity)
{
        for (size_t i = 0; i < t->n; i++)
                if (t->list[i].signal == signal && t->list[i].grace_usec == 0)
                        return amount_of(&t->list[i].at, capacity);
        return 0;
}

/* ---- which are met ---- */

static bool is_met(const struct eviction_threshold *t, const struct eviction_observation *seen,
                   bool with_reclaim)
{
        uint64_t wanted = amount_of(&t->at, seen->capacity);

        if (with_reclaim)
                wanted += amount_of(&t->min_reclaim, seen->capacity);
        return seen->is_known && seen->available < wanted;
}

void eviction_fold(const struct eviction_thresholds *t,
                   const struct eviction_observation seen[static _EVICTION_SIGNAL_MAX], usec_t now,
                   struct eviction_state *state)
{
        for (size_t i = 0; i < t->n; i++) {
                const struct eviction_threshold *one = &t->list[i];

                if (!is_met(one, &seen[one->signal], state->is_active[i])) {
                        state->met_since[i] = 0;
                        state->is_active[i] = false;
                        continue;
                }
                if (state->met_since[i] == 0)
                        state->met_since[i] = now;
                state->is_active[i] = now >= state->met_since[i] + one->grace_usec;
                state->condition_at[rows[one->signal].condition] = now;
        }
}

bool eviction_condition_holds(const struct eviction_state *state, enum eviction_condition c,
                              usec_t transition, usec_t now)
{
        usec_t at = state->condition_at[c];

        return at > 0 && now <= at + transition;
}

static bool is_of_memory(enum eviction_signal s)
{
        return rows[s].condition == EVICTION_MEMORY_PRESSURE;
}

const struct eviction_threshold *eviction_choose(const struct eviction_thresholds *t,
                                                 const struct eviction_state *state)
{
        const struct eviction_threshold *chosen = NULL;

        for (size_t i = 0; i < t->n; i++) {
                if (!state->is_active[i])
                        continue;
                if (!chosen || (is_of_memory(t->list[i].signal) && !is_of_memory(chosen->signal)))
                        chosen = &t->list[i];
        }
        return chosen;
}

bool eviction_is_relieved(const struct eviction_thresholds *t,
                          const struct eviction_observation seen[static _EVICTION_SIGNAL_MAX])
{
        for (size_t i = 0; i < t->n; i++)
                if (is_met(&t->list[i], &seen[t->list[i].signal], true))
                        return false;
        return true;
}

/* ---- who goes ---- */

struct disk_usage eviction_disk_use(const struct pod_disk *disk, enum eviction_signal signal,
                                    bool has_image_fs)
{
        bool of_images = signal == EVICTION_IMAGEFS || signal == EVICTION_IMAGEFS_INODES;
        struct disk_usage sum = { 0 };

        for (size_t i = 0; disk && i < disk->n_items; i++) {
                const struct pod_disk_item *item = &disk->items[i];

                if (!item->usage.is_known)
                        continue;
                sum.is_known = true;
                if (has_image_fs && (item->kind == POD_DISK_LAYER) != of_images)
                        continue;
                sum.bytes += item->usage.bytes;
                sum.inodes += item->usage.inodes;
        }
        return sum;
}

/* Who is not known goes first, then who uses more than it asked for, then the others. */
enum { CLASS_UNKNOWN, CLASS_EXCEEDS, CLASS_WITHIN };

static void weigh_processes(struct eviction_pod *p)
{
        p->class = CLASS_WITHIN; /* nobody can ask for any */
        p->over = p->is_known ? (int64_t)MIN(p->processes, (uint64_t)INT64_MAX - 1) : INT64_MAX;
}

static int weigh(struct eviction_pod *p, enum eviction_signal signal)
{
        _cleanup_(amounts_done)
        struct amounts requests = { 0 };
        const char *name = is_of_memory(signal) ? "memory" : "ephemeral-storage";
        uint64_t used = is_of_memory(signal)    ? p->memory_bytes
                        : rows[signal].is_count ? p->disk.inodes
                                                : p->disk.bytes;

        if (pod_requests(p->pod, &requests) < 0)
                return -ENOMEM;
        /* bytes asked for are taken off inodes too, in the kubelet; nobody can ask for inodes */
        p->over = (int64_t)MIN(used, (uint64_t)INT64_MAX) - MAX(amounts_get(&requests, name), 0);
        if (!p->is_known)
                p->class = CLASS_UNKNOWN;
        else if (rows[signal].is_count ? used > 0 : p->over > 0)
                p->class = CLASS_EXCEEDS;
        else
                p->class = CLASS_WITHIN;
        return 0;
}

static int priority_of(const struct eviction_pod *p)
{
        return p->pod->has_priority ? p->pod->priority : 0;
}

/* Negative: @a goes before @b. */
static int compare(const void *a, const void *b)
{
        const struct eviction_pod *x = a, *y = b;
        int r = x->class - y->class;

        if (r == 0 && x->class != CLASS_UNKNOWN)
                r = (priority_of(x) > priority_of(y)) - (priority_of(x) < priority_of(y));
        if (r == 0 && x->class != CLASS_UNKNOWN)
                r = (x->over < y->over) - (x->over > y->over);
        return r ? r : (x->order > y->order) - (x->order < y->order);
}

int eviction_rank(struct eviction_pod *pods, size_t n, enum eviction_signal signal)
{
        for (size_t i = 0; i < n; i++) {
                pods[i].order = i;
                if (signal == EVICTION_PIDS)
                        weigh_processes(&pods[i]);
                else if (weigh(&pods[i], signal) < 0)
                        return -ENOMEM;
        }
        if (n)
                qsort(pods, n, sizeof *pods, compare);
        return 0;
}

int64_t eviction_grace_sec(const struct eviction_threshold *t, int64_t max_pod_grace_sec,
                           const struct pod *pod)
{
        return t->grace_usec == 0 ? 1 : MIN(max_pod_grace_sec, pod->grace_sec);
}

/* ---- what is said of it ---- */

struct words {
        struct strbuf message, names, usages; /* of containers that use more than they asked for */
        const char *resource;
};

static const char *amount_text(const struct eviction_threshold *t, uint64_t capacity,
                               char buf[static QUANTITY_TEXT_MAX])
{
        int64_t v = (int64_t)amount_of(&t->at, capacity);

        return quantity_format_like(v, t->at.is_part || t->at.is_binary ? "i" : "", buf);
}

static void blame(struct strbuf *message, const char *kind, const char *name, const char *usage,
                  const char *request, const char *resource)
{
        strbuf_addf(message, "%s %s was using %s, request is %s, has larger consumption of %s. ",
                    kind, name, usage, request, resource);
}

static void blame_container(struct words *w, const struct pod *pod,
                            const struct eviction_container *used)
{
        const struct pod_container *c = pod_find_container(pod, used->name);
        bool of_memory = streq(w->resource, "memory");
        uint64_t bytes = of_memory                                 ? used->memory_bytes
                         : streq(w->resource, "ephemeral-storage") ? used->disk_bytes
                                                                   : EVICTION_UNKNOWN;
        char usage[QUANTITY_TEXT_MAX];
        const char *request;

        if (!c || c->kind == POD_CONTAINER_EPHEMERAL || bytes == EVICTION_UNKNOWN ||
            (int64_t)bytes <= MAX(pod_resource_value(&c->resources.requests, w->resource), 0))
                return;
        request = string_map_get(&c->resources.requests, w->resource);
        quantity_format_bytes((int64_t)bytes, usage);
        blame(&w->message, "Container", c->name, usage, request ? request : "0", w->resource);
        strbuf_addf(&w->names, "%s%s", w->names.len ? "," : "", c->name);
        strbuf_addf(&w->usages, "%s%s", w->usages.len ? "," : "", usage);
}

/* Of a pod that asked for memory as a whole. */
static int blame_pod(struct words *w, const struct eviction_pod *p, json_t *annotations)
{
        const char *request = string_map_get(&p->pod->resources.requests, "memory");
        char usage[QUANTITY_TEXT_MAX];

        if (!streq(w->resource, "memory") || !request || p->memory_bytes == EVICTION_UNKNOWN)
                return 0;
        quantity_format_bytes((int64_t)p->memory_bytes, usage);
        blame(&w->message, "Pod", p->pod->name, usage, request, w->resource);
        return json_set_text(annotations, "offending_pod", p->pod->name) < 0 ||
                               json_set_text(annotations, "offending_pod_usage", usage) < 0
                       ? -ENOMEM
                       : 0;
}

static int put_text(json_t *annotations, const char *key, struct strbuf *b)
{
        _cleanup_free_ char *text = strbuf_take(b);

        return text ? json_set_text(annotations, key, text) : -ENOMEM;
}

int eviction_message(const struct eviction_pod *p, const struct eviction_threshold *t,
                     const struct eviction_observation *seen, char **ret_message,
                     json_t **ret_annotations)
{
        struct words w = { .resource = rows[t->signal].resource };
        json_auto_t *annotations = json_object();
        char quantity[QUANTITY_TEXT_MAX], available[QUANTITY_TEXT_MAX];
        int r = annotations ? 0 : -ENOMEM;

        strbuf_addf(&w.message, "The node was low on resource: %s. ", w.resource);
        strbuf_addf(&w.message, "Threshold quantity: %s, available: %s. ",
                    amount_text(t, seen->capacity, quantity),
                    quantity_format_like((int64_t)seen->available,
                                         rows[t->signal].is_count ? "" : "i", available));
        if (r == 0 && p->is_known) {
                r = blame_pod(&w, p, annotations);
                for (size_t i = 0; i < p->n_containers; i++)
                        blame_container(&w, p->pod, &p->containers[i]);
                if (r == 0)
                        r = put_text(annotations, "offending_containers", &w.names);
                if (r == 0)
                        r = put_text(annotations, "offending_containers_usage", &w.usages);
                if (r == 0)
                        r = json_set_text(annotations, "starved_resource", w.resource);
        }
        strbuf_done(&w.names);
        strbuf_done(&w.usages);
        *ret_message = strbuf_take(&w.message);
        if (r == 0 && !*ret_message)
                r = -ENOMEM;
        if (r < 0) {
                free(*ret_message);
                *ret_message = NULL;
                return r;
        }
        *ret_annotations = json_incref(annotations);
        return 0;
}
