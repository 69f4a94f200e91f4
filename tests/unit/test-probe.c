#include "kubelet/probe.h"

#include "tests/check.h"

static const struct probe_limits limits = { .success_threshold = 2, .failure_threshold = 3 };

TEST(readiness_falls_on_the_third_failure_in_a_row)
{
        struct probe_state s = { .passing = true, .decided = true };

        CHECK(probe_fold(&s, &limits, PROBE_FAILURE) == PROBE_UNCHANGED);
        CHECK(probe_fold(&s, &limits, PROBE_FAILURE) == PROBE_UNCHANGED);
        CHECK(s.passing);
        CHECK(probe_fold(&s, &limits, PROBE_FAILURE) == PROBE_FLIPPED);
        CHECK(!s.passing);
        CHECK(probe_fold(&s, &limits, PROBE_FAILURE) == PROBE_UNCHANGED);
}

TEST(a_success_in_between_starts_the_count_anew)
{
        struct probe_state s = { .passing = true, .decided = true };

        probe_fold(&s, &limits, PROBE_FAILURE);
        probe_fold(&s, &limits, PROBE_FAILURE);
        CHECK(probe_fold(&s, &limits, PROBE_SUCCESS) == PROBE_UNCHANGED);
        CHECK(probe_fold(&s, &limits, PROBE_FAILURE) == PROBE_UNCHANGED);
        CHECK(probe_fold(&s, &limits, PROBE_FAILURE) == PROBE_UNCHANGED);
        CHECK(s.passing);
}

TEST(it_rises_on_as_many_successes_as_asked_for)
{
        struct probe_state s = { .passing = false };

        CHECK(probe_fold(&s, &limits, PROBE_SUCCESS) == PROBE_UNCHANGED);
        CHECK(probe_fold(&s, &limits, PROBE_SUCCESS) == PROBE_FLIPPED);
        CHECK(s.passing);
}

TEST(a_startup_probe_that_never_succeeded_is_decided_by_its_failures)
{
        struct probe_state s = { .passing = false };

        CHECK(probe_fold(&s, &limits, PROBE_FAILURE) == PROBE_UNCHANGED);
        CHECK(probe_fold(&s, &limits, PROBE_FAILURE) == PROBE_UNCHANGED);
        CHECK(probe_fold(&s, &limits, PROBE_FAILURE) == PROBE_FLIPPED);
        CHECK(s.decided && !s.passing);
}
