#include "base/usec.h"

#include <errno.h>

#include "base/cleanup.h"
#include "tests/check.h"

TEST(durations_parse_as_go_writes_them)
{
        static const struct {
                const char *text;
                usec_t usec;
        } good[] = {
                { "0", 0 },
                { "0s", 0 },
                { "1h2m3.5s", 3723500000 },
                { "100ms", 100000 },
                { "1.5h", 5400 * USEC_PER_SEC },
                { "12us", 12 },
                { "5m0s", 300 * USEC_PER_SEC },
        };
        static const char *const bad[] = { "", "1", "s", "1x", "1 s", "1s ", "--1s", "1ss" };
        usec_t v;

        for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
                CHECK_INT(duration_parse(good[i].text, &v), 0);
                CHECK_INT(v, good[i].usec);
        }
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
                CHECK(duration_parse(bad[i], &v) < 0);
}

TEST(durations_print_as_go_prints_them)
{
        static const struct {
                usec_t usec;
                const char *text;
        } cases[] = {
                { 0, "0s" },
                { 10 * USEC_PER_SEC, "10s" },
                { 80 * USEC_PER_SEC, "1m20s" },
                { 300 * USEC_PER_SEC, "5m0s" },
                { 1234000, "1.234s" },
                { 250000, "250ms" },
                { 3600 * USEC_PER_SEC, "1h0m0s" },
                { 1500, "1.5ms" },
                { 7, "7µs" },
        };
        char buf[TIME_TEXT_MAX];

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
                CHECK_STR(duration_format(cases[i].usec, buf), cases[i].text);
}

TEST(times_go_both_ways)
{
        char buf[TIME_TEXT_MAX];
        usec_t t, u;

        CHECK_INT(time_parse("2026-11-24T06:11:12.123456789+01:00", &t), 0);
        CHECK_STR(time_format_micro(t, buf), "2026-11-24T05:11:12.123456Z");
        CHECK_INT(time_parse("2026-11-24T05:11:12Z", &u), 0);
        CHECK_STR(time_format(u, buf), "2026-11-24T05:11:12Z");
        CHECK_INT(time_parse("2026-11-24", &t), -EINVAL);
        CHECK_INT(time_parse("2026-13-24T05:11:12Z", &t), -EINVAL);
        CHECK_INT(time_parse("2026-11-24T05:11:12", &t), -EINVAL);
        CHECK_INT(time_parse("2026-11-24T05:11:12.Z", &t), -EINVAL);
}

TEST(backoff_doubles_to_its_limit)
{
        struct backoff b = { .initial_usec = 10, .max_usec = 300 };
        static const usec_t want[] = { 10, 20, 40, 80, 160, 300, 300 };

        for (size_t i = 0; i < ARRAY_SIZE(want); i++)
                CHECK_INT(backoff_next(&b), want[i]);
        backoff_reset(&b);
        CHECK_INT(backoff_next(&b), 10);
}

TEST(jitter_stays_in_its_percentage)
{
        CHECK_INT(usec_jitter(1000, 50, 0), 1000);
        CHECK(usec_jitter(1000, 50, UINT32_MAX) <= 1500);
        CHECK(usec_jitter(1000, 50, UINT32_MAX) > 1490);
}
