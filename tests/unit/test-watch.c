#include <errno.h>

#include "base/watch-lines.h"
#include "base/watch-policy.h"
#include "tests/check.h"

static struct strbuf seen;

static int on_line(const char *line, size_t n, bool too_long, void *userdata)
{
        strbuf_addf(&seen, "%s%.*s|", too_long ? "LONG:" : "", (int)MIN(n, (size_t)20), line);
        return userdata && n == 1 && *line == 'x' ? -EPROTO : 0;
}

static const char *feed_all(struct watch_lines *l, const char *text, size_t step)
{
        strbuf_done(&seen);
        strbuf_add(&seen, "");
        for (size_t i = 0, n = strlen(text); i < n; i += step)
                CHECK_INT(watch_lines_feed(l, text + i, MIN(step, n - i), on_line, NULL), 0);
        watch_lines_reset(l);
        return seen.data;
}

TEST(lines_come_out_the_same_however_the_bytes_arrive)
{
        struct watch_lines l = { .max = 10 };

        for (size_t step = 1; step < 40; step++)
                CHECK_STR(feed_all(&l, "one\n\ntwo three!\nthree fours\nfive\nsix", step),
                          "one||two three!|LONG:three fours|five|");
        strbuf_done(&seen);
}

TEST(a_line_that_is_too_long_keeps_its_beginning)
{
        struct watch_lines l = { .max = 5000 };
        char text[20001];

        memset(text, 'a', sizeof text - 2);
        text[sizeof text - 2] = '\n';
        text[sizeof text - 1] = '\0';
        for (size_t step = 1; step < sizeof text; step = step * 3 + 1)
                CHECK_STR(feed_all(&l, text, step), "LONG:aaaaaaaaaaaaaaaaaaaa|");
        strbuf_done(&seen);
}

TEST(the_reader_can_stop_the_feed)
{
        struct watch_lines l = { .max = 10 };

        strbuf_done(&seen);
        CHECK_INT(watch_lines_feed(&l, "a\nx\nb\n", 6, on_line, &l), -EPROTO);
        CHECK_STR(seen.data, "a|x|");
        CHECK_INT(watch_lines_feed(&l, "a", 1, on_line, NULL), 0);
        watch_lines_reset(&l);
        CHECK_STR(feed_all(&l, "b\n", 1), "b|");
        strbuf_done(&seen);
}

TEST(a_key_is_found_in_what_cannot_be_parsed)
{
        static const char *const cases[][2] = {
                { "{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"name\":\"a\",\"namespace\":\"b\",x",
                  "b/a" },
                { "{\"object\":{\"metadata\":{\"name\":\"node-1\",\"uid\":\"x\"", "node-1" },
                { "{\"metadata\":{\"labels\":{\"name\":\"a\"}}}", NULL },
                { "{\"metadata\":{\"name\":\"a", NULL },
                { "{\"metadata\":{\"name\":\"a/b\"}", NULL },
                { "{\"metadata\":{\"name\":\"\"}", NULL },
                { "{\"name\":\"a\"}", NULL },
                { "", NULL },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_free_ char *key = watch_lines_find_key(cases[i][0], strlen(cases[i][0]));

                CHECK(streq_null(key, cases[i][1]));
        }
}

