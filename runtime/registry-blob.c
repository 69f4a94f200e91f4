/*
 * Blobs as streams. The pipe gets the blob's bytes once and in order, however often the connection
 * breaks: a new request asks for the rest by Range, and what a server without ranges sends again is
 * skipped. An endpoint that fails for good makes room for the next one. Whether the bytes are the
 * right ones is for the reader of the pipe to say.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>

#include "base/text.h"
#include "runtime/registry-internal.h"

enum {
        ATTEMPTS_WITHOUT_PROGRESS = 4, /* at one endpoint */
        TRANSFERS_MAX = 16,
        RETRY_AFTER_MAX_SEC = 10,
        PIPE_SIZE = 1 << 20,
};

struct registry_transfer {
        struct registry *registry; /* borrowed */
        struct list_node node;
        char *digest;
        uint64_t size, sent; /* sent: into the pipe or the buffer below */
        int fd;              /* owned: write end, non-blocking */
        struct registry_transfer_events events;
        struct http_stream *stream; /* NULL: between attempts, or all is sent */
        struct strbuf buffer;       /* what did not fit into the pipe */
        size_t buffer_at;

        size_t endpoint_offset; /* from registry->first */
        struct registry_url url;
        bool authorized;
        unsigned hops, failures;
        uint64_t skip, attempt_began_at;
        bool whole;      /* ranges are of no use here: ask for all of it */
        usec_t retry_at; /* 0: no attempt is due */
        struct backoff backoff;
};

static struct registry_endpoint_state *endpoint(const struct registry_transfer *t)
{
        struct registry *r = t->registry;

        return &r->endpoints[(r->first + t->endpoint_offset) % r->n_endpoints];
}

static void transfer_free(struct registry_transfer *t)
{
        list_remove(&t->node);
        http_stream_cancel(t->stream);
        safe_close(t->fd);
        strbuf_done(&t->buffer);
        registry_url_done(&t->url);
        free(t->digest);
        free(t);
}

static void end(struct registry_transfer *t, int r, const struct err *err)
{
        t->fd = safe_close(t->fd); /* the reader sees the end, or that it came too early */
        t->events.done(t, r, err, t->events.userdata);
        transfer_free(t);
}

void registry_transfers_free(struct registry *r)
{
        struct registry_transfer *t, *next;

        LIST_FOREACH_SAFE (t, next, &r->transfers, node)
                transfer_free(t);
}

uint64_t registry_transfer_bytes(const struct registry_transfer *t)
{
        return t->sent;
}

/* ---- into the pipe ---- */

/* Writes as much as goes; the rest is kept. */
static int push(struct registry_transfer *t, const char *data, size_t n)
{
        while (n > 0) {
                ssize_t k = write(t->fd, data, n);

                if (k < 0 && errno == EINTR)
                        continue;
                if (k < 0 && errno == EAGAIN)
                        break;
                if (k < 0)
                        return -errno;
                data += k;
                n -= (size_t)k;
        }
        if (n > 0)
                strbuf_add_n(&t->buffer, data, n);
        return t->buffer.failed ? -ENOMEM : 0;
}

static bool is_waiting(const struct registry_transfer *t)
{
        return t->buffer.len > t->buffer_at;
}

/* The pipe has room again. */
static int flush(struct registry_transfer *t)
{
        while (is_waiting(t)) {
                ssize_t k = write(t->fd, t->buffer.data + t->buffer_at,
                                  t->buffer.len - t->buffer_at);

                if (k < 0 && errno == EINTR)
                        continue;
                if (k < 0)
                        return errno == EAGAIN ? 0 : -errno;
                t->buffer_at += (size_t)k;
        }
        t->buffer.len = t->buffer_at = 0;
        return 0;
}

/* ---- attempts ---- */

static int on_data(struct http_stream *s, const void *data, size_t n, void *userdata)
{
        struct registry_transfer *t = userdata;
        size_t skip;
        int r;

        if (is_waiting(t))
                return 1;
        if (t->skip == UINT64_MAX) { /* the first bytes: where do they belong? */
                uint64_t from = http_stream_status(s) == 206 ? http_stream_first_byte(s) : 0;

                if (from > t->sent)
                        return -EPROTO;
                t->skip = t->sent - from;
        }
        skip = (size_t)MIN(t->skip, n);
        t->skip -= skip;
        n -= skip;
        if (n > t->size - t->sent)
                return -EOVERFLOW;
        r = push(t, (const char *)data + skip, n);
        if (r == 0)
                t->sent += n;
        return r;
}

