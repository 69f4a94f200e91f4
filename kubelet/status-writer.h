/*
 * Writes pod statuses to the API: the newest only, one request per pod under way, retried; finishes
 * the deletion of a pod that is terminated.
 *
 * Each status is sent as a strategic merge patch against what the server has, with the pod's uid as
 * precondition; after a conflict the pod is looked at. A server that is away is tried again with
 * jittered back-off; nothing is lost as long as skiffd lives, and a restarted one computes it anew.
 * A status the server finds invalid (400, 413, 422) is sent once more against the pod as it is by
 * then, and if that is refused too logged and dropped: the next status, or the deletion, does not
 * wait for it. Source: pkg/kubelet/status/status_manager.go.
 */
#pragma once
#include "base/kube-client.h"
#include "kubelet/pod.h"

struct status_writer; /* opaque */

struct status_writer_ops {
        /* The pod is gone from the API, or is another one of the same name. */
        void (*on_gone)(const char *pod_uid, void *userdata);
        void *userdata;
};
int status_writer_new(struct kube_session *session, const struct status_writer_ops *ops,
                      struct status_writer **ret, struct err *err);
struct status_writer *status_writer_free(struct status_writer *w);
DEFINE_CLEANUP(struct status_writer *, status_writer_free)

/**
 * status_writer_put() - this is the pod's status now
 * @pod:    the API's pod (for a static pod its mirror, which has the uid of the API object); one
 * reference is taken
 * @status: complete; a reference is taken. Equal to what the server has: nothing is sent.
 */
void status_writer_put(struct status_writer *w, struct pod *pod, json_t *status);
/*
 * The watch shows @pod with the server's status: what patches are computed against. True when that
 * is not what we left there: somebody else wrote it, and the status is to be put again.
 */
bool status_writer_seen(struct status_writer *w, const struct pod *pod);
/* The pod is terminated and cleaned up: after its last status, DELETE it with grace 0. Once is
 * enough. */
void status_writer_delete(struct status_writer *w, struct pod *pod);
/* The pod left the API. */
void status_writer_forget(struct status_writer *w, const char *pod_uid);
/* Is there anything not accepted yet? */
bool status_writer_is_idle(const struct status_writer *w, const char *pod_uid);
