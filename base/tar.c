/*
 * Theory of operation. The archive is a row of 512-byte blocks. A header block announces an entry,
 * or an extension (pax, GNU long name) that belongs to the entry after it. The reader is in one of
 * five places: collecting a header block, collecting an extension's data, inside an entry's data,
 * inside padding, or behind the end mark. Extension data grows with the bytes that really arrive,
 * never by the size that a header claims.
 */
#include "base/tar.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "base/text.h"

enum { BLOCK = 512 };

enum place {
        AT_HEADER,    /* collecting a header block */
        IN_EXTENSION, /* collecting what belongs to the next entry */
        IN_DATA,
        IN_PADDING,
        BEHIND_END,
};

/* A header block: POSIX ustar; V7 ends with linkname, GNU has other things instead of prefix. */
struct header {
        char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8];
        char type;
        char linkname[100], magic[6], version[2], uname[32], gname[32], major[8], minor[8];
        char prefix[155], pad[12];
};
static_assert(sizeof(struct header) == BLOCK, "a header is one block");

/* Values that a pax header set for the next entry. */
struct pax {
        struct strbuf text; /* the records; values below point into it */
        bool seen;
        const char *path, *linkpath;
        bool has_size, has_uid, has_gid, has_mtime;
        uint64_t size;
        uint32_t uid, gid;
        struct timespec mtime;
        struct tar_xattr xattrs[TAR_XATTRS_MAX];
        size_t n_xattrs;
};

struct tar {
        enum place place;
        union {
                struct header header;
                uint8_t bytes[BLOCK];
        } block;
        size_t block_len;
        bool zero_block_seen, entry_over;

        char extension; /* 'x', 'g', 'L', 'K' while IN_EXTENSION */
        uint64_t left;  /* bytes still to come of extension or data */
        uint32_t padding;
        uint64_t extension_total; /* of the entry to come */
        struct pax pax;
        struct strbuf global, long_name, long_link;
        bool has_long_name, has_long_link;

        uint64_t n_entries;
        char name[TAR_PATH_MAX + 1], link[TAR_PATH_MAX + 1];
        struct tar_entry entry;
};

struct tar *tar_new(void)
{
        return calloc(1, sizeof(struct tar));
}

struct tar *tar_free(struct tar *t)
{
        if (!t)
                return NULL;
        strbuf_done(&t->pax.text);
        strbuf_done(&t->global);
        strbuf_done(&t->long_name);
        strbuf_done(&t->long_link);
        free(t);
        return NULL;
}

const struct tar_entry *tar_entry(const struct tar *t)
{
        return &t->entry;
}

static _printf_(3, 4) int refuse(const struct tar *t, struct err *err, const char *fmt, ...)
{
        _cleanup_free_ char *why = NULL;
        va_list ap;

        va_start(ap, fmt);
        if (vasprintf(&why, fmt, ap) < 0)
                why = NULL;
        va_end(ap);
        return err_set_kind(err, -EINVAL, ERR_BAD_INPUT, "tar entry %llu: %s",
                            (unsigned long long)t->n_entries + 1, why ? why : fmt);
}

/* ---- fields ---- */

/* GNU's base-256: the first byte's upper bits say so, then a big-endian two's complement. */
static int base256(const char *field, size_t n, int64_t *ret)
{
        const uint8_t *f = (const uint8_t *)field;
        bool negative = f[0] & 0x40;
        uint64_t v = f[0] & 0x3f;

        if (negative)
                v |= ~UINT64_C(0x3f);
        for (size_t i = 1; i < n; i++) {
                /* the top nine bits must all be the sign, or the shift would lose some */
                if (v >> 55 != (negative ? 0x1ff : 0))
                        return -ERANGE;
                v = v << 8 | f[i];
        }
        *ret = (int64_t)v;
        return 0;
}

/* Blanks, octal digits, then nothing but blanks and NULs; empty is 0. */
static int octal(const char *field, size_t n, int64_t *ret)
{
        uint64_t v = 0;
        size_t i = 0;

        while (i < n && (field[i] == ' ' || field[i] == '\0'))
                i++;
        for (; i < n && field[i] >= '0' && field[i] <= '7'; i++)
                v = v << 3 | (uint64_t)(field[i] - '0'); /* 12 digits: no overflow */
        for (; i < n; i++)
                if (field[i] != ' ' && field[i] != '\0')
                        return -EINVAL;
        *ret = (int64_t)v;
        return 0;
}

