/*
 * Nanocores out of a growing count of CPU time: the mean between two readings that are at least ten
 * seconds apart, however often somebody asks. Pure.
 */
#pragma once
#include "base/usec.h"

#define CPU_RATE_WINDOW_USEC (10 * USEC_PER_SEC)

struct cpu_rate { /* { 0 }: nothing was read yet */
        struct cpu_reading {
                usec_t at; /* CLOCK_MONOTONIC; 0: none */
                uint64_t cpu_usec;
        } older, newer; /* at least the window apart */
};
/* Takes a reading in. Nanocores; UINT64_MAX: there is no reading old enough. */
uint64_t cpu_rate_fold(struct cpu_rate *r, usec_t now, uint64_t cpu_usec);
