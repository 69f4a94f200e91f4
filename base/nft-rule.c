/* Expressions of a rule, as the attributes that NFTA_RULE_EXPRESSIONS holds. */
#include "base/nft-internal.h"

#include <errno.h>
#include <linux/icmpv6.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/ip_icmp.h>
#include <string.h>

#include "base/text.h"

enum { RULE_ROOM = 2048 }; /* our longest rule takes some 900 bytes */

struct nft_rule {
        struct nl_msg *m; /* owned; attributes only, its header means nothing */
        int result;       /* the first failure */
};

struct nft_rule *nft_rule_new(void)
{
        struct nft_rule *r = calloc(1, sizeof *r);

        if (!r)
                return NULL;
        r->m = nlmsg_alloc_size(NLMSG_HDRLEN + RULE_ROOM);
        if (!r->m)
                r->result = -ENOMEM;
        return r;
}

struct nft_rule *nft_rule_free(struct nft_rule *r)
{
        if (r)
                nlmsg_free(r->m);
        free(r);
        return NULL;
}

int nft_rule_bytes(const struct nft_rule *r, const void **ret, size_t *ret_len)
{
        if (!r || r->result < 0)
                return r ? r->result : -ENOMEM;
        *ret = nlmsg_data(nlmsg_hdr(r->m));
        *ret_len = (size_t)nlmsg_datalen(nlmsg_hdr(r->m));
        return 0;
}

uint64_t nft_rule_hash(const struct nft_rule *r)
{
        const void *bytes;
        size_t n;

        return nft_rule_bytes(r, &bytes, &n) < 0 ? 0 : fnv1a(bytes, n, FNV1A_SEED);
}

static void put(struct nft_rule *r, int type, const void *data, size_t n)
{
        if (r && r->result == 0 && nla_put(r->m, type, (int)n, data) < 0)
                r->result = -ENOSPC;
}

/* nf_tables speaks network byte order, registers and constants alike. */
static void put_u32(struct nft_rule *r, int type, uint32_t value)
{
        value = htonl(value);
        put(r, type, &value, sizeof value);
}

static void put_u64(struct nft_rule *r, int type, uint64_t value)
{
        value = htobe64(value);
        put(r, type, &value, sizeof value);
}

static void put_string(struct nft_rule *r, int type, const char *s)
{
        put(r, type, s, strlen(s) + 1);
}

static void put_reg(struct nft_rule *r, int type, unsigned reg)
{
        put_u32(r, type, NFT_REG32_00 + reg);
}

static struct nlattr *nest(struct nft_rule *r, int type)
{
        struct nlattr *a = NULL;

        if (r && r->result == 0) {
                a = nla_nest_start(r->m, type | NLA_F_NESTED);
                if (!a)
                        r->result = -ENOSPC;
        }
        return a;
}

static void nest_end(struct nft_rule *r, struct nlattr *a)
{
        if (r && r->result == 0 && a)
                nla_nest_end(r->m, a);
}

static void put_data(struct nft_rule *r, int type, const void *data, size_t n)
{
        struct nlattr *a = nest(r, type);

        put(r, NFTA_DATA_VALUE, data, n);
        nest_end(r, a);
}

struct expression {
        struct nlattr *element, *data;
};

static struct expression begin(struct nft_rule *r, const char *name)
{
        struct expression e = { .element = nest(r, NFTA_LIST_ELEM) };

        put_string(r, NFTA_EXPR_NAME, name);
        e.data = nest(r, NFTA_EXPR_DATA);
        return e;
}

static void end(struct nft_rule *r, struct expression e)
{
        nest_end(r, e.data);
        nest_end(r, e.element);
}

void nft_rule_payload(struct nft_rule *r, enum nft_payload_bases base, uint32_t offset,
                      uint32_t len, unsigned reg)
{
        struct expression e = begin(r, "payload");

        put_reg(r, NFTA_PAYLOAD_DREG, reg);
        put_u32(r, NFTA_PAYLOAD_BASE, base);
        put_u32(r, NFTA_PAYLOAD_OFFSET, offset);
        put_u32(r, NFTA_PAYLOAD_LEN, len);
        end(r, e);
}

void nft_rule_saddr(struct nft_rule *r, int family, unsigned reg)
{
        if (family == NFPROTO_IPV6)
                nft_rule_payload(r, NFT_PAYLOAD_NETWORK_HEADER, offsetof(struct ip6_hdr, ip6_src),
                                 16, reg);
        else
                nft_rule_payload(r, NFT_PAYLOAD_NETWORK_HEADER, offsetof(struct iphdr, saddr), 4,
                                 reg);
}

