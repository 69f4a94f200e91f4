/*
 * Which events reach the API: a spam filter per object, aggregation of similar ones, counting of
 * equal ones. Pure: time comes in. Source: k8s.io/client-go tools/record/events_cache.go.
 */
#pragma once
#include "base/usec.h"

struct event_correlator; /* opaque */

/* What an event is about. Strings are borrowed by calls, copied where kept; NULL counts as "". */
struct event_object {
        const char *kind, *api_version, *namespace, *name, *uid, *resource_version;
        const char *field_path; /* "spec.containers{web}" */
};

enum event_verdict {
        EVENT_DROP,   /* spam: says nothing */
        EVENT_CREATE, /* POST it under .name */
        EVENT_COUNT,  /* it is there: PATCH count, lastTimestamp and message of .name */
};
struct event_decision {
        enum event_verdict verdict;
        const char *name;    /* of the Event object; borrowed until the next call */
        const char *message; /* maybe "(combined from similar events): …"; borrowed until the next
                                call */
        uint32_t count;
        usec_t first_seen;
};

struct event_correlator *event_correlator_new(void); /* NULL without memory */
struct event_correlator *event_correlator_free(struct event_correlator *c);
/* -ENOMEM or 0. @now: CLOCK_REALTIME. */
int event_correlate(struct event_correlator *c, const struct event_object *object, const char *type,
                    const char *reason, const char *message, usec_t now,
                    struct event_decision *ret);
/* The API lost or refused it: the next equal one is created anew. */
void event_correlator_forget(struct event_correlator *c, const char *name);
/* There will be no more about this object: what is known of it goes. */
void event_correlator_forget_object(struct event_correlator *c, const struct event_object *object);
