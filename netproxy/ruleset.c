#include "netproxy/ruleset.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/netfilter_ipv4.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "netproxy/ruleset-rule.h"

static_assert(AF_INET == NFPROTO_IPV4 && AF_INET6 == NFPROTO_IPV6, "families have two numbers");

enum {
        AFFINITY_MAX = 262144, /* clients remembered at once; further ones are served without */
        PRIORITY_BEFORE_DNAT = NF_IP_PRI_NAT_DST - 10,
};

#define SERVICE_KEY(address) address, NFT_FIELD_PROTOCOL, NFT_FIELD_PORT
#define NODE_PORT_KEY        NFT_FIELD_PROTOCOL, NFT_FIELD_PORT
/* with session affinity: see ruleset-pick.c */
#define STICKY_KEY(address)      NFT_FIELD_PROTOCOL, address, NFT_FIELD_PORT
#define STICKY_ENDPOINT(address) NFT_FIELD_MARK, address, NFT_FIELD_PORT

/* clang-format off */
#define SETS(address) {                                                                            \
        [SET_CLUSTER_IPS]        = { .name = "cluster-ips", .key = { address } },                  \
        [SET_SERVICE_IPS]        = { .name = "service-ips", .key = { SERVICE_KEY(address) },       \
                                     .data = { NFT_FIELD_VERDICT } },                              \
        [SET_SERVICE_NODE_PORTS] = { .name = "service-node-ports", .key = { NODE_PORT_KEY },       \
                                     .data = { NFT_FIELD_VERDICT } },                              \
        [SET_ENDPOINTS]          = { .name = "endpoints",                                          \
                                     .key = { SERVICE_KEY(address), NFT_FIELD_MARK },              \
                                     .data = { address, NFT_FIELD_PORT } },                        \
        [SET_NODE_PORT_ENDPOINTS] = { .name = "node-port-endpoints",                               \
                                     .key = { NODE_PORT_KEY, NFT_FIELD_MARK },                     \
                                     .data = { address, NFT_FIELD_PORT } },                        \
        [SET_STICKY_ENDPOINTS]   = { .name = "sticky-endpoints",                                   \
                                     .key = { STICKY_KEY(address), NFT_FIELD_MARK },               \
                                     .data = { STICKY_ENDPOINT(address) } },                       \
        [SET_STICKY_GOOD]        = { .name = "sticky-good",                                        \
                                     .key = { address, NFT_FIELD_PORT,                             \
                                              STICKY_ENDPOINT(address) } },                        \
        [SET_SHORT_IPS]          = { .name = "short-circuit-ips", .key = { SERVICE_KEY(address) }, \
                                     .data = { NFT_FIELD_VERDICT } },                              \
        [SET_SHORT_NODE_PORTS]   = { .name = "short-circuit-node-ports", .key = { NODE_PORT_KEY }, \
                                     .data = { NFT_FIELD_VERDICT } },                              \
        [SET_NO_ENDPOINT_IPS]    = { .name = "no-endpoint-ips", .key = { SERVICE_KEY(address) },   \
                                     .data = { NFT_FIELD_VERDICT } },                              \
        [SET_NO_ENDPOINT_NODE_PORTS] = { .name = "no-endpoint-node-ports",                         \
                                     .key = { NODE_PORT_KEY }, .data = { NFT_FIELD_VERDICT } },    \
        [SET_FIREWALL_IPS]       = { .name = "firewall-ips", .key = { SERVICE_KEY(address) } },    \
        [SET_FIREWALL_SOURCES]   = { .name = "firewall-sources",                                   \
                                     .key = { SERVICE_KEY(address), address },                     \
                                     .flags = NFT_SET_INTERVAL },                                  \
        [SET_HAIRPIN]            = { .name = "hairpin", .key = { address, address } },             \
        [SET_POD_IPS]            = { .name = "pod-ips", .key = { address },                        \
                                     .flags = NFT_SET_INTERVAL },                                  \
        [SET_NODE_POD_IPS]       = { .name = "node-pod-ips", .key = { address },                   \
                                     .flags = NFT_SET_INTERVAL },                                  \
        [SET_CLUSTER_NET]        = { .name = "cluster-net", .key = { address },                    \
                                     .flags = NFT_SET_INTERVAL },                                  \
        [SET_NODE_PORT_IPS]      = { .name = "node-port-ips", .key = { address } },                \
        [SET_SERVICE_CIDRS]      = { .name = "service-cidrs", .key = { address },                  \
                                     .flags = NFT_SET_INTERVAL },                                  \
        [SET_AFFINITY]           = { .name = "affinity", .key = { address, STICKY_KEY(address) },  \
                                     .data = { STICKY_ENDPOINT(address) },                         \
                                     .flags = NFT_SET_TIMEOUT | NFT_SET_EVAL,                      \
                                     .size = AFFINITY_MAX },                                       \
} /* clang-format on */

