#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/http-conn.h"

const char *http_exchange_method(const struct http_exchange *x)
{
        return x->head.method;
}

const char *http_exchange_path(const struct http_exchange *x)
{
        return x->head.path;
}

size_t http_exchange_query_all(const struct http_exchange *x, const char *key, const char **ret,
                               size_t max)
{
        size_t n = 0;

        for (size_t i = 0; i < x->head.n_query; i++) {
                if (!streq(x->head.query[i].name, key))
                        continue;
                if (n < max)
                        ret[n] = x->head.query[i].value;
                n++;
        }
        return n;
}

const char *http_exchange_query(const struct http_exchange *x, const char *key)
{
        const char *value;

        return http_exchange_query_all(x, key, &value, 1) > 0 ? value : NULL;
}

const char *http_exchange_header(const struct http_exchange *x, const char *name)
{
        return http_head_header(&x->head, name);
}

size_t http_exchange_header_all(const struct http_exchange *x, const char *name, const char **ret,
                                size_t max)
{
        size_t n = 0;

        for (size_t i = 0; i < x->head.n_headers; i++) {
                if (strcasecmp(x->head.headers[i].name, name) != 0)
                        continue;
                if (n < max)
                        ret[n] = x->head.headers[i].value;
                n++;
        }
        return n;
}

const char *http_exchange_body(const struct http_exchange *x, size_t *ret_len)
{
        if (ret_len)
                *ret_len = x->body.len;
        return x->body.data ? x->body.data : "";
}

const struct http_peer *http_exchange_peer(const struct http_exchange *x)
{
        return &x->conn->peer;
}

const char *http_exchange_upgrade_protocol(const struct http_exchange *x)
{
        return x->head.upgrade;
}

void http_exchange_trust(struct http_exchange *x)
{
        struct http_conn *c = x->conn;

        if (!list_contains(&c->in_untrusted))
                return;
        list_remove(&c->in_untrusted);
        c->server->n_untrusted--;
}

void http_exchange_on_closed(struct http_exchange *x,
                             void (*fn)(struct http_exchange *x, void *userdata), void *userdata)
{
        x->on_closed = fn;
        x->closed_userdata = userdata;
}

int http_exchange_add_header(struct http_exchange *x, const char *name, const char *value)
{
        if (!*name || strpbrk(name, "\r\n: ") || strpbrk(value, "\r\n"))
                return -EINVAL;
        strbuf_addf(&x->headers, "%s: %s\r\n", name, value);
        return x->headers.failed ? -ENOMEM : 0;
}

