/*
 * Theory of operation. Messages in both directions are records of a SOCK_SEQPACKET socket. A
 * request stays in .requests until its answer (an exec until its exit too); one that the socket
 * does not take at once waits in .outgoing. The end of a shim shows twice, by the end of the stream
 * and by its pidfd; whichever comes first, what is left in the socket is read, then it is gone. A
 * child of the shim may hold a copy of the stream for a moment, a shim that was never our child has
 * no pidfd until its HELLO: so neither would do alone.
 *
 * Callbacks may free the shim. .busy counts the frames of this file on the stack, and the last one
 * to leave frees what was let go.
 */
#include "runtime/shim-client.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/fs.h"
#include "base/list.h"
#include "base/log.h"
#include "base/text.h"
#include "runtime/shim-launcher.h"

enum { MESSAGES_PER_WAKEUP = 64, REAP_WAIT_MSEC = 20 };

struct request {
        struct list_node node;
        uint64_t id;
        bool is_exec, answered;
        shim_answer_fn answer;
        void *userdata;
};

struct outgoing {
        struct list_node node;
        struct shim_message message;
        int fds[SHIM_MAX_FDS]; /* owned */
        unsigned n_fds;
};

struct shim {
        struct shim_launcher *launcher; /* borrowed */
        char id[RUNTIME_ID_SIZE];
        int fd, pidfd; /* owned; -1: not known (yet), or gone */
        pid_t pid;
        sd_event_source *io_source, *pid_source;
        struct list requests, outgoing;
        uint64_t last_request;
        struct shim_handler handler;
        void *userdata;
        unsigned busy;
        bool let_go, gone;
};

static void request_free(struct request *q)
{
        list_remove(&q->node);
        free(q);
}

static void outgoing_free(struct outgoing *o)
{
        list_remove(&o->node);
        for (unsigned i = 0; i < o->n_fds; i++)
                safe_close(o->fds[i]);
        free(o);
}

static void close_connection(struct shim *s)
{
        struct outgoing *o, *next;

        s->io_source = sd_event_source_disable_unref(s->io_source);
        s->pid_source = sd_event_source_disable_unref(s->pid_source);
        s->fd = safe_close(s->fd);
        LIST_FOREACH_SAFE (o, next, &s->outgoing, node)
                outgoing_free(o);
}

static void destroy(struct shim *s)
{
        close_connection(s);
        safe_close(s->pidfd);
        free(s);
}

static void leave(struct shim *s)
{
        if (--s->busy == 0 && s->let_go)
                destroy(s);
}

struct shim *shim_free(struct shim *s)
{
        struct list_node *n;

        if (!s || s->let_go)
                return NULL;
        s->busy++;
        s->let_go = true;
        while ((n = list_pop(&s->requests))) {
                struct request *q = CONTAINER_OF(n, struct request, node);

                if (q->answer)
                        q->answer(NULL, NULL, NULL, 0, q->userdata);
                free(q);
        }
        close_connection(s);
        leave(s);
        return NULL;
}

pid_t shim_pid(const struct shim *s)
{
        return s->gone ? 0 : s->pid;
}

int shim_failure(const struct shim_message *answer, const char *text, struct err *err)
{
        int r = answer->value < 0 && answer->value >= -4095 ? (int)answer->value : -EIO;
        enum err_kind kind = answer->kind < _ERR_KIND_MAX ? answer->kind : ERR_OTHER;

        return err_set_kind(err, r, kind, "%s", text && *text ? text : strerror(-r));
}

/* Every request that is left, and then the owner. */
static void finish(struct shim *s)
{
        static const char why[] = "the pod's shim died";
        struct shim_message failed = {
                .verb = SHIM_FAILED,
                .value = -ENOTCONN,
                .kind = ERR_OTHER,
        };
        struct list_node *n;

        s->gone = true;
        close_connection(s);
        while (!s->let_go && (n = list_pop(&s->requests))) {
                struct request *q = CONTAINER_OF(n, struct request, node);

                failed.request = q->id;
                failed.verb = q->answered ? SHIM_EV_EXEC_EXITED : SHIM_FAILED;
                failed.value = q->answered ? 128 + SIGKILL : -ENOTCONN;
                if (q->answer)
                        q->answer(&failed, why, NULL, 0, q->userdata);
                free(q);
        }
        if (!s->let_go && s->handler.on_gone)
                s->handler.on_gone(s->userdata);
}

