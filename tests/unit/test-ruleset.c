#include "netproxy/ruleset.h"

#include <arpa/inet.h>
#include <errno.h>

#include "base/text.h"
#include "tests/check.h"
#include "tests/unit/proxy-fixture.h"

/* ---- elements as text, one line each, sorted ---- */
struct dump {
        int family;
        char **lines;
};

static size_t print_fields(struct strbuf *b, const enum nft_field *fields, const uint8_t *p)
{
        const uint8_t *start = p;
        char text[IP_TEXT_MAX];
        uint16_t port;
        uint32_t number;

        for (size_t i = 0; fields[i]; i++) {
                strbuf_add(b, i ? "." : "");
                switch (fields[i]) {
                case NFT_FIELD_IPV4:
                        strbuf_add(b, inet_ntop(AF_INET, p, text, sizeof text));
                        p += 4;
                        break;
                case NFT_FIELD_IPV6:
                        strbuf_add(b, inet_ntop(AF_INET6, p, text, sizeof text));
                        p += 16;
                        break;
                case NFT_FIELD_PROTOCOL:
                        strbuf_add(b, *p == IPPROTO_TCP ? "tcp" : "udp");
                        p += 4;
                        break;
                case NFT_FIELD_PORT:
                        memcpy(&port, p, sizeof port);
                        strbuf_addf(b, "%u", ntohs(port));
                        p += 4;
                        break;
                default:
                        memcpy(&number, p, sizeof number);
                        strbuf_addf(b, number >= LOCAL_INDEX ? "L%u" : "#%u",
                                    number & (LOCAL_INDEX - 1));
                        p += 4;
                }
        }
        return (size_t)(p - start);
}

static int on_emit(enum ruleset_set set, const void *key, const void *value, int rank,
                   void *userdata)
{
        struct dump *d = userdata;
        const struct nft_set *s = ruleset_set(d->family, set);
        struct strbuf b = { 0 };
        char name[TARGET_NAME_MAX];
        size_t n;

        strbuf_addf(&b, "%s ", s->name);
        n = print_fields(&b, s->key, key);
        if (s->flags & NFT_SET_INTERVAL) {
                strbuf_add(&b, " to ");
                print_fields(&b, s->key, (const uint8_t *)key + n);
        }
        if (s->data[0] == NFT_FIELD_VERDICT) {
                const struct ruleset_target *t = value;

                strbuf_addf(&b, " > %s",
                            t->kind == TARGET_DROP ? "drop" : ruleset_target_name(t, name));
        } else if (s->data[0]) {
                strbuf_add(&b, " > ");
                print_fields(&b, s->data, value);
        }
        strbuf_add(&b, rank ? " (1)" : "");
        CHECK(strv_consume(&d->lines, strbuf_take(&b)) == 0);
        return 0;
}

static int compare_lines(const void *a, const void *b)
{
        return strcmp(*(char *const *)a, *(char *const *)b);
}

static int dump_with(const struct ruleset_context *ctx, const char *spec, const char *endpoints,
                     char **ret)
{
        _cleanup_(service_unrefp)
        struct service *s = make_service("web", spec);
        _cleanup_(endpoint_slice_freep)
        struct endpoint_slice *slice = make_slice("web", "", 8080, endpoints);
        struct dump d = { .family = ctx->family };
        struct ruleset_sink sink = { .emit = on_emit, .userdata = &d };
        const struct endpoint_slice *slices[] = { slice };
        int r = ruleset_service(ctx, s, slices, 1, &sink);

        if (d.lines)
                qsort(d.lines, strv_len(d.lines), sizeof *d.lines, compare_lines);
        *ret = strv_join(d.lines, "\n");
        strv_free(d.lines);
        return r;
}

