#include "kubelet/local-exec.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/log.h"
#include "base/text.h"
#include "kubelet/pod-observe.h"

#define CHUNK_MAX   16384
#define BACKLOG_MAX (256 * 1024)

struct stream { /* one of the program's outputs */
        struct session *owner;
        int fd; /* owned; -1: at its end */
        uint8_t frame;
        sd_event_source *source; /* owned */
};

struct session {
        const struct context *ctx;
        struct http_exchange *x; /* NULL: the peer is gone */
        struct runtime_op *op;   /* owned */
        struct stream out, err;
        int exit_code; /* -1: it still runs */
        bool streaming;
};

static void stream_close(struct stream *s)
{
        s->source = sd_event_source_disable_unref(s->source);
        s->fd = safe_close(s->fd);
}

static void session_free(struct session *s)
{
        runtime_op_abandon(s->op);
        stream_close(&s->out);
        stream_close(&s->err);
        free(s);
}

/* Bytes waiting at the peer; negative when it is gone. */
static ssize_t send_frame(struct session *s, uint8_t frame, const void *data, size_t n)
{
        uint8_t header[EXEC_FRAME_HEADER] = { frame };
        uint32_t length = htonl((uint32_t)n);
        ssize_t waiting;

        memcpy(header + 4, &length, sizeof length);
        waiting = http_stream_write(s->x, header, sizeof header);
        return waiting < 0 ? waiting : http_stream_write(s->x, data, n);
}

/* Everything was said: the exit code goes last. */
static void finish_if_done(struct session *s)
{
        char text[32];
        int n;

        if (s->exit_code < 0 || s->out.fd >= 0 || s->err.fd >= 0 || !s->x || !s->streaming)
                return;
        n = snprintf(text, sizeof text, "{\"exitCode\":%d}", s->exit_code);
        send_frame(s, EXEC_FRAME_EXIT, text, (size_t)n);
        http_stream_end(s->x);
        session_free(s);
}

static void set_reading(struct session *s, bool on)
{
        struct stream *const streams[] = { &s->out, &s->err };

        for (size_t i = 0; i < ARRAY_SIZE(streams); i++)
                if (streams[i]->source)
                        sd_event_source_set_enabled(streams[i]->source,
                                                    on ? SD_EVENT_ON : SD_EVENT_OFF);
}

static int on_output(_unused_ sd_event_source *source, int fd, _unused_ uint32_t revents,
                     void *userdata)
{
        struct stream *st = userdata;
        struct session *s = st->owner;
        char chunk[CHUNK_MAX];
        ssize_t n = read(fd, chunk, sizeof chunk);

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return 0;
        if (n <= 0) {
                stream_close(st);
                finish_if_done(s);
                return 0;
        }
        /* a peer that does not read stalls this program alone */
        if (send_frame(s, st->frame, chunk, (size_t)n) > BACKLOG_MAX)
                set_reading(s, false);
        return 0;
}

static void on_drained(_unused_ struct http_exchange *x, void *userdata)
{
        set_reading(userdata, true);
}

static void on_peer_gone(_unused_ struct http_exchange *x, void *userdata)
{
        /* the program gets EPIPE with its next word; it ends with the container at the latest */
        session_free(userdata);
}

