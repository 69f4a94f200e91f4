/*
 * The server's end of a WebSocket (RFC 6455). Pure: bytes come in by websocket_feed(), bytes for
 * the peer and parts of messages go out by callbacks; no socket, no clock. Messages are passed on
 * as they come, never gathered. No extension is spoken; text is not checked for being UTF-8.
 */
#pragma once
#include <stdint.h>

#include "base/err.h"

struct websocket; /* opaque */

struct websocket_ops {
        /* Bytes for the peer, after all those before. */
        void (*output)(const void *data, size_t n, void *userdata);
        /* A part of a message, perhaps an empty one; @begins: the first, @ends: the last. */
        void (*on_message)(const void *data, size_t n, bool begins, bool ends, void *userdata);
        void (*on_close)(void *userdata); /* the peer says good-bye, and was answered */
};

/* @ops: borrowed. NULL without memory. */
struct websocket *websocket_new(const struct websocket_ops *ops, void *userdata);
struct websocket *websocket_free(struct websocket *w);
DEFINE_CLEANUP(struct websocket *, websocket_free)

/**
 * websocket_feed() - bytes of the peer
 * Callbacks may send and close; they must not free @w or feed it.
 * Return: 0; -EPROTO with the rule in @err: a close frame was put out, close the connection.
 */
int websocket_feed(struct websocket *w, const void *data, size_t n, struct err *err);
/* One message of @head and @data, text or binary. Nothing after the close frame. */
void websocket_send(struct websocket *w, bool is_text, const void *head, size_t n_head,
                    const void *data, size_t n);
enum { WEBSOCKET_NORMAL = 1000, WEBSOCKET_PROTOCOL_ERROR = 1002 };
void websocket_close(struct websocket *w, uint16_t code);

/* Sec-WebSocket-Accept for a client's Sec-WebSocket-Key; false: that is no key. */
enum { WEBSOCKET_ACCEPT_SIZE = 29 };
bool websocket_accept(const char *key, char out[static WEBSOCKET_ACCEPT_SIZE]);
