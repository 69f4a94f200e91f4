#include "kubelet/shutdown-plan.h"

#include "tests/check.h"

static struct shutdown_plan plan_of(const struct kubelet_config *c)
{
        struct shutdown_plan p;

        CHECK(shutdown_plan_from(c, &p) == 0);
        return p;
}

TEST(without_a_grace_period_shutdowns_are_not_waited_for)
{
        struct shutdown_plan p = plan_of(&(struct kubelet_config){ 0 });

        CHECK(p.n == 0);
        CHECK(shutdown_plan_usec(&p) == 0);
        shutdown_plan_done(&p);
}

TEST(critical_pods_end_last_within_their_part_of_the_time)
{
        const struct kubelet_config c = { .shutdown_grace_usec = 30 * USEC_PER_SEC,
                                          .shutdown_grace_critical_usec = 10 * USEC_PER_SEC };
        struct shutdown_plan p = plan_of(&c);

        CHECK(p.n == 2);
        CHECK(p.groups[0].grace_sec == 20);
        CHECK(p.groups[1].grace_sec == 10);
        CHECK(shutdown_plan_usec(&p) == 30 * USEC_PER_SEC);
        CHECK(shutdown_plan_group(&p, 0) == 0);
        CHECK(shutdown_plan_group(&p, -5) == 0);
        CHECK(shutdown_plan_group(&p, 1999999999) == 0);
        CHECK(shutdown_plan_group(&p, 2000000000) == 1);
        CHECK(shutdown_plan_group(&p, 2000001000) == 1);
        shutdown_plan_done(&p);
}

TEST(groups_may_be_given_in_any_order)
{
        struct shutdown_group groups[] = { { 1000, 5 }, { 0, 20 }, { 100, 0 } };
        const struct kubelet_config c = { .shutdown_groups = groups, .n_shutdown_groups = 3 };
        struct shutdown_plan p = plan_of(&c);

        CHECK(p.groups[0].priority == 0);
        CHECK(p.groups[1].priority == 100);
        CHECK(p.groups[2].priority == 1000);
        CHECK(shutdown_plan_group(&p, 99) == 0);
        CHECK(shutdown_plan_group(&p, 100) == 1);
        CHECK(shutdown_plan_group(&p, 999) == 1);
        CHECK(shutdown_plan_group(&p, 1000) == 2);
        CHECK(shutdown_plan_usec(&p) == 25 * USEC_PER_SEC);
        shutdown_plan_done(&p);
}

TEST(a_pod_gets_its_own_grace_period_but_no_more_than_its_group_has)
{
        const struct shutdown_group group = { 0, 20 };

        CHECK(shutdown_plan_grace(&group, 5) == 5);
        CHECK(shutdown_plan_grace(&group, 30) == 20);
        CHECK(shutdown_plan_grace(&group, 0) == 0);
}
