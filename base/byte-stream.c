#include "base/byte-stream.h"

#include <errno.h>
#include <linux/sockios.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

struct byte_stream {
        int fd;                   /* owned */
        SSL *ssl;                 /* owned; NULL: plain */
        sd_event_source *io;      /* owned */
        sd_event_source *pending; /* owned; tells of bytes that the socket will not tell of */
        const struct byte_stream_ops *ops;
        void *userdata;
        char *out;              /* owned; NULL when nothing waits */
        size_t out_at, out_len; /* what waits is out[out_at .. out_len) */
        size_t out_cap;
        char *unread; /* owned */
        size_t unread_at, unread_len;
        bool want_read;
        bool is_handshake_done;
        bool read_wants_write; /* TLS must send before it can go on reading */
        bool write_wants_read;
        bool hangup_seen;
        bool is_broken; /* a TLS error: no close_notify may follow */
};

/*
 * OpenSSL's own socket BIO writes with write(2), which raises SIGPIPE. This one does not; it keeps
 * the descriptor in its data pointer.
 */
static int bio_fd(BIO *b)
{
        return (int)(intptr_t)BIO_get_data(b);
}

static int bio_result(BIO *b, ssize_t n, int retry_flag)
{
        BIO_clear_retry_flags(b);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                BIO_set_flags(b, retry_flag | BIO_FLAGS_SHOULD_RETRY);
        return (int)n;
}

static int bio_read(BIO *b, char *buf, int n)
{
        ssize_t got = recv(bio_fd(b), buf, (size_t)n, 0);

        if (got == 0)
                BIO_set_flags(b, BIO_FLAGS_IN_EOF);
        return bio_result(b, got, BIO_FLAGS_READ);
}

static int bio_write(BIO *b, const char *buf, int n)
{
        return bio_result(b, send(bio_fd(b), buf, (size_t)n, MSG_NOSIGNAL), BIO_FLAGS_WRITE);
}

static long bio_ctrl(BIO *b, int command, long _unused_ number, void _unused_ *pointer)
{
        if (command == BIO_CTRL_EOF)
                return BIO_test_flags(b, BIO_FLAGS_IN_EOF) != 0;
        return command == BIO_CTRL_FLUSH;
}

static BIO *bio_new(int fd)
{
        static BIO_METHOD *method; /* one for the process, never freed */
        BIO *b;

        if (!method) {
                method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "skiff socket");
                if (!method)
                        return NULL;
                BIO_meth_set_read(method, bio_read);
                BIO_meth_set_write(method, bio_write);
                BIO_meth_set_ctrl(method, bio_ctrl);
        }
        b = BIO_new(method);
        if (!b)
                return NULL;
        BIO_set_data(b, (void *)(intptr_t)fd);
        BIO_set_init(b, 1);
        return b;
}

static void update_events(struct byte_stream *s)
{
        uint32_t events = s->hangup_seen ? 0 : EPOLLRDHUP;

        if (s->want_read || (s->out && s->write_wants_read))
                events |= EPOLLIN;
        if ((s->out && !s->write_wants_read) || (s->want_read && s->read_wants_write))
                events |= EPOLLOUT;
        sd_event_source_set_io_events(s->io, events);
}

/* What an SSL call that returned @r means, as a negative errno or 0 for the peer's end. */
static int ssl_outcome(struct byte_stream *s, int r, bool *ret_wants_write, bool *ret_wants_read)
{
        switch (SSL_get_error(s->ssl, r)) {
        case SSL_ERROR_ZERO_RETURN:
                return 0;
        case SSL_ERROR_WANT_READ:
                *ret_wants_read = true;
                return -EAGAIN;
        case SSL_ERROR_WANT_WRITE:
                *ret_wants_write = true;
                return -EAGAIN;
        default:
                s->is_broken = true;
                return -ECONNRESET;
        }
}

static ssize_t write_some(struct byte_stream *s)
{
        size_t n = s->out_len - s->out_at;
        bool wants_write;
        ssize_t r;

        if (!s->ssl) {
                r = send(s->fd, s->out + s->out_at, n, MSG_NOSIGNAL);
                return r < 0 ? -errno : r;
        }
        s->write_wants_read = false;
        ERR_clear_error();
        r = SSL_write(s->ssl, s->out + s->out_at, (int)MIN(n, (size_t)1 << 20));
        if (r > 0)
                return r;
        r = ssl_outcome(s, (int)r, &wants_write, &s->write_wants_read);
        return r == 0 ? -EPIPE : r;
}

