#include "base/spdy.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include "base/text.h"
#include "tests/check.h"

/* ---- a client: frames in, frames out ---- */

struct client {
        struct spdy *spdy;
        z_stream deflate;
        struct strbuf out;  /* what the server sent */
        struct strbuf seen; /* what it was told, one line each */
        bool refuse;
        bool echo;
};

static void on_output(const void *data, size_t n, void *userdata)
{
        struct client *c = userdata;

        strbuf_add_n(&c->out, data, n);
}

static bool on_open(uint32_t id, const struct spdy_headers *headers, bool is_ended, void *userdata)
{
        struct client *c = userdata;
        const char *type = spdy_header(headers, "streamtype");

        strbuf_addf(&c->seen, "open %u %s%s\n", id, type ? type : "-", is_ended ? " ended" : "");
        return !c->refuse;
}

static void on_data(uint32_t id, const void *data, size_t n, void *userdata)
{
        struct client *c = userdata;

        strbuf_addf(&c->seen, "data %u %.*s\n", id, (int)n, (const char *)data);
        if (c->echo)
                CHECK_INT(spdy_send(c->spdy, id, data, n), 0);
}

static void on_end(uint32_t id, void *userdata)
{
        struct client *c = userdata;

        strbuf_addf(&c->seen, "end %u\n", id);
}

static void on_reset(uint32_t id, void *userdata)
{
        struct client *c = userdata;

        strbuf_addf(&c->seen, "reset %u\n", id);
}

/* The dictionary's sum is all that a stream shows of it; a stream without one is as good. */
static void begin(struct client *c)
{
        static const struct spdy_ops ops = { on_output, on_open, on_data, on_end, on_reset };

        *c = (struct client){ .spdy = spdy_new(&ops, c) };
        CHECK(c->spdy);
        CHECK_INT(deflateInit(&c->deflate, Z_BEST_COMPRESSION), Z_OK);
}

static void finish(struct client *c)
{
        spdy_free(c->spdy);
        deflateEnd(&c->deflate);
        strbuf_done(&c->out);
        strbuf_done(&c->seen);
}

static void put_u32(uint8_t *p, uint32_t v)
{
        for (int i = 0; i < 4; i++)
                p[i] = (uint8_t)(v >> (24 - 8 * i));
}

static size_t frame(uint8_t *out, uint32_t first, uint8_t flags, const void *payload, size_t n)
{
        put_u32(out, first);
        put_u32(out + 4, (uint32_t)flags << 24 | (uint32_t)n);
        memcpy(out + 8, payload, n);
        return n + 8;
}

static size_t control(uint8_t *out, uint16_t type, uint8_t flags, const void *payload, size_t n)
{
        return frame(out, 0x80030000U | type, flags, payload, n);
}

static size_t compress_block(struct client *c, const void *block, size_t n, uint8_t *out,
                             size_t room)
{
        c->deflate.next_in = (uint8_t *)block;
        c->deflate.avail_in = (uInt)n;
        c->deflate.next_out = out;
        c->deflate.avail_out = (uInt)room;
        CHECK_INT(deflate(&c->deflate, Z_SYNC_FLUSH), Z_OK);
        return room - c->deflate.avail_out;
}

/* SYN_STREAM with one header "streamtype". */
static size_t syn_stream(struct client *c, uint8_t *out, uint32_t id, const char *type,
                         uint8_t flags)
{
        uint8_t block[256] = { 0 }, payload[512] = { 0 };
        size_t n = 0, len = strlen(type);

        put_u32(block, 1);
        put_u32(block + 4, 10);
        memcpy(block + 8, "streamtype", 10);
        put_u32(block + 18, (uint32_t)len);
        memcpy(block + 22, type, len);
        put_u32(payload, id);
        n = 10 + compress_block(c, block, 22 + len, payload + 10, sizeof payload - 10);
        return control(out, 1, flags, payload, n);
}

static void feed(struct client *c, const uint8_t *data, size_t n)
{
        _cleanup_err_ struct err err = { 0 };

        if (spdy_feed(c->spdy, data, n, &err) < 0)
                fail_msg("%s", err_text(&err));
}

static void check_refused(struct client *c, const uint8_t *data, size_t n, const char *sentence)
{
        _cleanup_err_ struct err err = { 0 };

        CHECK_INT(spdy_feed(c->spdy, data, n, &err), -EPROTO);
        CHECK_STR(err_text(&err), sentence);
        CHECK(c->out.len >= 16); /* the last words: GOAWAY, protocol error */
        CHECK_INT(memcmp(c->out.data + c->out.len - 16, "\x80\x03\0\x07\0\0\0\x08", 8), 0);
        CHECK_INT(c->out.data[c->out.len - 1], 1);
}

