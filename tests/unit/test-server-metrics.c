#include "kubelet/server-metrics.h"

#include "tests/check.h"

static char *format(const struct server_metrics *m)
{
        const struct http_server_counts counts = { .open = 3, .untrusted = 1, .malformed = 5 };
        struct strbuf b = { 0 };

        server_metrics_format(m, &counts, &b);
        return strbuf_take(&b);
}

#define PODS "long_running=\"false\",method=\"GET\",path=\"pods\",server_type=\"readwrite\""

TEST(requests_are_counted_when_they_are_over_and_are_in_flight_before)
{
        _cleanup_(server_metrics_freep)
        struct server_metrics *m = NULL;
        _cleanup_free_ char *text = NULL, *later = NULL;

        CHECK_INT(server_metrics_new(&m), 0);
        server_metrics_begin(m, "GET", "/pods");
        text = format(m);
        CHECK_CONTAINS(text, "kubelet_http_inflight_requests{" PODS "} 1\n");
        CHECK_CONTAINS(text, "kubelet_http_requests_total{" PODS "} 0\n");
        server_metrics_end(m, "GET", "/pods", 20000);
        later = format(m);
        CHECK_CONTAINS(later, "kubelet_http_inflight_requests{" PODS "} 0\n");
        CHECK_CONTAINS(later, "kubelet_http_requests_total{" PODS "} 1\n");
        CHECK_CONTAINS(later,
                       "kubelet_http_requests_duration_seconds_bucket{" PODS ",le=\"0.01\"} 0\n");
        CHECK_CONTAINS(later,
                       "kubelet_http_requests_duration_seconds_bucket{" PODS ",le=\"0.025\"} 1\n");
        CHECK_CONTAINS(later, "kubelet_http_requests_duration_seconds_sum{" PODS "} 0.02\n");
}

TEST(who_asks_for_many_paths_and_methods_makes_no_series)
{
        _cleanup_(server_metrics_freep)
        struct server_metrics *m = NULL;
        _cleanup_free_ char *few = NULL, *many = NULL;

        CHECK_INT(server_metrics_new(&m), 0);
        server_metrics_begin(m, "X0", "/p0");
        server_metrics_end(m, "X0", "/p0", 1);
        few = format(m);
        for (int i = 0; i < 1000; i++) {
                char path[32], method[32];

                snprintf(path, sizeof path, "/p%d/podsx", i);
                snprintf(method, sizeof method, "X%d", i);
                server_metrics_begin(m, method, path);
                server_metrics_end(m, method, path, 1);
        }
        many = format(m);
        CHECK_CONTAINS(many, "method=\"other\",path=\"other\",server_type=\"readwrite\"} 1001\n");
        CHECK(strlen(many) < strlen(few) + 100);
}

TEST(the_first_part_of_a_path_stands_for_all_below_it)
{
        _cleanup_(server_metrics_freep)
        struct server_metrics *m = NULL;
        _cleanup_free_ char *text = NULL;

        CHECK_INT(server_metrics_new(&m), 0);
        server_metrics_begin(m, "POST", "/exec/ns/pod/c");
        server_metrics_begin(m, "GET", "/podsx");
        text = format(m);
        CHECK_CONTAINS(text, "kubelet_http_inflight_requests{long_running=\"true\",method=\"POST\","
                             "path=\"exec\",server_type=\"readwrite\"} 1\n");
        CHECK_CONTAINS(text, "path=\"other\"");
        CHECK_CONTAINS(text, "skiff_http_connections{state=\"known\"} 2\n");
        CHECK_CONTAINS(text, "skiff_http_troubles_total{reason=\"malformed\"} 5\n");
}
