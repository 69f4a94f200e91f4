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

/*
 * A histogram of seconds with the bounds that client libraries take when nobody says others. The
 * last count is what was above all of them.
 */
enum { PROMETHEUS_BOUNDS = 11 };
extern const double prometheus_bounds[PROMETHEUS_BOUNDS];
struct prometheus_histogram {
        uint64_t counts[PROMETHEUS_BOUNDS + 1];
        double sum;
};
void prometheus_observe(struct prometheus_histogram *h, usec_t duration);
uint64_t prometheus_count(const struct prometheus_histogram *h); /* of all observations */
void prometheus_add_histogram(struct strbuf *b, const char *name,
                              const struct prometheus_label *labels, size_t n,
                              const struct prometheus_histogram *h);
/* The same with bounds of one's own: @counts has @n_bounds + 1. At most PROMETHEUS_LABELS_MAX
 * labels. */
enum { PROMETHEUS_LABELS_MAX = 8 };
void prometheus_add_buckets(struct strbuf *b, const char *name,
                            const struct prometheus_label *labels, size_t n, const double *bounds,
                            const uint64_t *counts, size_t n_bounds, double sum);

/* process_*, by the names that all client libraries have. @started_at: CLOCK_REALTIME. */
void prometheus_add_start_time(struct strbuf *b, usec_t started_at); /* that one alone */
void prometheus_add_process(struct strbuf *b, usec_t started_at);
/* Which version this is, and of which Kubernetes. */
void prometheus_add_build_info(struct strbuf *b);
