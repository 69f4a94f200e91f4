#include "netproxy/sync.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/netlink.h"
#include "base/text.h"
#include "netproxy/family.h"
#include "netproxy/trace-json.h"
#include "tests/check.h"
#include "tests/kernel/netns.h"
#include "tests/kernel/proxy-world.h"

#define TABLE "skiff-test"

static const char web[] = "\"clusterIP\":\"10.96.0.10\",\"ports\":[{\"port\":80},{\"name\":\"udp\","
                          "\"protocol\":\"UDP\",\"port\":80}]";
static const char node_port[] =
        "\"type\":\"NodePort\",\"clusterIP\":\"10.96.0.11\",\"ports\":[{\"port\":80,\"nodePort\":"
        "30080},{\"name\":\"udp\",\"protocol\":\"UDP\",\"port\":80,\"nodePort\":30081}]";
static const char everywhere[] = "10.244.1.10L 10.244.1.11L 10.244.2.10";

/* A proxy that knows both nodes and one Service. */
static void start_with(struct fixture *f, const char *spec, const char *endpoints)
{
        world_get();
        fixture_start(f, TABLE);
        fixture_nodes(f);
        fixture_service(f, "web", spec);
        fixture_slice(f, "web", endpoints);
        fixture_sync(f);
}

TEST(a_cluster_ip_spreads_over_all_endpoints_from_pod_node_and_outside)
{
        struct world *w = world_get();
        struct fixture f = { 0 };

        start_with(&f, web, everywhere);
        CHECK_INT(world_spread(w->pod_a, IPPROTO_TCP, "10.96.0.10", 80, 60), 3);
        CHECK_INT(world_spread(WORLD_NODE, IPPROTO_TCP, "10.96.0.10", 80, 60), 3);
        CHECK_INT(world_spread(w->client, IPPROTO_TCP, "10.96.0.10", 80, 60), 3);
        CHECK_INT(world_spread(w->pod_b, IPPROTO_UDP, "10.96.0.10", 80, 60), 3);
        fixture_remove(&f, TABLE);
}

TEST(a_pod_keeps_its_address_towards_a_service_and_strangers_do_not)
{
        struct world *w = world_get();
        struct fixture f = { 0 };

        start_with(&f, web, "10.244.2.10");
        CHECK_STR(world_must_ask(w->pod_a, "10.96.0.10", 80), "pod-c 10.244.1.10");
        CHECK_STR(world_must_ask(w->client, "10.96.0.10", 80), "pod-c 198.51.100.1");
        fixture_remove(&f, TABLE);
}

TEST(a_pod_reaches_itself_through_its_own_service)
{
        struct world *w = world_get();
        struct fixture f = { 0 };
        const char *answer;

        start_with(&f, web, "10.244.1.10L");
        answer = world_must_ask(w->pod_a, "10.96.0.10", 80);
        CHECK(startswith(answer, "pod-a ") && !streq(answer, "pod-a 10.244.1.10"));
        fixture_remove(&f, TABLE);
}

TEST(without_endpoints_everybody_is_refused_at_once)
{
        struct world *w = world_get();
        struct fixture f = { 0 };
        char answer[64];

        start_with(&f, node_port, "");
        CHECK_INT(world_ask(w->pod_a, IPPROTO_TCP, 0, "10.96.0.11", 80, answer), -ECONNREFUSED);
        CHECK_INT(world_ask(w->pod_a, IPPROTO_UDP, 0, "10.96.0.11", 80, answer), -ECONNREFUSED);
        CHECK_INT(world_ask(WORLD_NODE, IPPROTO_TCP, 0, "10.96.0.11", 80, answer), -ECONNREFUSED);
        CHECK_INT(world_ask(w->client, IPPROTO_TCP, 0, "198.51.100.1", 30080, answer),
                  -ECONNREFUSED);
        fixture_slice(&f, "web", "10.244.1.10L");
        fixture_sync(&f);
        CHECK_STR(world_must_ask(w->pod_b, "10.96.0.11", 80), "pod-a 10.244.1.11");
        fixture_remove(&f, TABLE);
}

static int set_service_cidr(struct fixture *f, const char *cidr)
{
        json_auto_t *o = json_pack("{s:{s:[s]}}", "spec", "cidrs", cidr);

        return state_set_service_cidr(sync_state(f->sync), "kubernetes", o, NULL);
}

