/*
 * One connection of the HTTP server and the exchange under way on it. Private to base/http-*.c.
 *
 * A connection is always in one phase, which has a deadline and a list at the server. Within a
 * phase all deadlines are equally far away, so each list is sorted by itself, its head is what
 * expires next, and one timer serves all connections. A closed connection is DEAD and freed from
 * the loop, never below a caller's feet.
 */
#pragma once
#include "base/byte-stream.h"
#include "base/http-parser.h"
#include "base/http-server.h"
#include "base/http-tls.h"
#include "base/list.h"
#include "base/text.h"

enum conn_phase {
        CONN_HANDSHAKE, /* TLS */
        CONN_HEAD,      /* a request is arriving */
        CONN_BODY,      /* its head is here */
        CONN_HANDLER,   /* the handler has it; no deadline but the handler's own */
        CONN_STREAM,    /* the handler writes chunks */
        CONN_ANSWER,    /* the answer waits for the peer to take it */
        CONN_IDLE,      /* between two requests */
        CONN_LINGER,    /* we sent our last; what still arrives is dropped until the peer closes */
        CONN_DEAD,      /* to be freed */
        _CONN_PHASE_MAX,
};

struct http_conn {
        struct http_server *server;     /* borrowed */
        struct byte_stream *stream;     /* owned; NULL after an upgrade */
        struct http_exchange *exchange; /* owned; from the end of the head to the answer */
        enum conn_phase phase;
        usec_t deadline_usec;
        struct list_node in_phase;     /* server->phases[phase] */
        struct list_node in_ready;     /* server->ready */
        struct list_node in_untrusted; /* server->untrusted */
        char *in;                      /* owned; received and not yet consumed; NULL when empty */
        size_t in_len, in_cap, scanned;
        struct http_peer peer;
        struct http_identity identity;
        uint64_t address_hash;
        uint64_t ca_generation; /* the one that identity was verified by */
        size_t unacknowledged;  /* by the peer when the phase began */
        bool is_guest;          /* http_peer_is_guest() */
        bool is_processing;     /* conn_process() is on the stack */
        bool keep_alive;        /* after the answer that is being written */
};

struct http_exchange {
        struct http_conn *conn; /* borrowed */
        usec_t handled_usec;    /* when the handler was given it; 0: not yet */
        struct http_head head;
        struct http_chunks chunks;
        struct strbuf body;
        struct strbuf headers; /* of the answer, beyond the usual ones */
        const struct http_stream_ops *ops;
        void (*on_closed)(struct http_exchange *x, void *userdata);
        void *closed_userdata; /* of ops or on_closed */
        bool is_streaming;
};

struct http_server {
        sd_event *event; /* reference */
        struct http_server_options options;
        struct list listeners;
        struct list phases[_CONN_PHASE_MAX];
        struct list ready;     /* to be looked at from the loop */
        struct list untrusted; /* oldest first */
        size_t n_conns, n_untrusted, n_guests;
        sd_event_source *timer, *defer; /* owned */
        usec_t armed_usec;              /* what timer waits for; USEC_NEVER: off */
        usec_t warned_usec;             /* rate limit of complaints */
        struct http_server_counts counts;
        bool is_paused; /* listeners are off until the timer's next round */
        usec_t resume_usec;
};

/* A fresh connection in its first phase. Takes @fd, also on failure. */
int conn_new(struct http_server *s, int fd, const struct http_peer *peer, struct http_conn **ret);
/* Goes as far as the bytes that are here allow. */
void conn_process(struct http_conn *c);
void conn_set_phase(struct http_conn *c, enum conn_phase phase);
/* Its phase's deadline has passed: ends it, unless the peer did take something meanwhile. */
void conn_expire(struct http_conn *c);
/* Ends it whatever it does; the handler's on_closed is called from the loop. */
void conn_kill(struct http_conn *c);
/* From the loop only: frees a dead one, telling its handler. */
void conn_free(struct http_conn *c);
/* The answer (or the last of it) is queued: frees the exchange and goes on from the loop. */
void conn_finish_exchange(struct http_conn *c, bool keep_alive);
/* Sends what is queued; a broken connection is killed. Returns bytes waiting or negative errno. */
ssize_t conn_flush(struct http_conn *c);

/* Queues the head of an answer; @length: of the body, or -1: chunks (HTTP/1.0: until the end). */
int exchange_queue_head(struct http_exchange *x, int status, const char *content_type,
                        ssize_t length, bool keep_alive);
struct http_exchange *exchange_free(struct http_exchange *x);

void server_mark_ready(struct http_conn *c);
usec_t server_phase_usec(const struct http_server *s, enum conn_phase phase);
void server_arm(struct http_server *s, usec_t due_usec);

/* Fills in who connected to @fd. -EPERM: a process of other namespaces, turn it away. */
int http_peer_read(int fd, struct http_peer *ret);
/* A local process that is not ours to obey: of another user than root. */
static inline bool http_peer_is_guest(const struct http_peer *peer)
{
        return peer->is_unix && peer->uid != 0;
}
