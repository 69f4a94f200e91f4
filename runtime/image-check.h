/*
 * What the store keeps of an image, read again: as an archive, or against its digests. Runs in
 * skiff-image.
 *
 * A layer is kept as a tree and an index of all else that was in its archive (layer-index.h). Both
 * together give the archive back, byte for byte, and its digest is the layer's diff ID. That proves
 * all contents and the headers in the index; owners, modes and times of the tree on disk are not
 * compared.
 */
#pragma once
#include "runtime/image-job.h"

/* An OCI image layout (tar) into IMAGE_ARCHIVE_FD: layers uncompressed, so its manifest is a new
 * one; the image's id stays. Fails at the first byte that is not what it was. */
int image_export_archive(const struct image_job *job, struct err *err);
/*
 * One JSON object a line into IMAGE_ARCHIVE_FD, for each of the job's documents (.known_manifests)
 * and layers: {"digest", "kind": "layer" or "document", "state": "ok", "damaged" or "unknown",
 * "bytes", "problem"?}. "unknown": the archive held files twice, and the earlier ones are gone.
 */
int image_check(const struct image_job *job, struct err *err);
