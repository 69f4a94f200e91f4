/*
 * Room on the node for a critical pod that was refused for lack of resources: others are preempted.
 * Source: pkg/kubelet/preemption/preemption.go.
 */
#pragma once
#include "kubelet/admission.h"
#include "kubelet/pod-manager.h"

/**
 * pod_room_make() - ends as many other pods as it takes
 * @active:  all others; their workers are @pods'
 * @refusal: what it was refused with; replaced when something else is in its way, or when there are
 *           not enough pods that could go
 * Return: 1: they are on their way out; 0: the pod stays refused; -ENOMEM.
 */
int pod_room_make(const struct pod *pod, const struct admission_node *node,
                  const struct pod *const *active, size_t n_active, const struct pod_manager *pods,
                  struct admission_refusal *refusal);
