#include "cli/forward.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>

#include "base/json.h"
#include "base/list.h"
#include "base/text.h"
#include "cli/upgrade.h"

enum {
        LISTENERS_MAX = 128,
        CONNECTIONS_MAX = 512,
        CHUNK = 64 * 1024,
        BACKLOG = 128,
        TURN = 16, /* chunks of one connection before the others have theirs */
};

/* ---- what was asked for ---- */

static int port_of_name(const json_t *pod, const char *name, uint16_t *ret)
{
        static const char *const lists[] = { "initContainers", "containers" };

        for (size_t k = 0; k < ARRAY_SIZE(lists); k++) {
                const json_t *c, *p;
                size_t i, n;

                json_array_foreach ((json_t *)json_path(pod, "spec", lists[k], NULL), i, c)
                        json_array_foreach (json_object_get(c, "ports"), n, p)
                                if (streq_null(json_text_at(p, "name"), name)) {
                                        *ret = (uint16_t)json_integer_value(
                                                json_object_get(p, "containerPort"));
                                        return 0;
                                }
        }
        return -ENOENT;
}

int forward_port_parse(const char *word, const json_t *pod, struct forward_port *ret,
                       struct err *err)
{
        const char *colon = strchr(word, ':'), *remote = colon ? colon + 1 : word;
        _cleanup_free_ char *local = colon ? strndup(word, (size_t)(colon - word)) : strdup(word);
        struct forward_port p = { 0 };

        if (!local)
                return err_sys(err, -ENOMEM, "read '%s'", word);
        if ((text_to_u16(remote, &p.remote) < 0 || p.remote == 0) &&
            port_of_name(pod, remote, &p.remote) < 0)
                return err_set(err, -EINVAL,
                               "'%s': expected [LOCAL:]REMOTE, and '%s' is no port from 1 to 65535 "
                               "and no name of one in the pod",
                               word, remote);
        if (!colon)
                p.local = p.remote;
        else if (*local && (text_to_u16(local, &p.local) < 0 || p.local == 0))
                return err_set(err, -EINVAL,
                               "'%s': the local port '%s': expected 1 to 65535, or nothing for any",
                               word, local);
        *ret = p;
        return 0;
}

/* ---- connections ---- */

struct half {               /* what goes one way */
        int from, to;       /* borrowed */
        size_t at, n;       /* of .data, what has not left yet */
        bool ended, passed; /* .from sends no more; .to was told */
        char *data;         /* owned, CHUNK */
};

struct connection {
        struct list_node node;
        int client, daemon; /* owned */
        struct strbuf head; /* skiffd's answer, until it is complete */
        bool is_open;       /* the pod has it */
        struct half up, down;
        size_t polled; /* where its two descriptors stand among the polled */
};

struct forwarder {
        const char *socket, *target;
        struct {
                int fd; /* owned */
                uint16_t remote;
        } listeners[LISTENERS_MAX];
        size_t n_listeners, n_connections;
        struct list connections;
        int signals; /* owned */
};

static void connection_free(struct forwarder *f, struct connection *c)
{
        list_remove(&c->node);
        f->n_connections--;
        safe_close(c->client);
        safe_close(c->daemon);
        strbuf_done(&c->head);
        free(c->up.data);
        free(c->down.data);
        free(c);
}

struct forwarder *forwarder_new(const char *socket, const char *target)
{
        struct forwarder *f = calloc(1, sizeof *f);

        if (!f)
                return NULL;
        f->socket = socket;
        f->target = target;
        f->signals = -1;
        list_init(&f->connections);
        return f;
}

struct forwarder *forwarder_free(struct forwarder *f)
{
        struct connection *c, *next;

        if (!f)
                return NULL;
        LIST_FOREACH_SAFE (c, next, &f->connections, node)
                connection_free(f, c);
        for (size_t i = 0; i < f->n_listeners; i++)
                close(f->listeners[i].fd);
        safe_close(f->signals);
        free(f);
        return NULL;
}

/* ---- ways in ---- */

