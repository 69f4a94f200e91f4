/* The compiler of device filters by itself, for its tests. Pure. See cgroup_devices_attach(). */
#pragma once
#include <linux/bpf.h>

#include "runtime/oci-spec.h"

enum { DEVICE_RULES_MAX = 512, DEVICE_INSNS_MAX = 128 + 7 * DEVICE_RULES_MAX };

/* Writes the program for @rules (and what is always allowed); how many instructions, or -E2BIG. */
int cgroup_devices_compile(const struct oci_device_rule *rules, size_t n_rules,
                           struct bpf_insn *insns, size_t max);
