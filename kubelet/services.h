/*
 * The Services that pods see in their environment: watched, and kept as little as that needs.
 * Source: pkg/kubelet/envvars.
 */
#pragma once
#include "base/kube-watch.h"

struct services; /* opaque */

struct service_port_info {
        char *name; /* NULL when unnamed */
        uint16_t port;
        char *protocol; /* "TCP" */
};
struct service_info {
        char *namespace, *name, *cluster_ip;
        struct service_port_info *ports;
        size_t n_ports;
};
int services_new(struct kube_session *session, void (*on_synced)(void *userdata), void *userdata,
                 struct services **ret, struct err *err);
struct services *services_free(struct services *s);
DEFINE_CLEANUP(struct services *, services_free)
bool services_are_synced(const struct services *s);
/* Those a pod of @namespace sees, in the order of names: its own namespace's when @links, and
 * default/kubernetes. *ret owned, the elements borrowed. */
int services_for(const struct services *s, const char *namespace, bool links,
                 const struct service_info ***ret, size_t *ret_n);
