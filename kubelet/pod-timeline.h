/*
 * Every step of a pod since the node heard of it: named, timed, kept with the pod. The only place
 * where steps are recorded; the local socket reads it.
 */
#pragma once
#include <jansson.h>

#include "kubelet/pod.h"

enum { TIMELINE_MAX = 48 };
struct pod_timeline { /* { 0 } is empty */
        struct timeline_step {
                const char *name;  /* static */
                int16_t container; /* index of pod_container_at(); -1: the pod itself */
                uint32_t value;    /* "exited": the code; "image": KiB that were pulled; else 0 */
                usec_t at;         /* CLOCK_REALTIME */
        } * steps;                 /* owned; the first half stays, later ones push each other out */
        uint16_t n, total;
};
void pod_timeline_done(struct pod_timeline *t);
/* Notes that @pod (its container, or NULL) passed the step @name; @name is a literal. Logged at
 * debug level. */
void pod_step(struct pod_timeline *t, const struct pod *pod, int container, const char *name);
/* The same of something that happened at @at, 0: now. @value: see above. */
void pod_step_at(struct pod_timeline *t, const struct pod *pod, int container, const char *name,
                 uint32_t value, usec_t at);
/* [ { step, container?, time, exitCode?, bytes? } ]; new reference. */
json_t *pod_timeline_to_json(const struct pod_timeline *t, const struct pod *pod);