static struct request *find_request(struct shim *s, uint64_t id)
{
        struct request *q;

        LIST_FOREACH (q, &s->requests, node)
                if (q->id == id)
                        return q;
        return NULL;
}

static void on_answer(struct shim *s, const struct shim_message *m, const char *text, int *fds,
                      unsigned n_fds)
{
        struct request *q = find_request(s, m->request);
        shim_answer_fn answer = q ? q->answer : NULL;
        void *userdata = q ? q->userdata : NULL;

        if (!q)
                return;
        if (q->is_exec && m->verb == SHIM_OK)
                q->answered = true; /* its exit comes too */
        else
                request_free(q);
        if (answer)
                answer(m, text, fds, n_fds, userdata);
}

static void acknowledge(struct shim *s, uint64_t sequence)
{
        struct shim_message ack = { .verb = SHIM_ACK, .value = (int64_t)sequence };

        if (sequence && !s->let_go && !s->gone)
                shim_request(s, &ack, NULL, 0, NULL, NULL, NULL);
}

static void dispatch(struct shim *s, const struct shim_message *m, const char *text, int *fds,
                     unsigned n_fds)
{
        switch (m->verb) {
        case SHIM_EV_READY:
                s->handler.on_ready(m, text, s->userdata);
                acknowledge(s, m->sequence);
                break;
        case SHIM_FAILED:
                if (m->request == 0) {
                        s->handler.on_ready(m, text, s->userdata);
                        break;
                }
                on_answer(s, m, text, fds, n_fds);
                break;
        case SHIM_OK:
        case SHIM_EV_EXEC_EXITED:
                on_answer(s, m, text, fds, n_fds);
                acknowledge(s, m->sequence);
                break;
        case SHIM_EV_STATE:
        case SHIM_EV_EXITED:
                if (s->handler.on_state(m, text, s->userdata) == 0)
                        acknowledge(s, m->sequence);
                break;
        case SHIM_EV_END:
                s->handler.on_inventory_end(s->userdata);
                break;
        default:
                log_warn(0, "Shim of sandbox '%s' says something unknown (%u), ignoring it", s->id,
                         m->verb);
        }
}

/* 1: there may be more; 0: the end; -EAGAIN: nothing now; other errno: it is broken. */
static int receive_one(struct shim *s)
{
        char text[SHIM_TEXT_MAX + 1];
        int fds[SHIM_MAX_FDS];
        struct shim_message m;
        unsigned n_fds = 0;
        int r = shim_receive(s->fd, &m, text, fds, &n_fds);

        if (r == -ECONNRESET)
                return 1; /* it left without reading all of ours; what it said is still there */
        if (r <= 0)
                return r;
        m.id[SHIM_ID_SIZE - 1] = '\0';
        dispatch(s, &m, text, fds, n_fds);
        for (unsigned i = 0; i < n_fds; i++)
                safe_close(fds[i]);
        return 1;
}

/* Kills it, if need be, and reaps it, if it is our child. */
static void put_down(struct shim *s)
{
        struct pollfd ended = { .fd = s->pidfd, .events = POLLIN };
        siginfo_t info;

        if (s->pidfd < 0)
                return;
        syscall(SYS_pidfd_send_signal, s->pidfd, SIGKILL, NULL, 0);
        poll(&ended, 1, REAP_WAIT_MSEC);
        waitid(P_PIDFD, (id_t)s->pidfd, &info, WEXITED | WNOHANG);
}

/* The end shows here or at the pidfd; a shim that has hung up is of no more use to its pod. */
static void end(struct shim *s)
{
        put_down(s);
        finish(s);
}

