/*
 * HTTP client: libcurl's multi interface on the event loop. One request, one completion callback.
 *
 * A struct http_session owns one multi handle and its connections. http_session_reset() tears all
 * connections down (libcurl 7.88 would otherwise reuse a dead HTTP/2 connection for ever) and fails
 * what is under way with ERR_UNREACHABLE. Redirects are never followed.
 */
#pragma once
#include <systemd/sd-event.h>

#include "base/err.h"
#include "base/usec.h"

struct http_session; /* opaque */
struct http_request; /* opaque; lives from http_start() until its done callback returned, or
                        http_cancel() */

struct http_session_options {
        const char *ca_file, *ca_data;     /* PEM; both NULL: the system's store */
        const char *cert_file, *cert_data; /* client certificate, PEM */
        const char *key_file, *key_data;
        const char *tls_server_name; /* SNI and the name verified; NULL: the URL's host */
        const char *proxy_url;       /* NULL: none; the environment is never looked at */
        const char *user_agent;
        const char *unix_socket; /* NULL, or connect here whatever the URL's host */
        bool insecure_skip_verify;
        bool one_shot;                /* a fresh connection for every request, HTTP/1.1 (probes) */
        usec_t connect_timeout_usec;  /* 0: 10 s */
        usec_t tcp_user_timeout_usec; /* TCP_USER_TIMEOUT; 0: 30 s */
};

struct http_response {
        int status;       /* 0 when no answer came: see err */
        const char *body; /* NUL-terminated; what was not given to on_data; borrowed */
        size_t body_len;
        const char *content_type; /* "" when absent */
        usec_t retry_after_usec;  /* Retry-After in seconds form; 0: none */
        const struct err *err;    /* why there is no (whole) answer; NULL: complete answer */
        int error;                /* negative errno beside err: -ECONNREFUSED, …; 0: complete */
};

/* The head of the final answer is there. */
typedef void (*http_head_fn)(struct http_request *r, int status, void *userdata);
/* @data: the next bytes of the body. Return: 0 to go on, negative errno to abort the request with
 * it. */
typedef int (*http_data_fn)(struct http_request *r, const void *data, size_t n, void *userdata);
/* Called exactly once, from the loop. The request is freed after it returns. */
typedef void (*http_done_fn)(struct http_request *r, const struct http_response *response,
                             void *userdata);

struct http_options {
        const char *method; /* "GET", … */
        const char *url;
        const char *const *headers; /* "Name: value", NULL-terminated; or NULL */
        const void *body;           /* copied */
        size_t body_len;
        bool http2;                     /* and nothing else, without TLS too (gRPC) */
        usec_t timeout_usec;            /* whole request; 0: none (streams) */
        usec_t idle_timeout_usec;       /* no byte for so long; 0: none */
        usec_t first_byte_timeout_usec; /* the same before the answer begins; 0: as idle */
        size_t body_max;      /* of the collected body; 0: 16 MiB. Larger fails ERR_TOO_MANY */
        http_head_fn on_head; /* NULL: nobody asks */
        http_data_fn on_data; /* NULL: the body is collected */
        bool on_data_always;  /* every body goes to on_data; else only that of a 2xx */
        http_done_fn done;
        void *userdata;
};

int http_session_new(sd_event *event, const struct http_session_options *options,
                     struct http_session **ret, struct err *err);
struct http_session *
http_session_free(struct http_session *s); /* cancels what is under way, silently */
DEFINE_CLEANUP(struct http_session *, http_session_free)
/* New credentials (rotated certificate): applies to connections made from now on; resets. */
int http_session_set_options(struct http_session *s, const struct http_session_options *options,
                             struct err *err);
/* The same for the client's certificate and key alone; both are in @pem_file. */
int http_session_set_certificate(struct http_session *s, const char *pem_file, struct err *err);
void http_session_reset(struct http_session *s, const char *why);

int http_start(struct http_session *s, const struct http_options *options,
               struct http_request **ret, struct err *err);
/* Stops it; done is not called. NULL is fine. Returns NULL. */
struct http_request *http_cancel(struct http_request *r);
int http_request_status(const struct http_request *r); /* for on_data: 200, … */
/* Value of a response header (first of that name, any case), else of a trailer, or NULL;
 * borrowed; in done only. */
const char *http_response_header(const struct http_request *r, const char *name);
/* application/x-www-form-urlencoded escape of @s; owned. */
char *http_escape(const char *s);
