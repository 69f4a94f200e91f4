#include "kubelet/shutdown-plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int by_priority(const void *a, const void *b)
{
        const struct shutdown_group *x = a, *y = b;

        return (x->priority > y->priority) - (x->priority < y->priority);
}

int shutdown_plan_from(const struct kubelet_config *c, struct shutdown_plan *ret)
{
        const usec_t critical = c->shutdown_grace_critical_usec,
                     normal = c->shutdown_grace_usec - MIN(critical, c->shutdown_grace_usec);
        const struct shutdown_group classic[] = {
                { 0, (int64_t)(normal / USEC_PER_SEC) },
                { SHUTDOWN_PRIORITY_CRITICAL, (int64_t)(critical / USEC_PER_SEC) },
        };
        const bool named = c->n_shutdown_groups > 0;
        const struct shutdown_group *from = named ? c->shutdown_groups : classic;
        size_t n = named ? c->n_shutdown_groups : c->shutdown_grace_usec ? ARRAY_SIZE(classic) : 0;

        *ret = (struct shutdown_plan){ 0 };
        if (n == 0)
                return 0;
        ret->groups = calloc(n, sizeof *ret->groups);
        if (!ret->groups)
                return -ENOMEM;
        memcpy(ret->groups, from, n * sizeof *from);
        ret->n = n;
        qsort(ret->groups, n, sizeof *ret->groups, by_priority);
        return 0;
}

void shutdown_plan_done(struct shutdown_plan *p)
{
        free(p->groups);
        *p = (struct shutdown_plan){ 0 };
}

usec_t shutdown_plan_usec(const struct shutdown_plan *p)
{
        usec_t sum = 0;

        for (size_t i = 0; i < p->n; i++)
                sum += (usec_t)p->groups[i].grace_sec * USEC_PER_SEC;
        return sum;
}

size_t shutdown_plan_group(const struct shutdown_plan *p, int32_t priority)
{
        size_t group = 0;

        while (group + 1 < p->n && p->groups[group + 1].priority <= priority)
                group++;
        return group;
}

int64_t shutdown_plan_grace(const struct shutdown_group *group, int64_t own_grace_sec)
{
        return MIN(group->grace_sec, own_grace_sec);
}
