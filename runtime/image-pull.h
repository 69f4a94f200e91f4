/*
 * Jobs of the image store: pulls, imports and the emptying of the trash, each a skiff-image
 * process. Identical pulls under way are one job; what may not run yet waits in order.
 */
#pragma once
#include "runtime/image-store.h"
#include "runtime/runtime-internal.h"

/* As image_pull() of runtime.h. */
int image_store_pull(struct image_store *s, const char *reference, const struct image_auth *auths,
                     size_t n_auths, image_done_fn done, void *userdata, struct runtime_op **ret,
                     struct err *err);
/* As image_import() of runtime.h. @fd is taken. */
int image_store_import(struct image_store *s, int fd, const char *name, image_done_fn done,
                       void *userdata, struct runtime_op **ret, struct err *err);
/* Kills what is under way; nobody is called. */
void image_pulls_stop(struct image_store *s);
