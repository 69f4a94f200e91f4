/*
 * A pod's volume that a driver mounts: its claim is read and, through it, the PersistentVolume
 * (or the source that stands in the pod is taken), then it is held as a volume of this node.
 *
 * The Node authorizer lets a node get the claims of its pods, not watch them: what is not bound yet
 * is asked for again with back-off. Source: pkg/kubelet/volumemanager/populator.
 */
#pragma once
#include "base/kube-client.h"
#include "kubelet/node-volumes.h"

struct volume_claim; /* opaque */

struct volume_claim_ops {
        void (*on_changed)(void *userdata);
        /* It cannot be resolved: "error processing PVC ns/x: PVC is not bound". With back-off. */
        void (*on_unresolved)(const char *sentence, void *userdata);
        void (*on_event)(bool is_warning, const char *reason, const char *message, void *userdata);
};
/* @session NULL: standalone; claims are refused. @volume is the pod's and need not live longer. */
int volume_claim_new(sd_event *event, struct kube_session *session, struct node_volumes *volumes,
                     struct pod *pod, const struct pod_volume *volume,
                     const struct volume_claim_ops *ops, void *userdata, struct volume_claim **ret,
                     struct err *err);
struct volume_claim *volume_claim_free(struct volume_claim *c);
void volume_claim_set_pod(struct volume_claim *c, struct pod *pod);
/* The PersistentVolume's, or the inline one; NULL while it is not resolved. Borrowed. */
const struct volume_spec *volume_claim_spec(const struct volume_claim *c);
const char *volume_claim_path(const struct volume_claim *c);    /* NULL while not ready */
const char *volume_claim_device(const struct volume_claim *c);  /* likewise, of a block volume */
const char *volume_claim_problem(const struct volume_claim *c); /* NULL: none */
bool volume_claim_is_unattached(const struct volume_claim *c);
