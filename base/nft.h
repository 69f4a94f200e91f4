/*
 * nftables: typed operations on one table, committed as one nfnetlink transaction, and read back.
 *
 * Nothing here is text for a parser: names, addresses and comments travel as netlink attributes, so
 * no name can break out of anything. A batch collects operations and fails as a whole, on our side
 * (no memory) or on the kernel's (nothing has changed then).
 *
 * Key and data layout follow the kernel's registers: each field starts on 4 bytes and fills its
 * tail with zeros. Addresses and ports are in network byte order, marks and indexes in the host's.
 */
#pragma once
#include <netinet/in.h> /* before the kernel's headers, which give way to it */

#include <linux/netfilter.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/nf_tables.h>
#include <systemd/sd-event.h>

#include "base/err.h"

enum {
        NFT_FIELDS_MAX = 6,
        NFT_KEY_MAX = 64,      /* bytes of a key: all registers */
        NFT_COMMENT_MAX = 128, /* with its NUL; longer ones are cut. The nft tool shows no more */
};

enum nft_field { /* of a key or of a map's data */
                 NFT_FIELD_NONE,
                 NFT_FIELD_IPV4,
                 NFT_FIELD_IPV6,
                 NFT_FIELD_PROTOCOL, /* 1 byte: IPPROTO_TCP */
                 NFT_FIELD_PORT,     /* 2 bytes */
                 NFT_FIELD_MARK,     /* 4 bytes, host order; also for indexes */
                 NFT_FIELD_VERDICT,  /* data only */
                 _NFT_FIELD_MAX,
};

struct nft_set { /* or a map, when it has data */
        const char *name;
        enum nft_field key[NFT_FIELDS_MAX], data[NFT_FIELDS_MAX]; /* NONE ends */
        uint32_t flags; /* NFT_SET_INTERVAL, NFT_SET_TIMEOUT, NFT_SET_EVAL (filled by rules) */
        uint32_t size;  /* elements at most; 0: no limit */
        uint64_t timeout_msec; /* of elements, with NFT_SET_TIMEOUT; 0: each has its own */
};
size_t nft_fields_len(const enum nft_field list[static NFT_FIELDS_MAX]);

struct nft_chain {
        const char *name;
        const char *type; /* "filter", "nat"; NULL: not a base chain */
        int hook;         /* NF_INET_PRE_ROUTING, … */
        int priority;
};

struct nft_verdict {
        int code;          /* NFT_GOTO, NFT_JUMP, NFT_RETURN, NF_ACCEPT, NF_DROP */
        const char *chain; /* of goto and jump */
};

struct nft_element {
        const void *key;     /* nft_fields_len(set->key) bytes */
        const void *key_end; /* last key of the interval, in a set of several fields; or NULL */
        const void *data;    /* of a map that gives no verdict */
        struct nft_verdict verdict;
        const char *comment; /* or NULL */
        bool interval_end;   /* in a set of one field: first key behind the interval */
};

/* ---- rules: a list of expressions, each reading and writing 4-byte registers 0 to 15 ---- */
struct nft_rule;                     /* opaque */
struct nft_rule *nft_rule_new(void); /* NULL without memory: every call below takes that */
struct nft_rule *nft_rule_free(struct nft_rule *r);
DEFINE_CLEANUP(struct nft_rule *, nft_rule_free)
/* 64 bits over the expressions: kept in the rule's comment to know it again. 0: it failed. */
uint64_t nft_rule_hash(const struct nft_rule *r);

void nft_rule_payload(struct nft_rule *r, enum nft_payload_bases base, uint32_t offset,
                      uint32_t len, unsigned reg);
