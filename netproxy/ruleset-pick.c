/*
 * Pick chains: choose one of N endpoints and translate the destination to it.
 *
 * Registers with session affinity, in 4-byte words; A is the length of an address (1 or 4):
 *
 *      0            the client's address
 *      A            protocol; the address asked for (0 for a node port); port
 *      2A + 2       which policy
 *      2A + 3       the endpoint's address and port
 *
 * so that the client's key, the key of an endpoint that is good, and the data of either map are
 * neighbours. For IPv6 that is all there is of registers. (The protocol is no part of the key of a
 * good endpoint: the nft tool counts at most five fields.)
 *
 * The nft tool (1.0.6) aborts over a rule that uses what a map answered in a further key: to it, an
 * answer is an expression without length in the first register of the answer. So the first word of
 * these maps' data is the policy, which is loaded anew after the lookup, and the words behind are
 * loaded with something before it. The kernel does not care; the tool shows "ip daddr . th dport"
 * where it is the endpoint's.
 */
#include <assert.h>
#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "netproxy/ruleset-rule.h"

static const char *const kind_names[] = {
        [TARGET_IP] = "ip",
        [TARGET_NODE_PORT] = "node-port",
};
static const char *const variant_names[] = {
        [TARGET_PLAIN] = "",
        [TARGET_MASQUERADE] = "masquerade-",
        [TARGET_LOCAL] = "local-",
        [TARGET_EXTERNAL_LOCAL] = "external-local-",
};
static_assert(ARRAY_SIZE(variant_names) == _TARGET_VARIANT_MAX, "a variant has no name");
static const char reject_name[] = "reject";

const char *ruleset_target_name(const struct ruleset_target *t, char buf[static TARGET_NAME_MAX])
{
        int n;

        if (!ruleset_target_has_chain(t)) {
                snprintf(buf, TARGET_NAME_MAX, "%s", t->kind == TARGET_REJECT ? reject_name : "");
                return buf;
        }
        n = snprintf(buf, TARGET_NAME_MAX, "%s-%s%u", kind_names[t->kind],
                     variant_names[t->variant], t->count);
        if (t->sticky_sec > 0)
                snprintf(buf + n, TARGET_NAME_MAX - (size_t)n, "-sticky-%u", t->sticky_sec);
        return buf;
}

static bool parse_counts(const char *text, struct ruleset_target *t)
{
        _cleanup_strv_ char **parts = NULL;

        if (strv_split(text, "-", &parts) < 0)
                return false;
        if (strv_len(parts) == 1)
                return text_to_u16(parts[0], &t->count) == 0;
        return strv_len(parts) == 3 && streq(parts[1], "sticky") &&
               text_to_u16(parts[0], &t->count) == 0 && text_to_u32(parts[2], &t->sticky_sec) == 0;
}

bool ruleset_target_parse(const char *name, struct ruleset_target *ret)
{
        char again[TARGET_NAME_MAX];

        for (unsigned kind = TARGET_IP; kind <= TARGET_NODE_PORT; kind++) {
                const char *rest = startswith(name, kind_names[kind]);

                if (!rest || *rest++ != '-')
                        continue;
                for (unsigned variant = TARGET_PLAIN; variant < _TARGET_VARIANT_MAX; variant++) {
                        struct ruleset_target t = { .kind = kind, .variant = variant };
                        const char *counts = startswith(rest, variant_names[variant]);

                        if (counts && parse_counts(counts, &t) &&
                            streq(ruleset_target_name(&t, again), name)) {
                                *ret = t;
                                return true;
                        }
                }
        }
        return false;
}

struct nft_verdict ruleset_target_verdict(const struct ruleset_target *t,
                                          char buf[static TARGET_NAME_MAX])
{
        if (t->kind == TARGET_DROP)
                return (struct nft_verdict){ .code = NF_DROP };
        return (struct nft_verdict){ .code = NFT_GOTO, .chain = ruleset_target_name(t, buf) };
}

bool ruleset_target_of_verdict(const struct nft_verdict *v, struct ruleset_target *ret)
{
        *ret = (struct ruleset_target){ 0 };
        if (v->code == NF_DROP) {
                ret->kind = TARGET_DROP;
                return true;
        }
        if (v->code != NFT_GOTO || !v->chain)
                return false;
        if (streq(v->chain, reject_name)) {
                ret->kind = TARGET_REJECT;
                return true;
        }
        return ruleset_target_parse(v->chain, ret);
}

