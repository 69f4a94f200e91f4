/*
 * HTTP/1.1 server on the event loop, for :10250 (TLS), 127.0.0.1:10248 and the unix socket.
 *
 * The strict parser is base/http-parser (pure). A deadline stands on each phase, and everything is
 * bounded: connections, headers, bodies, output waiting for a slow reader. One request at a time is
 * read from a connection. A handler answers at once with http_answer(), or later (it keeps the
 * struct http_exchange), or as a stream in chunks, or takes the connection over by
 * http_exchange_upgrade(); on_closed tells it that the peer is gone.
 *
 * Who fills up the server pays for it: when too many connections are open the longest idle one
 * goes, and among those that have not shown who they are the oldest one of the address that has
 * most. On a unix socket a user is an address, and all users but root together
 * get half of the connections.
 */
#pragma once
#include <jansson.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

#include "base/err.h"
#include "base/usec.h"

struct http_server;   /* opaque: listen sockets and connections */
struct http_exchange; /* opaque: one request and its answer */
struct http_tls;      /* opaque: certificate, key, client CA */

struct http_peer {
        bool is_unix; /* a process of our own user and pid namespaces: others were turned away */
        uid_t uid;    /* of a unix peer, SO_PEERCRED */
        gid_t gid;
        pid_t pid;
        char address[64];                    /* of a TCP peer, text */
        const char *certificate_cn;          /* verified client certificate's CN, or NULL */
        const char *const *certificate_orgs; /* its O values, NULL-terminated */
};

/* Called when the request head and (up to body_max) body are here. */
typedef void (*http_handler_fn)(struct http_exchange *x, void *userdata);

/* Since it was made, but for the first two, which are of now. What each cost stands in the log. */
struct http_server_counts {
        uint64_t open, untrusted; /* connections; those that were upgraded are not among them */
        uint64_t accepted;
        uint64_t evicted; /* connections closed to make room for others */
        uint64_t refused; /* new ones: there was no room, memory or descriptor for them */
        uint64_t failed_tls;
        uint64_t malformed; /* requests that broke a rule or were too large */
        uint64_t slow_handshakes, slow_requests, slow_readers; /* over their deadline */
};

struct http_server_options {
        const char *name;       /* for the log: "kubelet API" */
        struct http_tls *tls;   /* borrowed; NULL: plain */
        size_t max_connections; /* 0: 1024 */
        size_t max_untrusted;   /* of them without http_exchange_trust(); 0: 128 */
        size_t body_max;        /* 0: 1 MiB */
        http_handler_fn handler;
        /* The exchange that the handler was given is over, answered or not; NULL: nobody asks.
         * @took: since then. Method and path can be asked for. */
        void (*on_finished)(struct http_exchange *x, usec_t took, void *userdata);
        void *userdata;
        usec_t handshake_usec; /* accept to the end of the TLS handshake; 0: 10 s */
        usec_t head_usec;      /* first byte (of a fresh connection: its start) to the end of the
                                  headers; 0: 10 s */
        usec_t body_usec;      /* end of the headers to the end of the body; 0: 10 s */
        usec_t idle_usec;      /* between two requests; 0: 2 min, longer than a client's 90 s */
        usec_t answer_usec;    /* the peer takes nothing of an answer; 0: 10 s */
        usec_t stream_usec;    /* the peer takes nothing of a stream, or none is written; 0: 4 h */
};
int http_server_new(sd_event *event, const struct http_server_options *options,
                    struct http_server **ret, struct err *err);
struct http_server *http_server_free(struct http_server *s);
DEFINE_CLEANUP(struct http_server *, http_server_free)
void http_server_read_counts(const struct http_server *s, struct http_server_counts *ret);
/* Takes a listening socket (from the fd store, or made by the two below), also on failure. */
int http_server_add_listener(struct http_server *s, int fd);
/* @address: numeric, IPv4 or IPv6 ("::" takes IPv4 too). Returns the descriptor. */
int http_listen_tcp(const char *address, uint16_t port, struct err *err);
/* The same, but "::" is IPv6 alone: for two sockets of one port that answer differently. */
int http_listen_tcp_family(const char *address, uint16_t port, struct err *err);
/*
 * A stale socket at @path is replaced when nobody answers on it; anything else there, or a folder
 * that others may write to, is refused. Returns the descriptor.
 */
int http_listen_unix(const char *path, mode_t mode, gid_t gid, struct err *err);

/*
 * Reads PEM files. They are read anew when they changed, as seen at most once a second when a
 * connection or request comes; http_tls_reload() looks at once (1: read anew, 0: unchanged, else
 * the old ones stay in use). @client_ca_file may be NULL: no client certificate is asked for.
 */
int http_tls_new(const char *cert_file, const char *key_file, const char *client_ca_file,
                 struct http_tls **ret, struct err *err);
