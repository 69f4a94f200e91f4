/*
 * May a pod run on this node? The first refusal wins. Pure.
 * Source: pkg/kubelet/lifecycle/predicate.go, handlers.go, pkg/kubelet/sysctl; the scheduler's node
 * affinity, ports, resources and taints as component-helpers has them.
 */
#pragma once
#include "kubelet/field-path.h"
#include "kubelet/pod.h"
#include "kubelet/preemption.h"

struct admission_node {
        const json_t
                *node; /* the Node object: labels, taints; NULL: not seen yet (or standalone) */
        const char *name;
        bool standalone; /* there is no Node object: what needs one is not looked at */
        struct node_allocatable allocatable;
        uint32_t max_pods;
        bool has_apparmor;
        bool is_shutting_down;
        bool memory_pressure, disk_pressure, pid_pressure;
        char *const *allowed_unsafe_sysctls; /* exact, or a prefix with '*' at its end */
};
struct admission_refusal {
        char *reason, *message; /* owned: "OutOfcpu", "Node didn't have enough resource: …" */
};
void admission_refusal_done(struct admission_refusal *r);
/**
 * admission_check() - against the pods that are here already
 * @others: active pods, without @pod
 * Return: 0 admitted; 1 refused, *ret says why; -ENOMEM.
 */
int admission_check(const struct pod *pod, const struct admission_node *node,
                    const struct pod *const *others, size_t n_others,
                    struct admission_refusal *ret);
/* What of the node's resources the pod would need and others have; how many, 0 to
 * PREEMPTION_NEEDS_MAX. -ENOMEM. */
int admission_shortage(const struct pod *pod, const struct admission_node *node,
                       const struct pod *const *others, size_t n_others,
                       struct preemption_need ret[static PREEMPTION_NEEDS_MAX]);
/* Does the pod's nodeSelector and required node affinity fit these labels (and this name)? */
bool admission_matches_node(const struct pod *pod, const json_t *labels, const char *node_name);
/* Does one of the terms fit? None fits when there are none. */
bool admission_matches_terms(const struct pod_node_term *terms, size_t n, const json_t *labels,
                             const char *node_name);
/* The first of the Node's taints of that effect that the pod does not tolerate; NULL: none. */
const json_t *admission_find_taint(const struct pod *pod, const json_t *node, const char *effect);
/* Normal form of a sysctl's name ("kernel/shm_rmid_forced" is "kernel.shm_rmid_forced"); owned. */
char *sysctl_normalize(const char *name);