/* Sends until the socket is full. Returns how much left, or a negative errno. */
static ssize_t send_queued(struct byte_stream *s)
{
        size_t sent = 0;

        while (s->out) {
                ssize_t n = write_some(s);

                if (n == -EINTR)
                        continue;
                if (n == -EAGAIN)
                        break;
                if (n < 0)
                        return n;
                sent += (size_t)n;
                s->out_at += (size_t)n;
                if (s->out_at == s->out_len) {
                        free(TAKE_PTR(s->out));
                        s->out_at = s->out_len = s->out_cap = 0;
                }
        }
        return (ssize_t)sent;
}

/* One event leads to one callback at most, so that the owner may free the stream in it. */
static int on_io(sd_event_source _unused_ *source, int _unused_ fd, uint32_t events, void *userdata)
{
        struct byte_stream *s = userdata;
        bool had_output = s->out != NULL;
        ssize_t sent = 0;

        if (had_output && (events & (EPOLLOUT | EPOLLIN | EPOLLHUP | EPOLLERR))) {
                sent = send_queued(s);
                update_events(s);
        }
        if (sent < 0 || (events & (EPOLLHUP | EPOLLERR) && !s->want_read)) {
                /* EPOLLHUP cannot be masked: without an owner that frees us it would spin. */
                sd_event_source_set_enabled(s->io, SD_EVENT_OFF);
                s->ops->on_hangup(s, true, s->userdata);
        } else if (had_output && !s->out) {
                s->ops->on_drained(s, s->userdata);
        } else if (s->want_read && (events & ~(uint32_t)EPOLLOUT || s->read_wants_write)) {
                s->ops->on_readable(s, s->userdata);
        } else if (events & EPOLLRDHUP) {
                s->hangup_seen = true;
                update_events(s);
                s->ops->on_hangup(s, false, s->userdata);
        } else if (sent > 0 && s->ops->on_progress) {
                s->ops->on_progress(s, s->userdata);
        }
        return 0;
}

static int on_pending(sd_event_source _unused_ *source, void *userdata)
{
        struct byte_stream *s = userdata;

        if (s->want_read && byte_stream_has_buffered(s))
                s->ops->on_readable(s, s->userdata);
        return 0;
}

/* Bytes that are here already cause no event of the socket: this source tells of them. */
static int add_pending(struct byte_stream *s)
{
        int r;

        if (s->pending)
                return 0;
        r = sd_event_add_defer(sd_event_source_get_event(s->io), &s->pending, on_pending, s);
        if (r < 0)
                return r;
        return sd_event_source_set_enabled(s->pending, SD_EVENT_OFF);
}

static int attach_ssl(struct byte_stream *s)
{
        BIO *bio;

        if (!s->ssl)
                return 0;
        bio = bio_new(s->fd);
        if (!bio)
                return -ENOMEM;
        SSL_set_bio(s->ssl, bio, bio);
        return add_pending(s);
}

int byte_stream_new(sd_event *event, int fd, SSL *ssl, const struct byte_stream_ops *ops,
                    void *userdata, struct byte_stream **ret)
{
        _cleanup_(byte_stream_freep)
        struct byte_stream *s = malloc(sizeof *s);
        int r;

        if (!s) {
                safe_close(fd);
                SSL_free(ssl);
                return -ENOMEM;
        }
        *s = (struct byte_stream){
                .fd = fd, .ssl = ssl, .ops = ops, .userdata = userdata, .is_handshake_done = !ssl
        };
        r = sd_event_add_io(event, &s->io, fd, EPOLLRDHUP, on_io, s);
        if (r < 0)
                return r;
        r = attach_ssl(s);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(s);
        return 0;
}

struct byte_stream *byte_stream_free(struct byte_stream *s)
{
        if (!s)
                return NULL;
        sd_event_source_disable_unref(s->io);
        sd_event_source_disable_unref(s->pending);
        if (s->ssl && s->is_handshake_done && !s->is_broken && !s->out) {
                ERR_clear_error();
                SSL_shutdown(s->ssl); /* one attempt; the peer may be gone */
        }
        SSL_free(s->ssl);
        ERR_clear_error();
        safe_close(s->fd);
        free(s->out);
        free(s->unread);
        free(s);
        return NULL;
}

void byte_stream_set_ops(struct byte_stream *s, const struct byte_stream_ops *ops, void *userdata)
{
        s->ops = ops;
        s->userdata = userdata;
}

int byte_stream_fd(const struct byte_stream *s)
{
        return s->fd;
}

SSL *byte_stream_ssl(const struct byte_stream *s)
{
        return s->ssl;
}

int byte_stream_handshake(struct byte_stream *s)
{
        bool wants_read;
        int r;

        if (s->is_handshake_done)
                return 0;
        s->read_wants_write = false;
        ERR_clear_error();
        r = SSL_do_handshake(s->ssl);
        if (r == 1) {
                s->is_handshake_done = true;
                r = 0;
        } else {
                r = ssl_outcome(s, r, &s->read_wants_write, &wants_read);
                if (r == 0)
                        r = -ECONNRESET;
        }
        update_events(s);
        return r;
}