static void check_elements(const char *spec, const char *endpoints, const char *expected)
{
        struct ruleset_context ctx = make_context(strchr(endpoints, ':') ? AF_INET6 : AF_INET);
        _cleanup_free_ char *text = NULL;

        ctx.node_ip = (struct ip){ .family = AF_INET, .bytes = { 192, 0, 2, 1 } };
        CHECK(dump_with(&ctx, spec, endpoints, &text) == 0);
        CHECK_STR(text, expected);
}

TEST(a_cluster_ip_leads_to_its_endpoints_by_number)
{
        check_elements("\"clusterIP\":\"10.96.0.10\",\"ports\":[{\"port\":80}]",
                       "10.0.0.2 10.0.0.1L 10.0.0.3",
                       "cluster-ips 10.96.0.10\n"
                       "endpoints 10.96.0.10.tcp.80.#0 > 10.0.0.1.8080\n"
                       "endpoints 10.96.0.10.tcp.80.#1 > 10.0.0.2.8080\n"
                       "endpoints 10.96.0.10.tcp.80.#2 > 10.0.0.3.8080\n"
                       "hairpin 10.0.0.1.10.0.0.1\n"
                       "service-ips 10.96.0.10.tcp.80 > ip-3");
}

TEST(both_families_are_the_same_but_for_their_addresses)
{
        check_elements("\"clusterIP\":\"fd00::10\",\"ports\":[{\"port\":80}]", "fd01::1L",
                       "cluster-ips fd00::10\n"
                       "endpoints fd00::10.tcp.80.#0 > fd01::1.8080\n"
                       "hairpin fd01::1.fd01::1\n"
                       "service-ips fd00::10.tcp.80 > ip-1");
        check_elements("\"clusterIP\":\"fd00::10\",\"ports\":[{\"port\":80}]", "10.0.0.1", "");
}

TEST(without_endpoints_it_is_refused)
{
        check_elements("\"clusterIP\":\"10.96.0.10\",\"ports\":[{\"port\":80,\"nodePort\":30080}]",
                       "",
                       "cluster-ips 10.96.0.10\n"
                       "no-endpoint-ips 10.96.0.10.tcp.80 > reject\n"
                       "no-endpoint-node-ports tcp.30080 > reject (1)");
}

TEST(internal_policy_local_takes_local_endpoints_or_drops)
{
        static const char spec[] = "\"clusterIP\":\"10.96.0.10\",\"internalTrafficPolicy\":"
                                   "\"Local\",\"ports\":[{\"port\":80}]";

        check_elements(spec, "10.0.0.1L 10.0.0.2",
                       "cluster-ips 10.96.0.10\n"
                       "endpoints 10.96.0.10.tcp.80.L0 > 10.0.0.1.8080\n"
                       "hairpin 10.0.0.1.10.0.0.1\n"
                       "service-ips 10.96.0.10.tcp.80 > ip-local-1");
        check_elements(spec, "10.0.0.2",
                       "cluster-ips 10.96.0.10\n"
                       "no-endpoint-ips 10.96.0.10.tcp.80 > drop");
        check_elements(spec, "",
                       "cluster-ips 10.96.0.10\n"
                       "no-endpoint-ips 10.96.0.10.tcp.80 > reject");
}

TEST(every_address_that_leads_to_it_has_the_endpoints_under_its_own_name)
{
        check_elements("\"clusterIP\":\"10.96.0.10\",\"externalIPs\":[\"198.51.100.1\"],"
                       "\"ports\":[{\"port\":80,\"nodePort\":30080}]",
                       "10.0.0.2",
                       "cluster-ips 10.96.0.10\n"
                       "endpoints 10.96.0.10.tcp.80.#0 > 10.0.0.2.8080\n"
                       "endpoints 198.51.100.1.tcp.80.#0 > 10.0.0.2.8080 (1)\n"
                       "node-port-endpoints tcp.30080.#0 > 10.0.0.2.8080 (1)\n"
                       "service-ips 10.96.0.10.tcp.80 > ip-1\n"
                       "service-ips 198.51.100.1.tcp.80 > ip-masquerade-1 (1)\n"
                       "service-node-ports tcp.30080 > node-port-masquerade-1 (1)");
}