void nft_rule_daddr(struct nft_rule *r, int family, unsigned reg)
{
        if (family == NFPROTO_IPV6)
                nft_rule_payload(r, NFT_PAYLOAD_NETWORK_HEADER, offsetof(struct ip6_hdr, ip6_dst),
                                 16, reg);
        else
                nft_rule_payload(r, NFT_PAYLOAD_NETWORK_HEADER, offsetof(struct iphdr, daddr), 4,
                                 reg);
}

void nft_rule_l4proto(struct nft_rule *r, unsigned reg)
{
        nft_rule_meta(r, NFT_META_L4PROTO, reg);
}

void nft_rule_dport(struct nft_rule *r, unsigned reg)
{
        nft_rule_payload(r, NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2, reg);
}

void nft_rule_meta(struct nft_rule *r, enum nft_meta_keys key, unsigned reg)
{
        struct expression e = begin(r, "meta");

        put_u32(r, NFTA_META_KEY, key);
        put_reg(r, NFTA_META_DREG, reg);
        end(r, e);
}

void nft_rule_meta_set(struct nft_rule *r, enum nft_meta_keys key, unsigned reg)
{
        struct expression e = begin(r, "meta");

        put_u32(r, NFTA_META_KEY, key);
        put_reg(r, NFTA_META_SREG, reg);
        end(r, e);
}

void nft_rule_ct(struct nft_rule *r, enum nft_ct_keys key, unsigned reg)
{
        struct expression e = begin(r, "ct");

        put_u32(r, NFTA_CT_KEY, key);
        put_reg(r, NFTA_CT_DREG, reg);
        end(r, e);
}

static void add_fib(struct nft_rule *r, uint32_t flags, uint32_t result, unsigned reg)
{
        struct expression e = begin(r, "fib");

        put_u32(r, NFTA_FIB_FLAGS, flags);
        put_u32(r, NFTA_FIB_RESULT, result);
        put_reg(r, NFTA_FIB_DREG, reg);
        end(r, e);
}

void nft_rule_fib_type(struct nft_rule *r, uint32_t flags, unsigned reg)
{
        add_fib(r, flags, NFT_FIB_RESULT_ADDRTYPE, reg);
}

void nft_rule_fib_oif(struct nft_rule *r, uint32_t flags, unsigned reg)
{
        add_fib(r, flags, NFT_FIB_RESULT_OIF, reg);
}

void nft_rule_immediate(struct nft_rule *r, unsigned reg, const void *data, size_t n)
{
        struct expression e = begin(r, "immediate");

        put_reg(r, NFTA_IMMEDIATE_DREG, reg);
        put_data(r, NFTA_IMMEDIATE_DATA, data, n);
        end(r, e);
}

void nft_rule_bitwise(struct nft_rule *r, unsigned reg, const void *mask, const void * xor,
                      size_t n)
{
        struct expression e = begin(r, "bitwise");

        put_reg(r, NFTA_BITWISE_SREG, reg);
        put_reg(r, NFTA_BITWISE_DREG, reg);
        put_u32(r, NFTA_BITWISE_LEN, (uint32_t)n);
        put_data(r, NFTA_BITWISE_MASK, mask, n);
        put_data(r, NFTA_BITWISE_XOR, xor, n);
        end(r, e);
}

void nft_rule_compare(struct nft_rule *r, enum nft_cmp_ops op, unsigned reg, const void *data,
                      size_t n)
{
        struct expression e = begin(r, "cmp");

        put_reg(r, NFTA_CMP_SREG, reg);
        put_u32(r, NFTA_CMP_OP, op);
        put_data(r, NFTA_CMP_DATA, data, n);
        end(r, e);
}

void nft_rule_compare_u32(struct nft_rule *r, enum nft_cmp_ops op, unsigned reg, uint32_t value)
{
        nft_rule_compare(r, op, reg, &value, sizeof value);
}

void nft_rule_lookup(struct nft_rule *r, const char *set, unsigned key_reg, bool inverted)
{
        struct expression e = begin(r, "lookup");

        put_string(r, NFTA_LOOKUP_SET, set);
        put_reg(r, NFTA_LOOKUP_SREG, key_reg);
        if (inverted)
                put_u32(r, NFTA_LOOKUP_FLAGS, NFT_LOOKUP_F_INV);
        end(r, e);
}

