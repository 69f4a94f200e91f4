#include "kubelet/remote-exec.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <termios.h>

#include "base/fs.h"
#include "base/json.h"
#include "base/list.h"
#include "base/log.h"
#include "base/text.h"
#include "kubelet/remote.h"

enum {
        SESSIONS_MAX = 256, /* of the node; whoever is beyond gets 429 */
        CHUNK_MAX = 32 * 1024,
        BACKLOG_MAX = 256 * 1024, /* either way; then the one that writes waits */
        COMMAND_MAX = 1024,
        RESIZE_MAX = 4096,
};

struct output { /* one of the command's two */
        struct session *owner;
        enum remote_channel channel;
        int fd;                  /* owned; -1: at its end, or not wanted */
        sd_event_source *source; /* owned */
};

struct session {
        struct list_node node;
        struct remote_execs *execs;
        struct remote *remote; /* owned */
        struct runtime_op *op; /* owned */
        char *container_id;    /* owned */
        char **command;        /* owned; NULL: attached to the container's own streams */
        struct remote_wants wants;
        struct output out, err;
        int in;                     /* owned; -1: not wanted, or closed */
        sd_event_source *in_source; /* owned; on while .input waits */
        struct strbuf input;        /* not taken by the command yet */
        bool in_ended;              /* the client sends no more */
        struct strbuf resize;       /* the start of an object whose end has not come */
        struct winsize size;        /* last asked for; 0: none */
        bool is_started;
};

struct remote_execs {
        sd_event *event;    /* borrowed */
        struct runtime *rt; /* borrowed */
        usec_t idle_usec;
        struct list sessions;
        struct remote_counts counts; /* .open: those of .sessions */
};

/* ---- ends ---- */

static void close_output(struct output *o)
{
        o->source = sd_event_source_disable_unref(o->source);
        o->fd = safe_close(o->fd);
}

static void close_input(struct session *s)
{
        s->in_source = sd_event_source_disable_unref(s->in_source);
        s->in = safe_close(s->in);
        strbuf_done(&s->input);
}

static void session_free(struct session *s)
{
        list_remove(&s->node);
        s->execs->counts.open--;
        runtime_op_abandon(s->op);
        remote_free(s->remote);
        close_output(&s->out);
        close_output(&s->err);
        close_input(s);
        strbuf_done(&s->resize);
        strv_free(s->command);
        free(s->container_id);
        free(s);
}

static void finish(struct session *s, int exit_code, const char *failure)
{
        struct remote *r = TAKE_PTR(s->remote);

        remote_finish(r, exit_code, failure);
        session_free(s);
}

/* ---- from the command ---- */

/* Bytes sent; 0: nothing there for now; negative: the end. */
static ssize_t pass_on(struct output *o, size_t *ret_waiting)
{
        static char chunk[CHUNK_MAX];
        ssize_t n = read(o->fd, chunk, sizeof chunk);

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return 0;
        if (n <= 0) /* a terminal without a slave is EIO */
                return -1;
        *ret_waiting = remote_send(o->owner->remote, o->channel, chunk, (size_t)n);
        return n;
}

static void set_reading(struct session *s, bool on)
{
        if (s->out.source)
                sd_event_source_set_enabled(s->out.source, on ? SD_EVENT_ON : SD_EVENT_OFF);
        if (s->err.source)
                sd_event_source_set_enabled(s->err.source, on ? SD_EVENT_ON : SD_EVENT_OFF);
}

static int on_output(_unused_ sd_event_source *source, _unused_ int fd, _unused_ uint32_t revents,
                     void *userdata)
{
        struct output *o = userdata;
        size_t waiting = 0;

        if (pass_on(o, &waiting) < 0)
                close_output(o);
        else if (waiting > BACKLOG_MAX)
                set_reading(o->owner, false);
        return 0;
}

static void on_drained(void *userdata)
{
        set_reading(userdata, true);
}

static void pass_on_the_rest(struct session *s)
{
        struct output *const outputs[] = { &s->out, &s->err };

        /* what it has written is there; what it left running may hold the pipe open for ever */
        for (size_t i = 0; i < ARRAY_SIZE(outputs); i++) {
                size_t waiting, total = 0;
                ssize_t n;

                while (outputs[i]->fd >= 0 && total < 4 * BACKLOG_MAX &&
                       (n = pass_on(outputs[i], &waiting)) > 0)
                        total += (size_t)n;
        }
}

static void on_exited(int exit_code, void *userdata)
{
        struct session *s = userdata;

        s->op = NULL;
        pass_on_the_rest(s);
        finish(s, exit_code, NULL);
}

/* ---- to the command ---- */

