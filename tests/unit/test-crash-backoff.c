#include "kubelet/crash-backoff.h"

#include "kubelet/pod.h"
#include "tests/check.h"
#include "tests/unit/pod-fixture.h"

#define S USEC_PER_SEC

static struct crash_backoff fresh(usec_t max)
{
        return (struct crash_backoff){ .limits = crash_backoff_limits_from(max) };
}

TEST(the_first_restart_is_immediate_and_the_waits_double_to_the_limit)
{
        static const usec_t waits[] = { 10, 20, 40, 80, 160, 300, 300 };
        struct crash_backoff b = fresh(300 * S);
        usec_t finished = 1000 * S, wake = 0, delay = 0;

        CHECK(crash_backoff_may_start(&b, 1, finished, finished, &wake, &delay));
        crash_backoff_started(&b, 1, finished, finished);
        for (size_t i = 0; i < ARRAY_SIZE(waits); i++) {
                finished += S; /* it crashes a second after each start */
                CHECK(!crash_backoff_may_start(&b, 1, finished, finished + S, &wake, &delay));
                CHECK_INT(delay, waits[i] * S);
                CHECK_INT(wake, finished + waits[i] * S);
                CHECK(crash_backoff_may_start(&b, 1, finished, wake, &wake, &delay));
                finished = wake;
                crash_backoff_started(&b, 1, finished, finished);
        }
}

TEST(ten_minutes_of_running_are_forgiven)
{
        struct crash_backoff b = fresh(300 * S);
        usec_t wake, delay;

        crash_backoff_started(&b, 1, 0, 1000 * S);
        crash_backoff_started(&b, 1, 1000 * S, 1010 * S);
        CHECK(!crash_backoff_may_start(&b, 1, 1610 * S, 1611 * S, &wake, &delay));
        CHECK(crash_backoff_may_start(&b, 1, 1611 * S, 1611 * S, &wake, &delay));
        crash_backoff_started(&b, 1, 1611 * S, 1611 * S);
        CHECK_INT(b.current_usec, 10 * S);
}

TEST(a_lower_limit_lowers_the_first_wait_too)
{
        struct crash_backoff b = fresh(2 * S);
        usec_t wake, delay;

        crash_backoff_started(&b, 1, 0, 100 * S);
        CHECK(!crash_backoff_may_start(&b, 1, 101 * S, 101 * S, &wake, &delay));
        CHECK_INT(delay, 2 * S);
        crash_backoff_started(&b, 1, 101 * S, 103 * S);
        CHECK_INT(b.current_usec, 2 * S);
}

TEST(another_definition_starts_afresh)
{
        _cleanup_(pod_unrefp)
        struct pod *p = pod_of(
                "{'containers':[{'name':'c','image':'a'},{'name':'d','image':'b'},{'name':'e',"
                "'image':'b','resources':{'limits':{'cpu':'1'}}}]}",
                NULL);
        struct crash_backoff b = fresh(300 * S);
        usec_t wake, delay;

        crash_backoff_started(&b, 1, 0, 100 * S);
        CHECK(crash_backoff_may_start(&b, 2, 100 * S, 100 * S, &wake, &delay));
        crash_backoff_started(&b, 2, 100 * S, 100 * S);
        CHECK_INT(b.current_usec, 10 * S);
        CHECK(crash_backoff_key(&p->containers[0]) != crash_backoff_key(&p->containers[1]));
        CHECK(crash_backoff_key(&p->containers[1]) != crash_backoff_key(&p->containers[2]));
        CHECK(crash_backoff_key(&p->containers[0]) == crash_backoff_key(&p->containers[0]));
}

TEST(a_clock_set_back_does_not_lengthen_the_wait)
{
        struct crash_backoff b = fresh(300 * S);
        usec_t wake, delay;

        crash_backoff_started(&b, 1, 0, 100000 * S);
        CHECK(!crash_backoff_may_start(&b, 1, 100001 * S, 50 * S, &wake, &delay));
        CHECK_INT(wake, 60 * S);
}
