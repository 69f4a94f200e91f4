/*
 * The few files that skiffd writes for a pod and its containers mount: hosts, resolv.conf,
 * hostname, termination log. They lie in <root-dir>/pods/<uid>.
 */
#pragma once
#include "kubelet/context.h"

struct pod_files { /* absolute paths; owned */
        char *hosts, *resolv_conf, *hostname, *termination_log;
};
void pod_files_done(struct pod_files *f);
/**
 * pod_files_write() - (re)writes them for a start of @container
 * @ip4, @ip6: the pod's addresses; "" when none
 * hosts is left NULL when the container mounts its own or the pod has no address.
 */
int pod_files_write(const struct context *ctx, const struct pod *pod,
                    const struct pod_container *container, const char *ip4, const char *ip6,
                    struct pod_files *ret, struct err *err);
/* Folder of a pod's logs: "<pod-log-dir>/<ns>_<name>_<uid>"; owned. */
char *pod_log_folder(const struct context *ctx, const struct pod *pod);
/* "<folder>/<container>/<restartCount>.log"; owned. */
char *pod_log_path(const struct context *ctx, const struct pod *pod, const char *container,
                   uint32_t restart_count);
/* The legacy link <container-log-dir>/<pod>_<ns>_<container>-<id>.log to a log. */
void pod_log_link(const struct context *ctx, const struct pod *pod, const char *container,
                  const char *id, const char *log_path);
/* Removes a pod's log folder and its links. */
void pod_logs_remove(const struct context *ctx, const struct pod *pod);
/* Logs and the link of one instance. */
void pod_log_remove_instance(const struct context *ctx, const struct pod *pod,
                             const char *container, const char *id, const char *log_path);
