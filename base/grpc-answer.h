/*
 * gRPC over HTTP/2, as bytes: the five bytes before a message, and what an answer says. Pure.
 * Source: github.com/grpc/grpc/doc/PROTOCOL-HTTP2.md, doc/statuscodes.md.
 */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/text.h"

enum grpc_code {
        GRPC_OK = 0,
        GRPC_CANCELED = 1,
        GRPC_UNKNOWN = 2,
        GRPC_INVALID_ARGUMENT = 3,
        GRPC_DEADLINE_EXCEEDED = 4,
        GRPC_NOT_FOUND = 5,
        GRPC_ALREADY_EXISTS = 6,
        GRPC_PERMISSION_DENIED = 7,
        GRPC_RESOURCE_EXHAUSTED = 8,
        GRPC_FAILED_PRECONDITION = 9,
        GRPC_ABORTED = 10,
        GRPC_OUT_OF_RANGE = 11,
        GRPC_UNIMPLEMENTED = 12,
        GRPC_INTERNAL = 13,
        GRPC_UNAVAILABLE = 14,
        GRPC_DATA_LOSS = 15,
        GRPC_UNAUTHENTICATED = 16,
        _GRPC_CODE_MAX,
};
/* "DeadlineExceeded", as Go prints it. */
const char *grpc_code_name(enum grpc_code code);

enum { GRPC_PREFIX_SIZE = 5 };
/* @message with its prefix: the body of a request. */
void grpc_add_prefixed(struct strbuf *b, const struct strbuf *message);

struct grpc_answer {
        int http_status;          /* 200 whatever grpc_status says */
        const char *grpc_status;  /* header or trailer "grpc-status"; NULL when absent */
        const char *grpc_message; /* "grpc-message", percent-encoded; NULL when absent */
        const void *body;
        size_t body_len;
};
/**
 * grpc_answer_code() - how did the call end?
 * @ret_why: owned; what the other side says about it, percent signs decoded, unprintable bytes
 *           replaced; "" for OK. NULL: no memory for it
 * A status that is missing or none is INTERNAL or UNKNOWN, and so is an HTTP status other than 200.
 */
enum grpc_code grpc_answer_code(const struct grpc_answer *answer, char **ret_why);
/**
 * grpc_answer_message() - the one message of an answer that is OK
 * @ret: within the body
 * Return: 0; -EBADMSG and what is wrong with it: there is none, it is compressed, it lies about
 * its length.
 */
int grpc_answer_message(const struct grpc_answer *answer, const uint8_t **ret, size_t *ret_len,
                        struct err *err);
