/*
 * The volumes of this node's pods: set up below <root-dir>/pods/<uid>/volumes, kept up to date,
 * taken down.
 *
 * What skiffd itself writes (ConfigMap, Secret, downward API, projected) lives on one tmpfs of
 * ours, with a link where the kubelet would have the folder; containers see it read-only. Volumes
 * that no container mounts are left alone. A pod's volumes are independent of each other and of
 * everything else on the way to its start. Source: pkg/kubelet/volumemanager.
 */
#pragma once
#include "kubelet/node-volumes.h"
#include "kubelet/object-cache.h"
#include "kubelet/pod.h"
#include "kubelet/volume-payload.h"

struct volumes;     /* opaque: of the node */
struct pod_volumes; /* opaque: of one pod */

struct volumes_options {
        const char *root_dir;         /* /var/lib/kubelet */
        const char *private_dir;      /* <run-dir>/private: the tmpfs is mounted on its "volumes" */
        struct kube_session *session; /* borrowed; NULL: standalone (no API objects, no tokens) */
        struct object_cache *objects; /* borrowed; NULL with session */
        struct node_volumes *nodes;   /* borrowed; what drivers mount; or NULL */
        void (*allocatable)(struct node_allocatable *ret, void *userdata);
        void *userdata;
};
int volumes_new(sd_event *event, const struct volumes_options *options, struct volumes **ret,
                struct err *err);
struct volumes *volumes_free(struct volumes *v);
DEFINE_CLEANUP(struct volumes *, volumes_free)

struct pod_volumes_ops {
        /* Something got ready or failed: ask pod_volumes_are_ready(). */
        void (*on_changed)(void *userdata);
        /* An event: "FailedMount", "MountVolume.SetUp failed for volume …". Repeated with back-off
         * while it lasts. */
        void (*on_event)(bool is_warning, const char *reason, const char *message, void *userdata);
};
/* Starts setting up what the containers of @pod use. */
int pod_volumes_new(struct volumes *v, struct pod *pod, const struct pod_volumes_ops *ops,
                    void *userdata, struct pod_volumes **ret, struct err *err);
/* The pod changed (labels, annotations): rewrites what depends on it. */
void pod_volumes_update(struct pod_volumes *pv, struct pod *pod);
bool pod_volumes_are_ready(const struct pod_volumes *pv);
/* "unmounted volumes=[a b]…" of those not ready, or NULL; owned. */
char *pod_volumes_missing(const struct pod_volumes *pv);
/* The @i-th volume that is not ready; NULL: there are no more. @ret_problem: a sentence, or NULL
 * while it is under way. Borrowed. */
const char *pod_volumes_missing_at(const struct pod_volumes *pv, size_t i,
                                   const char **ret_problem);
/* Where a volume is on the host; NULL while not ready. Borrowed. */
const char *pod_volumes_path(const struct pod_volumes *pv, const char *volume);
/* Of a block volume: its device's path on the host; NULL while not ready. Borrowed. */
const char *pod_volumes_device(const struct pod_volumes *pv, const char *volume);
/* What is behind a claim, or an inline volume with a driver; else NULL. Borrowed. */
const struct volume_spec *pod_volumes_spec(const struct pod_volumes *pv, const char *volume);
/* Groups that PersistentVolumes give to the pod's processes; owned, NULL without memory. */
uint32_t *pod_volumes_groups(const struct pod_volumes *pv, size_t *ret_n);
/**
 * pod_volumes_sub_path() - subPath of a mount, resolved beneath the volume, made when absent, bound
 * to a place of its own
 * @index: position in the container's volumeMounts
 * @ret:   owned: <root>/pods/<uid>/volume-subpaths/<volume>/<container>/<index>
 * Return: 0; ERR_CONTAINER_CONFIG with the kubelet's sentence, which names no host path.
 */
int pod_volumes_sub_path(struct pod_volumes *pv, const char *volume, const char *container,
                         size_t index, const char *sub_path, char **ret, struct err *err);
/* Unmounts and removes everything of the pod's volumes. -EBUSY: try again. Idempotent. */
int pod_volumes_teardown(struct pod_volumes *pv, struct err *err);
struct pod_volumes *pod_volumes_free(struct pod_volumes *pv); /* lets go; leaves what is on disk */
DEFINE_CLEANUP(struct pod_volumes *, pod_volumes_free)
/* The same for a pod that is known by its uid alone (an orphan). */
int volumes_teardown_orphan(struct volumes *v, const char *pod_uid, struct err *err);
/* Some of what was torn down still takes its place on disk. */
bool volumes_are_removing(const struct volumes *v);
/* Uids that have a folder below pods/; sorted, owned. */
int volumes_list_pods(struct volumes *v, char ***ret);
/* <root>/pods/<uid>: made 0750 with volumes/ and plugins/; its descriptor is the caller's. */
int volumes_pod_dir(struct volumes *v, const char *pod_uid, struct err *err);
