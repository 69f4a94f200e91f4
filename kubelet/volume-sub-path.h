/*
 * subPath mounts, safe against a tenant who changes the volume meanwhile, and the way back from
 * them. Source: pkg/volume/util/subpath/subpath_linux.go: the verified handle is what gets
 * mounted.
 */
#pragma once
#include "base/err.h"

/**
 * sub_path_bind() - volume/sub_path, resolved beneath the volume, bound to a place of ours
 * @volume_path: the volume's root on the host
 * @sub_path:    relative; missing folders are made with the root's mode
 * @root_fd, @place: where: a relative path below the kubelet's root directory; made
 * Return: 0; ERR_CONTAINER_CONFIG with the kubelet's sentence.
 */
int sub_path_bind(const char *volume_path, const char *sub_path, int root_fd, const char *place,
                  const char *volume, const char *container, struct err *err);
/* Rules that need no file system: relative, no "..". Pure. */
int sub_path_validate(const char *sub_path, struct err *err);
/* Detaches every mount at or below @path (absolute), deepest first. */
int mounts_detach_below(const char *path, struct err *err);
/* 1: something is mounted at @path (absolute), 0: nothing is; asks the table, not the mount. */
int mount_is_at(const char *path, struct err *err);
