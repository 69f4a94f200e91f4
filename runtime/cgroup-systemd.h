/*
 * The systemd half of cgroups: slices for groups, a scope for each container.
 *
 * Calls block until systemd has done the job (some milliseconds, at most 10 s); each one opens its
 * own connection to systemd's private socket, so nothing has to follow its signals in between.
 * Source: kubelet pkg/kubelet/cm/cgroup_manager_linux.go; org.freedesktop.systemd1(5).
 */
#pragma once
#include <sys/types.h>

#include "runtime/oci-spec.h"

/* "kubepods/burstable/pod1-2" is unit "kubepods-burstable-pod1_2.slice"; pure, owned; NULL without
 * memory. */
char *cgroup_systemd_slice_name(const char *path);
/* The same as a path: "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1_2.slice". */
char *cgroup_systemd_slice_path(const char *path);

/* Is systemd here to talk to? Names the socket otherwise. */
int cgroup_systemd_check(struct err *err);
/* Starts the slice of @path, unless it runs, and sets its limits. */
int cgroup_systemd_apply_slice(const char *path, const struct oci_resources *r, struct err *err);
int cgroup_systemd_stop_slice(const char *path, struct err *err);
/**
 * cgroup_systemd_start_scope() - a delegated scope in the slice of @parent, with the limits @r
 * @ret_placeholder: the process that keeps it alive until a container was cloned into it; end it
 *                   with cgroup_systemd_end_placeholder()
 */
int cgroup_systemd_start_scope(const char *parent, const char *id, const struct oci_resources *r,
                               pid_t *ret_placeholder, struct err *err);
void cgroup_systemd_end_placeholder(pid_t pid);
/* Other limits for a scope that runs. */
int cgroup_systemd_update_scope(const char *id, const struct oci_resources *r, struct err *err);