void nft_rule_saddr(struct nft_rule *r, int family, unsigned reg);
void nft_rule_daddr(struct nft_rule *r, int family, unsigned reg);
void nft_rule_l4proto(struct nft_rule *r, unsigned reg);
void nft_rule_dport(struct nft_rule *r, unsigned reg); /* of tcp, udp, sctp */
void nft_rule_meta(struct nft_rule *r, enum nft_meta_keys key, unsigned reg);
void nft_rule_meta_set(struct nft_rule *r, enum nft_meta_keys key, unsigned reg);
void nft_rule_ct(struct nft_rule *r, enum nft_ct_keys key, unsigned reg);
/* Address type (RTN_LOCAL, …) of source (NFTA_FIB_F_SADDR) or destination (NFTA_FIB_F_DADDR). */
void nft_rule_fib_type(struct nft_rule *r, uint32_t flags, unsigned reg);
/* The interface (index; 0: none) of the route to it; with NFTA_FIB_F_IIF: of one by which it came
 * in. */
void nft_rule_fib_oif(struct nft_rule *r, uint32_t flags, unsigned reg);
void nft_rule_immediate(struct nft_rule *r, unsigned reg, const void *data, size_t n);
/* reg = (reg & mask) ^ xor */
void nft_rule_bitwise(struct nft_rule *r, unsigned reg, const void *mask, const void * xor,
                      size_t n);
void nft_rule_compare(struct nft_rule *r, enum nft_cmp_ops op, unsigned reg, const void *data,
                      size_t n);
void nft_rule_compare_u32(struct nft_rule *r, enum nft_cmp_ops op, unsigned reg, uint32_t value);
void nft_rule_lookup(struct nft_rule *r, const char *set, unsigned key_reg, bool inverted);
void nft_rule_map(struct nft_rule *r, const char *map, unsigned key_reg, unsigned data_reg);
void nft_rule_vmap(struct nft_rule *r, const char *map, unsigned key_reg);
/* reg = offset + a random number below @modulus */
void nft_rule_random(struct nft_rule *r, uint32_t modulus, uint32_t offset, unsigned reg);
/* Adds, refreshes or deletes an element of a dynamic set; @data_reg < 0: a set without data. */
void nft_rule_dynset(struct nft_rule *r, enum nft_dynset_ops op, const char *set, unsigned key_reg,
                     int data_reg, uint64_t timeout_msec);
void nft_rule_dnat(struct nft_rule *r, int family, unsigned address_reg, unsigned port_reg);
void nft_rule_masquerade(struct nft_rule *r, uint32_t flags); /* NF_NAT_RANGE_… */
void nft_rule_reject(struct nft_rule *r, int family);         /* by ICMP port unreachable */
void nft_rule_reset(struct nft_rule *r); /* by TCP reset; the rule has matched TCP before it */
void nft_rule_counter(struct nft_rule *r);
void nft_rule_verdict(struct nft_rule *r, int code, const char *chain); /* @chain: goto, jump */

/* ---- a transaction ---- */
struct nft_batch; /* opaque */
/* @family: NFPROTO_IPV4, _IPV6, _INET. Operations come in the order they must be done. */
int nft_batch_new(int family, const char *table, struct nft_batch **ret);
struct nft_batch *nft_batch_free(struct nft_batch *b);
DEFINE_CLEANUP(struct nft_batch *, nft_batch_free)
size_t nft_batch_count(const struct nft_batch *b); /* operations; an element is one */

void nft_batch_add_table(struct nft_batch *b); /* fine when it exists */
/* Needs it to exist. What is in it goes too. */
void nft_batch_delete_table(struct nft_batch *b);
void nft_batch_add_chain(struct nft_batch *b, const struct nft_chain *chain);
void nft_batch_delete_chain(struct nft_batch *b, const char *chain);
void nft_batch_flush_chain(struct nft_batch *b, const char *chain);
/* Appends; @comment may be NULL. */
void nft_batch_add_rule(struct nft_batch *b, const char *chain, const struct nft_rule *rule,
                        const char *comment);
void nft_batch_add_set(struct nft_batch *b, const struct nft_set *set);
void nft_batch_flush_set(struct nft_batch *b, const char *set);
/* Fine when the same element exists; -EBUSY with other data, -EEXIST for another interval. */
void nft_batch_add_element(struct nft_batch *b, const struct nft_set *set,
                           const struct nft_element *element);
