/*
 * Pick chains: choose one of N endpoints and translate the destination to it.
 *
 * Registers, in 4-byte words; A is the length of an address (1 or 4):
 *
 *      0        source address (only with session affinity)
 *      S        cluster IP, protocol, port: the Service port's name, A + 2 words
 *      E        random number; then the endpoint's address and port, A + 1 words
 *
 * The number is read as part of the key and overwritten by what the map answers.
 */
#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "netproxy/ruleset-rule.h"

static const char *const kind_names[] = {
        [TARGET_CLUSTER_IP] = "cluster-ip",
        [TARGET_EXTERNAL_IP] = "external-ip",
        [TARGET_NODE_PORT] = "node-port",
};
static const char *const variant_names[] = {
        [TARGET_PLAIN] = "",
        [TARGET_MASQUERADE] = "masquerade-",
        [TARGET_LOCAL] = "local-",
};
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

        for (uint8_t kind = TARGET_CLUSTER_IP; kind <= TARGET_NODE_PORT; kind++) {
                const char *rest = startswith(name, kind_names[kind]);

                if (!rest || *rest++ != '-')
                        continue;
                for (uint8_t variant = TARGET_PLAIN; variant <= TARGET_LOCAL; variant++) {
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
        unsigned address, service, endpoint; /* words of an address; registers S and E */
};

static const char *set_name(const struct pick *p, enum ruleset_set set)
{
        return ruleset_set(p->ctx->family, set)->name;
}

/* The Service port's name from S on. */
static void load_service(const struct pick *p, struct nft_rule *r)
{
        switch (p->target->kind) {
        case TARGET_EXTERNAL_IP:
                rule_service_key(r, p->ctx->family, p->service);
                nft_rule_map(r, set_name(p, SET_EXTERNAL_IPS), p->service, p->service);
                break;
        case TARGET_NODE_PORT:
                rule_node_port_key(r, p->service);
                nft_rule_map(r, set_name(p, SET_NODE_PORTS), p->service, p->service);
                break;
        default:
                rule_service_key(r, p->ctx->family, p->service);
        }
}

static void load_client(const struct pick *p, struct nft_rule *r)
{
        if (p->target->sticky_sec > 0)
                nft_rule_saddr(r, p->ctx->family, 0);
        load_service(p, r);
}

static uint32_t first_index(const struct pick *p)
{
        return p->target->variant == TARGET_LOCAL ? LOCAL_INDEX : 0;
}

static void load_random_endpoint(const struct pick *p, struct nft_rule *r)
{
        nft_rule_random(r, p->target->count, first_index(p), p->endpoint);
        nft_rule_map(r, set_name(p, SET_ENDPOINTS), p->service, p->endpoint);
}

static void translate(const struct pick *p, struct nft_rule *r)
{
        nft_rule_dnat(r, p->ctx->family, p->endpoint, p->endpoint + p->address);
}

static uint64_t sticky_msec(const struct pick *p)
{
        return (uint64_t)p->target->sticky_sec * 1000;
}

/* Where this client went before, if that endpoint is still good; its time starts anew. */
static int add_stick(const struct pick *p, struct ruleset_chain *c)
{
        enum ruleset_set good = p->target->variant == TARGET_LOCAL ? SET_AFFINITY_LOCAL
                                                                   : SET_AFFINITY_CLUSTER;
        struct nft_rule *r = nft_rule_new();

        load_client(p, r);
        nft_rule_map(r, set_name(p, SET_AFFINITY), 0, p->endpoint);
        nft_rule_lookup(r, set_name(p, good), p->service, false);
        nft_rule_dynset(r, NFT_DYNSET_OP_UPDATE, set_name(p, SET_AFFINITY), 0, (int)p->endpoint,
                        sticky_msec(p));
        translate(p, r);
        return chain_add_rule(c, r, "where the client went before");
}

/* A record that leads to an endpoint that has gone: an update would keep its old data. */
static int add_forget(const struct pick *p, struct ruleset_chain *c)
{
        struct nft_rule *r = nft_rule_new();

        load_client(p, r);
        nft_rule_map(r, set_name(p, SET_AFFINITY), 0, p->endpoint);
        nft_rule_dynset(r, NFT_DYNSET_OP_DELETE, set_name(p, SET_AFFINITY), 0, (int)p->endpoint, 0);
        return chain_add_rule(c, r, "that endpoint has gone");
}

static int add_choose_and_remember(const struct pick *p, struct ruleset_chain *c)
{
        struct nft_rule *r = nft_rule_new();

        load_client(p, r);
        load_random_endpoint(p, r);
        nft_rule_dynset(r, NFT_DYNSET_OP_UPDATE, set_name(p, SET_AFFINITY), 0, (int)p->endpoint,
                        sticky_msec(p));
        translate(p, r);
        return chain_add_rule(c, r, "one at random, remembered");
}

static int add_choose(const struct pick *p, struct ruleset_chain *c)
{
        struct nft_rule *r = nft_rule_new();

        load_service(p, r);
        load_random_endpoint(p, r);
        translate(p, r);
        return chain_add_rule(c, r, "one at random");
}

/*
 * The number of endpoints may have changed between the verdict map and here, so that the number
 * drawn exists no more. The first endpoint always does.
 */
static int add_first(const struct pick *p, struct ruleset_chain *c)
{
        uint32_t index = first_index(p);
        struct nft_rule *r = nft_rule_new();

        load_service(p, r);
        nft_rule_immediate(r, p->endpoint, &index, sizeof index);
        nft_rule_map(r, set_name(p, SET_ENDPOINTS), p->service, p->endpoint);
        translate(p, r);
        return chain_add_rule(c, r, "the first one");
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
        bool is_external = p->target->kind != TARGET_CLUSTER_IP;
        int r = 0;

        if (p->target->variant == TARGET_MASQUERADE)
                r = add_mark(p, c);
        if (r == 0 && p->target->variant == TARGET_LOCAL && is_external)
                r = add_short_circuits(p, c);
        if (r < 0 || p->target->count == 0)
                return r;
        if (p->target->sticky_sec > 0) {
                r = add_stick(p, c);
                if (r == 0)
                        r = add_forget(p, c);
                if (r == 0)
                        r = add_choose_and_remember(p, c);
                /* and when no more clients can be remembered: */
        }
        if (r == 0)
                r = add_choose(p, c);
        return r == 0 ? add_first(p, c) : r;
}

int ruleset_target_build(const struct ruleset_context *ctx, const struct ruleset_target *t,
                         struct ruleset_chain *ret)
{
        _cleanup_(ruleset_chain_done)
        struct ruleset_chain c = { 0 };
        unsigned address = ctx->family == AF_INET6 ? 4 : 1;
        unsigned service = t->sticky_sec > 0 ? address : 0;
        struct pick p = {
                .ctx = ctx,
                .target = t,
                .address = address,
                .service = service,
                .endpoint = service + address + 2,
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