/* "Date: Mon, 02 Jan 2006 15:04:05 GMT"; made once a second. */
static const char *date_line(void)
{
        static char line[64];
        static time_t made;
        time_t now = time(NULL);
        struct tm tm;

        if (now != made && gmtime_r(&now, &tm)) {
                strftime(line, sizeof line, "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &tm);
                made = now;
        }
        return line;
}

static bool has_body(const struct http_exchange *x, int status)
{
        return !streq(x->head.method, "HEAD") && status != 204 && status >= 200;
}

int exchange_queue_head(struct http_exchange *x, int status, const char *content_type,
                        ssize_t length, bool keep_alive)
{
        _cleanup_strbuf_ struct strbuf b = { 0 };

        strbuf_addf(&b, "HTTP/1.1 %d %s\r\n%s", status, http_status_reason(status), date_line());
        if (status >= 200)
                strbuf_addf(&b, "Content-Type: %s\r\nX-Content-Type-Options: nosniff\r\n",
                            content_type);
        if (length >= 0)
                strbuf_addf(&b, "Content-Length: %zd\r\n", length);
        else if (!x->head.is_http10 && has_body(x, status))
                strbuf_add(&b, "Transfer-Encoding: chunked\r\n");
        if (!keep_alive && status >= 200)
                strbuf_add(&b, "Connection: close\r\n");
        if (x->headers.len > 0)
                strbuf_add_n(&b, x->headers.data, x->headers.len);
        strbuf_add(&b, "\r\n");
        if (b.failed || x->headers.failed)
                return -ENOMEM;
        return byte_stream_queue(x->conn->stream, b.data, b.len);
}

/* A request for an upgrade that was answered otherwise must not be followed by another request. */
static bool may_keep_alive(const struct http_exchange *x)
{
        return x->head.keep_alive && !x->head.upgrade;
}

void http_answer(struct http_exchange *x, int status, const char *content_type, const void *body,
                 size_t n)
{
        struct http_conn *c = x->conn;
        bool keep_alive = may_keep_alive(x);

        if (c->phase != CONN_DEAD &&
            (exchange_queue_head(x, status, content_type, (ssize_t)n, keep_alive) < 0 ||
             (has_body(x, status) && byte_stream_queue(c->stream, body, n) < 0)))
                conn_kill(c);
        conn_finish_exchange(c, keep_alive);
}

void http_answer_text(struct http_exchange *x, int status, const char *fmt, ...)
{
        _cleanup_free_ char *text = NULL;
        va_list ap;
        int n;

        va_start(ap, fmt);
        n = vasprintf(&text, fmt, ap);
        va_end(ap);
        if (n < 0) {
                text = NULL;
                n = 0;
        }
        http_answer(x, status, "text/plain; charset=utf-8", text, (size_t)n);
}

void http_answer_json(struct http_exchange *x, int status, json_t *body)
{
        _cleanup_free_ char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;

        json_decref(body);
        if (text)
                http_answer(x, status, "application/json", text, strlen(text));
        else
                http_answer_text(x, 500, "out of memory");
}

int http_stream_begin(struct http_exchange *x, int status, const char *content_type,
                      const struct http_stream_ops *ops, void *userdata)
{
        struct http_conn *c = x->conn;
        int r;

        if (c->phase != CONN_DEAD) {
                r = exchange_queue_head(x, status, content_type, -1,
                                        may_keep_alive(x) && !x->head.is_http10);
                if (r < 0)
                        return r;
                conn_set_phase(c, CONN_STREAM);
        }
        x->ops = ops;
        x->closed_userdata = userdata;
        x->is_streaming = true;
        conn_flush(c);
        return 0;
}

static int queue_chunk(struct http_exchange *x, const void *data, size_t n)
{
        struct byte_stream *s = x->conn->stream;
        char size[24];
        int r;

        if (n == 0 || !has_body(x, 200))
                return 0;
        if (x->head.is_http10)
                return byte_stream_queue(s, data, n);
        r = byte_stream_queue(s, size, (size_t)snprintf(size, sizeof size, "%zx\r\n", n));
        if (r == 0)
                r = byte_stream_queue(s, data, n);
        if (r == 0)
                r = byte_stream_queue(s, "\r\n", 2);
        return r;
}

ssize_t http_stream_write(struct http_exchange *x, const void *data, size_t n)
{
        struct http_conn *c = x->conn;
        ssize_t waiting;

        if (c->phase == CONN_DEAD)
                return -EPIPE;
        if (queue_chunk(x, data, n) < 0) {
                conn_kill(c); /* half a chunk may be queued */
                return -ENOMEM;
        }
        waiting = conn_flush(c);
        if (waiting == 0)
                conn_set_phase(c, CONN_STREAM); /* taken at once: the deadline counts from now */
        return waiting;
}

void http_stream_end(struct http_exchange *x)
{
        struct http_conn *c = x->conn;

        if (c->phase != CONN_DEAD && !x->head.is_http10 && has_body(x, 200) &&
            byte_stream_queue(c->stream, "0\r\n\r\n", 5) < 0)
                conn_kill(c);
        conn_finish_exchange(c, may_keep_alive(x) && !x->head.is_http10);
}

void http_stream_abort(struct http_exchange *x)
{
        struct http_conn *c = x->conn;

        c->exchange = exchange_free(x);
        conn_kill(c);
}

/* Between the upgrade and the new owner's byte_stream_set_ops() nothing is dispatched. */
static void ignore(struct byte_stream _unused_ *s, void _unused_ *userdata)
{
}
static void ignore_hangup(struct byte_stream _unused_ *s, bool _unused_ b, void _unused_ *userdata)
{
}
static const struct byte_stream_ops detached_ops = {
        .on_readable = ignore,
        .on_drained = ignore,
        .on_hangup = ignore_hangup,
};

int http_exchange_upgrade(struct http_exchange *x, const char *protocol, struct byte_stream **ret)
{
        struct http_conn *c = x->conn;
        int r;

        if (!x->head.upgrade || c->phase == CONN_DEAD)
                return -EINVAL;
        r = http_exchange_add_header(x, "Connection", "Upgrade");
        if (r == 0)
                r = http_exchange_add_header(x, "Upgrade", protocol);
        if (r == 0)
                r = byte_stream_unread(c->stream, c->in, c->in_len);
        if (r == 0)
                r = exchange_queue_head(x, 101, NULL, -1, true);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(c->stream);
        byte_stream_set_ops(*ret, &detached_ops, NULL);
        byte_stream_flush(*ret); /* a failure comes again as a hangup */
        c->exchange = exchange_free(x);
        conn_kill(c);
        return 0;
}
