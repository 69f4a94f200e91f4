/*
 * Removes images that nobody uses: every five minutes when their disk is fuller than
 * imageGCHighThresholdPercent or they are older than imageMaximumGCAge, and when the evictor asks.
 * An image is used while a container, also a dead one, is made from it, and while a pod of this
 * node names it.
 */
#pragma once
#include "kubelet/context.h"
#include "kubelet/pod-manager.h"

struct image_collector; /* opaque */

int image_collector_new(const struct context *ctx, const struct pod_manager *pods,
                        struct image_collector **ret, struct err *err);
struct image_collector *image_collector_free(struct image_collector *c);
DEFINE_CLEANUP(struct image_collector *, image_collector_free)
/* From now on: not before every source has delivered. The first round is soon. */
void image_collector_start(struct image_collector *c);
/* Removes every unused image that is old enough; how many. Their space is free when
 * runtime_is_removing() says so. */
size_t image_collector_free_all(struct image_collector *c);
