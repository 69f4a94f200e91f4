#include "base/http-parser.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"

enum { METHOD_MAX = 16 };

static bool is_upper(char c)
{
        return c >= 'A' && c <= 'Z';
}

static bool is_alnum(char c)
{
        return is_upper(c) || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_token(char c)
{
        return is_alnum(c) || (c && strchr("!#$%&'*+-.^_`|~", c));
}

static int hex_value(char c)
{
        if (c >= '0' && c <= '9')
                return c - '0';
        if (c >= 'a' && c <= 'f')
                return c - 'a' + 10;
        if (c >= 'A' && c <= 'F')
                return c - 'A' + 10;
        return -1;
}

int http_head_scan(const char *data, size_t n, size_t *scanned, size_t *ret_len)
{
        size_t i;

        /* Garbage (a TLS hello on a plain port) is told apart at its first byte. */
        if (n > 0 && !is_upper(data[0]))
                return 400;
        for (i = *scanned; i < n && i < HTTP_HEAD_MAX; i++) {
                unsigned char c = (unsigned char)data[i];
                bool after_cr = i > 0 && data[i - 1] == '\r';

                if (after_cr != (c == '\n')) /* a CR without LF, or an LF without CR */
                        return 400;
                if ((c < 0x20 && c != '\r' && c != '\n' && c != '\t') || c == 0x7f)
                        return 400;
                if (c == '\n' && i >= 3 && data[i - 2] == '\n') {
                        *ret_len = i + 1;
                        return 0;
                }
        }
        *scanned = i;
        return i == HTTP_HEAD_MAX ? 431 : HTTP_PARSE_MORE;
}

/*
 * Decodes one percent escape or plain byte at *@in. Returns the byte, or -1 for a malformed escape
 * or an encoded NUL.
 */
static int decode_byte(const char **in)
{
        const char *s = *in;
        int high, low;

        if (*s != '%') {
                (*in)++;
                return (unsigned char)*s;
        }
        high = hex_value(s[1]);
        low = high < 0 ? -1 : hex_value(s[2]);
        if (low < 0 || (high == 0 && low == 0))
                return -1;
        *in += 3;
        return high << 4 | low;
}

/* Characters that a path may show before decoding: RFC 3986 pchar without ';', '/' and '%'. */
static bool is_path_char(char c)
{
        return is_alnum(c) || (c && strchr("-._~!$&'()*+,=:@/%", c));
}

static bool has_dot_segment(const char *path)
{
        for (const char *s = path; s; s = strchr(s + 1, '/')) {
                size_t n = strcspn(s + 1, "/");

                if (n <= 2 && n > 0 && strspn(s + 1, ".") >= n)
                        return true;
        }
        return false;
}

/* Decodes @path in place. */
static int parse_path(char *path, const char **ret_why)
{
        const char *in = path;
        char *out = path;

        if (strlen(path) > HTTP_PATH_MAX) {
                *ret_why = "the path is longer than 4096 bytes";
                return 414;
        }
        *ret_why = "the request target is not an absolute path";
        if (*path != '/')
                return 400;
        *ret_why = "the path has a character or escape that is not allowed";
        while (*in) {
                bool is_escape = *in == '%';
                int c;

                if (!is_path_char(*in))
                        return 400;
                c = decode_byte(&in);
                if (c < 0x20 || c > 0x7e || (is_escape && c && strchr("/\\;", c)))
                        return 400;
                *out++ = (char)c;
        }
        *out = '\0';
        *ret_why = "the path has an empty or dot segment";
        return strstr(path, "//") || has_dot_segment(path) ? 400 : 0;
}

/* Decodes @s in place; '+' is a blank. */
static int decode_query_part(char *s)
{
        const char *in = s;
        char *out = s;

        while (*in) {
                bool is_plus = *in == '+';
                int c = decode_byte(&in);

                if (c < 0)
                        return -EINVAL;
                *out++ = is_plus ? ' ' : (char)c;
        }
        *out = '\0';
        return 0;
}

static size_t count_char(const char *s, char c)
{
        size_t n = 0;

        for (; *s; s++)
                n += *s == c;
        return n;
}

/* @query: what stood behind the '?', or NULL. Appends to h->pairs behind the headers. */
static int parse_query(struct http_head *h, char *query, const char **ret_why)
{
        struct http_pair *pairs = h->pairs + h->n_headers;

        h->query = pairs;
        *ret_why = "the query has a character or escape that is not allowed";
        if (query && strpbrk(query, ";#"))
                return 400;
        for (char *part = query, *next; part; part = next) {
                char *value;

                next = strchr(part, '&');
                if (next)
                        *next++ = '\0';
                if (!*part)
                        continue;
                value = strchr(part, '=');
                if (value)
                        *value++ = '\0';
                if (decode_query_part(part) < 0 || (value && decode_query_part(value) < 0))
                        return 400;
                pairs[h->n_query++] = (struct http_pair){ part, value ? value : "" };
        }
        return 0;
}

/* "HTTP/", digit, dot, digit. */
static bool is_version(const char *s)
{
        const char *digits = startswith(s, "HTTP/");

        return digits && strlen(digits) == 3 && digits[1] == '.' &&
               strspn(digits, "0123456789") == 1 && strspn(digits + 2, "0123456789") == 1;
}

/* "GET /path?query HTTP/1.1", taken apart in place. */
static int parse_request_line(struct http_head *h, char *line, char **ret_target,
                              const char **ret_why)
{
        char *target = strchr(line, ' '), *version = target ? strchr(target + 1, ' ') : NULL;
        size_t n = strspn(line, "ABCDEFGHIJKLMNOPQRSTUVWXYZ");

        *ret_why = "the request line is not \"METHOD target HTTP/1.1\"";
        if (!version || n == 0 || n > METHOD_MAX || line + n != target)
                return 400;
        *target++ = '\0';
        *version++ = '\0';
        for (const char *s = target; *s; s++)
                if (*s < 0x21 || *s > 0x7e)
                        return 400;
        if (streq(version, "HTTP/1.0")) {
                h->is_http10 = true;
        } else if (!streq(version, "HTTP/1.1")) {
                if (!is_version(version))
                        return 400;
                *ret_why = "this server speaks HTTP/1.1";
                return 505;
        }
        h->method = line;
        *ret_target = target;
        return 0;
}

/* "Name: value"; trims blanks around the value. */
static int parse_header_line(struct http_head *h, char *line, const char **ret_why)
{
        struct http_pair *pair = &h->pairs[h->n_headers];
        char *s = line, *end;

        *ret_why = "a header line is not \"Name: value\"";
        while (is_token(*s))
                s++;
        if (s == line || *s != ':') /* also a folded line, and a blank before the colon */
                return 400;
        *s++ = '\0';
        s += strspn(s, " \t");
        end = s + strlen(s);
        while (end > s && (end[-1] == ' ' || end[-1] == '\t'))
                end--;
        *end = '\0';
        *pair = (struct http_pair){ line, s };
        h->n_headers++;
        return 0;
}

/* Finds the value of a header that must not stand twice. */
static int header_once(const struct http_head *h, const char *name, const char **ret)
{
        *ret = NULL;
        for (size_t i = 0; i < h->n_headers; i++) {
                if (strcasecmp(h->headers[i].name, name) != 0)
                        continue;
                if (*ret)
                        return 400;
                *ret = h->headers[i].value;
        }
        return 0;
}

/* Does the comma-separated @list hold @token (any case)? */
static bool list_has_token(const char *list, const char *token)
{
        size_t n = strlen(token);

        while (*list) {
                list += strspn(list, ", \t");
                if (strcspn(list, ", \t") == n && strncasecmp(list, token, n) == 0)
                        return true;
                list += strcspn(list, ",");
        }
        return false;
}

/* The same for all headers of that name together. */
static bool header_has_token(const struct http_head *h, const char *name, const char *token)
{
        for (size_t i = 0; i < h->n_headers; i++) {
                const char *value = h->headers[i].value;

                assert(value); /* parse_header_line() saw to it */
                if (strcasecmp(h->headers[i].name, name) == 0 && list_has_token(value, token))
                        return true;
        }
        return false;
}

static int parse_body_headers(struct http_head *h, const char **ret_why)
{
        const char *length, *encoding;

        *ret_why = "Content-Length or Transfer-Encoding stands twice or beside the other";
        if (header_once(h, "Content-Length", &length) != 0 ||
            header_once(h, "Transfer-Encoding", &encoding) != 0 || (length && encoding))
                return 400;
        if (encoding) {
                *ret_why = "HTTP/1.0 knows no Transfer-Encoding";
                if (h->is_http10)
                        return 400;
                *ret_why = "the only Transfer-Encoding known is chunked";
                if (strcasecmp(encoding, "chunked") != 0)
                        return 501;
                h->body = HTTP_BODY_CHUNKED;
        }
        if (length) {
                *ret_why = "Content-Length is not a number";
                if (text_to_u64(length, &h->content_length) < 0)
                        return 400;
                h->body = h->content_length > 0 ? HTTP_BODY_LENGTH : HTTP_BODY_NONE;
        }
        return 0;
}

static int parse_host(struct http_head *h, const char **ret_why)
{
        *ret_why = "HTTP/1.1 wants exactly one Host header of a host and port";
        if (header_once(h, "Host", &h->host) != 0)
                return 400;
        if (!h->host) {
                h->host = "";
                return h->is_http10 ? 0 : 400;
        }
        for (const char *s = h->host; *s; s++)
                if (!is_alnum(*s) && !strchr("-._:[]%~", *s))
                        return 400;
        return *h->host || h->is_http10 ? 0 : 400;
}

/* Host, body framing, Expect, Connection, Upgrade; those that must not stand twice. */
static int parse_known_headers(struct http_head *h, const char **ret_why)
{
        const char *value;
        int r;

        r = parse_host(h, ret_why);
        if (r == 0)
                r = parse_body_headers(h, ret_why);
        if (r != 0)
                return r;
        *ret_why = "the Authorization header stands twice";
        if (header_once(h, "Authorization", &value) != 0)
                return 400;
        *ret_why = "Expect knows 100-continue only";
        if (header_once(h, "Expect", &value) != 0)
                return 400;
        if (value && strcasecmp(value, "100-continue") != 0)
                return 417;
        h->expect_continue = value && !h->is_http10 && h->body != HTTP_BODY_NONE;
        *ret_why = "the Upgrade header stands twice";
        if (header_once(h, "Upgrade", &value) != 0)
                return 400;
        if (value && !h->is_http10 && header_has_token(h, "Connection", "upgrade"))
                h->upgrade = value;
        h->keep_alive = !h->is_http10 && !header_has_token(h, "Connection", "close");
        return 0;
}

static int parse_text(struct http_head *h, const char **ret_why)
{
        char *line = h->text, *next = strstr(line, "\r\n"), *target, *query;
        int r;

        *next = '\0';
        r = parse_request_line(h, line, &target, ret_why);
        if (r != 0)
                return r;
        query = strchr(target, '?');
        if (query)
                *query++ = '\0';
        *ret_why = "more than 1100 query parameters";
        if (query && count_char(query, '&') >= HTTP_QUERY_MAX)
                return 400;
        h->pairs = calloc(HTTP_HEADERS_MAX + 1 + (query ? count_char(query, '&') + 1 : 0),
                          sizeof *h->pairs);
        if (!h->pairs)
                return -ENOMEM;
        h->headers = h->pairs;
        for (line = next + 2; *line != '\r'; line = next + 2) {
                next = strstr(line, "\r\n");
                *next = '\0';
                *ret_why = "more than 100 headers";
                if (h->n_headers == HTTP_HEADERS_MAX)
                        return 431;
                r = parse_header_line(h, line, ret_why);
                if (r != 0)
                        return r;
        }
        r = parse_path(target, ret_why);
        h->path = target;
        if (r == 0)
                r = parse_query(h, query, ret_why);
        if (r == 0)
                r = parse_known_headers(h, ret_why);
        return r;
}

int http_head_parse(const char *data, size_t n, struct http_head *ret, const char **ret_why)
{
        struct http_head h = { 0 };
        int r;

        *ret_why = "";
        h.text = malloc(n + 1);
        if (!h.text)
                return -ENOMEM;
        memcpy(h.text, data, n);
        h.text[n] = '\0';
        r = parse_text(&h, ret_why);
        if (r != 0)
                http_head_done(&h);
        else
                *ret = h;
        return r;
}

void http_head_done(struct http_head *h)
{
        free(h->text);
        free(h->pairs);
        *h = (struct http_head){ 0 };
}

const char *http_head_header(const struct http_head *h, const char *name)
{
        for (size_t i = 0; i < h->n_headers; i++)
                if (strcasecmp(h->headers[i].name, name) == 0)
                        return h->headers[i].value;
        return NULL;
}

/* One byte of framing, between the pieces of data. */
static int chunk_byte(struct http_chunks *c, char byte)
{
        int v = hex_value(byte);

        switch (c->state) {
        case HTTP_CHUNK_SIZE:
                if (v >= 0 && c->digits < 8) {
                        c->left = c->left << 4 | (unsigned)v;
                        c->digits++;
                        return HTTP_PARSE_MORE;
                }
                c->state = HTTP_CHUNK_SIZE_LF;
                return byte == '\r' && c->digits > 0 ? HTTP_PARSE_MORE : 400;
        case HTTP_CHUNK_SIZE_LF:
                c->state = c->left > 0 ? HTTP_CHUNK_DATA : HTTP_CHUNK_END_CR;
                return byte == '\n' ? HTTP_PARSE_MORE : 400;
        case HTTP_CHUNK_DATA_CR:
                c->state = HTTP_CHUNK_DATA_LF;
                return byte == '\r' ? HTTP_PARSE_MORE : 400;
        case HTTP_CHUNK_DATA_LF:
                c->state = HTTP_CHUNK_SIZE;
                c->digits = 0;
                return byte == '\n' ? HTTP_PARSE_MORE : 400;
        case HTTP_CHUNK_END_CR: /* anything else would be a trailer */
                c->state = HTTP_CHUNK_END_LF;
                return byte == '\r' ? HTTP_PARSE_MORE : 400;
        case HTTP_CHUNK_END_LF:
                c->state = HTTP_CHUNK_DONE;
                return byte == '\n' ? 0 : 400;
        case HTTP_CHUNK_DATA:
        case HTTP_CHUNK_DONE:
                break;
        }
        return 400;
}

int http_chunks_feed(struct http_chunks *c, const char *data, size_t n, size_t *ret_used,
                     const char **ret_data, size_t *ret_len)
{
        size_t used = 0;
        int r = c->state == HTTP_CHUNK_DONE ? 0 : HTTP_PARSE_MORE;

        *ret_len = 0;
        while (r == HTTP_PARSE_MORE && used < n && c->state != HTTP_CHUNK_DATA)
                r = chunk_byte(c, data[used++]);
        if (r == HTTP_PARSE_MORE && used < n) {
                *ret_data = data + used;
                *ret_len = MIN(c->left, n - used);
                used += *ret_len;
                c->left -= *ret_len;
                if (c->left == 0)
                        c->state = HTTP_CHUNK_DATA_CR;
        }
        *ret_used = used;
        return r;
}

const char *http_status_reason(int status)
{
        static const struct {
                int status;
                const char *reason;
        } reasons[] = {
                /* clang-format off */
                { 100, "Continue" },
                { 101, "Switching Protocols" },
                { 200, "OK" },
                { 201, "Created" },
                { 202, "Accepted" },
                { 204, "No Content" },
                { 400, "Bad Request" },
                { 401, "Unauthorized" },
                { 403, "Forbidden" },
                { 404, "Not Found" },
                { 405, "Method Not Allowed" },
                { 406, "Not Acceptable" },
                { 408, "Request Timeout" },
                { 409, "Conflict" },
                { 410, "Gone" },
                { 413, "Request Entity Too Large" },
                { 414, "Request URI Too Long" },
                { 415, "Unsupported Media Type" },
                { 417, "Expectation Failed" },
                { 422, "Unprocessable Entity" },
                { 429, "Too Many Requests" },
                { 431, "Request Header Fields Too Large" },
                { 500, "Internal Server Error" },
                { 501, "Not Implemented" },
                { 503, "Service Unavailable" },
                { 504, "Gateway Timeout" },
                { 505, "HTTP Version Not Supported" },
        }; /* clang-format on */

        for (size_t i = 0; i < ARRAY_SIZE(reasons); i++)
                if (reasons[i].status == status)
                        return reasons[i].reason;
        return "";
}
