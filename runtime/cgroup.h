/*
 * The part of the cgroup v2 hierarchy that is ours: node, QoS and pod groups, one leaf per
 * container, one group for all shims.
 *
 * Paths are the kubelet's cgroupfs spelling relative to the root ("kubepods/burstable/pod<uid>");
 * the systemd driver translates them. A machine may lack controllers, or have them on the v1
 * hierarchy (a hybrid set-up): the groups exist all the same, are born in, frozen and killed
 * through, and limits of a missing controller do not apply. That is said once, by
 * cgroup_tree_missing().
 */
#pragma once
#include <systemd/sd-event.h>

#include "runtime/cgroup-values.h"
#include "runtime/runtime.h"

struct cgroup_tree; /* opaque */

/**
 * cgroup_tree_new() - finds the v2 mount, makes the root and hands its controllers down
 * @root:     below the mount: "/" or "/node-1"
 */
int cgroup_tree_new(sd_event *event, enum cgroup_driver driver, const char *root,
                    struct cgroup_tree **ret, struct err *err);
struct cgroup_tree *cgroup_tree_free(struct cgroup_tree *t);
DEFINE_CLEANUP(struct cgroup_tree *, cgroup_tree_free)
/* One sentence per controller that is wanted and not there. */
char *const *cgroup_tree_missing(const struct cgroup_tree *t);
/* The group that shims are born in; borrowed. */
int cgroup_tree_shims_fd(const struct cgroup_tree *t);

/* Creates what is missing on the way to @path and sets its limits. */
int cgroup_apply(struct cgroup_tree *t, const char *path, const struct oci_resources *r,
                 struct err *err);
/* Kills what is left in it and below, then removes it. 0 also when it does not exist; -EAGAIN while
 * processes are still dying. */
int cgroup_remove(struct cgroup_tree *t, const char *path, struct err *err);
bool cgroup_exists(const struct cgroup_tree *t, const char *path);

struct cgroup_leaf {
        int fd;            /* its directory, for clone3() and cgroup.kill */
        pid_t placeholder; /* with systemd: a process that keeps the scope until then; else 0 */
};
void cgroup_leaf_done(struct cgroup_leaf *leaf);
/**
 * cgroup_create_container() - the leaf of a container, with limits and device filter in force
 * @parent: must exist
 * @ret: the caller's, until a process was cloned into it
 * On failure nothing is left.
 */
int cgroup_create_container(struct cgroup_tree *t, const char *parent, const char *id,
                            const struct oci_resources *r, struct cgroup_leaf *ret,
                            struct err *err);
/* Other limits for it; what is OCI_UNSET stays. -ENOENT when it does not exist. */
int cgroup_update_container(struct cgroup_tree *t, const char *parent, const char *id,
                            const struct oci_resources *r, struct err *err);
/* SIGKILL to all of it, forks under way included. 0 when it does not exist. */
int cgroup_kill_container(struct cgroup_tree *t, const char *parent, const char *id);
/* Removes the leaf; while it is still populated, tries again from the loop. */
void cgroup_remove_container(struct cgroup_tree *t, const char *parent, const char *id);
/* -ENOENT when it does not exist. */
int cgroup_container_detail(const struct cgroup_tree *t, const char *parent, const char *id,
                            struct runtime_detail *ret);
int cgroup_detail(const struct cgroup_tree *t, const char *path, struct runtime_detail *ret);
int cgroup_machine_detail(struct runtime_detail *ret);
int cgroup_container_usage(const struct cgroup_tree *t, const char *parent, const char *id,
                           struct runtime_usage *ret);
/* The same for a group above containers. */
int cgroup_usage(const struct cgroup_tree *t, const char *path, struct runtime_usage *ret);
/* Of all that runs on this machine. */
int cgroup_machine_usage(struct runtime_usage *ret);
