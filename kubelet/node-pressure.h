/*
 * How short the node is of memory, disk and process ids: looks at the machine, and keeps which
 * thresholds of the configuration are met (eviction.h has the rules) and the conditions of the node
 * that follow. Source: pkg/kubelet/eviction (makeSignalObservations).
 */
#pragma once
#include "kubelet/config.h"
#include "kubelet/eviction.h"

struct runtime;
struct node_pressure; /* opaque */

struct node_pressure_options {
        const struct kubelet_config *config; /* borrowed */
        uint64_t memory_capacity;            /* bytes */
        const char *root_dir, *state_dir;    /* nodefs and imagefs; borrowed */
};
int node_pressure_new(const struct node_pressure_options *options, struct node_pressure **ret,
                      struct err *err);
struct node_pressure *node_pressure_free(struct node_pressure *p);
/* Pods are in its cgroups; borrowed. Until then what they all use together is unknown. */
void node_pressure_set_runtime(struct node_pressure *p, const struct runtime *rt);

/* Looks now. @now: CLOCK_MONOTONIC. True when a condition began or ended. */
bool node_pressure_look(struct node_pressure *p, usec_t now);
/* As of the last look. */
bool node_pressure_has(const struct node_pressure *p, enum eviction_condition c);
/* The threshold to act upon, as of the last look; NULL: none. Borrowed. */
const struct eviction_threshold *node_pressure_chosen(const struct node_pressure *p);
const struct eviction_observation *node_pressure_seen(const struct node_pressure *p,
                                                      enum eviction_signal signal);
/* Looks now whether everything is well again; changes no condition. */
bool node_pressure_is_relieved(struct node_pressure *p);
/* Images and writable layers lie on a file system of their own. */
bool node_pressure_has_image_fs(const struct node_pressure *p);

/* What the thresholds take from allocatable, bytes. */
int64_t node_pressure_memory_threshold(const struct node_pressure *p);
int64_t node_pressure_disk_threshold(const struct node_pressure *p, uint64_t capacity);