static void receive(struct shim *s, int max)
{
        int r = 1;

        for (int i = 0; i < max && r > 0 && !s->let_go && !s->gone; i++)
                r = receive_one(s);
        if (s->let_go || s->gone || r > 0 || r == -EAGAIN)
                return;
        if (r < 0)
                log_warn(r, "Failed to read from the shim of sandbox '%s', ending it", s->id);
        end(s);
}

static int send_out(struct shim *s)
{
        while (!list_is_empty(&s->outgoing)) {
                struct outgoing *o = LIST_FIRST(&s->outgoing, struct outgoing, node);
                int r = shim_send(s->fd, &o->message, NULL, o->fds, o->n_fds);

                if (r == -EAGAIN)
                        return sd_event_source_set_io_events(s->io_source, EPOLLIN | EPOLLOUT);
                if (r < 0)
                        return r; /* the end of the stream says so too */
                outgoing_free(o);
        }
        return sd_event_source_set_io_events(s->io_source, EPOLLIN);
}

static int on_io(_unused_ sd_event_source *source, _unused_ int fd, uint32_t revents,
                 void *userdata)
{
        struct shim *s = userdata;

        s->busy++;
        if (revents & EPOLLOUT)
                send_out(s);
        if (revents & (EPOLLIN | EPOLLHUP | EPOLLERR))
                receive(s, MESSAGES_PER_WAKEUP);
        leave(s);
        return 0;
}

static int on_process_end(_unused_ sd_event_source *source, _unused_ int fd,
                          _unused_ uint32_t revents, void *userdata)
{
        struct shim *s = userdata;

        s->busy++;
        receive(s, INT32_MAX);
        if (!s->let_go && !s->gone)
                end(s);
        leave(s);
        return 0;
}

static int open_pidfd(struct shim *s, pid_t pid)
{
        int r;

        if (s->pidfd < 0) {
                s->pid = pid;
                s->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
                if (s->pidfd < 0)
                        return -errno;
        }
        r = sd_event_add_io(s->launcher->rt->event, &s->pid_source, s->pidfd, EPOLLIN,
                            on_process_end, s);
        if (r >= 0) /* what it said last comes first */
                r = sd_event_source_set_priority(s->pid_source, SD_EVENT_PRIORITY_NORMAL + 1);
        return r < 0 ? r : 0;
}

static struct shim *shim_new(struct shim_launcher *l, const char *id,
                             const struct shim_handler *handler, void *userdata)
{
        struct shim *s = calloc(1, sizeof *s);

        if (!s)
                return NULL;
        *s = (struct shim){
                .launcher = l,
                .fd = -1,
                .pidfd = -1,
                .handler = *handler,
                .userdata = userdata,
        };
        snprintf(s->id, sizeof s->id, "%s", id);
        list_init(&s->requests);
        list_init(&s->outgoing);
        return s;
}

int shim_spawn(struct shim_launcher *l, const char *id, int plan_fd,
               const struct shim_handler *handler, void *userdata, struct shim **ret,
               struct err *err)
{
        _cleanup_(shim_freep)
        struct shim *s = shim_new(l, id, handler, userdata);
        int r;

        if (!s)
                return err_sys(err, -ENOMEM, "start a shim");
        r = shim_launch(l, id, plan_fd, &s->fd, &s->pidfd, &s->pid, err);
        if (r < 0)
                return r;
        r = sd_event_add_io(l->rt->event, &s->io_source, s->fd, EPOLLIN, on_io, s);
        if (r >= 0)
                r = open_pidfd(s, s->pid);
        if (r < 0) {
                put_down(s);
                return err_sys(err, r, "watch the shim");
        }
        *ret = TAKE_PTR(s);
        return 0;
}

