#include "base/http-server.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/http-conn.h"
#include "base/log.h"

enum { ACCEPTS_PER_EVENT = 32 };

#define LINGER_USEC      (2 * USEC_PER_SEC)
#define PAUSE_USEC       (100 * USEC_PER_MSEC)
#define WARN_EVERY_USEC  (60 * USEC_PER_SEC)
#define TIMER_SLACK_USEC (100 * USEC_PER_MSEC)

struct listener {
        struct http_server *server; /* borrowed */
        int fd;                     /* owned */
        sd_event_source *source;    /* owned */
        struct list_node in_server;
};

usec_t server_phase_usec(const struct http_server *s, enum conn_phase phase)
{
        switch (phase) {
        case CONN_HANDSHAKE:
                return s->options.handshake_usec;
        case CONN_HEAD:
                return s->options.head_usec;
        case CONN_BODY:
                return s->options.body_usec;
        case CONN_STREAM:
                return s->options.stream_usec;
        case CONN_ANSWER:
                return s->options.answer_usec;
        case CONN_IDLE:
                return s->options.idle_usec;
        case CONN_LINGER:
                return LINGER_USEC;
        case CONN_HANDLER:
        case CONN_DEAD:
        case _CONN_PHASE_MAX:
                break;
        }
        return USEC_NEVER;
}

void server_arm(struct http_server *s, usec_t due_usec)
{
        if (due_usec >= s->armed_usec)
                return;
        s->armed_usec = due_usec;
        sd_event_source_set_time(s->timer, due_usec);
        sd_event_source_set_enabled(s->timer, SD_EVENT_ONESHOT);
}

static void set_listeners(struct http_server *s, int enabled)
{
        struct listener *l;

        LIST_FOREACH (l, &s->listeners, in_server)
                sd_event_source_set_enabled(l->source, enabled);
}

static void expire_phase(struct list *phase, usec_t now)
{
        struct http_conn *c, *next;

        LIST_FOREACH_SAFE (c, next, phase, in_phase) {
                if (c->deadline_usec > now)
                        break; /* sorted: the others are later */
                conn_expire(c);
        }
}

static int on_timer(sd_event_source _unused_ *source, uint64_t _unused_ due_usec, void *userdata)
{
        struct http_server *s = userdata;
        usec_t now = now_monotonic();

        s->armed_usec = USEC_NEVER;
        if (s->is_paused && s->resume_usec <= now) {
                s->is_paused = false;
                set_listeners(s, SD_EVENT_ON);
        }
        if (s->is_paused)
                server_arm(s, s->resume_usec);
        for (int phase = 0; phase < CONN_DEAD; phase++) {
                struct http_conn *c;

                expire_phase(&s->phases[phase], now);
                c = LIST_FIRST(&s->phases[phase], struct http_conn, in_phase);
                if (c)
                        server_arm(s, c->deadline_usec);
        }
        return 0;
}

void server_mark_ready(struct http_conn *c)
{
        struct http_server *s = c->server;

        if (list_contains(&c->in_ready))
                return;
        list_append(&s->ready, &c->in_ready);
        sd_event_source_set_enabled(s->defer, SD_EVENT_ONESHOT);
}

static int on_defer(sd_event_source _unused_ *source, void *userdata)
{
        struct http_server *s = userdata;
        struct list now;
        struct list_node *n;

        /* What becomes ready meanwhile waits for the next round: other sources get their turn. */
        list_init(&now);
        while ((n = list_pop(&s->ready)))
                list_append(&now, n);
        while ((n = list_pop(&now))) {
                struct http_conn *c = CONTAINER_OF(n, struct http_conn, in_ready);

                if (c->phase == CONN_DEAD)
                        conn_free(c);
                else
                        conn_process(c);
        }
        return 0;
}

static void warn_now_and_then(struct http_server *s, int r, const char *what)
{
        usec_t now = now_monotonic();

        if (s->warned_usec != 0 && now - s->warned_usec < WARN_EVERY_USEC)
                return;
        s->warned_usec = now;
        log_warn(r, "%s: %s (%zu connections, %zu of them untrusted)", s->options.name, what,
                 s->n_conns, s->n_untrusted);
}

/* Connections of one address among the untrusted. */
static size_t count_address(const struct http_server *s, uint64_t address_hash)
{
        const struct http_conn *c;
        size_t n = 0;

        LIST_FOREACH (c, &s->untrusted, in_untrusted)
                n += c->address_hash == address_hash;
        return n;
}

