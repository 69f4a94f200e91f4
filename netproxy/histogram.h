/* Counts by size, as Prometheus scrapes them: how long something takes, over all times. Pure. */
#pragma once
#include "base/text.h"

enum { HISTOGRAM_BOUNDS_MAX = 80 };

struct histogram_bounds {
        size_t n;
        double items[HISTOGRAM_BOUNDS_MAX]; /* ascending, inclusive */
};
/* 1 ms, doubling, 15 of them: as kube-proxy has them for what a sync takes. */
const struct histogram_bounds *histogram_bounds_sync(void);
/* 0.25 s to 5 min: as kube-proxy has them for what a change takes through the whole cluster. */
const struct histogram_bounds *histogram_bounds_programming(void);

struct histogram { /* { .bounds } is empty */
        const struct histogram_bounds *bounds;
        uint64_t
                counts[HISTOGRAM_BOUNDS_MAX]; /* not added up; what is larger than all: in .count */
        uint64_t count;
        double sum;
};
void histogram_observe(struct histogram *h, double value);
/* The lines of one histogram; @labels: "ip_family=\"IPv4\"". */
void histogram_print(const struct histogram *h, const char *name, const char *labels,
                     struct strbuf *b);
