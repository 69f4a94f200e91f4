/*
 * Measures what each pod of this node holds on disk, now and then: pods with a limit every 10 s,
 * all others every minute, one that is costly to measure more rarely, so that measuring takes no
 * more than a few percent of a processor from anybody. It goes on in a child process.
 */
#pragma once
#include "kubelet/context.h"
#include "kubelet/pod-disk.h"
#include "kubelet/pod-manager.h"

struct pod_disks; /* opaque */

struct pod_disks_options {
        const struct context *ctx;
        const struct pod_manager *pods;      /* borrowed */
        void (*on_measured)(void *userdata); /* from the loop */
        void *userdata;
};
int pod_disks_new(const struct pod_disks_options *options, struct pod_disks **ret, struct err *err);
struct pod_disks *pod_disks_free(struct pod_disks *d);
DEFINE_CLEANUP(struct pod_disks *, pod_disks_free)
/**
 * pod_disks_measure() - begins to measure those pods whose turn it is
 * @all: as if all had a limit (the disk is short)
 * Return: 1: .on_measured will be called; 0: it is nobody's turn.
 */
int pod_disks_measure(struct pod_disks *d, bool all);
/* What it held when it was measured last; NULL: not yet, also for a NULL @d. Borrowed until the
 * next measurement. */
const struct pod_disk *pod_disks_find(const struct pod_disks *d, const char *uid);
