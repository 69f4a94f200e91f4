/*
 * Keeps the kernel's routes to other nodes' pods as they are wanted.
 *
 * Ours are known by their protocol number (83, "S"), so a restart finds them again and nobody
 * else's are ever touched. Routes disappear silently when a link goes down; so links that carry one
 * are watched, and what could not be set is tried again.
 */
#pragma once
#include <systemd/sd-event.h>

#include "netproxy/node.h"

struct node_routes; /* opaque */

int node_routes_new(sd_event *event, struct node_routes **ret, struct err *err);
struct node_routes *node_routes_free(struct node_routes *r); /* the routes stay */
DEFINE_CLEANUP(struct node_routes *, node_routes_free)
/* From now on these, and none beside them. Copied; sorted by node_route_compare(). Set at once;
 * trouble is logged by route and tried again. */
int node_routes_set(struct node_routes *r, const struct node_route *wanted, size_t n);
/* Takes all of ours away (--cleanup). */
int node_routes_remove_all(struct err *err);
