/*
 * HTTP for the fetcher: requests on one libcurl multi handle, HTTP/1.1, no redirect followed, no
 * proxy but the one that was configured, nothing but http and https, every size and time bounded.
 *
 * Small documents are fetched whole and while waiting (registry_http_get); blobs run beside one
 * another as streams into pipes, paused while a pipe is full (registry_http_run).
 */
#pragma once
#include <stdint.h>

#include "base/usec.h"
#include "runtime/image-job.h"
#include "runtime/registry-url.h"

struct registry_http; /* opaque */

/* @job: borrowed as long as this lives (TLS of hosts, proxies, stall time). */
int registry_http_new(const struct image_job *job, struct registry_http **ret, struct err *err);
struct registry_http *registry_http_free(struct registry_http *h);
DEFINE_CLEANUP(struct registry_http *, registry_http_free)

struct http_ask {
        const struct registry_url *url;
        const char *tls_host;      /* entry of the job's hosts; NULL: by the URL's authority */
        const char *authorization; /* "Bearer …", or NULL */
        const char *accept;        /* or NULL */
        const char *form;          /* POST this body; NULL: GET */
        bool head;                 /* HEAD instead of GET */
        bool refuse_internal;      /* loopback, link-local and metadata addresses are refused */
        uint64_t offset;           /* of a stream: Range from here on */
        size_t body_max;           /* of a document */
};

struct http_answer {
        int status; /* 0: none came, and the call failed */
        char *body; /* owned, NUL-terminated: of a document */
        size_t body_len;
        char *content_type, *docker_digest, *challenge, *location; /* owned; NULL: not there */
        uint32_t retry_after_sec;
        bool internal; /* the server's address was an internal one */
};
void http_answer_done(struct http_answer *a);
#define _cleanup_http_answer_ _cleanup_(http_answer_done)

/**
 * registry_http_get() - ask, and wait for the answer
 * Return: 0, whatever the status; negative errno when no whole answer came: ERR_UNREACHABLE,
 * ERR_TIMEOUT, ERR_TOO_MANY (larger than body_max; -EFBIG), ERR_IMAGE_PULL (TLS, names).
 */
int registry_http_get(struct registry_http *h, const struct http_ask *ask, struct http_answer *ret,
                      struct err *err);

struct http_stream; /* opaque */
struct http_stream_events {
        /* The next bytes of a 2xx body. 0: taken; 1: not now, pause until _resume(), the same bytes
         * come again; negative: stop with it. */
        int (*data)(struct http_stream *s, const void *data, size_t n, void *userdata);
        /* Once, at the end. @r: as of registry_http_get(). The stream is freed after it. */
        void (*done)(struct http_stream *s, int r, const struct http_answer *answer,
                     const struct err *err, void *userdata);
        void *userdata;
};
int registry_http_stream(struct registry_http *h, const struct http_ask *ask,
                         const struct http_stream_events *events, struct http_stream **ret,
                         struct err *err);
int http_stream_status(const struct http_stream *s); /* for data: 200, 206, … */
/* First byte that the server says it sends (Content-Range), 0 without. */
uint64_t http_stream_first_byte(const struct http_stream *s);
void http_stream_resume(struct http_stream *s);
/* Ends it silently; NULL is fine. Not from within data. Returns NULL. */
struct http_stream *http_stream_cancel(struct http_stream *s);

struct pollfd;
/**
 * registry_http_perform() - let streams go on as far as they can without waiting
 * Return: how many ended; negative errno.
 */
int registry_http_perform(struct registry_http *h, struct err *err);
/* Waits for streams, and for descriptors of the caller's (those that perform has made it wait for,
 * too: so perform comes first). */
int registry_http_wait(struct registry_http *h, struct pollfd *fds, size_t n_fds,
                       unsigned timeout_ms, struct err *err);