TEST(a_port_that_a_service_does_not_have_is_refused_and_an_address_of_nobody_is_silent)
{
        struct world *w = world_get();
        struct fixture f = { 0 };
        char answer[64];

        start_with(&f, web, everywhere);
        CHECK(set_service_cidr(&f, "10.96.0.0/16") == 0);
        fixture_sync(&f);
        CHECK_INT(world_ask(w->pod_a, IPPROTO_TCP, 0, "10.96.0.10", 81, answer), -ECONNREFUSED);
        CHECK_INT(world_ask(WORLD_NODE, IPPROTO_TCP, 0, "10.96.0.10", 81, answer), -ECONNREFUSED);
        CHECK_INT(world_ask(w->pod_a, IPPROTO_TCP, 0, "10.96.9.9", 80, answer), -ETIMEDOUT);
        fixture_remove(&f, TABLE);
}

TEST(a_node_port_answers_on_the_nodes_address_and_hides_the_client)
{
        struct world *w = world_get();
        struct fixture f = { 0 };
        char answer[64];

        start_with(&f, node_port, everywhere);
        CHECK_INT(world_spread(w->client, IPPROTO_TCP, "198.51.100.1", 30080, 60), 3);
        CHECK_INT(world_spread(w->client, IPPROTO_UDP, "198.51.100.1", 30081, 60), 3);
        CHECK_INT(world_spread(w->pod_a, IPPROTO_TCP, "198.51.100.1", 30080, 60), 3);
        CHECK_INT(world_spread(WORLD_NODE, IPPROTO_TCP, "198.51.100.1", 30080, 60), 3);
        fixture_slice(&f, "web", "10.244.2.10");
        fixture_sync(&f);
        CHECK_STR(world_must_ask(w->client, "198.51.100.1", 30080), "pod-c 198.51.100.1");
        /* the node's other addresses do not serve it, loopback least of all */
        CHECK_INT(world_ask(w->client, IPPROTO_TCP, 0, "192.0.2.1", 30080, answer), -ECONNREFUSED);
        CHECK_INT(world_ask(WORLD_NODE, IPPROTO_TCP, 0, "127.0.0.1", 30080, answer), -ECONNREFUSED);
        fixture_remove(&f, TABLE);
}

TEST(node_ports_on_all_addresses_leave_loopback_out)
{
        struct world *w = world_get();
        struct fixture f = { 0 };
        char answer[64];

        proxy_config_init(&f.config);
        f.config.node_ports_on_primary = false;
        start_with(&f, node_port, "10.244.1.10L");
        CHECK(startswith(world_must_ask(w->client, "192.0.2.1", 30080), "pod-a "));
        CHECK(startswith(world_must_ask(w->client, "198.51.100.1", 30080), "pod-a "));
        CHECK_INT(world_ask(WORLD_NODE, IPPROTO_TCP, 0, "127.0.0.1", 30080, answer), -ECONNREFUSED);
        fixture_remove(&f, TABLE);
}

TEST(node_ports_within_ranges_follow_the_machines_addresses)
{
        struct world *w = world_get();
        struct fixture f = { 0 };
        char answer[64];

        proxy_config_init(&f.config);
        f.config.node_ports_on_primary = false;
        f.config.node_port_cidrs = calloc(1, sizeof *f.config.node_port_cidrs);
        f.config.n_node_port_cidrs = 1;
        CHECK(cidr_parse("203.0.113.0/24", f.config.node_port_cidrs) == 0);
        start_with(&f, node_port, "10.244.1.10L");
        CHECK_INT(world_ask(w->client, IPPROTO_TCP, 0, "192.0.2.1", 30080, answer), -ECONNREFUSED);
        netns_address("client", "203.0.113.1/32");
        fixture_sync(&f);
        CHECK(startswith(world_must_ask(w->client, "203.0.113.1", 30080), "pod-a "));
        fixture_remove(&f, TABLE);
}

TEST(external_policy_local_shows_the_client_and_takes_local_endpoints_only)
{
        static const char spec[] = "\"type\":\"NodePort\",\"clusterIP\":\"10.96.0.12\","
                                   "\"externalTrafficPolicy\":\"Local\",\"ports\":[{\"port\":80,"
                                   "\"nodePort\":30090}]";
        struct world *w = world_get();
        struct fixture f = { 0 };
        char answer[64];

        start_with(&f, spec, "10.244.1.10L 10.244.2.10");
        for (int i = 0; i < 10; i++)
                CHECK_STR(world_must_ask(w->client, "198.51.100.1", 30090), "pod-a 192.0.2.2");
        CHECK_INT(world_spread(w->pod_b, IPPROTO_TCP, "198.51.100.1", 30090, 40), 2);
        fixture_slice(&f, "web", "10.244.2.10");
        fixture_sync(&f);
        CHECK_INT(world_ask(w->client, IPPROTO_TCP, 0, "198.51.100.1", 30090, answer), -ETIMEDOUT);
        CHECK_STR(world_must_ask(w->pod_b, "198.51.100.1", 30090), "pod-c 10.244.1.11");
        CHECK_STR(world_must_ask(WORLD_NODE, "198.51.100.1", 30090), "pod-c 198.51.100.1");
        fixture_remove(&f, TABLE);
}

