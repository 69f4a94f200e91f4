/*
 * runtimeClassName: which handler a pod's RuntimeClass names, and whether that is one of ours.
 * There is one runtime here; it answers to the names that plain runtimes have elsewhere. Source:
 * pkg/kubelet/runtimeclass; api/node/v1 RuntimeClass.
 */
#pragma once
#include "kubelet/pod-objects.h"

/* Sorted; "" is the default. The last one is NULL. */
extern const char *const runtime_handlers[];
bool runtime_handler_is_ours(const char *handler);

enum { RUNTIME_CLASS_PENDING = 1 };
/**
 * runtime_class_check() - may a sandbox be made for @pod?
 * Without an API server there are no RuntimeClasses, and a name is passed over, as the kubelet
 * does. Return: 0; RUNTIME_CLASS_PENDING: the API has not answered yet; -ENOENT, -EAGAIN, -EINVAL
 * with the sentence of the kubelet or of containerd.
 */
int runtime_class_check(const struct pod *pod, const struct pod_objects *objects, struct err *err);
