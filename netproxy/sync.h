/*
 * Brings the kernel to what the API server wants: when, and what after a failure.
 *
 * Changes are collected. The first one after a quiet time is written at once; while more come, one
 * transaction follows another at an interval that grows with what a transaction takes. A failed one
 * is tried again after syncPeriod, or with the next change. What somebody else changed in our
 * tables is put right at once.
 */
#pragma once
#include <systemd/sd-event.h>

#include "netproxy/config.h"
#include "netproxy/histogram.h"
#include "netproxy/state.h"

struct sync; /* opaque */

enum pod_routes { /* routes to other nodes' pods, masquerade of what pods send out of the cluster */
                  POD_ROUTES_AUTO, /* unless a CNI plugin is configured: then that is its work */
                  POD_ROUTES_ON,
                  POD_ROUTES_OFF,
};

struct sync_family_status {
        bool is_used;
        usec_t synced_at;     /* CLOCK_REALTIME, last success; 0: never */
        usec_t waiting_since; /* CLOCK_MONOTONIC; the oldest change that is not in force; 0: none */
        usec_t queued_at;     /* CLOCK_REALTIME, of the newest change; 0: never */
        uint64_t syncs, failures, collect_failures, flows_forgotten;
        usec_t last_duration_usec;
        size_t last_operations;
        /* in seconds: of all syncs, of those that read the kernel's table first, of the others;
         * from a pod's change to its being in force; of looks at flows */
        struct histogram durations, full_durations, partial_durations, programming, sweeps;
        const char *missing; /* what this kernel lacks; NULL: nothing. Borrowed */
};

struct sync_options {
        const struct proxy_config *config; /* borrowed, as all of this */
        const char *node_name;
        const char *table;   /* name of the tables */
        const char *cni_dir; /* /etc/cni/net.d */
        enum pod_routes pod_routes;
        bool with_ipv6;
        void (*on_synced)(void *userdata); /* after every attempt; look at the status */
        /* Something of an object is not done; @reason: one of few words. May be NULL. */
        void (*on_warning)(const char *kind, const char *key, const char *reason, const char *why,
                           void *userdata);
        void *userdata;
};
int sync_new(sd_event *event, const struct sync_options *options, struct sync **ret,
             struct err *err);
struct sync *sync_free(struct sync *s); /* all rules and routes stay */
DEFINE_CLEANUP(struct sync *, sync_free)

/* What is known; fill it, then request. Nothing is written before sync_set_ready(). */
struct state *sync_state(struct sync *s);
void sync_request(struct sync *s);
/* All of the first lists are here: from now on what is missing is not wanted. */
void sync_set_ready(struct sync *s);
/* Its table as wanted and installed; NULL: that family is not in use. */
const struct ruleset_table *sync_table(const struct sync *s, size_t family);
/* family_read_element() of it. */
int sync_read_element(struct sync *s, size_t family, enum ruleset_set set, const void *key,
                      void *ret_value, struct err *err);
const struct sync_family_status *sync_status(const struct sync *s, size_t family);
/* False: something is wanted for longer than twice the sync period and still not in force. */
bool sync_family_is_well(const struct sync *s, size_t family);
/* Pure: the pause after a sync that took @duration. */
usec_t sync_interval(const struct proxy_config *c, usec_t duration_usec);
