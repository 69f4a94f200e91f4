/*
 * What skiff-image is told to do for a pull: endpoints, credentials and TLS out of registries.yaml,
 * what is here already, what must stay free.
 */
#pragma once
#include "runtime/image-store-internal.h"

/**
 * image_plan_pull() - the job for a reference
 * Reads registries.yaml and the files that it names anew, so that a change needs no restart.
 * Return: 0; negative errno with file and field in @err.
 */
int image_plan_pull(const struct image_store *s, const struct image_ref *ref,
                    const struct image_auth *auths, size_t n_auths, struct image_job *ret,
                    struct err *err);
/* A broken registries.yaml is said at the start too, though only pulls fail by it. */
void image_plan_check(const struct image_store *s);
int image_plan_import(const struct image_store *s, struct image_job *ret, struct err *err);
