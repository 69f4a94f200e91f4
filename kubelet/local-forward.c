#include "kubelet/local-forward.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/byte-stream.h"
#include "base/fs.h"
#include "base/list.h"
#include "base/text.h"
#include "kubelet/pod-observe.h"

#define PROTOCOL "skiff-stream"
enum {
        FORWARDS_MAX = 1024, /* of the node: each is two descriptors */
        CHUNK_MAX = 64 * 1024,
        BACKLOG_MAX = 256 * 1024, /* either way; then the one that writes waits */
};

struct forward {
        struct list_node node;
        struct local_forwards *owner;
        struct http_exchange *x;    /* until the pod has answered */
        struct runtime_op *dial;    /* owned */
        struct byte_stream *stream; /* owned; the client */
        int fd;                     /* owned; the pod */
        sd_event_source *io;        /* owned */
        struct strbuf pending;      /* for the pod */
        bool client_ended, pod_ended;
        bool is_told; /* the client, that the pod sends no more */
};

struct local_forwards {
        const struct context *ctx; /* borrowed */
        struct list forwards;
        size_t n;
};

static void forward_free(struct forward *f)
{
        list_remove(&f->node);
        f->owner->n--;
        runtime_op_abandon(f->dial);
        sd_event_source_disable_unref(f->io);
        byte_stream_free(f->stream);
        safe_close(f->fd);
        strbuf_done(&f->pending);
        free(f);
}

/* ---- between the two ---- */

static void set_events(struct forward *f)
{
        const bool takes = !f->pod_ended && byte_stream_queued(f->stream) <= BACKLOG_MAX;

        (void)sd_event_source_set_io_events(f->io, (f->pending.len ? EPOLLOUT : 0U) |
                                                           (takes ? (uint32_t)EPOLLIN : 0U));
        byte_stream_want_read(f->stream, !f->client_ended && f->pending.len <= BACKLOG_MAX);
}

/* Writes what waits for the pod. Negative: the connection broke. */
static int flush_pending(struct forward *f)
{
        return socket_send_pending(f->fd, &f->pending, f->client_ended);
}

/* One piece of what the pod sent. Negative: the connection broke. */
static int take_from_pod(struct forward *f)
{
        static char chunk[CHUNK_MAX];
        ssize_t n = recv(f->fd, chunk, sizeof chunk, 0);

        if (n < 0)
                return errno == EAGAIN || errno == EINTR ? 0 : -errno;
        f->pod_ended = n == 0;
        if (n > 0 && byte_stream_queue(f->stream, chunk, (size_t)n) < 0)
                return -ENOMEM;
        return byte_stream_flush(f->stream) < 0 ? -EPIPE : 0;
}

/* The other side still gets what is on its way to it. */
static bool is_over(const struct forward *f)
{
        return f->pod_ended && f->client_ended && f->pending.len == 0 &&
               byte_stream_queued(f->stream) == 0;
}

static void go_on(struct forward *f, int r)
{
        if (r < 0 || is_over(f))
                return forward_free(f);
        if (f->pod_ended && !f->is_told && byte_stream_queued(f->stream) == 0) {
                byte_stream_shutdown(f->stream); /* at once: what is queued would not leave */
                f->is_told = true;
        }
        set_events(f);
}

static int on_pod(_unused_ sd_event_source *source, _unused_ int fd, uint32_t revents,
                  void *userdata)
{
        struct forward *f = userdata;
        int r = flush_pending(f);

        if (r == 0 && f->pod_ended && revents & (EPOLLHUP | EPOLLERR)) /* it takes no more */
                r = -EPIPE;
        else if (r == 0 && revents & (EPOLLIN | EPOLLHUP | EPOLLERR))
                r = take_from_pod(f);
        if (r == -EPIPE && f->pod_ended && byte_stream_queued(f->stream) > 0) {
                f->client_ended = true; /* the client gets the rest: on_drained ends it */
                strbuf_done(&f->pending);
                f->io = sd_event_source_disable_unref(f->io);
                return 0;
        }
        go_on(f, r);
        return 0;
}