static void on_done(struct http_stream *s, int r, const struct http_answer *answer,
                    const struct err *err, void *userdata);

static int attempt(struct registry_transfer *t, struct err *err)
{
        static const struct http_stream_events callbacks = { .data = on_data, .done = on_done };
        struct http_stream_events events = callbacks;
        struct registry_endpoint_state *e = endpoint(t);
        bool own = registry_url_same_origin(&t->url, &e->url);
        struct http_ask ask = {
                .url = &t->url,
                .tls_host = own ? e->job->tls_host : NULL,
                .authorization = t->authorized ? registry_authorization(e) : NULL,
                .refuse_internal = !own && !e->internal,
                .offset = t->whole ? 0 : t->sent,
        };

        events.userdata = t;
        t->retry_at = 0;
        t->skip = UINT64_MAX;
        t->attempt_began_at = t->sent;
        return registry_http_stream(t->registry->http, &ask, &events, &t->stream, err);
}

/* From the blob's own URL at the endpoint at hand. */
static int begin(struct registry_transfer *t, struct err *err)
{
        int r;

        registry_url_done(&t->url);
        t->hops = 0;
        t->authorized = true;
        r = registry_object_url(endpoint(t), "blobs", t->digest, &t->url, err);
        return r < 0 ? r : attempt(t, err);
}

/* What failed is tried again here later, or at the next endpoint now, or it ends the transfer. */
static void fail(struct registry_transfer *t, int r, struct err *err, uint32_t retry_after_sec)
{
        if (t->sent > t->attempt_began_at) { /* slowly is well enough */
                t->failures = 0;
                backoff_reset(&t->backoff);
        }
        if (registry_error_is_temporary(err) && ++t->failures < ATTEMPTS_WITHOUT_PROGRESS) {
                usec_t wait = MAX(backoff_next(&t->backoff),
                                  MIN(retry_after_sec, RETRY_AFTER_MAX_SEC) * USEC_PER_SEC);

                t->retry_at = now_monotonic() + wait;
                return;
        }
        while (r < 0 && r != -ENOMEM && ++t->endpoint_offset < t->registry->n_endpoints) {
                t->failures = 0;
                backoff_reset(&t->backoff);
                r = begin(t, err);
        }
        if (r < 0)
                end(t, registry_final_error(r, err), err);
}

static void fail_with(struct registry_transfer *t, const struct http_answer *answer)
{
        _cleanup_err_ struct err err = { 0 };
        int r = registry_status_error(endpoint(t), answer, &err);

        fail(t, r, &err, answer->retry_after_sec);
}

static void follow(struct registry_transfer *t, const struct http_answer *answer)
{
        _cleanup_err_ struct err err = { 0 };
        int r = registry_redirect(endpoint(t), answer, &t->url, &t->hops, &err);

        if (r >= 0) {
                t->authorized = t->authorized && r == 1;
                r = attempt(t, &err);
        }
        if (r < 0)
                fail(t, r, &err, 0);
}

static void log_in(struct registry_transfer *t, const struct http_answer *answer)
{
        _cleanup_err_ struct err err = { 0 };
        int r = registry_login(t->registry, endpoint(t), answer, &err);

        if (r == 0)
                return fail_with(t, answer);
        if (r == 1)
                r = begin(t, &err);
        if (r < 0)
                fail(t, r, &err, 0);
}

static void on_complete(struct registry_transfer *t)
{
        _cleanup_err_ struct err err = { 0 };
        int r;

        if (t->sent == t->size) {
                endpoint(t)->authorization_works |= endpoint(t)->authorization != NULL;
                if (!is_waiting(t))
                        end(t, 0, NULL);
                return; /* else when the pipe has taken the rest */
        }
        r = err_set_kind(&err, -EIO, ERR_UNREACHABLE, "'%s': blob ended after %llu of %llu bytes",
                         t->url.host, (unsigned long long)t->sent, (unsigned long long)t->size);
        fail(t, r, &err, 0);
}

static void on_failure(struct registry_transfer *t, int r, const struct err *why)
{
        _cleanup_err_ struct err err = { 0 };

        if (r == -EPIPE || r == -ENOMEM)
                return end(t, r, why);
        if (r == -EPROTO)
                err_set_kind(&err, r, ERR_IMAGE_PULL,
                             "'%s': sends another range than was asked for", t->url.host);
        else if (r == -EOVERFLOW)
                err_set_kind(&err, r, ERR_IMAGE_VERIFY,
                             "'%s': sends more than the %llu bytes that the manifest says",
                             t->url.host, (unsigned long long)t->size);
        else
                err_set_kind(&err, r, why->kind, "%s", err_text(why));
        fail(t, r, &err, 0);
}