void byte_stream_want_read(struct byte_stream *s, bool want)
{
        if (want && byte_stream_has_buffered(s))
                sd_event_source_set_enabled(s->pending, SD_EVENT_ONESHOT);
        if (s->want_read == want)
                return;
        s->want_read = want;
        update_events(s);
}

static ssize_t read_unread(struct byte_stream *s, void *buf, size_t n)
{
        n = MIN(n, s->unread_len - s->unread_at);
        memcpy(buf, s->unread + s->unread_at, n);
        s->unread_at += n;
        if (s->unread_at == s->unread_len)
                free(TAKE_PTR(s->unread));
        return (ssize_t)n;
}

ssize_t byte_stream_read(struct byte_stream *s, void *buf, size_t n)
{
        bool wants_write = false, wants_read;
        ssize_t r;

        if (s->unread)
                return read_unread(s, buf, n);
        if (!s->ssl) {
                r = recv(s->fd, buf, n, 0);
                if (r < 0)
                        return errno == EINTR ? -EAGAIN : -errno;
                return r;
        }
        ERR_clear_error();
        r = SSL_read(s->ssl, buf, (int)MIN(n, (size_t)1 << 20));
        if (r <= 0)
                r = ssl_outcome(s, (int)r, &wants_write, &wants_read);
        if (wants_write != s->read_wants_write) {
                s->read_wants_write = wants_write;
                update_events(s);
        }
        return r;
}

bool byte_stream_has_buffered(const struct byte_stream *s)
{
        return s->unread || (s->ssl && SSL_pending(s->ssl) > 0);
}

int byte_stream_unread(struct byte_stream *s, const void *data, size_t n)
{
        size_t rest = s->unread ? s->unread_len - s->unread_at : 0;
        char *joined;
        int r;

        if (n == 0)
                return 0;
        r = add_pending(s);
        if (r < 0)
                return r;
        joined = malloc(n + rest);
        if (!joined)
                return -ENOMEM;
        memcpy(joined, data, n);
        if (rest > 0)
                memcpy(joined + n, s->unread + s->unread_at, rest);
        free(s->unread);
        s->unread = joined;
        s->unread_at = 0;
        s->unread_len = n + rest;
        if (s->want_read)
                sd_event_source_set_enabled(s->pending, SD_EVENT_ONESHOT);
        return 0;
}

int byte_stream_discard(struct byte_stream *s)
{
        char buf[4096];
        ssize_t n = recv(s->fd, buf, sizeof buf, 0);

        if (n < 0)
                return errno == EINTR ? -EAGAIN : -errno;
        return n > 0;
}

int byte_stream_queue(struct byte_stream *s, const void *data, size_t n)
{
        size_t waiting = s->out_len - s->out_at;

        if (n == 0)
                return 0;
        if (s->out_cap - s->out_len < n) {
                size_t need, cap;
                char *grown;

                if (__builtin_add_overflow(waiting, n, &need) || need > SIZE_MAX / 4)
                        return -ENOMEM;
                cap = need < 512 ? 512 : need + need / 2;
                grown = malloc(cap);
                if (!grown)
                        return -ENOMEM;
                if (waiting > 0)
                        memcpy(grown, s->out + s->out_at, waiting);
                free(s->out);
                s->out = grown;
                s->out_cap = cap;
                s->out_at = 0;
                s->out_len = waiting;
        }
        memcpy(s->out + s->out_len, data, n);
        s->out_len += n;
        return 0;
}

ssize_t byte_stream_flush(struct byte_stream *s)
{
        ssize_t r = 0;

        if (s->out && s->is_handshake_done)
                r = send_queued(s);
        update_events(s);
        return r < 0 ? r : (ssize_t)byte_stream_queued(s);
}

size_t byte_stream_queued(const struct byte_stream *s)
{
        return s->out_len - s->out_at;
}

size_t byte_stream_unacknowledged(const struct byte_stream *s)
{
        int n = 0;

        return ioctl(s->fd, SIOCOUTQ, &n) == 0 && n > 0 ? (size_t)n : 0;
}

void byte_stream_shutdown(struct byte_stream *s)
{
        if (s->ssl && s->is_handshake_done && !s->is_broken) {
                ERR_clear_error();
                SSL_shutdown(s->ssl);
        }
        shutdown(s->fd, SHUT_WR);
}

int socket_send_pending(int fd, struct strbuf *b, bool last)
{
        while (b->len > 0) {
                ssize_t n = send(fd, b->data, b->len, MSG_NOSIGNAL);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 && errno == EAGAIN)
                        return 0;
                if (n < 0)
                        return -errno;
                strbuf_consume(b, (size_t)n);
        }
        if (last)
                shutdown(fd, SHUT_WR);
        return 0;
}
