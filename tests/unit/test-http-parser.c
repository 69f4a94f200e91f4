#include "base/http-parser.h"

#include <errno.h>

#include "base/text.h"
#include "tests/check.h"

static int parse(const char *text, struct http_head *ret)
{
        const char *why;
        size_t scanned = 0, len;
        int r = http_head_scan(text, strlen(text), &scanned, &len);

        if (r == 0)
                r = http_head_parse(text, len, ret, &why);
        return r;
}

static int status_of(const char *text)
{
        struct http_head h = { 0 };
        int r = parse(text, &h);

        http_head_done(&h);
        return r;
}

/* A request for @target, otherwise plain. */
static int status_of_target(const char *target)
{
        _cleanup_free_ char *text = text_printf("GET %s HTTP/1.1\r\nHost: a\r\n\r\n", target);

        return status_of(text);
}

static int status_of_header(const char *lines)
{
        _cleanup_free_ char *text = text_printf("POST / HTTP/1.1\r\nHost: a\r\n%s\r\n", lines);

        return status_of(text);
}

TEST(a_plain_request_is_taken_apart)
{
        struct http_head h = { 0 };

        CHECK_INT(parse("GET /pods%20a?x=1&y=a%26b+c&flag&x=2 HTTP/1.1\r\nHost: n:10250\r\n"
                        "X-Trailing:  v \t\r\nEmpty:\r\n\r\nnext",
                        &h),
                  0);
        CHECK_STR(h.method, "GET");
        CHECK_STR(h.path, "/pods a");
        CHECK_STR(h.host, "n:10250");
        CHECK_INT(h.n_query, 4);
        CHECK_STR(h.query[1].name, "y");
        CHECK_STR(h.query[1].value, "a&b c");
        CHECK_STR(h.query[2].name, "flag");
        CHECK_STR(h.query[2].value, "");
        CHECK_STR(h.query[3].value, "2");
        CHECK_STR(http_head_header(&h, "x-trailing"), "v");
        CHECK_STR(http_head_header(&h, "empty"), "");
        CHECK(http_head_header(&h, "absent") == NULL);
        CHECK(h.keep_alive && !h.is_http10 && !h.upgrade && !h.expect_continue);
        CHECK_INT(h.body, HTTP_BODY_NONE);
        http_head_done(&h);
}

TEST(a_head_is_found_wherever_the_bytes_were_split)
{
        static const char text[] = "GET / HTTP/1.1\r\nHost: a\r\nB: c\r\n\r\nGET /second";
        size_t head = strlen(text) - strlen("GET /second");

        for (size_t first = 0; first < head; first++) {
                size_t scanned = 0, len = 0;

                CHECK_INT(http_head_scan(text, first, &scanned, &len), HTTP_PARSE_MORE);
                CHECK_INT(http_head_scan(text, strlen(text), &scanned, &len), 0);
                CHECK_INT(len, head);
        }
        for (size_t n = 0, scanned = 0, len; n <= head; n++)
                CHECK_INT(http_head_scan(text, n, &scanned, &len), n < head ? HTTP_PARSE_MORE : 0);
}