void nft_batch_delete_element(struct nft_batch *b, const struct nft_set *set,
                              const struct nft_element *element);

struct nft; /* opaque: the socket */
int nft_open(struct nft **ret, struct err *err);
struct nft *nft_free(struct nft *n);
DEFINE_CLEANUP(struct nft *, nft_free)

/**
 * nft_commit() - the whole batch or nothing
 * @generation: NULL, or the generation it was made for: -ERESTART when the ruleset is another now
 * Return: 0, also for an empty batch; negative errno: @err names operation and object.
 *         -EOPNOTSUPP, -EPROTONOSUPPORT, -EAFNOSUPPORT: this kernel has no nf_tables, or not for
 *         this family.
 */
int nft_commit(struct nft *n, struct nft_batch *b, const uint32_t *generation, struct err *err);
/* Counts the ruleset's changes, whoever made them. */
int nft_generation(struct nft *n, uint32_t *ret, struct err *err);
/* Returns when everybody who watches has been told of all changes up to @generation; -ERESTART when
 * there is a newer one. */
int nft_settle(struct nft *n, uint32_t generation, struct err *err);

/* ---- read back. A table that does not exist has nothing in it; -EINTR: changed meanwhile. ---- */
struct nft_found_chain {
        const char *name, *type; /* borrowed; type NULL: no base chain */
        int hook, priority;
        uint32_t policy, use; /* NF_ACCEPT; rules and references */
};
struct nft_found_rule {
        const char *chain, *comment; /* comment NULL: none */
        uint64_t handle;
};
struct nft_found_set {
        const char *name;
        uint32_t flags, key_len, data_len, size; /* data_len 0: no map or a verdict map */
        bool is_verdict_map;
        uint64_t timeout_msec;
};
int nft_list_chains(struct nft *n, int family, const char *table,
                    int (*fn)(const struct nft_found_chain *chain, void *userdata), void *userdata,
                    struct err *err);
int nft_list_rules(struct nft *n, int family, const char *table,
                   int (*fn)(const struct nft_found_rule *rule, void *userdata), void *userdata,
                   struct err *err);
int nft_list_sets(struct nft *n, int family, const char *table,
                  int (*fn)(const struct nft_found_set *set, void *userdata), void *userdata,
                  struct err *err);
/* Keys and data shorter than @set says are skipped as foreign. */
int nft_list_elements(struct nft *n, int family, const char *table, const struct nft_set *set,
                      int (*fn)(const struct nft_element *element, void *userdata), void *userdata,
                      struct err *err);
/**
 * nft_get_element() - the one element of that key
 * @key: nft_fields_len(set->key) bytes. Not for intervals
 * @fn:  called once, unless the kernel's answer is nothing that @set could hold
 * Return: 0; -ENOENT: there is no such element, set or table, without a word in @err.
 */
int nft_get_element(struct nft *n, int family, const char *table, const struct nft_set *set,
                    const void *key, int (*fn)(const struct nft_element *element, void *userdata),
                    void *userdata, struct err *err);
/* True when @set could be kept for @found: same keys, data, flags and limits. */
bool nft_set_matches(const struct nft_set *set, const struct nft_found_set *found);

/* ---- notice what others do to a table ---- */
struct nft_watch; /* opaque */
/*
 * @on_change: somebody but @own changed something in the table of that name in @family, or too much
 * happened to tell (NFPROTO_UNSPEC: any). One watch a process: each costs whoever commits.
 */
int nft_watch_new(sd_event *event, const char *table, const struct nft *own,
                  void (*on_change)(int family, void *userdata), void *userdata,
                  struct nft_watch **ret, struct err *err);
struct nft_watch *nft_watch_free(struct nft_watch *w);
DEFINE_CLEANUP(struct nft_watch *, nft_watch_free)
/*
 * Around a large commit of our own: the kernel would build a message for every element, which takes
 * longer than the commit. Pausing hands over what was told so far.
 */
int nft_watch_pause(struct nft_watch *w);
int nft_watch_resume(struct nft_watch *w);
