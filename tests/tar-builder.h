/*
 * Tar archives for tests, hostile ones included: nothing is checked, everything can be overridden.
 */
#pragma once
#include <stdint.h>

#include "base/text.h"

struct tar_member {
        const char *name, *link;
        char type;               /* 0: '0' */
        uint32_t mode, uid, gid; /* mode 0: 0644, or 0755 of a directory */
        int64_t mtime;
        uint32_t major, minor;
        const void *data;
        size_t size;
        const char *raw_size; /* 12 bytes for the size field, or NULL */
        bool gnu, v7;         /* instead of ustar */
        bool bad_checksum;
};

void tar_add(struct strbuf *b, const struct tar_member *m);
/* A pax header of @type 'x' or 'g' with one record (value of @n bytes) more per call pair. */
void pax_add_record(struct strbuf *records, const char *key, const void *value, size_t n);
void tar_add_pax(struct strbuf *b, char type, const struct strbuf *records);
void tar_add_long(struct strbuf *b, char type, const char *name);
void tar_end(struct strbuf *b); /* two zero blocks */

#define TAR_ADD(b, ...) tar_add((b), &(struct tar_member){ __VA_ARGS__ })
