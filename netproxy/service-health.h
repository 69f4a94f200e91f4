/*
 * healthCheckNodePort: a port of its own on every node for each Service of type LoadBalancer with
 * externalTrafficPolicy Local, by which the load balancer sees which nodes have endpoints, and how
 * many. Whatever the path, the answer is 200 with endpoints here and 503 without.
 *
 * Source: kubernetes pkg/proxy/healthcheck/service_health.go.
 */
#pragma once
#include <systemd/sd-event.h>

#include "netproxy/state.h"

struct service_health; /* opaque: all those ports */

struct service_health_options {
        bool (*is_well)(void *userdata); /* the proxy as a whole */
        /* @key: of the Service; @why: one sentence, said once until the port is served */
        void (*on_trouble)(const char *key, const char *why, void *userdata);
        void *userdata;
};
int service_health_new(sd_event *event, const struct service_health_options *options,
                       struct service_health **ret);
struct service_health *service_health_free(struct service_health *h);
DEFINE_CLEANUP(struct service_health *, service_health_free)

/* Where to listen in one family, until told on all addresses: on those of node ports. 0 or -ENOMEM.
 */
int service_health_set_addresses(struct service_health *h, size_t family, bool any,
                                 const struct ip_range *ips, size_t n);
/* What a Service wants now; one that wants no port is forgotten. 0 or -ENOMEM. */
int service_health_want(struct service_health *h, const struct known_service *k);
/* What is wanted is in force: tell so. A port that is taken is tried again every 5 s. */
void service_health_apply(struct service_health *h);
