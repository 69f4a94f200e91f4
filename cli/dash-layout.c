/*
 * The screen of `skiff dash`: node, rows, events, keys. Narrow screens lose columns from the right,
 * low ones the events.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "cli/dash-model.h"

enum {
        STATUS_WIDTH = 18,
        READY_WIDTH = 6,
        RESTARTS_WIDTH = 18,
        AGE_WIDTH = 7,
        USE_WIDTH = 18, /* a number and its bar */
        BAR_WIDTH = 9,
        NAME_MIN = 16,
        EVENTS_MAX = 6,
        EVENTS_FROM = 14, /* rows of a screen that has them */
        BLOCKS = 8,
};

struct pen {
        struct dash_screen *s;
        size_t row, column;
        enum colour colour;
        bool is_bold, is_reverse, is_utf8;
};

void dash_screen_done(struct dash_screen *s)
{
        free(s->cells);
        *s = (struct dash_screen){ 0 };
}

static void put(struct pen *p, uint32_t symbol)
{
        if (p->row < p->s->height && p->column < p->s->width)
                p->s->cells[p->row * p->s->width + p->column] =
                        (struct dash_cell){ symbol, (uint8_t)p->colour, p->is_bold, p->is_reverse };
        p->column++;
}

/* Cut or filled up to @width. What is no plain letter is '?': a terminal must not be driven by
 * what a container says. */
static void put_text(struct pen *p, const char *text, size_t width)
{
        for (size_t i = 0; i < width; i++) {
                unsigned char c = *text ? (unsigned char)*text++ : ' ';

                put(p, c >= ' ' && c < 127 ? c : '?');
        }
}

static void put_line(struct pen *p, const char *text)
{
        p->column = 0;
        put_text(p, text, p->s->width);
}

/* ---- bars and curves ---- */

static void put_level(struct pen *p, unsigned eighths)
{
        static const char plain[] = " .:-=+*#%";

        if (p->is_utf8)
                put(p, eighths ? 0x2580 + eighths : ' ');
        else
                put(p, (uint32_t)plain[eighths]);
}

static void put_bar(struct pen *p, int64_t used, int64_t limit)
{
        const enum colour before = p->colour;
        int64_t eighths = 0;

        if (used > 0 && limit > 0)
                eighths = MIN(used * BAR_WIDTH * BLOCKS / limit, (int64_t)BAR_WIDTH * BLOCKS);
        if (!p->is_reverse)
                p->colour = eighths * 10 >= BAR_WIDTH * BLOCKS * 9   ? COLOUR_BAD
                            : eighths * 10 >= BAR_WIDTH * BLOCKS * 7 ? COLOUR_WARNING
                                                                     : COLOUR_GOOD;
        for (int64_t i = 0; i < BAR_WIDTH; i++) {
                int64_t part = eighths - i * BLOCKS;

                part = part < 0 ? 0 : MIN(part, (int64_t)BLOCKS);
                if (p->is_utf8) /* from the left: full block, seven eighths … one eighth */
                        put(p, part ? (uint32_t)(0x2588 + BLOCKS - part) : ' ');
                else
                        put(p, part * 2 >= BLOCKS ? '#' : '.');
        }
        p->colour = before;
}

static void put_history(struct pen *p, const struct dash_row *r, size_t width)
{
        const size_t n = MIN(r->n_history, width);

        for (size_t i = 0; i < width - n; i++)
                put(p, ' ');
        for (size_t i = r->n_history - n; i < r->n_history; i++)
                put_level(p, r->history[i] ? 1 + r->history[i] * (BLOCKS - 1) / 1000U : 0);
}

/* ---- rows ---- */

struct columns { /* widths; 0: not there */
        size_t name, restarts, age, use, history;
};

static struct columns choose_columns(size_t width)
{
        struct columns c = { 0 };
        size_t left = width > READY_WIDTH + STATUS_WIDTH + NAME_MIN
                              ? width - READY_WIDTH - STATUS_WIDTH - NAME_MIN
                              : 0;

        if (left >= 2 * USE_WIDTH) {
                c.use = USE_WIDTH;
                left -= 2 * USE_WIDTH;
        }
        if (left >= RESTARTS_WIDTH) {
                c.restarts = RESTARTS_WIDTH;
                left -= RESTARTS_WIDTH;
        }
        if (left >= AGE_WIDTH) {
                c.age = AGE_WIDTH;
                left -= AGE_WIDTH;
        }
        if (left >= 2 * NAME_MIN + DASH_HISTORY / 2) {
                c.history = MIN(left - 2 * NAME_MIN, (size_t)DASH_HISTORY);
                left -= c.history;
        }
        c.name = NAME_MIN + left;
        if (width < READY_WIDTH + STATUS_WIDTH + NAME_MIN)
                c.name = width > STATUS_WIDTH + 8 ? width - STATUS_WIDTH : width;
        return c;
}

static void put_headings(struct pen *p, const struct columns *c)
{
        p->column = 0;
        p->is_bold = true;
        put_text(p, "NAME", c->name);
        put_text(p, "STATUS", STATUS_WIDTH);
        put_text(p, "READY", READY_WIDTH);
        put_text(p, "CPU", c->use);
        put_text(p, "MEMORY", c->use);
        put_text(p, "RESTARTS", c->restarts);
        put_text(p, "AGE", c->age);
        put_text(p, "CPU SO FAR", c->history);
        p->is_bold = false;
}

static void put_use(struct pen *p, const struct columns *c, const char *text, int64_t used,
                    int64_t limit)
{
        if (!c->use)
                return;
        put_text(p, text, USE_WIDTH - BAR_WIDTH - 1);
        put_bar(p, used, limit);
        put(p, ' ');
}

