/*
 * QoS classes, sums of requests and limits, and what they mean in cgroups: the kubelet's formulas.
 * Pure. Source: pkg/apis/core/v1/helper/qos, component-helpers/resource/helpers.go,
 * pkg/kubelet/cm/helpers_linux.go, pkg/kubelet/qos/policy.go.
 */
#pragma once
#include "kubelet/pod.h"

enum qos_class { QOS_GUARANTEED, QOS_BURSTABLE, QOS_BEST_EFFORT };
/* As the API once said (status.qosClass), else computed. */
enum qos_class pod_qos(const struct pod *pod);
const char *qos_name(enum qos_class q); /* "Guaranteed", "Burstable", "BestEffort" */

/* Amounts by name, sorted; cpu in thousandths, all else in whole units. Names are the pod's. */
struct amounts {
        struct amount {
                const char *name; /* borrowed from the pod */
                int64_t value;
        } * list; /* owned */
        size_t n;
};
/* "example.com/gpu": neither of Kubernetes' own domain nor without one; others count it. */
bool is_extended_resource(const char *name);
void amounts_done(struct amounts *a);
int64_t amounts_get(const struct amounts *a, const char *name); /* POD_UNSET when absent */
/*
 * What the whole pod asks for, or may have: containers and sidecars together, or an init container
 * with the sidecars before it where that is more; pod-level values instead where set; overhead on
 * top (of limits: only where there is one). 0 or -ENOMEM; @ret was zeroed.
 */
int pod_requests(const struct pod *pod, struct amounts *ret);
int pod_limits(const struct pod *pod, struct amounts *ret);
/* Is a limit of @name set (and not 0) on every container and init container, or on the pod? */
bool pod_limit_is_declared(const struct pod *pod, const char *name);

/* cgroup values. */
int64_t qos_cpu_shares(int64_t milli);                    /* 2 to 262144 */
int64_t qos_cpu_quota(int64_t milli, usec_t period_usec); /* 0: none; else at least 1000 µs */
/* -997 to 1000. @memory_bytes: the node's capacity. */
int qos_oom_score_adj(const struct pod *pod, const struct pod_container *c, uint64_t memory_bytes);
