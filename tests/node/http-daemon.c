/*
 * A daemon around base/http-server for tests/node/test-http-server.py: listens where it is told,
 * prints "ready" with its TCP port, and answers a few routes. Ends at SIGTERM.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/byte-stream.h"
#include "base/http-server.h"
#include "base/log.h"
#include "base/text.h"

enum { CHUNK = 16 * 1024, STREAM_HIGH = 256 * 1024 };

struct state {
        sd_event *event;
        size_t n_open; /* streams and late answers that were neither finished nor closed */
        size_t n_peak; /* most bytes that ever waited in one stream */
};

struct flow {
        struct state *state;
        uint64_t left;
        sd_event_source *timer;
        struct http_exchange *exchange;
};

static void flow_free(struct flow *f)
{
        f->state->n_open--;
        sd_event_source_disable_unref(f->timer);
        free(f);
}

static struct flow *flow_new(struct state *s, struct http_exchange *x)
{
        struct flow *f = calloc(1, sizeof *f);

        if (!f)
                return NULL;
        s->n_open++;
        f->state = s;
        f->exchange = x;
        return f;
}

static void on_closed(struct http_exchange _unused_ *x, void *userdata)
{
        flow_free(userdata);
}

static void pump(struct http_exchange *x, void *userdata)
{
        static char data[CHUNK];
        struct flow *f = userdata;

        memset(data, 'x', sizeof data);
        while (f->left > 0) {
                size_t n = MIN(f->left, sizeof data);
                ssize_t waiting = http_stream_write(x, data, n);

                if (waiting < 0)
                        return;
                f->left -= n;
                f->state->n_peak = MAX(f->state->n_peak, (size_t)waiting);
                if (waiting > STREAM_HIGH)
                        return;
        }
        flow_free(f);
        http_stream_end(x);
}

static const struct http_stream_ops pump_ops = { .on_drained = pump, .on_closed = on_closed };
static const struct http_stream_ops follow_ops = { .on_closed = on_closed };

static void stream(struct state *s, struct http_exchange *x, bool follow)
{
        const char *bytes = http_exchange_query(x, "n");
        struct flow *f = flow_new(s, x);

        if (f)
                text_to_u64(bytes ? bytes : "0", &f->left);
        if (!f ||
            http_stream_begin(x, 200, "text/plain", follow ? &follow_ops : &pump_ops, f) < 0) {
                if (f)
                        flow_free(f);
                http_answer_text(x, 500, "out of memory");
        } else if (!follow)
                pump(x, f);
}

static int on_late(sd_event_source _unused_ *source, uint64_t _unused_ usec, void *userdata)
{
        struct flow *f = userdata;
        struct http_exchange *x = f->exchange;

        flow_free(f);
        http_answer_text(x, 200, "late");
        return 0;
}

static void answer_late(struct state *s, struct http_exchange *x)
{
        const char *msec = http_exchange_query(x, "ms");
        struct flow *f = flow_new(s, x);
        uint64_t delay = 100;

        if (msec)
                text_to_u64(msec, &delay);
        if (!f ||
            sd_event_add_time_relative(s->event, &f->timer, CLOCK_MONOTONIC, delay * USEC_PER_MSEC,
                                       ACCURACY_USEC, on_late, f) < 0) {
                if (f)
                        flow_free(f);
                http_answer_text(x, 500, "out of memory");
                return;
        }
        http_exchange_on_closed(x, on_closed, f);
}

static void echo_readable(struct byte_stream *s, void _unused_ *userdata)
{
        char buf[4096];
        ssize_t n = byte_stream_read(s, buf, sizeof buf);

        if (n == -EAGAIN)
                return;
        if (n <= 0 || byte_stream_queue(s, buf, (size_t)n) < 0 || byte_stream_flush(s) < 0)
                byte_stream_free(s);
}

static void echo_drained(struct byte_stream _unused_ *s, void _unused_ *userdata)
{
}

static void echo_hangup(struct byte_stream *s, bool _unused_ is_broken, void _unused_ *userdata)
{
        byte_stream_free(s);
}

static const struct byte_stream_ops echo_ops = {
        .on_readable = echo_readable,
        .on_drained = echo_drained,
        .on_hangup = echo_hangup,
};

static void upgrade(struct http_exchange *x)
{
        struct byte_stream *s;

        if (http_exchange_upgrade(x, "echo", &s) < 0) {
                http_answer_text(x, 400, "not an upgrade");
                return;
        }
        byte_stream_set_ops(s, &echo_ops, NULL);
        byte_stream_want_read(s, true);
}

