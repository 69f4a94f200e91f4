/*
 * Prometheus' text format, and what every program says about itself in it.
 * Source: prometheus/docs exposition_formats.md, version 0.0.4.
 */
#pragma once
#include "base/text.h"
#include "base/usec.h"

#define PROMETHEUS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

struct prometheus_label {
        const char *name, *value; /* @value: any text; it is escaped */
};
/* The two lines before the samples of a family. @help: one line; Kubernetes' begin "[STABLE] ". */
void prometheus_add_head(struct strbuf *b, const char *name, const char *type, const char *help);
/* One sample. @at: CLOCK_REALTIME of the reading; 0: it carries no time. */
void prometheus_add_sample(struct strbuf *b, const char *name,
                           const struct prometheus_label *labels, size_t n, double value,
                           usec_t at);

/* process_*, by the names that all client libraries have. @started_at: CLOCK_REALTIME. */
void prometheus_add_start_time(struct strbuf *b, usec_t started_at); /* that one alone */
void prometheus_add_process(struct strbuf *b, usec_t started_at);
/* Which version this is, and of which Kubernetes. */
void prometheus_add_build_info(struct strbuf *b);
