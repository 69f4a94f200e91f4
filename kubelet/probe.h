/*
 * What the results of a probe add up to: so many equal ones in a row flip it. Pure; pod-probes.c
 * attempts. Source: pkg/kubelet/prober/worker.go (doProbe).
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum probe_result { PROBE_FAILURE, PROBE_SUCCESS }; /* an attempt that could not be made has none */
enum probe_change { PROBE_UNCHANGED, PROBE_FLIPPED };

struct probe_limits {
        int32_t success_threshold, failure_threshold;
};
/* { .passing = initial value } is the state before any attempt. */
struct probe_state {
        bool passing; /* what holds now */
        bool decided; /* .passing comes from attempts, not from the initial value */
        bool last;    /* the result of the last attempt … */
        uint32_t run; /* … and how many in a row it was; 0: none yet */
};

/* PROBE_FLIPPED: .passing is new, or decided for the first time. */
enum probe_change probe_fold(struct probe_state *s, const struct probe_limits *limits,
                             enum probe_result result);
