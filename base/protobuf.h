/*
 * Protocol Buffers' wire format, as far as the few messages need that are spoken over gRPC:
 * numbers, texts, messages within messages, maps of texts. Pure.
 *
 * What is read was written by others: no length is believed that the bytes do not bear out, texts
 * are UTF-8 without NUL (as nobody here could hand on another), and what has no place in the
 * reader's message is passed over. Source: protobuf.dev/programming-guides/encoding.
 */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/json.h"
#include "base/text.h"

/*
 * Writing. A message is a struct strbuf; .failed tells of memory at the end. As proto3 has it, a
 * zero, a false and an empty text are not written, unless a one-of depends on them.
 */
void protobuf_add_number(struct strbuf *b, uint32_t field, uint64_t value);
void protobuf_add_text(struct strbuf *b, uint32_t field, const char *text); /* NULL: as "" */
/* A member of a repeated field: written also when it is empty. */
void protobuf_add_item(struct strbuf *b, uint32_t field, const char *text);
/* Written also when it is empty: the field is there. @message keeps what it holds. */
void protobuf_add_message(struct strbuf *b, uint32_t field, const struct strbuf *message);
/* map<string, string>; NULL: empty. */
void protobuf_add_map(struct strbuf *b, uint32_t field, const struct string_map *map);

/* Reading: one field after the other. */
struct protobuf_reader {
        const uint8_t *p, *end; /* borrowed */
};
struct protobuf_field {
        uint32_t number;
        enum protobuf_type {
                PROTOBUF_NUMBER, /* .value */
                PROTOBUF_BYTES,  /* .bytes: a text or a message */
                PROTOBUF_OTHER,  /* a fixed width: nobody here reads one */
        } type;
        uint64_t value;
        struct protobuf_reader bytes; /* within the reader's own */
};
static inline struct protobuf_reader protobuf_reader(const void *message, size_t n)
{
        return (struct protobuf_reader){ message, (const uint8_t *)message + n };
}
/* Return: 1: @ret is the next field; 0: there are no more; -EBADMSG: these bytes are no message. */
int protobuf_next(struct protobuf_reader *r, struct protobuf_field *ret, struct err *err);
/**
 * protobuf_text() - a field that holds a text
 * @what: name of the field, for the error
 * @max:  bytes allowed
 * @ret:  owned; what it held is freed (the last of several counts)
 * Return: 0; -EBADMSG: no text, no UTF-8, or too long; -ENOMEM.
 */
int protobuf_text(const struct protobuf_field *f, const char *what, size_t max, char **ret,
                  struct err *err);
/* A field that holds a number. */
int protobuf_number(const struct protobuf_field *f, const char *what, uint64_t *ret,
                    struct err *err);
/* A field that holds a message: @ret is to be read on. */
int protobuf_message(const struct protobuf_field *f, const char *what, struct protobuf_reader *ret,
                     struct err *err);
