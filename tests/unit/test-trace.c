#include "netproxy/trace.h"

#include <errno.h>

#include "base/text.h"
#include "netproxy/ruleset-diff.h"
#include "tests/check.h"
#include "tests/unit/proxy-fixture.h"

/* ---- a table with one Service, as if its batch were in force ---- */
static struct world {
        struct ruleset_context ctx;
        struct ruleset_table *table;
        struct ruleset_owner owner;
} world;

static void end_world(void)
{
        if (!world.table)
                return;
        ruleset_table_drop(world.table, &world.owner);
        world.table = ruleset_table_free(world.table);
}

static void begin(const char *spec, const char *endpoints)
{
        int family = strchr(endpoints, ':') ? AF_INET6 : AF_INET;
        _cleanup_(service_unrefp)
        struct service *s = make_service("web", spec);
        _cleanup_(endpoint_slice_freep)
        struct endpoint_slice *slice = make_slice("web", "", 8080, endpoints);
        const struct endpoint_slice *slices[] = { slice };

        end_world();
        world = (struct world){ .ctx = make_context(family) };
        CHECK(ruleset_table_new(family, &world.table) == 0);
        CHECK(ruleset_table_set_context(world.table, &world.ctx) == 0);
        CHECK(ruleset_table_apply(world.table, &world.owner, s, slices, 1) == 0);
        ruleset_table_committed(world.table);
}

static int find_installed(enum ruleset_set set, const void *key, void *ret_value, void *userdata)
{
        return ruleset_table_find(userdata, set, key, ret_value, NULL);
}

/* "pods: sent 10.0.0.1:8080 masquerade", a line for each sender; owned. */
static char *run(const char *address, uint16_t port, bool serves_node_ports, bool is_handed_out)
{
        struct trace_query q = { .protocol = IPPROTO_TCP,
                                 .port = port,
                                 .serves_node_ports = serves_node_ports,
                                 .is_handed_out = is_handed_out };
        const struct trace_sets sets = { find_installed, world.table };
        _cleanup_(trace_done)
        struct trace t = { .found_in = _SET_MAX };
        struct strbuf b = { 0 };

        CHECK(ip_parse(address, &q.ip) == 0);
        CHECK(trace_run(&world.ctx, &q, &sets, &t) == 0);
        for (int from = 0; from < _TRACE_FROM_MAX; from++) {
                const struct trace_way *w = &t.ways[from];

                strbuf_addf(&b, "%s%s: %s", from ? "\n" : "",
                            trace_from_name((enum trace_from)from),
                            trace_verdict_name((enum trace_verdict)w->verdict));
                for (size_t i = 0; i < w->n_endpoints; i++) {
                        char text[IP_TEXT_MAX];

                        strbuf_addf(&b, " %s:%u", ip_format(&w->endpoints[i].ip, text),
                                    w->endpoints[i].port);
                }
                strbuf_addf(&b, "%s%s", w->masquerade ? " masquerade" : "",
                            w->sticky_sec ? " sticky" : "");
        }
        strbuf_add(&b, t.is_guarded ? "\nguarded" : "");
        return strbuf_take(&b);
}

static void check_trace(const char *address, uint16_t port, const char *expected)
{
        _cleanup_free_ char *text = run(address, port, false, false);

        CHECK_STR(text, expected);
}

static void check_node_port(const char *address, uint16_t port, const char *expected)
{
        _cleanup_free_ char *text = run(address, port, true, false);

        CHECK_STR(text, expected);
}

#define CLUSTER_IP "\"clusterIP\":\"10.96.0.1\","
#define PORT       "\"ports\":[{\"port\":80,\"nodePort\":30080}]"

TEST(a_cluster_ip_hides_the_source_of_who_is_no_pod)
{
        begin(CLUSTER_IP PORT, "10.0.0.1 10.0.0.2L");
        check_trace("10.96.0.1", 80,
                    "pods: sent 10.0.0.1:8080 10.0.0.2:8080\n"
                    "node: sent 10.0.0.1:8080 10.0.0.2:8080 masquerade\n"
                    "outside: sent 10.0.0.1:8080 10.0.0.2:8080 masquerade");
        world.ctx.detector = DETECTOR_NONE;
        check_trace("10.96.0.1", 80,
                    "pods: sent 10.0.0.1:8080 10.0.0.2:8080\n"
                    "node: sent 10.0.0.1:8080 10.0.0.2:8080\n"
                    "outside: sent 10.0.0.1:8080 10.0.0.2:8080");
}

TEST(a_port_that_the_service_does_not_have_is_refused_and_an_ip_of_nobody_dropped)
{
        _cleanup_free_ char *nobody = NULL;

        begin(CLUSTER_IP PORT, "10.0.0.1");
        check_trace("10.96.0.1", 81, "pods: refused\nnode: refused\noutside: refused");
        nobody = run("10.96.0.9", 80, false, true);
        CHECK_STR(nobody, "pods: dropped\nnode: dropped\noutside: dropped");
        check_trace("192.0.2.1", 80, "pods: passes\nnode: passes\noutside: passes");
}

