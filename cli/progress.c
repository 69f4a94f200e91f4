#include "cli/progress.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/output.h"

enum { WIDTH_DEFAULT = 80, BAR_MAX = 30, BAR_MIN = 8 };
#define DRAW_USEC (USEC_PER_SEC / 10)

static void add_bar(const struct progress *p, size_t width, struct strbuf *b)
{
        /* what it is measured by is an estimate: only the end says that it is all */
        uint64_t done = p->bytes < p->about ? p->bytes * width / p->about : width - 1;

        strbuf_add(b, "  [");
        for (size_t i = 0; i < width; i++)
                strbuf_add(b, i < done ? "#" : " ");
        strbuf_add(b, "]");
}

void progress_format(const struct progress *p, usec_t now, size_t width, struct strbuf *b)
{
        char size[32], rate[32], tail[80];
        const usec_t took = now > p->began ? now - p->began : 0;
        size_t start = b->len, used;

        snprintf(tail, sizeof tail, "  %s", size_format(p->bytes, size));
        if (took >= USEC_PER_SEC)
                snprintf(tail + strlen(tail), sizeof tail - strlen(tail), "  %s/s",
                         size_format(p->bytes * USEC_PER_SEC / took, rate));
        strbuf_add(b, p->what);
        used = strlen(p->what) + strlen(tail) + 4; /* what a bar has around it */
        if (p->about && width > used + BAR_MIN)
                add_bar(p, MIN(width - used, (size_t)BAR_MAX), b);
        strbuf_add(b, tail);
        if (!b->failed && b->len - start > width) {
                b->len = start + width;
                b->data[b->len] = '\0';
        }
}

static void draw(struct progress *p, usec_t now)
{
        _cleanup_strbuf_ struct strbuf b = { 0 };
        struct winsize size;
        size_t width = WIDTH_DEFAULT;

        if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1)
                width = size.ws_col;
        progress_format(p, now, width - 1, &b);
        if (!b.failed)
                fprintf(stderr, "\r\033[K%s", b.data);
        fflush(stderr);
        p->drawn_at = now;
}

void progress_begin(struct progress *p, const char *what, uint64_t about)
{
        const char *term = getenv("TERM");

        *p = (struct progress){ .what = what,
                                .about = about,
                                .began = now_monotonic(),
                                .is_shown = isatty(STDERR_FILENO) == 1 &&
                                            !(term && streq(term, "dumb")) };
}

void progress_add(struct progress *p, uint64_t bytes)
{
        const usec_t now = p->is_shown ? now_monotonic() : 0;

        p->bytes += bytes;
        if (p->is_shown && (!p->drawn_at || now >= p->drawn_at + DRAW_USEC))
                draw(p, now);
}

void progress_end(struct progress *p)
{
        if (p->drawn_at)
                fputs("\r\033[K", stderr);
        p->drawn_at = 0;
}