/* Writes what waits. */
static void flush_input(struct session *s)
{
        while (s->in >= 0 && s->input.len > 0) {
                ssize_t n = write(s->in, s->input.data, s->input.len);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 && errno == EAGAIN)
                        break;
                if (n < 0) { /* it reads no more: the rest reaches nobody */
                        close_input(s);
                        return;
                }
                strbuf_consume(&s->input, (size_t)n);
        }
        if (s->input.len == 0 && s->in_ended && !s->wants.tty) /* a terminal's end is a character */
                close_input(s);
}

static void watch_input(struct session *s)
{
        bool waits = s->in >= 0 && s->input.len > 0;

        if (s->in_source)
                sd_event_source_set_enabled(s->in_source, waits ? SD_EVENT_ON : SD_EVENT_OFF);
        remote_want_input(s->remote, s->input.len < BACKLOG_MAX);
}

static int on_input_wanted(_unused_ sd_event_source *source, _unused_ int fd,
                           _unused_ uint32_t revents, void *userdata)
{
        struct session *s = userdata;

        flush_input(s);
        watch_input(s);
        return 0;
}

static void resize_terminal(struct session *s)
{
        if (s->in >= 0 && s->size.ws_col > 0)
                (void)ioctl(s->in, TIOCSWINSZ, &s->size);
}

/* JSON objects one after another, {"Width":80,"Height":24}, cut anywhere. The last one counts. */
static void take_sizes(struct session *s, const void *data, size_t n)
{
        char *end;

        strbuf_add_n(&s->resize, data, n);
        while (s->resize.data && (end = memchr(s->resize.data, '}', s->resize.len))) {
                size_t len = (size_t)(end + 1 - s->resize.data);
                json_auto_t *size = NULL;

                if (json_parse(s->resize.data, len, false, &size, NULL) == 0) {
                        json_int_t w = json_integer_value(json_object_get(size, "Width"));
                        json_int_t h = json_integer_value(json_object_get(size, "Height"));

                        if (w > 0 && w <= UINT16_MAX && h > 0 && h <= UINT16_MAX)
                                s->size = (struct winsize){ .ws_col = (unsigned short)w,
                                                            .ws_row = (unsigned short)h };
                }
                strbuf_consume(&s->resize, len);
        }
        if (s->resize.len > RESIZE_MAX || s->resize.failed)
                strbuf_done(&s->resize);
        resize_terminal(s);
}

static void on_data(enum remote_channel c, const void *data, size_t n, void *userdata)
{
        struct session *s = userdata;

        if (c == REMOTE_RESIZE) {
                take_sizes(s, data, n);
        } else if (!s->is_started || s->in >= 0) {
                strbuf_add_n(&s->input, data, n);
                flush_input(s);
                watch_input(s);
        }
}

static void on_end(enum remote_channel c, void *userdata)
{
        struct session *s = userdata;

        if (c != REMOTE_STDIN)
                return;
        s->in_ended = true;
        if (s->is_started)
                flush_input(s);
}

/* ---- beginning ---- */

