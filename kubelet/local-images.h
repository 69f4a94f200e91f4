/*
 * /v1/images of the local socket: list, pull, import, prune, remove.
 */
#pragma once
#include "kubelet/local-api.h"

struct local_images; /* opaque: the requests that wait for the runtime */

struct local_images *local_images_new(sd_event *event,
                                      struct runtime *rt); /* NULL without memory */
struct local_images *local_images_free(struct local_images *i);
/* Answers @x, now or when the runtime is done; false: @path is none of its. */
bool local_images_serve(struct local_images *i, struct http_exchange *x, const char *path);