TEST(internal_policy_local_stays_on_the_node_or_is_silent)
{
        static const char spec[] = "\"clusterIP\":\"10.96.0.13\",\"internalTrafficPolicy\":"
                                   "\"Local\",\"ports\":[{\"port\":80}]";
        struct world *w = world_get();
        struct fixture f = { 0 };
        char answer[64];

        start_with(&f, spec, everywhere);
        CHECK_INT(world_spread(w->client, IPPROTO_TCP, "10.96.0.13", 80, 40), 2);
        fixture_slice(&f, "web", "10.244.2.10");
        fixture_sync(&f);
        CHECK_INT(world_ask(w->pod_a, IPPROTO_TCP, 0, "10.96.0.13", 80, answer), -ETIMEDOUT);
        fixture_remove(&f, TABLE);
}

static const char sticky[] =
        "\"type\":\"NodePort\",\"clusterIP\":\"10.96.0.14\",\"sessionAffinity\":\"ClientIP\","
        "\"sessionAffinityConfig\":{\"clientIP\":{\"timeoutSeconds\":%d}},\"ports\":[{\"port\":80,"
        "\"nodePort\":30092},{\"name\":\"udp\",\"protocol\":\"UDP\",\"port\":80}]";

TEST(session_affinity_keeps_a_client_with_its_endpoint_until_that_goes)
{
        _cleanup_free_ char *spec = text_printf(sticky, 10800);
        struct world *w = world_get();
        struct fixture f = { 0 };
        char first[64];

        start_with(&f, spec, everywhere);
        CHECK_INT(world_spread(w->client, IPPROTO_TCP, "10.96.0.14", 80, 30), 1);
        CHECK_INT(world_spread(w->client, IPPROTO_TCP, "198.51.100.1", 30092, 30), 1);
        CHECK_INT(world_spread(w->pod_a, IPPROTO_UDP, "10.96.0.14", 80, 30), 1);
        /* its endpoint goes: another one, and that one again */
        snprintf(first, sizeof first, "%s", world_must_ask(w->client, "10.96.0.14", 80));
        fixture_slice(&f, "web",
                      startswith(first, "pod-a")   ? "10.244.1.11L 10.244.2.10"
                      : startswith(first, "pod-b") ? "10.244.1.10L 10.244.2.10"
                                                   : "10.244.1.10L 10.244.1.11L");
        fixture_sync(&f);
        CHECK_INT(world_spread(w->client, IPPROTO_TCP, "10.96.0.14", 80, 30), 1);
        CHECK(!startswith(world_must_ask(w->client, "10.96.0.14", 80), "pod-c") ||
              !startswith(first, "pod-c"));
        fixture_remove(&f, TABLE);
}

TEST(session_affinity_ends_with_its_time_and_when_it_is_switched_off)
{
        _cleanup_free_ char *brief = text_printf(sticky, 1), *off = text_printf(sticky, 10800);
        char *kind = strstr(off, "ClientIP");
        struct world *w = world_get();
        struct fixture f = { 0 };
        size_t moves = 0;
        char before[64];

        start_with(&f, brief, everywhere);
        snprintf(before, sizeof before, "%s", world_must_ask(w->client, "10.96.0.14", 80));
        for (int i = 0; i < 6 && moves == 0; i++) {
                fixture_wait(&f, 1300 * USEC_PER_MSEC, NULL);
                moves += !streq(before, world_must_ask(w->client, "10.96.0.14", 80));
        }
        CHECK(moves > 0);
        memcpy(kind, "None\"   ", 8); /* "ClientIP" becomes "None" */
        kind[8] = ' ';
        fixture_service(&f, "web", off);
        fixture_sync(&f);
        CHECK_INT(world_spread(w->client, IPPROTO_TCP, "10.96.0.14", 80, 60), 3);
        fixture_remove(&f, TABLE);
}