static void answer_big(struct http_exchange *x)
{
        const char *bytes = http_exchange_query(x, "n");
        _cleanup_free_ char *data = NULL;
        uint64_t n;

        if (!bytes || text_to_u64(bytes, &n) < 0 || n > 64 << 20)
                n = 0;
        data = malloc(n + 1);
        if (!data)
                n = 0;
        else
                memset(data, 'b', n);
        http_answer(x, 200, "text/plain", data, n);
}

static void answer_who(struct http_exchange *x)
{
        const struct http_peer *p = http_exchange_peer(x);
        _cleanup_free_ char *orgs = strv_join((char *const *)p->certificate_orgs, ",");

        if (p->is_unix)
                http_answer_text(x, 200, "unix uid=%u gid=%u pid=%d", p->uid, p->gid, (int)p->pid);
        else
                http_answer_text(x, 200, "cn=%s orgs=%s",
                                 p->certificate_cn ? p->certificate_cn : "-", orgs ? orgs : "");
}

static void answer_stats(struct state *s, struct http_exchange *x)
{
        struct mallinfo2 m = mallinfo2();

        http_answer_json(x, 200,
                         json_pack("{s:I, s:I, s:I}", "open", (json_int_t)s->n_open, "peak",
                                   (json_int_t)s->n_peak, "heap", (json_int_t)m.uordblks));
}

static void on_request(struct http_exchange *x, void *userdata)
{
        const char *path = http_exchange_path(x), *body;
        size_t n;

        if (http_exchange_query(x, "trust"))
                http_exchange_trust(x);
        if (streq(path, "/echo")) {
                body = http_exchange_body(x, &n);
                http_answer(x, 200, "application/octet-stream", body, n);
        } else if (streq(path, "/big")) {
                answer_big(x);
        } else if (streq(path, "/stream") || streq(path, "/follow")) {
                stream(userdata, x, streq(path, "/follow"));
        } else if (streq(path, "/late")) {
                answer_late(userdata, x);
        } else if (streq(path, "/upgrade")) {
                upgrade(x);
        } else if (streq(path, "/who")) {
                answer_who(x);
        } else if (streq(path, "/stats")) {
                answer_stats(userdata, x);
        } else {
                http_answer_text(x, streq(path, "/ok") ? 200 : 404, "%s", path);
        }
}

static uint16_t port_of(int fd)
{
        struct sockaddr_in a;
        socklen_t len = sizeof a;

        return getsockname(fd, (struct sockaddr *)&a, &len) < 0 ? 0 : ntohs(a.sin_port);
}

static int fail(const struct err *err)
{
        fprintf(stderr, "http-daemon: %s\n", err_text(err));
        return 1;
}

/* tcp CERT KEY CA | tcp - - - | unix PATH; then head, idle and answer deadlines in ms, max,
 * untrusted */
int main(int argc, char **argv)
{
        _cleanup_(http_server_freep)
        struct http_server *server = NULL;
        _cleanup_(http_tls_freep)
        struct http_tls *tls = NULL;
        struct http_server_options options = { .name = "test", .handler = on_request };
        _cleanup_err_ struct err err = { 0 };
        struct state state = { 0 };
        uint64_t numbers[5] = { 0 };
        bool is_unix = argc > 2 && streq(argv[1], "unix");
        sigset_t set;
        int at = is_unix ? 3 : 5, fd;

        if (argc < at)
                return 2;
        for (int i = 0; i < 5 && at + i < argc; i++)
                text_to_u64(argv[at + i], &numbers[i]);
        log_open("http-daemon", LOG_DEBUG);
        sigemptyset(&set);
        sigaddset(&set, SIGTERM);
        sigprocmask(SIG_BLOCK, &set, NULL);
        sd_event_new(&state.event);
        sd_event_add_signal(state.event, NULL, SIGTERM, NULL, NULL);
        if (!is_unix && !streq(argv[2], "-") &&
            http_tls_new(argv[2], argv[3], streq(argv[4], "-") ? NULL : argv[4], &tls, &err) < 0)
                return fail(&err);
        options.tls = tls;
        options.userdata = &state;
        options.handshake_usec = options.head_usec = options.body_usec = numbers[0] * USEC_PER_MSEC;
        options.idle_usec = numbers[1] * USEC_PER_MSEC;
        options.answer_usec = numbers[2] * USEC_PER_MSEC;
        options.max_connections = numbers[3];
        options.max_untrusted = numbers[4];
        fd = is_unix ? http_listen_unix(argv[2], 0660, 0, &err)
                     : http_listen_tcp("127.0.0.1", 0, &err);
        if (fd < 0 || http_server_new(state.event, &options, &server, &err) < 0 ||
            http_server_add_listener(server, fd) < 0)
                return fail(&err);
        printf("ready %u\n", is_unix ? 0 : port_of(fd));
        fflush(stdout);
        sd_event_loop(state.event);
        server = http_server_free(server);
        sd_event_unref(state.event);
        return state.n_open == 0 ? 0 : 3;
}
