/*
 * Which instance of a container `kubectl logs` shows, by the pod's status; and why none. Pure.
 * Source: validateContainerLogStatus in pkg/kubelet/kubelet_pods.go.
 */
#pragma once
#include <jansson.h>

#include "base/err.h"

/**
 * log_target_choose() - the instance whose log is meant
 * @status: v1.PodStatus
 * @ret_id: set on success; without "skiff://"; borrowed from @status
 * Return: 0, or -ENOENT with the kubelet's sentence, such as
 * `container "c" in pod "p" is waiting to start: ContainerCreating`.
 */
int log_target_choose(const json_t *status, const char *pod, const char *container, bool previous,
                      const char **ret_id, struct err *err);