static int number(const struct tar *t, const char *what, const char *field, size_t n, int64_t min,
                  int64_t max, int64_t *ret, struct err *err)
{
        int r = field[0] & 0x80 ? base256(field, n, ret) : octal(field, n, ret);

        if (r == -EINVAL)
                return refuse(t, err, "header field '%s' is not a number", what);
        if (r < 0 || *ret < min || *ret > max)
                return refuse(t, err, "header field '%s' is out of range", what);
        return 0;
}

static bool checksum_matches(const struct tar *t, int64_t wanted)
{
        const size_t from = offsetof(struct header, checksum), to = from + 8;
        int64_t plain = 0, as_signed = 0; /* some old writers summed signed characters */

        for (size_t i = 0; i < BLOCK; i++) {
                uint8_t c = i >= from && i < to ? ' ' : t->block.bytes[i];

                plain += c;
                as_signed += (int8_t)c;
        }
        return wanted == plain || wanted == as_signed;
}

static bool is_zero(const uint8_t *bytes, size_t n)
{
        for (size_t i = 0; i < n; i++)
                if (bytes[i])
                        return false;
        return true;
}

/* ---- pax ---- */

/* "1700000000", "-1.5", "1700000000.123456789123": seconds with any number of decimals. */
static int pax_time(const char *text, struct timespec *ret)
{
        bool negative = text[0] == '-';
        const char *dot = strchr(text, '.');
        char whole[24];
        size_t n = dot ? (size_t)(dot - text) : strlen(text);
        uint64_t sec;
        long nsec = 0, unit = 100000000;

        if (n - negative == 0 || n >= sizeof whole)
                return -EINVAL;
        memcpy(whole, text + negative, n - negative);
        whole[n - negative] = '\0';
        if (text_to_u64(whole, &sec) < 0 || sec > INT64_C(1) << 40)
                return -EINVAL;
        for (const char *p = dot ? dot + 1 : ""; *p; p++, unit /= 10) {
                if (*p < '0' || *p > '9')
                        return -EINVAL;
                nsec += unit * (*p - '0');
        }
        *ret = (struct timespec){ .tv_sec = (time_t)sec, .tv_nsec = nsec };
        if (negative) {
                ret->tv_sec = -ret->tv_sec - (nsec ? 1 : 0);
                ret->tv_nsec = nsec ? 1000000000 - nsec : 0;
        }
        return 0;
}

static int pax_id(const char *value, bool *has, uint32_t *ret)
{
        uint64_t v;

        *has = value[0] != '\0'; /* an empty value takes the key back */
        if (!*has)
                return 0;
        if (text_to_u64(value, &v) < 0 || v >= UINT32_MAX)
                return -EINVAL;
        *ret = (uint32_t)v;
        return 0;
}

static int pax_xattr(struct tar *t, const char *name, const char *value, size_t n, struct err *err)
{
        struct pax *p = &t->pax;

        if (!*name || strlen(name) > 255)
                return refuse(t, err, "extended attribute name of %zu bytes: expected 1 to 255",
                              strlen(name));
        if (n > TAR_XATTR_SIZE_MAX)
                return refuse(t, err, "extended attribute '%s' has %zu bytes: expected at most %d",
                              name, n, TAR_XATTR_SIZE_MAX);
        if (p->n_xattrs == TAR_XATTRS_MAX)
                return refuse(t, err, "more than %d extended attributes", TAR_XATTRS_MAX);
        p->xattrs[p->n_xattrs++] = (struct tar_xattr){ .name = name, .value = value, .size = n };
        return 0;
}

