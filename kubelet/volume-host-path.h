/*
 * hostPath checks. The host's path may hang (a dead NFS), so a child of ours looks at it and skiffd
 * waits for the child's end, never for the file system. Source: pkg/volume/hostpath,
 * pkg/volume/util/hostutil.
 */
#pragma once
#include <systemd/sd-event.h>

#include "base/err.h"

struct host_path_check; /* opaque */
/* @problem: NULL when it is as @type asks (and made for …OrCreate); else the kubelet's sentence. */
typedef void (*host_path_done_fn)(const char *problem, void *userdata);
/* -EINVAL at once for an unknown type. @type "" needs no check: do not call. */
int host_path_check_new(sd_event *event, const char *path, const char *type, host_path_done_fn done,
                        void *userdata, struct host_path_check **ret, struct err *err);
struct host_path_check *host_path_check_free(struct host_path_check *c);
