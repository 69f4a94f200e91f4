#include "kubelet/port-forward.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/byte-stream.h"
#include "base/fs.h"
#include "base/list.h"
#include "base/log.h"
#include "base/spdy.h"
#include "base/text.h"
#include "base/websocket.h"
#include "kubelet/remote.h"

#define PROTOCOL       "portforward.k8s.io"
#define WS_PROTOCOL    "v4.channel.k8s.io"
#define PAIR_USEC      (30 * USEC_PER_SEC)
#define REQUEST_ID_MAX 64
enum {
        SESSIONS_MAX = 256, /* of the node; whoever is beyond gets 429 */
        PAIRS_MAX = 2048,   /* connections of all of them: each is a descriptor */
        CHUNK_MAX = 32 * 1024,
        READ_MAX = 64 * 1024,
        BACKLOG_MAX = 256 * 1024,
        PORTS_MAX = 32,    /* of one WebSocket */
        FIRST_CHANNEL = 2, /* of a WebSocket: the stream that channel 0 is, since 0 is none */
};

struct pair { /* one forwarded connection */
        struct list_node node;
        struct session *session;
        char request_id[REQUEST_ID_MAX];
        uint32_t error, data; /* streams; 0: not there yet */
        uint16_t port;
        usec_t since;
        struct runtime_op *dial; /* owned */
        int fd;                  /* owned; -1: not connected */
        sd_event_source *io;     /* owned */
        struct strbuf pending;   /* for the pod */
        bool client_ended;       /* it sends no more */
        bool pod_ended;
};

struct session { /* one kubectl */
        struct list_node node;
        struct port_forwards *forwards;
        char *sandbox_id, *what;    /* owned */
        struct byte_stream *stream; /* owned */
        struct spdy *spdy;          /* owned; NULL: it is a WebSocket */
        struct websocket *ws;   /* owned; of browsers: channels 2n and 2n+1 are the nth port's */
        int channel;            /* of the message under way; -1: it is passed over */
        bool is_closed;         /* the client of a WebSocket has said good-bye */
        sd_event_source *timer; /* owned; idle, and looks for pairs that stay alone */
        usec_t active_at;
        struct list pairs;
        bool is_broken;  /* out of memory in a callback of spdy */
        bool is_stalled; /* the client does not take what the pods send */
};

struct port_forwards {
        sd_event *event;    /* borrowed */
        struct runtime *rt; /* borrowed */
        usec_t idle_usec;
        struct list sessions;
        size_t n_pairs;
        struct remote_counts counts;
};

/* ---- ends ---- */

static void pair_free(struct pair *p)
{
        list_remove(&p->node);
        p->session->forwards->n_pairs--;
        runtime_op_abandon(p->dial);
        sd_event_source_disable_unref(p->io);
        safe_close(p->fd);
        strbuf_done(&p->pending);
        free(p);
}

static void session_free(struct session *s)
{
        struct pair *p, *next;

        list_remove(&s->node);
        s->forwards->counts.open--;
        LIST_FOREACH_SAFE (p, next, &s->pairs, node)
                pair_free(p);
        spdy_free(s->spdy);
        websocket_free(s->ws);
        byte_stream_free(s->stream);
        sd_event_source_disable_unref(s->timer);
        free(s->sandbox_id);
        free(s->what);
        free(s);
}

/* ---- streams, of either kind ---- */

static int stream_send(struct session *s, uint32_t stream, const void *data, size_t n)
{
        const uint8_t channel = (uint8_t)(stream - FIRST_CHANNEL);

        if (s->spdy)
                return spdy_send(s->spdy, stream, data, n);
        websocket_send(s->ws, false, &channel, 1, data, n);
        return 0;
}

/* A WebSocket's channels end with it. */
static void stream_end(struct session *s, uint32_t stream)
{
        if (s->spdy)
                spdy_end(s->spdy, stream);
}

static void stream_reset(struct session *s, uint32_t stream)
{
        if (s->spdy)
                spdy_reset(s->spdy, stream);
}

static void forget(struct pair *p)
{
        struct session *s = p->session;

        pair_free(p);
        if (s->ws && list_is_empty(&s->pairs))
                websocket_close(s->ws, WEBSOCKET_NORMAL);
}

/* Both ways are over: the streams end in order. */
static void pair_close(struct pair *p)
{
        stream_end(p->session, p->data);
        stream_end(p->session, p->error);
        forget(p);
}

