/*
 * /metrics/cadvisor: what each cgroup used, under the names and labels that dashboards and alerts
 * ask for, as Prometheus' text. Pure.
 * Source: vendor/github.com/google/cadvisor/metrics/prometheus.go, pkg/kubelet/server/server.go
 * (containerPrometheusLabelsFunc).
 */
#pragma once
#include "base/text.h"
#include "kubelet/stats-snapshot.h"

/* A cgroup: the machine's, one above pods, a pod's, or a container's. */
struct cadvisor_subject {
        const char *id;                                         /* its path; "/" for the machine */
        const char *container, *image, *name, *namespace, *pod; /* borrowed; "" when not so */
        usec_t started_at;                                      /* CLOCK_REALTIME; 0: not known */
        struct runtime_usage usage;
        struct runtime_detail detail;
        struct stats_network network; /* list owned */
        struct stats_fs fs;           /* the machine's only */
        usec_t read_at;
};

struct cadvisor_machine {
        const char *machine_id, *system_uuid, *boot_id, *kernel_version, *os_version;
        uint32_t cpus, physical_cpus, sockets; /* physical_cpus 0: not known; sockets likewise */
        uint64_t memory_bytes, swap_bytes;
};

/* Owned; NULL without memory. What the kernel does not tell is left out. */
char *cadvisor_format(const struct cadvisor_machine *machine,
                      const struct cadvisor_subject *subjects, size_t n);
