#include "netproxy/histogram.h"

#include "tests/check.h"

static char *print(const struct histogram *h)
{
        struct strbuf b = { 0 };

        histogram_print(h, "x_seconds", "ip_family=\"IPv4\"", &b);
        return strbuf_take(&b);
}

TEST(a_value_counts_in_its_bucket_and_all_wider_ones)
{
        struct histogram h = { .bounds = histogram_bounds_sync() };
        _cleanup_free_ char *text = NULL;

        histogram_observe(&h, 0.001); /* bounds are inclusive */
        histogram_observe(&h, 0.003);
        histogram_observe(&h, 100); /* wider than all */
        text = print(&h);
        CHECK_CONTAINS(text, "x_seconds_bucket{ip_family=\"IPv4\",le=\"0.001\"} 1\n");
        CHECK_CONTAINS(text, "x_seconds_bucket{ip_family=\"IPv4\",le=\"0.002\"} 1\n");
        CHECK_CONTAINS(text, "x_seconds_bucket{ip_family=\"IPv4\",le=\"0.004\"} 2\n");
        CHECK_CONTAINS(text, "x_seconds_bucket{ip_family=\"IPv4\",le=\"16.384\"} 2\n");
        CHECK_CONTAINS(text, "x_seconds_bucket{ip_family=\"IPv4\",le=\"+Inf\"} 3\n");
        CHECK_CONTAINS(text, "x_seconds_sum{ip_family=\"IPv4\"} 100.004000\n");
        CHECK_CONTAINS(text, "x_seconds_count{ip_family=\"IPv4\"} 3\n");
}

TEST(one_that_has_seen_nothing_says_so)
{
        struct histogram h = { .bounds = histogram_bounds_programming() };
        _cleanup_free_ char *text = print(&h);

        CHECK_INT(h.bounds->n, HISTOGRAM_BOUNDS_MAX);
        CHECK_CONTAINS(text, "le=\"0.25\"} 0\n");
        CHECK_CONTAINS(text, "le=\"59\"} 0\n");
        CHECK_CONTAINS(text, "le=\"115\"} 0\n");
        CHECK_CONTAINS(text, "le=\"300\"} 0\n");
        CHECK_CONTAINS(text, "_count{ip_family=\"IPv4\"} 0\n");
}

TEST(bounds_ascend)
{
        const struct histogram_bounds *all[] = { histogram_bounds_sync(),
                                                 histogram_bounds_programming() };

        for (size_t k = 0; k < ARRAY_SIZE(all); k++)
                for (size_t i = 1; i < all[k]->n; i++)
                        CHECK(all[k]->items[i] > all[k]->items[i - 1]);
}
