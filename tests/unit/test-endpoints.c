#include "netproxy/endpoints.h"

#include <errno.h>

#include "base/json.h"
#include "base/text.h"
#include "tests/check.h"

static struct endpoint_slice *decode(const char *text)
{
        json_auto_t *root = NULL;
        struct endpoint_slice *s = NULL;
        struct err err = { 0 };

        if (json_parse(text, strlen(text), true, &root, &err) < 0 ||
            endpoint_slice_decode(root, "node-1", &s, &err) < 0)
                fail_msg("%s", err_text(&err));
        err_done(&err);
        return s;
}

#define META                                                                                 \
        "\"metadata\":{\"namespace\":\"ns\",\"name\":\"web-x\",\"labels\":{\"kubernetes.io/" \
        "service-name\":\"web\"},\"annotations\":{\"endpoints.kubernetes.io/"                \
        "last-change-trigger-time\":\"2026-01-02T03:04:05Z\"}}"

TEST(a_slice_is_decoded_with_what_concerns_this_node)
{
        _cleanup_(endpoint_slice_freep)
        struct endpoint_slice *s = decode(
                "{" META ",\"addressType\":\"IPv4\",\"endpoints\":["
                "{\"addresses\":[\"10.0.0.1\",\"10.0.0.9\"],\"nodeName\":\"node-1\","
                "\"conditions\":{}},"
                "{\"addresses\":[\"10.0.0.2\"],\"nodeName\":\"node-2\",\"conditions\":{"
                "\"ready\":false,\"serving\":true,\"terminating\":true},\"hints\":{"
                "\"forZones\":[{\"name\":\"a\"}],\"forNodes\":[{\"name\":\"node-1\"}]}}],"
                "\"ports\":[{\"name\":\"\",\"port\":80},{\"port\":81},{\"name\":\"x\"},"
                "{\"name\":\"dns\",\"protocol\":\"UDP\",\"port\":53}]}");

        CHECK_STR(s->service, "ns/web");
        CHECK(s->triggered > 0);
        CHECK_INT(s->n_endpoints, 2);
        CHECK_INT(s->endpoints[0].flags, ENDPOINT_READY | ENDPOINT_SERVING | ENDPOINT_LOCAL);
        CHECK_INT(s->endpoints[1].flags, ENDPOINT_SERVING | ENDPOINT_TERMINATING |
                                                 ENDPOINT_HAS_NODE_HINT | ENDPOINT_NODE_HINTED);
        CHECK_STR(s->endpoints[1].zones[0], "a");
        CHECK_INT(s->n_ports, 2); /* one has no name, one no port */
        CHECK_INT(s->ports[1].protocol, IPPROTO_UDP);
}

TEST(slices_of_nobody_headless_ones_and_names_are_skipped)
{
        CHECK(decode("{\"metadata\":{\"namespace\":\"ns\",\"name\":\"x\"},\"addressType\":\"IPv4\"}") ==
              NULL);
        CHECK(decode("{\"metadata\":{\"namespace\":\"ns\",\"name\":\"x\",\"labels\":{\"kubernetes.io/"
                     "service-name\":\"web\",\"service.kubernetes.io/headless\":\"\"}},"
                     "\"addressType\":\"IPv4\"}") == NULL);
        CHECK(decode("{" META ",\"addressType\":\"FQDN\",\"endpoints\":[]}") == NULL);
}

TEST(endpoints_that_could_reach_the_nodes_own_loopback_are_left_out)
{
        static const char *const bad[] = { "127.0.0.1", "0.0.0.0",   "169.254.169.254",
                                           "224.0.0.1", "fd00::1",   "255.255.255.255",
                                           "10.0.0",    "10.0.0.1/8" };
        static const char *const bad6[] = { "::1",      "::",      "fe80::1",
                                            "10.0.0.1", "ff02::1", "::ffff:127.0.0.1" };

        for (size_t i = 0; i < ARRAY_SIZE(bad) + ARRAY_SIZE(bad6); i++) {
                bool is_v6 = i >= ARRAY_SIZE(bad);
                _cleanup_free_ char *text = text_printf(
                        "{" META
                        ",\"addressType\":\"%s\",\"endpoints\":[{\"addresses\":[\"%s\"]}]}",
                        is_v6 ? "IPv6" : "IPv4", is_v6 ? bad6[i - ARRAY_SIZE(bad)] : bad[i]);
                _cleanup_(endpoint_slice_freep)
                struct endpoint_slice *s = decode(text);

                CHECK_INT(s->n_endpoints, 0);
        }
}

