/*
 * A whole connection of the HTTP server: the input is cut into pieces that arrive one after the
 * other; the path's second letter says how the handler answers. What must hold is that nothing
 * crashes, and that every exchange ends exactly once.
 */
#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include "base/http-conn.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static sd_event *event;
static struct http_server *server;
static struct http_exchange *kept; /* a late answer or a stream */
static struct byte_stream *upgraded;

static void on_closed(struct http_exchange *x, void _unused_ *userdata)
{
        assert(x == kept);
        kept = NULL;
}

static const struct http_stream_ops stream_ops = { .on_closed = on_closed };

static void on_request(struct http_exchange *x, void _unused_ *userdata)
{
        size_t n;

        assert(!kept);
        switch (http_exchange_path(x)[1]) {
        case 's':
                if (http_stream_begin(x, 200, "text/plain", &stream_ops, NULL) == 0)
                        kept = x;
                assert(kept);
                http_stream_write(kept, "chunk", 5);
                break;
        case 'l':
                kept = x;
                http_exchange_on_closed(x, on_closed, NULL);
                break;
        case 'a':
                if (http_stream_begin(x, 200, "text/plain", &stream_ops, NULL) == 0)
                        http_stream_abort(x);
                break;
        case 'u':
                if (!upgraded && http_exchange_upgrade(x, "x", &upgraded) == 0)
                        break;
                http_answer_text(x, 400, "no upgrade");
                break;
        default:
                http_answer(x, 200, "text/plain", http_exchange_body(x, &n), n);
        }
}

static void spin(void)
{
        for (int i = 0; i < 64 && sd_event_run(event, 0) > 0; i++)
                ;
}

/* The handler of a late answer or stream does its part. */
static void finish_kept(void)
{
        struct http_exchange *x = TAKE_PTR(kept);

        if (!x)
                return;
        if (x->is_streaming)
                http_stream_end(x);
        else
                http_answer_text(x, 200, "late");
}

static void set_up(void)
{
        struct http_server_options options = { .name = "fuzz",
                                               .handler = on_request,
                                               .body_max = 4096 };

        if (server)
                return;
        assert(sd_event_new(&event) >= 0);
        assert(http_server_new(event, &options, &server, NULL) >= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
        struct http_peer peer = { .is_unix = true };
        struct http_conn *c;
        int fds[2];
        char sink[4096];

        set_up();
        if (n < 2 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) < 0)
                return 0;
        assert(conn_new(server, fds[0], &peer, &c) == 0);
        for (size_t at = 2; at < n;) {
                size_t piece = MIN(n - at, (size_t)bytes[0] + 1);

                if (send(fds[1], bytes + at, piece, MSG_NOSIGNAL) < 0)
                        break;
                at += piece;
                spin();
                if (bytes[1] & 1)
                        finish_kept();
                while (recv(fds[1], sink, sizeof sink, 0) > 0)
                        ;
        }
        if (bytes[1] & 2)
                shutdown(fds[1], SHUT_WR);
        spin();
        if (bytes[1] & 4)
                finish_kept();
        close(fds[1]);
        spin();
        upgraded = byte_stream_free(upgraded);
        spin();
        assert(!kept);
        assert(server->n_conns == 0);
        return 0;
}
