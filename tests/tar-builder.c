#include "tests/tar-builder.h"

#include <stdio.h>
#include <string.h>

static void pad(struct strbuf *b)
{
        static const char zeros[512];

        if (b->len % 512)
                strbuf_add_n(b, zeros, 512 - b->len % 512);
}

static void put_octal(char *field, size_t n, uint64_t v)
{
        char text[32];

        snprintf(text, sizeof text, "%0*llo", (int)n - 1, (unsigned long long)v);
        memcpy(field, text, n - 1);
}

/* More than octal holds goes into base-256, as GNU tar does. */
static void put_number(char *field, size_t n, int64_t v)
{
        if (v >= 0 && (n >= 12 || v < INT64_C(1) << (3 * (n - 1)))) {
                put_octal(field, n, (uint64_t)v);
                return;
        }
        for (size_t i = n; i-- > 0; v >>= 8)
                field[i] = (char)v;
        field[0] |= (char)0x80;
}

void tar_add(struct strbuf *b, const struct tar_member *m)
{
        char h[512] = { 0 };
        char type = m->type ? m->type : '0';
        uint32_t sum = 0;

        memcpy(h, m->name, strnlen(m->name, 100));
        put_number(h + 100, 8, m->mode ? m->mode : type == '5' ? 0755 : 0644);
        put_number(h + 108, 8, m->uid);
        put_number(h + 116, 8, m->gid);
        put_number(h + 124, 12, (int64_t)m->size);
        if (m->raw_size)
                memcpy(h + 124, m->raw_size, 12);
        put_number(h + 136, 12, m->mtime);
        h[156] = type;
        if (m->link)
                memcpy(h + 157, m->link, strnlen(m->link, 100));
        if (!m->v7)
                memcpy(h + 257, m->gnu ? "ustar  \0" : "ustar\00000", 8);
        put_number(h + 329, 8, m->major);
        put_number(h + 337, 8, m->minor);
        memset(h + 148, ' ', 8);
        for (size_t i = 0; i < sizeof h; i++)
                sum += (uint8_t)h[i];
        snprintf(h + 148, 8, "%06o", (sum + (m->bad_checksum ? 1 : 0)) & 0777777);
        h[155] = ' ';
        strbuf_add_n(b, h, sizeof h);
        if (m->data)
                strbuf_add_n(b, m->data, m->size);
        pad(b);
}

void pax_add_record(struct strbuf *records, const char *key, const void *value, size_t n)
{
        size_t body = 1 + strlen(key) + 1 + n + 1, len = body, digits;
        char text[24];

        /* the length counts its own digits */
        do {
                digits = (size_t)snprintf(text, sizeof text, "%zu", len);
                if (digits + body == len)
                        break;
                len = digits + body;
        } while (true);
        strbuf_addf(records, "%s %s=", text, key);
        strbuf_add_n(records, value, n);
        strbuf_add(records, "\n");
}

void tar_add_pax(struct strbuf *b, char type, const struct strbuf *records)
{
        TAR_ADD(b, .name = "PaxHeaders/x", .type = type, .data = records->data,
                .size = records->len);
}

void tar_add_long(struct strbuf *b, char type, const char *name)
{
        TAR_ADD(b, .name = "././@LongLink", .type = type, .gnu = true, .data = name,
                .size = strlen(name) + 1);
}

void tar_end(struct strbuf *b)
{
        static const char zeros[1024];

        strbuf_add_n(b, zeros, sizeof zeros);
}