static const struct nft_set sets_ipv4[] = SETS(NFT_FIELD_IPV4);
static const struct nft_set sets_ipv6[] = SETS(NFT_FIELD_IPV6);
static_assert(ARRAY_SIZE(sets_ipv4) == _SET_MAX, "a set has no layout");

const struct nft_set *ruleset_set(int family, enum ruleset_set set)
{
        return family == AF_INET6 ? &sets_ipv6[set] : &sets_ipv4[set];
}

enum ruleset_set ruleset_set_find(const char *name)
{
        for (int i = 0; i < _SET_MAX; i++)
                if (streq(sets_ipv4[i].name, name))
                        return (enum ruleset_set)i;
        return _SET_MAX;
}

void ruleset_chain_done(struct ruleset_chain *c)
{
        for (size_t i = 0; i < c->n_rules; i++) {
                nft_rule_free(c->rules[i].rule);
                free(c->rules[i].comment);
        }
        free(c->rules);
        free(c->name);
        *c = (struct ruleset_chain){ 0 };
}

char *ruleset_chain_signature(const struct ruleset_chain *c)
{
        struct strbuf b = { 0 };

        for (size_t i = 0; i < c->n_rules; i++) {
                strbuf_add(&b, c->rules[i].comment);
                strbuf_add(&b, "\n");
        }
        return strbuf_take(&b);
}

void ruleset_done(struct ruleset *r)
{
        for (size_t i = 0; i < r->n_chains; i++)
                ruleset_chain_done(&r->chains[i]);
        free(r->chains);
        *r = (struct ruleset){ 0 };
}

int chain_add_rule(struct ruleset_chain *c, struct nft_rule *rule, const char *purpose)
{
        _cleanup_(nft_rule_freep)
        struct nft_rule *owned = rule;
        uint64_t hash = nft_rule_hash(rule);
        struct ruleset_rule *more;
        char *comment;

        if (hash == 0)
                return -ENOMEM;
        more = reallocarray(c->rules, c->n_rules + 1, sizeof *more);
        if (!more)
                return -ENOMEM;
        c->rules = more;
        comment = text_printf("%s #%016" PRIx64, purpose, hash);
        if (!comment)
                return -ENOMEM;
        c->rules[c->n_rules++] = (struct ruleset_rule){ TAKE_PTR(owned), comment };
        return 0;
}

void rule_service_key(struct nft_rule *r, int family, unsigned reg)
{
        unsigned words = family == AF_INET6 ? 4 : 1;

        nft_rule_daddr(r, family, reg);
        nft_rule_l4proto(r, reg + words);
        nft_rule_dport(r, reg + words + 1);
}

void rule_node_port_key(struct nft_rule *r, unsigned reg)
{
        nft_rule_l4proto(r, reg);
        nft_rule_dport(r, reg + 1);
}

void rule_mark(struct nft_rule *r, const struct ruleset_context *ctx)
{
        uint32_t keep = ~ctx->mark;

        nft_rule_meta(r, NFT_META_MARK, 0);
        nft_rule_bitwise(r, 0, &keep, &ctx->mark, sizeof keep);
        nft_rule_meta_set(r, NFT_META_MARK, 0);
}

void rule_from_pods(struct nft_rule *r, const struct ruleset_context *ctx, bool from_others)
{
        char name[16] = { 0 }; /* IFNAMSIZ */

        switch (ctx->detector) {
        case DETECTOR_POD_IPS:
        case DETECTOR_NODE_POD_IPS:
                nft_rule_saddr(r, ctx->family, 0);
                nft_rule_lookup(r,
                                ruleset_set(ctx->family, ctx->detector == DETECTOR_POD_IPS
                                                                 ? SET_POD_IPS
                                                                 : SET_NODE_POD_IPS)
                                        ->name,
                                0, from_others);
                break;
        case DETECTOR_INTERFACE:
        case DETECTOR_PREFIX:
                memcpy(name, ctx->interface, MIN(strlen(ctx->interface), sizeof name - 1));
                nft_rule_meta(r, NFT_META_IIFNAME, 0);
                nft_rule_compare(r, from_others ? NFT_CMP_NEQ : NFT_CMP_EQ, 0, name,
                                 ctx->detector == DETECTOR_PREFIX ? strlen(name) : sizeof name);
                break;
        case DETECTOR_NONE:
                break;
        }
}

