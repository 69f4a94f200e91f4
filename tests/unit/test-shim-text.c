#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "runtime/shim-text.h"
#include "tests/check.h"

TEST(a_line_is_cut_rather_than_overrun)
{
        char buf[8];
        struct line l = LINE(buf);

        line_add(&l, "abc");
        line_add(&l, "defghij");
        CHECK_STR(buf, "abcdefg");
        CHECK_INT(l.len, 7);
        line_add(&l, "x");
        CHECK_STR(buf, "abcdefg");
}

TEST(numbers_are_written_whole_with_sign_and_padding)
{
        char buf[128];
        struct line l = LINE(buf);

        line_add_u64(&l, 0);
        line_add(&l, " ");
        line_add_u64(&l, UINT64_MAX);
        line_add(&l, " ");
        line_add_i64(&l, INT64_MIN);
        line_add(&l, " ");
        line_add_padded(&l, 7, 3);
        line_add_padded(&l, 12345, 3);
        CHECK_STR(buf, "0 18446744073709551615 -9223372036854775808 00712345");
}

TEST(json_and_quotes_hide_what_would_break_them)
{
        char buf[128];
        struct line l = LINE(buf);

        line_add_json(&l, "a\"b\\c\n\x01é");
        CHECK_STR(buf, "\"a\\\"b\\\\c\\u000a\\u0001é\"");
        l = LINE(buf);
        line_add_quoted(&l, "x\ny\x7f");
        CHECK_STR(buf, "'x?y?'");
}

TEST(an_errno_is_named)
{
        char buf[128];
        struct line l = LINE(buf);

        line_add_error(&l, -ENOENT);
        CHECK_STR(buf, ": No such file or directory");
        l = LINE(buf);
        line_add_error(&l, -99999);
        CHECK_STR(buf, ": error 99999");
}

TEST(times_agree_with_the_calendar_over_centuries)
{
        static const uint64_t some[] = { 0,          951782399,  951782400,  951868800,  1709164800,
                                         1735689599, 4107542399, 4107542400, 16725225599 };

        for (size_t n = 0; n < sizeof some / sizeof *some; n++) {
                time_t t = (time_t)some[n];
                char want[64], have[LOG_TIME_SIZE], rotated[ROTATED_TIME_SIZE];
                struct tm tm;

                gmtime_r(&t, &tm);
                strftime(want, sizeof want, "%Y-%m-%dT%H:%M:%S.000000042Z", &tm);
                log_time_format(some[n], 42, have);
                CHECK_STR(have, want);
                strftime(want, sizeof want, "%Y%m%d-%H%M%S", &tm);
                rotated_time_format(some[n], rotated);
                CHECK_STR(rotated, want);
        }
}

TEST(a_number_is_all_digits_and_fits)
{
        uint64_t v;

        CHECK(text_is_number("18446744073709551615", 20, &v) && v == UINT64_MAX);
        CHECK(!text_is_number("18446744073709551616", 20, &v));
        CHECK(!text_is_number("", 0, &v));
        CHECK(!text_is_number("1 ", 2, &v));
        CHECK(!text_is_number("-1", 2, &v));
}