TEST(without_endpoints_each_of_its_addresses_is_refused)
{
        begin(CLUSTER_IP PORT, "");
        check_trace("10.96.0.1", 80, "pods: refused\nnode: refused\noutside: refused");
        check_node_port("192.0.2.1", 30080, "pods: refused\nnode: refused\noutside: refused");
}

TEST(a_node_port_is_one_on_the_nodes_addresses_only)
{
        begin(CLUSTER_IP PORT, "10.0.0.1");
        check_node_port("192.0.2.1", 30080,
                        "pods: sent 10.0.0.1:8080 masquerade\n"
                        "node: sent 10.0.0.1:8080 masquerade\n"
                        "outside: sent 10.0.0.1:8080 masquerade");
        check_trace("192.0.2.1", 30080, "pods: passes\nnode: passes\noutside: passes");
}

TEST(external_policy_local_drops_outside_and_serves_the_inside_from_all_nodes)
{
        begin(CLUSTER_IP PORT ",\"type\":\"NodePort\",\"externalTrafficPolicy\":\"Local\"",
              "10.0.0.1");
        check_node_port("192.0.2.1", 30080,
                        "pods: sent 10.0.0.1:8080\n"
                        "node: sent 10.0.0.1:8080 masquerade\n"
                        "outside: dropped");
        begin(CLUSTER_IP PORT ",\"type\":\"NodePort\",\"externalTrafficPolicy\":\"Local\"",
              "10.0.0.1 10.0.0.2L");
        check_node_port("192.0.2.1", 30080,
                        "pods: sent 10.0.0.1:8080 10.0.0.2:8080\n"
                        "node: sent 10.0.0.1:8080 10.0.0.2:8080 masquerade\n"
                        "outside: sent 10.0.0.2:8080");
}

TEST(a_load_balancers_address_is_guarded_by_its_source_ranges)
{
        begin(CLUSTER_IP PORT ",\"type\":\"LoadBalancer\",\"loadBalancerSourceRanges\":["
                              "\"192.0.2.0/24\"]},\"status\":{\"loadBalancer\":{\"ingress\":[{"
                              "\"ip\":\"198.51.100.7\"}]}",
              "10.0.0.1");
        check_trace("198.51.100.7", 80,
                    "pods: sent 10.0.0.1:8080 masquerade\n"
                    "node: sent 10.0.0.1:8080 masquerade\n"
                    "outside: sent 10.0.0.1:8080 masquerade\nguarded");
}

TEST(affinity_is_followed_in_both_families)
{
        begin(CLUSTER_IP PORT ",\"sessionAffinity\":\"ClientIP\"", "10.0.0.1");
        check_trace("10.96.0.1", 80,
                    "pods: sent 10.0.0.1:8080 sticky\n"
                    "node: sent 10.0.0.1:8080 masquerade sticky\n"
                    "outside: sent 10.0.0.1:8080 masquerade sticky");
        check_node_port("192.0.2.1", 30080,
                        "pods: sent 10.0.0.1:8080 masquerade sticky\n"
                        "node: sent 10.0.0.1:8080 masquerade sticky\n"
                        "outside: sent 10.0.0.1:8080 masquerade sticky");
        begin("\"clusterIP\":\"fd00::1\"," PORT, "fd00:1::1 fd00:1::2");
        check_trace("fd00::1", 80,
                    "pods: sent fd00:1::1:8080 fd00:1::2:8080\n"
                    "node: sent fd00:1::1:8080 fd00:1::2:8080 masquerade\n"
                    "outside: sent fd00:1::1:8080 fd00:1::2:8080 masquerade");
}

/* ---- what a broken kernel table looks like ---- */
static int find_without_endpoints(enum ruleset_set set, const void *key, void *ret_value,
                                  void *userdata)
{
        return set == SET_ENDPOINTS ? 0 : find_installed(set, key, ret_value, userdata);
}

static int fail_to_find(_unused_ enum ruleset_set set, _unused_ const void *key,
                        _unused_ void *ret_value, _unused_ void *userdata)
{
        return -EPERM;
}

TEST(numbers_that_lead_nowhere_are_counted_and_make_a_difference)
{
        struct trace_query q = { .protocol = IPPROTO_TCP, .port = 80 };
        const struct trace_sets good = { find_installed, NULL },
                                bad = { find_without_endpoints, NULL };
        struct trace_sets ours = good, kernels = bad;
        _cleanup_(trace_done)
        struct trace a = { 0 }, b = { 0 };

        begin(CLUSTER_IP PORT, "10.0.0.1 10.0.0.2");
        ours.userdata = kernels.userdata = world.table;
        CHECK(ip_parse("10.96.0.1", &q.ip) == 0);
        CHECK(trace_run(&world.ctx, &q, &ours, &a) == 0);
        CHECK(trace_run(&world.ctx, &q, &kernels, &b) == 0);
        CHECK(!trace_equal(&a, &b));
        CHECK_INT(b.ways[0].missing, 2);
        CHECK_INT(b.ways[0].verdict, TRACE_REFUSED); /* nothing translated it: no such port */
        trace_done(&b);
        CHECK(trace_run(&world.ctx, &q, &(struct trace_sets){ fail_to_find, NULL }, &b) == -EPERM);
        end_world();
}
