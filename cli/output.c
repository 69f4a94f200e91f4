#include "cli/output.h"

#include <errno.h>
#include <inttypes.h>
#include <libsmartcols.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "base/yaml.h"

int output_format_parse(const char *text, enum output_format *ret)
{
        static const char *const names[] = { [OUTPUT_WIDE] = "wide",
                                             [OUTPUT_JSON] = "json",
                                             [OUTPUT_YAML] = "yaml",
                                             [OUTPUT_NAME] = "name" };

        for (int i = OUTPUT_WIDE; i <= OUTPUT_NAME; i++)
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

struct table {
        struct libscols_table *cols;
        size_t n;
};

struct table *table_new(const char *const *headings, bool show_headings)
{
        struct table *t = calloc(1, sizeof *t);

        if (!t)
                return NULL;
        t->cols = scols_new_table();
        if (!t->cols)
                return table_free(t);
        scols_table_enable_noheadings(t->cols, !show_headings);
        scols_table_set_column_separator(t->cols, "   ");
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
        struct libscols_line *line = scols_table_new_line(t->cols, NULL);

        if (!line)
                return -ENOMEM;
        for (size_t i = 0; i < t->n; i++)
                if (scols_line_set_data(line, i, cells[i] ? cells[i] : "") < 0)
                        return -ENOMEM;
        return 0;
}

void table_print(struct table *t)
{
        scols_print_table(t->cols);
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
