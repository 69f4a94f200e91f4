/*
 * The nftables that make Services work, as data. Pure.
 *
 * A constant number of rules, and maps that hold what differs from Service to Service; a packet
 * costs the same with ten Services and with ten thousand. The first packet of a flow to a Service
 *
 *   1. meets one verdict map by (address, protocol, port), or by (protocol, port) on the node's own
 *      addresses, which sends it to a *pick* chain. Pick chains are shared: there is one for each
 *      number of endpoints that occurs ("ip-3"), because a random number needs a constant modulus;
 *   2. the pick chain looks up (address, protocol, port, random number) in the one map of all
 *      endpoints and translates the destination.
 *
 * Endpoints of traffic policy Local are in the same map, at numbers from LOCAL_INDEX on. Session
 * affinity is one map that the rules fill themselves, checked against a set of those endpoints that
 * are still good, so that a flow never sticks to an endpoint that has gone. It is kept by the
 * address that was asked for (kube-proxy has one for all addresses of a Service port).
 *
 * People and programs list the whole machine's rules with the nft tool, and Debian 12's aborts over
 * expressions that it would not have written itself: what a map answers must not be part of a
 * further key. That is why every address that leads to a Service has its endpoints under its own
 * name; see ruleset-pick.c for how affinity gets by.
 *
 * Both families have the same tables, each in a table of its own.
 */
#pragma once
#include "base/nft.h"
#include "netproxy/endpoints.h"

enum ruleset_set {
        /* filled from Services and EndpointSlices, element by element */
        SET_CLUSTER_IPS,         /* every cluster IP, also those without endpoints */
        SET_SERVICE_IPS,         /* cluster IPs, external IPs, VIPs -> pick chain */
        SET_SERVICE_NODE_PORTS,  /* node ports -> pick chain */
        SET_ENDPOINTS,           /* address, protocol, port, number -> endpoint */
        SET_NODE_PORT_ENDPOINTS, /* protocol, port, number -> endpoint */
        SET_STICKY_ENDPOINTS,    /* the same for session affinity; node ports at address 0 */
        SET_STICKY_GOOD,         /* endpoints that a client may go on with */
        SET_SHORT_IPS,           /* policy Local, asked from inside: as if it were Cluster */
        SET_SHORT_NODE_PORTS,    /* likewise */
        SET_NO_ENDPOINT_IPS,     /* refuse or drop */
        SET_NO_ENDPOINT_NODE_PORTS,
        SET_FIREWALL_IPS,     /* VIPs with loadBalancerSourceRanges … */
        SET_FIREWALL_SOURCES, /* … and who may */
        SET_HAIRPIN,          /* local endpoints that may reach themselves through a Service */
        _SET_ELEMENTS_MAX,
        /* ranges of addresses, replaced whole */
        SET_POD_IPS = _SET_ELEMENTS_MAX, /* all pods of the cluster */
        SET_NODE_POD_IPS,                /* the pods of this node */
        SET_CLUSTER_NET,                 /* where pods are seen by their own address */
        SET_NODE_PORT_IPS,               /* the node's addresses that serve node ports */
        SET_SERVICE_CIDRS,               /* where cluster IPs are handed out */
        _SET_RANGES_MAX,
        /* filled by rules, never by us */
        SET_AFFINITY = _SET_RANGES_MAX,
        _SET_MAX,
};
const struct nft_set *ruleset_set(int family, enum ruleset_set set);
/* The set of that name, or _SET_MAX. */
enum ruleset_set ruleset_set_find(const char *name);
static inline bool ruleset_set_has_ranges(enum ruleset_set set)
{
        return set >= SET_POD_IPS && set <= SET_SERVICE_CIDRS && set != SET_NODE_PORT_IPS;
}

/* How packets of this cluster's pods are recognised. */
enum ruleset_detector {
        DETECTOR_NONE,         /* they are not */
        DETECTOR_POD_IPS,      /* by SET_POD_IPS */
        DETECTOR_NODE_POD_IPS, /* by SET_NODE_POD_IPS */
        DETECTOR_INTERFACE,    /* by the interface they come in by */
        DETECTOR_PREFIX,       /* by the first letters of its name */
};
struct ruleset_context {
        int family;           /* AF_INET, AF_INET6: also nftables' own numbers */
        uint32_t mark;        /* bit of the packet mark that asks for masquerade */
        bool masquerade_all;  /* everything that goes to a cluster IP */
        bool masquerade_pods; /* what this node's pods send out of the cluster */
        bool node_ports_any;  /* on all local addresses but loopback, not SET_NODE_PORT_IPS */
        bool drop_invalid;    /* packets of pods that belong to no connection (NW-07) */
        enum ruleset_detector detector;
        const char *interface; /* borrowed; DETECTOR_INTERFACE, DETECTOR_PREFIX */
        /* for the elements */
        struct ip node_ip;               /* of this family; family 0: not known */
        const struct ip *node_addresses; /* borrowed; of all nodes: no Service may claim them */
        size_t n_node_addresses;         /* sorted by ip_compare() */
        const char *zone;                /* borrowed; "" when it has none */
};

