/*
 * Numbers of an OCI spec as the text that cgroup v2 files take. Pure.
 * Source: the kubelet's and libcontainer's conversions (pkg/kubelet/cm/helpers_linux.go,
 * opencontainers/cgroups utils.go).
 */
#pragma once
#include <stdint.h>

#include "runtime/oci-spec.h"

/* Who would have written the group: the kubelet (node, QoS and pod groups) or the runtime. */
enum cgroup_level { CGROUP_LEVEL_GROUP, CGROUP_LEVEL_CONTAINER };

/* cpu.shares [2, 262144] to cpu.weight [1, 10000]: linear for groups, logarithmic (1024 is 100) for
 * containers. */
uint64_t cgroup_weight(int64_t shares, enum cgroup_level level);
int64_t cgroup_shares(uint64_t weight); /* the linear form backwards */

enum { CGROUP_VALUES_MAX = 64, CGROUP_TEXT_MAX = 48 };
struct cgroup_value {
        const char *controller; /* "memory": skip the file when the machine lacks it */
        char file[CGROUP_TEXT_MAX];
        char text[CGROUP_TEXT_MAX];
        const char *long_text; /* instead of text; borrowed from the resources */
        bool optional;         /* a kernel may lack this file although it has the controller */
};
/**
 * cgroup_values() - what to write where, in an order that is valid at each step
 * @ret: room for CGROUP_VALUES_MAX
 * Return: how many; -E2BIG; -EINVAL and the field (ERR_CONTAINER_CONFIG).
 */
int cgroup_values(const struct oci_resources *r, enum cgroup_level level, struct cgroup_value *ret,
                  struct err *err);