TEST(load_balancer_addresses_are_guarded_by_source_ranges)
{
        static const char spec[] =
                "\"type\":\"LoadBalancer\",\"clusterIP\":\"10.96.0.15\","
                "\"loadBalancerSourceRanges\":[\"%s\"],\"ports\":[{\"port\":80}]},"
                "\"status\":{\"loadBalancer\":{\"ingress\":[{\"ip\":\"203.0.113.80\"}]}";
        _cleanup_free_ char *open = text_printf(spec, "192.0.2.0/24"),
                            *closed = text_printf(spec, "192.0.3.0/24");
        struct world *w = world_get();
        struct fixture f = { 0 };
        char answer[64];

        start_with(&f, open, "10.244.1.10L");
        CHECK(startswith(world_must_ask(w->client, "203.0.113.80", 80), "pod-a "));
        fixture_service(&f, "web", closed);
        fixture_sync(&f);
        CHECK_INT(world_ask(w->client, IPPROTO_TCP, 0, "203.0.113.80", 80, answer), -ETIMEDOUT);
        CHECK(startswith(world_must_ask(w->client, "10.96.0.15", 80), "pod-a "));
        fixture_remove(&f, TABLE);
}

TEST(external_policy_local_holds_for_load_balancer_and_external_addresses_too)
{
        static const char spec[] =
                "\"type\":\"LoadBalancer\",\"clusterIP\":\"10.96.0.17\",\"externalIPs\":["
                "\"203.0.113.91\"],\"externalTrafficPolicy\":\"Local\",\"sessionAffinity\":"
                "\"ClientIP\",\"ports\":[{\"port\":80,\"nodePort\":30093}]},\"status\":{"
                "\"loadBalancer\":{\"ingress\":[{\"ip\":\"203.0.113.81\"},{\"ip\":"
                "\"203.0.113.82\",\"ipMode\":\"Proxy\"}]}";
        struct world *w = world_get();
        struct fixture f = { 0 };
        char answer[64];

        start_with(&f, spec, "10.244.1.10L 10.244.2.10");
        for (int i = 0; i < 10; i++) {
                CHECK_STR(world_must_ask(w->client, "203.0.113.81", 80), "pod-a 192.0.2.2");
                CHECK_STR(world_must_ask(w->client, "203.0.113.91", 80), "pod-a 192.0.2.2");
                CHECK_STR(world_must_ask(w->client, "198.51.100.1", 30093), "pod-a 192.0.2.2");
        }
        /* ipMode Proxy: that address is not ours */
        CHECK(world_ask(w->client, IPPROTO_TCP, 0, "203.0.113.82", 80, answer) < 0);
        fixture_slice(&f, "web", "10.244.2.10");
        fixture_sync(&f);
        CHECK_INT(world_ask(w->client, IPPROTO_TCP, 0, "203.0.113.81", 80, answer), -ETIMEDOUT);
        CHECK_INT(world_ask(w->client, IPPROTO_TCP, 0, "203.0.113.91", 80, answer), -ETIMEDOUT);
        CHECK(startswith(world_must_ask(w->pod_b, "203.0.113.81", 80), "pod-c "));
        CHECK(startswith(world_must_ask(WORLD_NODE, "203.0.113.91", 80), "pod-c "));
        CHECK(startswith(world_must_ask(w->client, "10.96.0.17", 80), "pod-c "));
        fixture_slice(&f, "web", "");
        fixture_sync(&f);
        CHECK_INT(world_ask(w->client, IPPROTO_TCP, 0, "203.0.113.81", 80, answer), -ECONNREFUSED);
        fixture_remove(&f, TABLE);
}

TEST(external_ips_work_but_for_a_nodes_own_address)
{
        static const char spec[] = "\"clusterIP\":\"10.96.0.16\",\"externalIPs\":[\"203.0.113.90\","
                                   "\"198.51.100.1\"],\"ports\":[{\"port\":8443}]";
        struct world *w = world_get();
        struct fixture f = { 0 };
        char answer[64];

        start_with(&f, spec, "10.244.1.10L");
        CHECK(startswith(world_must_ask(w->client, "203.0.113.90", 8443), "pod-a "));
        CHECK_INT(world_ask(w->client, IPPROTO_TCP, 0, "198.51.100.1", 8443, answer),
                  -ECONNREFUSED);
        fixture_remove(&f, TABLE);
}

TEST(pods_leave_the_cluster_by_the_nodes_address_and_stay_themselves_within)
{
        struct world *w = world_get();
        struct fixture f = { 0 };

        start_with(&f, web, everywhere);
        CHECK_STR(world_must_ask(w->pod_a, "192.0.2.2", 8080), "client 192.0.2.1");
        CHECK_STR(world_must_ask(w->pod_a, "10.244.2.10", 8080), "pod-c 10.244.1.10");
        CHECK_STR(world_must_ask(w->pod_a, "198.51.100.2", 8080), "pod-c 10.244.1.10");
        CHECK_STR(world_must_ask(w->pod_a, "10.244.1.11", 8080), "pod-b 10.244.1.10");
        fixture_remove(&f, TABLE);
}