static void on_done(_unused_ struct http_stream *s, int r, const struct http_answer *answer,
                    const struct err *err, void *userdata)
{
        struct registry_transfer *t = userdata;
        struct registry_endpoint_state *e = endpoint(t);

        t->stream = NULL;
        if (registry_url_same_origin(&t->url, &e->url))
                e->internal |= answer->internal;
        if (r < 0)
                return on_failure(t, r, err);
        if (answer->status == 200 || answer->status == 206)
                return on_complete(t);
        if (registry_is_redirect(answer->status))
                return follow(t, answer);
        if ((answer->status == 401 || answer->status == 403) && t->authorized)
                return log_in(t, answer);
        if (answer->status == 416 && !t->whole && t->sent > 0) {
                _cleanup_err_ struct err why = { 0 };
                int k;

                t->whole = true;
                k = begin(t, &why);
                if (k < 0)
                        fail(t, k, &why, 0);
                return;
        }
        fail_with(t, answer);
}

int registry_transfer(struct registry *r, const char *digest, uint64_t size, int fd,
                      const struct registry_transfer_events *events, struct registry_transfer **ret,
                      struct err *err)
{
        struct registry_transfer *t = calloc(1, sizeof *t);
        int k;

        if (!t) {
                safe_close(fd);
                return err_sys(err, -ENOMEM, "transfer blob");
        }
        *t = (struct registry_transfer){
                .registry = r,
                .digest = strdup(digest),
                .size = size,
                .fd = fd,
                .events = *events,
                .backoff = { .initial_usec = USEC_PER_SEC / 4, .max_usec = 4 * USEC_PER_SEC },
        };
        list_append(&r->transfers, &t->node);
        fcntl(fd, F_SETPIPE_SZ, PIPE_SIZE); /* fewer turns between two processes; else smaller */
        k = t->digest && fcntl(fd, F_SETFL, O_NONBLOCK) == 0 ? 0 : err_sys(err, -ENOMEM, "blob");
        if (k == 0)
                k = begin(t, err);
        if (k < 0) {
                transfer_free(t);
                return k;
        }
        *ret = t;
        return 0;
}

/* ---- the loop ---- */

/* A pipe may have room again, or its reader is gone. */
static void on_room(struct registry_transfer *t)
{
        int r = flush(t);

        if (r < 0) {
                _cleanup_err_ struct err err = { 0 };

                err_sys(&err, r, "hand on blob '%s'", t->digest);
                return end(t, r, &err);
        }
        if (is_waiting(t))
                return;
        if (t->stream)
                http_stream_resume(t->stream);
        else if (t->sent == t->size)
                end(t, 0, NULL);
}

static void start_due(struct registry *r)
{
        struct registry_transfer *t, *next;
        usec_t now = now_monotonic();

        LIST_FOREACH_SAFE (t, next, &r->transfers, node) {
                _cleanup_err_ struct err err = { 0 };
                int k;

                if (t->retry_at == 0 || t->retry_at > now || is_waiting(t))
                        continue;
                t->retry_at = 0;
                k = begin(t, &err);
                if (k < 0)
                        fail(t, k, &err, 0);
        }
}

int registry_run(struct registry *r, int fd, unsigned timeout_ms, struct err *err)
{
        struct pollfd fds[TRANSFERS_MAX + 1];
        struct registry_transfer *t, *next;
        size_t n = 0;
        int k;

        start_due(r);
        k = registry_http_perform(r->http, err);
        if (k != 0)
                return MIN(k, 0);
        /* only now is it known which pipes are full: what is not waited for here costs a time-out
         */
        LIST_FOREACH (t, &r->transfers, node) {
                if (t->retry_at)
                        timeout_ms = MIN(timeout_ms, 100);
                if (is_waiting(t) && n < TRANSFERS_MAX)
                        fds[n++] = (struct pollfd){ .fd = t->fd, .events = POLLOUT };
        }
        if (fd >= 0)
                fds[n++] = (struct pollfd){ .fd = fd, .events = POLLIN };
        k = registry_http_wait(r->http, fds, n, timeout_ms, err);
        if (k < 0)
                return k;
        LIST_FOREACH_SAFE (t, next, &r->transfers, node)
                if (is_waiting(t)) /* a pipe without a reader is not told by libcurl: just try */
                        on_room(t);
        return 0;
}
