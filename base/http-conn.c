#include "base/http-conn.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"

enum {
        IN_FIRST = 2048,
        DISCARDS_PER_EVENT = 16,
};

static bool phase_reads(enum conn_phase phase)
{
        return phase == CONN_HANDSHAKE || phase == CONN_HEAD || phase == CONN_BODY ||
               phase == CONN_IDLE || phase == CONN_LINGER;
}

void conn_set_phase(struct http_conn *c, enum conn_phase phase)
{
        usec_t usec = server_phase_usec(c->server, phase);

        c->phase = phase;
        c->deadline_usec = usec == USEC_NEVER ? USEC_NEVER : now_monotonic() + usec;
        list_remove(&c->in_phase);
        list_append(&c->server->phases[phase], &c->in_phase);
        server_arm(c->server, c->deadline_usec);
        if (!c->stream)
                return;
        byte_stream_want_read(c->stream, phase_reads(phase));
        if (phase == CONN_ANSWER || phase == CONN_STREAM)
                c->unacknowledged = byte_stream_unacknowledged(c->stream);
}

static void count_slow(struct http_conn *c)
{
        struct http_server_counts *n = &c->server->counts;

        n->slow_handshakes += c->phase == CONN_HANDSHAKE;
        n->slow_requests += c->phase == CONN_HEAD || c->phase == CONN_BODY;
        n->slow_readers += c->phase == CONN_ANSWER || c->phase == CONN_STREAM;
}

void conn_expire(struct http_conn *c)
{
        /*
         * A full socket becomes writable only when a third of its megabytes has left. A slow reader
         * shows that it reads by what the kernel still holds.
         */
        if ((c->phase == CONN_ANSWER || c->phase == CONN_STREAM) &&
            byte_stream_unacknowledged(c->stream) < c->unacknowledged)
                return conn_set_phase(c, c->phase);
        count_slow(c);
        conn_kill(c);
}

void conn_kill(struct http_conn *c)
{
        if (c->phase == CONN_DEAD)
                return;
        c->stream = byte_stream_free(c->stream);
        c->server->n_conns--;
        c->server->n_guests -= c->is_guest;
        if (list_contains(&c->in_untrusted)) {
                list_remove(&c->in_untrusted);
                c->server->n_untrusted--;
        }
        conn_set_phase(c, CONN_DEAD);
        server_mark_ready(c);
}

void conn_free(struct http_conn *c)
{
        struct http_exchange *x = c->exchange;

        list_remove(&c->in_phase);
        list_remove(&c->in_ready);
        if (x && x->ops)
                x->ops->on_closed(x, x->closed_userdata);
        else if (x && x->on_closed)
                x->on_closed(x, x->closed_userdata);
        exchange_free(c->exchange);
        http_identity_done(&c->identity);
        byte_stream_free(c->stream);
        free(c->in);
        free(c);
}

ssize_t conn_flush(struct http_conn *c)
{
        ssize_t r;

        if (c->phase == CONN_DEAD)
                return -EPIPE;
        r = byte_stream_flush(c->stream);
        if (r < 0)
                conn_kill(c);
        return r;
}

void conn_finish_exchange(struct http_conn *c, bool keep_alive)
{
        c->exchange = exchange_free(c->exchange);
        if (c->phase == CONN_DEAD)
                return;
        c->keep_alive = keep_alive;
        conn_set_phase(c, CONN_ANSWER);
        if (conn_flush(c) >= 0 && !c->is_processing)
                server_mark_ready(c);
}

/* Forgets the first @n received bytes. An empty buffer is given back: most connections are idle. */
static void consume(struct http_conn *c, size_t n)
{
        c->in_len -= n;
        c->scanned = 0;
        if (c->in_len > 0) {
                memmove(c->in, c->in + n, c->in_len);
        } else {
                free(TAKE_PTR(c->in));
                c->in_cap = 0;
        }
}

/* Answers a request that no handler will see, and closes: where the next one starts is unknown. */
static bool refuse(struct http_conn *c, int status, const char *why)
{
        _cleanup_strbuf_ struct strbuf b = { 0 };

        c->server->counts.malformed++;
        log_debug("%s: refused a request from '%s' with %d: %s", c->server->options.name,
                  c->peer.address, status, why);
        strbuf_addf(&b,
                    "HTTP/1.1 %d %s\r\nContent-Type: text/plain; charset=utf-8\r\n"
                    "Content-Length: %zu\r\nConnection: close\r\n\r\n%s\n",
                    status, http_status_reason(status), strlen(why) + 1, why);
        if (b.failed || byte_stream_queue(c->stream, b.data, b.len) < 0) {
                conn_kill(c);
                return false;
        }
        conn_finish_exchange(c, false);
        return true;
}

static struct http_exchange *exchange_new(struct http_conn *c, const struct http_head *head)
{
        struct http_exchange *x = malloc(sizeof *x);

        if (x)
                *x = (struct http_exchange){ .conn = c, .head = *head };
        return x;
}

struct http_exchange *exchange_free(struct http_exchange *x)
{
        const struct http_server_options *o;

