/*
 * Who is connected: skiffd, by the socket pair it gave the shim at birth or by the socket that it
 * finds again after a restart, and for a moment both the old and the new one.
 *
 * A message that the peer does not read yet waits in a queue, and requests of that peer wait with
 * it. A queue that grows too long ends the connection: all that was in it is told again after the
 * next HELLO, but for results of execs, which nobody waited for.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "runtime/shim-sys.h"
#include "runtime/shim.h"

enum { QUEUE_MAX = 1024, CONNECTIONS_MAX = 8 };

struct queued {
        struct list_node node;
        struct shim_message message;
        int fds[SHIM_MAX_FDS]; /* owned */
        unsigned n_fds;
        char text[];
};

struct connection {
        struct list_node node;
        struct source source;
        int fd;            /* owned */
        struct list queue; /* of struct queued */
        unsigned n_queued;
        bool wants_events;
};

static struct list connections = { { &connections.head, &connections.head } };
static unsigned n_connections;
static struct source listener;

static void close_fds(const int *fds, unsigned n)
{
        while (n > 0)
                close(fds[--n]);
}

static void queued_free(struct queued *q)
{
        close_fds(q->fds, q->n_fds);
        free(q);
}

static void connection_free(struct connection *c)
{
        struct list_node *node;

        containers_forget_connection(c);
        execs_forget_connection(c);
        shim_forget_connection(c);
        source_unwatch(&c->source);
        close(c->fd);
        while ((node = list_pop(&c->queue)))
                queued_free(CONTAINER_OF(node, struct queued, node));
        list_remove(&c->node);
        n_connections--;
        free(c);
}

/* 1: it waits; the caller's descriptors are taken then. */
static int enqueue(struct connection *c, const struct shim_message *m, const char *text,
                   const int *fds, unsigned n_fds)
{
        size_t n = text ? strlen(text) : 0;
        struct queued *q;

        if (c->n_queued >= QUEUE_MAX)
                return -ENOBUFS;
        q = malloc(sizeof *q + n + 1);
        if (!q)
                return -ENOMEM;
        *q = (struct queued){ .message = *m, .n_fds = n_fds };
        if (n_fds)
                memcpy(q->fds, fds, n_fds * sizeof *fds);
        memcpy(q->text, text ? text : "", n + 1);
        list_append(&c->queue, &q->node);
        c->n_queued++;
        source_change(&c->source, EPOLLOUT); /* and nothing is read until it is empty */
        return 1;
}

/*
 * Sends or queues; takes the descriptors. A connection that breaks here is shut down, and freed
 * from the loop when that is seen: callers may still hold it.
 */
static void send_or_queue(struct connection *c, const struct shim_message *m, const char *text,
                          const int *fds, unsigned n_fds)
{
        int r = -EAGAIN;

        if (list_is_empty(&c->queue))
                r = shim_send(c->fd, m, text, fds, n_fds);
        if (r == -EAGAIN)
                r = enqueue(c, m, text, fds, n_fds);
        if (r < 0)
                shutdown(c->fd, SHUT_RDWR);
        if (r != 1)
                close_fds(fds, n_fds);
}

static int flush(struct connection *c)
{
        struct queued *q;

        while ((q = LIST_FIRST(&c->queue, struct queued, node))) {
                int r = shim_send(c->fd, &q->message, q->text, q->fds, q->n_fds);

                if (r < 0)
                        return r == -EAGAIN ? 0 : r;
                list_remove(&q->node);
                queued_free(q);
                c->n_queued--;
        }
        return source_change(&c->source, EPOLLIN);
}

static void on_connection(struct source *source, uint32_t events)
{
        char text[SHIM_TEXT_MAX + 1]; /* no request has any */
        struct connection *c = CONTAINER_OF(source, struct connection, source);
        struct shim_message m;
        int fds[SHIM_MAX_FDS], r;
        unsigned n_fds;

        if (!list_is_empty(&c->queue)) {
                r = events & EPOLLOUT ? flush(c) : -EPIPE;
                if (r < 0)
                        connection_free(c);
                return;
        }
        r = shim_receive(c->fd, &m, text, fds, &n_fds);
        if (r == 1)
                request_handle(c, &m, fds, n_fds);
        else if (r != -EAGAIN)
                connection_free(c);
}