TEST(external_policy_local_keeps_the_source_and_serves_the_inside_from_all_nodes)
{
        static const char spec[] = "\"type\":\"NodePort\",\"clusterIP\":\"10.96.0.10\","
                                   "\"externalTrafficPolicy\":\"Local\",\"ports\":[{\"port\":80,"
                                   "\"nodePort\":30080}]";

        check_elements(spec, "10.0.0.1L 10.0.0.2",
                       "cluster-ips 10.96.0.10\n"
                       "endpoints 10.96.0.10.tcp.80.#0 > 10.0.0.1.8080\n"
                       "endpoints 10.96.0.10.tcp.80.#1 > 10.0.0.2.8080\n"
                       "hairpin 10.0.0.1.10.0.0.1\n"
                       "hairpin 10.0.0.1.10.0.0.1\n"
                       "node-port-endpoints tcp.30080.#0 > 10.0.0.1.8080 (1)\n"
                       "node-port-endpoints tcp.30080.#1 > 10.0.0.2.8080 (1)\n"
                       "node-port-endpoints tcp.30080.L0 > 10.0.0.1.8080 (1)\n"
                       "service-ips 10.96.0.10.tcp.80 > ip-2\n"
                       "service-node-ports tcp.30080 > node-port-external-local-1 (1)\n"
                       "short-circuit-node-ports tcp.30080 > node-port-2 (1)");
        /* none here: dropped, but for pods and the node itself */
        check_elements(spec, "10.0.0.2",
                       "cluster-ips 10.96.0.10\n"
                       "endpoints 10.96.0.10.tcp.80.#0 > 10.0.0.2.8080\n"
                       "no-endpoint-node-ports tcp.30080 > drop (1)\n"
                       "node-port-endpoints tcp.30080.#0 > 10.0.0.2.8080 (1)\n"
                       "service-ips 10.96.0.10.tcp.80 > ip-1\n"
                       "service-node-ports tcp.30080 > node-port-external-local-0 (1)\n"
                       "short-circuit-node-ports tcp.30080 > node-port-1 (1)");
}

TEST(session_affinity_names_its_time_and_lists_the_endpoints_that_are_good)
{
        check_elements("\"clusterIP\":\"10.96.0.10\",\"sessionAffinity\":\"ClientIP\","
                       "\"sessionAffinityConfig\":{\"clientIP\":{\"timeoutSeconds\":30}},"
                       "\"internalTrafficPolicy\":\"Local\","
                       "\"ports\":[{\"port\":80,\"nodePort\":30080}]",
                       "10.0.0.2L",
                       "cluster-ips 10.96.0.10\n"
                       "hairpin 10.0.0.2.10.0.0.2\n"
                       "hairpin 10.0.0.2.10.0.0.2\n"
                       "service-ips 10.96.0.10.tcp.80 > ip-local-1-sticky-30\n"
                       "service-node-ports tcp.30080 > node-port-masquerade-1-sticky-30 (1)\n"
                       "sticky-endpoints tcp.0.0.0.0.30080.#0 > #0.10.0.0.2.8080 (1)\n"
                       "sticky-endpoints tcp.10.96.0.10.80.L0 > L0.10.0.0.2.8080\n"
                       "sticky-good 0.0.0.0.30080.#0.10.0.0.2.8080 (1)\n"
                       "sticky-good 10.96.0.10.80.L0.10.0.0.2.8080");
}

