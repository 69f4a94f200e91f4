/*
 * One look at what this node and its pods use: plain values that stats.c gathers, and
 * resource-metrics and stats-summary write down. Names are borrowed from pods and containers, so a
 * snapshot is used up before the loop goes on.
 */
#pragma once
#include <net/if.h>

#include "base/cleanup.h"
#include "base/usec.h"
#include "runtime/runtime.h"

#define STATS_UNKNOWN UINT64_MAX /* the kernel does not say: it is left out, never 0 */

struct stats_usage {
        usec_t read_at; /* CLOCK_REALTIME; 0: nothing is known */
        uint64_t cpu_usec, cpu_nanocores;
        uint64_t memory_usage, memory_working_set, memory_rss, memory_limit;
        uint64_t page_faults, major_page_faults;
        uint64_t swap_usage, swap_limit;
        struct runtime_pressure cpu_pressure, memory_pressure, io_pressure;
};

struct stats_fs {       /* bytes and inodes */
        usec_t read_at; /* 0: nothing is known */
        uint64_t available, capacity, used, inodes, inodes_free, inodes_used;
};

struct stats_interface {
        char name[IFNAMSIZ];
        uint64_t rx_bytes, rx_packets, rx_errors, rx_dropped;
        uint64_t tx_bytes, tx_packets, tx_errors, tx_dropped;
};
struct stats_network {
        usec_t read_at;               /* 0: nothing is known */
        struct stats_interface *list; /* owned */
        size_t n;
};
/* /proc/<pid>/net/dev, without the loopback and without the host's ends of pods' pairs. Pure. 0 or
 * -ENOMEM. */
int stats_network_parse(const char *text, struct stats_network *ret);

struct stats_container {
        const char *name;
        usec_t started_at; /* CLOCK_REALTIME */
        struct stats_usage usage;
        struct stats_fs rootfs, logs;
};
struct stats_volume {
        const char *name;
        struct stats_fs fs;
};
struct stats_pod {
        const char *name, *namespace, *uid;
        usec_t started_at;
        struct stats_usage usage;
        struct stats_container *containers; /* owned; those that run */
        size_t n_containers;
        struct stats_volume *volumes; /* owned */
        size_t n_volumes;
        struct stats_network network;
        struct stats_fs ephemeral;
};
struct stats_snapshot {
        const char *node_name;
        usec_t booted_at;
        bool has_failed; /* not even the machine could be read */
        struct stats_usage node;
        struct stats_network network;
        struct stats_fs fs, image_fs, container_fs;
        usec_t limits_read_at;
        uint64_t max_pid, processes;
        struct stats_pod *pods; /* owned */
        size_t n_pods;
};
void stats_snapshot_done(struct stats_snapshot *s);
