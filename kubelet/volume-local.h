/*
 * PersistentVolumes that are on this node already: local (a directory, bound into the pod; or, as a
 * Block volume, a device) and hostPath. Source: pkg/volume/local, pkg/volume/hostpath.
 */
#pragma once
#include "kubelet/volume-driver.h"

/* .driver of both is a struct sd_event *. */
extern const struct volume_driver volume_local_driver, volume_host_path_driver;