TEST(source_ranges_guard_the_vip_and_let_the_node_in_when_it_is_in_one)
{
        check_elements("\"type\":\"LoadBalancer\",\"clusterIP\":\"10.96.0.10\","
                       "\"loadBalancerSourceRanges\":[\"192.0.2.0/25\",\"192.0.2.128/25\","
                       "\"203.0.113.7/32\",\"fd00::/8\"],\"ports\":[{\"port\":80}]},"
                       "\"status\":{\"loadBalancer\":{\"ingress\":[{\"ip\":\"198.51.100.1\"}]}",
                       "",
                       "cluster-ips 10.96.0.10\n"
                       "firewall-ips 198.51.100.1.tcp.80 (1)\n"
                       "firewall-sources 198.51.100.1.tcp.80.192.0.2.0 to "
                       "198.51.100.1.tcp.80.192.0.2.255 (1)\n"
                       "firewall-sources 198.51.100.1.tcp.80.198.51.100.1 to "
                       "198.51.100.1.tcp.80.198.51.100.1 (1)\n"
                       "firewall-sources 198.51.100.1.tcp.80.203.0.113.7 to "
                       "198.51.100.1.tcp.80.203.0.113.7 (1)\n"
                       "no-endpoint-ips 10.96.0.10.tcp.80 > reject\n"
                       "no-endpoint-ips 198.51.100.1.tcp.80 > reject (1)");
}

TEST(a_service_cannot_take_over_a_nodes_own_address)
{
        static const struct ip node = { .family = AF_INET, .bytes = { 192, 0, 2, 1 } };
        struct ruleset_context ctx = make_context(AF_INET);
        _cleanup_free_ char *text = NULL;

        ctx.node_addresses = &node;
        ctx.n_node_addresses = 1;
        CHECK_INT(dump_with(&ctx,
                            "\"clusterIP\":\"10.96.0.10\",\"externalIPs\":[\"192.0.2.1\"],"
                            "\"ports\":[{\"port\":10250}]",
                            "10.0.0.2", &text),
                  RULESET_LEFT_OUT);
        CHECK(!strstr(text, "192.0.2.1"));
}

/* ---- targets ---- */
TEST(a_pick_chains_name_says_what_it_does_and_is_read_back)
{
        static const struct {
                struct ruleset_target target;
                const char *name;
        } cases[] = {
                { { TARGET_IP, TARGET_PLAIN, 3, 0 }, "ip-3" },
                { { TARGET_IP, TARGET_LOCAL, 65535, 86400 }, "ip-local-65535-sticky-86400" },
                { { TARGET_IP, TARGET_MASQUERADE, 1, 0 }, "ip-masquerade-1" },
                { { TARGET_NODE_PORT, TARGET_EXTERNAL_LOCAL, 0, 10800 },
                  "node-port-external-local-0-sticky-10800" },
        };
        static const char *const strangers[] = {
                "ip",    "ip-",           "ip-x",        "ip-65536", "ip-03",
                "ip--3", "ip-3-sticky-0", "ip-3-sticky", "services", "",
        };
        struct ruleset_target t;
        char name[TARGET_NAME_MAX];

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                CHECK_STR(ruleset_target_name(&cases[i].target, name), cases[i].name);
                CHECK(ruleset_target_parse(name, &t));
                CHECK(memcmp(&t, &cases[i].target, sizeof t) == 0);
        }
        for (size_t i = 0; i < ARRAY_SIZE(strangers); i++)
                CHECK(!ruleset_target_parse(strangers[i], &t));
}

TEST(verdicts_are_read_back_and_foreign_ones_are_nobodys)
{
        struct ruleset_target t;
        char name[TARGET_NAME_MAX];
        struct nft_verdict v =
                ruleset_target_verdict(&(struct ruleset_target){ .kind = TARGET_REJECT }, name);

        CHECK(v.code == NFT_GOTO && ruleset_target_of_verdict(&v, &t) && t.kind == TARGET_REJECT);
        v = ruleset_target_verdict(&(struct ruleset_target){ .kind = TARGET_DROP }, name);
        CHECK(v.code == NF_DROP && ruleset_target_of_verdict(&v, &t) && t.kind == TARGET_DROP);
        v = (struct nft_verdict){ .code = NF_ACCEPT };
        CHECK(!ruleset_target_of_verdict(&v, &t));
        v = (struct nft_verdict){ .code = NFT_JUMP, .chain = "ip-3" };
        CHECK(!ruleset_target_of_verdict(&v, &t));
}

