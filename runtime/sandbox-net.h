/*
 * The pod network of this node: who has which address, and the link each sandbox gets.
 *
 * Pods are routed, not bridged: a veth pair per sandbox, its address as a /32 (/128) inside, a host
 * route to it outside, a link-local next hop that answers by a permanent neighbour entry. The shim
 * makes all of it in its own process and it ends with the namespace; here is only what must outlive
 * them. Addresses lie in <state_dir>/network/addresses, a file each, and once more in their
 * sandbox's record: it takes the loss of both to hand one out twice.
 */
#pragma once
#include "base/ip.h"
#include "runtime/launch-plan.h"
#include "runtime/runtime-internal.h"

struct pod_network; /* opaque */

int pod_network_new(struct runtime *rt, struct pod_network **ret, struct err *err);
struct pod_network *pod_network_free(struct pod_network *n);
DEFINE_CLEANUP(struct pod_network *, pod_network_free)

struct pod_addresses {
        struct ip ips[2];
        size_t n;
};
/* One per family of the podCIDRs, recorded before it returns. ERR_SANDBOX_NETWORK. */
int pod_network_acquire(struct pod_network *n, const char *sandbox_id, struct pod_addresses *ret,
                        struct err *err);
void pod_network_release(struct pod_network *n, const char *sandbox_id);
/* A sandbox's record says that it has these. -EEXIST: so does another's. */
int pod_network_adopt(struct pod_network *n, const char *sandbox_id, const struct pod_addresses *a);
/* All sandboxes are known now: gives back what belongs to none of them. */
void pod_network_settle(struct pod_network *n);

/* Names and hardware addresses from the instance and the sandbox's id. */
void pod_network_fill_link(const struct pod_network *n, const char *sandbox_id,
                           struct plan_link *ret);
struct plan_address pod_network_plan_address(const struct ip *ip);
