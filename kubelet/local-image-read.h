/*
 * /v1/images/export and /v1/images/verify of the local socket: what a skiff-image writes, passed on
 * as it comes.
 */
#pragma once
#include "kubelet/local-api.h"

struct local_image_reads; /* opaque: those under way */

/* NULL without memory. */
struct local_image_reads *local_image_reads_new(sd_event *event, struct runtime *rt);
struct local_image_reads *local_image_reads_free(struct local_image_reads *r);
/* Answers @x: ?name=, which an export must have. */
void local_image_read_serve(struct local_image_reads *r, struct http_exchange *x, bool is_export);
