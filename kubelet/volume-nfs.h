/*
 * NFS, of a pod or of a PersistentVolume: mount(8) mounts it, which runs the system's mount.nfs
 * (package nfs-common). A child with a deadline: a dead server holds up its own pods alone.
 * Source: pkg/volume/nfs.
 */
#pragma once
#include "kubelet/volume-driver.h"

/* .driver is a struct sd_event *. */
extern const struct volume_driver volume_nfs_driver;