static void open_stream(struct client *c, uint32_t id, const char *type, uint8_t flags)
{
        uint8_t out[1024];

        feed(c, out, syn_stream(c, out, id, type, flags));
}

/* ---- tests ---- */

TEST(a_stream_is_opened_answered_and_carries_data_both_ways)
{
        struct client c;
        uint8_t out[64];

        begin(&c);
        c.echo = true;
        open_stream(&c, 1, "stdin", 0);
        CHECK_INT(memcmp(c.out.data, "\x80\x03\0\x02\0\0\0", 7), 0); /* SYN_REPLY */
        CHECK_INT(memcmp(c.out.data + 8, "\0\0\0\1", 4), 0);
        c.out.len = 0;
        feed(&c, out, frame(out, 1, 0, "hello", 5));
        CHECK_STR(c.seen.data, "open 1 stdin\ndata 1 hello\n");
        CHECK_INT(c.out.len, 13);
        CHECK_INT(memcmp(c.out.data, "\0\0\0\1\0\0\0\5hello", 13), 0);
        finish(&c);
}

TEST(bytes_may_come_one_by_one)
{
        struct client c;
        uint8_t out[1024];
        size_t n;

        begin(&c);
        n = syn_stream(&c, out, 1, "stdin", 0);
        n += frame(out + n, 1, 1, "x", 1);
        for (size_t i = 0; i < n; i++)
                feed(&c, out + i, 1);
        CHECK_STR(c.seen.data, "open 1 stdin\ndata 1 x\nend 1\n");
        finish(&c);
}

TEST(headers_of_all_streams_are_one_compressed_stream)
{
        struct client c;

        begin(&c);
        for (uint32_t id = 1; id < 200; id += 2)
                open_stream(&c, id, "data", 0);
        CHECK_CONTAINS(c.seen.data, "open 199 data\n");
        finish(&c);
}

TEST(a_stream_lives_until_both_sides_ended_it)
{
        struct client c;
        uint8_t out[64];

        begin(&c);
        open_stream(&c, 1, "stdin", 0);
        spdy_end(c.spdy, 1);
        CHECK_INT(spdy_send(c.spdy, 1, "x", 1), -EPIPE);
        CHECK(spdy_is_open(c.spdy, 1));
        feed(&c, out, frame(out, 1, 1, "", 0));
        CHECK(!spdy_is_open(c.spdy, 1));
        open_stream(&c, 3, "error", 1);
        CHECK_CONTAINS(c.seen.data, "open 3 error ended\n");
        CHECK_INT(spdy_send(c.spdy, 3, "x", 1), 0);
        spdy_end(c.spdy, 3);
        CHECK(!spdy_is_open(c.spdy, 3));
        finish(&c);
}

TEST(resets_end_a_stream_from_either_side)
{
        struct client c;
        uint8_t out[64];

        begin(&c);
        open_stream(&c, 1, "a", 0);
        feed(&c, out, control(out, 3, 0, "\0\0\0\1\0\0\0\5", 8));
        CHECK_CONTAINS(c.seen.data, "reset 1\n");
        CHECK(!spdy_is_open(c.spdy, 1));
        open_stream(&c, 3, "a", 0);
        c.out.len = 0;
        spdy_reset(c.spdy, 3);
        CHECK_INT(memcmp(c.out.data, "\x80\x03\0\3\0\0\0\x08\0\0\0\3\0\0\0\5", 16), 0);
        feed(&c, out, frame(out, 3, 0, "late", 4)); /* was on its way */
        CHECK(!strstr(c.seen.data, "late"));
        finish(&c);
}

TEST(a_refused_stream_is_reset_and_the_next_one_works)
{
        struct client c;

        begin(&c);
        c.refuse = true;
        open_stream(&c, 1, "odd", 0);
        CHECK(!spdy_is_open(c.spdy, 1));
        c.refuse = false;
        open_stream(&c, 3, "good", 0);
        CHECK(spdy_is_open(c.spdy, 3));
        finish(&c);
}

TEST(pings_come_back_and_settings_are_passed_over)
{
        struct client c;
        uint8_t out[64];

        begin(&c);
        feed(&c, out, control(out, 4, 0, "\0\0\0\0", 4));
        feed(&c, out, control(out, 9, 0, "\0\0\0\1\0\1\0\0", 8));
        CHECK_INT(c.out.len, 0);
        feed(&c, out, control(out, 6, 0, "\0\0\0\7", 4));
        CHECK_INT(memcmp(c.out.data, "\x80\x03\0\6\0\0\0\4\0\0\0\7", 12), 0);
        finish(&c);
}

