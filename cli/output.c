#include "cli/output.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <libsmartcols.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "base/yaml.h"
#include "cli/verbs.h"

int output_format_parse(const char *text, enum output_format *ret)
{
        static const char *const names[] = { [OUTPUT_WIDE] = "wide",
                                             [OUTPUT_JSON] = "json",
                                             [OUTPUT_YAML] = "yaml",
                                             [OUTPUT_NAME] = "name",
                                             [OUTPUT_SVG] = "svg" };

        for (int i = OUTPUT_WIDE; i <= OUTPUT_SVG; i++)
                if (streq(names[i], text)) {
                        *ret = (enum output_format)i;
                        return 0;
                }
        return -EINVAL;
}

int output_tree(enum output_format format, const json_t *value)
{
        _cleanup_free_ char *text = format == OUTPUT_YAML ? yaml_print(value)
                                                          : json_dumps(value, JSON_INDENT(4));

        if (!text)
                return -ENOMEM;
        fputs(text, stdout);
        if (format == OUTPUT_JSON)
                putchar('\n');
        return 0;
}

/* ---- colours ---- */

static const struct {
        const char *escape, *name; /* name: smartcols' */
} colours[] = { [COLOUR_NONE] = { "", NULL },
                [COLOUR_GOOD] = { "\033[32m", "green" },
                [COLOUR_WARNING] = { "\033[33m", "brown" },
                [COLOUR_BAD] = { "\033[31m", "red" },
                [COLOUR_DIM] = { "\033[2m", "darkgray" } };
static_assert(ARRAY_SIZE(colours) == _COLOUR_MAX, "a colour is missing");

bool output_has_colours(void)
{
        const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

        return isatty(STDOUT_FILENO) == 1 && !(no && *no) && !(term && streq(term, "dumb"));
}

const char *colour_on(enum colour c)
{
        return output_has_colours() ? colours[c].escape : "";
}

const char *colour_off(enum colour c)
{
        return c != COLOUR_NONE && output_has_colours() ? "\033[0m" : "";
}

/* ---- tables ---- */

enum { COLUMNS_MAX = 16 };

struct table {
        struct libscols_table *cols;
        const char *const *headings; /* borrowed */
        size_t n, n_rows;
        size_t n_gone;              /* of the rows, the last ones: see table_add_gone() */
        struct libscols_line *last; /* borrowed */
        bool show_headings;
};

struct table *table_new(const char *const *headings, bool show_headings)
{
        struct table *t = calloc(1, sizeof *t);

        if (!t)
                return NULL;
        t->headings = headings;
        t->show_headings = show_headings;
        t->cols = scols_new_table();
        if (!t->cols)
                return table_free(t);
        scols_table_enable_noheadings(t->cols, !show_headings);
        scols_table_set_column_separator(t->cols, "   ");
        scols_table_enable_colors(t->cols, output_has_colours());
        for (; headings[t->n]; t->n++)
                if (!scols_table_new_column(t->cols, headings[t->n], 0, 0))
                        return table_free(t);
        return t;
}

struct table *table_free(struct table *t)
{
        if (!t)
                return NULL;
        scols_unref_table(t->cols);
        free(t);
        return NULL;
}

int table_add(struct table *t, const char *const *cells)
{
        t->last = scols_table_new_line(t->cols, NULL);
        if (!t->last)
                return -ENOMEM;
        t->n_rows++;
        for (size_t i = 0; i < t->n; i++)
                if (scols_line_set_data(t->last, i, cells[i] ? cells[i] : "") < 0)
                        return -ENOMEM;
        return 0;
}

void table_set_colour(struct table *t, size_t column, enum colour c)
{
        struct libscols_cell *cell = t->last ? scols_line_get_cell(t->last, column) : NULL;

        if (cell && colours[c].name && output_has_colours())
                scols_cell_set_color(cell, colours[c].name);
}

size_t table_n_rows(const struct table *t)
{
        return t->n_rows;
}

void table_print(struct table *t)
{
        scols_print_table(t->cols);
}

static const char *cell_at(const struct table *t, size_t row, size_t column)
{
        struct libscols_line *line = scols_table_get_line(t->cols, row);
        const struct libscols_cell *cell = line ? scols_line_get_cell(line, column) : NULL;
        const char *text = cell ? scols_cell_get_data(cell) : NULL;

        return text ? text : "";
}

/* What changes by itself with time is no change: ages, and the one behind a number of restarts. */
static bool same_cell(const char *heading, const char *a, const char *b)
{
        if (streq(heading, "AGE") || streq(heading, "LAST SEEN"))
                return true;
        if (streq(heading, "RESTARTS"))
                return strcspn(a, " ") == strcspn(b, " ") && strncmp(a, b, strcspn(a, " ")) == 0;
        return streq(a, b);
}

static bool same_row(const struct table *a, size_t i, const struct table *b, size_t k)
{
        for (size_t column = 0; column < a->n; column++)
                if (!same_cell(a->headings[column], cell_at(a, i, column), cell_at(b, k, column)))
                        return false;
        return true;
}

static bool has_row(const struct table *t, const struct table *of, size_t i)
{
        if (i >= of->n_rows - of->n_gone)
                return false;
        for (size_t k = 0; k < t->n_rows - t->n_gone; k++)
                if (same_row(of, i, t, k))
                        return true;
        return false;
}

static bool same_key(const struct table *a, size_t i, const struct table *b, size_t k, size_t n_key)
{
        for (size_t column = 0; column < n_key; column++)
                if (!streq(cell_at(a, i, column), cell_at(b, k, column)))
                        return false;
        return true;
}

static bool has_key(const struct table *t, const struct table *of, size_t i, size_t n_key)
{
        for (size_t k = 0; k < t->n_rows - t->n_gone; k++)
                if (same_key(of, i, t, k, n_key))
                        return true;
        return false;
}

