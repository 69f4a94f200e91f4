#include "kubelet/server-logs.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/fs.h"
#include "base/list.h"
#include "base/log.h"
#include "base/text.h"
#include "kubelet/log-read.h"
#include "kubelet/log-target.h"

enum { STREAMS_MAX = 512 };

struct server_logs {
        sd_event *event;    /* reference */
        char *pod_logs_dir; /* owned */
        struct server_ops ops;
        void (*fail)(struct http_exchange *x, int status, const char *message);
        struct list streams;
        size_t n_streams;
};

struct log_stream_out {
        struct server_logs *logs;       /* borrowed */
        struct http_exchange *exchange; /* borrowed until it is finished or closed */
        struct log_reader *reader;      /* owned */
        char *container_id;             /* owned */
        struct list_node in_logs;
};

static void fail_as_text(struct http_exchange *x, int status, const char *message)
{
        http_answer_text(x, status, "%s", message);
}

int server_logs_new(sd_event *event, const char *pod_logs_dir, const struct server_ops *ops,
                    void (*fail)(struct http_exchange *x, int status, const char *message),
                    struct server_logs **ret)
{
        struct server_logs *l = malloc(sizeof *l);

        if (!l)
                return -ENOMEM;
        *l = (struct server_logs){ .event = sd_event_ref(event),
                                   .pod_logs_dir = strdup(pod_logs_dir),
                                   .ops = *ops,
                                   .fail = fail ? fail : fail_as_text };
        list_init(&l->streams);
        if (!l->pod_logs_dir) {
                server_logs_free(l);
                return -ENOMEM;
        }
        *ret = l;
        return 0;
}

struct server_logs *server_logs_free(struct server_logs *l)
{
        if (!l)
                return NULL;
        sd_event_unref(l->event);
        free(l->pod_logs_dir);
        free(l);
        return NULL;
}

static struct log_stream_out *stream_free(struct log_stream_out *s)
{
        if (!s)
                return NULL;
        list_remove(&s->in_logs);
        s->logs->n_streams--;
        log_reader_free(s->reader);
        free(s->container_id);
        free(s);
        return NULL;
}
DEFINE_CLEANUP(struct log_stream_out *, stream_free)

static ssize_t on_log(const void *data, size_t n, void *userdata)
{
        struct log_stream_out *s = userdata;

        return http_stream_write(s->exchange, data, n);
}

static void on_log_done(const struct err *err, void *userdata)
{
        struct log_stream_out *s = userdata;
        struct http_exchange *x = s->exchange;

        if (err)
                log_warn(0, "Broke off a log: %s", err_text(err));
        stream_free(s);
        if (err)
                http_stream_abort(x);
        else
                http_stream_end(x);
}

static const struct log_reader_ops reader_ops = { .write = on_log, .done = on_log_done };

static void on_drained(struct http_exchange _unused_ *x, void *userdata)
{
        struct log_stream_out *s = userdata;

        log_reader_resume(s->reader);
}

static void on_closed(struct http_exchange _unused_ *x, void *userdata)
{
        stream_free(userdata);
}

static const struct http_stream_ops stream_ops = { .on_drained = on_drained,
                                                   .on_closed = on_closed };

/*
 * Opens the folder of a log below the folder of all logs, without following links: a tenant may
 * have a volume of it. *ret_base: the file's name, borrowed from @path.
 */
static int open_log_folder(const struct server_logs *l, const char *path, const char **ret_base,
                           struct err *err)
{
        const char *below = startswith(path, l->pod_logs_dir), *slash;
        _cleanup_free_ char *folder = NULL;
        _cleanup_close_ int root_fd = -1;
        int fd;

        slash = below && *below == '/' ? strrchr(below + 1, '/') : NULL;
        if (!slash || !slash[1])
                return err_set(err, -EINVAL, "log '%s' is not below '%s'", path, l->pod_logs_dir);
        folder = strndup(below + 1, (size_t)(slash - below - 1));
        if (!folder)
                return -ENOMEM;
        root_fd = open(l->pod_logs_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (root_fd < 0)
                return err_sys(err, -errno, "folder '%s'", l->pod_logs_dir);
        fd = fs_open_beneath(root_fd, folder, O_RDONLY | O_DIRECTORY, 0);
        if (fd < 0)
                return err_sys(err, fd, "folder of log '%s'", path);
        *ret_base = slash + 1;
        return fd;
}

/* Everything up to the first byte; on success the exchange belongs to the stream. */
static int start(struct server_logs *l, struct http_exchange *x, const char *container_id,
                 const struct log_options *options, struct err *err)
{
        _cleanup_(stream_freep)
        struct log_stream_out *s = NULL;
        _cleanup_free_ char *path = NULL;
        const char *base;
        bool is_running;
        int fd, r;

        r = l->ops.find_log(container_id, &path, &is_running, l->ops.userdata);
        if (r < 0)
                return err_set(err, r, "the log of container '%s' is gone", container_id);
        s = calloc(1, sizeof *s);
        if (!s)
                return -ENOMEM;
        s->logs = l;
        s->exchange = x;
        list_append(&l->streams, &s->in_logs);
        l->n_streams++;
        s->container_id = strdup(container_id);
        if (!s->container_id)
                return -ENOMEM;
        fd = open_log_folder(l, path, &base, err);
        if (fd < 0)
                return fd;
        r = log_reader_new(l->event, fd, base, options, is_running, &reader_ops, s, &s->reader,
                           err);
        if (r < 0)
                return r;
        r = http_stream_begin(x, 200, "text/plain", &stream_ops, s);
        if (r < 0)
                return r;
        TAKE_PTR(s);
        return 0;
}

static const char *get_query(const void *userdata, const char *key)
{
        return http_exchange_query(userdata, key);
}

/* 0, or the status to refuse with. */
static int find_pod(const struct server_logs *l, const char *namespace, const char *pod,
                    const char *container, json_t **ret_status, struct err *err)
{
        switch (l->ops.pod_status(namespace, pod, container, ret_status, l->ops.userdata)) {
        case SERVER_NO_POD:
                err_set(err, 0, "pod \"%s\" does not exist", pod);
                return 404;
        case SERVER_NO_CONTAINER:
                err_set(err, 0, "container \"%s\" not found in pod \"%s\"", container, pod);
                return 404;
        case SERVER_FOUND:
                break;
        }
        return 0;
}

void server_logs_handle(struct server_logs *l, struct http_exchange *x, const char *namespace,
                        const char *pod, const char *container)
{
        _cleanup_err_ struct err err = { 0 };
        json_auto_t *status = NULL;
        struct log_options options;
        const char *id;
        int r;

        r = log_options_parse(get_query, x, now_realtime(), &options, &err);
        if (r == 0)
                r = find_pod(l, namespace, pod, container, &status, &err);
        if (r == 0 && l->n_streams >= STREAMS_MAX) {
                err_set(&err, 0, "%d logs are being read already", STREAMS_MAX);
                r = 429;
        }
        if (r == 0)
                r = log_target_choose(status, pod, container, options.previous, &id, &err);
        if (r == 0)
                r = start(l, x, id, &options, &err);
        if (r != 0)
                l->fail(x, r > 0 ? r : r == -ENOMEM ? 500 : 400, err_text(&err));
}

void server_logs_container_ended(struct server_logs *l, const char *container_id)
{
        struct log_stream_out *s, *next;

        LIST_FOREACH_SAFE (s, next, &l->streams, in_logs)
                if (streq(s->container_id, container_id))
                        log_reader_container_ended(s->reader);
}