/* The descriptor, and in *@port which one it became. */
static int listen_on(const char *address, uint16_t *port, struct err *err)
{
        struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(*port) };
        struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(*port) };
        const bool is_v4 = inet_pton(AF_INET, address, &v4.sin_addr) == 1;
        struct sockaddr *a = is_v4 ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6;
        socklen_t n = is_v4 ? sizeof v4 : sizeof v6;
        const int yes = 1;
        _cleanup_close_ int fd = -1;

        if (!is_v4 && inet_pton(AF_INET6, address, &v6.sin6_addr) != 1)
                return err_set(err, -EINVAL, "--address: '%s': expected localhost or an address",
                               address);
        fd = socket(a->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return err_sys(err, -errno, "make a socket");
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
        if (!is_v4)
                setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &yes, sizeof yes);
        if (bind(fd, a, n) < 0 || listen(fd, BACKLOG) < 0 || getsockname(fd, a, &n) < 0)
                return err_sys(err, -errno, "listen on %s, port %u", address, *port);
        *port = ntohs(is_v4 ? v4.sin_port : v6.sin6_port);
        return TAKE_FD(fd);
}

static int add_listener(struct forwarder *f, const char *address, struct forward_port port,
                        uint16_t *ret_local, struct err *err)
{
        uint16_t local = port.local;
        int fd;

        if (f->n_listeners == LISTENERS_MAX)
                return err_set(err, -E2BIG, "expected at most %d ports and addresses",
                               LISTENERS_MAX);
        fd = listen_on(address, &local, err);
        if (fd < 0)
                return fd;
        f->listeners[f->n_listeners].fd = fd;
        f->listeners[f->n_listeners++].remote = port.remote;
        *ret_local = local;
        return 0;
}

int forwarder_listen(struct forwarder *f, const char *address, struct forward_port port,
                     uint16_t *ret_local, struct err *err)
{
        _cleanup_err_ struct err ignored = { 0 };
        int r;

        if (!streq(address, "localhost"))
                return add_listener(f, address, port, ret_local, err);
        r = add_listener(f, "127.0.0.1", port, ret_local, err);
        if (r < 0)
                return r;
        port.local = *ret_local;
        (void)add_listener(f, "::1", port, ret_local, &ignored); /* there may be no IPv6 */
        return 0;
}

static void accept_one(struct forwarder *f, int listener, uint16_t port)
{
        _cleanup_close_ int client = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        _cleanup_free_ char *target = text_printf("%s?port=%u", f->target, port);
        _cleanup_err_ struct err err = { 0 };
        _cleanup_close_ int daemon = -1;
        struct connection *c;

        if (client < 0 || !target)
                return;
        daemon = upgrade_ask(f->socket, target, "skiff-stream", &err);
        c = daemon < 0 || fcntl(daemon, F_SETFL, O_NONBLOCK) < 0 ? NULL : calloc(1, sizeof *c);
        if (c) {
                c->up.data = malloc(CHUNK);
                c->down.data = malloc(CHUNK);
        }
        if (!c || !c->up.data || !c->down.data) {
                fprintf(stderr, "skiff: port %u: %s\n", port,
                        daemon < 0 ? err_text(&err) : "out of memory");
                if (c)
                        free(c->up.data), free(c->down.data);
                free(c);
                return;
        }
        c->client = c->up.from = c->down.to = TAKE_FD(client);
        c->daemon = c->up.to = c->down.from = TAKE_FD(daemon);
        list_append(&f->connections, &c->node);
        f->n_connections++;
}

/* ---- bytes ---- */

/* Moves what can be moved. Negative: a side is gone. */
static int pump(struct half *h)
{
        for (int turn = 0; turn < TURN; turn++) {
                ssize_t n;

                if (h->at < h->n) {
                        n = send(h->to, h->data + h->at, h->n - h->at, MSG_NOSIGNAL);
                        if (n < 0)
                                return errno == EAGAIN || errno == EINTR ? 0 : -errno;
                        h->at += (size_t)n;
                        continue;
                }
                if (h->ended) {
                        if (!h->passed)
                                shutdown(h->to, SHUT_WR);
                        h->passed = true;
                        return 0;
                }
                n = recv(h->from, h->data, CHUNK, 0);
                if (n < 0)
                        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
                h->ended = n == 0;
                h->at = 0;
                h->n = (size_t)n;
        }
        return 0;
}

