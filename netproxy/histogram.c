#include "netproxy/histogram.h"

#include <inttypes.h>

const struct histogram_bounds *histogram_bounds_sync(void)
{
        static const struct histogram_bounds bounds = {
                .n = 15,
                .items = { 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512,
                           1.024, 2.048, 4.096, 8.192, 16.384 },
        };

        return &bounds;
}

const struct histogram_bounds *histogram_bounds_programming(void)
{
        static struct histogram_bounds b;

        if (b.n > 0)
                return &b;
        b.items[b.n++] = 0.25;
        b.items[b.n++] = 0.5;
        for (int sec = 1; sec < 60; sec++)
                b.items[b.n++] = sec;
        for (int sec = 60; sec < 120; sec += 5)
                b.items[b.n++] = sec;
        for (int sec = 120; sec <= 300; sec += 30)
                b.items[b.n++] = sec;
        return &b;
}

void histogram_observe(struct histogram *h, double value)
{
        h->count++;
        h->sum += value;
        for (size_t i = 0; i < h->bounds->n; i++) {
                if (value <= h->bounds->items[i]) {
                        h->counts[i]++;
                        return;
                }
        }
}

void histogram_print(const struct histogram *h, const char *name, const char *labels,
                     struct strbuf *b)
{
        uint64_t so_far = 0;

        for (size_t i = 0; i < h->bounds->n; i++) {
                so_far += h->counts[i];
                strbuf_addf(b, "%s_bucket{%s,le=\"%g\"} %" PRIu64 "\n", name, labels,
                            h->bounds->items[i], so_far);
        }
        strbuf_addf(b, "%s_bucket{%s,le=\"+Inf\"} %" PRIu64 "\n", name, labels, h->count);
        strbuf_addf(b, "%s_sum{%s} %.6f\n%s_count{%s} %" PRIu64 "\n", name, labels, h->sum, name,
                    labels, h->count);
}