TEST(everything_works_over_ipv6)
{
        static const char spec[] =
                "\"type\":\"NodePort\",\"clusterIP\":\"fd00:96::10\",\"ports\":[{\"port\":80,"
                "\"nodePort\":30086},{\"name\":\"udp\",\"protocol\":\"UDP\",\"port\":80}]";
        struct world *w = world_get();
        struct fixture f = { 0 };
        char answer[64];

        start_with(&f, spec, "fd00:1::10L fd00:1::11L fd00:1:2::10");
        CHECK_INT(world_spread(w->pod_a, IPPROTO_TCP, "fd00:96::10", 80, 60), 3);
        CHECK_INT(world_spread(w->client, IPPROTO_UDP, "fd00:96::10", 80, 60), 3);
        CHECK_INT(world_spread(w->client, IPPROTO_TCP, "fd00:3::1", 30086, 60), 3);
        CHECK_STR(world_must_ask(w->pod_a, "fd00:2::2", 8080), "client fd00:2::1");
        CHECK_STR(world_must_ask(w->pod_a, "fd00:1:2::10", 8080), "pod-c fd00:1::10");
        CHECK_INT(world_ask(w->pod_a, IPPROTO_TCP, 0, "fd00:96::10", 81, answer), -ECONNREFUSED);
        fixture_slice(&f, "web", "fd00:1::10L"); /* and to itself */
        fixture_sync(&f);
        CHECK(startswith(world_must_ask(w->pod_a, "fd00:96::10", 80), "pod-a "));
        fixture_no_service(&f, "web");
        fixture_sync(&f);
        CHECK(world_ask(w->pod_a, IPPROTO_TCP, 0, "fd00:96::10", 80, answer) < 0);
        fixture_remove(&f, TABLE);
}

TEST(session_affinity_works_over_ipv6)
{
        static const char spec[] =
                "\"type\":\"NodePort\",\"clusterIP\":\"fd00:96::11\",\"sessionAffinity\":\"ClientIP\","
                "\"ports\":[{\"port\":80,\"nodePort\":30087}]";
        struct world *w = world_get();
        struct fixture f = { 0 };

        start_with(&f, spec, "fd00:1::10L fd00:1::11L fd00:1:2::10");
        CHECK_INT(world_spread(w->client, IPPROTO_TCP, "fd00:96::11", 80, 30), 1);
        CHECK_INT(world_spread(w->client, IPPROTO_TCP, "fd00:3::1", 30087, 30), 1);
        fixture_remove(&f, TABLE);
}

static bool client_is_with_b(_unused_ struct fixture *f)
{
        char answer[64];

        return world_ask(world_get()->client, IPPROTO_UDP, 4444, "10.96.0.10", 80, answer) == 0 &&
               startswith(answer, "pod-b ");
}

TEST(a_udp_client_is_moved_when_its_endpoint_goes)
{
        struct world *w = world_get();
        struct fixture f = { 0 };
        char answer[64];

        start_with(&f, web, "10.244.1.10L");
        CHECK(world_ask(w->client, IPPROTO_UDP, 4444, "10.96.0.10", 80, answer) == 0);
        CHECK(startswith(answer, "pod-a "));
        fixture_slice(&f, "web", "10.244.1.10L 10.244.1.11L"); /* it stays while that is there */
        fixture_sync(&f);
        for (int i = 0; i < 10; i++)
                CHECK(world_ask(w->client, IPPROTO_UDP, 4444, "10.96.0.10", 80, answer) == 0 &&
                      startswith(answer, "pod-a "));
        fixture_slice(&f, "web", "10.244.1.11L");
        CHECK(fixture_wait(&f, 5 * USEC_PER_SEC, client_is_with_b));
        fixture_remove(&f, TABLE);
}

static bool client_is_with_b_by_node_port(_unused_ struct fixture *f)
{
        char answer[64];

        return world_ask(world_get()->client, IPPROTO_UDP, 4445, "198.51.100.1", 30081, answer) ==
                       0 &&
               startswith(answer, "pod-b ");
}

static bool nobody_is_at_the_node_port(_unused_ struct fixture *f)
{
        char answer[64];

        return world_ask(world_get()->client, IPPROTO_UDP, 4445, "198.51.100.1", 30081, answer) ==
               -ECONNREFUSED;
}

TEST(a_udp_client_of_a_node_port_is_moved_also_when_there_was_nobody_for_a_while)
{
        struct world *w = world_get();
        struct fixture f = { 0 };
        char answer[64];

        start_with(&f, node_port, "10.244.1.10L");
        CHECK(world_ask(w->client, IPPROTO_UDP, 4445, "198.51.100.1", 30081, answer) == 0);
        CHECK(startswith(answer, "pod-a "));
        fixture_slice(&f, "web", "");
        fixture_sync(&f);
        CHECK(fixture_wait(&f, 5 * USEC_PER_SEC, nobody_is_at_the_node_port));
        fixture_slice(&f, "web", "10.244.1.11L");
        CHECK(fixture_wait(&f, 5 * USEC_PER_SEC, client_is_with_b_by_node_port));
        fixture_remove(&f, TABLE);
}

