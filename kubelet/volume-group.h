/*
 * fsGroup of what a driver mounted, walked by a child: a volume may hold millions of files.
 * Source: pkg/volume/volume_linux.go.
 */
#pragma once
#include "kubelet/volume-child.h"

struct volume_group_job {
        const char *path; /* borrowed */
        gid_t group;
        bool only_look;        /* another pod has it: 1 and the group as text when it is another */
        bool on_root_mismatch; /* fsGroupChangePolicy: a root that fits stands for all */
};
enum { VOLUME_GROUP_DIFFERS = 1 };
/* For volume_child_start(): @arg is a struct volume_group_job. */
void volume_group_apply(const void *arg, struct volume_child_answer *answer);
