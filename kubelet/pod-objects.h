/*
 * The ConfigMaps and Secrets that a pod's environment and image pulls refer to, and its
 * RuntimeClass, fetched together when the pod arrives, so that no container waits for one after the
 * other.
 */
#pragma once
#include "kubelet/context.h"

struct pod_objects; /* opaque */

int pod_objects_new(const struct context *ctx, const struct pod *pod,
                    void (*on_changed)(void *userdata), void *userdata, struct pod_objects **ret);
struct pod_objects *pod_objects_free(struct pod_objects *o);
DEFINE_CLEANUP(struct pod_objects *, pod_objects_free)
/* Has everything been answered? FAILED ones count as answered; *ret_problem (may be NULL) is the
 * first such sentence. */
bool pod_objects_are_here(const struct pod_objects *o, const char **ret_problem);
/* "secret 'x'": one that has not been answered; owned. NULL: none. */
char *pod_objects_pending(const struct pod_objects *o);
/* The one that runtimeClassName names; NULL: none, or there is no API server. Borrowed. */
const struct object_ref *pod_objects_runtime_class(const struct pod_objects *o);
/* NULL: it does not exist (or is not among the pod's references). Borrowed. */
const json_t *pod_objects_get(const struct pod_objects *o, bool is_secret, const char *name);