/* The client learns why on the error stream; kubectl prints it. */
static void pair_fail(struct pair *p, const char *why)
{
        struct session *s = p->session;
        _cleanup_free_ char *text = text_printf("error forwarding port %u to %s: %s", p->port,
                                                s->what, why);

        log_info("%s", text ? text : why);
        if (text && p->error)
                (void)stream_send(s, p->error, text, strlen(text));
        stream_end(s, p->error);
        stream_reset(s, p->data);
        forget(p);
}

/* ---- between the two ---- */

static size_t backlog_of(const struct session *s)
{
        const struct pair *p;
        size_t most = 0;

        LIST_FOREACH (p, &s->pairs, node)
                most = MAX(most, p->pending.len);
        return most;
}

static void set_events(struct pair *p)
{
        bool waits = p->pending.len > 0;

        if (p->io)
                (void)sd_event_source_set_io_events(p->io,
                                                    (waits ? EPOLLOUT : 0U) |
                                                            (p->pod_ended || p->session->is_stalled
                                                                     ? 0U
                                                                     : (uint32_t)EPOLLIN));
}

static void update_reading(struct session *s)
{
        byte_stream_want_read(s->stream, backlog_of(s) < BACKLOG_MAX);
}

/* Writes what waits for the pod. Negative: the connection broke. */
static int flush_pending(struct pair *p)
{
        return socket_send_pending(p->fd, &p->pending, p->client_ended);
}

static bool is_over(const struct pair *p)
{
        return p->pod_ended && p->client_ended && p->pending.len == 0;
}

/* What the pod sent, one piece of it. Negative: the connection broke. */
static int pass_on(struct pair *p)
{
        static char chunk[CHUNK_MAX];
        struct session *s = p->session;
        ssize_t n = recv(p->fd, chunk, sizeof chunk, 0);

        if (n < 0)
                return errno == EAGAIN || errno == EINTR ? 0 : -errno;
        if (n == 0) {
                p->pod_ended = true;
                p->client_ended |= s->ws != NULL; /* it has no way to end one side alone */
                stream_end(s, p->data);
        } else if (stream_send(s, p->data, chunk, (size_t)n) < 0) {
                return -EPIPE; /* the client has reset it */
        }
        s->active_at = now_monotonic();
        return 0;
}

static void check_stall(struct session *s)
{
        struct pair *p;
        bool stalled = byte_stream_queued(s->stream) > BACKLOG_MAX;

        if (stalled == s->is_stalled)
                return;
        s->is_stalled = stalled;
        LIST_FOREACH (p, &s->pairs, node)
                set_events(p);
}

static int on_pod(_unused_ sd_event_source *source, _unused_ int fd, uint32_t revents,
                  void *userdata)
{
        struct pair *p = userdata;
        struct session *s = p->session;
        int r = flush_pending(p);

        if (r == 0 && revents & (EPOLLIN | EPOLLHUP | EPOLLERR) && !p->pod_ended)
                r = pass_on(p);
        if (r < 0)
                pair_fail(p, strerror(-r));
        else if (is_over(p) || (p->pod_ended && revents & (EPOLLHUP | EPOLLERR)))
                pair_close(p);
        else
                set_events(p);
        byte_stream_flush(s->stream);
        check_stall(s);
        update_reading(s);
        return 0;
}

static void on_dialled(int r, int fd, const struct err *err, void *userdata)
{
        struct pair *p = userdata;
        struct session *s = p->session;

        p->dial = NULL;
        if (r < 0) {
                pair_fail(p, err_text(err));
        } else {
                p->fd = fd;
                r = sd_event_add_io(s->forwards->event, &p->io, fd, EPOLLIN, on_pod, p);
                if (r >= 0)
                        r = flush_pending(p);
                if (r < 0)
                        pair_fail(p, strerror(-r));
                else
                        set_events(p);
        }
        byte_stream_flush(s->stream);
        update_reading(s);
}

/* ---- the client's streams ---- */

static struct pair *find_stream(const struct session *s, uint32_t stream)
{
        struct pair *p;

        LIST_FOREACH (p, &s->pairs, node)
                if (p->data == stream || p->error == stream)
                        return p;
        return NULL;
}

static struct pair *find_request(struct session *s, const char *id)
{
        struct pair *p;

        LIST_FOREACH (p, &s->pairs, node)
                if (streq(p->request_id, id))
                        return p;
        p = s->forwards->n_pairs < PAIRS_MAX ? calloc(1, sizeof *p) : NULL;
        if (!p) { /* its stream is refused */
                s->forwards->counts.refused++;
                return NULL;
        }
        s->forwards->n_pairs++;
        p->session = s;
        p->fd = -1;
        p->since = now_monotonic();
        snprintf(p->request_id, sizeof p->request_id, "%s", id);
        list_append(&s->pairs, &p->node);
        return p;
}