static void on_readable(struct byte_stream *s, void *userdata)
{
        static char chunk[CHUNK_MAX];
        struct forward *f = userdata;
        ssize_t n = byte_stream_read(s, chunk, sizeof chunk);

        if (n == -EAGAIN)
                return;
        if (n < 0)
                return forward_free(f);
        f->client_ended = n == 0;
        strbuf_add_n(&f->pending, chunk, (size_t)n);
        go_on(f, f->pending.failed ? -ENOMEM : flush_pending(f));
}

static void on_drained(_unused_ struct byte_stream *s, void *userdata)
{
        struct forward *f = userdata;

        if (f->io)
                go_on(f, 0);
        else
                forward_free(f);
}

static void on_hangup(_unused_ struct byte_stream *s, bool is_broken, void *userdata)
{
        struct forward *f = userdata;

        if (is_broken && f->client_ended && f->pending.len > 0)
                f->pod_ended = true; /* the pod still gets the rest */
        else if (is_broken)
                forward_free(f);
}

/* ---- beginning ---- */

static void on_dialled(int r, int fd, const struct err *err, void *userdata)
{
        static const struct byte_stream_ops ops = { .on_readable = on_readable,
                                                    .on_drained = on_drained,
                                                    .on_hangup = on_hangup };
        struct forward *f = userdata;

        f->dial = NULL;
        if (r < 0) {
                local_api_fail(f->x, 409, err_text(err));
                return forward_free(f);
        }
        f->fd = fd;
        r = sd_event_add_io(f->owner->ctx->event, &f->io, fd, EPOLLIN, on_pod, f);
        if (r >= 0)
                r = http_exchange_upgrade(f->x, PROTOCOL, &f->stream);
        if (r < 0) {
                local_api_fail(f->x, 500, "out of memory");
                return forward_free(f);
        }
        f->x = NULL;
        byte_stream_set_ops(f->stream, &ops, f);
        set_events(f);
}

static void on_peer_gone(_unused_ struct http_exchange *x, void *userdata)
{
        forward_free(userdata);
}

/* False: @x was answered. */
static bool read_request(struct http_exchange *x, uint16_t *ret_port)
{
        const char *port = http_exchange_query(x, "port"),
                   *protocol = http_exchange_upgrade_protocol(x);

        if (!protocol || !streq(protocol, PROTOCOL)) {
                local_api_fail(x, 400, "expected an upgrade to " PROTOCOL);
                return false;
        }
        if (!port || text_to_u16(port, ret_port) < 0 || *ret_port == 0) {
                local_api_fail(x, 400, "port: expected 1 to 65535");
                return false;
        }
        return true;
}

void local_forward_serve(struct local_forwards *all, struct http_exchange *x, const struct pod *pod)
{
        const struct sandbox_status *sandbox = pod_ready_sandbox(all->ctx->rt, pod->uid);
        _cleanup_err_ struct err err = { 0 };
        struct forward *f;
        uint16_t port;

        if (!read_request(x, &port))
                return;
        if (!sandbox)
                return local_api_fail(x, 409, "the pod has no running sandbox");
        if (all->n >= FORWARDS_MAX)
                return local_api_fail(x, 429, "too many connections are forwarded already");
        f = calloc(1, sizeof *f);
        if (!f)
                return local_api_fail(x, 500, "out of memory");
        f->owner = all;
        f->x = x;
        f->fd = -1;
        list_append(&all->forwards, &f->node);
        all->n++;
        http_exchange_on_closed(x, on_peer_gone, f);
        if (sandbox_dial(all->ctx->rt, sandbox->id, port, on_dialled, f, &f->dial, &err) < 0) {
                local_api_fail(x, 500, err_text(&err));
                forward_free(f);
        }
}

struct local_forwards *local_forwards_new(const struct context *ctx)
{
        struct local_forwards *f = calloc(1, sizeof *f);

        if (!f)
                return NULL;
        f->ctx = ctx;
        list_init(&f->forwards);
        return f;
}

struct local_forwards *local_forwards_free(struct local_forwards *all)
{
        struct forward *f, *next;

        if (!all)
                return NULL;
        LIST_FOREACH_SAFE (f, next, &all->forwards, node)
                forward_free(f);
        free(all);
        return NULL;
}
