#include "base/websocket.h"

#include <errno.h>
#include <string.h>

#include "base/text.h"
#include "tests/check.h"

struct client {
        struct websocket *websocket;
        struct strbuf out, seen;
};

static void on_output(const void *data, size_t n, void *userdata)
{
        struct client *c = userdata;

        strbuf_add_n(&c->out, data, n);
}

static void on_message(const void *data, size_t n, bool begins, bool ends, void *userdata)
{
        struct client *c = userdata;

        strbuf_add(&c->seen, begins ? "<" : "");
        strbuf_add_n(&c->seen, data, n);
        strbuf_add(&c->seen, ends ? ">" : "|");
}

static void on_close(void *userdata)
{
        struct client *c = userdata;

        strbuf_add(&c->seen, "close");
}

static void begin(struct client *c)
{
        static const struct websocket_ops ops = { on_output, on_message, on_close };

        *c = (struct client){ .websocket = websocket_new(&ops, c) };
        CHECK(c->websocket);
}

static void finish(struct client *c)
{
        websocket_free(c->websocket);
        strbuf_done(&c->out);
        strbuf_done(&c->seen);
}

static void feed(struct client *c, const void *data, size_t n)
{
        _cleanup_err_ struct err err = { 0 };

        if (websocket_feed(c->websocket, data, n, &err) < 0)
                fail_msg("%s", err_text(&err));
}

/* A client's frame with the mask 1 2 3 4. */
static size_t frame(uint8_t *out, uint8_t first, const void *payload, size_t n)
{
        const uint8_t *p = payload;
        size_t at = 0;

        out[at++] = first;
        if (n <= 125) {
                out[at++] = (uint8_t)(0x80 | n);
        } else {
                out[at++] = 0x80 | 126;
                out[at++] = (uint8_t)(n >> 8);
                out[at++] = (uint8_t)n;
        }
        for (uint8_t i = 1; i <= 4; i++)
                out[at++] = i;
        for (size_t i = 0; i < n; i++)
                out[at++] = p[i] ^ (uint8_t)(i % 4 + 1);
        return at;
}

TEST(a_message_comes_unmasked_and_ours_goes_out_as_it_is)
{
        struct client c;
        uint8_t out[64];

        begin(&c);
        feed(&c, out, frame(out, 0x82, "hello", 5));
        CHECK_STR(c.seen.data, "<hello>");
        websocket_send(c.websocket, false, "\1", 1, "world", 5);
        websocket_send(c.websocket, true, "1", 1, NULL, 0);
        CHECK_INT(c.out.len, 11);
        CHECK_INT(memcmp(c.out.data,
                         "\x82\6\1world\x81\1"
                         "1",
                         11),
                  0);
        finish(&c);
}

TEST(messages_in_frames_and_frames_in_bytes_are_one_message_each)
{
        struct client c;
        uint8_t out[64];
        size_t n;

        begin(&c);
        n = frame(out, 0x02, "ab", 2);
        n += frame(out + n, 0x89, "ping", 4); /* control frames may come in between */
        n += frame(out + n, 0x00, "", 0);
        n += frame(out + n, 0x80, "c", 1);
        n += frame(out + n, 0x81, "", 0);
        for (size_t i = 0; i < n; i++)
                feed(&c, out + i, 1);
        CHECK_STR(c.seen.data, "<a|b|c><>");
        CHECK_INT(memcmp(c.out.data, "\x8a\4ping", 6), 0);
        finish(&c);
}

TEST(lengths_of_every_size_are_read_and_written)
{
        static uint8_t payload[70000], out[70100];
        struct client c;

        memset(payload, 'x', sizeof payload);
        begin(&c);
        feed(&c, out, frame(out, 0x82, payload, 65535));
        CHECK(c.seen.len > 65535);
        websocket_send(c.websocket, false, NULL, 0, payload, 126);
        CHECK_INT(memcmp(c.out.data, "\x82\x7e\0\x7e", 4), 0);
        c.out.len = 0;
        websocket_send(c.websocket, false, NULL, 0, payload, sizeof payload);
        CHECK_INT(memcmp(c.out.data, "\x82\x7f\0\0\0\0\0\1\x11\x70", 10), 0);
        finish(&c);
}

TEST(a_close_is_answered_and_ends_all)
{
        struct client c;
        uint8_t out[64];
        size_t n;

        begin(&c);
        n = frame(out, 0x88, "\3\350", 2);
        n += frame(out + n, 0x82, "late", 4);
        feed(&c, out, n);
        CHECK_STR(c.seen.data, "close");
        CHECK_INT(memcmp(c.out.data, "\x88\2\3\350", 4), 0);
        websocket_send(c.websocket, false, "x", 1, NULL, 0);
        CHECK_INT(c.out.len, 4);
        finish(&c);
}

TEST(frames_that_lie_end_the_connection_with_a_sentence)
{
        static const struct {
                const char *bytes;
                size_t n;
                const char *rule;
        } cases[] = {
                { "\x82\1abcdx", 7, "a mask, which every client's has" },
                { "\xc2\x81"
                  "abcdx",
                  7, "no extension" },
                { "\x83\x81"
                  "abcdx",
                  7, "a known opcode" },
                { "\x80\x81"
                  "abcdx",
                  7, "a message to go on with" },
                { "\2\x81"
                  "abcdx\x82\x81"
                  "abcdx",
                  14, "the rest of the message before" },
                { "\x09\x81"
                  "abcdx",
                  7, "a control frame in one piece" },
                { "\x89\xfe\0\x7e"
                  "abcdx",
                  9, "at most 125 bytes of a control frame" },
                { "\x82\xff\x80\0\0\0\0\0\0\0"
                  "abcd",
                  14, "a length below 2^63" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_err_ struct err err = { 0 };
                _cleanup_free_ char *sentence = text_printf("WebSocket frame: expected %s",
                                                            cases[i].rule);
                struct client c;

                begin(&c);
                CHECK_INT(websocket_feed(c.websocket, cases[i].bytes, cases[i].n, &err), -EPROTO);
                CHECK_STR(err_text(&err), sentence);
                CHECK_INT(memcmp(c.out.data + c.out.len - 4, "\x88\2\3\352", 4), 0); /* 1002 */
                finish(&c);
        }
}

TEST(the_answer_to_a_key_is_that_of_the_rfc)
{
        char out[WEBSOCKET_ACCEPT_SIZE];

        CHECK(websocket_accept("dGhlIHNhbXBsZSBub25jZQ==", out));
        CHECK_STR(out, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        CHECK(!websocket_accept("c2hvcnQ=", out));
        CHECK(!websocket_accept("", out));
        CHECK(!websocket_accept("!", out));
}
