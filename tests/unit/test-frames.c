#include "base/frames.h"

#include <errno.h>
#include <string.h>

#include "base/text.h"
#include "tests/check.h"

static struct strbuf seen;

static int note(enum frame_channel c, const void *data, size_t n, bool ends, void *userdata)
{
        strbuf_addf(&seen, "%d:", (int)c);
        strbuf_add_n(&seen, data, n);
        strbuf_add(&seen, ends ? ";" : "+");
        return userdata ? -ECANCELED : 0;
}

static size_t add(char *to, enum frame_channel c, const char *text)
{
        frame_header(c, (uint32_t)strlen(text), (uint8_t *)to);
        memcpy(to + FRAME_HEADER, text, strlen(text));
        return FRAME_HEADER + strlen(text);
}

static size_t three(char *to)
{
        size_t n = add(to, FRAME_STDOUT, "abc");

        n += add(to + n, FRAME_STDIN, "");
        return n + add(to + n, FRAME_END, "{}");
}

TEST(frames_are_told_apart)
{
        char bytes[64];
        struct frame_reader r = { 0 };

        strbuf_done(&seen);
        CHECK(frame_read(&r, bytes, three(bytes), note, NULL, NULL) == 0);
        CHECK_STR(seen.data, "1:abc;0:;3:{};");
}

TEST(frames_may_be_cut_anywhere)
{
        char bytes[64];
        size_t n = three(bytes);

        for (size_t cut = 1; cut < n; cut++) {
                struct frame_reader r = { 0 };

                strbuf_done(&seen);
                CHECK(frame_read(&r, bytes, cut, note, NULL, NULL) == 0);
                CHECK(frame_read(&r, bytes + cut, n - cut, note, NULL, NULL) == 0);
                CHECK(strstr(seen.data, "0:;") && endswith(seen.data, ";"));
        }
        strbuf_done(&seen);
        for (struct frame_reader r = { 0 }, *p = &r; p; p = NULL)
                for (size_t i = 0; i < n; i++)
                        CHECK(frame_read(p, bytes + i, 1, note, NULL, NULL) == 0);
        CHECK_STR(seen.data, "1:a+1:b+1:c;0:;3:{+3:};");
}

TEST(what_is_no_frame_is_named)
{
        _cleanup_err_ struct err err = { 0 };
        struct frame_reader r = { 0 };

        CHECK(frame_read(&r, "HTTP/1.1", 8, note, NULL, &err) == -EBADMSG);
        CHECK_STR(err_text(&err), "a frame begins with 72 84 84 80: expected a channel from 0 to 4 "
                                  "and three zeros");
}

TEST(the_reader_stops_when_told_to)
{
        struct frame_reader r = { 0 };
        char bytes[64];

        CHECK(frame_read(&r, bytes, three(bytes), note, &r, NULL) == -ECANCELED);
        strbuf_done(&seen);
}
