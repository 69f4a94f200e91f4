/*
 * How far something is, on one line of standard error that is drawn again: on a terminal only.
 */
#pragma once
#include <stdint.h>

#include "base/text.h"
#include "base/usec.h"

struct progress {
        const char *what;       /* borrowed: "exporting busybox:1" */
        uint64_t bytes, about;  /* so many of about so many; about 0: not known */
        usec_t began, drawn_at; /* CLOCK_MONOTONIC; drawn_at 0: nothing is on the line */
        bool is_shown;          /* standard error is a terminal */
};
void progress_begin(struct progress *p, const char *what, uint64_t about);
/* @bytes more. Draws at most ten times a second. */
void progress_add(struct progress *p, uint64_t bytes);
/* The line is empty again. */
void progress_end(struct progress *p);
/* "exporting busybox:1  [#####     ] 12.3MB  40MB/s" of at most @width columns. Pure. */
void progress_format(const struct progress *p, usec_t now, size_t width, struct strbuf *b);
