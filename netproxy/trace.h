/*
 * What becomes of a packet to an address and port: the rules of ruleset.h, followed by hand through
 * the elements that are in the sets. Pure: who asks says how to look into a set, so that the same
 * walk is made through what we think is installed and through what the kernel has.
 */
#pragma once
#include "netproxy/ruleset.h"

enum trace_from {                     /* who sends it: the rules tell these apart */
                  TRACE_FROM_PODS,    /* of this node */
                  TRACE_FROM_NODE,    /* this node itself */
                  TRACE_FROM_OUTSIDE, /* everybody else whose packets come here */
                  _TRACE_FROM_MAX,
};
enum trace_verdict {
        TRACE_PASSES,  /* nothing of ours is about it */
        TRACE_SENT,    /* to one of the endpoints */
        TRACE_REFUSED, /* by TCP reset, or ICMP port unreachable */
        TRACE_DROPPED,
        _TRACE_VERDICT_MAX,
};
enum trace_reason { /* of the verdict */
                    TRACE_BECAUSE_NOTHING,
                    TRACE_BECAUSE_NO_ENDPOINTS,       /* nowhere */
                    TRACE_BECAUSE_NO_LOCAL_ENDPOINTS, /* policy Local, and none here */
                    TRACE_BECAUSE_NO_SUCH_PORT,       /* of that cluster IP */
                    TRACE_BECAUSE_NO_SUCH_SERVICE,    /* where cluster IPs are handed out */
                    TRACE_BECAUSE_LOOPBACK,           /* node ports are not served there */
                    _TRACE_REASON_MAX,
};
struct trace_endpoint {
        struct ip ip;
        uint16_t port;
};
struct trace_way {
        uint8_t verdict, reason;
        bool masquerade, by_node_port;
        uint32_t sticky_sec;              /* session affinity; 0: none */
        size_t missing;                   /* endpoints whose number leads nowhere */
        struct trace_endpoint *endpoints; /* owned; each as likely as the others */
        size_t n_endpoints;
};
struct trace {
        bool is_cluster_ip;
        bool is_guarded; /* by loadBalancerSourceRanges: who is in none of them is dropped */
        enum ruleset_set found_in; /* the element that decided; _SET_MAX: none */
        struct trace_way ways[_TRACE_FROM_MAX];
};
void trace_done(struct trace *t);
bool trace_equal(const struct trace *a, const struct trace *b);
bool trace_way_equal(const struct trace_way *a, const struct trace_way *b);
const char *trace_verdict_name(enum trace_verdict v); /* "sent" */
const char *trace_from_name(enum trace_from f);       /* "pods" */
/* A sentence's half; "" for nothing. */
const char *trace_reason_text(enum trace_reason r);

struct trace_query {
        struct ip ip;
        uint8_t protocol;
        uint16_t port;
        bool serves_node_ports; /* it is an address of this node that does */
        bool is_handed_out;     /* it lies where cluster IPs are handed out */
};
struct trace_sets {
        /* 1: @ret_value is filled (NULL: not wanted); 0: no such element; negative errno */
        int (*find)(enum ruleset_set set, const void *key, void *ret_value, void *userdata);
        void *userdata;
};
/* 0; -ENOMEM; or what a look into a set returned. */
int trace_run(const struct ruleset_context *ctx, const struct trace_query *q,
              const struct trace_sets *sets, struct trace *ret);
