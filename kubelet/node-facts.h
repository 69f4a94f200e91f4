/*
 * What this machine is: read from /proc, /sys and /etc, as cadvisor and the kubelet's setters do.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct node_facts {
        char *machine_id, *system_uuid, *boot_id, *kernel_version,
                *os_image;        /* owned; "" when unknown */
        const char *architecture; /* Go's spelling; static */
        uint32_t cpus;
        uint64_t memory_bytes, swap_bytes;
        struct node_hugepages {
                uint64_t size_bytes, count;
        } hugepages[8];
        size_t n_hugepages;
        bool has_apparmor; /* the kernel's, and it is on */
        const char
                *apparmor_default; /* APPARMOR_DEFAULT when that is loaded and enforced; or NULL */
};
/* What RuntimeDefault is; loaded by skiffd.service from /etc/apparmor.d before skiffd starts. */
#define APPARMOR_DEFAULT "skiff-default"
void node_facts_done(struct node_facts *f);
int node_facts_read(struct node_facts *ret, struct err *err);

/* The file system that holds @path. Bytes and inodes; -errno. */
struct fs_capacity {
        uint64_t bytes, available_bytes, inodes, inodes_free;
};
int fs_capacity_read(const char *path, struct fs_capacity *ret);
/* MemAvailable of /proc/meminfo in bytes; -errno. */
int memory_available_read(uint64_t *ret);
/**
 * node_address_choose() - the address this node is known by
 * @node_ip: the administrator's choice, checked to be on an interface and no loopback, multicast or
 * link-local; or NULL: the address of the interface with the default route.
 * @ret:     owned
 */
int node_address_choose(const char *node_ip, char **ret, struct err *err);
