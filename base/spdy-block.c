#include "base/spdy-block.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <zlib.h>

#include "base/text.h"

/* SPDY protocol draft 3.1, 2.6.10.1: what is likely in headers, lengths included. */
/* clang-format off */
static const char dictionary[] =
        "\000\000\000\007options\000\000\000\004head\000\000\000\004post\000\000\000\003put\000\000\000\006delete\000\000\000\005trace\000\000\000\006accept\000\000\000"
        "\016accept-charset\000\000\000\017accept-encoding\000\000\000\017accept-language\000\000\000\015accept-ra"
        "nges\000\000\000\003age\000\000\000\005allow\000\000\000\015authorization\000\000\000\015cache-control\000\000\000\012connecti"
        "on\000\000\000\014content-base\000\000\000\020content-encoding\000\000\000\020content-language\000\000\000\016cont"
        "ent-length\000\000\000\020content-location\000\000\000\013content-md5\000\000\000\015content-range\000\000\000\014"
        "content-type\000\000\000\004date\000\000\000\004etag\000\000\000\006expect\000\000\000\007expires\000\000\000\004from\000\000\000\004host\000"
        "\000\000\010if-match\000\000\000\021if-modified-since\000\000\000\015if-none-match\000\000\000\010if-range\000\000\000\023i"
        "f-unmodified-since\000\000\000\015last-modified\000\000\000\010location\000\000\000\014max-forwards\000\000\000"
        "\006pragma\000\000\000\022proxy-authenticate\000\000\000\023proxy-authorization\000\000\000\005range\000\000\000\007r"
        "eferer\000\000\000\013retry-after\000\000\000\006server\000\000\000\002te\000\000\000\007trailer\000\000\000\021transfer-encod"
        "ing\000\000\000\007upgrade\000\000\000\012user-agent\000\000\000\004vary\000\000\000\003via\000\000\000\007warning\000\000\000\020www-auth"
        "enticate\000\000\000\006method\000\000\000\003get\000\000\000\006status\000\000\000\006200 OK\000\000\000\007version\000\000\000\010HTTP/1"
        ".1\000\000\000\003url\000\000\000\006public\000\000\000\012set-cookie\000\000\000\012keep-alive\000\000\000\006origin100101201"
        "202205206300302303304305306307402405406407408409410411412413414415"
        "416417502504505203 Non-Authoritative Information204 No Content301 "
        "Moved Permanently400 Bad Request401 Unauthorized403 Forbidden404 N"
        "ot Found500 Internal Server Error501 Not Implemented503 Service Un"
        "availableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00"
        " Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png"
        ",image/jpg,image/gif,application/xml,application/xhtml+xml,text/pl"
        "ain,text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset="
        "utf-8charset=iso-8859-1,utf-,*,enq=0.";
/* clang-format on */
enum { DICTIONARY_SIZE = sizeof dictionary - 1 };
static_assert(DICTIONARY_SIZE == 1423, "the dictionary has lost or gained something");

struct spdy_block_reader {
        z_stream z;
        struct spdy_header headers[SPDY_HEADERS_MAX];
        uint8_t text[SPDY_BLOCK_MAX + 1];
};

struct spdy_block_writer {
        z_stream z;
};

/* ---- reading ---- */

struct spdy_block_reader *spdy_block_reader_new(void)
{
        struct spdy_block_reader *r = calloc(1, sizeof *r);

        if (r && inflateInit(&r->z) != Z_OK) {
                free(r);
                return NULL;
        }
        return r;
}

struct spdy_block_reader *spdy_block_reader_free(struct spdy_block_reader *r)
{
        if (r)
                inflateEnd(&r->z);
        free(r);
        return NULL;
}

static int bad(struct err *err, const char *rule)
{
        return err_set_kind(err, -EPROTO, ERR_BAD_INPUT, "SPDY header block: expected %s", rule);
}

/* Bytes of the inflated block in r->text; a bomb stops at its end. */
static int inflate_block(struct spdy_block_reader *r, const uint8_t *data, size_t n,
                         struct err *err)
{
        z_stream *z = &r->z;
        int k;