/* @key and @value are terminated; @n is the value's true length. */
static int pax_set(struct tar *t, const char *key, const char *value, size_t n, struct err *err)
{
        struct pax *p = &t->pax;
        const char *xattr = startswith(key, "SCHILY.xattr.");
        int r = 0;

        if (xattr)
                return pax_xattr(t, xattr, value, n, err);
        if (startswith(key, "GNU.sparse."))
                return refuse(t, err, "sparse files are not supported");
        if (streq(key, "path"))
                p->path = value;
        else if (streq(key, "linkpath"))
                p->linkpath = value;
        else if (streq(key, "size")) {
                p->has_size = value[0] != '\0';
                r = p->has_size ? text_to_u64(value, &p->size) : 0;
                if (r == 0 && p->has_size && p->size > INT64_MAX)
                        r = -ERANGE;
        } else if (streq(key, "uid"))
                r = pax_id(value, &p->has_uid, &p->uid);
        else if (streq(key, "gid"))
                r = pax_id(value, &p->has_gid, &p->gid);
        else if (streq(key, "mtime")) {
                p->has_mtime = value[0] != '\0';
                r = p->has_mtime ? pax_time(value, &p->mtime) : 0;
        } else
                return 0; /* atime, uname, comment, vendor keys: nothing here depends on them */
        if (r < 0)
                return refuse(t, err, "pax '%s' is not a number in range", key);
        if (strlen(value) != n)
                return refuse(t, err, "pax '%s' holds a NUL", key);
        return 0;
}

/* Global headers are applied by some readers and not by others: only idle keys may be in one. */
static int pax_check_global(struct tar *t, const char *key, struct err *err)
{
        static const char *const idle[] = { "comment", "charset", "hdrcharset", "atime", "ctime" };

        for (size_t i = 0; i < ARRAY_SIZE(idle); i++)
                if (streq(key, idle[i]))
                        return 0;
        return refuse(t, err, "global pax header sets '%.64s': expected a comment only", key);
}

/* One record, "<length> <key>=<value>\n", at @at. Terminates key and value in place. */
static int pax_record(struct tar *t, struct strbuf *b, size_t *at, bool global, struct err *err)
{
        char *start = b->data + *at, *equals;
        size_t rest = b->len - *at, digits = 0, len = 0, value_len;

        while (digits < rest && digits < 8 && start[digits] >= '0' && start[digits] <= '9')
                len = len * 10 + (size_t)(start[digits++] - '0');
        if (digits == 0 || digits == rest || start[digits] != ' ' || start[0] == '0' ||
            len > rest || len < digits + 4 || start[len - 1] != '\n')
                return refuse(t, err, "pax header is malformed");
        start[len - 1] = '\0';
        equals = memchr(start + digits + 1, '=', len - digits - 2);
        if (!equals || equals == start + digits + 1)
                return refuse(t, err, "pax record without a key");
        *equals = '\0';
        if (strlen(start + digits + 1) != (size_t)(equals - start) - digits - 1)
                return refuse(t, err, "pax key holds a NUL");
        value_len = (size_t)(start + len - 1 - (equals + 1));
        *at += len;
        if (global)
                return pax_check_global(t, start + digits + 1, err);
        return pax_set(t, start + digits + 1, equals + 1, value_len, err);
}

static int pax_parse(struct tar *t, struct strbuf *b, bool global, struct err *err)
{
        size_t at = 0;

        while (at < b->len) {
                int r = pax_record(t, b, &at, global, err);

                if (r < 0)
                        return r;
        }
        return 0;
}

/* ---- headers ---- */

static struct strbuf *extension_buffer(struct tar *t)
{
        switch (t->extension) {
        case 'x':
                return &t->pax.text;
        case 'g':
                return &t->global;
        case 'L':
                return &t->long_name;
        default:
                return &t->long_link;
        }
}

static int begin_extension(struct tar *t, char type, int64_t size, struct err *err)
{
        bool twice = (type == 'x' && t->pax.seen) || (type == 'L' && t->has_long_name) ||
                     (type == 'K' && t->has_long_link);

        if (twice)
                return refuse(t, err, "two extension headers of type '%c' for one entry", type);
        if ((uint64_t)size > TAR_EXTENSION_MAX - t->extension_total)
                return refuse(t, err, "extension headers of more than %d bytes", TAR_EXTENSION_MAX);
        if ((type == 'L' || type == 'K') && size > TAR_PATH_MAX + 1)
                return refuse(t, err, "name of more than %d bytes", TAR_PATH_MAX);
        t->extension_total += (uint64_t)size;
        t->pax.seen |= type == 'x';
        t->has_long_name |= type == 'L';
        t->has_long_link |= type == 'K';
        t->extension = type;
        t->left = (uint64_t)size;
        t->padding = (uint32_t)(-size & (BLOCK - 1));
        t->place = IN_EXTENSION;
        return TAR_NEED_MORE;
}

