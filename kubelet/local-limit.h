/*
 * Limits of what a pod may hold on local disks: sizeLimit of its emptyDirs, ephemeral-storage of
 * the pod and of its containers. Pure.
 * Source: pkg/kubelet/eviction/eviction_manager.go (localStorageEviction).
 */
#pragma once
#include "kubelet/pod-disk.h"
#include "kubelet/pod.h"

/* Has @pod any such limit? */
bool local_limit_is_set(const struct pod *pod);
/**
 * local_limit_check() - is one of the limits exceeded?
 * @disk:          what it holds; usages known in part count as far as they are known
 * @with_layers:   writable layers count against a container's limit: they lie on the node's file
 *                 system, not on one of the images' own
 * @ret_message:   owned; the kubelet's sentence, of the first limit that is exceeded
 * Return: 1: exceeded; 0: no; -ENOMEM.
 */
int local_limit_check(const struct pod *pod, const struct pod_disk *disk, bool with_layers,
                      char **ret_message);