struct pick {
        const struct ruleset_context *ctx;
        const struct ruleset_target *target;
        unsigned address; /* words of an address */
        uint32_t first;   /* number of the first endpoint */
};

static const char *set_name(const struct pick *p, enum ruleset_set set)
{
        return ruleset_set(p->ctx->family, set)->name;
}

/* ---- without affinity: key from register 0 on, the number behind it, the endpoint behind that */
static unsigned load_key(const struct pick *p, struct nft_rule *r)
{
        if (p->target->kind == TARGET_NODE_PORT) {
                rule_node_port_key(r, 0);
                return 2;
        }
        rule_service_key(r, p->ctx->family, 0);
        return p->address + 2;
}

static void go_to_endpoint(const struct pick *p, struct nft_rule *r, unsigned number)
{
        nft_rule_map(r,
                     set_name(p, p->target->kind == TARGET_NODE_PORT ? SET_NODE_PORT_ENDPOINTS
                                                                     : SET_ENDPOINTS),
                     0, number + 1);
        nft_rule_dnat(r, p->ctx->family, number + 1, number + 1 + p->address);
}

static int add_choose(const struct pick *p, struct ruleset_chain *c)
{
        struct nft_rule *r = nft_rule_new();
        unsigned number = load_key(p, r);

        nft_rule_random(r, p->target->count, p->first, number);
        go_to_endpoint(p, r, number);
        return chain_add_rule(c, r, "one at random");
}

/*
 * The number of endpoints may have changed between the verdict map and here, so that the number
 * drawn exists no more. The first endpoint always does.
 */
static int add_first(const struct pick *p, struct ruleset_chain *c)
{
        struct nft_rule *r = nft_rule_new();
        unsigned number = load_key(p, r);

        nft_rule_random(r, 1, p->first, number);
        go_to_endpoint(p, r, number);
        return chain_add_rule(c, r, "the first one");
}

/* ---- with affinity ---- */
static unsigned policy_reg(const struct pick *p)
{
        return 2 * p->address + 2;
}

static void load_client(const struct pick *p, struct nft_rule *r)
{
        static const uint8_t zero[16];

        nft_rule_saddr(r, p->ctx->family, 0);
        nft_rule_l4proto(r, p->address);
        if (p->target->kind == TARGET_NODE_PORT)
                nft_rule_immediate(r, p->address + 1, zero, 4UL * p->address);
        else
                nft_rule_daddr(r, p->ctx->family, p->address + 1);
        nft_rule_dport(r, 2 * p->address + 1);
}

/* Lets a map fill policy and endpoint, in words that the nft tool can follow (see above). */
static void ask_map(const struct pick *p, struct nft_rule *r, enum ruleset_set map, unsigned key)
{
        unsigned policy = policy_reg(p);
        uint32_t value = p->first & LOCAL_INDEX;

        nft_rule_daddr(r, p->ctx->family, policy + 1);
        nft_rule_dport(r, policy + 1 + p->address);
        nft_rule_map(r, set_name(p, map), key, policy);
        nft_rule_immediate(r, policy, &value, sizeof value);
}

static void remember(const struct pick *p, struct nft_rule *r, enum nft_dynset_ops op)
{
        nft_rule_dynset(r, op, set_name(p, SET_AFFINITY), 0, (int)policy_reg(p),
                        op == NFT_DYNSET_OP_DELETE ? 0 : (uint64_t)p->target->sticky_sec * 1000);
}

static void go_sticky(const struct pick *p, struct nft_rule *r)
{
        nft_rule_dnat(r, p->ctx->family, policy_reg(p) + 1, policy_reg(p) + 1 + p->address);
}

/* Where this client went before, if that endpoint is still good; its time starts anew. */
static int add_stick(const struct pick *p, struct ruleset_chain *c)
{
        struct nft_rule *r = nft_rule_new();

        load_client(p, r);
        ask_map(p, r, SET_AFFINITY, 0);
        nft_rule_lookup(r, set_name(p, SET_STICKY_GOOD), p->address + 1, false);
        remember(p, r, NFT_DYNSET_OP_UPDATE);
        go_sticky(p, r);
        return chain_add_rule(c, r, "where the client went before");
}

/* A record that leads to an endpoint that has gone: an update would keep its old data. */
static int add_forget(const struct pick *p, struct ruleset_chain *c)
{
        struct nft_rule *r = nft_rule_new();

        load_client(p, r);
        ask_map(p, r, SET_AFFINITY, 0);
        remember(p, r, NFT_DYNSET_OP_DELETE);
        return chain_add_rule(c, r, "that endpoint has gone");
}