static void put_row(struct pen *p, const struct columns *c, const struct dash_row *r)
{
        const char *slash = r->is_pod ? NULL : strrchr(r->key, '/');
        char name[256], cpu[32] = "-", memory[32] = "-";
        const enum colour before = p->colour;

        snprintf(name, sizeof name, "%s%.250s", slash ? "  " : "", slash ? slash + 1 : r->key);
        if (r->cpu_milli >= 0)
                snprintf(cpu, sizeof cpu, "%" PRId64 "m", r->cpu_milli);
        if (r->memory >= 0)
                snprintf(memory, sizeof memory, "%" PRId64 "Mi", r->memory >> 20);
        p->column = 0;
        p->is_bold = r->is_pod;
        put_text(p, name, c->name - 1);
        put(p, ' ');
        p->is_bold = false;
        if (before == COLOUR_NONE)
                p->colour = r->colour;
        put_text(p, r->status, STATUS_WIDTH - 1);
        put(p, ' ');
        p->colour = before;
        put_text(p, r->ready, READY_WIDTH);
        put_use(p, c, cpu, r->cpu_milli, r->cpu_limit);
        put_use(p, c, memory, r->memory, r->memory_limit);
        put_text(p, r->restarts, c->restarts);
        put_text(p, r->age, c->age);
        if (c->history)
                put_history(p, r, c->history);
        while (p->column < p->s->width)
                put(p, ' ');
}

/* So that the selected row is on the screen. */
static size_t first_shown(const struct dash_model *m, size_t height)
{
        size_t at = 0, n = 0;

        for (size_t i = 0; i < m->n_rows; i++) {
                if (!m->rows[i].is_shown)
                        continue;
                if (m->selected && streq(m->rows[i].key, m->selected))
                        at = n;
                n++;
        }
        return at < height ? 0 : at - height + 1;
}

static void put_rows(struct pen *p, const struct dash_model *m, size_t height)
{
        const struct columns c = choose_columns(p->s->width);
        const size_t top = p->row, skip = first_shown(m, height > 1 ? height - 1 : 1);
        size_t n = 0;

        put_headings(p, &c);
        for (size_t i = 0; i < m->n_rows && p->row + 1 < top + height; i++) {
                if (!m->rows[i].is_shown || n++ < skip)
                        continue;
                p->row++;
                p->is_reverse = m->selected && streq(m->rows[i].key, m->selected);
                p->colour = m->trouble ? COLOUR_DIM : COLOUR_NONE;
                put_row(p, &c, &m->rows[i]);
                p->is_reverse = false;
        }
        p->colour = COLOUR_NONE;
        if (n == 0 && height > 1) {
                p->row++;
                put_line(p, m->filter[0] ? "  nothing that the filter lets through"
                                         : "  no pods on this node");
        }
        p->row = top + height;
}

static void put_events(struct pen *p, const struct dash_model *m, size_t height)
{
        p->is_bold = true;
        put_line(p, "EVENTS");
        p->is_bold = false;
        for (size_t i = 0; i < m->n_events && i + 1 < height; i++) {
                p->row++;
                p->colour = m->events[i].is_warning ? COLOUR_WARNING : COLOUR_NONE;
                put_line(p, m->events[i].text);
        }
        p->colour = COLOUR_NONE;
}

static void put_help(struct pen *p)
{
        static const char *const lines[] = {
                "",
                "  up, down, j, k    another row           g, G   the first, the last",
                "  l, Enter          logs, as they come (Ctrl-C comes back)",
                "  s                 a shell in the container",
                "  e                 explain what the pod waits for",
                "  t                 timeline of the pod",
                "  /                 filter by name or status; Escape: all again",
                "  c                 pods alone, or with their containers",
                "  q                 quit",
                "",
                "  Bars are use of the limit, or of the node where there is none.",
        };

        for (size_t i = 0; i < ARRAY_SIZE(lines); i++, p->row++)
                put_line(p, lines[i]);
}

static void put_footer(struct pen *p, const struct dash_model *m)
{
        char text[256] = " l logs  s shell  e explain  t timeline  / filter  c containers  ? help  "
                         "q quit";

        if (m->is_filtering || m->filter[0])
                snprintf(text, sizeof text, " filter: %s%s", m->filter,
                         m->is_filtering ? "_" : "   (Escape: all)");
        p->row = p->s->height - 1;
        p->is_reverse = true;
        put_line(p, text);
        p->is_reverse = false;
}

int dash_layout(const struct dash_model *m, size_t width, size_t height, bool is_utf8,
                struct dash_screen *ret)
{
        struct dash_screen s = { width, height, calloc(width * height, sizeof *s.cells) };
        struct pen p = { .s = &s, .is_utf8 = is_utf8 };
        const size_t events = height >= EVENTS_FROM && !m->shows_help ? EVENTS_MAX : 0;

        if (!s.cells)
                return -ENOMEM;
        for (size_t i = 0; i < width * height; i++)
                s.cells[i].symbol = ' ';
        p.is_bold = true;
        if (m->trouble)
                p.colour = COLOUR_BAD;
        put_line(&p, m->trouble ? m->trouble : m->node ? m->node : "");
        p.is_bold = false;
        p.colour = COLOUR_NONE;
        p.row = height > 2 ? 1 : 0;
        if (m->shows_help)
                put_help(&p);
        else if (height > 2 + events)
                put_rows(&p, m, height - 2 - events);
        if (events)
                put_events(&p, m, events);
        if (height > 1)
                put_footer(&p, m);
        *ret = s;
        return 0;
}