int table_add_gone(struct table *t, const struct table *old, size_t n_key, size_t state)
{
        for (size_t i = 0; i < old->n_rows - old->n_gone; i++) {
                const char *cells[COLUMNS_MAX];

                if (has_key(t, old, i, n_key))
                        continue;
                for (size_t column = 0; column < MIN(t->n, (size_t)COLUMNS_MAX); column++)
                        cells[column] = column == state ? "Gone" : cell_at(old, i, column);
                if (table_add(t, cells) < 0)
                        return -ENOMEM;
                table_set_colour(t, state, COLOUR_DIM);
                t->n_gone++;
        }
        return 0;
}

void table_print_changes(struct table *t, const struct table *old)
{
        _cleanup_free_ char *text = NULL;
        char *line, *rest;
        size_t row = 0;
        bool is_heading = t->show_headings;

        if (!old) {
                table_print(t);
                return;
        }
        /* all of it is laid out, so that what is printed stands in line with what was before */
        if (scols_print_table_to_string(t->cols, &text) < 0)
                return;
        for (rest = text; (line = strsep(&rest, "\n")) && row < t->n_rows;) {
                if (is_heading) {
                        is_heading = false;
                        continue;
                }
                if (!has_row(old, t, row))
                        printf("%s\n", line);
                row++;
        }
}

/* ---- lists ---- */

#define WATCH_PAUSE_USEC 500000

static int show_tree(struct invocation *in, const json_t *answer, const json_t *before)
{
        if (before && json_equal(before, answer))
                return 0;
        if (before && in->format == OUTPUT_YAML)
                printf("---\n");
        return output_tree(in->format, answer);
}

/* One look: prints what is new since the last one. */
static int look(struct invocation *in, const struct list_view *v, json_t **before,
                struct table **old, struct err *err)
{
        const bool is_wide = in->format == OUTPUT_WIDE && v->wide;
        json_auto_t *answer = NULL;
        struct table *t;
        int r = v->get(in, &answer, err);

        if (r < 0)
                return r;
        if (in->format == OUTPUT_JSON || in->format == OUTPUT_YAML) {
                r = show_tree(in, answer, *before);
                json_decref(*before);
                *before = TAKE_PTR(answer);
                return r < 0 ? err_sys(err, r, "write the output") : 0;
        }
        if (in->format == OUTPUT_NAME) {
                v->names(in, answer);
                return 0;
        }
        t = table_new(is_wide ? v->wide : v->headings,
                      !has_flag(in, FLAG_NO_HEADERS) && !(*old && table_n_rows(*old)));
        if (!t || v->rows(in, answer, t) < 0 ||
            (v->n_key && *old && table_add_gone(t, *old, v->n_key, v->state) < 0)) {
                table_free(t);
                return err_sys(err, -ENOMEM, "make a table");
        }
        if (table_n_rows(t) && *old && table_n_rows(*old))
                table_print_changes(t, *old);
        else if (table_n_rows(t))
                table_print(t);
        else if (v->none && !*old)
                fprintf(stderr, "%s\n", v->none);
        table_free(*old);
        *old = t;
        return 0;
}

int list_show(struct invocation *in, const struct list_view *v, struct err *err)
{
        _cleanup_(table_freep)
        struct table *old = NULL;
        json_auto_t *before = NULL;

        if (in->format == OUTPUT_NAME && !v->names) {
                err_set(err, -EINVAL, "--output: 'name': what is shown here has none");
                return EXIT_USAGE;
        }
        if (in->format == OUTPUT_NAME && has_flag(in, FLAG_WATCH)) {
                err_set(err, -EINVAL, "--watch: not with --output name");
                return EXIT_USAGE;
        }
        for (;;) {
                if (look(in, v, &before, &old, err) < 0)
                        return EXIT_FAILED;
                if (!has_flag(in, FLAG_WATCH))
                        return EXIT_OK;
                if (fflush(stdout) != 0) /* nobody reads it any more */
                        return EXIT_OK;
                usleep(WATCH_PAUSE_USEC);
        }
}

const char *age_format(usec_t age, char buf[static 32])
{
        uint64_t s = age / USEC_PER_SEC, m = s / 60, h = m / 60, d = h / 24;

        if (s < 120)
                snprintf(buf, 32, "%" PRIu64 "s", s);
        else if (m < 10 && s % 60)
                snprintf(buf, 32, "%" PRIu64 "m%" PRIu64 "s", m, s % 60);
        else if (m < 180)
                snprintf(buf, 32, "%" PRIu64 "m", m);
        else if (h < 8 && m % 60)
                snprintf(buf, 32, "%" PRIu64 "h%" PRIu64 "m", h, m % 60);
        else if (h < 48)
                snprintf(buf, 32, "%" PRIu64 "h", h);
        else if (d < 8 && h % 24)
                snprintf(buf, 32, "%" PRIu64 "d%" PRIu64 "h", d, h % 24);
        else
                snprintf(buf, 32, "%" PRIu64 "d", d);
        return buf;
}

const char *age_since(usec_t then, char buf[static 32])
{
        usec_t now = now_realtime();

        if (then && now >= then)
                return age_format(now - then, buf);
        snprintf(buf, 32, "%s", "");
        return buf;
}

const char *size_format(uint64_t bytes, char buf[static 32])
{
        static const char *const units[] = { "B", "kB", "MB", "GB", "TB" };
        double v = (double)bytes;
        size_t u = 0;

        while (v >= 1000 && u + 1 < ARRAY_SIZE(units)) {
                v /= 1000;
                u++;
        }
        snprintf(buf, 32, u == 0 || v >= 100 ? "%.0f%s" : "%.3g%s", v, units[u]);
        return buf;
}
