/*
 * Mirror pods: what the API shows of static pods. Created, recreated when somebody deleted or
 * changed them, deleted with their static pod; never run. Source: pkg/kubelet/pod/mirror_client.go,
 * kubelet.go (tryReconcileMirrorPods).
 */
#pragma once
#include "base/kube-client.h"
#include "kubelet/pod.h"

struct mirrors; /* opaque */

struct mirrors_options {
        const char *node_name;
        const char *(*node_uid)(void *userdata); /* NULL while unknown: nothing is created */
        /* A mirror came, changed or went: the static pod's status is to be written anew. */
        void (*on_changed)(const char *namespace, const char *name, void *userdata);
        void *userdata;
};
int mirrors_new(struct kube_session *session, const struct mirrors_options *options,
                struct mirrors **ret, struct err *err);
struct mirrors *mirrors_free(struct mirrors *m);
DEFINE_CLEANUP(struct mirrors *, mirrors_free)
/* A static pod is there (a reference is taken), or gone for good (its mirror is deleted). */
void mirrors_set_static(struct mirrors *m, struct pod *pod);
void mirrors_clear_static(struct mirrors *m, const char *namespace, const char *name);
/* What the API shows: a mirror (a reference is taken), or its removal. */
void mirrors_seen(struct mirrors *m, struct pod *mirror);
void mirrors_unseen(struct mirrors *m, const char *namespace, const char *name);
/* All pods of the API are known now: mirrors without a static pod may be deleted. */
void mirrors_synced(struct mirrors *m);
/* The Node exists (again): what waited for its UID is created. */
void mirrors_node_changed(struct mirrors *m);
/* The mirror of a static pod, or NULL. Borrowed. */
struct pod *mirrors_find(const struct mirrors *m, const char *namespace, const char *name);
