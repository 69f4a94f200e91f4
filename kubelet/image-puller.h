/*
 * Makes sure that the image of a container or of an image volume is here: pull policy, credentials,
 * back-off, events. Source: pkg/kubelet/images/image_manager.go (EnsureImageExists).
 */
#pragma once
#include "kubelet/context.h"
#include "kubelet/pull-secret.h"

struct image_puller; /* opaque: of the node; knows the back-offs */
struct image_need;   /* opaque: somebody who waits for an image */

/*
 * @image_id: the image to start from; NULL: not yet, and @reason ("ErrImagePull",
 * "ImagePullBackOff", …) and @message say why.
 * @wake_at:  CLOCK_MONOTONIC when it is worth asking again; 0 with an image.
 */
typedef void (*image_ready_fn)(const char *image_id, const char *reason, const char *message,
                               usec_t wake_at, void *userdata);

int image_puller_new(const struct context *ctx, struct image_puller **ret, struct err *err);
struct image_puller *image_puller_free(struct image_puller *p);
DEFINE_CLEANUP(struct image_puller *, image_puller_free)

/* Images have come or gone. */
void image_puller_images_changed(struct image_puller *p);

struct image_wanted {
        const struct pod_container *container; /* whose events they are; NULL: the pod's */
        const char *image;                     /* the reference; the pod's */
        enum pod_pull_policy pull_policy;
};

/**
 * image_ensure() - asks for an image
 * @auths: credentials out of imagePullSecrets; borrowed during the call
 * @ready: called once, from the loop or from here
 * Return: 0; negative errno (and @ready was not called).
 */
int image_ensure(struct image_puller *p, struct pod *pod, const struct image_wanted *what,
                 const struct pull_auths *auths, image_ready_fn ready, void *userdata,
                 struct image_need **ret);
struct image_need *
image_need_cancel(struct image_need *w); /* ready is not called; the pull goes on */
/* Forgets the back-offs of a pod that is gone. */
void image_puller_forget(struct image_puller *p, const char *pod_uid);
