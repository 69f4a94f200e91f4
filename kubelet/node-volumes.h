/*
 * The volumes of this node that drivers mount (volume-driver.h): which pods use them, how far each
 * is on its way in or out. One way in and out for all kinds; see volume-driver.h for who does what.
 *
 * Nothing here is remembered over a restart: what is below <root>/pods/<uid>/volumes and
 * volumeDevices says which pods had what, and is taken up as "uncertain": mounted again for whoever
 * wants it, unmounted otherwise.
 *
 * Source: pkg/kubelet/volumemanager (reconciler, cache), pkg/volume/util/operationexecutor.
 */
#pragma once
#include <systemd/sd-event.h>

#include "kubelet/volume-driver.h"

struct node_volumes; /* opaque */
struct volume_hold;  /* opaque: one volume of one pod, as the pod holds it */

struct node_volumes_options {
        const char *root_dir;  /* /var/lib/kubelet */
        const char *node_name; /* for nodeAffinity */
        /* volumesInUse is another one: the node status is to be written. */
        void (*on_in_use_changed)(void *userdata);
        void *userdata;
};
int node_volumes_new(sd_event *event, const struct node_volumes_options *options,
                     struct node_volumes **ret, struct err *err);
struct node_volumes *node_volumes_free(struct node_volumes *n);
DEFINE_CLEANUP(struct node_volumes *, node_volumes_free)
/**
 * node_volumes_add_driver() - of one kind, before the first pod comes
 * @ops:    static
 * @driver: borrowed; handed to every function of @ops
 */
int node_volumes_add_driver(struct node_volumes *n, enum volume_spec_kind kind,
                            const struct volume_driver *ops, void *driver, struct err *err);
/* Takes up what an earlier skiffd mounted; after the last driver, before the first pod. */
int node_volumes_observe(struct node_volumes *n, struct err *err);
/* Which pods there are is known: what was found and nobody wants is unstaged from now on. */
void node_volumes_settled(struct node_volumes *n);
/* The Node came or changed: labels, status.volumesAttached, status.volumesInUse. Borrowed. */
void node_volumes_set_node(struct node_volumes *n, const json_t *node);
/* A driver came, went or learned something (a CSIDriver, an attachment): what waits is tried anew.
 */
void node_volumes_driver_changed(struct node_volumes *n, enum volume_spec_kind kind);
/* Names for the Node's status.volumesInUse, sorted; new reference, NULL without memory. */
json_t *node_volumes_in_use(const struct node_volumes *n);

struct volume_hold_ops {
        void (*on_changed)(void *userdata); /* ready now, or its problem is another one */
        /* An event is due: "FailedMount", "MountVolume.SetUp failed for volume "x" : …". Repeated
         * with back-off while it lasts. */
        void (*on_event)(bool is_warning, const char *reason, const char *message, void *userdata);
};
/**
 * volume_hold_new() - starts bringing a volume to a pod; of one that comes to it twice (two claims
 * of the same name) there is one mount
 * @spec: one reference is taken
 * Return: 0; -EOPNOTSUPP: no driver; -EBUSY: it is just leaving; -ENOMEM.
 */
int volume_hold_new(struct node_volumes *n, struct pod *pod, struct volume_spec *spec,
                    const struct volume_hold_ops *ops, void *userdata, struct volume_hold **ret,
                    struct err *err);
/* Lets go of it; what is mounted stays until node_volumes_release(). */
struct volume_hold *volume_hold_free(struct volume_hold *h);
DEFINE_CLEANUP(struct volume_hold *, volume_hold_free)
void volume_hold_set_pod(struct volume_hold *h, struct pod *pod);
const char *volume_hold_path(const struct volume_hold *h);   /* NULL while not ready; borrowed */
const char *volume_hold_device(const struct volume_hold *h); /* of a block volume, likewise */
/* What it waits for, as a sentence: "volume … is not attached according to the node's status". */
const char *volume_hold_problem(const struct volume_hold *h); /* NULL: none; borrowed */
/* It is not attached yet: among the "unattached volumes". */
bool volume_hold_is_unattached(const struct volume_hold *h);

/**
 * node_volumes_release() - unpublishes everything of a pod of which no container is left
 * Return: 0: nothing is left; -EBUSY: under way, or failed and to be tried again; ask once more,
 * @err says what for.
 */
int node_volumes_release(struct node_volumes *n, const char *pod_uid, struct err *err);
