#include "kubelet/cpu-rate.h"

#include "tests/check.h"

#define SEC USEC_PER_SEC

TEST(the_first_reading_gives_no_rate)
{
        struct cpu_rate r = { 0 };

        CHECK(cpu_rate_fold(&r, 100 * SEC, 5 * SEC) == UINT64_MAX);
        CHECK(cpu_rate_fold(&r, 109 * SEC, 6 * SEC) == UINT64_MAX);
}

TEST(the_rate_is_the_mean_of_at_least_ten_seconds)
{
        struct cpu_rate r = { 0 };

        cpu_rate_fold(&r, 100 * SEC, 5 * SEC);
        CHECK(cpu_rate_fold(&r, 110 * SEC, 10 * SEC) == 500000000);
        /* asked again soon: still since 100, not since a moment ago */
        CHECK(cpu_rate_fold(&r, 120 * SEC - 1, 10 * SEC) < 251000000);
        CHECK(cpu_rate_fold(&r, 120 * SEC, 30 * SEC) == 2000000000);
}

TEST(an_idle_group_has_rate_0)
{
        struct cpu_rate r = { 0 };

        cpu_rate_fold(&r, 100 * SEC, 5);
        CHECK(cpu_rate_fold(&r, 110 * SEC, 5) == 0);
}

TEST(a_count_that_fell_begins_anew)
{
        struct cpu_rate r = { 0 };

        cpu_rate_fold(&r, 100 * SEC, 5 * SEC);
        cpu_rate_fold(&r, 110 * SEC, 10 * SEC);
        CHECK(cpu_rate_fold(&r, 120 * SEC, 1 * SEC) == UINT64_MAX);
        CHECK(cpu_rate_fold(&r, 130 * SEC, 2 * SEC) == 100000000);
}
