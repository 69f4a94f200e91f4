/* Lines do not depend on how the bytes arrive; a key can be looked for in anything. */
#include <stdint.h>
#include <string.h>

#include "base/watch-lines.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static int on_line(const char *line, size_t n, bool too_long, void *userdata)
{
        struct strbuf *b = userdata;
        _cleanup_free_ char *key = watch_lines_find_key(line, n);

        strbuf_addf(b, "%d %s ", too_long, key ? key : "");
        strbuf_add_n(b, line, n);
        strbuf_add(b, "\n");
        return 0;
}

static void cut(const char *text, size_t n, size_t step, struct strbuf *ret)
{
        struct watch_lines l = { .max = 300 };

        for (size_t i = 0; i < n; i += step)
                watch_lines_feed(&l, text + i, MIN(step, n - i), on_line, ret);
        watch_lines_reset(&l);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        _cleanup_strbuf_ struct strbuf whole = { 0 }, parts = { 0 };

        if (n < 2)
                return 0;
        cut((const char *)data + 1, n - 1, n, &whole);
        cut((const char *)data + 1, n - 1, data[0] + 1u, &parts);
        if (whole.len != parts.len || (whole.len && memcmp(whole.data, parts.data, whole.len) != 0))
                __builtin_trap();
        return 0;
}