TEST(frames_that_lie_end_the_connection_with_a_sentence)
{
        static const struct {
                const char *bytes;
                size_t n;
                const char *sentence;
        } cases[] = {
                { "\x80\x02\0\1\0\0\0\0", 8, "SPDY frame: expected version 3" },
                { "\x80\x03\0\x2a\0\0\0\0", 8, "SPDY frame: expected a type of the protocol" },
                { "\x80\x03\0\1\0\xff\0\0", 8, "SPDY control frame: expected at most 16 KiB" },
                { "\x80\x03\0\1\0\0\0\2ab", 10, "SPDY SYN_STREAM: expected at least 10 bytes" },
                { "\x80\x03\0\3\0\0\0\1a", 9, "SPDY RST_STREAM: expected 8 bytes" },
                { "\x80\x03\0\6\0\0\0\1a", 9, "SPDY PING: expected 4 bytes" },
                { "\0\0\0\0\0\0\0\1a", 9, "SPDY DATA: expected a stream that was opened" },
                { "\0\0\0\7\0\0\0\1a", 9, "SPDY DATA: expected a stream that was opened" },
                { "\x80\x03\0\1\0\0\0\x0c\0\0\0\1\0\0\0\0\0\0zz", 20,
                  "SPDY header block: expected a zlib stream with the dictionary of SPDY/3" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct client c;

                begin(&c);
                check_refused(&c, (const uint8_t *)cases[i].bytes, cases[i].n, cases[i].sentence);
                finish(&c);
        }
}

TEST(stream_ids_are_odd_and_grow)
{
        static const uint32_t wrong[] = { 2, 1, 3 };

        for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
                struct client c;
                uint8_t out[1024];
                size_t n;

                begin(&c);
                open_stream(&c, 3, "first", 0);
                n = syn_stream(&c, out, wrong[i], "second", 0);
                check_refused(&c, out, n,
                              "SPDY SYN_STREAM: expected an odd stream id, higher than all before");
                finish(&c);
        }
}

static size_t syn_of_block(struct client *c, uint8_t *out, const void *block, size_t n)
{
        static uint8_t payload[SPDY_CONTROL_MAX];

        memset(payload, 0, 10);
        payload[3] = 1;
        n = 10 + compress_block(c, block, n, payload + 10, sizeof payload - 10);
        return control(out, 1, 0, payload, n);
}

TEST(header_blocks_that_lie_are_refused)
{
        static uint8_t bomb[1 << 20], out[SPDY_CONTROL_MAX + 8];
        const struct {
                const void *block;
                size_t n;
                const char *sentence;
        } cases[] = {
                { bomb, sizeof bomb, "SPDY header block: expected at most 16 KiB" },
                { "\0\0", 2, "SPDY header block: expected a number of headers" },
                { "\0\0\1\0", 4, "SPDY header block: expected at most 64 headers" },
                { "\0\0\0\1\0\0\0\2ab", 10,
                  "SPDY header block: expected names and values that end within it" },
                { "\0\0\0\1\xff\xff\xff\xff", 8,
                  "SPDY header block: expected names and values that end within it" },
                { "\0\0\0\0x", 5, "SPDY header block: expected nothing behind its last header" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct client c;
                size_t n;

                begin(&c);
                n = syn_of_block(&c, out, cases[i].block, cases[i].n);
                check_refused(&c, out, n, cases[i].sentence);
                finish(&c);
        }
}

TEST(streams_are_bounded_and_room_is_made_by_those_that_end)
{
        struct client c;

        begin(&c);
        for (uint32_t i = 0; i < SPDY_STREAMS_MAX + 1; i++)
                open_stream(&c, 2 * i + 1, "a", 0);
        CHECK(!spdy_is_open(c.spdy, 2 * SPDY_STREAMS_MAX + 1));
        spdy_reset(c.spdy, 1);
        open_stream(&c, 2 * SPDY_STREAMS_MAX + 3, "a", 0);
        CHECK(spdy_is_open(c.spdy, 2 * SPDY_STREAMS_MAX + 3));
        finish(&c);
}

TEST(after_goaway_nothing_is_sent_or_heard)
{
        struct client c;
        uint8_t out[64];

        begin(&c);
        open_stream(&c, 1, "a", 0);
        spdy_goaway(c.spdy);
        c.out.len = 0;
        spdy_send(c.spdy, 1, "x", 1);
        feed(&c, out, frame(out, 1, 0, "late", 4));
        CHECK_INT(c.out.len, 0);
        CHECK(!strstr(c.seen.data, "late"));
        finish(&c);
}
