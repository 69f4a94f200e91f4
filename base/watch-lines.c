#include "base/watch-lines.h"

#include <errno.h>
#include <string.h>

#define KEEP_CAP 65536 /* a buffer that one large object made grow is given back */

void watch_lines_reset(struct watch_lines *l)
{
        strbuf_done(&l->partial);
        l->skipping = false;
}

/* Of a line that turns out too long the beginning stays. */
static int keep(struct watch_lines *l, const char *data, size_t n)
{
        size_t room = l->skipping ? WATCH_LINES_PREFIX : l->max;

        if (!l->skipping && n > l->max - l->partial.len) {
                struct strbuf prefix = { 0 };

                room = WATCH_LINES_PREFIX;
                strbuf_add_n(&prefix, l->partial.data, MIN(l->partial.len, room));
                strbuf_done(&l->partial);
                l->partial = prefix;
                l->skipping = true;
        }
        strbuf_add_n(&l->partial, data, MIN(n, room - l->partial.len));
        return l->partial.failed ? -ENOMEM : 0;
}

static int complete(struct watch_lines *l, watch_line_fn on_line, void *userdata)
{
        bool too_long = l->skipping;
        struct strbuf line = l->partial;
        int r;

        /* the callback may end the stream and reset us */
        l->partial = (struct strbuf){ 0 };
        l->skipping = false;
        r = on_line(line.data ? line.data : "", line.len, too_long, userdata);
        if (r == 0 && line.cap <= KEEP_CAP) {
                line.len = 0;
                l->partial = line;
        } else {
                strbuf_done(&line);
        }
        return r;
}

int watch_lines_feed(struct watch_lines *l, const char *data, size_t n, watch_line_fn on_line,
                     void *userdata)
{
        const char *end = data + n;

        while (data < end) {
                const char *eol = memchr(data, '\n', (size_t)(end - data));
                size_t len = (size_t)((eol ? eol : end) - data);
                int r;

                if (eol && l->partial.len == 0 && !l->skipping && len <= l->max) {
                        r = on_line(data, len, false, userdata); /* the usual case: no copy */
                } else {
                        r = keep(l, data, len);
                        if (r == 0 && eol)
                                r = complete(l, on_line, userdata);
                }
                if (r != 0)
                        return r;
                data += len + (eol ? 1 : 0);
        }
        return 0;
}

/* The string after @name within @n bytes, as far as it consists of what names are made of. */
static char *find_text(const char *s, size_t n, const char *name)
{
        const char *p = memmem(s, n, name, strlen(name)), *start, *end = s + n;

        if (!p)
                return NULL;
        start = p + strlen(name);
        for (p = start; p < end && *p != '"'; p++)
                if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.:_",
                            *p))
                        return NULL;
        return p < end && p > start ? strndup(start, (size_t)(p - start)) : NULL;
}

char *watch_lines_find_key(const char *line, size_t n)
{
        static const char metadata[] = "\"metadata\":{";
        const char *p = memmem(line, n, metadata, sizeof metadata - 1), *close;
        _cleanup_free_ char *name = NULL, *namespace = NULL;
        size_t left;

        if (!p)
                return NULL;
        p += sizeof metadata - 1;
        left = n - (size_t)(p - line);
        /* nested objects (labels, annotations, managedFields) may hold a "name" of their own */
        close = memchr(p, '{', left);
        if (close)
                left = (size_t)(close - p);
        name = find_text(p, left, "\"name\":\"");
        if (!name)
                return NULL;
        namespace = find_text(p, left, "\"namespace\":\"");
        return namespace ? text_printf("%s/%s", namespace, name) : TAKE_PTR(name);
}