void nft_rule_map(struct nft_rule *r, const char *map, unsigned key_reg, unsigned data_reg)
{
        struct expression e = begin(r, "lookup");

        put_string(r, NFTA_LOOKUP_SET, map);
        put_reg(r, NFTA_LOOKUP_SREG, key_reg);
        put_reg(r, NFTA_LOOKUP_DREG, data_reg);
        end(r, e);
}

void nft_rule_vmap(struct nft_rule *r, const char *map, unsigned key_reg)
{
        struct expression e = begin(r, "lookup");

        put_string(r, NFTA_LOOKUP_SET, map);
        put_reg(r, NFTA_LOOKUP_SREG, key_reg);
        put_u32(r, NFTA_LOOKUP_DREG, NFT_REG_VERDICT);
        end(r, e);
}

void nft_rule_random(struct nft_rule *r, uint32_t modulus, uint32_t offset, unsigned reg)
{
        struct expression e = begin(r, "numgen");

        put_reg(r, NFTA_NG_DREG, reg);
        put_u32(r, NFTA_NG_MODULUS, modulus);
        put_u32(r, NFTA_NG_TYPE, NFT_NG_RANDOM);
        put_u32(r, NFTA_NG_OFFSET, offset);
        end(r, e);
}

void nft_rule_dynset(struct nft_rule *r, enum nft_dynset_ops op, const char *set, unsigned key_reg,
                     int data_reg, uint64_t timeout_msec)
{
        struct expression e = begin(r, "dynset");

        put_string(r, NFTA_DYNSET_SET_NAME, set);
        put_u32(r, NFTA_DYNSET_OP, op);
        put_reg(r, NFTA_DYNSET_SREG_KEY, key_reg);
        if (data_reg >= 0)
                put_reg(r, NFTA_DYNSET_SREG_DATA, (unsigned)data_reg);
        if (timeout_msec > 0)
                put_u64(r, NFTA_DYNSET_TIMEOUT, timeout_msec);
        end(r, e);
}

void nft_rule_dnat(struct nft_rule *r, int family, unsigned address_reg, unsigned port_reg)
{
        struct expression e = begin(r, "nat");

        put_u32(r, NFTA_NAT_TYPE, NFT_NAT_DNAT);
        put_u32(r, NFTA_NAT_FAMILY, (uint32_t)family);
        put_reg(r, NFTA_NAT_REG_ADDR_MIN, address_reg);
        put_reg(r, NFTA_NAT_REG_PROTO_MIN, port_reg);
        end(r, e);
}

void nft_rule_masquerade(struct nft_rule *r, uint32_t flags)
{
        struct expression e = begin(r, "masq");

        if (flags)
                put_u32(r, NFTA_MASQ_FLAGS, flags);
        end(r, e);
}

void nft_rule_reject(struct nft_rule *r, int family)
{
        struct expression e = begin(r, "reject");
        uint8_t code = family == NFPROTO_IPV6   ? ICMPV6_PORT_UNREACH
                       : family == NFPROTO_IPV4 ? ICMP_PORT_UNREACH
                                                : NFT_REJECT_ICMPX_PORT_UNREACH;

        put_u32(r, NFTA_REJECT_TYPE,
                family == NFPROTO_INET ? NFT_REJECT_ICMPX_UNREACH : NFT_REJECT_ICMP_UNREACH);
        put(r, NFTA_REJECT_ICMP_CODE, &code, sizeof code);
        end(r, e);
}

void nft_rule_reset(struct nft_rule *r)
{
        struct expression e = begin(r, "reject");
        uint8_t code = 0;

        put_u32(r, NFTA_REJECT_TYPE, NFT_REJECT_TCP_RST);
        put(r, NFTA_REJECT_ICMP_CODE, &code, sizeof code);
        end(r, e);
}

void nft_rule_counter(struct nft_rule *r)
{
        end(r, begin(r, "counter"));
}

void nft_rule_verdict(struct nft_rule *r, int code, const char *chain)
{
        struct expression e = begin(r, "immediate");
        struct nlattr *data, *verdict;

        put_u32(r, NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
        data = nest(r, NFTA_IMMEDIATE_DATA);
        verdict = nest(r, NFTA_DATA_VERDICT);
        put_u32(r, NFTA_VERDICT_CODE, (uint32_t)code);
        if (chain)
                put_string(r, NFTA_VERDICT_CHAIN, chain);
        nest_end(r, verdict);
        nest_end(r, data);
        end(r, e);
}
