#include "kubelet/qos.h"

#include <errno.h>
#include <string.h>

#include "base/text.h"

#define MIN_SHARES           2
#define MAX_SHARES           262144
#define MIN_QUOTA_USEC       1000
#define OOM_SCORE_GUARANTEED (-997)
#define OOM_SCORE_BEST       1000

static bool counts_at_pod_level(const char *name)
{
        return streq(name, "cpu") || streq(name, "memory") || startswith(name, "hugepages-");
}

static int64_t value_of(const struct string_map *list, const char *name)
{
        int64_t v = streq(name, "cpu") ? pod_resource_milli(list, name)
                                       : pod_resource_value(list, name);

        return v == POD_UNSET ? 0 : v;
}

static int64_t add(int64_t a, int64_t b)
{
        int64_t sum;

        return __builtin_add_overflow(a, b, &sum) ? INT64_MAX : sum;
}

/* ---- amounts ---- */
void amounts_done(struct amounts *a)
{
        free(a->list);
        *a = (struct amounts){ 0 };
}

static struct amount *find(const struct amounts *a, const char *name)
{
        for (size_t i = 0; i < a->n; i++)
                if (streq(a->list[i].name, name))
                        return &a->list[i];
        return NULL;
}

bool is_extended_resource(const char *name)
{
        return strchr(name, '/') && !strstr(name, "kubernetes.io/") &&
               !startswith(name, "requests.");
}

int64_t amounts_get(const struct amounts *a, const char *name)
{
        const struct amount *found = find(a, name);

        return found ? found->value : POD_UNSET;
}

/* The amount of @name, made (0) in its sorted place when absent. */
static struct amount *at(struct amounts *a, const char *name)
{
        struct amount *found = find(a, name), *grown;
        size_t i = a->n;

        if (found)
                return found;
        grown = realloc(a->list, (a->n + 1) * sizeof *grown);
        if (!grown)
                return NULL;
        a->list = grown;
        for (; i > 0 && strcmp(a->list[i - 1].name, name) > 0; i--)
                a->list[i] = a->list[i - 1];
        a->list[i] = (struct amount){ .name = name };
        a->n++;
        return &a->list[i];
}

static int add_list(struct amounts *a, const struct string_map *list)
{
        for (size_t i = 0; i < list->n; i++) {
                struct amount *to = at(a, list->entries[i].key);

                if (!to)
                        return -ENOMEM;
                to->value = add(to->value, value_of(list, list->entries[i].key));
        }
        return 0;
}

static int add_amounts(struct amounts *a, const struct amounts *b)
{
        for (size_t i = 0; i < b->n; i++) {
                struct amount *to = at(a, b->list[i].name);

                if (!to)
                        return -ENOMEM;
                to->value = add(to->value, b->list[i].value);
        }
        return 0;
}

static int take_greater(struct amounts *a, const struct amounts *b)
{
        for (size_t i = 0; i < b->n; i++) {
                struct amount *to = at(a, b->list[i].name);

                if (!to)
                        return -ENOMEM;
                to->value = MAX(to->value, b->list[i].value);
        }
        return 0;
}

/* ---- sums ---- */
static const struct string_map *list_of(const struct pod_resources *r, bool limits)
{
        return limits ? &r->limits : &r->requests;
}

/* While it initializes: an init container with the sidecars that run already. */
static int add_init_step(const struct string_map *own, const struct amounts *sidecars,
                         struct amounts *peak)
{
        _cleanup_(amounts_done)
        struct amounts step = { 0 };
        int r = add_list(&step, own);

        if (r == 0)
                r = add_amounts(&step, sidecars);
        return r < 0 ? r : take_greater(peak, &step);
}

static int sum_containers(const struct pod *pod, bool limits, struct amounts *sum)
{
        _cleanup_(amounts_done)
        struct amounts sidecars = { 0 }, peak = { 0 };
        int r = 0;

        for (size_t i = 0; i < pod->n_containers && r == 0; i++)
                r = add_list(sum, list_of(&pod->containers[i].resources, limits));
        for (size_t i = 0; i < pod->n_init_containers && r == 0; i++) {
                const struct pod_container *c = &pod->init_containers[i];
                const struct string_map *own = list_of(&c->resources, limits);

                if (c->kind != POD_CONTAINER_SIDECAR) {
                        r = add_init_step(own, &sidecars, &peak);
                        continue;
                }
                r = add_list(sum, own);
                if (r == 0)
                        r = add_list(&sidecars, own);
                if (r == 0)
                        r = take_greater(&peak, &sidecars);
        }
        return r < 0 ? r : take_greater(sum, &peak);
}

static int use_pod_level(const struct pod *pod, bool limits, struct amounts *sum)
{
        const struct string_map *list = list_of(&pod->resources, limits);

        for (size_t i = 0; i < list->n; i++) {
                struct amount *to;

                if (!counts_at_pod_level(list->entries[i].key))
                        continue;
                to = at(sum, list->entries[i].key);
                if (!to)
                        return -ENOMEM;
                to->value = value_of(list, list->entries[i].key);
        }
        return 0;
}

int pod_requests(const struct pod *pod, struct amounts *ret)
{
        int r = sum_containers(pod, false, ret);

        if (r == 0)
                r = use_pod_level(pod, false, ret);
        if (r == 0)
                r = add_list(ret, &pod->overhead);
        if (r < 0)
                amounts_done(ret);
        return r;
}

