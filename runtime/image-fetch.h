/*
 * The fetcher: finds out what an image consists of and pours its layers into the pipes that the
 * supervisor hands it. It runs locked in (image-sandbox.h) and is believed by nobody.
 */
#pragma once
#include "runtime/image-job.h"

/* From a registry. Sends WIRE_* messages; failures are returned and not yet sent. */
int image_fetch_pull(const struct image_job *job, int wire_fd, struct err *err);
/* Out of an archive: an OCI layout or what `docker save` writes. @archive_fd: seekable. */
int image_fetch_archive(int archive_fd, int wire_fd, struct err *err);

/* ---- between the two ---- */

/* Asks for a layer: 1 and a pipe in *ret_fd when it is needed, 0 when it is here. @digest may be
 * NULL. */
int fetch_want_layer(int wire_fd, size_t index, size_t n_layers, const struct manifest_layer *layer,
                     const char *digest, const char *diff_id, int *ret_fd, struct err *err);
struct registry_document;
/* WIRE_IMAGE: takes @image's place in the job. @manifest may be NULL. */
int fetch_send_image(int wire_fd, const struct image_event_image *image, const char *manifest,
                     size_t manifest_len, const char *config, size_t config_len, struct err *err);
