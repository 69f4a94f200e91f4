#include "kubelet/server-route.h"

#include "base/text.h"
#include "tests/check.h"

/* "get pods,proxy" */
static char *access_of(const char *method, const char *path)
{
        struct server_request r;
        char *text;

        CHECK_INT(server_request_parse(method, path, &r), 0);
        text = text_printf("%s %s%s%s", r.verb, r.subresources[0], r.subresources[1] ? "," : "",
                           r.subresources[1] ? r.subresources[1] : "");
        server_request_done(&r);
        return text;
}

TEST(each_path_asks_for_its_own_access)
{
        static const struct {
                const char *method, *path, *access;
        } cases[] = {
                { "GET", "/pods", "get pods,proxy" },
                { "GET", "/pods/", "get pods,proxy" },
                { "GET", "/podsx", "get proxy" },
                { "GET", "/Pods", "get proxy" },
                { "GET", "/runningpods/", "get pods,proxy" },
                { "GET", "/healthz/log", "get healthz,proxy" },
                { "GET", "/configz", "get configz,proxy" },
                { "POST", "/stats/summary", "create stats" },
                { "GET", "/metrics/cadvisor", "get metrics" },
                { "GET", "/metricsx", "get proxy" },
                { "GET", "/logs/kern.log", "get log" },
                { "POST", "/checkpoint/a/b/c", "create checkpoint" },
                { "GET", "/statusz", "get statusz" },
                { "GET", "/flagz", "get configz" },
                { "GET", "/containerLogs/a/b/c", "get proxy" },
                { "GET", "/exec/a/b/c", "create proxy" },
                { "GET", "/attach/a/b/c", "create proxy" },
                { "GET", "/run/a/b/c", "create proxy" },
                { "GET", "/portForward/a/b", "create proxy" },
                { "POST", "/exec/a/b/c", "create proxy" },
                { "PUT", "/", "update proxy" },
                { "PATCH", "/", "patch proxy" },
                { "DELETE", "/", "delete proxy" },
                { "HEAD", "/pods", " pods,proxy" },
                { "TRACE", "/", " proxy" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_free_ char *access = access_of(cases[i].method, cases[i].path);

                if (!streq(access, cases[i].access))
                        fail_msg("%s %s: %s", cases[i].method, cases[i].path, access);
        }
}

TEST(paths_find_their_handlers)
{
        static const struct {
                const char *path;
                enum server_route route;
        } cases[] = {
                { "/", ROUTE_NONE },
                { "/pods", ROUTE_PODS },
                { "/pods/", ROUTE_PODS },
                { "/pods/x", ROUTE_UNKNOWN },
                { "/healthz", ROUTE_HEALTHZ },
                { "/healthz/ping", ROUTE_HEALTHZ },
                { "/healthz/ping/x", ROUTE_NONE },
                { "/healthzx", ROUTE_NONE },
                { "/containerLogs", ROUTE_UNKNOWN },
                { "/containerLogs/a/b", ROUTE_UNKNOWN },
                { "/containerLogs/a/b/c", ROUTE_CONTAINER_LOGS },
                { "/containerLogs/a/b/c/", ROUTE_CONTAINER_LOGS },
                { "/containerLogs/a/b/c/d", ROUTE_UNKNOWN },
                { "/containerLogs/a/b/c/d/e/f", ROUTE_UNKNOWN },
                { "/metrics", ROUTE_METRICS },
                { "/metrics/", ROUTE_METRICS },
                { "/metrics/resource", ROUTE_METRICS_RESOURCE },
                { "/metrics/resource/x", ROUTE_NONE },
                { "/metrics/probes", ROUTE_METRICS_PROBES },
                { "/metrics/cadvisor", ROUTE_METRICS_CADVISOR },
                { "/stats", ROUTE_UNKNOWN },
                { "/stats/summary", ROUTE_STATS_SUMMARY },
                { "/stats/summary/x", ROUTE_UNKNOWN },
                { "/configz", ROUTE_CONFIGZ },
                { "/configz/x", ROUTE_NONE },
                { "/statusz", ROUTE_STATUSZ },
                { "/flagz", ROUTE_FLAGZ },
                { "/runningpods/", ROUTE_RUNNING_PODS },
                { "/runningpods/x", ROUTE_UNKNOWN },
                { "/run/a/b", ROUTE_UNKNOWN },
                { "/run/a/b/c", ROUTE_RUN },
                { "/run/a/b/u/c", ROUTE_RUN },
                { "/logs", ROUTE_LOGS },
                { "/logs/", ROUTE_LOGS },
                { "/logs/a/b/c/d/e/f/g", ROUTE_LOGS },
                { "/logsx", ROUTE_NONE },
                { "/checkpoint/a/b", ROUTE_UNKNOWN },
                { "/checkpoint/a/b/c", ROUTE_CHECKPOINT },
                { "/exec/a/b", ROUTE_UNKNOWN },
                { "/exec/a/b/c", ROUTE_EXEC },
                { "/exec/a/b/u/c", ROUTE_EXEC },
                { "/exec/a/b/u/c/d", ROUTE_UNKNOWN },
                { "/attach/a/b/c", ROUTE_ATTACH },
                { "/portForward/a", ROUTE_UNKNOWN },
                { "/portForward/a/b", ROUTE_PORT_FORWARD },
                { "/portForward/a/b/u", ROUTE_PORT_FORWARD },
                { "/portForward/a/b/u/c", ROUTE_UNKNOWN },
                { "/debug", ROUTE_NONE },
                { "/debug/pprof/", ROUTE_PPROF },
                { "/debug/pprof/heap", ROUTE_PPROF },
                { "/debug/flags/v", ROUTE_DEBUG_FLAGS },
                { "/debug/flags", ROUTE_NONE },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct server_request r;

                CHECK_INT(server_request_parse("GET", cases[i].path, &r), 0);
                if (r.route != cases[i].route)
                        fail_msg("%s: %d", cases[i].path, r.route);
                server_request_done(&r);
        }
}

TEST(names_are_taken_from_the_path)
{
        struct server_request r;

        CHECK_INT(server_request_parse("POST", "/containerLogs/ns/pod/c/", &r), 0);
        CHECK_STR(r.names[0], "ns");
        CHECK_STR(r.names[1], "pod");
        CHECK_STR(r.names[2], "c");
        CHECK(r.is_debug && !r.is_method_ok);
        server_request_done(&r);
        CHECK_INT(server_request_parse("POST", "/exec/ns/pod/uid/c", &r), 0);
        CHECK_STR(r.names[2], "c");
        CHECK_STR(r.names[3], "uid");
        CHECK(r.is_debug && r.is_method_ok);
        server_request_done(&r);
        CHECK_INT(server_request_parse("POST", "/stats/summary", &r), 0);
        CHECK(r.is_method_ok && !r.is_debug);
        server_request_done(&r);
        CHECK_INT(server_request_parse("POST", "/metrics/resource", &r), 0);
        CHECK(!r.is_method_ok);
        server_request_done(&r);
        CHECK_INT(server_request_parse("DELETE", "/exec/ns/pod/c", &r), 0);
        CHECK_STR(r.names[2], "c");
        CHECK(!r.names[3] && !r.is_method_ok);
        server_request_done(&r);
}

TEST(the_path_of_a_file_of_the_machines_logs_is_taken_whole)
{
        static const char *const cases[][2] = { { "/logs", "" },
                                                { "/logs/", "" },
                                                { "/logs/kern.log", "kern.log" },
                                                { "/logs/a/b/c/d/e/", "a/b/c/d/e/" } };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct server_request r;

                CHECK_INT(server_request_parse("GET", cases[i][0], &r), 0);
                CHECK_STR(r.names[0], cases[i][1]);
                server_request_done(&r);
        }
}

TEST(what_only_acts_takes_no_get)
{
        static const struct {
                const char *method, *path;
                bool is_ok;
        } cases[] = {
                { "GET", "/run/a/b/c", false },        { "POST", "/run/a/b/c", true },
                { "GET", "/checkpoint/a/b/c", false }, { "POST", "/checkpoint/a/b/c", true },
                { "POST", "/runningpods", false },     { "POST", "/logs/x", false },
                { "PUT", "/debug/flags/v", true },     { "ET", "/pods", false },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct server_request r;

                CHECK_INT(server_request_parse(cases[i].method, cases[i].path, &r), 0);
                if (r.is_method_ok != cases[i].is_ok)
                        fail_msg("%s %s", cases[i].method, cases[i].path);
                server_request_done(&r);
        }
}
