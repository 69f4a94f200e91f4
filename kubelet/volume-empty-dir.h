/*
 * emptyDir: a folder below the pod's, or a tmpfs mounted there. Made once; what is there and marked
 * ready stays as it is. Source: pkg/volume/emptydir.
 */
#pragma once
#include "kubelet/field-path.h"
#include "kubelet/pod.h"

struct empty_dir {
        int root_fd; /* borrowed; of <root-dir> */
        const char *root_dir;
        const struct pod *pod;
        const struct pod_volume *volume;
        struct node_allocatable allocatable;
};
int empty_dir_make(const struct empty_dir *e, struct err *err);
/* Without swap where the kernel can. @size 0: half of the memory. */
int mount_tmpfs(const char *path, uint64_t size, const char *mode, struct err *err);
bool is_tmpfs(int fd);
