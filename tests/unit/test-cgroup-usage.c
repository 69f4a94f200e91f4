#include "runtime/cgroup-usage.h"

#include "tests/check.h"

struct target {
        uint64_t a, b, c;
};
static const struct usage_key keys[] = {
        { "anon", offsetof(struct target, a) },
        { "Inactive(file)", offsetof(struct target, b) },
        { "pgfault", offsetof(struct target, c) },
};

TEST(numbers_are_found_by_the_whole_name)
{
        struct target t = { UINT64_MAX, UINT64_MAX, UINT64_MAX };

        usage_parse("anon_thp 7\nanon 12\nInactive(file):     34 kB\nxpgfault 9\n", keys, 3, 1, &t);
        CHECK(t.a == 12 && t.b == 34);
        CHECK(t.c == UINT64_MAX);
}

TEST(what_is_no_number_is_left_out)
{
        struct target t = { UINT64_MAX, UINT64_MAX, UINT64_MAX };

        usage_parse("anon max\nInactive(file):\npgfault 99999999999999999999999", keys, 3, 1, &t);
        CHECK(t.a == UINT64_MAX && t.b == UINT64_MAX && t.c == UINT64_MAX);
        usage_parse("", keys, 3, 1, &t);
        usage_parse("anon 18446744073709551615\n", keys, 3, 1024, &t); /* too many bytes */
        CHECK(t.a == UINT64_MAX);
}

TEST(pressure_has_two_lines_of_averages_and_a_total)
{
        struct runtime_pressure p = pressure_parse(
                "some avg10=1.05 avg60=22.50 avg300=100.00 total=7\n"
                "full avg10=0.00 avg60=0.01 avg300=0.00 total=3\n");

        CHECK(p.is_known);
        CHECK(p.some.avg10 == 1.05 && p.some.avg60 == 22.5 && p.some.avg300 == 100);
        CHECK(p.some.total_usec == 7 && p.full.total_usec == 3 && p.full.avg60 == 0.01);
        p = pressure_parse("some avg10=0.00 avg60=0.00 avg300=0.00 total=7\n"); /* Linux 5.12 */
        CHECK(p.is_known && p.some.total_usec == 7 && p.full.total_usec == 0);
}

TEST(malformed_pressure_is_not_known)
{
        static const char *const bad[] = {
                "",
                "some",
                "some avg10=1 avg60=0.00 avg300=0.00 total=7\n",
                "some avg10=0.00 avg60=0.000 avg300=0.00 total=7\n",
                "some avg10=0.00 avg60=1000.00 avg300=0.00 total=7\n",
                "some avg10=0.00 avg60=0.00 avg300=0.00 total=-7\n",
                "full avg10=0.00 avg60=0.00 avg300=0.00 total=7\n",
                "some avg10=0.00 avg60=0.00 avg300=0.00 total=7\nfull\n",
        };

        for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
                if (pressure_parse(bad[i]).is_known)
                        fail_msg("'%s' is taken", bad[i]);
}
