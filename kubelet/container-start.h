/*
 * One container on its way in: image, configuration, create, start, postStart.
 * Source: pkg/kubelet/kuberuntime/kuberuntime_container.go (startContainer).
 */
#pragma once
#include "kubelet/context.h"
#include "kubelet/image-puller.h"
#include "kubelet/pod-objects.h"

struct container_start; /* opaque */

enum start_stage {
        START_OBJECTS, /* waits for pull secrets */
        START_IMAGE,
        START_CONFIG, /* waits for its turn, then for what env needs: ConfigMaps, Secrets, Services
                       */
        START_CREATE,
        START_START,
        START_HOOK, /* runs; postStart under way */
        START_OVER,
};

enum start_result {
        START_DONE,        /* it runs, and its postStart hook succeeded */
        START_FAILED,      /* @reason and @message say why; nothing of it runs */
        START_HOOK_FAILED, /* it runs, and is to be killed: postStart failed */
};
struct container_start_ops {
        /* Called once. @reason: "CreateContainerConfigError", …. @wake_at: CLOCK_MONOTONIC when to
         * try again; 0: by back-off alone. */
        void (*done)(struct container_start *s, enum start_result result, const char *reason,
                     const char *message, usec_t wake_at, void *userdata);
        /* A stage was passed (a literal): for the timeline, and for a fresh status. @value: of
         * "image" the bytes of one that was pulled; else 0. */
        void (*step)(struct container_start *s, const char *step, uint64_t value, void *userdata);
};
struct container_start_options {
        struct pod *pod;                       /* a reference is taken */
        const struct pod_container *container; /* of @pod */
        size_t index;                          /* of pod_container_at() */
        uint32_t restart_count;
        struct pod_volumes *volumes; /* borrowed */
        struct pod_objects *objects; /* borrowed */
        struct image_puller *puller; /* borrowed */
};
/* Sees to the image at once; the rest waits for container_start_allow(). @done comes from the loop
 * only. */
int container_start_new(const struct context *ctx, const struct container_start_options *options,
                        const struct container_start_ops *ops, void *userdata,
                        struct container_start **ret, struct err *err);
/* Lets go: done is not called; what was begun in the runtime ends by itself and is seen by
 * observation. */
struct container_start *container_start_free(struct container_start *s);
DEFINE_CLEANUP(struct container_start *, container_start_free)
/*
 * Volumes and sandbox are ready, and it is this container's turn.
 * @ip4, @ip6: the pod's addresses (the node's with hostNetwork); "" when none
 */
int container_start_allow(struct container_start *s, const char *sandbox_id, const char *ip4,
                          const char *ip6);
/* Objects or services it waits for may be here now. */
void container_start_poke(struct container_start *s);
size_t container_start_index(const struct container_start *s);
/* Where it is, since when (CLOCK_MONOTONIC), and which image a registry is asked for (NULL: none).
 */
enum start_stage container_start_stage(const struct container_start *s, usec_t *ret_since,
                                       const char **ret_pulling);
/* Volumes and sandbox are ready, and it was its turn. */
bool container_start_is_allowed(const struct container_start *s);
/* The container, once created; NULL before. Borrowed. */
const char *container_start_id(const struct container_start *s);
