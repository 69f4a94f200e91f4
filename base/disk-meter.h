/*
 * Measures what directory trees take on disk, in a child process of low priority: a tree with
 * millions of files, or a disk that does not answer, costs the loop nothing.
 */
#pragma once
#include <systemd/sd-event.h>

#include "base/cleanup.h"
#include "base/disk-usage.h"
#include "base/err.h"

struct disk_meter; /* opaque */

struct disk_tree {
        const char *path, *except; /* as for disk_usage_measure() */
};
/* @usage: one for each tree, in their order; of one that was not reached .is_known is false. */
typedef void (*disk_meter_done_fn)(const struct disk_usage *usage, size_t n, void *userdata);

int disk_meter_new(sd_event *event, struct disk_meter **ret);
/* Ends what is under way; its callback does not come. Returns NULL. */
struct disk_meter *disk_meter_free(struct disk_meter *m);
DEFINE_CLEANUP(struct disk_meter *, disk_meter_free)
bool disk_meter_is_busy(const struct disk_meter *m);
/**
 * disk_meter_start() - begins to measure; one job at a time
 * @trees:        borrowed during the call
 * @timeout_usec: then the child is killed, and what it has found until then is told
 * @done:         called once, from the loop
 * Return: 0; -EBUSY: a job is under way; other negative errno: no child could be made.
 */
int disk_meter_start(struct disk_meter *m, const struct disk_tree *trees, size_t n,
                     usec_t timeout_usec, disk_meter_done_fn done, void *userdata, struct err *err);
