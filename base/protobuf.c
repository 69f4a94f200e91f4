#include "base/protobuf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum wire_type { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

#define VARINT_MAX       10 /* bytes of a number of 64 bits */
#define FIELD_NUMBER_MAX ((UINT32_C(1) << 29) - 1)

/* ---- writing ---- */

static void add_varint(struct strbuf *b, uint64_t value)
{
        uint8_t bytes[VARINT_MAX];
        size_t n = 0;

        for (; value >= 0x80; value >>= 7)
                bytes[n++] = (uint8_t)(value | 0x80);
        bytes[n++] = (uint8_t)value;
        strbuf_add_n(b, bytes, n);
}

static void add_tag(struct strbuf *b, uint32_t field, enum wire_type type)
{
        add_varint(b, (uint64_t)field << 3 | type);
}

static void add_bytes(struct strbuf *b, uint32_t field, const void *bytes, size_t n)
{
        add_tag(b, field, WIRE_BYTES);
        add_varint(b, n);
        if (n > 0)
                strbuf_add_n(b, bytes, n);
}

void protobuf_add_number(struct strbuf *b, uint32_t field, uint64_t value)
{
        if (value == 0)
                return;
        add_tag(b, field, WIRE_VARINT);
        add_varint(b, value);
}

void protobuf_add_item(struct strbuf *b, uint32_t field, const char *text)
{
        add_bytes(b, field, text, strlen(text));
}

void protobuf_add_text(struct strbuf *b, uint32_t field, const char *text)
{
        if (text && *text)
                protobuf_add_item(b, field, text);
}

void protobuf_add_message(struct strbuf *b, uint32_t field, const struct strbuf *message)
{
        b->failed |= message->failed;
        add_bytes(b, field, message->data, message->len);
}

void protobuf_add_map(struct strbuf *b, uint32_t field, const struct string_map *map)
{
        for (size_t i = 0; map && i < map->n; i++) {
                _cleanup_strbuf_ struct strbuf entry = { 0 };

                protobuf_add_text(&entry, 1, map->entries[i].key);
                protobuf_add_text(&entry, 2, map->entries[i].value);
                protobuf_add_message(b, field, &entry);
        }
}

/* ---- reading ---- */

static int bad(struct err *err, const char *sentence)
{
        return err_set_kind(err, -EBADMSG, ERR_BAD_INPUT, "%s", sentence);
}

static int take_varint(struct protobuf_reader *r, uint64_t *ret, struct err *err)
{
        *ret = 0;
        for (unsigned shift = 0; r->p < r->end; shift += 7) {
                uint8_t byte = *r->p++;

                if (shift == 63 && byte > 1)
                        return bad(err, "a number is longer than 64 bits");
                *ret |= (uint64_t)(byte & 0x7f) << shift;
                if (!(byte & 0x80))
                        return 0;
        }
        return bad(err, "a number is cut short");
}

static int take_bytes(struct protobuf_reader *r, uint64_t n, struct protobuf_reader *ret,
                      struct err *err)
{
        if (n > (uint64_t)(r->end - r->p))
                return bad(err, "a field is longer than its message");
        *ret = protobuf_reader(r->p, n);
        r->p += n;
        return 0;
}

int protobuf_next(struct protobuf_reader *r, struct protobuf_field *ret, struct err *err)
{
        struct protobuf_field f = { .type = PROTOBUF_OTHER };
        uint64_t n;
        int k;

        if (r->p >= r->end)
                return 0;
        k = take_varint(r, &n, err);
        if (k < 0)
                return k;
        if (n >> 3 == 0 || n >> 3 > FIELD_NUMBER_MAX)
                return bad(err, "a field has a number that no field can have");
        f.number = (uint32_t)(n >> 3);
        switch (n & 7) {
        case WIRE_VARINT:
                f.type = PROTOBUF_NUMBER;
                k = take_varint(r, &f.value, err);
                break;
        case WIRE_BYTES:
                f.type = PROTOBUF_BYTES;
                k = take_varint(r, &n, err);
                if (k == 0)
                        k = take_bytes(r, n, &f.bytes, err);
                break;
        case WIRE_FIXED64:
                k = take_bytes(r, 8, &f.bytes, err);
                break;
        case WIRE_FIXED32:
                k = take_bytes(r, 4, &f.bytes, err);
                break;
        default:
                k = bad(err, "a field is of a type that there is not");
        }
        if (k < 0)
                return k;
        *ret = f;
        return 1;
}

static int wrong_type(const char *what, const char *wanted, struct err *err)
{
        return err_set_kind(err, -EBADMSG, ERR_BAD_INPUT, "%s: expected %s", what, wanted);
}

int protobuf_number(const struct protobuf_field *f, const char *what, uint64_t *ret,
                    struct err *err)
{
        if (f->type != PROTOBUF_NUMBER)
                return wrong_type(what, "a number", err);
        *ret = f->value;
        return 0;
}

int protobuf_message(const struct protobuf_field *f, const char *what, struct protobuf_reader *ret,
                     struct err *err)
{
        if (f->type != PROTOBUF_BYTES)
                return wrong_type(what, "a message", err);
        *ret = f->bytes;
        return 0;
}

/* Length of the character at @p; 0: there is none, or it is no UTF-8. */
static size_t utf8_length(const uint8_t *p, const uint8_t *end)
{
        static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
        uint32_t c;
        size_t n;

        if (*p < 0x80)
                return *p != 0;
        n = *p >= 0xf0 && *p < 0xf8   ? 4
            : *p >= 0xe0 && *p < 0xf0 ? 3
            : *p >= 0xc0 && *p < 0xe0 ? 2
                                      : 0;
        if (n == 0 || n > (size_t)(end - p))
                return 0;
        c = *p & (0xffu >> (n + 1));
        for (size_t i = 1; i < n; i++) {
                if ((p[i] & 0xc0) != 0x80)
                        return 0;
                c = c << 6 | (p[i] & 0x3f);
        }
        return c < least[n] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000) ? 0 : n;
}

static bool is_text(const struct protobuf_reader *r)
{
        for (const uint8_t *p = r->p; p < r->end;) {
                size_t n = utf8_length(p, r->end);

                if (n == 0)
                        return false;
                p += n;
        }
        return true;
}

int protobuf_text(const struct protobuf_field *f, const char *what, size_t max, char **ret,
                  struct err *err)
{
        size_t n = (size_t)(f->bytes.end - f->bytes.p);
        char *copy;

        if (f->type != PROTOBUF_BYTES || !is_text(&f->bytes))
                return wrong_type(what, "a text in UTF-8", err);
        if (n > max)
                return err_set_kind(err, -EBADMSG, ERR_BAD_INPUT,
                                    "%s: expected at most %zu bytes, there are %zu", what, max, n);
        copy = strndup(n ? (const char *)f->bytes.p : "", n);
        if (!copy)
                return err_sys(err, -ENOMEM, "read %s", what);
        free(*ret);
        *ret = copy;
        return 0;
}
