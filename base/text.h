/*
 * Text: strict numbers, growing buffers, string vectors, the checks that several formats share.
 * Pure. Nothing here looks at the locale.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"

static inline bool streq(const char *a, const char *b)
{
        return __builtin_strcmp(a, b) == 0;
}
/* Also true when both are NULL. */
bool streq_null(const char *a, const char *b);
/* The rest of @s after @prefix, or NULL. */
const char *startswith(const char *s, const char *prefix);
bool endswith(const char *s, const char *suffix);
/* strdup that keeps NULL as NULL. */
char *strdup_null(const char *s);
/* Replaces what *p owns by a copy of @s. -ENOMEM leaves *p as it was. */
int free_and_strdup(char **p, const char *s);
/* Allocated printf; NULL without memory. */
char *text_printf(const char *fmt, ...) _printf_(1, 2);

/*
 * Numbers: decimal digits only, no sign, blank or leading '+'; full consumption; 0, -EINVAL or
 * -ERANGE. Octal has its own, for file modes ("0644" or "644").
 */
int text_to_u64(const char *s, uint64_t *ret);
int text_to_u32(const char *s, uint32_t *ret);
int text_to_u16(const char *s, uint16_t *ret);
int text_to_i64(const char *s, int64_t *ret); /* one leading '-' is allowed */
int text_to_octal(const char *s, uint32_t *ret);
/* "1.5" of 1500 with 3 decimals: trailing zeros go. */
void text_format_fraction(uint64_t v, unsigned decimals, char *buf, size_t size);

/* A growing buffer. { 0 } is empty. After a failed append .failed stays set: check once at the end.
 */
struct strbuf {
        char *data; /* owned; NUL-terminated once anything was appended */
        size_t len, cap;
        bool failed;
};
#define _cleanup_strbuf_ _cleanup_(strbuf_done)
void strbuf_done(struct strbuf *b);
void strbuf_add(struct strbuf *b, const char *s);
void strbuf_add_n(struct strbuf *b, const void *s, size_t n);
void strbuf_addf(struct strbuf *b, const char *fmt, ...) _printf_(2, 3);
/* Drops the first @n bytes; .data stays, without a NUL at the new end. */
void strbuf_consume(struct strbuf *b, size_t n);
/* Hands over the text (an empty one for nothing appended); NULL when an append failed. */
char *strbuf_take(struct strbuf *b);

/* String vectors: NULL-terminated, owned strings; NULL is the empty vector. */
char **strv_free(char **v);
DEFINE_CLEANUP(char **, strv_free)
#define _cleanup_strv_ _cleanup_(strv_freep)
size_t strv_len(char *const *v);
int strv_append(char ***v, const char *s); /* copies */
int strv_consume(char ***v, char *s);      /* takes @s, also on failure; NULL @s is -ENOMEM */
char **strv_copy(char *const *v);          /* NULL without memory, and for NULL */
bool strv_contains(char *const *v, const char *s);
char *strv_join(char *const *v, const char *separator);
/* Splits at any of @separators, dropping empty parts. */
int strv_split(const char *s, const char *separators, char ***ret);
#define STRV_FOREACH(s, v) for (char *const *s = (v); s && *s; s++)

/* Lower-case hex of @n bytes into @out (2n + 1). */
void hex_encode(const void *bytes, size_t n, char *out);
bool is_hex_lower(const char *s, size_t n); /* exactly @n lower-case hex digits and no more */
/* RFC 1123 as Kubernetes reads it: a label is 1 to 63 of [a-z0-9-] with no '-' at either end, a
 * subdomain such labels with dots, at most 253 in all; no label in it is held to 63. */
bool is_dns_label(const char *s);
bool is_dns_subdomain(const char *s);
/* 64-bit FNV-1a; good for tables and names, not against an adversary. */
uint64_t fnv1a(const void *data, size_t n, uint64_t seed);
#define FNV1A_SEED UINT64_C(0xcbf29ce484222325)
/* Base64 (RFC 4648, padded); decode ignores line breaks. *ret is NUL-terminated beyond *ret_len. */
int base64_decode(const char *s, size_t n, uint8_t **ret, size_t *ret_len);
char *base64_encode(const void *data, size_t n);
