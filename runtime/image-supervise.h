/*
 * The supervisor of a pull or an import: starts the fetcher, an unpacker for each layer that is
 * needed, makes what they report into events, and sees to it that none outlives another.
 */
#pragma once
#include "runtime/image-job.h"

/* Events but the last one are written; what fails is returned and not yet written. The secrets of
 * @job are wiped once the fetcher has them. */
int image_supervise(struct image_job *job, struct err *err);
/* Writes one event to IMAGE_EVENTS_FD. */
int image_emit(const struct image_event *e);
