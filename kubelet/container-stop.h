/*
 * One container on its way out: preStop, its turn, the stop signal, the grace period, SIGKILL.
 * Source: pkg/kubelet/kuberuntime/kuberuntime_container.go (killContainer).
 */
#pragma once
#include "kubelet/context.h"
#include "kubelet/pod-actions.h"

struct container_stop; /* opaque */

enum stop_stage {
        STOP_PRE_STOP, /* the hook runs */
        STOP_WAITING,  /* a sidecar: others go first */
        STOP_SIGNALED, /* the stop signal was sent: the grace period runs */
        STOP_KILLED,   /* SIGKILL was sent */
};

struct container_stop_options {
        struct pod *pod; /* a reference is taken */
        const struct pod_container
                *container; /* of @pod; NULL: the spec has it no more (no hook, SIGTERM) */
        const char *container_id;
        const char *message; /* of the event Killing; copied */
        uint32_t grace_sec;  /* at least 2 is given to the signal */
        bool skip_pre_stop;  /* grace override 0 */
        bool must_wait;      /* a sidecar: no signal before container_stop_your_turn() */
};
/*
 * Starts (event, hook, signal); the container's end is told by the runtime, upon which the owner
 * frees this. When the deadline has passed and SIGKILL was sent, it is sent again every 10 s for as
 * long as the container is there.
 */
int container_stop_new(const struct context *ctx, const struct container_stop_options *options,
                       struct container_stop **ret, struct err *err);
struct container_stop *container_stop_free(struct container_stop *s);
DEFINE_CLEANUP(struct container_stop *, container_stop_free)
/* Those before it are gone. */
void container_stop_your_turn(struct container_stop *s);
/* The grace period, counted from the start of the stop, becomes shorter; never longer. */
void container_stop_shorten(struct container_stop *s, uint32_t grace_sec);
const char *container_stop_container_id(const struct container_stop *s);
/* Where it is; when it began, and when SIGKILL is due (CLOCK_MONOTONIC). */
enum stop_stage container_stop_stage(const struct container_stop *s, usec_t *ret_since,
                                     usec_t *ret_deadline);
