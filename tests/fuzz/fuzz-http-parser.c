/*
 * The head is found in two steps split where the first byte says, parsed, and its invariants
 * checked; what follows is read as a chunked body.
 */
#include <assert.h>
#include <string.h>

#include "base/http-parser.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void check_head(const struct http_head *h)
{
        assert(h->path[0] == '/' && !strstr(h->path, "//") && !strstr(h->path, "/../"));
        for (const char *s = h->path; *s; s++)
                assert(*s >= 0x20 && *s < 0x7f && *s != ';' && *s != '\\');
        for (size_t i = 0; i < h->n_query; i++)
                assert(strlen(h->query[i].name) + strlen(h->query[i].value) < HTTP_HEAD_MAX);
        assert(h->n_headers <= HTTP_HEADERS_MAX && h->n_query <= HTTP_QUERY_MAX);
}

static void read_chunks(const char *data, size_t n)
{
        struct http_chunks c = { 0 };
        const char *piece;
        size_t used, len, total = 0, all = n;

        while (n > 0 && http_chunks_feed(&c, data, n, &used, &piece, &len) == HTTP_PARSE_MORE) {
                assert(used > 0 && used <= n && len <= used);
                total += len;
                data += used;
                n -= used;
        }
        assert(total <= all);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
        const char *data = (const char *)bytes + 1, *why;
        struct http_head h = { 0 };
        size_t scanned = 0, len;

        if (n == 0)
                return 0;
        n--;
        if (http_head_scan(data, MIN(n, bytes[0]), &scanned, &len) > HTTP_PARSE_MORE)
                return 0;
        if (http_head_scan(data, n, &scanned, &len) != 0) {
                read_chunks(data, n);
                return 0;
        }
        if (http_head_parse(data, len, &h, &why) == 0)
                check_head(&h);
        read_chunks(data + len, n - len);
        http_head_done(&h);
        return 0;
}
