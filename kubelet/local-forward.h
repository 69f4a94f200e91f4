/*
 * /v1/pods/NS/NAME/port-forward of the local socket: a TCP connection to a port of the pod's own
 * loopback. After the upgrade to "skiff-stream" the connection carries its bytes and nothing else;
 * each side ends what it sends by a half-close.
 */
#pragma once
#include "kubelet/local-api.h"

struct local_forwards; /* opaque: the connections under way */

struct local_forwards *local_forwards_new(const struct context *ctx); /* NULL without memory */
struct local_forwards *local_forwards_free(struct local_forwards *f); /* breaks all of them off */
DEFINE_CLEANUP(struct local_forwards *, local_forwards_free)
/* Answers @x, a POST of root's. */
void local_forward_serve(struct local_forwards *f, struct http_exchange *x, const struct pod *pod);