int pod_limits(const struct pod *pod, struct amounts *ret)
{
        int r = sum_containers(pod, true, ret);

        if (r == 0)
                r = use_pod_level(pod, true, ret);
        if (r < 0) {
                amounts_done(ret);
                return r;
        }
        for (size_t i = 0; i < ret->n; i++)
                if (ret->list[i].value != 0)
                        ret->list[i].value = add(ret->list[i].value,
                                                 value_of(&pod->overhead, ret->list[i].name));
        return 0;
}

bool pod_limit_is_declared(const struct pod *pod, const char *name)
{
        if (value_of(&pod->resources.limits, name) > 0)
                return true;
        for (size_t i = 0; i < pod->n_containers; i++)
                if (value_of(&pod->containers[i].resources.limits, name) == 0)
                        return false;
        for (size_t i = 0; i < pod->n_init_containers; i++)
                if (value_of(&pod->init_containers[i].resources.limits, name) == 0)
                        return false;
        return true;
}

/* ---- class ---- */
struct qos_sums {
        int64_t request[2], limit[2]; /* cpu, memory */
        bool all_limited;             /* everyone asked has both limits */
};

static const char *const qos_resources[2] = { "cpu", "memory" };

static void count(struct qos_sums *s, const struct pod_resources *r)
{
        for (int i = 0; i < 2; i++) {
                int64_t limit = value_of(&r->limits, qos_resources[i]);

                s->request[i] = add(s->request[i], value_of(&r->requests, qos_resources[i]));
                s->limit[i] = add(s->limit[i], limit);
                s->all_limited = s->all_limited && limit > 0;
        }
}

static enum qos_class compute_qos(const struct pod *pod)
{
        struct qos_sums s = { .all_limited = true };

        if (pod->resources.limits.n + pod->resources.requests.n > 0) {
                count(&s, &pod->resources);
        } else {
                for (size_t i = 0; i < pod->n_containers; i++)
                        count(&s, &pod->containers[i].resources);
                for (size_t i = 0; i < pod->n_init_containers; i++)
                        count(&s, &pod->init_containers[i].resources);
        }
        if (s.request[0] + s.request[1] == 0 && s.limit[0] + s.limit[1] == 0)
                return QOS_BEST_EFFORT;
        if (s.all_limited && s.request[0] == s.limit[0] && s.request[1] == s.limit[1])
                return QOS_GUARANTEED;
        return QOS_BURSTABLE;
}

enum qos_class pod_qos(const struct pod *pod)
{
        return pod->qos_class != POD_UNSET ? (enum qos_class)pod->qos_class : compute_qos(pod);
}

const char *qos_name(enum qos_class q)
{
        static const char *const names[] = { [QOS_GUARANTEED] = "Guaranteed",
                                             [QOS_BURSTABLE] = "Burstable",
                                             [QOS_BEST_EFFORT] = "BestEffort" };

        return names[q];
}

/* ---- conversions ---- */
int64_t qos_cpu_shares(int64_t milli)
{
        if (milli <= 0)
                return MIN_SHARES;
        if (milli >= (int64_t)MAX_SHARES * 1000 / 1024)
                return MAX_SHARES;
        return MAX(milli * 1024 / 1000, MIN_SHARES);
}

int64_t qos_cpu_quota(int64_t milli, usec_t period_usec)
{
        int64_t quota;

        if (milli <= 0)
                return 0;
        if (__builtin_mul_overflow(milli, (int64_t)period_usec, &quota))
                return INT64_MAX / 1000;
        return MAX(quota / 1000, MIN_QUOTA_USEC);
}

/* What the pod asks for beyond its containers, shared out among them. */
static int64_t unassigned_memory(const struct pod *pod)
{
        int64_t pod_request = value_of(&pod->resources.requests, "memory");
        int64_t n = (int64_t)(pod->n_containers + pod->n_init_containers);
        _cleanup_(amounts_done)
        struct amounts sum = { 0 };

        if (pod_request == 0 || n == 0 || sum_containers(pod, false, &sum) < 0)
                return 0;
        return (pod_request - MAX(amounts_get(&sum, "memory"), 0)) / n;
}

static int64_t smallest_regular_request(const struct pod *pod)
{
        int64_t least = INT64_MAX;

        for (size_t i = 0; i < pod->n_containers; i++)
                least = MIN(least, value_of(&pod->containers[i].resources.requests, "memory"));
        return least;
}

static int64_t score_of(int64_t request, uint64_t memory_bytes)
{
        __int128 part = (__int128)1000 * request / (int64_t)memory_bytes;

        return 1000 - (int64_t)MIN(MAX(part, -1000), 2000);
}

int qos_oom_score_adj(const struct pod *pod, const struct pod_container *c, uint64_t memory_bytes)
{
        enum qos_class q = pod_qos(pod);
        int64_t extra, score;

        if (q == QOS_GUARANTEED || pod_is_node_critical(pod))
                return OOM_SCORE_GUARANTEED;
        if (q == QOS_BEST_EFFORT || memory_bytes == 0)
                return OOM_SCORE_BEST;
        extra = unassigned_memory(pod);
        score = score_of(value_of(&c->resources.requests, "memory") + extra, memory_bytes);
        if (c->kind == POD_CONTAINER_SIDECAR)
                score = MIN(score, score_of(smallest_regular_request(pod) + extra, memory_bytes));
        /* above every guaranteed pod, below every best-effort one */
        return (int)MIN(MAX(score, 1000 + OOM_SCORE_GUARANTEED), OOM_SCORE_BEST - 1);
}