/*
 * The oldest untrusted connection of the address that has most of them. Those whose request is at
 * a handler are spared as long as there are others: they are about to show who they are.
 */
static struct http_conn *find_untrusted_victim(struct http_server *s, bool of_guests,
                                               bool spare_handled)
{
        struct http_conn *c, *victim = NULL;
        size_t most = 0;

        LIST_FOREACH (c, &s->untrusted, in_untrusted) {
                size_t n;

                if (of_guests && !c->is_guest)
                        continue;
                if (spare_handled && (c->phase == CONN_HANDLER || c->phase == CONN_STREAM))
                        continue;
                if (victim && victim->address_hash == c->address_hash)
                        continue;
                n = count_address(s, c->address_hash);
                if (n <= most)
                        continue;
                most = n;
                victim = c;
        }
        return victim;
}

/* The one that has been in @phase for longest. */
static struct http_conn *find_longest(struct http_server *s, enum conn_phase phase, bool of_guests)
{
        struct http_conn *c;

        LIST_FOREACH (c, &s->phases[phase], in_phase)
                if (!of_guests || c->is_guest)
                        return c;
        return NULL;
}

static bool is_full_of_guests(const struct http_server *s)
{
        return s->n_guests >= s->options.max_connections / 2;
}

static struct http_conn *find_victim(struct http_server *s, bool of_guests)
{
        struct http_conn *c = NULL;

        if (of_guests || s->n_conns >= s->options.max_connections) {
                c = find_longest(s, CONN_LINGER, of_guests);
                if (!c)
                        c = find_longest(s, CONN_IDLE, of_guests);
        }
        if (!c)
                c = find_untrusted_victim(s, of_guests, true);
        return c ? c : find_untrusted_victim(s, of_guests, false);
}

/* Room for one more connection, by closing another one when need be: a guest's for a guest. */
static bool make_room(struct http_server *s, const struct http_peer *peer)
{
        bool of_guests = http_peer_is_guest(peer) && is_full_of_guests(s);
        bool is_full = of_guests || s->n_conns >= s->options.max_connections ||
                       (!peer->is_unix && s->n_untrusted >= s->options.max_untrusted);
        struct http_conn *victim;

        if (!is_full)
                return true;
        victim = find_victim(s, of_guests);
        warn_now_and_then(s, 0,
                          victim ? "full, closing an idle connection for each new one"
                                 : "full and all are busy, refusing new connections");
        if (victim) {
                s->counts.evicted++;
                conn_kill(victim);
        }
        return victim != NULL;
}

static void set_socket_options(int fd)
{
        int on = 1, idle_sec = 30;

        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
        setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_sec, sizeof idle_sec);
        setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &idle_sec, sizeof idle_sec);
}

/* Takes @fd. */
static void welcome(struct http_server *s, int fd)
{
        _cleanup_close_ int owned = fd;
        struct http_peer peer;
        struct http_conn *c;
        int r = http_peer_read(fd, &peer);

        if (r < 0) {
                s->counts.refused++;
                warn_now_and_then(s, r, "turned away a local process of other namespaces");
                return;
        }
        if (!make_room(s, &peer)) {
                s->counts.refused++;
                return;
        }
        if (!peer.is_unix)
                set_socket_options(fd);
        r = conn_new(s, TAKE_FD(owned), &peer, &c);
        if (r < 0) {
                s->counts.refused++;
                warn_now_and_then(s, r, "cannot take a connection");
        } else {
                s->counts.accepted++;
        }
}

/* Descriptors or memory are short: an idle connection goes, or we look again a little later. */
static void on_shortage(struct http_server *s, int r)
{
        struct http_conn *victim = find_victim(s, false);

        warn_now_and_then(s, r, "cannot accept connections, trying again");
        s->counts.refused++;
        s->counts.evicted += victim != NULL;
        if (victim)
                conn_kill(victim);
        s->is_paused = true;
        s->resume_usec = now_monotonic() + PAUSE_USEC;
        set_listeners(s, SD_EVENT_OFF);
        server_arm(s, s->resume_usec);
}

