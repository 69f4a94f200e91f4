/*
 * What is left of pods that nobody wants any more: sandboxes, volumes and logs of uids that no
 * source has, and containers whose record was lost. Looked for when every source has delivered, and
 * every two minutes from there. Source: pkg/kubelet/kubelet_pods.go (HandlePodCleanups),
 * kubelet_volumes.go (cleanupOrphanedPodDirs).
 */
#pragma once
#include "kubelet/context.h"

struct orphans; /* opaque */
int orphans_new(const struct context *ctx, bool (*is_known)(const char *uid, void *userdata),
                void *userdata, struct orphans **ret, struct err *err);
struct orphans *orphans_free(struct orphans *o);
/* From now on: not before every source has delivered. */
void orphans_start(struct orphans *o);