/* The same for a certificate that may come later: until then no handshake succeeds. */
int http_tls_new_awaiting(const char *cert_file, const char *key_file, const char *client_ca_file,
                          struct http_tls **ret, struct err *err);
/**
 * http_tls_restrict() - offer less than by default
 * @min_version: "VersionTLS12" or "VersionTLS13", or NULL
 * @suites:      of TLS 1.2, by their IANA names; those without forward secrecy or an AEAD cipher
 *               are passed over. NULL or empty: all of ours
 * Return: 0; -EINVAL: an unknown version, or no suite is left.
 */
int http_tls_restrict(struct http_tls *t, const char *min_version, const char *const *suites,
                      struct err *err);
struct http_tls *http_tls_free(struct http_tls *t);
DEFINE_CLEANUP(struct http_tls *, http_tls_free)
int http_tls_reload(struct http_tls *t, struct err *err);
/*
 * Writes a self-signed pair for @host (mode 0600 key) when neither file exists, as the kubelet does
 * in its pki directory. @addresses: numeric, NULL-terminated; also in the certificate.
 */
int http_tls_make_self_signed(const char *cert_file, const char *key_file, const char *host,
                              const char *const *addresses, struct err *err);

/* The request. Strings are borrowed and live as long as the exchange. */
const char *http_exchange_method(const struct http_exchange *x);
const char *http_exchange_path(const struct http_exchange *x); /* percent-decoded once; "//", ".",
                                                                  "..", "%2f", "%00" were refused */
const char *http_exchange_query(const struct http_exchange *x,
                                const char *key); /* decoded; NULL: absent; "" for "?follow" */
size_t http_exchange_query_all(const struct http_exchange *x, const char *key, const char **ret,
                               size_t max);
const char *http_exchange_header(const struct http_exchange *x, const char *name); /* the first */
/* The values of every header of that name: their number, of which @max were stored. */
size_t http_exchange_header_all(const struct http_exchange *x, const char *name, const char **ret,
                                size_t max);
const char *http_exchange_body(const struct http_exchange *x, size_t *ret_len);
const struct http_peer *http_exchange_peer(const struct http_exchange *x);
const char *http_exchange_upgrade_protocol(const struct http_exchange *x); /* asked for, or NULL */
/* The peer has shown who it is: its connection no longer counts as untrusted. */
void http_exchange_trust(struct http_exchange *x);

/*
 * Answers. Exactly one of http_answer*(), http_stream_end(), http_stream_abort() and
 * http_exchange_upgrade() finishes an exchange; @x is gone after it. Too little memory for an
 * answer closes the connection.
 */
void http_answer(struct http_exchange *x, int status, const char *content_type, const void *body,
                 size_t n);
void http_answer_text(struct http_exchange *x, int status, const char *fmt, ...) _printf_(3, 4);
void http_answer_json(struct http_exchange *x, int status, json_t *body); /* steals body */
/* One more header for the answer to come. -EINVAL when name or value could break its line. */
int http_exchange_add_header(struct http_exchange *x, const char *name, const char *value);
/* For an exchange that is answered later: told when the peer goes first; @x is gone after it and
 * must not be answered. */
void http_exchange_on_closed(struct http_exchange *x,
                             void (*fn)(struct http_exchange *x, void *userdata), void *userdata);

/*
 * A stream (chunked). on_drained is called when what was written has left and more is welcome;
 * on_closed when the peer is gone (@x is gone after it). Both come from the loop.
 */
struct http_stream_ops {
        void (*on_drained)(struct http_exchange *x, void *userdata);
        void (*on_closed)(struct http_exchange *x, void *userdata);
};
/* Sends the head at once. 0 or -ENOMEM, and then the exchange is still to be answered. */
int http_stream_begin(struct http_exchange *x, int status, const char *content_type,
                      const struct http_stream_ops *ops, void *userdata);
/* Returns the bytes waiting: stop at more than 256 KiB and go on in on_drained. Negative: the peer
 * is gone, on_closed follows. */
ssize_t http_stream_write(struct http_exchange *x, const void *data, size_t n);
void http_stream_end(struct http_exchange *x);
/* Breaks off, so that the peer knows that it did not get all. */
void http_stream_abort(struct http_exchange *x);

/**
 * http_exchange_upgrade() - answer 101 and hand over the connection
 * @protocol: for the Upgrade header
 * @ret:      set on success; owned by the caller, who gives it its own callbacks and deadlines
 *            (byte_stream_set_ops). Bytes that the peer sent ahead are read from it first.
 * Return: 0 and @x is gone; -EINVAL when no upgrade was asked for, -ENOMEM: still to be answered.
 * Any other answer to a request for an upgrade closes the connection after it.
 */
struct byte_stream;
int http_exchange_upgrade(struct http_exchange *x, const char *protocol, struct byte_stream **ret);
