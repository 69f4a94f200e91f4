/*
 * The cgroups above all pods: "kubepods" with what the node leaves to them, and the groups of QoS
 * classes below it. Source: pkg/kubelet/cm/node_container_manager_linux.go,
 * qos_container_manager_linux.go.
 */
#pragma once
#include "kubelet/config.h"
#include "runtime/runtime.h"

struct node_share {                            /* what there is on the machine */
        int64_t cpu_milli, memory_bytes, pids; /* pids 0: unknown */
};
/* kubeReserved and systemReserved of a resource together; cpu with @milli in thousandths. */
int64_t config_reserved(const struct kubelet_config *c, const char *resource, bool milli);
/**
 * node_cgroups_limits() - what all pods together may have of the machine
 * What is reserved is taken off while enforceNodeAllocatable has "pods"; else pods are not held to
 * anything. Thresholds of eviction are not taken off: they are to be reached before. Pure.
 * @ret: oci_resources_done() frees it
 */
void node_cgroups_limits(const struct kubelet_config *c, const struct node_share *machine,
                         struct oci_resources *ret);
int node_cgroups_apply(struct runtime *rt, const struct kubelet_config *c,
                       const struct node_share *machine, struct err *err);
