#include "netproxy/node.h"

#include <errno.h>

#include "base/json.h"
#include "base/text.h"
#include "tests/check.h"

static int try_decode(const char *text, struct node **ret, struct err *err)
{
        json_auto_t *root = NULL;

        CHECK(json_parse(text, strlen(text), true, &root, err) == 0);
        return node_decode(root, ret, err);
}

static struct node *make(const char *name, const char *pod_cidr, const char *address)
{
        _cleanup_free_ char *text = text_printf(
                "{\"metadata\":{\"name\":\"%s\"},\"spec\":{\"podCIDR\":\"%s\"},\"status\":{"
                "\"addresses\":[{\"type\":\"InternalIP\",\"address\":\"%s\"}]}}",
                name, pod_cidr, address);
        struct node *n = NULL;
        struct err err = { 0 };

        if (try_decode(text, &n, &err) < 0)
                fail_msg("%s", err_text(&err));
        return n;
}

TEST(a_node_gives_its_addresses_in_order_of_use)
{
        _cleanup_(node_freep)
        struct node *n = NULL;
        char text[IP_TEXT_MAX];

        CHECK(try_decode(
                      "{\"metadata\":{\"name\":\"node-1\",\"labels\":{\"topology.kubernetes.io/"
                      "zone\":\"a\"}},\"spec\":{\"podCIDRs\":[\"10.244.1.0/24\",\"fd00:1::/64\"]},"
                      "\"status\":{\"addresses\":[{\"type\":\"ExternalIP\",\"address\":"
                      "\"203.0.113.1\"},{\"type\":\"Hostname\",\"address\":\"node-1\"},"
                      "{\"type\":\"InternalIP\",\"address\":\"192.0.2.1\"},{\"type\":"
                      "\"ExternalIP\",\"address\":\"2001:db8::1\"}]}}",
                      &n, NULL) == 0);
        CHECK_STR(n->zone, "a");
        CHECK_INT(n->n_pod_cidrs, 2);
        CHECK_INT(n->n_internal, 1);
        CHECK_STR(ip_format(node_address(n, AF_INET), text), "192.0.2.1");
        CHECK_STR(ip_format(node_address(n, AF_INET6), text), "2001:db8::1");
        CHECK(n->is_eligible);
}

TEST(a_node_that_leaves_is_not_eligible)
{
        _cleanup_(node_freep)
        struct node *a = NULL, *b = NULL;

        CHECK(try_decode("{\"metadata\":{\"name\":\"x\",\"deletionTimestamp\":"
                         "\"2026-01-01T00:00:00Z\"}}",
                         &a, NULL) == 0);
        CHECK(try_decode("{\"metadata\":{\"name\":\"x\"},\"spec\":{\"taints\":[{\"key\":"
                         "\"ToBeDeletedByClusterAutoscaler\"}]}}",
                         &b, NULL) == 0);
        CHECK(!a->is_eligible && !b->is_eligible);
        CHECK(a->n_addresses == 0 && node_address(a, AF_INET) == NULL);
}

TEST(bad_pod_ranges_are_refused_by_path)
{
        static const char *const cidrs[] = { "\"x\"", "\"10.0.0.0/8\",\"10.1.0.0/16\"",
                                             "\"0.0.0.0/0\"", "\"10.0.0.0/33\"" };

        for (size_t i = 0; i < ARRAY_SIZE(cidrs); i++) {
                _cleanup_free_ char *text =
                        text_printf("{\"metadata\":{\"name\":\"x\"},\"spec\":{\"podCIDRs\":[%s]}}",
                                    cidrs[i]);
                _cleanup_(node_freep)
                struct node *n = NULL;
                _cleanup_err_ struct err err = { 0 };

                CHECK(try_decode(text, &n, &err) < 0);
                CHECK_CONTAINS(err_text(&err), "spec: podCIDRs: '");
        }
}

TEST(only_what_matters_makes_two_states_of_a_node_differ)
{
        _cleanup_(node_freep)
        struct node *a = make("n", "10.244.0.0/24", "192.0.2.1"),
                    *b = make("n", "10.244.0.0/24", "192.0.2.1"),
                    *c = make("n", "10.244.0.0/24", "192.0.2.2"),
                    *d = make("n", "10.244.0.0/25", "192.0.2.1");

        CHECK(node_equal(a, b) && !node_equal(a, c) && !node_equal(a, d));
}

TEST(routes_lead_to_other_nodes_pods_and_end_at_our_own)
{
        _cleanup_(node_freep)
        struct node *a = make("a", "10.244.0.0/24", "192.0.2.1"),
                    *b = make("b", "10.244.1.0/24", "192.0.2.2"),
                    *thief = make("z", "10.244.0.0/24", "192.0.2.66"),
                    *other = make("c", "fd00:1::/64", "192.0.2.3");
        const struct node *nodes[] = { thief, other, b, a };
        _cleanup_free_ struct node_route *routes = NULL;
        size_t n = 0;
        char text[CIDR_TEXT_MAX];

        CHECK(node_routes_wanted(nodes, ARRAY_SIZE(nodes), a, &routes, &n) == 0);
        CHECK_INT(n, 2); /* c has no address of its podCIDR's family */
        CHECK_STR(cidr_format(&routes[0].dst, text), "10.244.0.0/24");
        CHECK_INT(routes[0].via.family, 0);
        CHECK_STR(cidr_format(&routes[1].dst, text), "10.244.1.0/24");
        CHECK_STR(ip_format(&routes[1].via, text), "192.0.2.2");
        free(TAKE_PTR(routes));
        CHECK(node_routes_wanted(nodes, ARRAY_SIZE(nodes), NULL, &routes, &n) == 0);
        CHECK_INT(n, 0);
}

TEST(pods_keep_their_address_towards_pods_nodes_and_multicast)
{
        _cleanup_(node_freep)
        struct node *a = make("a", "10.244.0.0/24", "192.0.2.1"),
                    *b = make("b", "10.244.1.0/24", "192.0.2.2");
        const struct node *nodes[] = { a, b };
        _cleanup_(network_done)
        struct network net = { 0 };
        _cleanup_free_ struct ip_range *ranges = NULL;
        size_t n = 0;
        char text[IP_TEXT_MAX];

        CHECK(network_build(nodes, 2, b, &net) == 0);
        CHECK_INT(net.n_pods, 2);
        CHECK_STR(ip_format(&net.own_pods[0].first, text), "10.244.1.0");
        CHECK_STR(ip_format(&net.addresses[0], text), "192.0.2.1");
        CHECK(network_unmasqueraded(&net, NULL, 0, &ranges, &n) == 0);
        n = ip_ranges_merge(ranges, n);
        /* pods, both nodes, 224/4; ff00::/8 */
        CHECK_INT(n, 4);
        CHECK_STR(ip_format(&ranges[0].last, text), "10.244.1.255");
        CHECK_STR(ip_format(&ranges[1].last, text), "192.0.2.2");
}
