/*
 * What verbs print: tables on a terminal and elsewhere, JSON and YAML for programs.
 */
#pragma once
#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"
#include "base/usec.h"

enum output_format { OUTPUT_TABLE, OUTPUT_WIDE, OUTPUT_JSON, OUTPUT_YAML, OUTPUT_NAME, OUTPUT_SVG };
/* "json", "yaml", "wide", "name", "svg"; -EINVAL. */
int output_format_parse(const char *text, enum output_format *ret);
/* JSON or YAML of @value on standard output. 0 or -ENOMEM. */
int output_tree(enum output_format format, const json_t *value);

/* Colours: on a terminal only, and not when NO_COLOR says so. */
enum colour { COLOUR_NONE, COLOUR_GOOD, COLOUR_WARNING, COLOUR_BAD, COLOUR_DIM, _COLOUR_MAX };
bool output_has_colours(void);
/* Escape sequences, or "" when there are to be none. */
const char *colour_on(enum colour c);
const char *colour_off(enum colour c);

struct table; /* opaque */
/* Column headings end with NULL. NULL without memory. */
struct table *table_new(const char *const *headings, bool show_headings);
struct table *table_free(struct table *t);
DEFINE_CLEANUP(struct table *, table_free)
/* As many cells as headings; NULL cells are empty. 0 or -ENOMEM. */
int table_add(struct table *t, const char *const *cells);
/* Of a cell of the row added last. */
void table_set_colour(struct table *t, size_t column, enum colour c);
size_t table_n_rows(const struct table *t);
void table_print(struct table *t);
/* Prints the rows that are new or differ from one of @old (NULL: all, with headings): what --watch
 * shows. Ages are not compared: they change by themselves. */
void table_print_changes(struct table *t, const struct table *old);
/* Adds those of @old that @t has no more, by their first @n_key columns, with "Gone" in column
 * @state: only to be printed, and no row of @t in comparisons. 0 or -ENOMEM. */
int table_add_gone(struct table *t, const struct table *old, size_t n_key, size_t state);

/* "5d3h", "12m", "38s" as kubectl shows ages. Pure. */
const char *age_format(usec_t age, char buf[static 32]);
/* The age of what happened at @then, "" when that is not known. */
const char *age_since(usec_t then, char buf[static 32]);
/* "12.3MB" as crictl shows sizes. Pure. */
const char *size_format(uint64_t bytes, char buf[static 32]);

/* Verbs that list: one answer of skiffd, rows of a table, --output and --watch. */
struct invocation;
struct list_view {
        const char *const *headings, *const *wide; /* end with NULL; wide may be NULL */
        const char *none; /* to standard error when there are no rows; NULL: nothing */
        /* New reference: what is shown as JSON and YAML. */
        int (*get)(struct invocation *in, json_t **ret, struct err *err);
        int (*rows)(struct invocation *in, const json_t *answer, struct table *t);
        /* For -o name; NULL: refused. */
        void (*names)(struct invocation *in, const json_t *answer);
        /* With --watch, a row that is no more is told once, "Gone" in column @state. Its first
         * @n_key columns say which one it is; 0: such rows are not told. */
        size_t n_key, state;
};
/* Returns the exit code. */
int list_show(struct invocation *in, const struct list_view *v, struct err *err);
