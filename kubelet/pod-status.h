/*
 * wanted + observed -> the pod's status as the API shows it: phase, conditions, container statuses.
 * Pure. Source: pkg/kubelet/kubelet_pods.go (generateAPIPodStatus), pkg/kubelet/status/generate.go.
 */
#pragma once
#include "kubelet/pod-actions.h"
#include "kubelet/pod-observed.h"

struct resize_condition { /* PodResizePending or PodResizeInProgress */
        bool is_set;
        char *reason, *message; /* owned by whoever keeps it; NULL: none */
        int64_t generation;     /* of the spec that it is about */
};
struct resize_conditions {
        struct resize_condition pending, in_progress;
};

struct pod_status_input {
        const struct pod *pod;
        const struct pod_observed *seen;
        const struct pod_actions *actions; /* of the same observation: back-offs show as
                                              CrashLoopBackOff; NULL: none */
        const json_t *previous; /* the status before (the API's or ours): sticky phase, startTime,
                                   transition times, foreign conditions; or NULL */
        const json_t *shown;    /* the API's, where others may have written conditions that the pod
                                   waits for (readiness gates); NULL: those of @previous do */
        const struct resize_conditions *resize; /* NULL: none */
        usec_t now;                             /* CLOCK_REALTIME */
        bool is_terminal;   /* the worker: nothing runs and nothing will run again ("podIsTerminal")
                             */
        bool is_terminated; /* and it is cleaned up: what never ended becomes ContainerStatusUnknown
                             */
        bool is_terminating;     /* deletion or kill under way */
        bool new_sandbox_needed; /* PodReadyToStartContainers is False */
        /* eviction, deadline, preemption: forced phase Failed with these; NULL: none */
        const char *forced_reason, *forced_message;
        bool disruption_target; /* with reason TerminationByKubelet and forced_message, or: */
        const char *disruption_message; /* NULL: forced_message */
};
/*
 * New reference, NULL without memory. All of status: lists sorted, times in seconds, termination
 * messages cut and repaired. A terminal phase (with its reason) is held back until @is_terminal or
 * @is_terminated: nobody may take the pod for gone while something of it may run.
 */
json_t *pod_status_build(const struct pod_status_input *in);
/* What the phase would be, not held back: for the worker's "is it done?". */
enum pod_phase pod_status_phase(const struct pod_status_input *in);
/* { phase: Failed, reason, message, qosClass, startTime }: a pod refused at admission. New
 * reference. */
json_t *pod_status_rejected(const struct pod *pod, const char *reason, const char *message,
                            usec_t now);
