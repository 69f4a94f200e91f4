/*
 * What one pod holds on the node's disks: writable layers, logs, emptyDirs on disk, and the few
 * files that the node keeps for it and its containers may write to. Plain values; pod-disks.c
 * measures them, local-limit, eviction and stats read them. Pure.
 */
#pragma once
#include "base/cleanup.h"
#include "base/disk-usage.h"

enum pod_disk_kind {
        POD_DISK_LAYER,  /* of a container's newest instance */
        POD_DISK_LOGS,   /* of a container, those of former instances and rotated ones too */
        POD_DISK_VOLUME, /* an emptyDir on disk */
        POD_DISK_FILES,  /* hosts, termination logs … */
};
struct pod_disk_item {
        enum pod_disk_kind kind;
        char *name; /* owned; of the container or volume; NULL: FILES */
        struct disk_usage usage;
};
struct pod_disk {
        struct pod_disk_item *items; /* owned */
        size_t n_items;
};
void pod_disk_done(struct pod_disk *d);
/* An item of unknown usage, or the one that is there. Copies @name. NULL without memory; good until
 * the next call. */
struct pod_disk_item *pod_disk_add(struct pod_disk *d, enum pod_disk_kind kind, const char *name);
/* NULL: there is none, or it was not measured yet. A NULL @d is empty. */
const struct disk_usage *pod_disk_find(const struct pod_disk *d, enum pod_disk_kind kind,
                                       const char *name);
/* The sum of all that is known. */
struct disk_usage pod_disk_total(const struct pod_disk *d);