static void on_output(const void *data, size_t n, void *userdata)
{
        struct session *s = userdata;

        if (byte_stream_queue(s->stream, data, n) < 0)
                s->is_broken = true;
}

static bool on_open(uint32_t stream, const struct spdy_headers *headers, bool is_ended,
                    void *userdata)
{
        struct session *s = userdata;
        const char *type = spdy_header(headers, "streamtype"), *port = spdy_header(headers, "port");
        const char *id = spdy_header(headers, "requestid");
        bool is_data = type && streq(type, "data");
        char made_up[REQUEST_ID_MAX];
        _cleanup_err_ struct err err = { 0 };
        uint16_t number;
        struct pair *p;

        if (!type || (!is_data && !streq(type, "error")) || !port ||
            text_to_u16(port, &number) < 0 || number == 0 || (id && strlen(id) >= REQUEST_ID_MAX))
                return false;
        if (!id || !*id) { /* an old client: its error stream is followed by the data stream */
                snprintf(made_up, sizeof made_up, "stream %u", is_data ? stream - 2 : stream);
                id = made_up;
        }
        p = find_request(s, id);
        if (!p || (is_data ? p->data : p->error))
                return false;
        *(is_data ? &p->data : &p->error) = stream;
        p->port = number;
        if (is_data)
                p->client_ended = is_ended;
        if (p->data && p->error &&
            sandbox_dial(s->forwards->rt, s->sandbox_id, number, on_dialled, p, &p->dial, &err) < 0)
                pair_fail(p, err_text(&err));
        return true;
}

static void on_data(uint32_t stream, const void *data, size_t n, void *userdata)
{
        struct session *s = userdata;
        struct pair *p = find_stream(s, stream);

        if (!p || p->data != stream)
                return;
        strbuf_add_n(&p->pending, data, n);
        s->is_broken |= p->pending.failed;
        if (p->fd >= 0 && flush_pending(p) < 0)
                pair_fail(p, "the connection in the pod broke");
        else
                set_events(p);
}

static void on_end(uint32_t stream, void *userdata)
{
        struct pair *p = find_stream(userdata, stream);

        if (!p || p->data != stream) /* kubectl ends the error stream at once */
                return;
        p->client_ended = true;
        if (p->fd >= 0 && flush_pending(p) < 0)
                pair_fail(p, "the connection in the pod broke");
        else if (is_over(p))
                pair_close(p);
}

static void on_reset(uint32_t stream, void *userdata)
{
        struct session *s = userdata;
        struct pair *p = find_stream(s, stream);

        if (!p)
                return;
        spdy_reset(s->spdy, p->data == stream ? p->error : p->data);
        pair_free(p);
}

/* ---- the client's connection ---- */

static void leave(struct session *s, const char *why)
{
        s->forwards->counts.broken += why != NULL;
        if (why)
                log_info("Port-forward to %s ends: %s", s->what, why);
        session_free(s);
}

static void on_readable(struct byte_stream *stream, void *userdata)
{
        static char chunk[READ_MAX];
        _cleanup_err_ struct err err = { 0 };
        struct session *s = userdata;
        ssize_t n = byte_stream_read(stream, chunk, sizeof chunk);
        int r;

        if (n == -EAGAIN)
                return;
        if (n <= 0) {
                leave(s, n < 0 ? "the connection broke" : NULL);
                return;
        }
        s->active_at = now_monotonic();
        r = s->spdy ? spdy_feed(s->spdy, chunk, (size_t)n, &err)
                    : websocket_feed(s->ws, chunk, (size_t)n, &err);
        byte_stream_flush(stream);
        if (r < 0) {
                leave(s, err_text(&err));
        } else if (s->is_broken) {
                leave(s, "out of memory");
        } else if (s->is_closed) {
                leave(s, NULL);
        } else {
                check_stall(s);
                update_reading(s);
        }
}

static void on_drained(_unused_ struct byte_stream *stream, void *userdata)
{
        check_stall(userdata);
}

static void on_hangup(_unused_ struct byte_stream *stream, _unused_ bool is_broken, void *userdata)
{
        leave(userdata, NULL);
}