int connection_add(int fd, bool wants_events)
{
        struct connection *c = NULL;
        int r = -ENFILE;

        if (n_connections < CONNECTIONS_MAX)
                c = calloc(1, sizeof *c);
        if (!c) {
                close(fd);
                return r;
        }
        c->fd = fd;
        c->source.on_ready = on_connection;
        c->wants_events = wants_events;
        list_init(&c->queue);
        r = source_watch(&c->source, fd, EPOLLIN);
        if (r < 0) {
                close(fd);
                free(c);
                return r;
        }
        list_append(&connections, &c->node);
        n_connections++;
        return 0;
}

/*
 * The socket stands in a directory that only root can enter, but a container may have it mounted:
 * the peer must be root of the host's own PID namespace, too.
 */
static bool is_trusted(int fd)
{
        struct ucred peer;
        socklen_t n = sizeof peer;
        char buf[64];
        struct line path = LINE(buf);
        struct stat ours, theirs;

        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) < 0 || peer.uid != 0 ||
            peer.pid <= 0)
                return false;
        line_add(&path, "/proc/");
        line_add_u64(&path, (uint64_t)peer.pid);
        line_add(&path, "/ns/pid");
        return stat("/proc/self/ns/pid", &ours) == 0 && stat(buf, &theirs) == 0 &&
               ours.st_ino == theirs.st_ino && ours.st_dev == theirs.st_dev;
}

static void on_listen(struct source *source, _unused_ uint32_t events)
{
        int fd = accept4(source->fd, NULL, NULL, SOCK_CLOEXEC);

        if (fd < 0)
                return;
        if (!is_trusted(fd)) {
                shim_warn("Refused a connection that is not root's of this host", NULL, 0);
                close(fd);
                return;
        }
        connection_add(fd, false);
}

int connections_listen(int listen_fd)
{
        /* level-triggered: one accept a turn must not block when the peer has gone again */
        if (fcntl(listen_fd, F_SETFL, O_NONBLOCK) < 0)
                return -errno;
        listener.on_ready = on_listen;
        return source_watch(&listener, listen_fd, EPOLLIN);
}

void connection_want_events(struct connection *c)
{
        c->wants_events = true;
}

void reply(struct reply_to *to, struct shim_message *m, const char *text, int *fds, unsigned n_fds)
{
        if (to->connection) {
                m->request = to->request;
                send_or_queue(to->connection, m, text, fds, n_fds);
        } else {
                close_fds(fds, n_fds);
        }
        *to = (struct reply_to){ 0 };
}

static void set_id(struct shim_message *m, const char *id)
{
        struct line l = { .data = m->id, .size = SHIM_ID_SIZE };

        if (id)
                line_add(&l, id);
}

void reply_ok(struct reply_to *to, const char *id, int64_t value)
{
        struct shim_message m = { .verb = SHIM_OK, .value = value };

        set_id(&m, id);
        reply(to, &m, NULL, NULL, 0);
}

void reply_failed(struct reply_to *to, const char *id, int r, unsigned kind, const char *text)
{
        struct shim_message m = { .verb = SHIM_FAILED, .value = r, .kind = (uint16_t)kind };

        set_id(&m, id);
        reply(to, &m, text, NULL, 0);
}

void send_event(struct connection *c, const struct shim_message *m, const char *text)
{
        struct connection *each;

        if (c) {
                send_or_queue(c, m, text, NULL, 0);
                return;
        }
        LIST_FOREACH (each, &connections, node)
                if (each->wants_events)
                        send_or_queue(each, m, text, NULL, 0);
}

bool connections_are_flushed(void)
{
        struct connection *c;

        LIST_FOREACH (c, &connections, node)
                if (!list_is_empty(&c->queue))
                        return false;
        return true;
}
