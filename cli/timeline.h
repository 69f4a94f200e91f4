/*
 * The steps of a pod as spans of time: what a table, a bar chart and a picture show. Pure.
 */
#pragma once
#include <jansson.h>

#include "base/text.h"
#include "base/usec.h"

struct timeline_span {   /* strings are borrowed from the tree */
        const char *who; /* the container; "": the pod itself */
        const char *step;
        char detail[64];   /* "exit code 7", "3.97MB" */
        usec_t begin, end; /* CLOCK_REALTIME; a step took from the one before it of its kind */
};
struct timeline {
        struct timeline_span *spans; /* owned; by their ends */
        size_t n;
        usec_t begin, end;
};
void timeline_done(struct timeline *t);
/* Of the answer of /v1/pods/NS/NAME. -ENOMEM; no steps is fine. */
int timeline_read(const json_t *pod, struct timeline *ret);
/* A bar of @width columns with the span at its place; ends without blanks. UTF-8 when @is_utf8. */
void timeline_bar(const struct timeline *t, const struct timeline_span *s, size_t width,
                  bool is_utf8, struct strbuf *b);
/* A whole SVG document. */
void timeline_svg(const struct timeline *t, const char *title, struct strbuf *b);
/* "12ms", "1.23s", "4m7s": a duration for people. */
const char *took_format(usec_t d, char buf[static 32]);