        if (!x)
                return NULL;
        o = &x->conn->server->options;
        if (x->handled_usec > 0 && o->on_finished)
                o->on_finished(x, now_monotonic() - x->handled_usec, o->userdata);
        http_head_done(&x->head);
        strbuf_done(&x->body);
        strbuf_done(&x->headers);
        free(x);
        return NULL;
}

static const char continue_answer[] = "HTTP/1.1 100 Continue\r\n\r\n";

/* The head is here: makes the exchange and starts on its body. */
static bool begin_exchange(struct http_conn *c, struct http_head *head, size_t head_len)
{
        struct http_exchange *x = exchange_new(c, head);

        if (!x) {
                http_head_done(head);
                conn_kill(c);
                return false;
        }
        c->exchange = x;
        consume(c, head_len);
        if (x->head.body == HTTP_BODY_LENGTH &&
            x->head.content_length > c->server->options.body_max)
                return refuse(c, 413, "the body is larger than this server takes");
        conn_set_phase(c, CONN_BODY);
        if (!x->head.expect_continue || c->in_len > 0)
                return true;
        if (byte_stream_queue(c->stream, continue_answer, strlen(continue_answer)) < 0) {
                conn_kill(c);
                return false;
        }
        return conn_flush(c) >= 0;
}

static bool step_head(struct http_conn *c)
{
        struct http_tls *tls = c->server->options.tls;
        struct http_head head;
        const char *why;
        size_t len;
        int r;

        r = http_head_scan(c->in, c->in_len, &c->scanned, &len);
        if (r == HTTP_PARSE_MORE)
                return false;
        if (r != 0)
                return refuse(c, r,
                              r == 431 ? "the headers are longer than 64 KiB"
                                       : "the request has a control character or a bare CR or LF");
        r = http_head_parse(c->in, len, &head, &why);
        if (r > 0)
                return refuse(c, r, why);
        /* Whom the CA of an older file vouched for has to come again. */
        if (r < 0 || (tls && http_tls_ca_generation(tls) != c->ca_generation)) {
                if (r == 0)
                        http_head_done(&head);
                conn_kill(c);
                return false;
        }
        return begin_exchange(c, &head, len);
}

/* Returns 0 when the body is whole, HTTP_PARSE_MORE, or the status to refuse with. */
static int take_body(struct http_conn *c, struct http_exchange *x)
{
        size_t room = c->server->options.body_max - x->body.len, used = 0, len;
        const char *data;
        int r = HTTP_PARSE_MORE;

        switch (x->head.body) {
        case HTTP_BODY_NONE:
                return 0;
        case HTTP_BODY_LENGTH:
                len = MIN(c->in_len, x->head.content_length - x->body.len);
                strbuf_add_n(&x->body, c->in, len);
                consume(c, len);
                return x->body.len == x->head.content_length ? 0 : HTTP_PARSE_MORE;
        case HTTP_BODY_CHUNKED:
                while (c->in_len > 0 && r == HTTP_PARSE_MORE) {
                        r = http_chunks_feed(&x->chunks, c->in, c->in_len, &used, &data, &len);
                        if (len > room)
                                return 413;
                        strbuf_add_n(&x->body, data, len);
                        room -= len;
                        consume(c, used);
                }
                return r;
        }
        return 400;
}

static bool step_body(struct http_conn *c)
{
        struct http_exchange *x = c->exchange;
        int r = take_body(c, x);

        if (x->body.failed) {
                conn_kill(c);
                return false;
        }
        if (r == HTTP_PARSE_MORE)
                return false;
        if (r != 0)
                return refuse(c, r,
                              r == 413 ? "the body is larger than this server takes"
                                       : "the chunks of the body are malformed");
        conn_set_phase(c, CONN_HANDLER);
        x->handled_usec = now_monotonic();
        c->server->options.handler(x, c->server->options.userdata);
        return true;
}

/* The answer has been taken: closes, or starts on the next request. */
static bool step_answered(struct http_conn *c)
{
        if (byte_stream_queued(c->stream) > 0)
                return false;
        if (c->keep_alive) {
                conn_set_phase(c, CONN_IDLE);
                return true;
        }
        /*
         * Closing at once with bytes unread would send a RST, which may overtake the answer. So
         * the peer gets a moment to read it and close.
         */
        consume(c, c->in_len);
        byte_stream_shutdown(c->stream);
        conn_set_phase(c, CONN_LINGER);
        return false;
}

static bool step(struct http_conn *c)
{
        switch (c->phase) {
        case CONN_IDLE:
                if (c->in_len == 0)
                        return false;
                conn_set_phase(c, CONN_HEAD);
                return true;
        case CONN_HEAD:
                return step_head(c);
        case CONN_BODY:
                return step_body(c);
        case CONN_ANSWER:
                return step_answered(c);
        case CONN_HANDSHAKE:
        case CONN_HANDLER:
        case CONN_STREAM:
        case CONN_LINGER:
        case CONN_DEAD:
        case _CONN_PHASE_MAX:
                break;
        }
        return false;
}

void conn_process(struct http_conn *c)
{
        if (c->is_processing)
                return;
        c->is_processing = true;
        while (step(c))
                ;
        c->is_processing = false;
}

