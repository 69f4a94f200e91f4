/*
 * What the proxy tells by Event objects: that it started, on the Node; what of a Service it cannot
 * do, on the Service, where the one who wrote it looks. (The log has all of it, too.)
 *
 * The same sentence about the same object is sent once in ten minutes, at most 25 at once and then
 * one in five seconds, in order. What cannot be sent is tried again for two minutes.
 *
 * Source: kubernetes cmd/kube-proxy/app/server.go; k8s.io/client-go tools/events.
 */
#pragma once
#include "base/kube-client.h"

struct proxy_events; /* opaque */

int proxy_events_new(struct kube_session *session, const char *node_name, struct proxy_events **ret,
                     struct err *err);
struct proxy_events *proxy_events_free(struct proxy_events *e);
DEFINE_CLEANUP(struct proxy_events *, proxy_events_free)

void proxy_events_started(struct proxy_events *e);
/* @key: "namespace/name"; @kind: "Service", "EndpointSlice"; @note: cut at the API's limit. */
void proxy_events_warn(struct proxy_events *e, const char *kind, const char *key,
                       const char *reason, const char *action, const char *note);
