/*
 * What verbs print: tables on a terminal and elsewhere, JSON and YAML for programs.
 */
#pragma once
#include <jansson.h>
#include <stdbool.h>

#include "base/usec.h"

enum output_format { OUTPUT_TABLE, OUTPUT_WIDE, OUTPUT_JSON, OUTPUT_YAML, OUTPUT_NAME };
/* "json", "yaml", "wide", "name"; -EINVAL. */
int output_format_parse(const char *text, enum output_format *ret);
/* JSON or YAML of @value on standard output. 0 or -ENOMEM. */
int output_tree(enum output_format format, const json_t *value);

struct table; /* opaque */
/* Column headings end with NULL. NULL without memory. */
struct table *table_new(const char *const *headings, bool show_headings);
struct table *table_free(struct table *t);
/* As many cells as headings; NULL cells are empty. 0 or -ENOMEM. */
int table_add(struct table *t, const char *const *cells);
void table_print(struct table *t);

/* "5d3h", "12m", "38s" as kubectl shows ages. Pure. */
const char *age_format(usec_t age, char buf[static 32]);
/* "12.3MB" as crictl shows sizes. Pure. */
const char *size_format(uint64_t bytes, char buf[static 32]);
