/*
 * The machine's shutdowns, as systemd-logind announces them: a delay lock is held, so that a
 * shutdown waits (for as long as InhibitDelayMaxSec allows) until it is let go.
 *
 * Everything is asynchronous. A bus or logind that is away, or goes away, is looked for again every
 * second; the lock is taken anew then.
 * Source: org.freedesktop.login1(5); pkg/kubelet/nodeshutdown/systemd/inhibit_linux.go.
 */
#pragma once
#include <systemd/sd-event.h>

#include "base/err.h"
#include "base/usec.h"

struct logind; /* opaque */

struct logind_options {
        usec_t delay_usec; /* what a shutdown may have to wait; logind is configured to grant it */
        const char *conf_dir; /* of logind's drop-ins; borrowed */
        /* A shutdown is announced (true), or one was called off (false). */
        void (*on_prepare)(bool is_beginning, void *userdata);
        void *userdata;
};
int logind_new(sd_event *event, const struct logind_options *options, struct logind **ret,
               struct err *err);
/* A shutdown no longer waits for us. */
struct logind *logind_free(struct logind *l);
DEFINE_CLEANUP(struct logind *, logind_free)
/* The work is done: the shutdown goes on. The lock is taken again when it was called off. */
void logind_release(struct logind *l);
/* Would a shutdown wait for us? */
bool logind_holds_lock(const struct logind *l);
