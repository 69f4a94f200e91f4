/*
 * The sandbox's network, spoken in raw rtnetlink: a veth whose one end is ours, the other the
 * host's, with host routes to the sandbox's addresses; nothing is bridged, nothing is asked of ARP.
 */
#pragma once
#include "runtime/plan-view.h"

/* A netlink socket of the network namespace that the caller stands in; negative errno. */
int net_open(void);
/* Brings up the loopback device of the socket's namespace. */
int net_up_loopback(int netlink);

/**
 * net_make_link() - the veth, both ends up, with addresses, neighbours and routes
 * @ours, @hosts: netlink sockets of the two namespaces
 * @host_ns:      the host's network namespace
 * @why:          on failure, what was being done; static
 */
int net_make_link(const struct plan_view *plan, int ours, int hosts, int host_ns, const char **why);
