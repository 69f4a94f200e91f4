/*
 * wanted + observed -> what to start, kill or keep. Pure; the worker carries out the answer and
 * asks again whenever something changed. Source: pkg/kubelet/kuberuntime/kuberuntime_manager.go
 * (computePodActions).
 */
#pragma once
#include "kubelet/crash-backoff.h"
#include "kubelet/pod-observed.h"

enum kill_reason {
        KILL_NONE,
        KILL_DEFAULT, /* "Stopping container c" */
        KILL_DEFINITION_CHANGED,
        KILL_LIVENESS,
        KILL_STARTUP,
        KILL_UNKNOWN_STATE,
        KILL_POST_START, /* FailedPostStartHook */
        KILL_RESTART_ALL,
        KILL_RESIZE, /* its resizePolicy asks for a restart */
};

struct container_action {
        enum {
                CONTAINER_KEEP, /* as it is: running, finished for good, or not its turn */
                CONTAINER_START,
                CONTAINER_KILL,
                CONTAINER_BACK_OFF, /* it would be started, but not before .wake_at */
                CONTAINER_REMOVE, /* all its instances, but not their logs (RestartAllContainers) */
        } what;
        enum kill_reason why; /* KILL */
        bool resize;          /* KEEP: it runs with other limits than it is to have */
        bool will_restart;    /* KILL: the message says so; the worker sets .must_restart then */
        usec_t wake_at;       /* BACK_OFF: when it may start */
        usec_t delay_usec;    /* BACK_OFF: the whole back-off, for "back-off 40s restarting …" */
        uint32_t restart_count; /* START: of the new instance; the worker takes more when logs or
                                   the API know more */
        usec_t exited_at; /* START: what crash_backoff_started() is told; 0: it is not called */
};

struct pod_actions {
        bool kill_pod; /* all containers and the sandbox; nothing else in this answer counts but
                          create_sandbox. Without create_sandbox: nothing of this pod will run again
                        */
        bool create_sandbox; /* needed before any START below; with kill_pod: once that is done. All
                                instances of init containers are removed first */
        bool sandbox_changed;                /* there was one: event SandboxChanged */
        uint32_t attempt;                    /* of the new sandbox */
        bool initialized;                    /* init containers are done */
        struct container_action *containers; /* owned; in the order of pod_container_at() */
        size_t n_containers;
        usec_t wake_at; /* earliest end of a back-off; USEC_NEVER */
};
void pod_actions_done(struct pod_actions *a);
/**
 * pod_actions_compute() - what next
 * @backoffs: one per container, in the order of pod_container_at(); read only
 * (crash_backoff_started() is the worker's)
 * @now:      CLOCK_REALTIME
 * STARTs are to be carried out in order, one after another. An init container that fails to start
 * ends the round; a sidecar or a regular container that does is passed over.
 * Return: 0 or -ENOMEM.
 */
int pod_actions_compute(const struct pod *pod, const struct pod_observed *seen,
                        const struct crash_backoff *backoffs, usec_t now, struct pod_actions *ret);
/* Is there no sandbox to run in: none, not ready, of the wrong network, or without an address?
 * *ret: attempt number of the next one, or of this one. Source: PodSandboxChanged. */
bool pod_sandbox_is_needed(const struct pod *pod, const struct pod_observed *seen,
                           uint32_t *ret_attempt);
/* Does an exited container restart? An OOM kill makes an init container fail whatever its code.
 * Source: ContainerShouldRestart. */
bool container_should_restart(const struct pod *pod, const struct pod_container *c, int exit_code,
                              bool oom_killed);
/* The first rule of @c for this exit code; NULL: none. */
const struct pod_restart_rule *container_restart_rule(const struct pod_container *c, int exit_code);
/* Has the pod a rule with RestartAllContainers; has a container just exited with one? */
bool pod_could_restart_all(const struct pod *pod);
bool pod_restart_all_is_due(const struct pod *pod, const struct pod_observed *seen);
/* The event text of a kill: "Container c failed liveness probe, will be restarted". Owned. */
char *kill_message(const struct pod_container *c, enum kill_reason why, bool will_restart);
