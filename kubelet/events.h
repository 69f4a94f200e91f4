/*
 * Sends events to the API: correlated, queued, at a limited rate, in order; what cannot be sent is
 * tried again 12 times, 10 s apart, and then dropped. Without an API server they are logged only.
 * Source: k8s.io/client-go tools/record/event.go.
 */
#pragma once
#include "base/json.h"
#include "base/kube-client.h"
#include "kubelet/event-correlator.h"

struct events; /* opaque */

#define EVENT_NORMAL  "Normal"
#define EVENT_WARNING "Warning"

struct events_options {
        const char *node_name;
        int32_t qps, burst; /* eventRecordQPS, eventBurst; qps 0: unlimited */
};
/* @session: NULL when standalone. */
int events_new(sd_event *event, struct kube_session *session, const struct events_options *options,
               struct events **ret, struct err *err);
struct events *events_free(struct events *e);
DEFINE_CLEANUP(struct events *, events_free)
/* Records one. Never fails for the caller: trouble is logged. */
void events_add(struct events *e, const struct event_object *object, const char *type,
                const char *reason, const char *fmt, ...) _printf_(5, 6);
/* The same with annotations, an object of texts; borrowed. */
void events_add_annotated(struct events *e, const struct event_object *object, const char *type,
                          const char *reason, json_t *annotations, const char *message);
/* The newest (at most 200) as an array of Event objects, for the local socket. New reference. */
json_t *events_recent(const struct events *e);
/* The object is gone: what would count its next events is forgotten. */
void events_forget_object(struct events *e, const struct event_object *object);