static int watch(struct session *s, int fd, uint32_t events, sd_event_io_handler_t handler,
                 void *userdata, sd_event_source **ret)
{
        int r = fcntl(fd, F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;

        return r < 0 ? r : sd_event_add_io(s->execs->event, ret, fd, events, handler, userdata);
}

static int take_streams(struct session *s, const struct exec_streams *streams)
{
        int r = 0;

        s->in = streams->stdin_fd;
        s->out.fd = streams->stdout_fd;
        s->err.fd = streams->stderr_fd;
        if (s->wants.tty &&
            s->command) { /* one descriptor that is read and written: watched once for each */
                s->out.fd = fcntl(s->in, F_DUPFD_CLOEXEC, 3);
                if (s->out.fd < 0)
                        return -errno;
        }
        if (s->in >= 0)
                r = watch(s, s->in, EPOLLOUT, on_input_wanted, s, &s->in_source);
        if (r >= 0 && s->out.fd >= 0)
                r = watch(s, s->out.fd, EPOLLIN, on_output, &s->out, &s->out.source);
        if (r >= 0 && s->err.fd >= 0)
                r = watch(s, s->err.fd, EPOLLIN, on_output, &s->err, &s->err.source);
        return r;
}

static void on_started(int r, const struct exec_streams *streams, const struct err *err,
                       void *userdata)
{
        struct session *s = userdata;

        if (r < 0) {
                s->op = NULL;
                finish(s, -1, err_text(err));
                return;
        }
        s->is_started = true;
        if (!s->command)
                s->op = NULL;
        if (take_streams(s, streams) < 0) {
                finish(s, -1, "out of memory");
                return;
        }
        resize_terminal(s);
        flush_input(s);
        watch_input(s);
}

static void on_ready(void *userdata)
{
        struct session *s = userdata;
        const struct exec_options options = {
                .argv = (const char *const *)s->command,
                .want_stdin = s->wants.in,
                .want_stdout = s->wants.out,
                .want_stderr = s->wants.err && !s->wants.tty,
                .tty = s->wants.tty,
        };
        _cleanup_err_ struct err err = { 0 };
        int r = s->command ? exec_stream(s->execs->rt, s->container_id, &options, on_started,
                                         on_exited, s, &s->op, &err)
                           : container_attach(s->execs->rt, s->container_id, &options, on_started,
                                              s, &s->op, &err);

        if (r < 0)
                finish(s, -1, err_text(&err));
}

static void on_gone(const char *why, void *userdata)
{
        struct session *s = userdata;

        s->execs->counts.broken += why != NULL;
        if (why)
                log_info("Who was connected to container '%.12s' is gone: %s", s->container_id,
                         why);
        session_free(s);
}

/* ---- the request ---- */

static bool is_asked(const struct http_exchange *x, const char *key)
{
        const char *v = http_exchange_query(x, key);

        return v && (streq(v, "1") || streq(v, "true"));
}

/* The command as a vector; NULL: @x was answered. */
static char **command_of(struct http_exchange *x)
{
        static const char *words[COMMAND_MAX];
        size_t n = http_exchange_query_all(x, "command", words, COMMAND_MAX);
        char **command = NULL;

        if (n == 0 || n > COMMAND_MAX) {
                http_answer_text(x, 400, "command: expected 1 to %d words, not %zu", COMMAND_MAX,
                                 n);
                return NULL;
        }
        for (size_t i = 0; i < n; i++)
                if (strv_append(&command, words[i]) < 0) {
                        http_answer_text(x, 500, "out of memory");
                        return strv_free(command);
                }
        return command;
}

void remote_execs_container_ended(struct remote_execs *e, const char *container_id)
{
        struct session *s, *next;

        LIST_FOREACH_SAFE (s, next, &e->sessions, node) {
                if (s->command || !s->is_started || !streq(s->container_id, container_id))
                        continue;
                pass_on_the_rest(s);
                finish(s, 0, NULL); /* the pod's status tells how it ended */
        }
}

static void handle(struct remote_execs *e, struct http_exchange *x, const char *container_id,
                   bool attach, bool is_local)
{
        static const struct remote_ops ops = { on_data, on_end, on_ready, on_drained, on_gone };
        struct remote_options options = {
                .event = e->event,
                .wants = { .in = is_asked(x, "input"),
                           .out = is_asked(x, "output"),
                           .err = is_asked(x, "error"),
                           .tty = is_asked(x, "tty") },
                .is_local = is_local,
                .idle_usec = is_local ? USEC_NEVER : e->idle_usec,
                .ops = &ops,
        };
        struct session *s;
        char **command = NULL;

        if (!options.wants.in && !options.wants.out && !options.wants.err) {
                http_answer_text(x, 400, "you must specify at least 1 of stdin, stdout, stderr");
                return;
        }
        if (e->counts.open >= SESSIONS_MAX) {
                e->counts.refused++;
                http_answer_text(x, 429, "%d commands and attachments run already", SESSIONS_MAX);
                return;
        }
        if (!attach)
                command = command_of(x);
        if (!attach && !command)
                return;
        s = calloc(1, sizeof *s);
        if (!s || !(s->container_id = strdup(container_id))) {
                free(s);
                strv_free(command);
                http_answer_text(x, 500, "out of memory");
                return;
        }
        s->execs = e;
        s->command = command;
        s->wants = options.wants;
        s->in = -1;
        s->out = (struct output){ .owner = s, .channel = REMOTE_STDOUT, .fd = -1 };
        s->err = (struct output){ .owner = s, .channel = REMOTE_STDERR, .fd = -1 };
        list_append(&e->sessions, &s->node);
        e->counts.open++;
        e->counts.started++;
        options.userdata = s;
        s->remote = remote_open(x, &options);
        if (!s->remote)
                session_free(s);
}

void remote_execs_handle(struct remote_execs *e, struct http_exchange *x, const char *container_id,
                         bool attach)
{
        handle(e, x, container_id, attach, false);
}

void remote_execs_handle_local(struct remote_execs *e, struct http_exchange *x,
                               const char *container_id, bool attach)
{
        handle(e, x, container_id, attach, true);
}

void remote_execs_read_counts(const struct remote_execs *e, struct remote_counts *ret)
{
        *ret = e->counts;
}

int remote_execs_new(sd_event *event, struct runtime *rt, usec_t idle_usec,
                     struct remote_execs **ret)
{
        struct remote_execs *e = calloc(1, sizeof *e);

        if (!e)
                return -ENOMEM;
        *e = (struct remote_execs){ .event = event, .rt = rt, .idle_usec = idle_usec };
        list_init(&e->sessions);
        *ret = e;
        return 0;
}

struct remote_execs *remote_execs_free(struct remote_execs *e)
{
        struct session *s, *next;

        if (!e)
                return NULL;
        LIST_FOREACH_SAFE (s, next, &e->sessions, node)
                session_free(s);
        free(e);
        return NULL;
}
