/*
 * Device filters of containers: rules of an OCI spec compiled to eBPF and attached to their group.
 */
#pragma once
#include <linux/bpf.h>

#include "runtime/oci-spec.h"

enum { DEVICE_RULES_MAX = 512, DEVICE_INSNS_MAX = 128 + 7 * DEVICE_RULES_MAX };

/* Writes the program for @rules (and what is always allowed); how many instructions, or -E2BIG.
 * Pure. */
int cgroup_devices_compile(const struct oci_device_rule *rules, size_t n_rules,
                           struct bpf_insn *insns, size_t max);

struct device_filters;                           /* opaque: the programs that are loaded */
struct device_filters *device_filters_new(void); /* NULL without memory */
struct device_filters *device_filters_free(struct device_filters *f);
/**
 * device_filters_attach() - puts the device filter on a group that has no process yet
 * @rules: the spec's, a later one wins; the devices every container has (null, zero, full, random,
 * urandom, tty, ptmx, pts) are always allowed, and so is mknod; everything else is denied
 * A filter attached before is replaced in one step.
 */
int device_filters_attach(struct device_filters *f, int cgroup_fd,
                          const struct oci_device_rule *rules, size_t n_rules, struct err *err);
