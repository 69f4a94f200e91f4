/*
 * The contract between the volume manager (node-volumes) and those who mount one kind of volume:
 * local, nfs and hostPath (volume-local.c, volume-nfs.c), and CSI.
 *
 * Who owns what. The manager decides: which step is due, that steps of one volume do not overlap,
 * when to try again, what the event says; it keeps who uses what, learns after a restart from disk
 * what was mounted, waits for the attach/detach controller and reports volumesInUse, applies
 * fsGroup, maps block devices to the kubelet's places, removes the folders that it made. A driver
 * acts: it carries out one step for one volume and answers once. It keeps nothing that it could not
 * find again on disk.
 *
 * The steps of a volume, in order; each may be done before already (by an earlier skiffd, or by a
 * try of which nobody knows how it ended) and must then succeed again:
 *   ATTACH     is it usable on this node? Asked of what must be attached, when the Node says that
 *              it is
 *   STAGE      once per node and volume
 *   PUBLISH    once per pod, at .target
 *   UNPUBLISH  undoes that, when no container of the pod is left
 *   UNSTAGE    when no pod uses it any more
 * ATTACH and STAGE have a pod to tell of troubles, the last two know no more than what was on disk:
 * .spec and .pod may be NULL there.
 */
#pragma once
#include "base/err.h"
#include "base/usec.h"
#include "kubelet/pod.h"
#include "kubelet/volume-spec.h"

enum volume_step {
        VOLUME_ATTACH,
        VOLUME_STAGE,
        VOLUME_PUBLISH,
        VOLUME_UNPUBLISH,
        VOLUME_UNSTAGE,
        _VOLUME_STEP_MAX,
};

/* What a step is about; borrowed until it is done or cancelled, but not @pod and @spec, which a
 * driver copies from, or takes a reference of, when it wants them later. Paths are absolute. */
struct volume_request {
        enum volume_step step;
        const struct volume_spec *spec;  /* never NULL in ATTACH, STAGE and PUBLISH */
        const struct pod *pod;           /* never NULL in ATTACH, STAGE and PUBLISH */
        const char *unique_name;         /* "kubernetes.io/csi/<driver>^<handle>" */
        const char *spec_name, *pod_uid; /* NULL in UNSTAGE */
        bool is_block;
        /*
         * Where containers look for it: <root>/pods/<uid>/volumes/<dir>/<spec name>[/<leaf>].
         * The folder above it is there (0750); @target itself is the driver's to make and, in
         * UNPUBLISH, to unmount and to remove. Block: where it may keep files of its own,
         * <root>/pods/<uid>/volumeDevices/<dir>, while the device is .device of the result.
         * NULL in UNSTAGE.
         */
        const char *target;
        bool is_repeated; /* PUBLISH of what is mounted (wants_republish): a failure leaves it so */
};
struct volume_result {
        int r;                 /* 0, or a negative errno with .err */
        const struct err *err; /* a sentence for the event */
        /* What the event begins with, instead of the step's own "MountVolume.SetUp failed"; static
         */
        const char *failed_as;
        /* PUBLISH failed, but may have mounted it all the same: UNPUBLISH comes before the pod goes
         * (as it does after every success). */
        bool is_uncertain;
        const char *device; /* PUBLISH of a block volume: path of the device on the host */
        const char *path;   /* PUBLISH of a driver without .dir: where it is on the host */
};
/* Called once, from the loop, never from start(); the work is gone when it returns. */
typedef void (*volume_done_fn)(const struct volume_result *result, void *userdata);

struct volume_driver {
        const char *plugin; /* "kubernetes.io/csi" */
        /* "kubernetes.io~csi": below pods/<uid>/volumes and volumeDevices. NULL: it mounts nothing,
         * PUBLISH says where the volume is, and there is no UNPUBLISH. */
        const char *dir;
        const char
                *leaf; /* "mount": what containers see is this, below the spec's folder; or NULL */
        /* Block: the global map of a volume is <root>/<prefix>/<spec name><suffix>; or NULL: it has
         * no block volumes. */
        const char *map_prefix, *map_suffix;
        bool takes_mount_options;
        bool may_be_cancelled; /* when the pod goes meanwhile; UNPUBLISH comes next */
        bool has_stage; /* STAGE and UNSTAGE are asked; steps of one volume come one at a time */
        /* "<plugin>/<id>"; owned. Needs no I/O. */
        int (*unique_name)(void *driver, const struct volume_spec *spec, const char *pod_uid,
                           char **ret, struct err *err);
        /* The same from what is on disk, after a restart: @spec_dir is the folder
         * pods/<uid>/volumes/<dir>/<spec name> (block: volumeDevices). Owned; -ENOENT: this is
         * nothing of the driver's, and is removed. NULL: "<plugin>/<spec name>". */
        int (*recognize)(void *driver, const char *spec_dir, bool is_block, const char *spec_name,
                         const char *pod_uid, char **ret, struct err *err);
        /* What is staged on this node, after a restart, by unique name; a string list, owned. NULL:
         * what its pods have says it all. */
        int (*list_staged)(void *driver, char ***ret, struct err *err);
        /* Must the attach/detach controller have attached it? 1, 0, or negative: not known yet,
         * with a sentence. NULL: never. */
        int (*must_attach)(void *driver, const struct volume_spec *spec, struct err *err);
        /* How far fsGroup goes; NULL: never. */
        enum volume_group {
                VOLUME_GROUP_NEVER,
                VOLUME_GROUP_ALWAYS,
                VOLUME_GROUP_FIRST_POD, /* only when no other pod of this node has it */
        } (*group)(void *driver, const struct volume_spec *spec);
        /* PUBLISH again every minute or so, with the pod as it is then. NULL: no. */
        bool (*wants_republish)(void *driver, const struct volume_spec *spec);
        /**
         * start() - begins a step
         * @done:     told later, unless the answer is in @ret already
         * @ret:      set when 1 is returned; its strings are borrowed until the next call
         * @ret_work: set when 0 is returned: for cancel()
         * Return: 0: under way; 1: done, and well; negative: failed, with @err.
         */
        int (*start)(void *driver, const struct volume_request *request, volume_done_fn done,
                     void *userdata, void **ret_work, struct volume_result *ret, struct err *err);
        /* done is not called; what was begun is left as it is. */
        void (*cancel)(void *work);
};