static void rule_ct_state(struct nft_rule *r, uint32_t bit)
{
        static const uint32_t zero = 0;

        nft_rule_ct(r, NFT_CT_STATE, 0);
        nft_rule_bitwise(r, 0, &bit, &zero, sizeof bit);
        nft_rule_compare_u32(r, NFT_CMP_NEQ, 0, 0);
}

/* To an address of this node that serves node ports. */
static void rule_to_node_port(struct nft_rule *r, const struct ruleset_context *ctx)
{
        static const uint8_t mask4[4] = { 0xff }, net4[4] = { 127 }, zero4[4];
        static const uint8_t loopback6[16] = { [15] = 1 };

        if (!ctx->node_ports_any) {
                nft_rule_daddr(r, ctx->family, 0);
                nft_rule_lookup(r, ruleset_set(ctx->family, SET_NODE_PORT_IPS)->name, 0, false);
                return;
        }
        nft_rule_fib_type(r, NFTA_FIB_F_DADDR, 0);
        nft_rule_compare_u32(r, NFT_CMP_EQ, 0, RTN_LOCAL);
        nft_rule_daddr(r, ctx->family, 0);
        if (ctx->family == AF_INET) {
                nft_rule_bitwise(r, 0, mask4, zero4, sizeof mask4);
                nft_rule_compare(r, NFT_CMP_NEQ, 0, net4, sizeof net4);
        } else {
                nft_rule_compare(r, NFT_CMP_NEQ, 0, loopback6, sizeof loopback6);
        }
}

/* linux/netfilter/nf_conntrack_common.h, as nftables numbers them */
enum { CT_INVALID = 1, CT_NEW = 8 };

static int add_new_only(struct ruleset_chain *c)
{
        struct nft_rule *r = nft_rule_new();
        static const uint32_t bit = CT_NEW, zero = 0;

        nft_rule_ct(r, NFT_CT_STATE, 0);
        nft_rule_bitwise(r, 0, &bit, &zero, sizeof bit);
        nft_rule_compare_u32(r, NFT_CMP_EQ, 0, 0);
        nft_rule_verdict(r, NF_ACCEPT, NULL);
        return chain_add_rule(c, r, "only new flows are looked at");
}

static int build_firewall(const struct ruleset_context *ctx, struct ruleset_chain *c)
{
        struct nft_rule *r = nft_rule_new();
        unsigned words = ctx->family == AF_INET6 ? 4 : 1;

        rule_ct_state(r, CT_NEW);
        rule_service_key(r, ctx->family, 0);
        nft_rule_lookup(r, ruleset_set(ctx->family, SET_FIREWALL_IPS)->name, 0, false);
        nft_rule_saddr(r, ctx->family, words + 2);
        nft_rule_lookup(r, ruleset_set(ctx->family, SET_FIREWALL_SOURCES)->name, 0, true);
        nft_rule_verdict(r, NF_DROP, NULL);
        return chain_add_rule(c, r, "not in loadBalancerSourceRanges");
}

static int add_no_endpoints(const struct ruleset_context *ctx, struct ruleset_chain *c)
{
        struct nft_rule *r = nft_rule_new();

        rule_service_key(r, ctx->family, 0);
        nft_rule_vmap(r, ruleset_set(ctx->family, SET_NO_ENDPOINT_IPS)->name, 0);
        return chain_add_rule(c, r, "no endpoints");
}

static int build_input(const struct ruleset_context *ctx, struct ruleset_chain *c)
{
        struct nft_rule *r;
        int result = add_new_only(c);

        if (result < 0)
                return result;
        r = nft_rule_new();
        rule_to_node_port(r, ctx);
        rule_node_port_key(r, 0);
        nft_rule_vmap(r, ruleset_set(ctx->family, SET_NO_ENDPOINT_NODE_PORTS)->name, 0);
        result = chain_add_rule(c, r, "node port without endpoints");
        return result < 0 ? result : add_no_endpoints(ctx, c);
}

/* What nothing translated and yet goes to a cluster IP has no business there. */
static int add_cluster_ip_check(const struct ruleset_context *ctx, struct ruleset_chain *c)
{
        struct nft_rule *r = nft_rule_new();
        int result;

        nft_rule_daddr(r, ctx->family, 0);
        nft_rule_lookup(r, ruleset_set(ctx->family, SET_CLUSTER_IPS)->name, 0, false);
        nft_rule_verdict(r, NFT_GOTO, "reject");
        result = chain_add_rule(c, r, "port that the Service does not have");
        if (result < 0)
                return result;
        r = nft_rule_new();
        nft_rule_daddr(r, ctx->family, 0);
        nft_rule_lookup(r, ruleset_set(ctx->family, SET_SERVICE_CIDRS)->name, 0, false);
        nft_rule_verdict(r, NF_DROP, NULL);
        return chain_add_rule(c, r, "cluster IP that nobody has");
}