static int on_timer(sd_event_source *source, _unused_ uint64_t usec, void *userdata)
{
        struct session *s = userdata;
        usec_t now = now_monotonic();
        struct pair *p, *next;

        if (list_is_empty(&s->pairs) && now > s->active_at + s->forwards->idle_usec) {
                leave(s, "it was idle for too long");
                return 0;
        }
        LIST_FOREACH_SAFE (p, next, &s->pairs, node)
                if ((!p->data || !p->error) && now > p->since + PAIR_USEC)
                        pair_fail(p, "timed out waiting for streams");
        byte_stream_flush(s->stream);
        sd_event_source_set_time(source, now + PAIR_USEC);
        sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
        return 0;
}

/* ---- opening ---- */

/* False: answered. */
static bool negotiate(struct http_exchange *x)
{
        const char *protocol = http_exchange_upgrade_protocol(x);
        const char *versions[16];
        size_t n = http_exchange_header_all(x, "X-Stream-Protocol-Version", versions,
                                            ARRAY_SIZE(versions));

        if (!protocol || strcasecmp(protocol, "SPDY/3.1") != 0) {
                http_answer_text(
                        x, 400,
                        "unable to upgrade: Upgrade: expected SPDY/3.1 or websocket, not '%s'",
                        protocol ? protocol : "");
                return false;
        }
        for (size_t i = 0; i < MIN(n, ARRAY_SIZE(versions)); i++) {
                _cleanup_strv_ char **offered = NULL;

                if (strv_split(versions[i], ", ", &offered) < 0 ||
                    !strv_contains(offered, PROTOCOL))
                        continue;
                if (http_exchange_add_header(x, "X-Stream-Protocol-Version", PROTOCOL) == 0)
                        return true;
                http_answer_text(x, 500, "out of memory");
                return false;
        }
        (void)http_exchange_add_header(x, "X-Accepted-Stream-Protocol-Versions", PROTOCOL);
        http_answer_text(x, n ? 403 : 400,
                         "unable to upgrade: X-Stream-Protocol-Version: expected " PROTOCOL);
        return false;
}

/* ---- WebSockets ---- */

static void on_message(const void *data, size_t n, bool begins, _unused_ bool ends, void *userdata)
{
        struct session *s = userdata;
        const uint8_t *bytes = data;

        if (begins)
                s->channel = -1;
        if (begins && n > 0) {
                s->channel = *bytes++;
                n--;
        }
        if (s->channel >= 0 && n > 0)
                on_data((uint32_t)s->channel + FIRST_CHANNEL, bytes, n, s);
}

static void on_websocket_close(void *userdata)
{
        struct session *s = userdata;

        s->is_closed = true;
}

/* "port=1,2" or "port=1&port=2". Their number; 0: none, or one that is no port. */
static size_t read_ports(const struct http_exchange *x, uint16_t ports[static PORTS_MAX])
{
        const char *values[PORTS_MAX];
        size_t n = http_exchange_query_all(x, "port", values, PORTS_MAX), n_ports = 0;

        for (size_t i = 0; i < MIN(n, (size_t)PORTS_MAX); i++) {
                _cleanup_strv_ char **numbers = NULL;

                if (strv_split(values[i], ",", &numbers) < 0)
                        return 0;
                STRV_FOREACH (number, numbers)
                        if (n_ports == PORTS_MAX || text_to_u16(*number, &ports[n_ports]) < 0 ||
                            ports[n_ports++] == 0)
                                return 0;
        }
        return n > PORTS_MAX ? 0 : n_ports;
}

/* False: answered. */
static bool negotiate_websocket(struct http_exchange *x)
{
        const char *line = http_exchange_header(x, "Sec-WebSocket-Protocol");
        const char *version = http_exchange_header(x, "Sec-WebSocket-Version");
        const char *key = http_exchange_header(x, "Sec-WebSocket-Key");
        char accept[WEBSOCKET_ACCEPT_SIZE];
        _cleanup_strv_ char **offered = NULL;

        if (!version || !streq(version, "13") || !key || !websocket_accept(key, accept)) {
                http_answer_text(x, 400, "Sec-WebSocket-Version: expected 13, and a key");
        } else if (!line || strv_split(line, ", ", &offered) < 0 ||
                   !strv_contains(offered, WS_PROTOCOL)) {
                http_answer_text(x, 403, "Sec-WebSocket-Protocol: expected " WS_PROTOCOL);
        } else if (http_exchange_add_header(x, "Sec-WebSocket-Accept", accept) < 0 ||
                   http_exchange_add_header(x, "Sec-WebSocket-Protocol", WS_PROTOCOL) < 0) {
                http_answer_text(x, 500, "out of memory");
        } else {
                return true;
        }
        return false;
}

