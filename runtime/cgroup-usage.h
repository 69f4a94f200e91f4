/*
 * What a cgroup, or the whole machine, has used: the numbers of cgroup v2 and of /proc/meminfo as
 * one struct runtime_usage. Whatever the kernel does not give stays UINT64_MAX.
 */
#pragma once
#include "runtime/runtime.h"

struct usage_key {
        const char *name; /* at the beginning of a line: "usage_usec", "Inactive(file)" */
        size_t offset;    /* of a uint64_t in the target */
};
/**
 * usage_parse() - a file of lines "name number" or "name:  number kB"; pure
 * @unit: what a number is multiplied by
 * Members of @target whose name is absent, or whose number is none, stay as they are.
 */
void usage_parse(const char *text, const struct usage_key *keys, size_t n, uint64_t unit,
                 void *target);

/* A file such as cpu.pressure; pure. What is malformed is not known. */
struct runtime_pressure pressure_parse(const char *text);

/* Of the cgroup whose directory is @dir_fd. */
void cgroup_usage_read(int dir_fd, struct runtime_usage *ret);
/* @mount_fd: top of the v2 hierarchy. */
void cgroup_usage_read_machine(int mount_fd, struct runtime_usage *ret);
