/*
 * EndpointSlices, decoded once, and which of a Service's endpoints traffic goes to. Pure.
 *
 * What depends on which node this is (is an endpoint local, is it hinted for this node) is settled
 * when a slice is decoded; zones are kept, since a node's zone label may change.
 */
#pragma once
#include "netproxy/service.h"

enum endpoint_flags {
        ENDPOINT_READY = 1 << 0,
        ENDPOINT_SERVING = 1 << 1,
        ENDPOINT_TERMINATING = 1 << 2,
        ENDPOINT_LOCAL = 1 << 3,         /* runs on this node */
        ENDPOINT_HAS_NODE_HINT = 1 << 4, /* hinted for certain nodes … */
        ENDPOINT_NODE_HINTED = 1 << 5,   /* … of which this is one */
};

struct slice_endpoint {
        struct ip ip;
        uint8_t flags;
        uint32_t node; /* where its name begins in the slice's .nodes */
        char **zones;  /* owned; zone hints; NULL: none */
};
struct slice_port {
        char *name; /* owned; "" when it has none */
        uint8_t protocol;
        uint16_t port;
};
struct endpoint_slice {
        char *service;                    /* owned; "namespace/name" of the Service it belongs to */
        int family;                       /* AF_INET, AF_INET6 */
        struct slice_endpoint *endpoints; /* owned */
        size_t n_endpoints;
        char *nodes; /* owned; an empty name, and those of other nodes, each once with its NUL;
                        NULL: all endpoints are here or nowhere */
        struct slice_port *ports; /* owned */
        size_t n_ports;
        usec_t triggered; /* last-change-trigger-time annotation; 0: none */
};

/**
 * endpoint_slice_decode() - takes a discovery.k8s.io/v1 EndpointSlice apart
 * @node: this node's name
 * @ret:  set on success; NULL for one that is of no use (FQDN, no Service, headless)
 * Endpoints that may not be programmed are left out; @err says so although 0 is returned.
 * Return: 0; -EINVAL with the path in @err; -ENOMEM.
 * Source: kubernetes pkg/proxy/endpointslicecache.go.
 */
int endpoint_slice_decode(const json_t *object, const char *node, struct endpoint_slice **ret,
                          struct err *err);
struct endpoint_slice *endpoint_slice_free(struct endpoint_slice *s);
DEFINE_CLEANUP(struct endpoint_slice *, endpoint_slice_free)

struct endpoint { /* of one Service port */
        struct ip ip;
        uint16_t port;
        uint8_t flags;
        const char *node;   /* borrowed from its slice; "": this one, or not said */
        char *const *zones; /* likewise */
};
/* An endpoint list; pointers into the slices stay valid as long as those do. */
struct endpoint_list {
        struct endpoint *items; /* owned */
        size_t n;
};
void endpoint_list_done(struct endpoint_list *l);

/**
 * endpoints_collect() - all endpoints of one Service port, from all its slices
 * Of duplicates (a pod that moves between slices) the one that does not terminate wins; sorted by
 * address and port, so that every node and every run comes to the same order.
 */
int endpoints_collect(const struct endpoint_slice *const *slices, size_t n_slices,
                      const char *port_name, uint8_t protocol, int family,
                      struct endpoint_list *ret);

/* Every address of @family once, with port 0, whatever ports it has. Sorted likewise. */
int endpoints_collect_addresses(const struct endpoint_slice *const *slices, size_t n_slices,
                                int family, struct endpoint_list *ret);

/* How many addresses on this node are ready, whatever their ports: a load balancer's weight. */
int endpoints_count_local(const struct endpoint_slice *const *slices, size_t n_slices, int family,
                          size_t *ret);

struct endpoint_selection {
        struct endpoint_list cluster, local; /* by traffic policy; empty when it is not used */
        bool has_any;                        /* somewhere in the cluster is one that serves */
};
void endpoint_selection_done(struct endpoint_selection *s);
/**
 * endpoints_select() - those that traffic may go to
 * @zone: of this node; "" when it has none
 * Source: kubernetes pkg/proxy/topology.go (CategorizeEndpoints).
 */
int endpoints_select(const struct endpoint_list *all, bool uses_cluster, bool uses_local,
                     const char *zone, struct endpoint_selection *ret);

/* Whether traffic goes to an endpoint, and why not. */
enum endpoint_fate {
        ENDPOINT_CHOSEN,
        ENDPOINT_CHOSEN_LEAVING, /* it terminates, but none is ready */
        ENDPOINT_NOT_READY,
        ENDPOINT_LEAVING,     /* it terminates, and others are ready */
        ENDPOINT_GONE,        /* it terminates, and does not serve any more */
        ENDPOINT_OTHER_NODES, /* topology hints lead other nodes to it */
        ENDPOINT_OTHER_ZONES, /* likewise */
        ENDPOINT_NOT_LOCAL,   /* policy Local, and it is on another node */
        _ENDPOINT_FATE_MAX,
};
struct endpoint_policy { /* what decides about all endpoints of a port; { 0 } is fresh */
        bool local;      /* traffic policy */
        bool any_ready;  /* one that it could take is */
        uint8_t topology;
        const char *zone; /* borrowed */
};
struct endpoint_policy endpoint_policy_of(const struct endpoint_list *all, bool local,
                                          const char *zone);
enum endpoint_fate endpoint_fate_of(const struct endpoint *e, const struct endpoint_policy *p);
static inline bool endpoint_is_chosen(enum endpoint_fate fate)
{
        return fate <= ENDPOINT_CHOSEN_LEAVING;
}
/* "hinted for other zones"; "" for one that is simply chosen. */
const char *endpoint_fate_text(enum endpoint_fate fate);
