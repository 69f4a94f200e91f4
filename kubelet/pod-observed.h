/*
 * What is there of a pod now: sandbox, container instances, probe results. Plain values that
 * pod-observe.c fills from runtime/runtime.h, and that pod-status and pod-actions decide upon.
 *
 * Strings are borrowed and live as long as the observation is looked at. Times are CLOCK_REALTIME,
 * 0: not yet.
 */
#pragma once
#include "kubelet/pod-allocation.h"

enum instance_state {
        INSTANCE_CREATED, /* made, not started */
        INSTANCE_RUNNING,
        INSTANCE_EXITED,
        INSTANCE_UNKNOWN, /* the runtime cannot tell */
};

struct instance {       /* one container of the runtime */
        const char *id; /* 64 hex digits, without "skiff://" */
        enum instance_state state;
        int exit_code; /* EXITED: 0 to 255, 128 + signal */
        bool oom_killed;
        bool start_failed;   /* never ran: exit code 128, reason StartError, .message says why */
        bool lost;           /* its shim died: 137, ContainerStatusUnknown */
        const char *message; /* start error, and then or else the termination message; NULL: none */
        usec_t created_at, started_at, finished_at;
        uint32_t restart_count;
        const char *image;    /* as the runtime calls it: what containerStatuses[].image shows */
        const char *image_id; /* "repo@sha256:…" or "sha256:…" */
        uint64_t hash;        /* container_definition_hash() it was started with */
        bool has_amounts;     /* it is known what it was configured with */
        struct container_amounts amounts;
        bool old_sandbox; /* it ran in an older sandbox than the newest */
        bool has_user;    /* uid, gid and groups are known */
        uint32_t uid, gid;
        const uint32_t *groups;
        size_t n_groups;
};

enum probe_verdict {
        PROBE_VERDICT_NONE /* no probe, or no result yet */,
        PROBE_VERDICT_SUCCESS,
        PROBE_VERDICT_FAILURE
};

struct container_observed {
        const struct instance *instances; /* newest first */
        size_t n_instances;
        /* of the newest instance, when it runs */
        enum probe_verdict startup, liveness, readiness;
        bool has_started_before; /* agent restart: the API said started (ready) and no probe has
                                    said otherwise since */
        bool was_ready_before;
        /* its newest instance was killed in order to be restarted (CONTAINER_KILL with
         * .will_restart): the exit code is not asked */
        bool must_restart;
        /* why it is not started, from the last attempt (ErrImagePull, CreateContainerConfigError,
         * …); NULL: nothing */
        const char *waiting_reason, *waiting_message;
};

struct pod_observed {
        /* the newest sandbox */
        bool has_sandbox, sandbox_ready, sandbox_host_network;
        const char *sandbox_id;
        uint32_t sandbox_attempt;
        unsigned n_ready_sandboxes;
        usec_t sandbox_created_at;
        const char *ip4, *ip6; /* "" when none */
        /* one per container, in the order of pod_container_at() */
        const struct container_observed *containers;
        const char *host_ip4, *host_ip6; /* the node's addresses; "" when none */
};

/* Hash over name and image only (a change of either restarts the container). Source: HashContainer.
 */
uint64_t container_definition_hash(const struct pod_container *c);
