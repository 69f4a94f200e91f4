/*
 * Which UDP flows lead to where no endpoint is any more. Pure.
 *
 * A UDP client may go on for ever on one flow, and what a flow was translated to when it began is
 * what it keeps. So after endpoints changed, those flows are looked for that went to an address of
 * the Service and are answered by nobody who serves it.
 */
#pragma once
#include "netproxy/endpoints.h"

struct udp_endpoint {
        struct ip ip;
        uint16_t port;
};
struct udp_servers {   /* of a Service port: those that serve, ready or not; sorted */
        unsigned refs; /* one list for all addresses of the port */
        size_t n;
        struct udp_endpoint items[];
};
struct udp_frontend { /* an address by which a Service port is reached */
        struct ip ip; /* all zero with the family set: a node port, on any address */
        uint16_t port;
        struct udp_servers *good; /* owned reference */
};
struct udp_plan {                       /* { 0 } is empty */
        struct udp_frontend *frontends; /* owned; sorted when .is_sorted */
        size_t n;
        bool is_sorted;
};
void udp_plan_done(struct udp_plan *p);

/**
 * udp_plan_add() - what concerns one changed Service; a later call for the same address wins
 * @before: as it was in the tables, or NULL: addresses that it no longer has lead to nobody
 * @now:    or NULL
 * Nothing is added for Services without UDP ports.
 */
int udp_plan_add(struct udp_plan *p, const struct service *before, const struct service *now,
                 const struct endpoint_slice *const *slices, size_t n_slices);

struct udp_flow {
        struct ip src, dst; /* as the client sent it */
        uint16_t src_port, dst_port;
        struct ip answers; /* who answers */
        uint16_t answers_port;
};
bool udp_flow_is_stale(struct udp_plan *p, const struct udp_flow *flow);
