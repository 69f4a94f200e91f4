/*
 * All pods of this node: who is admitted, one worker each, who waits for whom, what is left of pods
 * that are gone.
 *
 * Takes the stream of pod-source and keeps it apart by kind: pods of the API and static pods get a
 * worker, mirror pods go to mirrors. A pod that runs already is taken over without a second
 * admission.
 */
#pragma once
#include "kubelet/context.h"
#include "kubelet/mirrors.h"
#include "kubelet/pod-worker.h"

struct pod_manager; /* opaque */

struct pod_manager_options {
        const struct context *ctx;
        struct image_puller *puller;
        struct mirrors *mirrors; /* NULL: standalone */
        /* The Node's labels and taints, for admission; borrowed, may be NULL before the Node was
         * seen. */
        const json_t *(*node)(void *userdata);
        void *userdata;
};
int pod_manager_new(const struct pod_manager_options *options, struct pod_manager **ret,
                    struct err *err);
struct pod_manager *pod_manager_free(struct pod_manager *m); /* what runs goes on */
DEFINE_CLEANUP(struct pod_manager *, pod_manager_free)

/* From pod-source. */
void pod_manager_put(struct pod_manager *m, struct pod *pod);
void pod_manager_removed(struct pod_manager *m, enum pod_source source, const char *namespace,
                         const char *name, const char *uid);
/* Every source has delivered: what the runtime and the disk have beyond that is cleaned up. */
void pod_manager_synced(struct pod_manager *m);

/* From runtime/. */
void pod_manager_container_changed(struct pod_manager *m, const char *container_id);
void pod_manager_sandbox_changed(struct pod_manager *m, const char *sandbox_id);
/* The Services, the network or the node changed: everybody looks again. */
void pod_manager_poke_all(struct pod_manager *m);

/* From the status writer: the API's pod is gone. It ends, and is forgotten when the watch says so.
 */
void pod_manager_gone(struct pod_manager *m, const char *uid);
/* A mirror came or went: the static pod's status is written to it. */
void pod_manager_mirror_changed(struct pod_manager *m, const char *namespace, const char *name);

/* For servers: in the order of uids. @w is NULL for a pod refused at admission. */
void pod_manager_foreach(const struct pod_manager *m,
                         void (*fn)(struct pod *pod, struct pod_worker *w, void *userdata),
                         void *userdata);
/* By namespace and name; NULL: none. Its worker, or NULL when it was refused. */
struct pod *pod_manager_find(const struct pod_manager *m, const char *namespace, const char *name,
                             struct pod_worker **ret_worker);
struct admission_node;
/* Hands @fn what admission would look at now: this node, and the pods that are active on it.
 * -ENOMEM, or what @fn returned. */
int pod_manager_foresee(const struct pod_manager *m,
                        int (*fn)(const struct admission_node *node,
                                  const struct pod *const *active, size_t n, void *userdata),
                        void *userdata);
/* What the pod is at and waits for: { worker?, timeline?, summary, waits }; new reference. */
json_t *pod_manager_explain(const struct pod_manager *m, struct pod *pod, struct pod_worker *w);
/* The worker of a pod; NULL: there is no such pod any more, or it was refused. */
struct pod_worker *pod_manager_worker(const struct pod_manager *m, const char *uid);
/* The v1.Pod as this node has it, with its newest status; new reference. */
json_t *pod_manager_pod_json(const struct pod_manager *m, struct pod *pod, struct pod_worker *w);
