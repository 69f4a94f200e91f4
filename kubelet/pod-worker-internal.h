/*
 * The inside of a pod worker, shared by its two files: pod-worker.c (states, status, sandbox) and
 * pod-worker-containers.c (containers in and out).
 */
#pragma once
#include "kubelet/container-start.h"
#include "kubelet/container-stop.h"
#include "kubelet/pod-observe.h"
#include "kubelet/pod-probes.h"
#include "kubelet/pod-resize.h"
#include "kubelet/pod-timeline.h"
#include "kubelet/pod-worker.h"

struct slot { /* of one container of the spec */
        struct crash_backoff backoff;
        struct container_start *start;          /* owned */
        struct container_stop *stop;            /* owned */
        char *waiting_reason, *waiting_message; /* owned; of the last attempt to start */
        usec_t retry_at;                        /* CLOCK_MONOTONIC; 0: at once */
        unsigned failures;                      /* attempts to start it that failed, in a row */
        usec_t failing_since;                   /* CLOCK_REALTIME of the first of them */
        usec_t exit_noted;     /* finish time of the instance whose end is in the timeline */
        bool was_ready;        /* as the timeline has it */
        bool restart_wanted;   /* by a person: what runs is to be stopped and started anew */
        usec_t exited_at;      /* of the instance before the start under way; 0: none */
        usec_t backed_off_for; /* finish time whose back-off was told by an event */
        bool hook_failed;      /* postStart failed: the instance that runs is to be killed */
        char *restart_id;      /* owned; instance that was killed in order to be restarted */
        /* what the API said before skiffd came up */
        char *adopted_id; /* owned */
        bool adopted_started, adopted_ready;
};

struct pod_worker {
        const struct context *ctx;
        struct image_puller *puller; /* borrowed */
        struct pod *pod;             /* one reference */
        struct pod_worker_ops ops;
        void *userdata;
        enum pod_worker_state state;
        usec_t seen_at, state_since;             /* CLOCK_REALTIME */
        char *state_why;                         /* owned */
        char *sandbox_problem, *cleanup_problem; /* owned; of the last attempt; NULL: none */
        unsigned sandbox_failures;
        struct observer *observer;
        struct pod_volumes *volumes;
        struct pod_objects *objects;
        struct pod_probes *probes;
        struct pod_resize resize;
        struct slot *slots; /* owned; in the order of pod_container_at() */
        size_t n_slots;
        struct runtime_op *sandbox_op, *sandbox_stop_op; /* owned */
        struct backoff sandbox_backoff;
        usec_t sandbox_retry_at;       /* CLOCK_MONOTONIC */
        usec_t cleanup_retry_at;       /* CLOCK_MONOTONIC */
        sd_event_source *look, *timer; /* owned */
        struct backoff cleanup_backoff;
        struct pod_timeline timeline;
        char *status_text; /* owned; newest status as JSON (a tree is ten times larger) */
        /* termination */
        int64_t grace_sec; /* of the stop under way or to come; -1: the pod's own */
        bool skip_hooks;
        char *forced_reason, *forced_message; /* owned; NULL: none */
        bool is_own_fault; /* that it was forced to fail: no condition DisruptionTarget */
        bool stopped_restarts;
};

/* What is there of the pod now; observation_done(). */
int pod_worker_look_at(struct pod_worker *w, struct observation *o);
/* What is next for it; pod_actions_done(). */
void pod_worker_decide(struct pod_worker *w, const struct observation *o,
                       struct pod_actions *actions);
/* The walk is done again no later than @when (CLOCK_MONOTONIC). */
void pod_worker_wake_by(struct pod_worker *w, usec_t when);
/* CLOCK_REALTIME to the clock that timers use. */
usec_t pod_worker_timer_clock(usec_t realtime);
static inline const struct instance *newest_instance(const struct container_observed *c)
{
        return c->n_instances ? &c->instances[0] : NULL;
}

/* Makes a sandbox, unless one is on its way or it is too early for the next try. */
void pod_worker_ensure_sandbox(struct pod_worker *w, const struct pod_actions *actions);
/* True when there is no live sandbox; else its stop is on the way. */
bool pod_worker_ensure_sandbox_stopped(struct pod_worker *w, const struct observation *o);
/* Starts and stops what @actions says, each thing once. */
void pod_worker_sync_containers(struct pod_worker *w, const struct observation *o,
                                const struct pod_actions *actions);
/* Stops everything, in order; true when nothing of the pod runs any more. */
bool pod_worker_stop_containers(struct pod_worker *w, const struct observation *o);
/* Notes the end of what was being stopped. */
void pod_worker_reap_stops(struct pod_worker *w);
/* It has ended: what its containers wrote to their roots goes, and of an evicted pod the logs. */
void pod_worker_drop_files(struct pod_worker *w);
/* Removes dead instances: of each container the newest stays, and the one before it for its logs.
 */
void pod_worker_trim_instances(struct pod_worker *w, const struct observation *o);
