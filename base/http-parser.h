/*
 * Strict HTTP/1.1 request parser. Pure: bytes in, struct http_head out; no descriptor, clock or
 * log.
 *
 * What two readers might read differently is refused, never repaired: a bare CR or LF, a folded
 * line, a blank before the colon, Content-Length twice or beside Transfer-Encoding, a chunk
 * extension or trailer, an absolute target, a path with "//", "." or "..", "%2f", "%00", ';' or
 * bytes above 0x7e. The path is percent-decoded exactly once, so that authorization and routing see
 * the same one.
 *
 * The functions return 0, or HTTP_PARSE_MORE, or the status (400 to 505) to refuse with, after
 * which the connection must be closed since nobody knows where the next request starts.
 * Source: RFC 9112.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"

enum {
        HTTP_HEAD_MAX = 64 * 1024, /* request line and headers */
        HTTP_HEADERS_MAX = 100,
        HTTP_QUERY_MAX = 1100, /* pairs; an exec's command may have 1024 */
        HTTP_PATH_MAX = 4096,
        HTTP_PARSE_MORE = 1,
};

enum http_body_kind {
        HTTP_BODY_NONE,
        HTTP_BODY_LENGTH,  /* content_length bytes follow, at least one */
        HTTP_BODY_CHUNKED, /* chunks follow: struct http_chunks */
};

struct http_pair {
        const char *name, *value; /* borrowed from the head's text; value "" when there was none */
};

struct http_head {
        char *text;              /* owned; what the strings below point into */
        struct http_pair *pairs; /* owned; headers, then query */
        const char *method;      /* 1 to 16 upper-case letters */
        const char *path;        /* decoded, starts with '/' */
        const char *host;        /* "" only for HTTP/1.0 without one */
        const char *upgrade;     /* protocol asked for, or NULL */
        const struct http_pair *headers, *query;
        size_t n_headers, n_query;
        enum http_body_kind body;
        uint64_t content_length; /* for HTTP_BODY_LENGTH */
        bool is_http10;          /* no chunks in the answer, and no second request */
        bool keep_alive;
        bool expect_continue; /* the client waits for "100 Continue" before it sends the body */
};

/**
 * http_head_scan() - is the whole head here?
 * @data, @n:  everything received since the request began; may hold more than the head
 * @scanned:   0 for a new request; how far former calls came
 * @ret_len:   set on 0: length of the head with its empty line
 * Return: 0, HTTP_PARSE_MORE, 400 or 431.
 */
int http_head_scan(const char *data, size_t n, size_t *scanned, size_t *ret_len);
/**
 * http_head_parse() - the head that http_head_scan() found
 * @ret: set on 0 only; http_head_done() frees it
 * @ret_why: set to a static sentence when refused
 * Return: 0; 400, 414, 417, 431, 501 or 505; -ENOMEM.
 */
int http_head_parse(const char *data, size_t n, struct http_head *ret, const char **ret_why);
void http_head_done(struct http_head *h);
/* Value of the first header of that name (any case), or NULL. */
const char *http_head_header(const struct http_head *h, const char *name);

/* Decoder of a chunked body. { 0 } is the start. */
struct http_chunks {
        enum http_chunk_state {
                HTTP_CHUNK_SIZE,
                HTTP_CHUNK_SIZE_LF,
                HTTP_CHUNK_DATA,
                HTTP_CHUNK_DATA_CR,
                HTTP_CHUNK_DATA_LF,
                HTTP_CHUNK_END_CR,
                HTTP_CHUNK_END_LF,
                HTTP_CHUNK_DONE,
        } state;
        uint64_t left;   /* of this chunk */
        unsigned digits; /* of its size so far */
};
/**
 * http_chunks_feed() - takes the next bytes apart, up to the end of one piece of data
 * @ret_used: how many of @n bytes were taken; call again with the rest until 0 are left
 * @ret_data, @ret_len: the piece of body among them, @ret_len 0: none
 * Return: 0 when the body is whole (the rest belongs to the next request), HTTP_PARSE_MORE, or 400.
 */
int http_chunks_feed(struct http_chunks *c, const char *data, size_t n, size_t *ret_used,
                     const char **ret_data, size_t *ret_len);

/* "OK" for 200; "" for a status that we never send. */
const char *http_status_reason(int status);