/* Copies a name of @n bytes at most that may lack its NUL. */
static int copy_name(const struct tar *t, char *out, const char *prefix, size_t prefix_max,
                     const char *s, size_t n, struct err *err)
{
        size_t prefix_len = strnlen(prefix, prefix_max), len = strnlen(s, n);

        if (prefix_len + 1 + len > TAR_PATH_MAX)
                return refuse(t, err, "name of more than %d bytes", TAR_PATH_MAX);
        if (prefix_len) {
                memcpy(out, prefix, prefix_len);
                out[prefix_len++] = '/';
        }
        memcpy(out + prefix_len, s, len);
        out[prefix_len + len] = '\0';
        return 0;
}

/* A GNU long name is its text and one NUL; some writers leave that out. */
static int check_long(const struct tar *t, const struct strbuf *b, struct err *err)
{
        if (b->len > 0 && strnlen(b->data, b->len) + 1 < b->len)
                return refuse(t, err, "long name holds a NUL");
        return 0;
}

static int fill_names(struct tar *t, struct err *err)
{
        const struct header *h = &t->block.header;
        /* GNU's magic is "ustar " and puts times where POSIX has the prefix; star's is shorter */
        bool posix = memcmp(h->magic, "ustar\0", 6) == 0;
        size_t prefix_max = !posix                                ? 0
                            : memcmp(h->pad + 8, "tar\0", 4) == 0 ? 131
                                                                  : sizeof h->prefix;
        const char *path = t->pax.path, *link = t->pax.linkpath;
        int r;

        if ((t->has_long_name && path && *path) || (t->has_long_link && link && *link))
                return refuse(t, err, "both a GNU long name and a pax name");
        r = check_long(t, &t->long_name, err);
        if (r == 0)
                r = check_long(t, &t->long_link, err);
        if (r < 0)
                return r;
        if (path && *path)
                r = copy_name(t, t->name, "", 0, path, strlen(path), err);
        else if (t->has_long_name)
                r = copy_name(t, t->name, "", 0, t->long_name.data ? t->long_name.data : "",
                              t->long_name.len, err);
        else
                r = copy_name(t, t->name, h->prefix, prefix_max, h->name, sizeof h->name, err);
        if (r < 0)
                return r;
        if (link && *link)
                return copy_name(t, t->link, "", 0, link, strlen(link), err);
        if (t->has_long_link)
                return copy_name(t, t->link, "", 0, t->long_link.data ? t->long_link.data : "",
                                 t->long_link.len, err);
        return copy_name(t, t->link, "", 0, h->linkname, sizeof h->linkname, err);
}

static int fill_numbers(struct tar *t, int64_t size, struct err *err)
{
        const struct header *h = &t->block.header;
        const struct pax *p = &t->pax;
        struct tar_entry *e = &t->entry;
        int64_t mode, uid, gid, mtime, major = 0, minor = 0;
        bool device = e->type == TAR_CHAR || e->type == TAR_BLOCK;
        int r;

        r = number(t, "mode", h->mode, sizeof h->mode, 0, UINT32_MAX, &mode, err);
        if (r == 0)
                r = number(t, "uid", h->uid, sizeof h->uid, 0, UINT32_MAX - 1, &uid, err);
        if (r == 0)
                r = number(t, "gid", h->gid, sizeof h->gid, 0, UINT32_MAX - 1, &gid, err);
        if (r == 0)
                r = number(t, "mtime", h->mtime, sizeof h->mtime, -(INT64_C(1) << 40),
                           INT64_C(1) << 40, &mtime, err);
        if (r == 0 && device)
                r = number(t, "devmajor", h->major, sizeof h->major, 0, 0xfff, &major, err);
        if (r == 0 && device)
                r = number(t, "devminor", h->minor, sizeof h->minor, 0, 0xfffff, &minor, err);
        if (r < 0)
                return r;
        e->mode = (uint32_t)mode & 07777; /* V7 writers put the file type above */
        e->uid = p->has_uid ? p->uid : (uint32_t)uid;
        e->gid = p->has_gid ? p->gid : (uint32_t)gid;
        e->mtime = p->has_mtime ? p->mtime : (struct timespec){ .tv_sec = mtime };
        e->major = (uint32_t)major;
        e->minor = (uint32_t)minor;
        e->size = p->has_size ? p->size : (uint64_t)size;
        return 0;
}

