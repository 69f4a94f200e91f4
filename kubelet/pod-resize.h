/*
 * In-place resize of one pod, the half that acts: its conditions, and the limits of its cgroup and
 * of its running containers, changed in an order in which a container never has more than its pod.
 * Source: pkg/kubelet/kuberuntime/kuberuntime_manager.go (doPodResizeAction), pkg/kubelet/status.
 *
 * What a container was last configured with is kept with the container (LABEL_AMOUNTS), so that a
 * restart in the middle goes on where it was.
 */
#pragma once
#include "kubelet/context.h"
#include "kubelet/pod-observe.h"
#include "kubelet/pod-status.h"

struct pod_resize {
        struct resize_conditions conditions;
        struct pod
                *applied; /* one reference: whose numbers the pod's cgroup has; NULL: not known */
        struct backoff backoff;
        usec_t retry_at; /* CLOCK_MONOTONIC; 0: at once */
};
/* Conditions as the API has them: a resize that was under way is finished first. */
void pod_resize_init(struct pod_resize *r, struct pod *pod);
void pod_resize_done(struct pod_resize *r);

/* The pod's cgroup was made for this version of it. */
void pod_resize_set_applied(struct pod_resize *r, struct pod *pod);
/* A resize was refused for now ("Deferred"): whether that is news, which an event has told. */
bool pod_resize_set_pending(struct pod_resize *r, const struct context *ctx,
                            const struct pod *desired, const char *message);
/* Nothing is pending any more; whether something was. */
bool pod_resize_clear_pending(struct pod_resize *r);
/* @pod, whose resources are new, was admitted with them. */
void pod_resize_set_started(struct pod_resize *r, const struct context *ctx, const struct pod *pod);

/**
 * pod_resize_sync() - brings cgroups to what @pod has now, where they are not
 * @o: what it changes is changed in there too
 * Return: CLOCK_MONOTONIC when to try again; USEC_NEVER: not needed.
 */
usec_t pod_resize_sync(struct pod_resize *r, const struct context *ctx, struct pod *pod,
                       struct observation *o);
