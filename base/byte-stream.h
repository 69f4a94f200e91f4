/*
 * A connected socket on the event loop, plain or under TLS: read what came, queue what leaves, be
 * told when it left. What HTTP connections are made of, and what remains of one after an upgrade.
 *
 * Nothing blocks and no SIGPIPE is raised. Callbacks come from the loop only, never from within a
 * call below, and the stream may be freed in any of them.
 */
#pragma once
#include <stdbool.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

#include "base/cleanup.h"
#include "base/text.h"

struct byte_stream; /* opaque */
struct ssl_st;      /* OpenSSL's SSL */

struct byte_stream_ops {
        /* Reading is wanted, and there are bytes, the end, or an error to read. */
        void (*on_readable)(struct byte_stream *s, void *userdata);
        /* All that was queued has left. */
        void (*on_drained)(struct byte_stream *s, void *userdata);
        /* Some of it has left (may be NULL): the peer does read. */
        void (*on_progress)(struct byte_stream *s, void *userdata);
        /* The connection broke, or the peer closed its side while reading was not wanted (once
         * each). It may still read what we send in the second case. */
        void (*on_hangup)(struct byte_stream *s, bool is_broken, void *userdata);
};

/**
 * byte_stream_new() - takes a connected, non-blocking socket
 * @fd:  owned from now on, also on failure
 * @ssl: owned from now on, also on failure; server or client state is set, no BIO yet. NULL: plain
 * @ops: borrowed, must outlive the stream or the next byte_stream_set_ops()
 * Reading is not wanted at first.
 */
int byte_stream_new(sd_event *event, int fd, struct ssl_st *ssl, const struct byte_stream_ops *ops,
                    void *userdata, struct byte_stream **ret);
struct byte_stream *byte_stream_free(struct byte_stream *s); /* what is queued is dropped */
DEFINE_CLEANUP(struct byte_stream *, byte_stream_free)
void byte_stream_set_ops(struct byte_stream *s, const struct byte_stream_ops *ops, void *userdata);
int byte_stream_fd(const struct byte_stream *s);             /* borrowed */
struct ssl_st *byte_stream_ssl(const struct byte_stream *s); /* borrowed; NULL: plain */

/* 0: done (at once when plain); -EAGAIN: go on in on_readable; else the TLS handshake failed. */
int byte_stream_handshake(struct byte_stream *s);
void byte_stream_want_read(struct byte_stream *s, bool want);
/* Bytes read; 0: the peer sends no more; -EAGAIN: nothing yet; else the connection broke. */
ssize_t byte_stream_read(struct byte_stream *s, void *buf, size_t n);
/* Decrypted bytes are waiting that no event of the socket will tell of. */
bool byte_stream_has_buffered(const struct byte_stream *s);
/* The next reads give these @n bytes first (copied). */
int byte_stream_unread(struct byte_stream *s, const void *data, size_t n);
/* Reads and forgets whatever comes, still encrypted. As byte_stream_read(), 1 for "some". */
int byte_stream_discard(struct byte_stream *s);

/* Appends to what leaves with the next byte_stream_flush(). 0 or -ENOMEM. */
int byte_stream_queue(struct byte_stream *s, const void *data, size_t n);
/* Sends what the socket takes; the rest follows by itself. Returns the bytes still waiting. */
ssize_t byte_stream_flush(struct byte_stream *s);
size_t byte_stream_queued(const struct byte_stream *s);
/* Bytes that the kernel still holds because the peer has not taken them. */
size_t byte_stream_unacknowledged(const struct byte_stream *s);
/* The same of a plain socket, for what waits in @b: sends what it takes, and then, if that was the
 * @last, that no more comes. 0, or negative: the connection broke. */
int socket_send_pending(int fd, struct strbuf *b, bool last);
/* Tells the peer that no more comes (close_notify and FIN); reading goes on. */
void byte_stream_shutdown(struct byte_stream *s);
