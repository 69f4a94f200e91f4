/* What remote and its carriers share. */
#pragma once
#include "base/byte-stream.h"
#include "base/list.h"
#include "kubelet/remote.h"

/* Puts channels on a connection and takes them from it. */
struct remote_carrier {
        /* Bytes of the client. Negative with @err: it broke a rule. */
        int (*feed)(struct remote *r, const void *data, size_t n, struct err *err);
        void (*send)(struct remote *r, enum remote_channel c, const void *data, size_t n);
        /* The last word, and the end of all channels. */
        void (*finish)(struct remote *r, int exit_code, const char *failure);
        void (*free)(struct remote *r);
};

struct remote {
        struct remote_options options;
        struct byte_stream *stream; /* owned */
        sd_event_source *timer;     /* owned; until ready, then when idle */
        sd_event_source *deferred;  /* owned; tells on_ready from the loop */
        const struct remote_carrier *carrier;
        void *state;       /* the carrier's */
        bool is_ready;     /* told */
        bool is_finishing; /* the owner has gone: free when all has left */
        bool is_broken;
};

/* By a carrier: bytes for the client. */
void remote_queue(struct remote *r, const void *data, size_t n);
/* By a carrier: all channels stand. */
void remote_ready(struct remote *r);

/* The last word, owned; NULL without memory: a metav1.Status, or for the protocols before version 4
 * a sentence, "" for success. */
char *remote_status_text(int exit_code, const char *failure);
char *remote_plain_text(int exit_code, const char *failure);

/* Negotiate and take over: set carrier, state and stream. False: @x was answered. */
bool remote_open_spdy(struct remote *r, struct http_exchange *x);
bool remote_open_websocket(struct remote *r, struct http_exchange *x);
bool remote_open_frames(struct remote *r, struct http_exchange *x); /* of the local socket */