TEST(a_slice_that_breaks_a_rule_is_refused_by_path)
{
        static const struct {
                const char *json, *error;
        } cases[] = {
                { "{}", "metadata: required, but missing" },
                { "{" META "}", "addressType: required, but missing" },
                { "{" META ",\"addressType\":\"IPX\"}",
                  "addressType: 'IPX': expected one of IPv4, IPv6, FQDN" },
                { "{" META ",\"addressType\":\"IPv4\",\"ports\":[{\"name\":\"\",\"port\":65536}]}",
                  "ports: [0]: port: 65536: expected 0 to 65535" },
                { "{" META ",\"addressType\":\"IPv4\",\"endpoints\":[{}]}",
                  "endpoints: [0]: addresses: required, but missing" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                json_auto_t *root = NULL;
                struct endpoint_slice *s = NULL;
                _cleanup_err_ struct err err = { 0 };

                CHECK(json_parse(cases[i].json, strlen(cases[i].json), true, &root, NULL) == 0);
                CHECK(endpoint_slice_decode(root, "node-1", &s, &err) < 0);
                CHECK_STR(err_text(&err), cases[i].error);
        }
}

TEST(several_slices_make_one_list_and_a_running_pod_wins_over_its_dying_double)
{
        _cleanup_(endpoint_slice_freep)
        struct endpoint_slice
                *a = decode("{" META ",\"addressType\":\"IPv4\",\"endpoints\":["
                            "{\"addresses\":[\"10.0.0.2\"],\"conditions\":{\"terminating\":true}},"
                            "{\"addresses\":[\"10.0.0.10\"]}],"
                            "\"ports\":[{\"name\":\"http\",\"port\":8080}]}"),
                *b = decode("{" META ",\"addressType\":\"IPv4\",\"endpoints\":["
                            "{\"addresses\":[\"10.0.0.2\"]},{\"addresses\":[\"10.0.0.1\"]}],"
                            "\"ports\":[{\"name\":\"http\",\"port\":8080},"
                            "{\"name\":\"http\",\"protocol\":\"UDP\",\"port\":8080}]}"),
                *c = decode("{" META ",\"addressType\":\"IPv6\",\"endpoints\":["
                            "{\"addresses\":[\"fd00::1\"]}],"
                            "\"ports\":[{\"name\":\"http\",\"port\":8080}]}");
        const struct endpoint_slice *slices[] = { a, b, c };
        _cleanup_(endpoint_list_done)
        struct endpoint_list l = { 0 };

        CHECK(endpoints_collect(slices, 3, "http", IPPROTO_TCP, AF_INET, &l) == 0);
        CHECK_INT(l.n, 3);
        CHECK_INT(l.items[0].ip.bytes[3], 1);
        CHECK_INT(l.items[1].ip.bytes[3], 2);
        CHECK(!(l.items[1].flags & ENDPOINT_TERMINATING));
        CHECK_INT(l.items[2].ip.bytes[3], 10);
        endpoint_list_done(&l);
        CHECK(endpoints_collect(slices, 3, "http", IPPROTO_UDP, AF_INET, &l) == 0);
        CHECK_INT(l.n, 2);
        endpoint_list_done(&l);
        CHECK(endpoints_collect(slices, 3, "other", IPPROTO_TCP, AF_INET, &l) == 0);
        CHECK_INT(l.n, 0);
}

TEST(a_nodes_weight_is_its_ready_addresses_whatever_their_ports)
{
        _cleanup_(endpoint_slice_freep)
        struct endpoint_slice
                *a = decode("{" META ",\"addressType\":\"IPv4\",\"endpoints\":["
                            "{\"addresses\":[\"10.0.0.1\"],\"nodeName\":\"node-1\"},"
                            "{\"addresses\":[\"10.0.0.2\"],\"nodeName\":\"node-1\"},"
                            "{\"addresses\":[\"10.0.0.3\"],\"nodeName\":\"node-2\"},"
                            "{\"addresses\":[\"10.0.0.4\"],\"nodeName\":\"node-1\",\"conditions\":"
                            "{\"ready\":false,\"serving\":true,\"terminating\":true}}],"
                            "\"ports\":[{\"name\":\"http\",\"port\":80}]}"),
                *b = decode("{" META ",\"addressType\":\"IPv4\",\"endpoints\":["
                            "{\"addresses\":[\"10.0.0.1\"],\"nodeName\":\"node-1\"}],"
                            "\"ports\":[{\"name\":\"tls\",\"port\":443}]}"),
                *c = decode("{" META ",\"addressType\":\"IPv6\",\"endpoints\":["
                            "{\"addresses\":[\"fd00::1\"],\"nodeName\":\"node-1\"}],"
                            "\"ports\":[{\"name\":\"http\",\"port\":80}]}"),
                *d = decode("{" META ",\"addressType\":\"IPv4\",\"endpoints\":["
                            "{\"addresses\":[\"10.0.0.9\"],\"nodeName\":\"node-1\"}]}");
        const struct endpoint_slice *slices[] = { a, b, c, d };
        size_t n = 99;

        CHECK_INT(endpoints_count_local(slices, 4, AF_INET, &n), 0);
        CHECK_INT(n, 2);
        CHECK_INT(endpoints_count_local(slices, 4, AF_INET6, &n), 0);
        CHECK_INT(n, 1);
        CHECK_INT(endpoints_count_local(NULL, 0, AF_INET, &n), 0);
        CHECK_INT(n, 0);
}

/*
 * The golden table of endpoint selection. An endpoint is a letter and what it is: R ready,
 * S serving, T terminating, L local, n hinted for this node, m for another, 1 and 2 hinted for a
 * zone of that name. This node is in zone 1.
 */
struct selection_case {
        const char *endpoints;
        const char *cluster, *local;
        bool any;
};

static void parse_endpoints(const char *text, struct endpoint_list *l)
{
        static char one_text[] = "1", two_text[] = "2";
        static char *one[] = { one_text, NULL }, *two[] = { two_text, NULL };
        _cleanup_strv_ char **words = NULL;

        CHECK(strv_split(text, " ", &words) == 0);
        l->items = calloc(strv_len(words) + 1, sizeof *l->items);
        STRV_FOREACH (w, words) {
                struct endpoint *e = &l->items[l->n++];

                e->ip = (struct ip){ .family = AF_INET, .bytes = { 10, 0, 0, (uint8_t)(*w)[0] } };
                for (const char *p = *w + 1; *p; p++) {
                        e->flags |= *p == 'R'   ? ENDPOINT_READY
                                    : *p == 'S' ? ENDPOINT_SERVING
                                    : *p == 'T' ? ENDPOINT_TERMINATING
                                    : *p == 'L' ? ENDPOINT_LOCAL
                                    : *p == 'n' ? ENDPOINT_HAS_NODE_HINT | ENDPOINT_NODE_HINTED
                                    : *p == 'm' ? ENDPOINT_HAS_NODE_HINT
                                                : 0;
                        if (*p == '1')
                                e->zones = one;
                        if (*p == '2')
                                e->zones = two;
                }
        }
}

static char *letters(const struct endpoint_list *l)
{
        char *text = calloc(l->n + 1, 1);

        for (size_t i = 0; i < l->n; i++)
                text[i] = (char)l->items[i].ip.bytes[3];
        return text;
}

static void check_case(const struct selection_case *c, bool uses_cluster, bool uses_local,
                       const char *zone)
{
        _cleanup_(endpoint_list_done)
        struct endpoint_list all = { 0 };
        _cleanup_(endpoint_selection_done)
        struct endpoint_selection s = { 0 };
        _cleanup_free_ char *cluster = NULL, *local = NULL;

        parse_endpoints(c->endpoints, &all);
        CHECK(endpoints_select(&all, uses_cluster, uses_local, zone, &s) == 0);
        cluster = letters(&s.cluster);
        local = letters(&s.local);
        if (!streq(cluster, c->cluster) || !streq(local, c->local) || s.has_any != c->any)
                fail_msg("'%s': cluster '%s' local '%s' any %d, expected '%s' '%s' %d",
                         c->endpoints, cluster, local, s.has_any, c->cluster, c->local, c->any);
}

TEST(cluster_policy_takes_ready_endpoints_by_hint_and_falls_back_to_leaving_ones)
{
        static const struct selection_case cases[] = {
                { "", "", "", false },
                { "aRS bRS", "ab", "", true },
                { "aRS bS", "a", "", true },
                { "aS", "", "", false },          /* not ready, not terminating: of no use */
                { "aST bST cT", "ab", "", true }, /* nobody is ready: the serving ones that leave */
                { "aRS bST", "a", "", true },
                { "aST1 bST2", "ab", "", true }, /* no topology among those that leave */
                /* zone hints: on every ready one, and at least one is ours */
                { "aRS1 bRS2", "a", "", true },
                { "aRS1 bRS", "ab", "", true },
                { "aRS2 bRS2", "ab", "", true },
                { "aRS1 bRS2 cS", "a", "", true }, /* those that are not ready do not count */
                { "aRS1 bST", "a", "", true },
                /* node hints come first */
                { "aRSn1 bRSm1", "a", "", true },
                { "aRSn2 bRSm1", "a", "", true },
                { "aRSm1 bRSm2", "a", "", true }, /* none for this node: by zone */
                { "aRSn bRS1", "ab", "", true },  /* one has no node hint, one no zone hint */
                { "aRSm bRSm", "ab", "", true },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
                check_case(&cases[i], true, false, "1");
}

TEST(a_node_without_zone_ignores_zone_hints)
{
        static const struct selection_case c = { "aRS1 bRS2", "ab", "", true };

        check_case(&c, true, false, "");
}

TEST(local_policy_takes_this_nodes_endpoints_whatever_the_hints)
{
        static const struct selection_case cases[] = {
                { "", "", "", false },
                { "aRSL bRS", "", "a", true },
                { "aRS", "", "", true }, /* somewhere else is one: dropped, not refused */
                { "aS", "", "", false },
                { "aSTL bRS", "", "a",
                  true }, /* the last local one leaves: used until it is gone */
                { "aSTL bRSL", "", "b", true },
                { "aST", "", "", true },
                { "aRSL2 bRSL1", "", "ab", true },
                { "aSL", "", "", false },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
                check_case(&cases[i], false, true, "1");
}

TEST(both_policies_of_one_service_fall_back_independently)
{
        static const struct selection_case cases[] = {
                { "aRS bSTL", "a", "b", true },   { "aRSL bRS", "ab", "a", true },
                { "aRS1 bRSL2", "a", "b", true }, { "aST bSTL", "ab", "b", true },
                { "aS bS", "", "", false },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
                check_case(&cases[i], true, true, "1");
}

static const char *fate_of(const char *endpoints, size_t i, bool local)
{
        _cleanup_(endpoint_list_done)
        struct endpoint_list all = { 0 };
        struct endpoint_policy p;

        parse_endpoints(endpoints, &all);
        p = endpoint_policy_of(&all, local, "1");
        return endpoint_fate_text(endpoint_fate_of(&all.items[i], &p));
}

TEST(of_each_endpoint_it_is_known_why_it_is_not_taken)
{
        CHECK_STR(fate_of("aRS bS", 0, false), "");
        CHECK_STR(fate_of("aRS bS", 1, false), "not ready");
        CHECK_STR(fate_of("aRS bST", 1, false), "terminating, and others are ready");
        CHECK_STR(fate_of("aRS bT", 1, false), "terminating and not serving");
        CHECK_STR(fate_of("aS bST", 1, false), "terminating, but none is ready");
        CHECK_STR(fate_of("aRSn bRSm", 1, false), "hinted for other nodes");
        CHECK_STR(fate_of("aRS1 bRS2", 1, false), "hinted for other zones");
        CHECK_STR(fate_of("aRS bRSL", 0, true), "on another node, and the traffic policy is Local");
        CHECK_STR(fate_of("aRS bSTL", 1, true), "terminating, but none is ready");
}

TEST(each_endpoint_remembers_its_node_and_a_slice_each_name_once)
{
        _cleanup_(endpoint_slice_freep)
        struct endpoint_slice *s = decode("{" META ",\"addressType\":\"IPv4\",\"endpoints\":["
                                          "{\"addresses\":[\"10.0.0.1\"],\"nodeName\":\"node-1\"},"
                                          "{\"addresses\":[\"10.0.0.2\"],\"nodeName\":\"node-2\"},"
                                          "{\"addresses\":[\"10.0.0.3\"]},"
                                          "{\"addresses\":[\"10.0.0.4\"],\"nodeName\":\"node-33\"},"
                                          "{\"addresses\":[\"10.0.0.5\"],\"nodeName\":\"node-2\"}],"
                                          "\"ports\":[{\"name\":\"\",\"port\":80}]}");
        const struct endpoint_slice *slices[] = { s };
        _cleanup_(endpoint_list_done)
        struct endpoint_list all = { 0 }, addresses = { 0 };

        CHECK(endpoints_collect(slices, 1, "", IPPROTO_TCP, AF_INET, &all) == 0);
        CHECK_INT(all.n, 5);
        CHECK_STR(all.items[0].node, ""); /* this one */
        CHECK_STR(all.items[1].node, "node-2");
        CHECK_STR(all.items[2].node, "");
        CHECK_STR(all.items[3].node, "node-33");
        CHECK(all.items[4].node == all.items[1].node);
        CHECK(endpoints_collect_addresses(slices, 1, AF_INET, &addresses) == 0);
        CHECK_INT(addresses.n, 5);
}
