/* Connections to a pod's own loopback, for port-forward. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/text.h"
#include "runtime/sandbox.h"

#define DIAL_USEC (10 * USEC_PER_SEC)

struct dial_op {
        struct runtime_op op; /* first member */
        int netns;            /* owned; of the pod; -1: it has the host's */
        uint16_t port;
        bool is_ipv6;                           /* the second try */
        int ipv4_error;                         /* of the first */
        int fd;                                 /* owned */
        sd_event *event;                        /* borrowed */
        sd_event_source *io, *timer, *deferred; /* owned */
        dial_done_fn done;
        void *userdata;
};

static void dial_op_free(struct dial_op *op)
{
        sd_event_source_disable_unref(op->io);
        sd_event_source_disable_unref(op->timer);
        sd_event_source_disable_unref(op->deferred);
        safe_close(op->fd);
        safe_close(op->netns);
        free(op);
}

static void on_abandon(struct runtime_op *base)
{
        dial_op_free((struct dial_op *)base);
}

/*
 * A socket belongs for good to the namespace it was made in, so we are in the pod's for this one
 * call. Whoever could not come back would route for a pod what is the node's: that ends here.
 */
static int socket_in(int netns, int family)
{
        _cleanup_close_ int ours = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
        int fd;

        if (ours < 0)
                return -errno;
        if (setns(netns, CLONE_NEWNET) < 0)
                return -errno;
        fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                fd = -errno;
        if (setns(ours, CLONE_NEWNET) < 0) {
                log_error(-errno, "Failed to return from a pod's network namespace");
                abort();
        }
        return fd;
}

static int begin_connect(struct dial_op *op)
{
        const struct sockaddr_in v4 = { .sin_family = AF_INET,
                                        .sin_port = htons(op->port),
                                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        const struct sockaddr_in6 v6 = { .sin6_family = AF_INET6,
                                         .sin6_port = htons(op->port),
                                         .sin6_addr = IN6ADDR_LOOPBACK_INIT };
        int family = op->is_ipv6 ? AF_INET6 : AF_INET, r;

        op->fd = safe_close(op->fd);
        op->fd = op->netns >= 0 ? socket_in(op->netns, family)
                                : socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (op->fd < 0)
                return op->netns >= 0 ? op->fd : -errno;
        r = op->is_ipv6 ? connect(op->fd, (const struct sockaddr *)&v6, sizeof v6)
                        : connect(op->fd, (const struct sockaddr *)&v4, sizeof v4);
        return r < 0 && errno != EINPROGRESS ? -errno : 0;
}

static void conclude(struct dial_op *op, int r)
{
        _cleanup_err_ struct err err = { 0 };
        int fd = r == 0 ? TAKE_FD(op->fd) : -1;

        if (r < 0)
                err_set(&err, r,
                        "failed to connect to localhost:%u inside the pod, IPv4: %s, IPv6: %s",
                        op->port, strerror(-op->ipv4_error), strerror(-r));
        op->done(r, fd, &err, op->userdata);
        dial_op_free(op);
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata);

/* @r: how the try under way ended, or that none was made yet. */
static void go_on(struct dial_op *op, int r)
{
        while (r < 0 && !op->is_ipv6) {
                op->ipv4_error = r;
                op->is_ipv6 = true;
                op->io = sd_event_source_disable_unref(op->io);
                r = begin_connect(op);
        }
        if (r == 0 && !op->io)
                r = sd_event_add_io(op->event, &op->io, op->fd, EPOLLOUT, on_io, op);
        if (r < 0)
                conclude(op, r);
}

static int on_io(_unused_ sd_event_source *source, int fd, _unused_ uint32_t revents,
                 void *userdata)
{
        struct dial_op *op = userdata;
        int error = 0;
        socklen_t size = sizeof error;

        if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
                error = errno;
        op->io = sd_event_source_disable_unref(op->io);
        if (error == 0)
                conclude(op, 0);
        else
                go_on(op, -error);
        return 0;
}

static int on_timer(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata)
{
        conclude(userdata, -ETIMEDOUT);
        return 0;
}

static int on_deferred(_unused_ sd_event_source *source, void *userdata)
{
        struct dial_op *op = userdata;

        go_on(op, begin_connect(op));
        return 0;
}

int sandbox_dial(struct runtime *rt, const char *sandbox_id, uint16_t port, dial_done_fn done,
                 void *userdata, struct runtime_op **ret, struct err *err)
{
        const struct sandbox *s = sandbox_get(rt, sandbox_id);
        _cleanup_free_ char *path = NULL;
        struct dial_op *op;
        int r;

        if (!s || !s->shim)
                return err_set_kind(err, -ENOENT, ERR_NOT_FOUND, "sandbox '%s' does not run",
                                    sandbox_id);
        path = text_printf("/proc/%d/ns/net", (int)shim_pid(s->shim));
        op = calloc(1, sizeof *op);
        if (!path || !op) {
                free(op);
                return err_sys(err, -ENOMEM, "connect to port %u", port);
        }
        *op = (struct dial_op){
                .op = { .on_abandon = on_abandon },
                .netns = -1,
                .fd = -1,
                .port = port,
                .event = rt->event,
                .done = done,
                .userdata = userdata,
        };
        if (!s->status.host_network)
                op->netns = open(path, O_RDONLY | O_CLOEXEC);
        r = s->status.host_network || op->netns >= 0 ? 0 : -errno;
        if (r == 0)
                r = sd_event_add_defer(rt->event, &op->deferred, on_deferred, op);
        if (r >= 0)
                r = sd_event_add_time_relative(rt->event, &op->timer, CLOCK_MONOTONIC, DIAL_USEC,
                                               USEC_PER_SEC, on_timer, op);
        if (r < 0) {
                dial_op_free(op);
                return err_sys(err, r, "connect to port %u of sandbox '%s'", port, sandbox_id);
        }
        *ret = &op->op;
        return 0;
}
