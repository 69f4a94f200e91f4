/*
 * CrashLoopBackOff of one container: the first restart at once, then 10 s doubling to the limit,
 * forgotten after it ran for 10 minutes. Pure. Source: client-go util/flowcontrol/backoff.go.
 */
#pragma once
#include "base/usec.h"

struct crash_backoff_limits {
        usec_t initial_usec, max_usec; /* 10 s; crashLoopBackOff.maxContainerRestartPeriod */
};
struct crash_backoff {
        struct crash_backoff_limits limits;
        usec_t current_usec; /* 0: no crash yet */
        usec_t updated_at;   /* CLOCK_REALTIME of the last growth */
        uint64_t key; /* hash of what it counts for: another image or other resources start fresh */
};
struct crash_backoff_limits crash_backoff_limits_from(usec_t max_container_restart_period);
/* May an instance that finished at @finished_at be started again at @now? Else *ret_wake_at and
 * *ret_delay say when. */
bool crash_backoff_may_start(const struct crash_backoff *b, uint64_t key, usec_t finished_at,
                             usec_t now, usec_t *ret_wake_at, usec_t *ret_delay);
/* It is started again after an exit at @finished_at: the next one waits longer. */
void crash_backoff_started(struct crash_backoff *b, uint64_t key, usec_t finished_at, usec_t now);
/* Key of a container: image and resources. */
struct pod_container;
uint64_t crash_backoff_key(const struct pod_container *c);