static int entry_type(struct tar *t, char type, struct err *err)
{
        switch (type) {
        case '\0':
        case '0':
        case '7': /* "contiguous": nobody makes a difference */
                return TAR_FILE;
        case '1':
                return TAR_HARD_LINK;
        case '2':
                return TAR_SYMLINK;
        case '3':
                return TAR_CHAR;
        case '4':
                return TAR_BLOCK;
        case '5':
                return TAR_DIRECTORY;
        case '6':
                return TAR_FIFO;
        case 'S':
                return refuse(t, err, "sparse files are not supported");
        default:
                return refuse(t, err, "unknown entry type 0x%02x", (uint8_t)type);
        }
}

static int begin_entry(struct tar *t, int64_t size, struct err *err)
{
        struct tar_entry *e = &t->entry;
        int r = entry_type(t, t->block.header.type, err);

        if (r < 0)
                return r;
        if (t->n_entries == TAR_ENTRIES_MAX)
                return refuse(t, err, "more than %d entries", TAR_ENTRIES_MAX);
        *e = (struct tar_entry){ .type = (enum tar_type)r, .name = t->name, .link = t->link };
        r = fill_names(t, err);
        if (r == 0)
                r = fill_numbers(t, size, err);
        if (r < 0)
                return r;
        if (!t->name[0])
                return refuse(t, err, "name is empty");
        if (e->type == TAR_FILE && endswith(t->name, "/"))
                e->type = TAR_DIRECTORY; /* V7 had no type for them */
        if (e->type != TAR_HARD_LINK && e->type != TAR_SYMLINK)
                t->link[0] = '\0';
        else if (!t->link[0])
                return refuse(t, err, "'%s': link without a target", t->name);
        if (e->type == TAR_HARD_LINK)
                e->size = 0;
        if (e->type != TAR_FILE && e->size != 0)
                return refuse(t, err, "'%s': claims data but is no file", t->name);
        e->xattrs = t->pax.xattrs;
        e->n_xattrs = t->pax.n_xattrs;
        t->left = e->size;
        t->padding = (uint32_t)(-e->size & (BLOCK - 1));
        t->place = IN_DATA;
        return TAR_ENTRY;
}

/* The next entry starts with nothing set. */
static void forget_extensions(struct tar *t)
{
        t->pax.text.len = t->long_name.len = t->long_link.len = 0;
        t->pax = (struct pax){ .text = t->pax.text };
        t->has_long_name = t->has_long_link = t->entry_over = false;
        t->extension_total = 0;
}

static bool has_extensions(const struct tar *t)
{
        return t->pax.seen || t->has_long_name || t->has_long_link;
}

static int read_header(struct tar *t, struct err *err)
{
        const struct header *h = &t->block.header;
        int64_t checksum, size;
        int r;

        if (is_zero(t->block.bytes, BLOCK)) {
                if (has_extensions(t))
                        return refuse(t, err, "extension header without an entry");
                if (t->zero_block_seen)
                        t->place = BEHIND_END;
                t->zero_block_seen = true;
                return t->place == BEHIND_END ? TAR_END : TAR_NEED_MORE;
        }
        if (t->zero_block_seen)
                return refuse(t, err, "a header behind a block of zeros");
        r = number(t, "chksum", h->checksum, sizeof h->checksum, 0, INT32_MAX, &checksum, err);
        if (r < 0)
                return r;
        if (!checksum_matches(t, checksum))
                return refuse(t, err, "header checksum does not match");
        r = number(t, "size", h->size, sizeof h->size, 0, INT64_MAX, &size, err);
        if (r < 0)
                return r;
        if (h->type == 'x' || h->type == 'g' || h->type == 'L' || h->type == 'K')
                return begin_extension(t, h->type, size, err);
        return begin_entry(t, size, err);
}

