/*
 * The records of pulls on disk: <root>/image_manager/pulled, one for each image that this node
 * pulled, and .../pulling, one for each pull under way, so that an image whose pull ended unseen
 * does not pass for one that was here before. Names are "sha256-" and the hash of what it is about.
 */
#pragma once
#include "kubelet/context.h"
#include "kubelet/pull-secret.h"

struct pull_records; /* opaque */

/* What pulls of another life left is settled: their images need credentials from now on. */
int pull_records_new(const struct context *ctx, struct pull_records **ret, struct err *err);
struct pull_records *pull_records_free(struct pull_records *r);
DEFINE_CLEANUP(struct pull_records *, pull_records_free)

/* @image: a normalized reference, of the pull that begins. -errno: it must not begin. */
int pull_records_begin(struct pull_records *r, const char *image, struct err *err);
/* It has ended. @image_id NULL: without an image. @origin: whose credentials the registry wanted;
 * NULL: none of a pod's. */
void pull_records_end(struct pull_records *r, const char *image, const char *image_id,
                      const struct pull_origin *origin);
/* Nobody waits for it any more, and how it ends is not seen: what comes of it needs credentials. */
void pull_records_abandon(struct pull_records *r, const char *image);
/* May a pod with these credentials use what is here as @image? */
bool pull_records_allow(struct pull_records *r, const char *image, const char *image_id,
                        const struct pull_auths *auths);
/* Images have come or gone: the records of those that are no more go, too. */
void pull_records_prune(struct pull_records *r);