/* ---- restarts, repair ---- */
static size_t operations(const struct fixture *f)
{
        return sync_status(f->sync, 0)->last_operations + sync_status(f->sync, 1)->last_operations;
}

TEST(a_restart_finds_everything_in_place_and_sends_nothing)
{
        _cleanup_free_ char *spec = text_printf(sticky, 30);
        struct world *w = world_get();
        struct fixture f = { 0 };

        start_with(&f, spec, everywhere);
        fixture_service(
                &f, "guarded",
                "\"type\":\"LoadBalancer\",\"clusterIP\":\"10.96.0.17\","
                "\"loadBalancerSourceRanges\":[\"192.0.2.0/24\"],\"ports\":[{\"port\":80}]},"
                "\"status\":{\"loadBalancer\":{\"ingress\":[{\"ip\":\"203.0.113.81\"}]}");
        fixture_service(&f, "six", "\"clusterIP\":\"fd00:96::12\",\"ports\":[{\"port\":80}]");
        fixture_slice(&f, "six", "fd00:1::10L");
        fixture_sync(&f);
        CHECK(operations(&f) > 0);
        fixture_sync(&f);
        CHECK_INT(operations(&f), 0);
        fixture_stop(&f); /* killed */
        CHECK(startswith(world_must_ask(w->client, "198.51.100.1", 30092), "pod-"));
        start_with(&f, spec, everywhere);
        /* what was not told again goes; the rest is left alone */
        CHECK(operations(&f) > 0 && operations(&f) < 20);
        fixture_sync(&f);
        CHECK_INT(operations(&f), 0);
        CHECK(startswith(world_must_ask(w->client, "198.51.100.1", 30092), "pod-"));
        fixture_remove(&f, TABLE);
}

TEST(not_a_single_connection_fails_over_a_restart_or_a_change)
{
        struct world *w = world_get();
        struct fixture f = { 0 };

        start_with(&f, web, everywhere);
        for (int i = 0; i < 20; i++) {
                fixture_slice(&f, "web", i % 2 ? "10.244.1.10L" : everywhere);
                world_spread(w->pod_a, IPPROTO_TCP, "10.96.0.10", 80, 5);
                fixture_sync(&f);
                world_spread(w->pod_a, IPPROTO_TCP, "10.96.0.10", 80, 5);
                if (i % 5 == 4) {
                        fixture_stop(&f);
                        start_with(&f, web, everywhere);
                }
        }
        fixture_remove(&f, TABLE);
}

static bool answers(struct fixture *f)
{
        char answer[64];

        (void)f;
        return world_ask(world_get()->pod_b, IPPROTO_TCP, 0, "10.96.0.10", 80, answer) == 0;
}

static bool synced_twice(struct fixture *f)
{
        return f->synced >= 2;
}

TEST(a_table_that_somebody_deletes_is_back_at_once)
{
        struct fixture f = { 0 };
        usec_t begun;

        start_with(&f, web, everywhere);
        CHECK(family_remove(AF_INET, TABLE, NULL) == 0);
        CHECK(!answers(&f));
        begun = now_monotonic();
        f.synced = 1;
        CHECK(fixture_wait(&f, USEC_PER_SEC, synced_twice));
        CHECK(answers(&f));
        CHECK(now_monotonic() - begun < USEC_PER_SEC);
        fixture_remove(&f, TABLE);
}

static void meddle(void (*what)(struct nft_batch *b))
{
        _cleanup_(nft_freep)
        struct nft *n = NULL;
        _cleanup_(nft_batch_freep)
        struct nft_batch *b = NULL;
        struct err err = { 0 };

        CHECK(nft_open(&n, NULL) == 0 && nft_batch_new(AF_INET, TABLE, &b) == 0);
        what(b);
        if (nft_commit(n, b, NULL, &err) < 0)
                fail_msg("%s", err_text(&err));
}

static void flush_services(struct nft_batch *b)
{
        nft_batch_flush_set(b, "service-ips");
        nft_batch_flush_set(b, "endpoints");
}

static void flush_chain(struct nft_batch *b)
{
        nft_batch_flush_chain(b, "services");
}

static void add_rule(struct nft_batch *b)
{
        _cleanup_(nft_rule_freep)
        struct nft_rule *r = nft_rule_new();

        nft_rule_verdict(r, NF_DROP, NULL);
        nft_batch_flush_chain(b, "services");
        nft_batch_add_rule(b, "services", r, NULL);
        nft_batch_add_chain(b, &(struct nft_chain){ .name = "stranger" });
}

