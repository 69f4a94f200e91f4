/*
 * The Secrets, ConfigMaps and RuntimeClasses that pods of this node use: each read once, then
 * watched, shared by its users and let go with the last of them.
 *
 * A GET comes first (the Node authorizer may need a moment after the binding, so 403 is asked again
 * quickly), the watch after it; an immutable object is not watched. An object that was seen stays
 * usable while the API is away. Source: pkg/kubelet/util/manager (Watch strategy),
 * pkg/kubelet/secret, pkg/kubelet/configmap.
 */
#pragma once
#include "base/kube-watch.h"

struct object_cache; /* opaque */
struct object_ref;   /* opaque: one user's hold on one object */

enum object_kind { OBJECT_SECRET, OBJECT_CONFIG_MAP, OBJECT_RUNTIME_CLASS, _OBJECT_KIND_MAX };
enum object_state {
        OBJECT_PENDING, /* no answer yet */
        OBJECT_PRESENT,
        OBJECT_ABSENT, /* the API says it does not exist */
        OBJECT_FAILED, /* it cannot be read now: object_ref_error() says why; still being tried */
};
typedef void (*object_changed_fn)(struct object_ref *ref, void *userdata);

int object_cache_new(struct kube_session *session, struct object_cache **ret);
/* All references must be gone. */
struct object_cache *object_cache_free(struct object_cache *c);
DEFINE_CLEANUP(struct object_cache *, object_cache_free)

/* @namespace: "" where objects have none. @changed is called from the loop when the state or the
 * content changed, never from here. */
int object_ref_new(struct object_cache *c, enum object_kind kind, const char *namespace,
                   const char *name, object_changed_fn changed, void *userdata,
                   struct object_ref **ret);
struct object_ref *object_ref_free(struct object_ref *ref);
DEFINE_CLEANUP(struct object_ref *, object_ref_free)
enum object_state object_ref_state(const struct object_ref *ref);
/* The object (with data as the API gives it); borrowed until the loop goes on. NULL unless PRESENT.
 */
const json_t *object_ref_object(const struct object_ref *ref);
const char *object_ref_error(const struct object_ref *ref); /* a sentence, "" when none */
const char *object_ref_name(const struct object_ref *ref);
enum object_kind object_ref_kind(const struct object_ref *ref);
