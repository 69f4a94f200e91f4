#include "kubelet/log-line.h"

#include <string.h>

#include "tests/check.h"

static const char full[] = "2024-05-06T07:08:09.123456789Z stdout F hello world\n";

static int parse(const char *line, struct log_record *ret)
{
        return log_line_parse(line, strlen(line), ret);
}

/* What a filter shows of the lines; *ret_last is its last result. */
static char *show(struct log_filter *f, const char *const *lines, enum log_filter_result *ret_last)
{
        struct strbuf out = { 0 };

        *ret_last = LOG_FILTER_GO_ON;
        for (; *lines && *ret_last == LOG_FILTER_GO_ON; lines++) {
                struct log_record r;

                CHECK_INT(parse(*lines, &r), 0);
                *ret_last = log_filter_add(f, &r, &out);
        }
        return strbuf_take(&out);
}

TEST(a_record_is_taken_apart)
{
        struct log_record r;
        usec_t at;

        CHECK_INT(parse(full, &r), 0);
        CHECK_INT(r.stream, LOG_STDOUT);
        CHECK(!r.is_partial);
        CHECK_INT(r.content_len, 12);
        CHECK(memcmp(r.content, "hello world\n", 12) == 0);
        CHECK_INT(log_record_usec(&r, &at), 0);
        CHECK_INT(at, UINT64_C(1714979289123456));
}

TEST(a_partial_record_has_no_newline_and_an_empty_one_is_fine)
{
        struct log_record r;

        CHECK_INT(parse("2024-05-06T07:08:09Z stderr P abc\n", &r), 0);
        CHECK(r.is_partial);
        CHECK_INT(r.stream, LOG_STDERR);
        CHECK_INT(r.content_len, 3);
        CHECK_INT(parse("2024-05-06T07:08:09Z stderr P:x abc\n", &r), 0);
        CHECK(r.is_partial);
        CHECK_INT(parse("2024-05-06T07:08:09+02:00 stdout F \n", &r), 0);
        CHECK_INT(r.content_len, 1);
        CHECK_INT(parse("2024-05-06T07:08:09Z stdout F cut off", &r), 0);
        CHECK_INT(r.content_len, 7);
}

TEST(what_is_no_record_is_refused)
{
        static const char *const bad[] = {
                "",
                "\n",
                "hello\n",
                " stdout F x\n",
                "2024-05-06T07:08:09Z\n",
                "2024-05-06T07:08:09Z stdout\n",
                "2024-05-06T07:08:09Z stdout F\n",
                "2024-05-06T07:08:09Z  stdout F x\n",
                "2024-05-06T07:08:09Z stdin F x\n",
                "2024-05-06T07:08:09 stdout F x\n",
                "2024-05-06 07:08:09Z stdout F x\n",
                "2024-05-06T07:08:09.Z stdout F x\n",
                "2024-05-06T07:08:09.1234567890Z stdout F x\n",
                "2024-05-06T07:08:09.5+0200 stdout F x\n",
                "2024-05-06T07:08:09.5+02:0000000000000000 stdout F x\n",
                "{\"log\":\"x\"}\n",
        };

        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
                struct log_record r;

                if (parse(bad[i], &r) == 0)
                        fail_msg("'%s' was taken", bad[i]);
        }
}

TEST(partial_records_are_joined_and_only_the_first_gets_a_timestamp)
{
        static const char *const lines[] = { "2024-05-06T07:08:09.5Z stdout P one \n",
                                             "2024-05-06T07:08:10Z stdout P two \n",
                                             "2024-05-06T07:08:11Z stdout F three\n",
                                             "2024-05-06T07:08:12.000000001+02:00 stderr F x\n",
                                             "2024-05-06T07:08:12.25+00:00 stderr F \n",
                                             NULL };
        struct log_filter f = { .streams = LOG_ALL, .left = UINT64_MAX }, with = f;
        enum log_filter_result last;
        _cleanup_free_ char *plain = show(&f, lines, &last), *stamped = NULL;

        CHECK_STR(plain, "one two three\nx\n\n");
        with.timestamps = true;
        stamped = show(&with, lines, &last);
        CHECK_STR(stamped, "2024-05-06T07:08:09.500000000Z one two three\n"
                           "2024-05-06T07:08:12.000000001+02:00 x\n"
                           "2024-05-06T07:08:12.250000000Z \n");
}