static int add_sticky_choice(const struct pick *p, struct ruleset_chain *c, bool is_remembered)
{
        struct nft_rule *r = nft_rule_new();

        load_client(p, r);
        nft_rule_random(r, p->target->count, p->first, policy_reg(p));
        ask_map(p, r, SET_STICKY_ENDPOINTS, p->address);
        if (is_remembered)
                remember(p, r, NFT_DYNSET_OP_UPDATE);
        go_sticky(p, r);
        return chain_add_rule(c, r,
                              is_remembered ? "one at random, remembered"
                                            : "no room to remember: one at random");
}

static int add_sticky_first(const struct pick *p, struct ruleset_chain *c)
{
        struct nft_rule *r = nft_rule_new();

        load_client(p, r);
        nft_rule_random(r, 1, p->first, policy_reg(p));
        ask_map(p, r, SET_STICKY_ENDPOINTS, p->address);
        go_sticky(p, r);
        return chain_add_rule(c, r, "the first one");
}

static int build_sticky(const struct pick *p, struct ruleset_chain *c)
{
        int r = add_stick(p, c);

        if (r == 0)
                r = add_forget(p, c);
        if (r == 0)
                r = add_sticky_choice(p, c, true);
        if (r == 0)
                r = add_sticky_choice(p, c, false);
        return r == 0 ? add_sticky_first(p, c) : r;
}

/*
 * Policy Local is about traffic from outside. Asked by this cluster's pods or by the node itself,
 * the address behaves as if the traffic went out and came back by a load balancer: policy Cluster.
 */
static void short_circuit(const struct pick *p, struct nft_rule *r)
{
        if (p->target->kind == TARGET_NODE_PORT) {
                rule_node_port_key(r, 0);
                nft_rule_vmap(r, set_name(p, SET_SHORT_NODE_PORTS), 0);
        } else {
                rule_service_key(r, p->ctx->family, 0);
                nft_rule_vmap(r, set_name(p, SET_SHORT_IPS), 0);
        }
}

static int add_short_circuits(const struct pick *p, struct ruleset_chain *c)
{
        struct nft_rule *r;
        int result;

        if (p->ctx->detector != DETECTOR_NONE) {
                r = nft_rule_new();
                rule_from_pods(r, p->ctx, false);
                short_circuit(p, r);
                result = chain_add_rule(c, r, "a pod asks: all nodes' endpoints");
                if (result < 0)
                        return result;
        }
        /* its source address would be the address asked for, which the other node cannot answer */
        r = nft_rule_new();
        nft_rule_fib_type(r, NFTA_FIB_F_SADDR, 0);
        nft_rule_compare_u32(r, NFT_CMP_EQ, 0, RTN_LOCAL);
        rule_mark(r, p->ctx);
        short_circuit(p, r);
        return chain_add_rule(c, r, "the node asks: all nodes' endpoints");
}

static int add_mark(const struct pick *p, struct ruleset_chain *c)
{
        struct nft_rule *r = nft_rule_new();

        rule_mark(r, p->ctx);
        return chain_add_rule(c, r, "may cross to another node: hide the source");
}

static int build(const struct pick *p, struct ruleset_chain *c)
{
        int r = 0;

        if (p->target->variant == TARGET_MASQUERADE)
                r = add_mark(p, c);
        if (p->target->variant == TARGET_EXTERNAL_LOCAL)
                r = add_short_circuits(p, c);
        if (r < 0 || p->target->count == 0)
                return r;
        if (p->target->sticky_sec > 0)
                return build_sticky(p, c);
        r = add_choose(p, c);
        return r == 0 ? add_first(p, c) : r;
}

int ruleset_target_build(const struct ruleset_context *ctx, const struct ruleset_target *t,
                         struct ruleset_chain *ret)
{
        _cleanup_(ruleset_chain_done)
        struct ruleset_chain c = { 0 };
        struct pick p = {
                .ctx = ctx,
                .target = t,
                .address = ctx->family == AF_INET6 ? 4 : 1,
                .first = t->variant == TARGET_LOCAL || t->variant == TARGET_EXTERNAL_LOCAL
                                 ? LOCAL_INDEX
                                 : 0,
        };
        char name[TARGET_NAME_MAX];
        int r;

        c.name = strdup(ruleset_target_name(t, name));
        if (!c.name)
                return -ENOMEM;
        c.spec.name = c.name;
        r = build(&p, &c);
        if (r < 0)
                return r;
        *ret = c;
        c = (struct ruleset_chain){ 0 };
        return 0;
}