TEST(line_ends_other_than_crlf_are_refused)
{
        CHECK_INT(status_of("GET / HTTP/1.1\nHost: a\n\n"), 400);
        CHECK_INT(status_of("GET / HTTP/1.1\r\nHost: a\n\r\n"), 400);
        CHECK_INT(status_of("GET / HTTP/1.1\r\nHost: a\r\n\n"), 400);
        CHECK_INT(status_of("GET / HTTP/1.1\rHost: a\r\n\r\n"), 400);
        CHECK_INT(status_of("GET / HTTP/1.1\r\r\nHost: a\r\n\r\n"), 400);
        CHECK_INT(status_of("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
        CHECK_INT(status_of("GET / HTTP/1.1\r\nHost: a\r\nX: a\x01z\r\n\r\n"), 400);
        CHECK_INT(status_of("GET / HTTP/1.1\r\nHost: a\r\nX: a\tz\r\n\r\n"), 0);
}

TEST(garbage_is_refused_at_its_first_byte)
{
        size_t scanned = 0, len;

        CHECK_INT(http_head_scan("\x16\x03\x01", 3, &scanned, &len), 400);
        CHECK_INT(http_head_scan("get", 3, &scanned, &len), 400);
        CHECK_INT(http_head_scan("G\0T", 3, &scanned, &len), 400);
}

TEST(a_request_line_has_three_parts_and_a_known_version)
{
        static const struct {
                const char *line;
                int status;
        } cases[] = {
                { "GET / HTTP/1.1", 0 },
                { "PROPFIND / HTTP/1.1", 0 },
                { "GET  / HTTP/1.1", 400 },
                { "GET / HTTP/1.1 ", 400 },
                { "GET / ", 400 },
                { "GET /", 400 },
                { "GET", 400 },
                { "G-T / HTTP/1.1", 400 },
                { "Get / HTTP/1.1", 400 },
                { "GET\t/ HTTP/1.1", 400 },
                { "ABCDEFGHIJKLMNOPQ / HTTP/1.1", 400 },
                { "GET / HTTP/2.0", 505 },
                { "GET / HTTP/1.10", 400 },
                { "GET / http/1.1", 400 },
                { "PRI * HTTP/2.0", 505 },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_free_ char *text = text_printf("%s\r\nHost: a\r\n\r\n", cases[i].line);

                CHECK_INT(status_of(text), cases[i].status);
        }
}

TEST(a_target_that_two_readers_could_read_differently_is_refused)
{
        static const char *const good[] = {
                "/",        "/a/b",   "/a/",        "/...",    "/a..b",      "/.a",
                "/a%2Db",   "/%252f", "/a?b=%2f//", "/a?x=..", "/a?{\"b\"}", "/a:b@c,d(e)=f!",
                "/a?b=%0a", "/?",     "/?&&",       "/a%3Fb",  "/?a=b=c",    "/?=novalue"
        };
        static const char *const bad[] = {
                "*",
                "a",
                "http://a/",
                "a:443",
                "//",
                "//exec",
                "/a//b",
                "/a//",
                "/.",
                "/..",
                "/a/./b",
                "/a/../b",
                "/a/..",
                "/%2e%2e/a",
                "/a/%2E",
                "/.%2e/a",
                "/a%2fb",
                "/a%2Fb",
                "/a%5cb",
                "/a\\b",
                "/a;x",
                "/a%3bx",
                "/exec/..;/healthz",
                "/a%00",
                "/a%",
                "/a%4",
                "/a%4g",
                "/a%0d%0a",
                "/a%7f",
                "/a%c3%a4",
                "/a\xc3\xa4",
                "/a#b",
                "/a?b#c",
                "/a?b;c",
                "/a?b=%00",
                "/a?b=%",
                "/a?%zz=1",
                "/a|b",
                "/a\"b",
                "/a?b=\x80",
        };

        for (size_t i = 0; i < ARRAY_SIZE(good); i++)
                if (status_of_target(good[i]) != 0)
                        fail_msg("'%s' was refused", good[i]);
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
                if (status_of_target(bad[i]) != 400)
                        fail_msg("'%s' was not refused", bad[i]);
}

TEST(the_path_is_decoded_exactly_once)
{
        struct http_head h = { 0 };

        CHECK_INT(parse("GET /a%252e%2541 HTTP/1.1\r\nHost: a\r\n\r\n", &h), 0);
        CHECK_STR(h.path, "/a%2e%41");
        http_head_done(&h);
}

TEST(header_lines_are_strict)
{
        CHECK_INT(status_of_header("X-A: b\r\n"), 0);
        CHECK_INT(status_of_header("X-A:b\r\n"), 0);
        CHECK_INT(status_of_header("X-A: \xc3\xa4\r\n"), 0);
        CHECK_INT(status_of_header("X-A : b\r\n"), 400);
        CHECK_INT(status_of_header("X A: b\r\n"), 400);
        CHECK_INT(status_of_header(": b\r\n"), 400);
        CHECK_INT(status_of_header("X-A\r\n"), 400);
        CHECK_INT(status_of_header("X-A: b\r\n folded\r\n"), 400);
        CHECK_INT(status_of_header("X-A: b\r\n\tfolded: x\r\n"), 400);
        CHECK_INT(status_of_header("X\"A: b\r\n"), 400);
}

TEST(the_length_of_a_body_is_said_once_and_clearly)
{
        CHECK_INT(status_of_header("Content-Length: 10\r\n"), 0);
        CHECK_INT(status_of_header("Transfer-Encoding: chunked\r\n"), 0);
        CHECK_INT(status_of_header("Transfer-Encoding: Chunked\r\n"), 0);
        CHECK_INT(status_of_header("Content-Length: 10\r\nContent-Length: 10\r\n"), 400);
        CHECK_INT(status_of_header("Content-Length: 10\r\ncontent-length: 11\r\n"), 400);
        CHECK_INT(status_of_header("Content-Length: 10, 10\r\n"), 400);
        CHECK_INT(status_of_header("Content-Length: +1\r\n"), 400);
        CHECK_INT(status_of_header("Content-Length: -1\r\n"), 400);
        CHECK_INT(status_of_header("Content-Length: 0x1\r\n"), 400);
        CHECK_INT(status_of_header("Content-Length: 1 1\r\n"), 400);
        CHECK_INT(status_of_header("Content-Length:\r\n"), 400);
        CHECK_INT(status_of_header("Content-Length: 18446744073709551616\r\n"), 400);
        CHECK_INT(status_of_header("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n"), 400);
        CHECK_INT(status_of_header("Transfer-Encoding: chunked\r\nContent-Length: 1\r\n"), 400);
        CHECK_INT(status_of_header("Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n"), 400);
        CHECK_INT(status_of_header("Transfer-Encoding: chunked, chunked\r\n"), 501);
        CHECK_INT(status_of_header("Transfer-Encoding: gzip, chunked\r\n"), 501);
        CHECK_INT(status_of_header("Transfer-Encoding: xchunked\r\n"), 501);
        CHECK_INT(status_of_header("Transfer-Encoding:\r\n"), 501);
        CHECK_INT(status_of("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), 400);
}

TEST(host_authorization_and_expect_are_checked)
{
        CHECK_INT(status_of("GET / HTTP/1.1\r\n\r\n"), 400);
        CHECK_INT(status_of("GET / HTTP/1.0\r\n\r\n"), 0);
        CHECK_INT(status_of("GET / HTTP/1.1\r\nHost:\r\n\r\n"), 400);
        CHECK_INT(status_of("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"), 400);
        CHECK_INT(status_of("GET / HTTP/1.1\r\nHost: [::1]:10250\r\n\r\n"), 0);
        CHECK_INT(status_of_header("Host: a\r\n"), 400);
        CHECK_INT(status_of_header("Authorization: Bearer a\r\nAuthorization: Bearer b\r\n"), 400);
        CHECK_INT(status_of_header("Expect: 200-ok\r\n"), 417);
        CHECK_INT(status_of_header("Expect: 100-continue\r\n"), 0);
}

TEST(connection_options_decide_keep_alive_and_upgrade)
{
        struct http_head h = { 0 };

        CHECK_INT(parse("GET / HTTP/1.1\r\nHost: a\r\nConnection: foo , Close\r\n\r\n", &h), 0);
        CHECK(!h.keep_alive);
        http_head_done(&h);
        CHECK_INT(parse("GET / HTTP/1.1\r\nHost: a\r\nConnection: closed\r\n\r\n", &h), 0);
        CHECK(h.keep_alive);
        http_head_done(&h);
        CHECK_INT(parse("GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\n"
                        "Upgrade: SPDY/3.1\r\n\r\n",
                        &h),
                  0);
        CHECK_STR(h.upgrade, "SPDY/3.1");
        http_head_done(&h);
        CHECK_INT(parse("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\n\r\n", &h), 0);
        CHECK(h.upgrade == NULL);
        http_head_done(&h);
}

TEST(limits_hold)
{
        _cleanup_strbuf_ struct strbuf b = { 0 };
        size_t scanned = 0, len;

        strbuf_add(&b, "GET / HTTP/1.1\r\nHost: a\r\n");
        for (int i = 0; i < HTTP_HEADERS_MAX - 1; i++)
                strbuf_addf(&b, "X-%d: b\r\n", i);
        strbuf_add(&b, "\r\n");
        CHECK_INT(status_of(b.data), 0);
        b.len -= 2;
        strbuf_add(&b, "One-More: b\r\n\r\n");
        CHECK_INT(status_of(b.data), 431);

        b.len = 0;
        strbuf_add(&b, "GET / HTTP/1.1\r\nX: ");
        while (b.len < HTTP_HEAD_MAX)
                strbuf_add(&b, "aaaaaaaa");
        CHECK_INT(http_head_scan(b.data, b.len, &scanned, &len), 431);

        b.len = 0;
        strbuf_add(&b, "/");
        while (b.len <= HTTP_PATH_MAX)
                strbuf_add(&b, "a");
        CHECK_INT(status_of_target(b.data), 414);

        b.len = 0;
        strbuf_add(&b, "/?");
        for (int i = 0; i < HTTP_QUERY_MAX - 1; i++)
                strbuf_add(&b, "a&");
        CHECK_INT(status_of_target(b.data), 0);
        strbuf_add(&b, "&");
        CHECK_INT(status_of_target(b.data), 400);
}

/* Feeds @text in two parts and then byte by byte; the body must come out the same. */
static int chunked_body(const char *text, size_t split, struct strbuf *body, size_t *ret_used)
{
        struct http_chunks c = { 0 };
        size_t n = strlen(text), at = 0;
        int r = HTTP_PARSE_MORE;

        while (at < n && r == HTTP_PARSE_MORE) {
                size_t end = split == 0 ? at + 1 : at < split ? split : n, used, len;
                const char *data;

                r = http_chunks_feed(&c, text + at, end - at, &used, &data, &len);
                if (r != 400)
                        CHECK(used > 0);
                if (len > 0)
                        strbuf_add_n(body, data, len);
                at += used;
        }
        *ret_used = at;
        return r;
}

TEST(chunks_are_joined_wherever_the_bytes_were_split)
{
        static const char text[] = "5\r\nhello\r\n00c\r\n, chunked wo\r\n3\r\nrld\r\n0\r\n\r\n";
        _cleanup_free_ char *all = text_printf("%sGET /next", text);

        for (size_t split = 0; split < strlen(text); split++) {
                _cleanup_strbuf_ struct strbuf body = { 0 };
                size_t used;

                CHECK_INT(chunked_body(all, split, &body, &used), 0);
                CHECK_STR(body.data, "hello, chunked world");
                CHECK_INT(used, strlen(text));
        }
}

TEST(chunks_with_anything_unusual_are_refused)
{
        static const char *const bad[] = {
                "\r\n",
                " 5\r\nhello\r\n",
                "5 \r\nhello\r\n",
                "5;a=b\r\nhello\r\n",
                "5\nhello\r\n",
                "5\r\nhello0\r\n\r\n",
                "5\r\nhello\n0\r\n\r\n",
                "5\r\nhelloo\r\n0\r\n\r\n",
                "-1\r\n",
                "0x5\r\nhello\r\n",
                "g\r\n",
                "100000000\r\n",
                "000000001\r\na\r\n",
                "0\r\nTrailer: a\r\n\r\n",
                "0\r\n\n",
                "0\n",
        };

        for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
                for (size_t split = 0; split < strlen(bad[i]); split++) {
                        _cleanup_strbuf_ struct strbuf body = { 0 };
                        size_t used;

                        if (chunked_body(bad[i], split, &body, &used) != 400)
                                fail_msg("'%s' split at %zu was not refused", bad[i], split);
                }
}
