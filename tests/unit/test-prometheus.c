#include "base/prometheus.h"

#include <math.h>

#include "tests/check.h"

TEST(a_sample_has_labels_a_value_and_milliseconds)
{
        static const struct prometheus_label labels[] = { { "pod", "p" }, { "namespace", "ns" } };
        _cleanup_strbuf_ struct strbuf b = { 0 };

        prometheus_add_head(&b, "x_total", "counter", "[STABLE] What x did");
        prometheus_add_sample(&b, "x_total", labels, 2, 1.5, 1700000000123456);
        prometheus_add_sample(&b, "x_total", NULL, 0, 12, 0);
        CHECK_STR(b.data, "# HELP x_total [STABLE] What x did\n# TYPE x_total counter\n"
                          "x_total{pod=\"p\",namespace=\"ns\"} 1.5 1700000000123\n"
                          "x_total 12\n");
}

TEST(label_values_are_escaped)
{
        static const struct prometheus_label label = { "a", "back\\slash \"quote\"\nline" };
        _cleanup_strbuf_ struct strbuf b = { 0 };

        prometheus_add_sample(&b, "x", &label, 1, 0, 0);
        CHECK_STR(b.data, "x{a=\"back\\\\slash \\\"quote\\\"\\nline\"} 0\n");
}

TEST(large_numbers_keep_every_digit)
{
        _cleanup_strbuf_ struct strbuf b = { 0 };

        prometheus_add_sample(&b, "x", NULL, 0, 9007199254740991.0, 0);
        prometheus_add_sample(&b, "x", NULL, 0, 1700000000.123456, 0);
        CHECK_STR(b.data, "x 9007199254740991\nx 1700000000.123456\n");
}

TEST(a_process_tells_its_cpu_memory_and_descriptors)
{
        _cleanup_strbuf_ struct strbuf b = { 0 };

        prometheus_add_process(&b, 1700000000 * USEC_PER_SEC);
        CHECK_CONTAINS(b.data, "\nprocess_start_time_seconds 1700000000\n");
        CHECK_CONTAINS(b.data, "\nprocess_resident_memory_bytes ");
        CHECK_CONTAINS(b.data, "\nprocess_open_fds ");
}

TEST(a_histogram_counts_upwards_and_tells_its_sum)
{
        const struct prometheus_label label = { "a", "b" };
        _cleanup_strbuf_ struct strbuf b = { 0 };
        struct prometheus_histogram h = { 0 };

        prometheus_observe(&h, 5000); /* a bound counts below itself */
        prometheus_observe(&h, 300000);
        prometheus_observe(&h, 60000000);
        CHECK_INT(prometheus_count(&h), 3);
        prometheus_add_histogram(&b, "x_seconds", &label, 1, &h);
        CHECK_CONTAINS(b.data, "x_seconds_bucket{a=\"b\",le=\"0.005\"} 1\n");
        CHECK_CONTAINS(b.data, "x_seconds_bucket{a=\"b\",le=\"0.25\"} 1\n");
        CHECK_CONTAINS(b.data, "x_seconds_bucket{a=\"b\",le=\"0.5\"} 2\n");
        CHECK_CONTAINS(b.data, "x_seconds_bucket{a=\"b\",le=\"10\"} 2\n");
        CHECK_CONTAINS(b.data, "x_seconds_bucket{a=\"b\",le=\"+Inf\"} 3\n");
        CHECK_CONTAINS(b.data, "x_seconds_sum{a=\"b\"} 60.305\n");
        CHECK_CONTAINS(b.data, "x_seconds_count{a=\"b\"} 3\n");
}

TEST(a_value_beyond_all_numbers_is_written_as_prometheus_reads_it)
{
        _cleanup_strbuf_ struct strbuf b = { 0 };

        prometheus_add_sample(&b, "x", NULL, 0, HUGE_VAL, 0);
        prometheus_add_sample(&b, "y", NULL, 0, -HUGE_VAL, 0);
        CHECK_STR(b.data, "x +Inf\ny -Inf\n");
}
