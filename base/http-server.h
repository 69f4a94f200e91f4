/*
 * HTTP/1.1 server on the event loop, for :10250 (TLS), 127.0.0.1:10248 and the unix socket.
 *
 * The strict parser is base/http-parser (pure). A deadline stands on each phase (handshake and
 * headers 10 s, body 30 s, idle keep-alive 60 s), and everything is bounded: connections, header
 * bytes (16 KiB), body bytes, output waiting for a slow reader. A handler answers at once with
 * http_answer(), or later (it keeps the struct http_exchange), or as a stream in chunks; on_closed
 * tells it that the peer is gone.
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
        bool is_unix;
        uid_t uid; /* of a unix peer, SO_PEERCRED */
        gid_t gid;
        pid_t pid;
        bool same_namespaces;       /* unix peer lives in the daemon's own user and pid namespace */
        char address[64];           /* of a TCP peer, text */
        const char *certificate_cn; /* verified client certificate's CN, or NULL */
        const char *const *certificate_orgs; /* its O values, NULL-terminated */
};

/* Called when the request head and (up to body_max) body are here. */
typedef void (*http_handler_fn)(struct http_exchange *x, void *userdata);

struct http_server_options {
        const char *name;       /* for the log: "kubelet API" */
        struct http_tls *tls;   /* borrowed; NULL: plain */
        size_t max_connections; /* 0: 512 */
        size_t body_max;        /* 0: 1 MiB */
        http_handler_fn handler;
        void *userdata;
};
int http_server_new(sd_event *event, const struct http_server_options *options,
                    struct http_server **ret, struct err *err);
struct http_server *http_server_free(struct http_server *s);
DEFINE_CLEANUP(struct http_server *, http_server_free)
/* Takes a listening socket (from the fd store, or made by the two below). */
int http_server_add_listener(struct http_server *s, int fd);
int http_listen_tcp(const char *address, uint16_t port, struct err *err);
int http_listen_unix(const char *path, mode_t mode, gid_t gid, struct err *err);

/* Reads PEM files; http_tls_reload() reads them again when they changed. @client_ca_file may be
 * NULL. */
int http_tls_new(const char *cert_file, const char *key_file, const char *client_ca_file,
                 struct http_tls **ret, struct err *err);
struct http_tls *http_tls_free(struct http_tls *t);
DEFINE_CLEANUP(struct http_tls *, http_tls_free)
int http_tls_reload(struct http_tls *t, struct err *err);
/* Writes a self-signed pair for @host (mode 0600 key) when none exists, as the kubelet does in its
 * pki directory. */
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
const char *http_exchange_header(const struct http_exchange *x, const char *name);
const char *http_exchange_body(const struct http_exchange *x, size_t *ret_len);
const struct http_peer *http_exchange_peer(const struct http_exchange *x);
void http_exchange_set_userdata(struct http_exchange *x, void *userdata);
void *http_exchange_userdata(const struct http_exchange *x);

/* Answers. Exactly one of these three finishes an exchange (the stream by http_stream_end()). */
void http_answer(struct http_exchange *x, int status, const char *content_type, const void *body,
                 size_t n);
void http_answer_text(struct http_exchange *x, int status, const char *fmt, ...) _printf_(3, 4);
void http_answer_json(struct http_exchange *x, int status, json_t *body); /* steals body */
/*
 * A stream (chunked). on_drained is called when what was written has left and more is welcome;
 * on_closed when the peer is gone (the exchange is freed after it). http_stream_write() returns the
 * bytes waiting: stop at more than 256 KiB and go on in on_drained.
 */
struct http_stream_ops {
        void (*on_drained)(struct http_exchange *x, void *userdata);
        void (*on_closed)(struct http_exchange *x, void *userdata);
};
int http_stream_begin(struct http_exchange *x, int status, const char *content_type,
                      const struct http_stream_ops *ops, void *userdata);
ssize_t http_stream_write(struct http_exchange *x, const void *data, size_t n);
void http_stream_end(struct http_exchange *x);
/* For an exchange that is answered later: told when the peer goes first (then it must not be
 * answered). */
void http_exchange_on_closed(struct http_exchange *x,
                             void (*fn)(struct http_exchange *x, void *userdata), void *userdata);
