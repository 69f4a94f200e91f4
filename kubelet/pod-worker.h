/*
 * One pod on this node, from the moment it was admitted until nothing of it is left.
 *
 * A worker keeps no plan. Whenever something changed (the pod, a container, a volume, a probe, a
 * timer) it observes, asks pod-actions what is next, starts that, and computes the status anew.
 * Nothing polls.
 */
#pragma once
#include "kubelet/context.h"
#include "kubelet/image-puller.h"

enum pod_worker_state {
        POD_WORKER_SYNCING,     /* containers are kept as the spec asks */
        POD_WORKER_TERMINATING, /* deletion, eviction or the end of its work: containers are stopped
                                 */
        POD_WORKER_TERMINATED,  /* nothing runs: sandbox, volumes and cgroup come off */
        POD_WORKER_FINISHED, /* nothing is left but records and logs, for as long as the API has the
                                pod */
        _POD_WORKER_STATE_MAX,
};

struct pod_worker; /* opaque */
struct pod_probes;

struct pod_worker_ops {
        /* The status was computed anew; for the status writer. @status is borrowed. */
        void (*on_status)(struct pod_worker *w, json_t *status, void *userdata);
        /* FINISHED was reached: the object may be deleted from the API when it has a
         * deletionTimestamp. */
        void (*on_finished)(struct pod_worker *w, void *userdata);
};

/* Takes a reference to @pod. Starts working from the loop. */
int pod_worker_new(const struct context *ctx, struct image_puller *puller, struct pod *pod,
                   const struct pod_worker_ops *ops, void *userdata, struct pod_worker **ret,
                   struct err *err);
/* Lets go of everything; what runs goes on running (skiffd ends). */
struct pod_worker *pod_worker_free(struct pod_worker *w);

/* The API or the manifest has a new version of it. */
void pod_worker_update(struct pod_worker *w, struct pod *pod);
/* A resize was granted: @pod, with the new resources, takes the place of the old version. */
void pod_worker_resize(struct pod_worker *w, struct pod *pod);
/* It was not, for now: @message says why. @desired NULL: nobody waits for a resize any more. */
void pod_worker_defer_resize(struct pod_worker *w, const struct pod *desired, const char *message);
/* Something of it changed in the runtime, in a probe or elsewhere: looks again, from the loop. */
void pod_worker_poke(struct pod_worker *w);
/* The Services are known now: environments can be made. */
void pod_worker_services_synced(struct pod_worker *w);
/**
 * pod_worker_kill() - it has to go
 * @grace_sec: -1: its own; else at most this
 * @reason, @message: of a forced Failed phase ("Evicted", …); NULL: its phase is what its
 * containers say
 */
void pod_worker_kill(struct pod_worker *w, int64_t grace_sec, const char *reason,
                     const char *message);
/* Somebody on this machine wants its end: phase Failed, reason Stopped. Nothing disrupts it. */
void pod_worker_stop(struct pod_worker *w);
/**
 * pod_worker_evict() - it has to go, with phase Failed and reason Evicted
 * @grace_sec:     at most this, also of a stop that is under way
 * @is_disruption: the pod is not to blame: condition DisruptionTarget says so
 * Once only: false when it was evicted (or forced to fail) before, or nothing of it runs any more.
 */
bool pod_worker_evict(struct pod_worker *w, int64_t grace_sec, const char *message,
                      bool is_disruption);
/**
 * pod_worker_restart() - containers are stopped with their grace period and started anew, whatever
 * the restart policy; of what waits for the end of a back-off the back-off is forgotten
 * @container: its name; NULL: all regular containers and sidecars
 * Return: how many; -ENOENT: no such container; -EINVAL: the pod ends, or has ended.
 */
int pod_worker_restart(struct pod_worker *w, const char *container, struct err *err);
/* It has to go, at its own pace, so that a critical pod can come: phase Failed, reason Preempting.
 */
void pod_worker_preempt(struct pod_worker *w);
/* That is under way: what it has is not free yet. */
bool pod_worker_makes_room(const struct pod_worker *w);
/* Records, logs and dead containers go too: the pod has left the API. Only when FINISHED. */
void pod_worker_erase(struct pod_worker *w);

struct pod *pod_worker_pod(const struct pod_worker *w); /* borrowed */
enum pod_worker_state pod_worker_state(const struct pod_worker *w);
const struct pod_probes *pod_worker_probes(const struct pod_worker *w); /* borrowed */
const char *pod_worker_state_name(enum pod_worker_state state);
json_t *pod_worker_status(const struct pod_worker *w); /* newest, or NULL; new reference */
/* What it is at and waits for, and its timeline, for the local socket; new reference. */
json_t *pod_worker_explain(struct pod_worker *w);
