/*
 * skiffd's side of images: which are here, and where their layers lie.
 *
 * Below <state_dir>/images, all 0700:
 *
 *   layers/<short name>   one unpacked layer in overlay form (whiteouts are 0:0 devices, opaque
 *                         directories carry trusted.overlay.opaque)
 *   index/<short name>    its tar headers and file digests (layer-index.h)
 *   documents/sha256-…    manifests and configs as they came
 *   records/layer-<short name>.json, records/image-<64 or 128 hex>.json   what is known of them
 *   incoming/<number>     of a job under way; trash/ is being removed
 *
 * What has no record is removed at the start. Layers appear by rename after they were verified and
 * synced, then they are recorded; only skiffd renames and records (skiff-image does the rest). A
 * layer that no image refers to stays for a while: the next try of the pull that brought it will
 * want it.
 */
#pragma once
#include <systemd/sd-event.h>

#include "runtime/runtime.h"

struct image_store; /* opaque */

/**
 * image_store_new() - opens (or makes) <state_dir>/images and reads its records
 * @options: borrowed during the call (what is needed later is copied)
 * @changed: called from the loop after the list of images changed; may be NULL
 * Unreadable records are set aside and logged. The caller holds the lock of the state directory.
 */
int image_store_new(sd_event *event, const struct runtime_options *options,
                    void (*changed)(void *userdata), void *userdata, struct image_store **ret,
                    struct err *err);
/* Stops what is under way; callbacks do not come. Returns NULL. */
struct image_store *image_store_free(struct image_store *s);
DEFINE_CLEANUP(struct image_store *, image_store_free)

/**
 * image_store_layers() - the lower directories of an image
 * @image_id:      "sha256:…"
 * @ret_layer_dir: O_PATH descriptor of the directory that the names are in; borrowed
 * @ret_names:     topmost first, as overlayfs wants them; owned (strv); never empty
 * Return: 0; -ENOENT (ERR_IMAGE_NOT_PRESENT) when the image is not here.
 */
int image_store_layers(const struct image_store *s, const char *image_id, int *ret_layer_dir,
                       char ***ret_names, struct err *err);
/*
 * A container uses the image, or no longer does: once each per container, also for those found
 * again after a restart. While held an image is not removed (-EBUSY). -ENOENT when not here.
 */
int image_store_hold(struct image_store *s, const char *image_id);
void image_store_release(struct image_store *s, const char *image_id);
/* What was removed is not all gone from the disk yet. */
bool image_store_is_removing(const struct image_store *s);