/* Makes room for more received bytes. False: no memory, or more than any phase needs. */
static bool make_room(struct http_conn *c)
{
        size_t cap = c->in_cap == 0 ? IN_FIRST : c->in_cap * 2;
        char *grown;

        if (c->in_len < c->in_cap)
                return true;
        if (cap > HTTP_HEAD_MAX)
                return false;
        grown = realloc(c->in, cap);
        if (!grown)
                return false;
        c->in = grown;
        c->in_cap = cap;
        return true;
}

static void receive(struct http_conn *c)
{
        do {
                ssize_t n;

                if (!make_room(c)) {
                        conn_kill(c);
                        return;
                }
                n = byte_stream_read(c->stream, c->in + c->in_len, c->in_cap - c->in_len);
                if (n == -EAGAIN) {
                        if (c->in_len == 0)
                                consume(c, 0);
                        return;
                }
                if (n <= 0) {
                        conn_kill(c);
                        return;
                }
                c->in_len += (size_t)n;
                conn_process(c);
        } while (phase_reads(c->phase) && c->phase != CONN_LINGER &&
                 byte_stream_has_buffered(c->stream));
}

static void shake_hands(struct http_conn *c)
{
        int r = byte_stream_handshake(c->stream), on = 1;

        if (r == -EAGAIN)
                return;
        if (r == 0)
                r = http_tls_identity(byte_stream_ssl(c->stream), &c->identity);
        if (r < 0) {
                c->server->counts.failed_tls++;
                log_debug("%s: no TLS with '%s'", c->server->options.name, c->peer.address);
                conn_kill(c);
                return;
        }
        c->peer.certificate_cn = c->identity.cn;
        c->peer.certificate_orgs = (const char *const *)c->identity.orgs;
        /* A client under Nagle's rule sends its request only when its last message is acknowledged,
         * which would otherwise wait 40 ms for something of ours to travel with. */
        setsockopt(byte_stream_fd(c->stream), IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);
        conn_set_phase(c, CONN_HEAD);
        if (byte_stream_has_buffered(c->stream))
                receive(c);
}

static void discard(struct http_conn *c)
{
        int r = 1;

        for (int i = 0; i < DISCARDS_PER_EVENT && r > 0; i++)
                r = byte_stream_discard(c->stream);
        if (r <= 0 && r != -EAGAIN)
                conn_kill(c);
}

static void on_readable(struct byte_stream _unused_ *s, void *userdata)
{
        struct http_conn *c = userdata;

        if (c->phase == CONN_HANDSHAKE)
                shake_hands(c);
        else if (c->phase == CONN_LINGER)
                discard(c);
        else
                receive(c);
}

static void on_drained(struct byte_stream _unused_ *s, void *userdata)
{
        struct http_conn *c = userdata;

        if (c->phase != CONN_STREAM) {
                conn_process(c);
                return;
        }
        conn_set_phase(c, CONN_STREAM);
        if (c->exchange->ops->on_drained)
                c->exchange->ops->on_drained(c->exchange, c->exchange->closed_userdata);
}

static void on_progress(struct byte_stream _unused_ *s, void *userdata)
{
        struct http_conn *c = userdata;

        if (c->phase == CONN_STREAM || c->phase == CONN_ANSWER)
                conn_set_phase(c, c->phase); /* the deadline counts from now */
}

static void on_hangup(struct byte_stream _unused_ *s, bool is_broken, void *userdata)
{
        struct http_conn *c = userdata;

        /* Whoever shut down its sending side still gets the answer that is on its way. */
        if (is_broken || c->phase != CONN_ANSWER)
                conn_kill(c);
}

static const struct byte_stream_ops stream_ops = {
        .on_readable = on_readable,
        .on_drained = on_drained,
        .on_progress = on_progress,
        .on_hangup = on_hangup,
};

int conn_new(struct http_server *s, int fd, const struct http_peer *peer, struct http_conn **ret)
{
        struct http_tls *tls = s->options.tls;
        struct http_conn *c = malloc(sizeof *c);
        struct ssl_st *ssl = c && tls ? http_tls_session(tls) : NULL;
        int r;

        if (!c || (tls && !ssl)) {
                safe_close(fd);
                free(c);
                return -ENOMEM;
        }
        *c = (struct http_conn){ .server = s, .peer = *peer };
        /* a user's processes are one address */
        c->address_hash = peer->is_unix ? fnv1a(&peer->uid, sizeof peer->uid, FNV1A_SEED)
                                        : fnv1a(peer->address, strlen(peer->address), FNV1A_SEED);
        c->is_guest = http_peer_is_guest(peer);
        c->ca_generation = tls ? http_tls_ca_generation(tls) : 0;
        r = byte_stream_new(s->event, fd, ssl, &stream_ops, c, &c->stream);
        if (r < 0) {
                free(c);
                return r;
        }
        s->n_conns++;
        s->n_guests += c->is_guest;
        list_append(&s->untrusted, &c->in_untrusted);
        s->n_untrusted++;
        conn_set_phase(c, tls ? CONN_HANDSHAKE : CONN_HEAD);
        *ret = c;
        return 0;
}
