/*
 * A byte stream cut into lines, with a bound: a line longer than that is told about, not kept.
 * Pure.
 */
#pragma once
#include "base/text.h"

/*
 * @line:    without its newline, not NUL-terminated; borrowed for the call
 * @too_long: only the first bytes of the line are there
 * Return: 0; anything else ends watch_lines_feed() with it.
 */
typedef int (*watch_line_fn)(const char *line, size_t n, bool too_long, void *userdata);

enum { WATCH_LINES_PREFIX = 1024 }; /* what is kept of a line that is too long */

struct watch_lines {
        size_t max; /* bytes of one line */
        struct strbuf partial;
        bool skipping; /* .partial holds the beginning of a line that is too long */
};
void watch_lines_reset(struct watch_lines *l); /* forgets what is half read, keeps .max */
/* Calls @on_line for every line that @data completes. -ENOMEM, or what @on_line returned. */
int watch_lines_feed(struct watch_lines *l, const char *data, size_t n, watch_line_fn on_line,
                     void *userdata);

/**
 * watch_lines_find_key() - "namespace/name" in JSON that cannot be parsed
 * Looks for the first "metadata":{…"name":"…", as the API server writes objects. For telling a
 * person, and for not taking an object for deleted because it could not be read.
 * Return: owned, or NULL when it is not there.
 */
char *watch_lines_find_key(const char *line, size_t n);