static int watch_output(struct session *s, struct stream *st)
{
        int r, fd = st->fd;

        if (fd < 0)
                return 0;
        r = fcntl(fd, F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
        if (r == 0)
                r = sd_event_add_io(s->ctx->event, &st->source, fd, EPOLLIN, on_output, st);
        return r < 0 ? r : 0;
}

static void on_started(int r, const struct exec_streams *streams, const struct err *err,
                       void *userdata)
{
        static const struct http_stream_ops ops = { on_drained, on_peer_gone };
        struct session *s = userdata;

        if (r < 0) {
                s->op = NULL;
                local_api_fail(s->x,
                               err->kind == ERR_COMMAND_NOT_FOUND ||
                                               err->kind == ERR_COMMAND_NOT_EXECUTABLE
                                       ? 400
                                       : 500,
                               err_text(err));
                session_free(s);
                return;
        }
        safe_close(streams->stdin_fd);
        s->out =
                (struct stream){ .owner = s, .fd = streams->stdout_fd, .frame = EXEC_FRAME_STDOUT };
        s->err =
                (struct stream){ .owner = s, .fd = streams->stderr_fd, .frame = EXEC_FRAME_STDERR };
        r = http_stream_begin(s->x, 200, "application/vnd.skiff.exec-frames", &ops, s);
        if (r < 0) {
                local_api_fail(s->x, 500, "out of memory");
                session_free(s);
                return;
        }
        s->streaming = true;
        if (watch_output(s, &s->out) < 0 || watch_output(s, &s->err) < 0) {
                http_stream_abort(s->x);
                session_free(s);
                return;
        }
        finish_if_done(s);
}

static void on_exited(int exit_code, void *userdata)
{
        struct session *s = userdata;

        s->op = NULL;
        s->exit_code = exit_code;
        finish_if_done(s);
}

struct search {
        const char *uid, *name;
        const struct container_status *found;
};

static void match(const struct container_status *c, void *userdata)
{
        struct search *s = userdata;
        const char *uid = string_map_get(c->labels, LABEL_POD_UID);
        const char *name = string_map_get(c->labels, LABEL_CONTAINER_NAME);

        if (uid && name && streq(uid, s->uid) && streq(name, s->name) &&
            c->state == CONTAINER_RUNNING)
                s->found = c;
}

const struct container_status *pod_running_container(const struct context *ctx,
                                                     const struct pod *pod, const char *name,
                                                     struct err *err)
{
        struct search s = { .uid = pod->uid, .name = name ? name : pod->containers[0].name };

        if (!pod_find_container(pod, s.name)) {
                err_set_kind(err, -ENOENT, ERR_NOT_FOUND, "container %s is not valid for pod %s",
                             s.name, pod->name);
                return NULL;
        }
        container_foreach(ctx->rt, NULL, match, &s);
        if (!s.found)
                err_set_kind(err, -ESRCH, ERR_NOT_RUNNING, "container %s of pod %s does not run",
                             s.name, pod->name);
        return s.found;
}

/* The command as a vector; NULL after the answer. */
static char **command_of(struct http_exchange *x, const json_t *body)
{
        _cleanup_strv_ char **command = NULL;
        _cleanup_err_ struct err err = { 0 };
        const json_t *value = json_object_get(body, "command");

        if (!value || decode_strv(value, &command, NULL, &err) < 0 || !command || !command[0]) {
                local_api_fail(x, 400, "command: expected an array of at least one string");
                return NULL;
        }
        return TAKE_PTR(command);
}

void local_exec_serve(const struct context *ctx, struct http_exchange *x, const struct pod *pod,
                      const json_t *body)
{
        _cleanup_strv_ char **command = command_of(x, body);
        _cleanup_err_ struct err err = { 0 };
        const json_t *container = json_object_get(body, "container");
        const struct container_status *c;
        const struct exec_options options = { .argv = (const char *const *)command,
                                              .want_stdout = true,
                                              .want_stderr = true };
        struct session *s;

        if (!command)
                return;
        if (container && !json_is_null(container) && !json_is_string(container))
                return local_api_fail(x, 400, "container: expected a string");
        c = pod_running_container(ctx, pod,
                                  json_string_length(container) ? json_string_value(container)
                                                                : NULL,
                                  &err);
        if (!c)
                return local_api_fail(x, err.kind == ERR_NOT_FOUND ? 404 : 409, err_text(&err));
        s = calloc(1, sizeof *s);
        if (!s)
                return local_api_fail(x, 500, "out of memory");
        *s = (struct session){ .ctx = ctx, .x = x, .out.fd = -1, .err.fd = -1, .exit_code = -1 };
        http_exchange_on_closed(x, on_peer_gone, s);
        if (exec_stream(ctx->rt, c->id, &options, on_started, on_exited, s, &s->op, &err) < 0) {
                session_free(s);
                local_api_fail(x, 500, err_text(&err));
        }
}
