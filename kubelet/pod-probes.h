/*
 * The probes of one pod: when to attempt, what the results add up to (kubelet/probe.h decides).
 *
 * Attempts of a probe come at the container's start + initialDelaySeconds and every periodSeconds
 * from there. A new container starts with readiness failed, liveness fine, startup unknown.
 * Liveness and readiness wait for the startup probe, and readiness is attempted at once when it
 * succeeded. Source: pkg/kubelet/prober/worker.go, prober_manager.go.
 */
#pragma once
#include "base/prometheus.h"
#include "kubelet/context.h"
#include "kubelet/pod-observed.h"

struct pod_probes; /* opaque */

enum probe_kind { PROBE_STARTUP, PROBE_LIVENESS, PROBE_READINESS, _PROBE_KIND_MAX };

/* @on_changed: a verdict changed: the pod is to be looked at again. */
int pod_probes_new(const struct context *ctx, struct pod *pod, void (*on_changed)(void *userdata),
                   void *userdata, struct pod_probes **ret);
struct pod_probes *pod_probes_free(struct pod_probes *p);
DEFINE_CLEANUP(struct pod_probes *, pod_probes_free)
/* A new version of the pod. */
void pod_probes_set_pod(struct pod_probes *p, struct pod *pod);
/**
 * pod_probes_set_container() - what runs of the container at @index of pod_container_at() now
 * @id: NULL: nothing runs. The same id again changes nothing.
 * @adopted_started, @adopted_ready: it ran before skiffd came up, and these were its status: they
 * hold until a result says otherwise
 */
void pod_probes_set_container(struct pod_probes *p, size_t index, const char *id, usec_t started_at,
                              const char *pod_ip, bool adopted_started, bool adopted_ready);
/* No more liveness and startup attempts of regular containers: the pod is terminating. */
void pod_probes_stop_restarts(struct pod_probes *p);
/* How attempts came out, over all instances of the container since skiffd came up; an attempt that
 * is made again at once counts when it is done with. */
enum probe_count {
        PROBE_COUNT_SUCCESSFUL,
        PROBE_COUNT_FAILED,
        PROBE_COUNT_UNKNOWN, /* it could not be made */
        _PROBE_COUNT_MAX
};
struct probe_counts {
        uint64_t by_result[_PROBE_COUNT_MAX];
        struct prometheus_histogram durations; /* but of failed ones, as the kubelet has them */
};
struct probe_counts pod_probes_counts(const struct pod_probes *p, size_t index,
                                      enum probe_kind kind);
struct probe_view {
        bool exists;        /* the container has one, and runs */
        bool is_fine;       /* its verdict is success */
        bool is_decided;    /* by attempts */
        bool last_passed;   /* the last attempts, … */
        uint32_t run;       /* … so many in a row; 0: none yet */
        uint32_t threshold; /* failures in a row that count */
        usec_t next_at;     /* CLOCK_MONOTONIC; 0: none is due */
};
struct probe_view pod_probes_look(const struct pod_probes *p, size_t index, enum probe_kind kind);
const char *probe_kind_name(enum probe_kind kind); /* "Startup" */
/* NONE when the container has no such probe or there is no result yet. */
enum probe_verdict pod_probes_verdict(const struct pod_probes *p, size_t index,
                                      enum probe_kind kind);
