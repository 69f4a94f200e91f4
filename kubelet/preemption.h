/*
 * Who makes room for a critical pod that only a lack of resources keeps from this node: as few pods
 * as possible, and those that ask for least; best-effort ones before burstable before guaranteed
 * ones. Pure. Source: pkg/kubelet/preemption/preemption.go.
 */
#pragma once
#include "kubelet/pod.h"

struct preemption_need {
        const char *resource; /* "cpu" (in thousandths), "memory", …; "pods" */
        int64_t amount;       /* how much of it is missing; > 0 */
};
enum { PREEMPTION_NEEDS_MAX = 4 };
/**
 * preemption_choose() - marks who goes
 * @pods:        active ones, without @pod; critical ones are spared but for less important ones
 * @ret_chosen:  @n flags, set in any case
 * @ret_why_not: owned; the kubelet's sentence, when there are not enough
 * Return: 1: chosen; 0: not enough; -ENOMEM.
 */
int preemption_choose(const struct pod *pod, const struct pod *const *pods, size_t n,
                      const struct preemption_need *needs, size_t n_needs, bool *ret_chosen,
                      char **ret_why_not);
