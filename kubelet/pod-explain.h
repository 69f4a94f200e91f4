/*
 * What a pod waits for, in sentences: since when, what was tried, what happens next and when, what
 * would help. Pure: facts of the worker in, findings out. Nothing is guessed; what is not known is
 * left out.
 */
#pragma once
#include <jansson.h>

#include "base/usec.h"
#include "kubelet/pod.h"

enum explain_step { /* of a container on its way in */
                    EXPLAIN_NO_START,
                    EXPLAIN_PULL_SECRETS, /* waits for imagePullSecrets */
                    EXPLAIN_IMAGE,        /* its image is looked at, or pulled */
                    EXPLAIN_TURN,         /* image here: volumes, sandbox, those before it */
                    EXPLAIN_CONFIG,       /* ConfigMaps, Secrets, Services of its environment */
                    EXPLAIN_CREATE,
                    EXPLAIN_START,
                    EXPLAIN_HOOK, /* runs; postStart is under way */
};
enum explain_stop { /* of a container on its way out */
                    EXPLAIN_NO_STOP,
                    EXPLAIN_PRE_STOP,
                    EXPLAIN_STOP_TURN, /* a sidecar: others go first */
                    EXPLAIN_SIGNALED,
                    EXPLAIN_KILLED, /* SIGKILL was sent */
};

/* Strings are borrowed, NULL: none. Times are CLOCK_REALTIME, 0: not known. */
struct explain_probe {
        bool exists, is_fine, is_decided;
        uint32_t run;       /* equal results in a row … */
        bool last_passed;   /* … and which */
        uint32_t threshold; /* failures that count */
        usec_t next_at;
};
struct explain_container {
        const char *name, *image;
        bool is_init; /* also a sidecar */
        enum explain_step step;
        usec_t step_since;
        bool is_pulling;
        const char *waiting_reason, *waiting_message; /* of the last attempt to start */
        unsigned failures;                            /* attempts in a row that failed */
        usec_t retry_at;
        bool is_running, is_ready, has_exited, oom_killed;
        int exit_code;
        usec_t started_at, exited_at;
        uint32_t restarts;
        usec_t backoff_until, backoff_usec; /* CrashLoopBackOff; 0: none */
        bool will_not_restart;              /* it ended for good */
        struct explain_probe startup, liveness, readiness;
        enum explain_stop stop;
        usec_t stop_since, stop_deadline;
};
struct explain_volume {
        const char *name, *problem; /* problem NULL: under way */
};
struct explain_pod {
        const char *namespace, *name;
        const char *refusal_reason, *refusal_message; /* admission; nothing else counts then */
        bool waits_for_predecessor;                   /* a static pod's of the same name */
        enum { EXPLAIN_SYNCING, EXPLAIN_TERMINATING, EXPLAIN_TERMINATED, EXPLAIN_FINISHED } state;
        const char *state_why; /* "it was deleted from the API" */
        usec_t seen_at, state_since;
        bool is_static;
        const char *objects_pending, *objects_problem; /* of ConfigMaps and Secrets */
        bool services_pending;
        const struct explain_volume *volumes; /* those that are not ready */
        size_t n_volumes;
        bool sandbox_ready, sandbox_under_way;
        const char *sandbox_problem;
        unsigned sandbox_failures;
        usec_t sandbox_retry_at;
        const char *cleanup_problem;
        usec_t cleanup_retry_at;
        const struct explain_container *containers;
        size_t n_containers;
        usec_t now;
};

/**
 * pod_explain() - the findings
 * Return: { summary, waits: [ { about, what, since?, tried?, next?, nextAt?, help? } ] }; an empty
 * list when nothing is waited for. New reference; NULL without memory.
 */
json_t *pod_explain(const struct explain_pod *p);
