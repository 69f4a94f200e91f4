/*
 * kubectl port-forward: TCP connections to a pod's own loopback, many on one SPDY/3.1 connection,
 * each a pair of streams. The SPDY connection has no flow control: one connection that does not
 * take its data holds up the others of the same kubectl, and nobody else. Browsers and libraries
 * use a WebSocket instead, with one connection for each port that they name. Source:
 * k8s.io/cri-streaming/pkg/streaming/portforward.
 */
#pragma once
#include "base/http-server.h"
#include "base/usec.h"
#include "runtime/runtime.h"

struct port_forwards; /* opaque: the sessions under way */

int port_forwards_new(sd_event *event, struct runtime *rt, usec_t idle_usec,
                      struct port_forwards **ret);
struct port_forwards *port_forwards_free(struct port_forwards *p); /* breaks all of them off */
DEFINE_CLEANUP(struct port_forwards *, port_forwards_free)
struct remote_counts;
/* Of sessions, each one kubectl. */
void port_forwards_read_counts(const struct port_forwards *p, struct remote_counts *ret);
/* Answers @x, which was authorized. @what: "pod web, uid …", for errors; copied. */
void port_forwards_handle(struct port_forwards *p, struct http_exchange *x, const char *sandbox_id,
                          const char *what);
