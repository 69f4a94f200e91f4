#include "kubelet/preemption.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/text.h"
#include "kubelet/qos.h"

struct candidate {
        size_t index; /* among the pods */
        enum qos_class qos;
        int64_t gives[PREEMPTION_NEEDS_MAX]; /* of each need's resource */
        int64_t memory, cpu;
        bool is_chosen;
};
struct choice {
        const struct preemption_need *needs;
        size_t n_needs;
        struct candidate *list; /* owned */
        size_t n;
};

static bool may_preempt(const struct pod *pod, const struct pod *other)
{
        if (pod_is_critical(pod) && !pod_is_critical(other))
                return true;
        return pod->has_priority && other->has_priority && pod->priority > other->priority;
}

static int add_candidate(struct choice *c, const struct pod *pod, size_t index)
{
        struct candidate *to = &c->list[c->n];
        _cleanup_(amounts_done)
        struct amounts requests = { 0 };

        if (pod_requests(pod, &requests) < 0)
                return -ENOMEM;
        *to = (struct candidate){ .index = index,
                                  .qos = pod_qos(pod),
                                  .memory = MAX(amounts_get(&requests, "memory"), 0),
                                  .cpu = MAX(amounts_get(&requests, "cpu"), 0) };
        for (size_t i = 0; i < c->n_needs; i++)
                to->gives[i] = streq(c->needs[i].resource, "pods")
                                       ? 1
                                       : MAX(amounts_get(&requests, c->needs[i].resource), 0);
        c->n++;
        return 0;
}

/* What is still missing when all chosen ones have gone, and (with @classes, a bit each) all of
 * those classes. */
static void still_missing(const struct choice *c, unsigned classes,
                          int64_t ret[static PREEMPTION_NEEDS_MAX])
{
        for (size_t i = 0; i < c->n_needs; i++) {
                ret[i] = c->needs[i].amount;
                for (size_t k = 0; k < c->n; k++)
                        if (c->list[k].is_chosen || (classes & (1U << c->list[k].qos)))
                                ret[i] -= MIN(c->list[k].gives[i], MAX(ret[i], 0));
        }
}

static bool is_anything(const struct choice *c, const int64_t missing[])
{
        for (size_t i = 0; i < c->n_needs; i++)
                if (missing[i] > 0)
                        return true;
        return false;
}

/* Each need weighs the same, whatever its size. */
static double distance(const struct choice *c, const struct candidate *one, const int64_t missing[])
{
        double sum = 0;

        for (size_t i = 0; i < c->n_needs; i++) {
                double rest = (double)(missing[i] - one->gives[i]);

                if (missing[i] > 0 && rest > 0)
                        sum += rest / (double)missing[i] * (rest / (double)missing[i]);
        }
        return sum;
}

static bool is_smaller(const struct candidate *a, const struct candidate *b)
{
        return a->memory != b->memory ? a->memory < b->memory : a->cpu <= b->cpu;
}

/* Of one class as many as it takes when all of @others, classes that go rather, have gone. */
static void choose_of(struct choice *c, enum qos_class qos, unsigned others)
{
        int64_t missing[PREEMPTION_NEEDS_MAX];

        for (;;) {
                struct candidate *best = NULL;
                double best_distance = 0;

                still_missing(c, others, missing);
                if (!is_anything(c, missing))
                        return;
                for (size_t k = 0; k < c->n; k++) {
                        struct candidate *one = &c->list[k];
                        double d = distance(c, one, missing);

                        if (one->qos != qos || one->is_chosen)
                                continue;
                        if (!best || d < best_distance ||
                            (d <= best_distance && is_smaller(one, best))) {
                                best = one;
                                best_distance = d;
                        }
                }
                if (!best)
                        return;
                best->is_chosen = true;
        }
}

/* "…: [(res: cpu, q: 100), ]" */
static char *why_not(const struct choice *c, const int64_t missing[])
{
        struct strbuf b = { 0 };

        strbuf_add(&b, "preemption: error finding a set of pods to preempt: no set of running pods "
                       "found to reclaim resources: [");
        for (size_t i = 0; i < c->n_needs; i++)
                if (missing[i] > 0)
                        strbuf_addf(&b, "(res: %s, q: %" PRIi64 "), ", c->needs[i].resource,
                                    missing[i]);
        strbuf_add(&b, "]");
        return strbuf_take(&b);
}

int preemption_choose(const struct pod *pod, const struct pod *const *pods, size_t n,
                      const struct preemption_need *needs, size_t n_needs, bool *ret_chosen,
                      char **ret_why_not)
{
        const unsigned best_effort = 1U << QOS_BEST_EFFORT, burstable = 1U << QOS_BURSTABLE,
                       guaranteed = 1U << QOS_GUARANTEED;
        _cleanup_free_ struct candidate *list = calloc(n + 1, sizeof *list);
        struct choice c = { needs, MIN(n_needs, (size_t)PREEMPTION_NEEDS_MAX), list, 0 };
        int64_t missing[PREEMPTION_NEEDS_MAX];

        memset(ret_chosen, 0, n * sizeof *ret_chosen);
        if (!list)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++)
                if (may_preempt(pod, pods[i]) && add_candidate(&c, pods[i], i) < 0)
                        return -ENOMEM;
        still_missing(&c, best_effort | burstable | guaranteed, missing);
        if (is_anything(&c, missing)) {
                *ret_why_not = why_not(&c, missing);
                return *ret_why_not ? 0 : -ENOMEM;
        }
        choose_of(&c, QOS_GUARANTEED, best_effort | burstable);
        choose_of(&c, QOS_BURSTABLE, best_effort);
        choose_of(&c, QOS_BEST_EFFORT, 0);
        for (size_t k = 0; k < c.n; k++)
                ret_chosen[c.list[k].index] = c.list[k].is_chosen;
        return 1;
}