TEST(whatever_else_is_changed_in_the_table_is_put_right)
{
        static void (*const meddlers[])(struct nft_batch * b) = { flush_services, flush_chain,
                                                                  add_rule };
        struct fixture f = { 0 };

        start_with(&f, web, everywhere);
        for (size_t i = 0; i < ARRAY_SIZE(meddlers); i++) {
                meddle(meddlers[i]);
                CHECK(!answers(&f));
                f.synced = 1;
                CHECK(fixture_wait(&f, USEC_PER_SEC, synced_twice));
                CHECK(answers(&f));
        }
        fixture_remove(&f, TABLE);
}

/* What trace says of the kernel: "agrees", or the first difference. */
static char *ask_trace(struct fixture *f, const char *address, uint16_t port)
{
        json_auto_t *o = NULL;
        const json_t *kernel;
        struct ip ip;

        CHECK(ip_parse(address, &ip) == 0);
        o = trace_json(f->sync, &ip, IPPROTO_TCP, port, NULL);
        kernel = json_object_get(o, "kernel");
        CHECK(json_is_true(json_object_get(kernel, "checked")));
        if (json_is_true(json_object_get(kernel, "agrees")))
                return strdup("agrees");
        return strdup(json_string_value(json_array_get(json_object_get(kernel, "differences"), 0)));
}

static void flush_endpoints(struct nft_batch *b)
{
        nft_batch_flush_set(b, "endpoints");
}

TEST(trace_tells_where_the_kernel_has_something_else_than_we_think)
{
        struct fixture f = { 0 };
        _cleanup_free_ char *before = NULL, *meanwhile = NULL, *after = NULL, *local = NULL;

        start_with(&f, node_port, everywhere);
        before = ask_trace(&f, "10.96.0.11", 80);
        CHECK_STR(before, "agrees");
        local = ask_trace(&f, "198.51.100.1", 30080);
        CHECK_STR(local, "agrees");
        meddle(flush_endpoints); /* the loop does not run: nothing is repaired yet */
        meanwhile = ask_trace(&f, "10.96.0.11", 80);
        CHECK_STR(meanwhile, "pods: by our books it is sent to 3 endpoints, by the kernel's "
                             "refused, numbers without an endpoint");
        f.synced = 1;
        CHECK(fixture_wait(&f, USEC_PER_SEC, synced_twice));
        after = ask_trace(&f, "10.96.0.11", 80);
        CHECK_STR(after, "agrees");
        fixture_remove(&f, TABLE);
}

TEST(what_others_do_in_their_own_tables_wakes_nobody)
{
        struct fixture f = { 0 };

        start_with(&f, web, everywhere);
        CHECK(family_remove(AF_INET, "somebody-else", NULL) == 0);
        f.synced = 1;
        CHECK(!fixture_wait(&f, 100 * USEC_PER_MSEC, synced_twice));
        fixture_remove(&f, TABLE);
}

static int count_chain(const struct nft_found_chain *chain, void *userdata)
{
        *(size_t *)userdata += startswith(chain->name, "ip-") || streq(chain->name, "stranger");
        return 0;
}

static size_t count_chains(void)
{
        _cleanup_(nft_freep)
        struct nft *n = NULL;
        size_t count = 0;

        CHECK(nft_open(&n, NULL) == 0);
        CHECK(nft_list_chains(n, AF_INET, TABLE, count_chain, &count, NULL) == 0);
        return count;
}

static bool one_chain_left(_unused_ struct fixture *f)
{
        return count_chains() == 1;
}

TEST(chains_that_nothing_uses_any_more_go_after_a_while)
{
        struct fixture f = { 0 };

        start_with(&f, web, everywhere);
        for (int i = 0; i < 3; i++) {
                fixture_slice(&f, "web", i == 0 ? "10.244.1.10L" : "10.244.1.10L 10.244.1.11L");
                fixture_sync(&f);
        }
        CHECK_INT(count_chains(), 3);
        CHECK(fixture_wait(&f, 8 * USEC_PER_SEC, one_chain_left));
        fixture_sync(&f);
        CHECK_INT(operations(&f), 0);
        CHECK(answers(&f));
        fixture_remove(&f, TABLE);
}

/* ---- names (NW-12) ---- */
static int keep_comment(const struct nft_element *element, void *userdata)
{
        strbuf_addf(userdata, "%s\n", element->comment ? element->comment : "-");
        return 0;
}

