/*
 * wanted + observed -> what to start, kill or keep. Pure; the worker carries out the answer and
 * asks again whenever something changed. Source: pkg/kubelet/kuberuntime/kuberuntime_manager.go
 * (computePodActions), pods.md 4.
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
};

struct container_action {
        enum { CONTAINER_KEEP, CONTAINER_START, CONTAINER_KILL, CONTAINER_BACK_OFF } what;
        enum kill_reason why; /* KILL */
        bool will_restart;    /* KILL: the message says so */
        usec_t wake_at;       /* BACK_OFF: when it may start */
        usec_t delay_usec;    /* BACK_OFF: the whole back-off, for "back-off 40s restarting …" */
        uint32_t restart_count; /* START: of the new instance */
};

struct pod_actions {
        bool kill_pod; /* all containers and the sandbox; nothing else in this answer counts but
                          create_sandbox */
        bool create_sandbox;                 /* needed before any START below */
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
 * START of regular containers are to be carried out in order, one after another; of init containers
 * at most one comes at a time. Return: 0 or -ENOMEM.
 */
int pod_actions_compute(const struct pod *pod, const struct pod_observed *seen,
                        const struct crash_backoff *backoffs, usec_t now, struct pod_actions *ret);
/* Does an exited container restart? Source: ContainerShouldRestart, pods.md 3.2. */
bool container_should_restart(const struct pod *pod, const struct pod_container *c, int exit_code,
                              bool oom_killed);
/* The event text of a kill: "Container c failed liveness probe, will be restarted". Owned. */
char *kill_message(const struct pod_container *c, enum kill_reason why, bool will_restart);
