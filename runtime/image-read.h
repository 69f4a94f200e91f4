/*
 * Images of the store read again, by a skiff-image each (image-check.h): for an archive, and
 * against their digests. What is read is held meanwhile, as by a container.
 */
#pragma once
#include "runtime/runtime-internal.h"

/* Kills what is under way; nobody is called. */
void image_reads_stop(struct image_store *s);