static char *comments(void)
{
        _cleanup_(nft_freep)
        struct nft *n = NULL;
        struct strbuf b = { 0 };

        CHECK(nft_open(&n, NULL) == 0);
        CHECK(nft_list_elements(n, AF_INET, TABLE, ruleset_set(AF_INET, SET_SERVICE_IPS),
                                keep_comment, &b, NULL) == 0);
        return strbuf_take(&b);
}

TEST(names_of_any_length_and_content_are_data_and_nothing_else)
{
        static const char *const names[] = {
                "n63-6789012345678901234567890123456789012345678901234567890123x",
                "x\\\" } ; flush ruleset ; { ",
                "$(reboot)`id`",
                "\\n\\t;drop",
                "{}#'",
        };
        struct world *w = world_get();
        struct fixture f = { 0 };

        for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
                _cleanup_free_ char *found = NULL, *expected = NULL;

                start_with(&f, web, "10.244.1.10L");
                fixture_no_service(&f, "web");
                fixture_service(&f, names[i], web);
                fixture_slice(&f, names[i], "10.244.1.11L");
                fixture_sync(&f);
                CHECK(startswith(world_must_ask(w->client, "10.96.0.10", 80), "pod-b "));
                found = comments();
                expected = text_printf("ns/%s\n", names[i]);
                CHECK_CONTAINS(found, expected);
                fixture_sync(&f);
                CHECK_INT(operations(&f), 0);
                fixture_stop(&f); /* and it is recognised by a successor */
        }
        start_with(&f, web, "10.244.1.10L");
        fixture_remove(&f, TABLE);
}

/* ---- routes ---- */
struct found_routes {
        size_t n_ours;
        bool unreachable, via_other;
};

static int on_route(const struct nlmsghdr *h, void *userdata)
{
        static const uint8_t other[4] = { 198, 51, 100, 2 };
        struct found_routes *found = userdata;
        const struct rtmsg *r = nlmsg_data(h);
        struct nlattr *a[RTA_MAX + 1] = { 0 };

        if (r->rtm_protocol != 83 || r->rtm_family != AF_INET)
                return 0;
        CHECK(nlmsg_parse((struct nlmsghdr *)h, sizeof *r, a, RTA_MAX, NULL) == 0);
        found->n_ours++;
        found->unreachable |= r->rtm_type == RTN_UNREACHABLE && r->rtm_dst_len == 24;
        found->via_other |= a[RTA_GATEWAY] && memcmp(nla_data(a[RTA_GATEWAY]), other, 4) == 0;
        return 0;
}

static struct found_routes routes(void)
{
        _cleanup_(netlink_freep)
        struct netlink *n = NULL;
        struct rtmsg header = { .rtm_family = AF_INET };
        struct found_routes found = { 0 };

        CHECK(netlink_open(NETLINK_ROUTE, &n, NULL) == 0);
        CHECK(netlink_dump(n, netlink_message(RTM_GETROUTE, 0, &header, sizeof header, 0), on_route,
                           &found, NULL) == 0);
        return found;
}

static void delete_route(void)
{
        static const uint8_t dst[4] = { 10, 244, 2, 0 };
        _cleanup_(netlink_freep)
        struct netlink *n = NULL;
        struct rtmsg header = { .rtm_family = AF_INET,
                                .rtm_dst_len = 24,
                                .rtm_table = RT_TABLE_MAIN,
                                .rtm_scope = RT_SCOPE_NOWHERE };
        struct nl_msg *m = netlink_message(RTM_DELROUTE, 0, &header, sizeof header, 64);

        CHECK(netlink_open(NETLINK_ROUTE, &n, NULL) == 0);
        CHECK(m && nla_put(m, RTA_DST, 4, dst) == 0);
        CHECK(netlink_request(n, m, NULL) == 0);
}

static bool route_is_back(_unused_ struct fixture *f)
{
        return routes().via_other;
}

TEST(routes_follow_the_nodes_and_come_back_when_deleted)
{
        struct fixture f = { 0 };

        start_with(&f, web, everywhere);
        CHECK(routes().n_ours == 2 && routes().unreachable && routes().via_other);
        delete_route();
        CHECK(!routes().via_other);
        CHECK(fixture_wait(&f, USEC_PER_SEC, route_is_back));
        fixture_stop(&f); /* killed: routes stay, and a successor finds them */
        CHECK_INT(routes().n_ours, 2);
        start_with(&f, web, everywhere);
        CHECK_INT(routes().n_ours, 2);
        CHECK(state_set_node(sync_state(f.sync), "node-2", NULL, NULL) == 0);
        fixture_sync(&f);
        CHECK_INT(routes().n_ours, 1);
        fixture_remove(&f, TABLE);
        CHECK_INT(routes().n_ours, 0);
}
