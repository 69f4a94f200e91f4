/*
 * A v1.Node as the proxy sees it, and what all Nodes together say about the cluster's network.
 * Pure.
 */
#pragma once
#include <jansson.h>

#include "base/err.h"
#include "base/ip.h"

struct node {
        char *name; /* owned */
        char *zone; /* owned; topology.kubernetes.io/zone; "" when it has none */
        struct cidr pod_cidrs[2];
        size_t n_pod_cidrs;
        struct ip *addresses; /* owned; InternalIPs in order, then ExternalIPs in order */
        size_t n_addresses, n_internal;
        bool is_eligible; /* for a load balancer: it stays */
};
/* -EINVAL with the path in @err; -ENOMEM. */
int node_decode(const json_t *object, struct node **ret, struct err *err);
struct node *node_free(struct node *n);
DEFINE_CLEANUP(struct node *, node_free)
/* True when nothing that is kept differs. */
bool node_equal(const struct node *a, const struct node *b);
/* The first InternalIP of @family, else the first ExternalIP; NULL: none. */
const struct ip *node_address(const struct node *n, int family);

/* ---- all Nodes ---- */
struct network {               /* in one go for both families; the ranges are in no order */
        struct ip_range *pods; /* owned; podCIDRs of all nodes */
        size_t n_pods;
        struct ip_range *own_pods; /* owned; of this node */
        size_t n_own_pods;
        struct ip *addresses; /* owned; of all nodes, sorted by ip_compare() */
        size_t n_addresses;
};
void network_done(struct network *n);
/* @own: may be NULL. */
int network_build(const struct node *const *nodes, size_t n_nodes, const struct node *own,
                  struct network *ret);
/**
 * network_unmasqueraded() - where this cluster's pods keep their own address: all pods, all nodes,
 * and multicast
 * @extra: further ranges of pods (clusterCIDR)
 * @ret: owned
 */
int network_unmasqueraded(const struct network *n, const struct cidr *extra, size_t n_extra,
                          struct ip_range **ret, size_t *ret_n);

struct node_route { /* wanted or found: how this node reaches another's pods */
        struct cidr dst;
        struct ip via; /* family 0: unreachable, so that a pod that has gone is told at once */
};
/**
 * node_routes_wanted() - a route for each podCIDR of the other nodes, by a node address of the same
 * family, and an end for our own podCIDRs; sorted by destination. A range that two nodes have goes
 * to the first by name. None at all as long as @own is NULL.
 * @ret: owned
 */
int node_routes_wanted(const struct node *const *nodes, size_t n_nodes, const struct node *own,
                       struct node_route **ret, size_t *ret_n);
int node_route_compare(const void *a, const void *b); /* by destination */