/* ---- the steps ---- */

static int step_header(struct tar *t, const uint8_t *data, size_t n, size_t *ret_used,
                       struct err *err)
{
        size_t take = MIN(n, BLOCK - t->block_len);

        if (take > 0)
                memcpy(t->block.bytes + t->block_len, data, take);
        t->block_len += take;
        *ret_used = take;
        if (t->block_len < BLOCK)
                return TAR_NEED_MORE;
        t->block_len = 0;
        return read_header(t, err);
}

static int end_extension(struct tar *t, struct err *err)
{
        struct strbuf *b = extension_buffer(t);
        int r = 0;

        if (t->extension == 'x' || t->extension == 'g')
                r = pax_parse(t, b, t->extension == 'g', err);
        if (t->extension == 'g')
                b->len = 0;
        t->place = IN_PADDING;
        return r < 0 ? r : TAR_NEED_MORE;
}

static int step_extension(struct tar *t, const uint8_t *data, size_t n, size_t *ret_used,
                          struct err *err)
{
        struct strbuf *b = extension_buffer(t);
        size_t take = (size_t)MIN(n, t->left);

        if (take > 0)
                strbuf_add_n(b, data, take);
        if (b->failed)
                return err_sys(err, -ENOMEM, "tar header");
        t->left -= take;
        *ret_used = take;
        return t->left > 0 ? TAR_NEED_MORE : end_extension(t, err);
}

static int step_data(struct tar *t, size_t n, size_t *ret_used)
{
        size_t take = (size_t)MIN(n, t->left);

        if (t->left == 0) {
                t->place = IN_PADDING;
                t->n_entries++;
                t->entry_over = true;
                *ret_used = 0;
                return TAR_ENTRY_END;
        }
        t->left -= take;
        *ret_used = take;
        return take > 0 ? TAR_DATA : TAR_NEED_MORE;
}

static int step_padding(struct tar *t, size_t n, size_t *ret_used)
{
        size_t take = MIN(n, t->padding);

        if (t->entry_over)
                forget_extensions(t);
        t->padding -= (uint32_t)take;
        *ret_used = take;
        if (t->padding == 0)
                t->place = AT_HEADER;
        return TAR_NEED_MORE;
}

static int step_behind_end(const struct tar *t, const uint8_t *data, size_t n, size_t *ret_used,
                           struct err *err)
{
        if (!is_zero(data, n))
                return refuse(t, err, "data behind the end of the archive");
        *ret_used = n;
        return TAR_NEED_MORE;
}

int tar_next(struct tar *t, const void *data, size_t n, size_t *ret_used, struct err *err)
{
        size_t total = 0;

        for (;;) {
                const uint8_t *at = (const uint8_t *)data + total;
                size_t used = 0, rest = n - total;
                enum place before = t->place;
                int r;

                switch (t->place) {
                case AT_HEADER:
                        r = step_header(t, at, rest, &used, err);
                        break;
                case IN_EXTENSION:
                        r = step_extension(t, at, rest, &used, err);
                        break;
                case IN_DATA: /* entered by TAR_ENTRY alone: total is 0, data comes by itself */
                        r = step_data(t, rest, &used);
                        break;
                case IN_PADDING:
                        r = step_padding(t, rest, &used);
                        break;
                case BEHIND_END:
                default:
                        r = step_behind_end(t, at, rest, &used, err);
                        break;
                }
                if (r < 0)
                        return r;
                total += used;
                *ret_used = total;
                if (r != TAR_NEED_MORE || (used == 0 && t->place == before))
                        return r;
        }
}

uint64_t tar_skip_data(struct tar *t)
{
        uint64_t n = t->place == IN_DATA ? t->left : 0;

        if (t->place == IN_DATA)
                t->left = 0;
        return n;
}

int tar_finish(const struct tar *t, struct err *err)
{
        /* two zero blocks ought to end an archive; writers that leave them out are accepted */
        if (t->place == BEHIND_END ||
            (t->place == AT_HEADER && t->block_len == 0 && !has_extensions(t)) ||
            (t->place == IN_PADDING && t->padding == 0 && t->entry_over))
                return 0;
        return refuse(t, err, "the archive ends in the middle");
}
