/*
 * For drivers whose step is one blocking thing (volume-local, volume-nfs): done by a child, told as
 * a volume_result. And what such children do.
 */
#pragma once
#include "kubelet/volume-child.h"
#include "kubelet/volume-driver.h"

/* An outcome of the child's function: the event says "NewMounter initialization failed". */
enum { VOLUME_STEP_NO_MOUNTER = 1 };
/* As volume_child_start(), in the shape of volume_driver.start(). What the child found, .text, is
 * .device and .path of the result. */
int volume_step_start(sd_event *event, volume_child_fn fn, const void *arg, const char *what,
                      usec_t timeout_usec, volume_done_fn done, void *userdata, void **ret_work,
                      struct err *err);
void volume_step_cancel(void *work);

/* ---- for volume_step_start() ---- */
struct volume_bind {
        const char *source, *target; /* absolute; borrowed */
        bool read_only;
        uint64_t attributes; /* MOUNT_ATTR_* to set */
};
/* Binds a directory on @target, which is made; done already when something is mounted there. @arg:
 * a struct volume_bind. */
void volume_bind_make(const void *arg, struct volume_child_answer *answer);
struct volume_unmount {
        const char *target;
        int flags; /* MNT_DETACH, MNT_FORCE */
};
/* @arg: a struct volume_unmount. Removes the folder too. */
void volume_bind_remove(const void *arg, struct volume_child_answer *answer);

/* "noatime", "nosuid", … of a bind mount -> MOUNT_ATTR_*; -EINVAL names what is none. Pure. */
int volume_bind_options(char *const *options, uint64_t *ret, bool *ret_read_only, struct err *err);