/* Each channel begins with its port, and each port is connected at once. */
static void open_ports(struct session *s, const uint16_t *ports, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                const uint8_t number[] = { (uint8_t)ports[i], (uint8_t)(ports[i] >> 8) };
                char id[REQUEST_ID_MAX];
                _cleanup_err_ struct err err = { 0 };
                struct pair *p;

                snprintf(id, sizeof id, "channel %zu", 2 * i);
                p = find_request(s, id);
                if (!p)
                        continue;
                p->data = (uint32_t)(2 * i) + FIRST_CHANNEL;
                p->error = p->data + 1;
                p->port = ports[i];
                (void)stream_send(s, p->data, number, sizeof number);
                (void)stream_send(s, p->error, number, sizeof number);
                if (sandbox_dial(s->forwards->rt, s->sandbox_id, ports[i], on_dialled, p, &p->dial,
                                 &err) < 0)
                        pair_fail(p, err_text(&err));
        }
}

static struct session *session_new(struct port_forwards *f, const char *sandbox_id,
                                   const char *what, bool is_websocket)
{
        static const struct spdy_ops ops = { on_output, on_open, on_data, on_end, on_reset };
        static const struct websocket_ops ws_ops = { on_output, on_message, on_websocket_close };
        struct session *s = calloc(1, sizeof *s);

        if (!s)
                return NULL;
        s->forwards = f;
        s->channel = -1;
        s->active_at = now_monotonic();
        list_init(&s->pairs);
        list_append(&f->sessions, &s->node);
        f->counts.open++;
        f->counts.started++;
        s->sandbox_id = strdup(sandbox_id);
        s->what = strdup(what);
        if (is_websocket)
                s->ws = websocket_new(&ws_ops, s);
        else
                s->spdy = spdy_new(&ops, s);
        if (!s->sandbox_id || !s->what || (!s->spdy && !s->ws) ||
            sd_event_add_time(f->event, &s->timer, CLOCK_MONOTONIC, s->active_at + PAIR_USEC,
                              USEC_PER_SEC, on_timer, s) < 0) {
                session_free(s);
                return NULL;
        }
        return s;
}

void port_forwards_read_counts(const struct port_forwards *f, struct remote_counts *ret)
{
        *ret = f->counts;
}

void port_forwards_handle(struct port_forwards *f, struct http_exchange *x, const char *sandbox_id,
                          const char *what)
{
        static const struct byte_stream_ops ops = { .on_readable = on_readable,
                                                    .on_drained = on_drained,
                                                    .on_hangup = on_hangup };
        const char *protocol = http_exchange_upgrade_protocol(x);
        bool is_websocket = protocol && strcasecmp(protocol, "websocket") == 0;
        uint16_t ports[PORTS_MAX];
        size_t n_ports = is_websocket ? read_ports(x, ports) : 0;
        struct session *s;

        if (f->counts.open >= SESSIONS_MAX) {
                f->counts.refused++;
                http_answer_text(x, 429, "%d port-forwards run already", SESSIONS_MAX);
                return;
        }
        if (is_websocket && n_ports == 0) {
                http_answer_text(x, 400, "port: expected 1 to %d numbers from 1 to 65535",
                                 PORTS_MAX);
                return;
        }
        if (is_websocket ? !negotiate_websocket(x) : !negotiate(x))
                return;
        s = session_new(f, sandbox_id, what, is_websocket);
        if (!s ||
            http_exchange_upgrade(x, is_websocket ? "websocket" : "SPDY/3.1", &s->stream) < 0) {
                if (s)
                        session_free(s);
                http_answer_text(x, 500, "out of memory");
                return;
        }
        byte_stream_set_ops(s->stream, &ops, s);
        byte_stream_want_read(s->stream, true);
        open_ports(s, ports, n_ports);
        byte_stream_flush(s->stream);
}

int port_forwards_new(sd_event *event, struct runtime *rt, usec_t idle_usec,
                      struct port_forwards **ret)
{
        struct port_forwards *f = calloc(1, sizeof *f);

        if (!f)
                return -ENOMEM;
        *f = (struct port_forwards){ .event = event, .rt = rt, .idle_usec = idle_usec };
        list_init(&f->sessions);
        *ret = f;
        return 0;
}

struct port_forwards *port_forwards_free(struct port_forwards *f)
{
        struct session *s, *next;

        if (!f)
                return NULL;
        LIST_FOREACH_SAFE (s, next, &f->sessions, node)
                session_free(s);
        free(f);
        return NULL;
}
