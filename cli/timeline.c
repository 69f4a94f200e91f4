#include "cli/timeline.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/json.h"
#include "cli/output.h"

void timeline_done(struct timeline *t)
{
        free(t->spans);
        *t = (struct timeline){ 0 };
}

const char *took_format(usec_t d, char buf[static 32])
{
        if (d < USEC_PER_MSEC)
                snprintf(buf, 32, "%" PRIu64 "us", d);
        else if (d < USEC_PER_SEC)
                snprintf(buf, 32, "%" PRIu64 "ms", d / USEC_PER_MSEC);
        else if (d < 100 * USEC_PER_SEC)
                snprintf(buf, 32, "%.2fs", (double)d / (double)USEC_PER_SEC);
        else
                age_format(d, buf);
        return buf;
}

static usec_t time_of(const json_t *o, const char *key)
{
        const char *text = json_text_at(o, key);
        usec_t t;

        return text && time_parse(text, &t) == 0 ? t : 0;
}

static int by_end(const void *a, const void *b)
{
        const struct timeline_span *x = a, *y = b;

        /* equal times keep the order in which they were noted: .begin holds it until it is known */
        if (x->end != y->end)
                return x->end < y->end ? -1 : 1;
        return x->begin < y->begin ? -1 : x->begin > y->begin;
}

static void read_step(const json_t *step, size_t order, struct timeline_span *s)
{
        const char *who = json_text_at(step, "container"), *name = json_text_at(step, "step");
        const json_t *code = json_object_get(step, "exitCode"),
                     *bytes = json_object_get(step, "bytes");
        char size[32];

        *s = (struct timeline_span){
                .who = who ? who : "",
                .step = name ? name : "",
                .begin = order,
                .end = time_of(step, "time"),
        };
        if (code)
                snprintf(s->detail, sizeof s->detail, "exit code %lld",
                         (long long)json_integer_value(code));
        else if (bytes)
                snprintf(s->detail, sizeof s->detail, "%s",
                         size_format((uint64_t)json_integer_value(bytes), size));
}

/* Where the step before ended: of the same container, or else of the pod. */
static usec_t begin_of(const struct timeline *t, size_t i)
{
        const struct timeline_span *s = &t->spans[i];
        usec_t of_pod = t->begin;

        for (size_t k = i; k-- > 0;) {
                if (streq(t->spans[k].who, s->who))
                        return t->spans[k].end;
                if (!*t->spans[k].who && of_pod == t->begin)
                        of_pod = t->spans[k].end;
        }
        return of_pod;
}

int timeline_read(const json_t *pod, struct timeline *ret)
{
        const json_t *ours = json_object_get(pod, "skiff"),
                     *list = json_object_get(ours, "timeline"), *step;
        struct timeline t = { .n = json_array_size(list), .begin = time_of(ours, "seen") };
        size_t i;

        t.spans = calloc(t.n + 1, sizeof *t.spans);
        if (!t.spans)
                return -ENOMEM;
        json_array_foreach ((json_t *)list, i, step)
                read_step(step, i, &t.spans[i]);
        if (t.n)
                qsort(t.spans, t.n, sizeof *t.spans, by_end);
        if (t.n && (!t.begin || t.spans[0].end < t.begin))
                t.begin = t.spans[0].end;
        t.end = t.n ? t.spans[t.n - 1].end : t.begin;
        for (i = 0; i < t.n; i++)
                t.spans[i].begin = begin_of(&t, i);
        *ret = t;
        return 0;
}

/* ---- bars ---- */

static size_t place(const struct timeline *t, usec_t at, size_t width)
{
        usec_t total = MAX(t->end - t->begin, 1);

        return (size_t)((double)(at - t->begin) / (double)total * (double)(width - 1));
}

void timeline_bar(const struct timeline *t, const struct timeline_span *s, size_t width,
                  bool is_utf8, struct strbuf *b)
{
        size_t from = place(t, s->begin, width), to = place(t, s->end, width);

        for (size_t i = 0; i < from; i++)
                strbuf_add(b, " ");
        for (size_t i = from; i < to; i++)
                strbuf_add(b, is_utf8 ? "█" : "=");
        strbuf_add(b, is_utf8 ? "▏" : "|");
}

/* ---- the picture ---- */

enum { SVG_ROW = 22, SVG_LEFT = 270, SVG_WIDTH = 640, SVG_RIGHT = 110, SVG_TOP = 44 };

static void add_escaped(struct strbuf *b, const char *text)
{
        for (const char *p = text; *p; p++)
                switch (*p) {
                case '<':
                        strbuf_add(b, "&lt;");
                        break;
                case '>':
                        strbuf_add(b, "&gt;");
                        break;
                case '&':
                        strbuf_add(b, "&amp;");
                        break;
                default:
                        strbuf_add_n(b, p, 1);
                }
}

static const char *colour_of(const char *step)
{
        static const struct {
                const char *step, *colour;
        } colours[] = { { "pulling", "#7f8c8d" },     { "image", "#2980b9" },
                        { "volumes", "#16a085" },     { "sandbox", "#8e44ad" },
                        { "ready", "#27ae60" },       { "started", "#27ae60" },
                        { "exited", "#c0392b" },      { "back-off", "#e67e22" },
                        { "not started", "#c0392b" }, { "killed", "#c0392b" } };

        for (size_t i = 0; i < ARRAY_SIZE(colours); i++)
                if (streq(colours[i].step, step))
                        return colours[i].colour;
        return "#34495e";
}

static void add_row(const struct timeline *t, size_t row, struct strbuf *b)
{
        const struct timeline_span *s = &t->spans[row];
        size_t x = SVG_LEFT + place(t, s->begin, SVG_WIDTH),
               to = SVG_LEFT + place(t, s->end, SVG_WIDTH), y = SVG_TOP + row * SVG_ROW;
        char took[32];

        strbuf_addf(b, "<text x=\"8\" y=\"%zu\">", y + 15);
        add_escaped(b, *s->who ? s->who : "pod");
        strbuf_add(b, ": ");
        add_escaped(b, s->step);
        if (*s->detail)
                strbuf_add(b, ", "), add_escaped(b, s->detail);
        strbuf_addf(b,
                    "</text><rect x=\"%zu\" y=\"%zu\" width=\"%zu\" height=\"14\" fill=\"%s\"/>"
                    "<text x=\"%zu\" y=\"%zu\" fill=\"#555\">%s</text>\n",
                    x, y + 4, MAX(to - x, (size_t)2), colour_of(s->step), to + 6, y + 15,
                    took_format(s->end - s->begin, took));
}

void timeline_svg(const struct timeline *t, const char *title, struct strbuf *b)
{
        size_t height = SVG_TOP + t->n * SVG_ROW + 12;
        char total[32];

        strbuf_addf(b,
                    "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%zu\" "
                    "font-family=\"sans-serif\" font-size=\"12\">\n"
                    "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n"
                    "<text x=\"8\" y=\"24\" font-size=\"16\">",
                    SVG_LEFT + SVG_WIDTH + SVG_RIGHT, height);
        add_escaped(b, title);
        strbuf_addf(b, " (%s)</text>\n", took_format(t->end - t->begin, total));
        for (size_t i = 0; i < t->n; i++)
                add_row(t, i, b);
        strbuf_add(b, "</svg>\n");
}
