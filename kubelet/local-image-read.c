#include "kubelet/local-image-read.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/fs.h"
#include "base/list.h"
#include "base/log.h"
#include "base/text.h"

enum { CHUNK_MAX = 64 * 1024, BACKLOG_MAX = 256 * 1024, PIPE_BYTES = 1 << 20 };

struct image_read {
        struct list_node node;
        struct http_exchange *x; /* borrowed */
        struct runtime_op *op;   /* owned; NULL: skiff-image is done */
        int fd;                  /* owned: the pipe's end; -1: all was read */
        sd_event_source *source; /* owned */
        const char *content_type;
        struct err err; /* of skiff-image, when .failed */
        bool failed, streaming;
};

struct local_image_reads {
        sd_event *event;    /* borrowed */
        struct runtime *rt; /* borrowed */
        struct list reads;
};

static void read_free(struct image_read *r)
{
        list_remove(&r->node);
        runtime_op_abandon(r->op);
        sd_event_source_disable_unref(r->source);
        safe_close(r->fd);
        err_done(&r->err);
        free(r);
}

static void on_drained(_unused_ struct http_exchange *x, void *userdata)
{
        struct image_read *r = userdata;

        if (r->source)
                sd_event_source_set_enabled(r->source, SD_EVENT_ON);
}

static void on_closed(_unused_ struct http_exchange *x, void *userdata)
{
        read_free(userdata);
}

/* 0; -ENOMEM: it was not begun. */
static int begin_stream(struct image_read *r)
{
        static const struct http_stream_ops ops = { on_drained, on_closed };

        if (r->streaming)
                return 0;
        if (http_stream_begin(r->x, 200, r->content_type, &ops, r) < 0)
                return -ENOMEM;
        r->streaming = true;
        return 0;
}

static void break_off(struct image_read *r, int status, const char *why)
{
        if (r->streaming) {
                log_warn(0, "Broke off reading an image: %s", why);
                http_stream_abort(r->x);
        } else {
                local_api_fail(r->x, status, why);
        }
        read_free(r);
}

/* Once skiff-image has ended and all that it wrote was passed on. */
static void finish_if_done(struct image_read *r)
{
        if (r->op || r->fd >= 0)
                return;
        if (r->failed)
                return break_off(r, r->err.kind == ERR_IMAGE_NOT_PRESENT ? 404 : 500,
                                 err_text(&r->err));
        if (begin_stream(r) < 0)
                return break_off(r, 500, "out of memory");
        http_stream_end(r->x);
        read_free(r);
}

static void on_done(int result, const struct err *err, void *userdata)
{
        struct image_read *r = userdata;

        r->op = NULL;
        r->failed = result < 0;
        if (r->failed)
                err_set_kind(&r->err, result, err->kind, "%s", err_text(err));
        finish_if_done(r);
}

static int on_bytes(_unused_ sd_event_source *source, int fd, _unused_ uint32_t revents,
                    void *userdata)
{
        static char chunk[CHUNK_MAX];
        struct image_read *r = userdata;
        ssize_t n = read(fd, chunk, sizeof chunk);

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return 0;
        if (n <= 0) {
                r->source = sd_event_source_disable_unref(r->source);
                r->fd = safe_close(r->fd);
                finish_if_done(r);
        } else if (begin_stream(r) < 0) {
                break_off(r, 500, "out of memory");
        } else if (http_stream_write(r->x, chunk, (size_t)n) > BACKLOG_MAX) {
                sd_event_source_set_enabled(r->source, SD_EVENT_OFF);
        }
        return 0;
}

static int start(struct local_image_reads *all, struct image_read *r, const char *name,
                 bool is_export, struct err *err)
{
        int ends[2], k;

        if (pipe2(ends, O_CLOEXEC) < 0)
                return err_sys(err, -errno, "make a pipe");
        r->fd = ends[0];
        fcntl(ends[1], F_SETPIPE_SZ, PIPE_BYTES); /* less is fine, too */
        k = fcntl(r->fd, F_SETFL, O_NONBLOCK) < 0
                    ? -errno
                    : sd_event_add_io(all->event, &r->source, r->fd, EPOLLIN, on_bytes, r);
        if (k < 0) {
                close(ends[1]);
                return err_sys(err, k, "read a pipe");
        }
        return is_export ? image_export(all->rt, name, ends[1], on_done, r, &r->op, err)
                         : image_verify(all->rt, name, ends[1], on_done, r, &r->op, err);
}

void local_image_read_serve(struct local_image_reads *all, struct http_exchange *x, bool is_export)
{
        const char *name = http_exchange_query(x, "name");
        _cleanup_err_ struct err err = { 0 };
        struct image_read *r;

        if (!local_api_is_method(x, "GET") || !local_api_is_root(x))
                return;
        if (is_export && (!name || !*name))
                return local_api_fail(x, 400, "name: expected an image name or id");
        r = calloc(1, sizeof *r);
        if (!r)
                return local_api_fail(x, 500, "out of memory");
        r->x = x;
        r->fd = -1;
        r->content_type = is_export ? "application/x-tar" : "application/x-ndjson";
        list_append(&all->reads, &r->node);
        http_exchange_on_closed(x, on_closed, r);
        if (start(all, r, name && *name ? name : NULL, is_export, &err) < 0)
                break_off(r,
                          err.kind == ERR_IMAGE_NOT_PRESENT ? 404
                          : err.kind == ERR_TOO_MANY        ? 429
                                                            : 500,
                          err_text(&err));
}

struct local_image_reads *local_image_reads_new(sd_event *event, struct runtime *rt)
{
        struct local_image_reads *all = calloc(1, sizeof *all);

        if (!all)
                return NULL;
        all->event = event;
        all->rt = rt;
        list_init(&all->reads);
        return all;
}

struct local_image_reads *local_image_reads_free(struct local_image_reads *all)
{
        struct image_read *r, *next;

        if (!all)
                return NULL;
        LIST_FOREACH_SAFE (r, next, &all->reads, node)
                read_free(r);
        free(all);
        return NULL;
}
