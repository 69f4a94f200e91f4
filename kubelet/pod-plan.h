/*
 * What would happen with a manifest on this node: an object's pod, or the pod of its template, is
 * validated as the API would, and put before admission beside the pods that are here. Pure, and
 * nothing is changed by it.
 */
#pragma once
#include "kubelet/admission.h"

struct plan_image { /* one that is here */
        const char *id;
        uint64_t size;
};
struct plan_options {
        const struct admission_node *node;
        const struct pod *const *active; /* the pods that are here */
        size_t n_active;
        /* Is it here? @ret is borrowed until the next call. */
        bool (*find_image)(const char *image, struct plan_image *ret, void *userdata);
        void *userdata;
};
struct plan; /* opaque: what the objects so far have taken */
int plan_new(const struct plan_options *options, struct plan **ret); /* borrows all of it */
struct plan *plan_free(struct plan *p);
DEFINE_CLEANUP(struct plan *, plan_free)
/**
 * plan_object() - one object; those that are admitted count for the next ones
 * @object: any object of the API
 * Return: its entry of the answer to POST /v1/plan, as skiff-api(5) has it; new reference; NULL
 * without memory.
 */
json_t *plan_object(struct plan *p, const json_t *object);