/* Until now nobody could say who is behind the socket: it was skiffd who made it listen. */
static void on_hello(const struct shim_message *answer, const char *text, _unused_ int *fds,
                     _unused_ unsigned n_fds, void *userdata)
{
        struct shim *s = userdata;
        int r;

        if (!answer || s->gone)
                return;
        if (answer->verb != SHIM_OK) {
                log_warn(0, "Shim of sandbox '%s' refuses to talk (%s), ending it", s->id, text);
                end(s);
                return;
        }
        r = answer->value > 1 && answer->value <= INT32_MAX ? open_pidfd(s, (pid_t)answer->value)
                                                            : -EBADMSG;
        if (r < 0)
                log_warn(r, "Failed to watch the shim of sandbox '%s', its end is seen later",
                         s->id);
}

int shim_connect(struct shim_launcher *l, const char *id, const struct shim_handler *handler,
                 void *userdata, struct shim **ret, struct err *err)
{
        _cleanup_(shim_freep)
        struct shim *s = shim_new(l, id, handler, userdata);
        struct shim_message hello = { .verb = SHIM_HELLO };
        int r;

        if (!s)
                return err_sys(err, -ENOMEM, "connect to a shim");
        r = shim_dial(l, id, &s->fd);
        if (r < 0)
                return err_sys(err, r, "connect to the shim of sandbox '%s'", id);
        r = sd_event_add_io(l->rt->event, &s->io_source, s->fd, EPOLLIN, on_io, s);
        if (r >= 0)
                r = shim_request(s, &hello, NULL, 0, on_hello, s, NULL);
        if (r < 0)
                return err_sys(err, r, "greet the shim of sandbox '%s'", id);
        *ret = TAKE_PTR(s);
        return 0;
}

void shim_kill(struct shim *s)
{
        if (s->pidfd >= 0)
                syscall(SYS_pidfd_send_signal, s->pidfd, SIGKILL, NULL, 0);
}

struct shim *shim_end(struct shim *s)
{
        if (s)
                put_down(s);
        return shim_free(s);
}

static int queue(struct shim *s, const struct shim_message *m, const int *fds, unsigned n_fds)
{
        struct outgoing *o = calloc(1, sizeof *o);

        if (!o)
                return -ENOMEM;
        o->message = *m;
        for (; o->n_fds < n_fds; o->n_fds++) {
                o->fds[o->n_fds] = fcntl(fds[o->n_fds], F_DUPFD_CLOEXEC, 3);
                if (o->fds[o->n_fds] < 0) {
                        int r = -errno;

                        outgoing_free(o);
                        return r;
                }
        }
        list_append(&s->outgoing, &o->node);
        return sd_event_source_set_io_events(s->io_source, EPOLLIN | EPOLLOUT);
}

static int send_or_queue(struct shim *s, const struct shim_message *m, const int *fds,
                         unsigned n_fds)
{
        int r = list_is_empty(&s->outgoing) ? shim_send(s->fd, m, NULL, fds, n_fds) : -EAGAIN;

        return r == -EAGAIN ? queue(s, m, fds, n_fds) : r;
}

int shim_request(struct shim *s, struct shim_message *m, const int *fds, unsigned n_fds,
                 shim_answer_fn answer, void *userdata, uint64_t *ret_request)
{
        struct request *q = NULL;
        int r;

        if (s->gone || s->let_go || s->fd < 0)
                return -ENOTCONN;
        m->version = SHIM_PROTOCOL_VERSION;
        m->request = ++s->last_request;
        if (answer) {
                q = calloc(1, sizeof *q);
                if (!q)
                        return -ENOMEM;
                *q = (struct request){
                        .id = m->request,
                        .is_exec = m->verb == SHIM_EXEC,
                        .answer = answer,
                        .userdata = userdata,
                };
                list_append(&s->requests, &q->node);
        }
        r = send_or_queue(s, m, fds, n_fds);
        if (r < 0 && q)
                request_free(q);
        if (r == -EPIPE || r == -ECONNRESET)
                return -ENOTCONN;
        if (r == 0 && ret_request)
                *ret_request = m->request;
        return r < 0 ? r : 0;
}