/*
 * A packet of a pod that conntrack cannot place (out of window, late) would leave with the pod's
 * own address instead of the Service's; the client would answer it with a reset.
 */
static int add_drop_invalid(const struct ruleset_context *ctx, struct ruleset_chain *c)
{
        static const uint8_t tcp = IPPROTO_TCP;
        struct nft_rule *r = nft_rule_new();

        rule_ct_state(r, CT_INVALID);
        nft_rule_l4proto(r, 0);
        nft_rule_compare(r, NFT_CMP_EQ, 0, &tcp, sizeof tcp);
        nft_rule_saddr(r, ctx->family, 0);
        nft_rule_lookup(r, ruleset_set(ctx->family, SET_POD_IPS)->name, 0, false);
        nft_rule_verdict(r, NF_DROP, NULL);
        return chain_add_rule(c, r, "belongs to no connection");
}

static int build_output(const struct ruleset_context *ctx, struct ruleset_chain *c)
{
        int r = add_new_only(c);

        if (r == 0)
                r = add_no_endpoints(ctx, c);
        return r == 0 ? add_cluster_ip_check(ctx, c) : r;
}

static int build_forward(const struct ruleset_context *ctx, struct ruleset_chain *c)
{
        int r = ctx->drop_invalid ? add_drop_invalid(ctx, c) : 0;

        return r == 0 ? build_output(ctx, c) : r;
}

static int build_jump(_unused_ const struct ruleset_context *ctx, struct ruleset_chain *c)
{
        struct nft_rule *r = nft_rule_new();

        nft_rule_verdict(r, NFT_JUMP, "services");
        return chain_add_rule(c, r, "services");
}

static int build_services(const struct ruleset_context *ctx, struct ruleset_chain *c)
{
        struct nft_rule *r;
        int result = 0;

        if (ctx->masquerade_all || ctx->detector != DETECTOR_NONE) {
                r = nft_rule_new();
                nft_rule_daddr(r, ctx->family, 0);
                nft_rule_lookup(r, ruleset_set(ctx->family, SET_CLUSTER_IPS)->name, 0, false);
                if (!ctx->masquerade_all)
                        rule_from_pods(r, ctx, true);
                rule_mark(r, ctx);
                result = chain_add_rule(c, r, "to a cluster IP from outside: hide the source");
                if (result < 0)
                        return result;
        }
        r = nft_rule_new();
        rule_service_key(r, ctx->family, 0);
        nft_rule_vmap(r, ruleset_set(ctx->family, SET_SERVICE_IPS)->name, 0);
        result = chain_add_rule(c, r, "cluster IPs, external IPs, load balancers");
        if (result < 0)
                return result;
        r = nft_rule_new();
        rule_to_node_port(r, ctx);
        rule_node_port_key(r, 0);
        nft_rule_vmap(r, ruleset_set(ctx->family, SET_SERVICE_NODE_PORTS)->name, 0);
        return chain_add_rule(c, r, "node ports");
}

/*
 * kube-proxy answers TCP by ICMP, too. An ICMP error that comes while the client is still inside
 * connect(2) - always, from a pod on this node - does not end it: it would wait a second for its
 * next attempt.
 */
static int build_reject(const struct ruleset_context *ctx, struct ruleset_chain *c)
{
        static const uint8_t tcp = IPPROTO_TCP;
        struct nft_rule *r = nft_rule_new();
        int result;

        nft_rule_l4proto(r, 0);
        nft_rule_compare(r, NFT_CMP_EQ, 0, &tcp, sizeof tcp);
        nft_rule_reset(r);
        result = chain_add_rule(c, r, "refuse");
        if (result < 0)
                return result;
        r = nft_rule_new();
        nft_rule_reject(r, ctx->family);
        return chain_add_rule(c, r, "refuse");
}

