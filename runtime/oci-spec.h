/*
 * The OCI runtime-spec as a struct: the interface between kubelet/ and runtime/, on disk as
 * config.json. Reading and writing are pure (oci-spec.c).
 *
 * Source: OCI runtime-spec 1.1.0, config.md and config-linux.md. What the struct lacks (hooks,
 * intelRdt, personality, …) is refused by oci_spec_parse() with the field's path, never ignored.
 */
#pragma once
#include <jansson.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/json.h"

struct oci_mount {
        char *destination, *type, *source; /* owned; type "bind", "tmpfs", "proc", "sysfs",
                                              "mqueue", "devpts", "cgroup"; ours: "image" */
        char **options; /* "ro", "rbind", "rslave", "size=64m", "rro", …; owned */
};

/* Type of ours: source "sha256:<image id>[/<path in it>]", which must be in the image store. */
#define OCI_MOUNT_IMAGE "image"

enum oci_namespace_type {
        OCI_NS_PID,
        OCI_NS_NETWORK,
        OCI_NS_IPC,
        OCI_NS_UTS,
        OCI_NS_MOUNT,
        OCI_NS_CGROUP,
        OCI_NS_USER,
        OCI_NS_TIME,
        _OCI_NS_MAX
};
struct oci_namespace {
        bool present; /* absent: the host's */
        char *path;   /* NULL: a fresh one */
};

struct oci_rlimit {
        char *type; /* "RLIMIT_NOFILE" */
        uint64_t soft, hard;
};

struct oci_device {
        char *path;
        char type; /* 'c', 'b', 'p' */
        int64_t major, minor;
        uint32_t file_mode, uid, gid;
};
struct oci_device_rule {
        bool allow;
        char type;            /* 'a', 'c', 'b' */
        int64_t major, minor; /* -1: all */
        char *access;         /* of "rwm" */
};

#define OCI_UNSET INT64_MIN
struct oci_resources { /* numbers are OCI_UNSET when absent */
        int64_t cpu_shares, cpu_quota, cpu_period;
        char *cpuset_cpus, *cpuset_mems;
        int64_t memory_limit, memory_reservation, memory_swap; /* bytes; -1: unlimited */
        int64_t pids_limit;
        struct string_map unified; /* cgroup v2 file -> value */
        struct oci_hugepage_limit {
                char *page_size; /* "2MB" */
                int64_t limit;
        } * hugepage_limits;
        size_t n_hugepage_limits;
        struct oci_device_rule *devices;
        size_t n_devices;
};

struct oci_seccomp_arg {
        uint32_t index;
        uint64_t value, value_two;
        int op; /* enum scmp_compare */
};
struct oci_seccomp_rule {
        char **names;
        uint32_t action;   /* SCMP_ACT_*, without errno */
        int32_t errno_ret; /* -1: EPERM */
        struct oci_seccomp_arg *args;
        size_t n_args;
};
struct oci_seccomp {
        uint32_t default_action;
        int32_t default_errno_ret;
        char **architectures; /* "SCMP_ARCH_X86_64" */
        char **flags;
        struct oci_seccomp_rule *rules;
        size_t n_rules;
};

struct oci_process {
        bool terminal;
        uint32_t uid, gid, umask; /* umask 0: 0022 */
        bool has_umask;
        uint32_t *additional_gids;
        size_t n_additional_gids;
        char **args, **env;
        char *cwd;
        uint64_t cap_bounding, cap_effective, cap_inheritable, cap_permitted,
                cap_ambient; /* bit = CAP_* */
        struct oci_rlimit *rlimits;
        size_t n_rlimits;
        bool no_new_privileges;
        char *apparmor_profile;
        bool has_oom_score_adj;
        int32_t oom_score_adj;
};

struct oci_spec {
        char *version; /* "1.1.0" */
        struct oci_process process;
        char *root_path; /* of the bundle; "rootfs" for ours */
        bool root_readonly;
        char *hostname;
        struct oci_mount *mounts;
        size_t n_mounts;
        struct string_map annotations;
        struct oci_namespace namespaces[_OCI_NS_MAX];
        struct oci_device *devices;
        size_t n_devices;
        char *cgroups_path;
        struct oci_resources resources;
        struct oci_seccomp *seccomp; /* owned; NULL: unconfined */
        struct string_map sysctl;
        char **masked_paths, **readonly_paths;
        char *rootfs_propagation; /* "private", "slave", "shared", … */
};

void oci_spec_init(struct oci_spec *spec); /* nothing set, numbers OCI_UNSET */
void oci_spec_done(struct oci_spec *spec);
void oci_resources_init(struct oci_resources *r);
void oci_resources_done(struct oci_resources *r);
/* The document config.json; new reference, NULL without memory. */
json_t *oci_spec_to_json(const struct oci_spec *spec);
/* Its linux.resources with what @r sets put in the place of what was there. 0 or -ENOMEM. */
int oci_config_update_resources(json_t *config, const struct oci_resources *r);
/* -EINVAL and the field's path in @err. @ret was initialised; the caller frees it in both cases. */
int oci_spec_parse(const json_t *config, struct oci_spec *ret, struct err *err);
/* For building: appends to the vectors. 0 or -ENOMEM. @options: comma-separated. */
int oci_spec_add_mount(struct oci_spec *spec, const char *destination, const char *type,
                       const char *source, const char *options);
/* "CAP_CHOWN" or "CHOWN" to its number; -EINVAL. And back: "CAP_CHOWN", NULL beyond the last. */
int oci_cap_from_name(const char *name);
const char *oci_cap_name(int cap);
