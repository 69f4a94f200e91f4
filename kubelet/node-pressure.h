/*
 * MemoryPressure, DiskPressure and PIDPressure of the node, by evictionHard's thresholds. A
 * pressure stays for evictionPressureTransitionPeriod after its signal cleared. (Nothing is evicted
 * here.) Source: pkg/kubelet/eviction.
 */
#pragma once
#include "kubelet/config.h"

struct node_pressure; /* opaque */

struct node_pressure_options {
        const struct kubelet_config *config; /* borrowed */
        uint64_t memory_capacity;            /* bytes */
        const char *root_dir, *state_dir;    /* nodefs and imagefs; borrowed */
};
int node_pressure_new(const struct node_pressure_options *options, struct node_pressure **ret,
                      struct err *err);
struct node_pressure *node_pressure_free(struct node_pressure *p);
/* Looks now. @now: CLOCK_MONOTONIC. */
void node_pressure_read(struct node_pressure *p, usec_t now, bool *ret_memory, bool *ret_disk,
                        bool *ret_pids);
/* What the thresholds take from allocatable, bytes. */
int64_t node_pressure_memory_threshold(const struct node_pressure *p);
int64_t node_pressure_disk_threshold(const struct node_pressure *p, uint64_t capacity);
/* "100Mi" or "10%" of @capacity; -EINVAL. Pure. */
int threshold_parse(const char *text, uint64_t capacity, uint64_t *ret);