TEST(each_end_has_its_next_step)
{
        static const struct {
                enum watch_mode mode;
                enum watch_end end;
                bool productive;
                struct watch_next next;
        } cases[] = {
                { WATCH_CHANGES,
                  WATCH_END_CLOSED,
                  true,
                  { WATCH_CHANGES, WATCH_PAUSE_NONE, false } },
                { WATCH_CHANGES,
                  WATCH_END_CLOSED,
                  false,
                  { WATCH_CHANGES, WATCH_PAUSE_BACKOFF, false } },
                { WATCH_STREAM_LIST,
                  WATCH_END_CLOSED,
                  true,
                  { WATCH_STREAM_LIST, WATCH_PAUSE_SHORT, false } },
                { WATCH_CHANGES,
                  WATCH_END_BROKEN,
                  false,
                  { WATCH_CHANGES, WATCH_PAUSE_SHORT, false } },
                { WATCH_PAGE_LIST,
                  WATCH_END_BROKEN,
                  false,
                  { WATCH_STREAM_LIST, WATCH_PAUSE_SHORT, false } },
                { WATCH_CHANGES,
                  WATCH_END_SILENT,
                  true,
                  { WATCH_CHANGES, WATCH_PAUSE_NONE, false } },
                { WATCH_CHANGES,
                  WATCH_END_SILENT,
                  false,
                  { WATCH_CHANGES, WATCH_PAUSE_BACKOFF, false } },
                { WATCH_CHANGES,
                  WATCH_END_EXPIRED,
                  true,
                  { WATCH_STREAM_LIST, WATCH_PAUSE_RELIST, false } },
                { WATCH_STREAM_LIST,
                  WATCH_END_EXPIRED,
                  true,
                  { WATCH_STREAM_LIST, WATCH_PAUSE_BACKOFF, true } },
                { WATCH_CHANGES,
                  WATCH_END_AHEAD,
                  true,
                  { WATCH_STREAM_LIST, WATCH_PAUSE_BACKOFF, true } },
                { WATCH_CHANGES,
                  WATCH_END_TOO_MANY,
                  true,
                  { WATCH_CHANGES, WATCH_PAUSE_BACKOFF, false } },
                { WATCH_PAGE_LIST,
                  WATCH_END_TOO_MANY,
                  true,
                  { WATCH_PAGE_LIST, WATCH_PAUSE_BACKOFF, false } },
                { WATCH_STREAM_LIST,
                  WATCH_END_NOT_OFFERED,
                  false,
                  { WATCH_PAGE_LIST, WATCH_PAUSE_NONE, false } },
                { WATCH_CHANGES,
                  WATCH_END_INTERNAL,
                  true,
                  { WATCH_STREAM_LIST, WATCH_PAUSE_BACKOFF, false } },
                { WATCH_CHANGES,
                  WATCH_END_FAILED,
                  true,
                  { WATCH_CHANGES, WATCH_PAUSE_BACKOFF, false } },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct watch_next n = watch_decide(cases[i].mode, cases[i].end,
                                                   cases[i].productive);

                CHECK_INT(n.mode, cases[i].next.mode);
                CHECK_INT(n.pause, cases[i].next.pause);
                CHECK_INT(n.forget_version, cases[i].next.forget_version);
        }
}

TEST(statuses_and_errors_are_told_apart)
{
        CHECK_INT(watch_end_of_status(WATCH_CHANGES, 410, NULL, false), WATCH_END_EXPIRED);
        CHECK_INT(watch_end_of_status(WATCH_CHANGES, 0, "Expired", false), WATCH_END_EXPIRED);
        CHECK_INT(watch_end_of_status(WATCH_CHANGES, 504, "Timeout", true), WATCH_END_AHEAD);
        CHECK_INT(watch_end_of_status(WATCH_CHANGES, 504, "Timeout", false), WATCH_END_FAILED);
        CHECK_INT(watch_end_of_status(WATCH_CHANGES, 429, NULL, false), WATCH_END_TOO_MANY);
        CHECK_INT(watch_end_of_status(WATCH_CHANGES, 500, NULL, false), WATCH_END_INTERNAL);
        CHECK_INT(watch_end_of_status(WATCH_STREAM_LIST, 422, "Invalid", false),
                  WATCH_END_NOT_OFFERED);
        CHECK_INT(watch_end_of_status(WATCH_CHANGES, 422, "Invalid", false), WATCH_END_FAILED);
        CHECK_INT(watch_end_of_status(WATCH_STREAM_LIST, 403, "Forbidden", false),
                  WATCH_END_FAILED);
        CHECK_INT(watch_end_of_error(-ECONNREFUSED), WATCH_END_BROKEN);
        CHECK_INT(watch_end_of_error(-ETIMEDOUT), WATCH_END_SILENT);
        CHECK_INT(watch_end_of_error(-EKEYREJECTED), WATCH_END_FAILED);
}
