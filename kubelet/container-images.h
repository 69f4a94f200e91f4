/*
 * Every image that one container needs: those of the image volumes it mounts, then its own.
 * Source: pkg/kubelet/kuberuntime/kuberuntime_manager.go (getImageVolumes).
 */
#pragma once
#include "kubelet/context.h"
#include "kubelet/image-puller.h"
#include "kubelet/pod-objects.h"

struct container_images; /* opaque */

/* @reason NULL: all are here; else what the container waits with, and @wake_at when to try again
 * (image_ready_fn). */
typedef void (*container_images_fn)(const char *reason, const char *message, usec_t wake_at,
                                    void *userdata);

/* -ENOMEM. All but @pod (one reference) is borrowed. */
int container_images_new(const struct context *ctx, struct image_puller *puller,
                         const struct pod_objects *objects, struct pod *pod,
                         const struct pod_container *container, struct container_images **ret);
struct container_images *
container_images_free(struct container_images *i); /* ready is not called */
DEFINE_CLEANUP(struct container_images *, container_images_free)
/* Once, when the pull secrets are here (or known to be absent). @ready is called once, from the
 * loop or from here, and may free @i. True: a registry is asked, and @i is still there. */
bool container_images_ensure(struct container_images *i, container_images_fn ready, void *userdata);
/* The image that a registry is asked for, as the pod calls it; NULL: none. Borrowed. */
const char *container_images_asked(const struct container_images *i);
/* Bytes on disk of those that were pulled. */
uint64_t container_images_pulled(const struct container_images *i);
/* "sha256:…"; NULL: not here, or no image volume that the container mounts. Borrowed. */
const char *container_images_own(const struct container_images *i);
const char *container_images_of_volume(const struct container_images *i, const char *volume);
