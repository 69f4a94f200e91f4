/* The watches that keep the state up to date: Services, EndpointSlices, Nodes, ServiceCIDRs. */
#pragma once
#include "base/kube-watch.h"
#include "netproxy/sync.h"

struct feed; /* opaque */

/* Fills sync's state and requests syncs; sync is made ready when the first lists are complete. */
int feed_new(struct kube_session *session, struct sync *sync, struct feed **ret, struct err *err);
struct feed *feed_free(struct feed *f);
DEFINE_CLEANUP(struct feed *, feed_free)
/* What the first lists still lack ("services, nodes"), or NULL. Owned. */
char *feed_missing(const struct feed *f);
