/*
 * A v1.Service as the proxy sees it: decoded once, compact, never changed after. Pure.
 *
 * The rules that depend on one family or on several fields (which cluster IP, is it reachable from
 * outside, does it need local endpoints) are functions here, so that nobody else looks at fields.
 */
#pragma once
#include <jansson.h>

#include "base/err.h"
#include "base/ip.h"
#include "base/usec.h"

struct service_port {
        char *name;               /* owned; "" when it has none */
        uint8_t protocol;         /* IPPROTO_TCP, _UDP, _SCTP */
        uint16_t port, node_port; /* node_port 0: none */
};

struct service { /* counted: whoever wrote it into tables may outlive who decoded it */
        unsigned refs;
        uint8_t type;   /* see service_type_name() */
        char *key;      /* owned; "namespace/name" */
        usec_t created; /* of two that claim the same address the older one wins */
        struct ip cluster_ips[2];
        size_t n_cluster_ips;
        struct ip *external_ips, *vips; /* owned; vips: of load balancers that deliver to us */
        size_t n_external_ips, n_vips;
        struct cidr *source_ranges; /* owned; of vips */
        size_t n_source_ranges;
        bool external_local, internal_local; /* traffic policies; external only where it applies */
        uint32_t affinity_sec;               /* ClientIP; 0: none */
        uint16_t health_check_node_port;     /* 0: none */
        struct service_port *ports;          /* owned */
        size_t n_ports;
};

/**
 * service_decode() - takes a v1.Service apart
 * @ret: set on success; NULL for one that is not proxied (headless, ExternalName, another's)
 * Addresses that may lead nowhere are left out; @err says so although 0 is returned.
 * Return: 0; -EINVAL with the path in @err; -ENOMEM.
 * Source: kubernetes pkg/proxy/serviceport.go.
 */
int service_decode(const json_t *object, struct service **ret, struct err *err);
struct service *service_ref(struct service *s);   /* NULL is fine */
struct service *service_unref(struct service *s); /* returns NULL */
DEFINE_CLEANUP(struct service *, service_unref)

const char *service_type_name(const struct service *s); /* "LoadBalancer" */
/* Its cluster IP of @family (AF_INET, AF_INET6); NULL: none, and then it is not proxied there. */
const struct ip *service_cluster_ip(const struct service *s, int family);
/* NodePort, external IP or load balancer, of @family. */
bool service_port_is_external(const struct service *s, const struct service_port *p, int family);
/* Which endpoints it can send to: those of all nodes, those of this node. */
bool service_port_uses_cluster(const struct service *s, const struct service_port *p, int family);
bool service_port_uses_local(const struct service *s, const struct service_port *p, int family);
/* Which of two claims to an address stands: the older Service's, then by name. */
int service_compare(const struct service *a, const struct service *b);
/* Decoder of "TCP", "UDP", "SCTP" into a uint8_t; for EndpointSlices, too. */
int decode_ip_protocol(const json_t *value, void *member, const void *arg, struct err *err);