TEST(streams_and_times_are_selected)
{
        static const char *const lines[] = { "2024-05-06T07:08:09.999999Z stdout F old\n",
                                             "2024-05-06T07:08:10Z stdout F out\n",
                                             "2024-05-06T07:08:11Z stderr F err\n", NULL };
        struct log_filter f = { .streams = LOG_STDERR, .left = UINT64_MAX };
        enum log_filter_result last;
        _cleanup_free_ char *err = show(&f, lines, &last), *since = NULL;

        CHECK_STR(err, "err\n");
        f = (struct log_filter){ .streams = LOG_ALL, .left = UINT64_MAX };
        f.since_usec = UINT64_C(1714979290) * USEC_PER_SEC;
        since = show(&f, lines, &last);
        CHECK_STR(since, "out\nerr\n");
}

TEST(the_byte_limit_counts_timestamps_and_cuts_exactly)
{
        static const char *const lines[] = { "2024-05-06T07:08:09Z stdout F 12345\n",
                                             "2024-05-06T07:08:10Z stdout F 67890\n", NULL };

        for (uint64_t limit = 1; limit <= 13; limit++) {
                struct log_filter f = { .streams = LOG_ALL, .left = limit };
                enum log_filter_result last;
                _cleanup_free_ char *text = show(&f, lines, &last);

                CHECK_INT(strlen(text), MIN(limit, 12));
                CHECK_INT(last, limit <= 12 ? LOG_FILTER_FULL : LOG_FILTER_GO_ON);
        }
        for (uint64_t limit = 1; limit <= 40; limit++) {
                struct log_filter f = { .streams = LOG_ALL, .left = limit, .timestamps = true };
                enum log_filter_result last;
                _cleanup_free_ char *text = show(&f, lines, &last);

                CHECK_INT(strlen(text), limit);
        }
}

/* The last @n lines of @text, read backwards in blocks of @block bytes. */
static const char *tail_of(const char *text, uint64_t n, size_t block)
{
        size_t at = strlen(text), offset;

        while (at > 0) {
                size_t from = at > block ? at - block : 0;

                if (log_tail_search(text + from, at - from, &n, &offset))
                        return text + from + offset;
                at = from;
        }
        return text;
}

TEST(the_last_lines_are_found_whatever_the_blocks)
{
        for (size_t block = 1; block < 12; block++) {
                CHECK_STR(tail_of("a\nbb\nccc\n", 0, block), "");
                CHECK_STR(tail_of("a\nbb\nccc\n", 1, block), "ccc\n");
                CHECK_STR(tail_of("a\nbb\nccc\n", 2, block), "bb\nccc\n");
                CHECK_STR(tail_of("a\nbb\nccc\n", 3, block), "a\nbb\nccc\n");
                CHECK_STR(tail_of("a\nbb\nccc\n", 9, block), "a\nbb\nccc\n");
                CHECK_STR(tail_of("a\nbb\ncut", 1, block), "bb\ncut");
                CHECK_STR(tail_of("a\nbb\ncut", 0, block), "cut");
        }
}

static const char *get_from(const void *userdata, const char *key)
{
        for (const char *const *p = userdata; *p; p += 2)
                if (streq(p[0], key))
                        return p[1];
        return NULL;
}

