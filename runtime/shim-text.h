/*
 * Text for a process that must not carry printf: one line in a buffer of the caller's, cut rather
 * than overrun, always NUL-terminated. Pure, and linked into the static shim.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct line {
        char *data; /* borrowed */
        size_t len, size;
};
#define LINE(buffer)                                     \
        (struct line)                                    \
        {                                                \
                .data = (buffer), .size = sizeof(buffer) \
        }

void line_add(struct line *l, const char *s);
void line_add_n(struct line *l, const char *s, size_t n);
void line_add_u64(struct line *l, uint64_t v);
void line_add_i64(struct line *l, int64_t v);
/* Exactly @width digits, zeros in front. */
void line_add_padded(struct line *l, uint64_t v, unsigned width);
/* "'<s>'" with control characters shown as '?'. */
void line_add_quoted(struct line *l, const char *s);
/* "\"<s>\"" as JSON; bytes that are no UTF-8 pass, as what reads it decides. */
void line_add_json(struct line *l, const char *s);
/* ": No such file or directory" of -ENOENT. */
void line_add_error(struct line *l, int r);

enum { LOG_TIME_SIZE = 31 };
/* "2006-01-02T15:04:05.000000000Z", UTC. */
void log_time_format(uint64_t seconds, uint32_t nanoseconds, char buf[static LOG_TIME_SIZE]);
/* "20060102-150405" of the same moment: what a rotated log is called. */
enum { ROTATED_TIME_SIZE = 16 };
void rotated_time_format(uint64_t seconds, char buf[static ROTATED_TIME_SIZE]);
/* Decimal digits only, all of @s; false when not or too large. */
bool text_is_number(const char *s, size_t n, uint64_t *ret);
