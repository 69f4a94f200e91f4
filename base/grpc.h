/*
 * gRPC over a unix socket: one call with one message each way (unary), its own connection, a
 * deadline, one callback. HTTP/2 is libcurl's.
 *
 * Whatever the other side does (nothing, another protocol, half an answer, a socket that goes) the
 * callback comes, at the deadline at the latest, with a code: UNAVAILABLE when no connection was to
 * be had or it broke, DEADLINE_EXCEEDED, INTERNAL for an answer that is none, else what it said.
 */
#pragma once
#include <systemd/sd-event.h>

#include "base/grpc-answer.h"
#include "base/usec.h"

struct grpc_call; /* opaque; lives until its done callback returned, or grpc_cancel() */

struct grpc_result {
        enum grpc_code code;
        const struct err *err; /* NULL: OK; else "rpc error: code = Internal desc = …"; borrowed */
        const uint8_t *message; /* borrowed; of an answer that is OK */
        size_t message_len;
};
/* Called once, from the loop, never from grpc_start(). */
typedef void (*grpc_done_fn)(const struct grpc_result *result, void *userdata);

struct grpc_options {
        const char *socket;           /* path, at most 107 bytes */
        const char *method;           /* "/csi.v1.Node/NodeGetInfo" */
        const struct strbuf *message; /* borrowed until grpc_start() returns */
        usec_t timeout_usec;
        grpc_done_fn done;
        void *userdata;
};
int grpc_start(sd_event *event, const struct grpc_options *options, struct grpc_call **ret,
               struct err *err);
struct grpc_call *grpc_cancel(struct grpc_call *c); /* done is not called; NULL is fine */

struct http_request;
struct http_response;
/* What an answer over HTTP/2 says; borrowed from both. */
struct grpc_answer grpc_answer_of(struct http_request *request,
                                  const struct http_response *response);