static int on_accept(sd_event_source _unused_ *source, int fd, uint32_t _unused_ events,
                     void *userdata)
{
        struct listener *l = userdata;

        for (int i = 0; i < ACCEPTS_PER_EVENT; i++) {
                int conn_fd = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

                if (conn_fd >= 0) {
                        welcome(l->server, conn_fd);
                        continue;
                }
                if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
                        on_shortage(l->server, -errno);
                else if (errno == ECONNABORTED || errno == EINTR)
                        continue;
                break;
        }
        return 0;
}

static void set_defaults(struct http_server_options *o)
{
        if (o->max_connections == 0)
                o->max_connections = 1024;
        if (o->max_untrusted == 0)
                o->max_untrusted = 128;
        if (o->body_max == 0)
                o->body_max = (size_t)1 << 20;
        if (o->handshake_usec == 0)
                o->handshake_usec = 10 * USEC_PER_SEC;
        if (o->head_usec == 0)
                o->head_usec = 10 * USEC_PER_SEC;
        if (o->body_usec == 0)
                o->body_usec = 10 * USEC_PER_SEC;
        if (o->idle_usec == 0)
                o->idle_usec = 2 * USEC_PER_MINUTE;
        if (o->answer_usec == 0)
                o->answer_usec = 10 * USEC_PER_SEC;
        if (o->stream_usec == 0)
                o->stream_usec = 240 * USEC_PER_MINUTE;
}

int http_server_new(sd_event *event, const struct http_server_options *options,
                    struct http_server **ret, struct err *err)
{
        _cleanup_(http_server_freep)
        struct http_server *s = malloc(sizeof *s);
        int r;

        if (!s)
                return -ENOMEM;
        *s = (struct http_server){ .event = sd_event_ref(event),
                                   .options = *options,
                                   .armed_usec = USEC_NEVER };
        set_defaults(&s->options);
        list_init(&s->listeners);
        list_init(&s->ready);
        list_init(&s->untrusted);
        for (int i = 0; i < _CONN_PHASE_MAX; i++)
                list_init(&s->phases[i]);
        r = sd_event_add_time(event, &s->timer, CLOCK_MONOTONIC, 0, TIMER_SLACK_USEC, on_timer, s);
        if (r >= 0)
                r = sd_event_source_set_enabled(s->timer, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_add_defer(event, &s->defer, on_defer, s);
        if (r >= 0)
                r = sd_event_source_set_enabled(s->defer, SD_EVENT_OFF);
        if (r < 0)
                return err_sys(err, r, "server '%s': event sources", options->name);
        *ret = TAKE_PTR(s);
        return 0;
}

void http_server_read_counts(const struct http_server *s, struct http_server_counts *ret)
{
        *ret = s->counts;
        ret->open = s->n_conns;
        ret->untrusted = s->n_untrusted;
}

static struct listener *listener_free(struct listener *l)
{
        list_remove(&l->in_server);
        sd_event_source_disable_unref(l->source);
        safe_close(l->fd);
        free(l);
        return NULL;
}

int http_server_add_listener(struct http_server *s, int fd)
{
        struct listener *l = malloc(sizeof *l);
        int r;

        if (!l) {
                safe_close(fd);
                return -ENOMEM;
        }
        *l = (struct listener){ .server = s, .fd = fd };
        /* A socket from elsewhere may block; accept() must not when a peer has gone meanwhile. */
        r = fcntl(fd, F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
        if (r >= 0)
                r = sd_event_add_io(s->event, &l->source, fd, EPOLLIN, on_accept, l);
        if (r < 0) {
                listener_free(l);
                return r;
        }
        list_append(&s->listeners, &l->in_server);
        return 0;
}

struct http_server *http_server_free(struct http_server *s)
{
        struct listener *l, *next_listener;
        struct http_conn *c, *next_conn;

        if (!s)
                return NULL;
        LIST_FOREACH_SAFE (l, next_listener, &s->listeners, in_server)
                listener_free(l);
        for (int phase = 0; phase < CONN_DEAD; phase++)
                LIST_FOREACH_SAFE (c, next_conn, &s->phases[phase], in_phase)
                        conn_kill(c);
        LIST_FOREACH_SAFE (c, next_conn, &s->phases[CONN_DEAD], in_phase)
                conn_free(c);
        sd_event_source_disable_unref(s->timer);
        sd_event_source_disable_unref(s->defer);
        sd_event_unref(s->event);
        free(s);
        return NULL;
}