/* ---- chains ---- */
static char *rules_of(const struct ruleset *r, const char *chain)
{
        for (size_t i = 0; i < r->n_chains; i++)
                if (streq(r->chains[i].spec.name, chain))
                        return ruleset_chain_signature(&r->chains[i]);
        return NULL;
}

TEST(the_number_of_rules_does_not_depend_on_services)
{
        struct ruleset_context ctx = make_context(AF_INET6);
        _cleanup_(ruleset_done)
        struct ruleset r = { 0 };
        size_t n = 0;

        CHECK(ruleset_build(&ctx, &r) == 0);
        for (size_t i = 0; i < r.n_chains; i++)
                n += r.chains[i].n_rules;
        CHECK_INT(r.n_chains, 10);
        CHECK_INT(n, 24);
}

TEST(without_a_detector_nothing_is_masqueraded_for_being_foreign)
{
        struct ruleset_context ctx = make_context(AF_INET);
        _cleanup_(ruleset_done)
        struct ruleset with = { 0 }, without = { 0 }, all = { 0 };
        _cleanup_free_ char *a = NULL, *b = NULL, *c = NULL;

        CHECK(ruleset_build(&ctx, &with) == 0);
        ctx.detector = DETECTOR_NONE;
        CHECK(ruleset_build(&ctx, &without) == 0);
        ctx.masquerade_all = true;
        CHECK(ruleset_build(&ctx, &all) == 0);
        a = rules_of(&with, "services");
        b = rules_of(&without, "services");
        c = rules_of(&all, "services");
        CHECK_CONTAINS(a, "hide the source");
        CHECK(!strstr(b, "hide the source"));
        CHECK_CONTAINS(c, "hide the source");
        CHECK(!streq(a, c));
}

TEST(a_rules_comment_changes_with_the_rule)
{
        struct ruleset_context a = make_context(AF_INET), b = a;
        struct ruleset_target t = { TARGET_NODE_PORT, TARGET_EXTERNAL_LOCAL, 2, 30 };
        _cleanup_(ruleset_chain_done)
        struct ruleset_chain x = { 0 }, y = { 0 }, z = { 0 };
        _cleanup_free_ char *sx = NULL, *sy = NULL, *sz = NULL;

        b.mark = 0x8000;
        CHECK(ruleset_target_build(&a, &t, &x) == 0 && ruleset_target_build(&b, &t, &y) == 0 &&
              ruleset_target_build(&a, &t, &z) == 0);
        sx = ruleset_chain_signature(&x);
        sy = ruleset_chain_signature(&y);
        sz = ruleset_chain_signature(&z);
        CHECK(!streq(sx, sy));
        CHECK_STR(sx, sz);
        CHECK_INT(x.n_rules, 7); /* two short circuits, five of affinity */
}

TEST(every_detector_gives_rules_for_its_own_way)
{
        struct ruleset_context ctx = make_context(AF_INET);
        char *seen[5] = { 0 };

        ctx.interface = "cni0";
        for (int d = DETECTOR_NONE; d <= DETECTOR_PREFIX; d++) {
                _cleanup_(ruleset_done)
                struct ruleset r = { 0 };

                ctx.detector = (enum ruleset_detector)d;
                CHECK(ruleset_build(&ctx, &r) == 0);
                seen[d] = rules_of(&r, "services");
                for (int k = 0; k < d; k++)
                        CHECK(!streq(seen[d], seen[k]));
        }
        for (size_t i = 0; i < ARRAY_SIZE(seen); i++)
                free(seen[i]);
}