        z->next_in = (uint8_t *)data; /* zlib's header lacks the const */
        z->avail_in = (uInt)n;
        z->next_out = r->text;
        z->avail_out = SPDY_BLOCK_MAX + 1;
        do {
                k = inflate(z, Z_SYNC_FLUSH);
                if (k == Z_NEED_DICT)
                        k = inflateSetDictionary(z, (const uint8_t *)dictionary, DICTIONARY_SIZE);
        } while (k == Z_OK && z->avail_in > 0 && z->avail_out > 0);
        if (k == Z_MEM_ERROR)
                return err_sys(err, -ENOMEM, "inflate a SPDY header block");
        if (k != Z_OK && k != Z_BUF_ERROR)
                return bad(err, "a zlib stream with the dictionary of SPDY/3");
        if (z->avail_out == 0)
                return bad(err, "at most 16 KiB");
        return (int)(SPDY_BLOCK_MAX + 1 - z->avail_out);
}

struct cursor {
        uint8_t *at, *end;
};

static bool take_u32(struct cursor *c, uint32_t *ret)
{
        if (c->end - c->at < 4)
                return false;
        *ret = (uint32_t)c->at[0] << 24 | (uint32_t)c->at[1] << 16 | (uint32_t)c->at[2] << 8 |
               c->at[3];
        return true;
}

/*
 * Length and bytes. The text is moved over the length, so that a NUL fits behind it without
 * touching what follows.
 */
static bool take_text(struct cursor *c, const char **ret)
{
        uint32_t n;

        if (!take_u32(c, &n) || (uint32_t)(c->end - c->at - 4) < n)
                return false;
        memmove(c->at, c->at + 4, n);
        c->at[n] = '\0';
        *ret = (const char *)c->at;
        c->at += 4 + n;
        return true;
}

int spdy_block_read(struct spdy_block_reader *r, const uint8_t *data, size_t n,
                    struct spdy_headers *ret, struct err *err)
{
        int len = inflate_block(r, data, n, err);
        struct cursor c = { r->text, r->text + MAX(len, 0) };
        uint32_t count;

        if (len < 0)
                return len;
        if (!take_u32(&c, &count))
                return bad(err, "a number of headers");
        c.at += 4;
        if (count > SPDY_HEADERS_MAX)
                return bad(err, "at most 64 headers");
        for (uint32_t i = 0; i < count; i++)
                if (!take_text(&c, &r->headers[i].name) || !take_text(&c, &r->headers[i].value))
                        return bad(err, "names and values that end within it");
        if (c.at != c.end)
                return bad(err, "nothing behind its last header");
        *ret = (struct spdy_headers){ r->headers, count };
        return 0;
}

const char *spdy_header(const struct spdy_headers *headers, const char *name)
{
        for (size_t i = 0; i < headers->n; i++)
                if (streq(headers->list[i].name, name))
                        return headers->list[i].value;
        return NULL;
}

/* ---- writing ---- */

struct spdy_block_writer *spdy_block_writer_new(void)
{
        struct spdy_block_writer *w = calloc(1, sizeof *w);

        /* the smallest window and tables: blocks of four bytes have nothing to gain by more */
        if (w &&
            deflateInit2(&w->z, Z_NO_COMPRESSION, Z_DEFLATED, 9, 1, Z_DEFAULT_STRATEGY) != Z_OK) {
                free(w);
                return NULL;
        }
        return w;
}

struct spdy_block_writer *spdy_block_writer_free(struct spdy_block_writer *w)
{
        if (w)
                deflateEnd(&w->z);
        free(w);
        return NULL;
}

int spdy_block_write_empty(struct spdy_block_writer *w, uint8_t out[static SPDY_EMPTY_BLOCK_MAX])
{
        static const uint8_t block[4] = { 0 }; /* no headers */
        z_stream *z = &w->z;

        z->next_in = (uint8_t *)block;
        z->avail_in = sizeof block;
        z->next_out = out;
        z->avail_out = SPDY_EMPTY_BLOCK_MAX;
        if (deflate(z, Z_SYNC_FLUSH) != Z_OK || z->avail_in > 0)
                return -ENOMEM;
        return (int)(SPDY_EMPTY_BLOCK_MAX - z->avail_out);
}