static int add_masquerade_marked(const struct ruleset_context *ctx, struct ruleset_chain *c)
{
        struct nft_rule *r = nft_rule_new();
        static const uint32_t zero = 0, all = UINT32_MAX;

        nft_rule_meta(r, NFT_META_MARK, 0);
        nft_rule_bitwise(r, 0, &ctx->mark, &zero, sizeof zero);
        nft_rule_compare_u32(r, NFT_CMP_NEQ, 0, 0);
        /* the mark goes off again: a tunnel may send the packet through here a second time */
        nft_rule_meta(r, NFT_META_MARK, 0);
        nft_rule_bitwise(r, 0, &all, &ctx->mark, sizeof all);
        nft_rule_meta_set(r, NFT_META_MARK, 0);
        nft_rule_masquerade(r, NF_NAT_RANGE_PROTO_RANDOM_FULLY);
        return chain_add_rule(c, r, "marked above");
}

static int add_masquerade_hairpin(const struct ruleset_context *ctx, struct ruleset_chain *c)
{
        struct nft_rule *r = nft_rule_new();
        static const uint32_t dnat = 1 << 5, zero = 0; /* IPS_DST_NAT */
        unsigned words = ctx->family == AF_INET6 ? 4 : 1;

        nft_rule_ct(r, NFT_CT_STATUS, 0);
        nft_rule_bitwise(r, 0, &dnat, &zero, sizeof zero);
        nft_rule_compare_u32(r, NFT_CMP_NEQ, 0, 0);
        nft_rule_saddr(r, ctx->family, 0);
        nft_rule_daddr(r, ctx->family, words);
        nft_rule_lookup(r, ruleset_set(ctx->family, SET_HAIRPIN)->name, 0, false);
        nft_rule_masquerade(r, NF_NAT_RANGE_PROTO_RANDOM_FULLY);
        return chain_add_rule(c, r, "an endpoint that reaches itself");
}

static int build_postrouting(const struct ruleset_context *ctx, struct ruleset_chain *c)
{
        struct nft_rule *r;
        int result = add_masquerade_marked(ctx, c);

        if (result == 0)
                result = add_masquerade_hairpin(ctx, c);
        if (result < 0 || !ctx->masquerade_pods)
                return result;
        r = nft_rule_new();
        nft_rule_saddr(r, ctx->family, 0);
        nft_rule_lookup(r, ruleset_set(ctx->family, SET_NODE_POD_IPS)->name, 0, false);
        nft_rule_daddr(r, ctx->family, 0);
        nft_rule_lookup(r, ruleset_set(ctx->family, SET_CLUSTER_NET)->name, 0, true);
        nft_rule_masquerade(r, NF_NAT_RANGE_PROTO_RANDOM_FULLY);
        return chain_add_rule(c, r, "pods leave the cluster");
}

/* Plain chains first: base chains jump to them. */
static const struct {
        struct nft_chain spec;
        int (*build)(const struct ruleset_context *ctx, struct ruleset_chain *c);
} static_chains[] = {
        /* clang-format off */
        { { .name = "reject" }, build_reject },
        { { .name = "services" }, build_services },
        { { "firewall-prerouting", "filter", NF_INET_PRE_ROUTING,  PRIORITY_BEFORE_DNAT }, build_firewall },
        { { "firewall-output",     "filter", NF_INET_LOCAL_OUT,    PRIORITY_BEFORE_DNAT }, build_firewall },
        { { "filter-input",        "filter", NF_INET_LOCAL_IN,     NF_IP_PRI_FILTER },     build_input },
        { { "filter-forward",      "filter", NF_INET_FORWARD,      NF_IP_PRI_FILTER },     build_forward },
        { { "filter-output",       "filter", NF_INET_LOCAL_OUT,    NF_IP_PRI_FILTER },     build_output },
        { { "nat-prerouting",      "nat",    NF_INET_PRE_ROUTING,  NF_IP_PRI_NAT_DST },    build_jump },
        { { "nat-output",          "nat",    NF_INET_LOCAL_OUT,    NF_IP_PRI_NAT_DST },    build_jump },
        { { "nat-postrouting",     "nat",    NF_INET_POST_ROUTING, NF_IP_PRI_NAT_SRC },    build_postrouting },
}; /* clang-format on */

int ruleset_build(const struct ruleset_context *ctx, struct ruleset *ret)
{
        _cleanup_(ruleset_done)
        struct ruleset r = { 0 };

        r.chains = calloc(ARRAY_SIZE(static_chains), sizeof *r.chains);
        if (!r.chains)
                return -ENOMEM;
        for (; r.n_chains < ARRAY_SIZE(static_chains); r.n_chains++) {
                struct ruleset_chain *c = &r.chains[r.n_chains];

                c->spec = static_chains[r.n_chains].spec;
                if (static_chains[r.n_chains].build(ctx, c) < 0) {
                        ruleset_chain_done(c);
                        return -ENOMEM;
                }
        }
        *ret = TAKE_VALUE(r);
        return 0;
}