static int options_of(const char *key, const char *value, const char *key2, const char *value2,
                      struct log_options *ret)
{
        const char *pairs[] = { key, value, key2, value2, NULL };
        _cleanup_err_ struct err err = { 0 };
        int r = log_options_parse(get_from, pairs, 1000 * USEC_PER_SEC, ret, &err);

        if (r != 0)
                CHECK_CONTAINS(err_text(&err), "expected");
        return r;
}

TEST(options_are_read_as_the_kubelet_reads_them)
{
        static const struct {
                const char *key, *value, *key2, *value2;
                int status;
        } cases[] = {
                { "tailLines", "0", NULL, NULL, 0 },
                { "tailLines", "-1", NULL, NULL, 422 },
                { "tailLines", "1e9", NULL, NULL, 400 },
                { "tailLines", "", NULL, NULL, 400 },
                { "tailLines", "9223372036854775808", NULL, NULL, 400 },
                { "tailLines", "9223372036854775807", NULL, NULL, 0 },
                { "tail", "all", "tailLines", "x", 0 },
                { "tail", "x", NULL, NULL, 400 },
                { "limitBytes", "0", NULL, NULL, 422 },
                { "limitBytes", "1", NULL, NULL, 0 },
                { "sinceSeconds", "0", NULL, NULL, 422 },
                { "sinceSeconds", "9223372036854775807", NULL, NULL, 0 },
                { "sinceSeconds", "5", "sinceTime", "2024-05-06T07:08:09Z", 422 },
                { "sinceTime", "yesterday", NULL, NULL, 400 },
                { "sinceTime", "0001-01-01T00:00:00Z", NULL, NULL, 0 },
                { "sinceTime", "9999-12-31T23:59:59Z", NULL, NULL, 0 },
                { "stream", "All", "tailLines", "3", 0 },
                { "stream", "Stdout", NULL, NULL, 0 },
                { "stream", "Stderr", "tailLines", "3", 422 },
                { "stream", "stdout", NULL, NULL, 400 },
        };
        struct log_options o;

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                int r = options_of(cases[i].key, cases[i].value, cases[i].key2, cases[i].value2,
                                   &o);

                if (r != cases[i].status)
                        fail_msg("%s=%s: %d", cases[i].key, cases[i].value, r);
        }
        CHECK_INT(options_of("sinceSeconds", "10", "follow", "", &o), 0);
        CHECK_INT(o.since_usec, 990 * USEC_PER_SEC);
        CHECK(o.follow && !o.previous);
        CHECK_INT(options_of("sinceSeconds", "5000", "follow", "False", &o), 0);
        CHECK(o.since_usec == 0 && !o.follow);
        CHECK_INT(options_of("timestamps", "0", "previous", "1", &o), 0);
        CHECK(!o.timestamps && o.previous);
        CHECK(o.tail == UINT64_MAX && o.limit_bytes == UINT64_MAX && o.streams == LOG_ALL);
}

TEST(files_of_an_instance_are_ordered_and_others_left_out)
{
        char *names[] = { "0.log",
                          "0.log.20240101-000000.gz",
                          "0.log.20240102-000000",
                          "0.log.20240102-000000.gz",
                          "0.log.20240103-000000",
                          "0.log.20240104-000000.gz.tmp",
                          "0.log.",
                          "00.log",
                          "1.log",
                          "1.log.20230101-000000",
                          NULL };
        _cleanup_strv_ char **files = NULL;
        _cleanup_free_ char *joined = NULL;

        CHECK_INT(log_files_select(names, "0.log", &files), 0);
        joined = strv_join(files, " ");
        CHECK_STR(joined,
                  "0.log.20240101-000000.gz 0.log.20240102-000000 0.log.20240103-000000 0.log");
        CHECK(log_file_is_same("0.log.x", "0.log.x.gz", "0.log"));
        CHECK(!log_file_is_same("0.log.x", "0.log.y", "0.log"));
        CHECK(!log_file_is_same("0.log", "0.log", "0.log"));
}
