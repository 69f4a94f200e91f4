/*
 * Looks at the runtime and says what is there of a pod: fills struct pod_observed (pod-observed.h).
 *
 * What belongs to a pod is found by the labels its sandboxes and containers carry, so that a
 * restarted skiffd sees what the one before it made. Termination messages are read once, when a
 * container was first seen exited.
 */
#pragma once
#include "kubelet/context.h"
#include "kubelet/pod-observed.h"

/* Labels of ours on containers and sandboxes, as CRI runtimes carry them. */
#define LABEL_POD_NAME       "io.kubernetes.pod.name"
#define LABEL_POD_NAMESPACE  "io.kubernetes.pod.namespace"
#define LABEL_POD_UID        "io.kubernetes.pod.uid"
#define LABEL_CONTAINER_NAME "io.kubernetes.container.name"
#define LABEL_RESTART_COUNT  "io.kubernetes.container.restartCount"
#define LABEL_HASH           "io.kubernetes.container.hash"
#define LABEL_MESSAGE_FILE   "io.kubernetes.container.terminationMessageFile"
#define LABEL_MESSAGE_POLICY "io.kubernetes.container.terminationMessagePolicy"
#define LABEL_GRACE          "io.kubernetes.pod.terminationGracePeriod"
#define LABEL_AMOUNTS        "io.kubernetes.container.resources" /* container_amounts_format() */
#define LABEL_ATTEMPT        "io.kubernetes.sandbox.attempt"
#define LABEL_CGROUP         "io.kubernetes.pod.cgroup" /* of a sandbox: the cgroup above it */

struct observer; /* opaque: remembers termination messages of one pod's containers */
struct observer *observer_new(void); /* NULL without memory */
struct observer *observer_free(struct observer *o);
DEFINE_CLEANUP(struct observer *, observer_free)

/* Everything but the probe verdicts and waiting reasons, which are the worker's to fill in. */
struct observation {
        struct pod_observed seen;
        struct container_observed *containers; /* owned; what seen.containers points at; in the
                                                  order of pod_container_at() */
        size_t n_containers;
        struct instance *instances; /* owned; what the containers point into */
        size_t n_instances;
        bool any_running; /* some container of the pod runs or is created, also one that the spec
                             lacks */
};
void observation_done(struct observation *o);
int observe(struct observer *o, const struct context *ctx, const struct pod *pod,
            struct observation *ret);
/* Is what carries @labels a part of the pod? */
bool pod_has_labels(const struct string_map *labels, const char *pod_uid);
/* A sandbox of the pod that is ready, or whatever its state; borrowed; NULL: there is none. */
const struct sandbox_status *pod_ready_sandbox(const struct runtime *rt, const char *pod_uid);
const struct sandbox_status *pod_any_sandbox(const struct runtime *rt, const char *pod_uid);
/* Message of an exited container by the kubelet's rules: file, or the log's end. Owned; NULL:
 * none. */
char *termination_message_read(const char *file, bool fall_back_to_log, const char *log_path,
                               int exit_code);
