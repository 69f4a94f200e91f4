/*
 * hostPorts: packets to an address of this node on such a port go to the pod that asked for it.
 *
 * One nftables table per family, "skiff-<instance>-ports", made when the first pod has a port and
 * taken away with the last one. What comes from a loopback address is not redirected: that needs
 * route_localnet, which lets a neighbour reach what listens there.
 */
#pragma once
#include "runtime/sandbox.h"

struct host_ports; /* opaque */

int host_ports_new(struct runtime *rt, struct host_ports **ret, struct err *err);
/* Lets go; the rules stay in force. */
struct host_ports *host_ports_free(struct host_ports *h);
DEFINE_CLEANUP(struct host_ports *, host_ports_free)
/* Host addresses of a sandbox to be: ERR_SANDBOX names the one that is none. */
int host_ports_check(const struct runtime_port *ports, size_t n, struct err *err);
/* ERR_SANDBOX_NETWORK: the port is another pod's, or this kernel has no nftables. */
int host_ports_add(struct host_ports *h, struct sandbox *s, struct err *err);
void host_ports_remove(struct host_ports *h, struct sandbox *s);
/* After a start: what is in force becomes what the living sandboxes have. */
void host_ports_restore(struct host_ports *h);
