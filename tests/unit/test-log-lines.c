#include <stdlib.h>

#include "runtime/log-lines.h"
#include "tests/check.h"

TEST(a_line_is_taken_with_its_newline_and_given_without)
{
        struct log_piece p;

        CHECK_INT(log_lines_next("ab\ncd", 5, false, &p), 3);
        CHECK_INT(p.len, 2);
        CHECK(memcmp(p.data, "ab", 2) == 0 && !p.partial);
        CHECK_INT(log_lines_next("\n", 1, false, &p), 1);
        CHECK(p.len == 0 && !p.partial);
}

TEST(what_has_no_newline_yet_waits_and_is_partial_at_the_end)
{
        struct log_piece p;

        CHECK_INT(log_lines_next("cd", 2, false, &p), 0);
        CHECK_INT(log_lines_next("cd", 2, true, &p), 2);
        CHECK(p.len == 2 && p.partial);
        CHECK_INT(log_lines_next("", 0, true, &p), 0);
}

TEST(a_line_of_exactly_the_maximum_is_whole_and_one_byte_more_is_cut)
{
        static char text[LOG_PIECE_MAX + 3];
        struct log_piece p;

        memset(text, 'x', sizeof text);
        CHECK_INT(log_lines_next(text, LOG_PIECE_MAX, false, &p), 0); /* the newline may follow */
        text[LOG_PIECE_MAX] = '\n';
        CHECK_INT(log_lines_next(text, sizeof text, false, &p), LOG_PIECE_MAX + 1);
        CHECK(p.len == LOG_PIECE_MAX && !p.partial);
        text[LOG_PIECE_MAX] = 'x';
        text[LOG_PIECE_MAX + 1] = '\n';
        CHECK_INT(log_lines_next(text, sizeof text, false, &p), LOG_PIECE_MAX);
        CHECK(p.len == LOG_PIECE_MAX && p.partial);
        CHECK_INT(log_lines_next(text + LOG_PIECE_MAX, 3, false, &p), 2);
        CHECK(p.len == 1 && !p.partial);
}

TEST(bytes_are_neither_lost_nor_invented_however_they_come)
{
        enum { N = 200000 };
        char *text = malloc(N), *joined = malloc(N);
        size_t out = 0, have = 0;

        CHECK(text && joined);
        srand(7);
        for (int n = 0; n < N; n++)
                text[n] = rand() % 20000 == 0 ? '\n' : (char)(rand() % 256);
        for (size_t at = 0; at < N;) {
                size_t more = (size_t)(rand() % 9000) + 1, taken;
                struct log_piece p;

                have = have + more > N - at ? N - at : have + more;
                while ((taken = log_lines_next(text + at, have, at + have == N, &p)) > 0) {
                        CHECK(p.len <= LOG_PIECE_MAX && p.data == text + at);
                        memcpy(joined + out, p.data, p.len);
                        out += p.len;
                        if (!p.partial)
                                joined[out++] = '\n';
                        at += taken;
                        have -= taken;
                }
                CHECK(have <= LOG_PIECE_MAX);
        }
        CHECK_INT(out, N);
        CHECK(memcmp(text, joined, N) == 0);
        free(text);
        free(joined);
}