/* 1: the pod has it; 0: later; negative: it will not. */
static int open_connection(struct connection *c, struct err *err)
{
        char chunk[4096];
        ssize_t n = recv(c->daemon, chunk, sizeof chunk, 0);
        size_t rest = 0;
        int r;

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return 0;
        if (n > 0)
                strbuf_add_n(&c->head, chunk, (size_t)n);
        r = upgrade_answer(&c->head, n <= 0, &rest, err);
        if (r <= 0)
                return r;
        c->is_open = true; /* what came behind the head is less than one chunk */
        c->down.n = c->head.len - rest;
        memcpy(c->down.data, c->head.data + rest, c->down.n);
        strbuf_done(&c->head);
        return 1;
}

/* False: it is over. */
static bool serve(struct connection *c)
{
        _cleanup_err_ struct err err = { 0 };

        if (!c->is_open) {
                int r = open_connection(c, &err);

                if (r < 0)
                        fprintf(stderr, "skiff: %s\n", err_text(&err));
                if (r <= 0)
                        return r == 0;
        }
        if (pump(&c->up) < 0 || pump(&c->down) < 0)
                return false;
        return !c->up.passed || !c->down.passed;
}

static short wanted(const struct half *in, const struct half *out)
{
        return (short)((in->at == in->n && !in->ended ? POLLIN : 0) |
                       (out->at < out->n ? POLLOUT : 0));
}

static size_t fill(struct forwarder *f, struct pollfd *fds)
{
        const bool has_room = f->n_connections < CONNECTIONS_MAX;
        struct connection *c;
        size_t n = 0;

        fds[n++] = (struct pollfd){ .fd = f->signals, .events = POLLIN };
        for (size_t i = 0; i < f->n_listeners; i++)
                fds[n++] = (struct pollfd){ .fd = has_room ? f->listeners[i].fd : -1,
                                            .events = POLLIN };
        LIST_FOREACH (c, &f->connections, node) {
                short client = c->is_open ? wanted(&c->up, &c->down) : 0,
                      daemon = c->is_open ? wanted(&c->down, &c->up) : POLLIN;

                c->polled = n;
                /* a side that is done with would tell so for ever */
                fds[n++] = (struct pollfd){ .fd = client ? c->client : -1, .events = client };
                fds[n++] = (struct pollfd){ .fd = daemon ? c->daemon : -1, .events = daemon };
        }
        return n;
}

static int watch_signals(struct forwarder *f, sigset_t *old, struct err *err)
{
        sigset_t set;

        sigemptyset(&set);
        sigaddset(&set, SIGTERM);
        sigaddset(&set, SIGHUP);
        sigaddset(&set, SIGINT);
        sigprocmask(SIG_BLOCK, &set, old);
        f->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
        return f->signals < 0 ? err_sys(err, -errno, "watch for signals") : 0;
}

int forwarder_run(struct forwarder *f, struct err *err)
{
        static struct pollfd fds[1 + LISTENERS_MAX + 2 * CONNECTIONS_MAX];
        sigset_t old;
        int r = watch_signals(f, &old, err);

        while (r == 0) {
                struct connection *c, *next;
                size_t n = fill(f, fds);

                if (poll(fds, n, -1) < 0) {
                        if (errno != EINTR)
                                r = err_sys(err, -errno, "wait");
                        continue;
                }
                if (fds[0].revents) { /* taken, or it would come once we let it */
                        struct signalfd_siginfo info;

                        (void)!read(f->signals, &info, sizeof info);
                        break;
                }
                LIST_FOREACH_SAFE (c, next, &f->connections, node)
                        if ((fds[c->polled].revents || fds[c->polled + 1].revents) && !serve(c))
                                connection_free(f, c);
                for (size_t i = 0; i < f->n_listeners; i++)
                        if (fds[1 + i].revents && f->n_connections < CONNECTIONS_MAX)
                                accept_one(f, f->listeners[i].fd, f->listeners[i].remote);
        }
        sigprocmask(SIG_SETMASK, &old, NULL);
        return r;
}
