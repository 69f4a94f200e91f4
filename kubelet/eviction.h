/*
 * Who has to go when the node runs short of memory, disk, inodes or process ids: thresholds from
 * the configuration, which of them are met, the conditions of the node that follow, and which pod
 * is to blame most. Pure: what was observed comes in, and what time it is.
 * Source: pkg/kubelet/eviction/{helpers,eviction_manager}.go.
 */
#pragma once
#include "base/json.h"
#include "base/usec.h"
#include "kubelet/pod-disk.h"
#include "kubelet/pod.h"

enum eviction_signal {
        EVICTION_MEMORY,             /* memory.available: of the machine */
        EVICTION_ALLOCATABLE_MEMORY, /* of what all pods together may have */
        EVICTION_NODEFS,             /* nodefs.available: the file system of --root-dir */
        EVICTION_NODEFS_INODES,
        EVICTION_IMAGEFS, /* that of images and writable layers */
        EVICTION_IMAGEFS_INODES,
        EVICTION_PIDS,
        _EVICTION_SIGNAL_MAX,
};
enum eviction_condition {
        EVICTION_MEMORY_PRESSURE,
        EVICTION_DISK_PRESSURE,
        EVICTION_PID_PRESSURE,
        _EVICTION_CONDITION_MAX,
};
const char *eviction_signal_name(enum eviction_signal s);       /* "memory.available" */
const char *eviction_resource_name(enum eviction_signal s);     /* "memory", "inodes", … */
const char *eviction_condition_name(enum eviction_condition c); /* "MemoryPressure" */
bool eviction_signal_is_disk(enum eviction_signal s);

/* ---- thresholds ---- */
struct eviction_amount { /* bytes, inodes or ids; or a part of what there is */
        bool is_part;
        float part;        /* 0 to 1; a float, as the kubelet's, so that it rounds the same */
        uint64_t quantity; /* else this */
        bool is_binary;    /* and how it is written */
};
struct eviction_threshold {
        enum eviction_signal signal;
        struct eviction_amount at, min_reclaim; /* min_reclaim: all zero when none is asked for */
        usec_t grace_usec;                      /* 0: hard */
};
enum { EVICTION_THRESHOLDS_MAX = 2 * _EVICTION_SIGNAL_MAX + 1 };
struct eviction_thresholds {
        struct eviction_threshold list[EVICTION_THRESHOLDS_MAX]; /* hard ones first */
        size_t n;
};
struct eviction_config { /* of the KubeletConfiguration; borrowed */
        const struct string_map *hard, *soft, *soft_grace, *min_reclaim;
        bool enforces_pods; /* enforceNodeAllocatable has "pods" */
};
/**
 * eviction_thresholds_parse() - the four fields taken together
 * containerfs.* is accepted and has no effect, as it always follows from nodefs or imagefs; so have
 * 0% and 100%.
 * Return: 0; -EINVAL (ERR_BAD_INPUT) with field, signal, value and rule in @err.
 */
int eviction_thresholds_parse(const struct eviction_config *config, struct eviction_thresholds *ret,
                              struct err *err);
/* The hard threshold of a signal as an amount of @capacity; 0 when there is none. */
uint64_t eviction_hard_amount(const struct eviction_thresholds *t, enum eviction_signal signal,
                              uint64_t capacity);

/* ---- which are met ---- */
struct eviction_observation {
        bool is_known;
        uint64_t available, capacity;
};
struct eviction_state { /* { 0 } at first; CLOCK_MONOTONIC; 0: never, or not now */
        usec_t met_since[EVICTION_THRESHOLDS_MAX];
        bool is_active[EVICTION_THRESHOLDS_MAX]; /* met for its grace period, and not yet relieved
                                                  */
        usec_t condition_at[_EVICTION_CONDITION_MAX];
};
void eviction_fold(const struct eviction_thresholds *t,
                   const struct eviction_observation seen[static _EVICTION_SIGNAL_MAX], usec_t now,
                   struct eviction_state *state);
/* It holds for @transition after it was last seen. */
bool eviction_condition_holds(const struct eviction_state *state, enum eviction_condition c,
                              usec_t transition, usec_t now);
/* The threshold to act upon: memory before all else; NULL: none. */
const struct eviction_threshold *eviction_choose(const struct eviction_thresholds *t,
                                                 const struct eviction_state *state);
/* No threshold is met any more, and what was to be reclaimed at least is there. */
bool eviction_is_relieved(const struct eviction_thresholds *t,
                          const struct eviction_observation seen[static _EVICTION_SIGNAL_MAX]);

/* ---- who goes ---- */
#define EVICTION_UNKNOWN UINT64_MAX
struct eviction_container { /* one that runs */
        const char *name;
        uint64_t memory_bytes, disk_bytes; /* EVICTION_UNKNOWN */
};
struct eviction_pod {
        const struct pod *pod; /* borrowed */
        bool is_known;         /* what it uses */
        uint64_t memory_bytes, processes;
        struct disk_usage disk; /* eviction_disk_use() */
        struct eviction_container *containers;
        size_t n_containers;
        /* eviction_rank()'s */
        int class;
        int64_t over;
        size_t order;
};
/* What of a pod's disk usage counts for a signal. */
struct disk_usage eviction_disk_use(const struct pod_disk *disk, enum eviction_signal signal,
                                    bool has_image_fs);
/* Sorts them: who goes first comes first. -ENOMEM or 0. */
int eviction_rank(struct eviction_pod *pods, size_t n, enum eviction_signal signal);
/* How long the pod may take to end, in seconds. */
int64_t eviction_grace_sec(const struct eviction_threshold *t, int64_t max_pod_grace_sec,
                           const struct pod *pod);
/**
 * eviction_message() - what is said of it
 * @ret_message:     owned; the kubelet's sentences, with a blank at the end
 * @ret_annotations: of the event; a new reference
 * Return: 0 or -ENOMEM.
 */
int eviction_message(const struct eviction_pod *p, const struct eviction_threshold *t,
                     const struct eviction_observation *seen, char **ret_message,
                     json_t **ret_annotations);
