#include "base/prometheus.h"

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
