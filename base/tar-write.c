#include "base/tar-write.h"

#include <string.h>

enum { NAME_SIZE = 100, PREFIX_SIZE = 155, OCTAL_8 = 07777777 };
#define OCTAL_11 UINT64_C(077777777777)

struct header { /* POSIX.1-2017, ustar */
        char name[NAME_SIZE], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type;
        char link[NAME_SIZE], magic[6], version[2], owner[32], group[32], major[8], minor[8];
        char prefix[PREFIX_SIZE], pad[12];
};
_Static_assert(sizeof(struct header) == TAR_BLOCK_SIZE, "a header is one block");

static void put_octal(char *field, size_t size, uint64_t v)
{
        field[size - 1] = '\0';
        for (size_t i = size - 1; i-- > 0; v >>= 3)
                field[i] = (char)('0' + (v & 7));
}

/* Octal, or what GNU does when that is too short: base 256 with the first bit set. */
static void put_number(char *field, size_t size, uint64_t v)
{
        if (v <= (size == 8 ? OCTAL_8 : OCTAL_11)) {
                put_octal(field, size, v);
                return;
        }
        memset(field, 0, size);
        for (size_t i = size; i-- > 1 && v; v >>= 8)
                field[i] = (char)(v & 0xff);
        field[0] = (char)0x80;
}

static void put_text(char *field, size_t size, const char *text)
{
        const size_t n = strlen(text);

        memcpy(field, text, n < size ? n : size);
}

static void seal(struct header *h)
{
        const unsigned char *bytes = (const unsigned char *)h;
        unsigned sum = 0;

        memset(h->checksum, ' ', sizeof h->checksum);
        for (size_t i = 0; i < sizeof *h; i++)
                sum += bytes[i];
        put_octal(h->checksum, 7, sum);
}

static void add_long(struct strbuf *b, char type, const char *text)
{
        const uint64_t size = strlen(text) + 1;
        struct header h = { .type = type, .magic = "ustar ", .version = " " };

        put_text(h.name, sizeof h.name, "././@LongLink");
        put_octal(h.mode, sizeof h.mode, 0644);
        put_octal(h.uid, sizeof h.uid, 0);
        put_octal(h.gid, sizeof h.gid, 0);
        put_octal(h.mtime, sizeof h.mtime, 0);
        put_number(h.size, sizeof h.size, size);
        seal(&h);
        strbuf_add_n(b, &h, sizeof h);
        strbuf_add_n(b, text, size);
        tar_write_padding(b, size);
}

/* Splits at a slash so that both parts fit; false: it cannot be done. */
static bool put_name(struct header *h, const char *name)
{
        const size_t n = strlen(name);

        if (n <= NAME_SIZE) {
                put_text(h->name, sizeof h->name, name);
                return true;
        }
        for (size_t at = n - 1; at > 0 && n - at - 1 <= NAME_SIZE; at--)
                if (name[at] == '/' && at <= PREFIX_SIZE && at + 1 < n) {
                        memcpy(h->prefix, name, at);
                        put_text(h->name, sizeof h->name, name + at + 1);
                        return true;
                }
        return false;
}

void tar_write_header(struct strbuf *b, const struct tar_entry *e)
{
        static const char types[] = {
                [TAR_FILE] = '0',  [TAR_HARD_LINK] = '1', [TAR_SYMLINK] = '2', [TAR_CHAR] = '3',
                [TAR_BLOCK] = '4', [TAR_DIRECTORY] = '5', [TAR_FIFO] = '6'
        };
        struct header h = { .type = types[e->type], .magic = "ustar", .version = "00" };
        const char *link = e->link ? e->link : "";

        if (!put_name(&h, e->name)) {
                add_long(b, 'L', e->name);
                put_text(h.name, sizeof h.name, e->name);
        }
        if (strlen(link) > sizeof h.link)
                add_long(b, 'K', link);
        put_text(h.link, sizeof h.link, link);
        put_octal(h.mode, sizeof h.mode, e->mode & 07777);
        put_number(h.uid, sizeof h.uid, e->uid);
        put_number(h.gid, sizeof h.gid, e->gid);
        put_number(h.size, sizeof h.size, e->size);
        put_number(h.mtime, sizeof h.mtime, e->mtime.tv_sec > 0 ? (uint64_t)e->mtime.tv_sec : 0);
        put_octal(h.major, sizeof h.major, e->major);
        put_octal(h.minor, sizeof h.minor, e->minor);
        seal(&h);
        strbuf_add_n(b, &h, sizeof h);
}

void tar_write_padding(struct strbuf *b, uint64_t size)
{
        static const char zeros[TAR_BLOCK_SIZE];

        if (size % TAR_BLOCK_SIZE)
                strbuf_add_n(b, zeros, TAR_BLOCK_SIZE - size % TAR_BLOCK_SIZE);
}

void tar_write_end(struct strbuf *b)
{
        static const char zeros[2 * TAR_BLOCK_SIZE];

        strbuf_add_n(b, zeros, sizeof zeros);
}
