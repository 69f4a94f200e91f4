/*
 * A block volume at the kubelet's places: bound to a file of the volume's global map, linked from
 * the pod's volumeDevices. The device is held open meanwhile, so that its number cannot become
 * another device's. (The kubelet holds it by a loop device; a descriptor does the same.)
 *
 * Source: pkg/volume/util/volumepathhandler, pkg/volume/util/util.go (MapBlockVolume).
 */
#pragma once
#include "kubelet/volume-child.h"

struct block_map {            /* absolute paths, borrowed */
        const char *device;   /* may be a link */
        const char *map_dir;  /* <root>/<prefix>/<spec><suffix>; made */
        const char *pod_uid;  /* name of the bound file in it */
        const char *link_dir; /* <root>/pods/<uid>/volumeDevices/<dir>; made */
        const char *link;     /* name of the link in it: the spec's */
        bool read_only;
};
/* For volume_child_start(): @arg is a struct block_map. Answers with the device's own path and a
 * descriptor of it. */
void block_map_make(const void *arg, struct volume_child_answer *answer);
/* Takes both off. 0, also when they are not there. */
int block_map_remove(const struct block_map *m, struct err *err);
