/*
 * The server's end of a SPDY/3.1 connection, as kube-apiserver and client-go speak it to a kubelet
 * for exec, attach and port-forward. Pure: bytes come in by spdy_feed(), bytes for the peer and
 * what happened go out by callbacks; no socket, no clock.
 *
 * The peer opens streams, we answer each with SYN_REPLY and never open one. There is no flow
 * control but the connection's (SETTINGS and WINDOW_UPDATE are ignored, as by every peer there is):
 * who cannot take data stops feeding. DATA is passed on as it comes, never gathered; a control
 * frame, a header block and the number of streams are bounded.
 * Source: SPDY protocol draft 3.1; github.com/moby/spdystream for what is left out.
 */
#pragma once
#include <stdint.h>

#include "base/err.h"

enum {
        SPDY_CONTROL_MAX = 16 * 1024, /* bytes of a control frame */
        SPDY_BLOCK_MAX = 16 * 1024,   /* of a header block, inflated */
        SPDY_HEADERS_MAX = 64,
        SPDY_STREAMS_MAX = 1024, /* open at once: 512 forwarded connections */
};

struct spdy; /* opaque */

struct spdy_header {
        const char *name, *value; /* values of one name are joined by NUL: the first is seen */
};
struct spdy_headers {
        const struct spdy_header *list;
        size_t n;
};

struct spdy_ops {
        /* Bytes for the peer, after all those before. */
        void (*output)(const void *data, size_t n, void *userdata);
        /* The peer opened @stream (and has ended its side when @is_ended). False: refuse it. */
        bool (*on_open)(uint32_t stream, const struct spdy_headers *headers, bool is_ended,
                        void *userdata);
        void (*on_data)(uint32_t stream, const void *data, size_t n, void *userdata);
        void (*on_end)(uint32_t stream, void *userdata);   /* the peer sends no more on it */
        void (*on_reset)(uint32_t stream, void *userdata); /* it is gone, both ways */
};

/* @ops: borrowed. NULL without memory. */
struct spdy *spdy_new(const struct spdy_ops *ops, void *userdata);
struct spdy *spdy_free(struct spdy *s);
DEFINE_CLEANUP(struct spdy *, spdy_free)

/**
 * spdy_feed() - bytes of the peer
 * Callbacks may send, end and reset; they must not free @s or feed it.
 * Return: 0; -EPROTO or -ENOMEM with the rule in @err: a GOAWAY was put out, close the connection.
 */
int spdy_feed(struct spdy *s, const void *data, size_t n, struct err *err);
/* Sends on an open stream. -EPIPE: it is not open any more, or we have ended it. */
int spdy_send(struct spdy *s, uint32_t stream, const void *data, size_t n);
void spdy_end(struct spdy *s, uint32_t stream);   /* no more from us; harmless when gone */
void spdy_reset(struct spdy *s, uint32_t stream); /* CANCEL; harmless when gone */
bool spdy_is_open(const struct spdy *s, uint32_t stream);
/* The last frame: nothing is sent after it. */
void spdy_goaway(struct spdy *s);

/* A header's first value by its lower-case name, or NULL. */
const char *spdy_header(const struct spdy_headers *headers, const char *name);
