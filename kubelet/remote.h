/*
 * The remote command protocol: the channels between a client and a command in a container. Input,
 * output, the size of the terminal, and at the end one word on how it went. The connection is taken
 * over from an HTTP exchange; how channels are put on it (remote-spdy) makes no difference to
 * whoever uses them (remote-exec). Source: staging/src/k8s.io/streaming,
 * apimachinery/pkg/util/remotecommand.
 */
#pragma once
#include "base/http-server.h"

enum remote_channel { /* numbered as in channel.k8s.io */
                      REMOTE_STDIN,
                      REMOTE_STDOUT,
                      REMOTE_STDERR,
                      REMOTE_ERROR,
                      REMOTE_RESIZE,
                      _REMOTE_CHANNEL_MAX
};

struct remote; /* opaque: one connection */

/* How streams of one kind fare, for metrics. */
struct remote_counts {
        uint64_t open;    /* now */
        uint64_t started; /* since skiffd came up, like the two below */
        uint64_t refused; /* there were too many already */
        uint64_t broken;  /* the client broke a rule, or was silent for too long */
};

struct remote_wants {
        bool in, out, err, tty;
};

/* From the loop, never from within a call below. The first two must not free or finish the remote.
 */
struct remote_ops {
        /* of REMOTE_STDIN and REMOTE_RESIZE, perhaps before on_ready */
        void (*on_data)(enum remote_channel c, const void *data, size_t n, void *userdata);
        void (*on_end)(enum remote_channel c, void *userdata); /* the client ended its side of it */
        void (*on_ready)(void *userdata);   /* all the channels that are wanted stand */
        void (*on_drained)(void *userdata); /* all that was sent has left */
        /* The client left, broke a rule or was idle for too long; the sentence is for the log. */
        void (*on_gone)(const char *why, void *userdata);
};

struct remote_options {
        sd_event *event;
        struct remote_wants wants;
        bool is_local;    /* frames of the local socket are spoken, too */
        usec_t idle_usec; /* no byte either way: the connection ends; USEC_NEVER: it may be idle */
        const struct remote_ops *ops;
        void *userdata;
};
/* Takes over the connection of @x; NULL: @x was answered with what is wrong. */
struct remote *remote_open(struct http_exchange *x, const struct remote_options *options);
/* Returns the bytes that wait to leave: stop above 256 KiB and go on in on_drained. */
size_t remote_send(struct remote *r, enum remote_channel c, const void *data, size_t n);
/* False: nothing is read from the client until true. */
void remote_want_input(struct remote *r, bool want);
/*
 * The last word: the command ended with @exit_code, or could not be run (@failure, a sentence). The
 * remote frees itself when the client has it, or is gone.
 */
void remote_finish(struct remote *r, int exit_code, const char *failure);
struct remote *remote_free(struct remote *r); /* breaks off */