struct ruleset_rule {
        struct nft_rule *rule; /* owned */
        char *comment;         /* owned; what it is for, and its hash */
};
struct ruleset_chain {
        struct nft_chain spec;      /* name: owned as .name */
        char *name;                 /* owned */
        struct ruleset_rule *rules; /* owned */
        size_t n_rules;
};
void ruleset_chain_done(struct ruleset_chain *c);
/* All comments in a row: two chains with the same one do the same. Owned; NULL without memory. */
char *ruleset_chain_signature(const struct ruleset_chain *c);

struct ruleset {                      /* what does not depend on any Service */
        struct ruleset_chain *chains; /* owned */
        size_t n_chains;
};
int ruleset_build(const struct ruleset_context *ctx, struct ruleset *ret);
void ruleset_done(struct ruleset *r);

/* ---- where a verdict map sends a packet ---- */
enum target_kind {
        TARGET_NONE,
        TARGET_DROP,
        TARGET_REJECT,
        TARGET_IP,        /* pick by destination address, protocol and port */
        TARGET_NODE_PORT, /* by protocol and port */
};
enum target_variant {
        TARGET_PLAIN,
        TARGET_MASQUERADE,     /* and the source is hidden: it may cross to another node */
        TARGET_LOCAL,          /* local endpoints */
        TARGET_EXTERNAL_LOCAL, /* local endpoints; asked from inside, those of all nodes */
        _TARGET_VARIANT_MAX,
};
struct ruleset_target {
        uint8_t kind, variant;
        uint16_t count;      /* of endpoints */
        uint32_t sticky_sec; /* session affinity; 0: none */
};
enum { TARGET_NAME_MAX = 64 };
static inline bool ruleset_target_has_chain(const struct ruleset_target *t)
{
        return t->kind >= TARGET_IP;
}
/* Its chain: "ip-masquerade-3-sticky-10800"; "reject". Returns buf. */
const char *ruleset_target_name(const struct ruleset_target *t, char buf[static TARGET_NAME_MAX]);
/* The other way: false for a chain that is no pick chain. */
bool ruleset_target_parse(const char *name, struct ruleset_target *ret);
struct nft_verdict ruleset_target_verdict(const struct ruleset_target *t,
                                          char buf[static TARGET_NAME_MAX]);
bool ruleset_target_of_verdict(const struct nft_verdict *v, struct ruleset_target *ret);
int ruleset_target_build(const struct ruleset_context *ctx, const struct ruleset_target *t,
                         struct ruleset_chain *ret);

/* ---- what one Service puts into the sets ---- */
enum {
        RULESET_KEY_MAX = 80,   /* IPv6: address, protocol, port and source, first and last */
        RULESET_VALUE_MAX = 24, /* data, or a struct ruleset_target */
        LOCAL_INDEX = 1 << 30,
};
/* Bytes of an element's key as given to the sink: key, and the interval's last key behind it. */
size_t ruleset_key_len(int family, enum ruleset_set set);
/* Bytes of its value: data, or struct ruleset_target for a verdict map; 0 for a set. */
size_t ruleset_value_len(int family, enum ruleset_set set);

/* Keys by which packets find an element; each fills what ruleset_key_len() says. */
void ruleset_key_service(const struct ip *ip, uint8_t protocol, uint16_t port,
                         uint8_t key[static RULESET_KEY_MAX]);
void ruleset_key_node_port(uint8_t protocol, uint16_t port, uint8_t key[static RULESET_KEY_MAX]);
/* Of the endpoint of that number, behind a target of that kind (TARGET_IP, TARGET_NODE_PORT). */
void ruleset_key_endpoint(const struct ruleset_target *t, const struct ip *ip, uint8_t protocol,
                          uint16_t port, uint32_t number, uint8_t key[static RULESET_KEY_MAX]);
/* The set that has it, and what its value says. */
enum ruleset_set ruleset_endpoint_set(const struct ruleset_target *t);
void ruleset_read_endpoint(const struct ruleset_target *t, int family, const void *value,
                           struct ip *ret_ip, uint16_t *ret_port);

struct ruleset_sink {
        /* @rank: 0 for a cluster IP, which is nobody else's; 1 for what may be claimed by two */
        int (*emit)(enum ruleset_set set, const void *key, const void *value, int rank,
                    void *userdata);
        void *userdata;
};
enum { RULESET_LEFT_OUT = 1 };
/**
 * ruleset_service() - everything that @s needs in one family
 * @slices: of this Service
 * Return: 0; RULESET_LEFT_OUT when an external IP is a node's own address and was left out; else
 * what the sink returned, or -ENOMEM.
 */
int ruleset_service(const struct ruleset_context *ctx, const struct service *s,
                    const struct endpoint_slice *const *slices, size_t n_slices,
                    const struct ruleset_sink *sink);
