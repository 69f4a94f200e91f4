#include "runtime/oci-spec.h"

#include <assert.h>
#include <errno.h>
#include <linux/capability.h>
#include <seccomp.h>
#include <string.h>

#include "base/text.h"
#include "runtime/oci-spec-names.h"
#include "runtime/runtime.h"

static const char *const cap_names[] = {
        "CAP_CHOWN",
        "CAP_DAC_OVERRIDE",
        "CAP_DAC_READ_SEARCH",
        "CAP_FOWNER",
        "CAP_FSETID",
        "CAP_KILL",
        "CAP_SETGID",
        "CAP_SETUID",
        "CAP_SETPCAP",
        "CAP_LINUX_IMMUTABLE",
        "CAP_NET_BIND_SERVICE",
        "CAP_NET_BROADCAST",
        "CAP_NET_ADMIN",
        "CAP_NET_RAW",
        "CAP_IPC_LOCK",
        "CAP_IPC_OWNER",
        "CAP_SYS_MODULE",
        "CAP_SYS_RAWIO",
        "CAP_SYS_CHROOT",
        "CAP_SYS_PTRACE",
        "CAP_SYS_PACCT",
        "CAP_SYS_ADMIN",
        "CAP_SYS_BOOT",
        "CAP_SYS_NICE",
        "CAP_SYS_RESOURCE",
        "CAP_SYS_TIME",
        "CAP_SYS_TTY_CONFIG",
        "CAP_MKNOD",
        "CAP_LEASE",
        "CAP_AUDIT_WRITE",
        "CAP_AUDIT_CONTROL",
        "CAP_SETFCAP",
        "CAP_MAC_OVERRIDE",
        "CAP_MAC_ADMIN",
        "CAP_SYSLOG",
        "CAP_WAKE_ALARM",
        "CAP_BLOCK_SUSPEND",
        "CAP_AUDIT_READ",
        "CAP_PERFMON",
        "CAP_BPF",
        "CAP_CHECKPOINT_RESTORE",
};
static_assert(ARRAY_SIZE(cap_names) == CAP_CHECKPOINT_RESTORE + 1, "a capability has no name");

const char *const oci_namespace_names[_OCI_NS_MAX + 1] = {
        [OCI_NS_PID] = "pid",   [OCI_NS_NETWORK] = "network", [OCI_NS_IPC] = "ipc",
        [OCI_NS_UTS] = "uts",   [OCI_NS_MOUNT] = "mount",     [OCI_NS_CGROUP] = "cgroup",
        [OCI_NS_USER] = "user", [OCI_NS_TIME] = "time",
};

const struct oci_name oci_seccomp_actions[] = {
        { "SCMP_ACT_KILL", SCMP_ACT_KILL_THREAD },
        { "SCMP_ACT_KILL_THREAD", SCMP_ACT_KILL_THREAD },
        { "SCMP_ACT_KILL_PROCESS", SCMP_ACT_KILL_PROCESS },
        { "SCMP_ACT_TRAP", SCMP_ACT_TRAP },
        { "SCMP_ACT_ERRNO", SCMP_ACT_ERRNO(0) },
        { "SCMP_ACT_LOG", SCMP_ACT_LOG },
        { "SCMP_ACT_ALLOW", SCMP_ACT_ALLOW },
        {},
};

const struct oci_name oci_seccomp_operators[] = {
        { "SCMP_CMP_NE", SCMP_CMP_NE },
        { "SCMP_CMP_LT", SCMP_CMP_LT },
        { "SCMP_CMP_LE", SCMP_CMP_LE },
        { "SCMP_CMP_EQ", SCMP_CMP_EQ },
        { "SCMP_CMP_GE", SCMP_CMP_GE },
        { "SCMP_CMP_GT", SCMP_CMP_GT },
        { "SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ },
        {},
};

int oci_cap_from_name(const char *name)
{
        const char *bare = startswith(name, "CAP_");

        if (!bare)
                bare = name;
        for (size_t i = 0; i < ARRAY_SIZE(cap_names); i++)
                if (streq(cap_names[i] + strlen("CAP_"), bare))
                        return (int)i;
        return -EINVAL;
}

const char *oci_cap_name(int cap)
{
        return cap >= 0 && (size_t)cap < ARRAY_SIZE(cap_names) ? cap_names[cap] : NULL;
}

void oci_resources_init(struct oci_resources *r)
{
        *r = (struct oci_resources){
                .cpu_shares = OCI_UNSET,
                .cpu_quota = OCI_UNSET,
                .cpu_period = OCI_UNSET,
                .memory_limit = OCI_UNSET,
                .memory_reservation = OCI_UNSET,
                .memory_swap = OCI_UNSET,
                .pids_limit = OCI_UNSET,
        };
}

void oci_resources_done(struct oci_resources *r)
{
        free(r->cpuset_cpus);
        free(r->cpuset_mems);
        string_map_done(&r->unified);
        for (size_t i = 0; i < r->n_hugepage_limits; i++)
                free(r->hugepage_limits[i].page_size);
        free(r->hugepage_limits);
        for (size_t i = 0; i < r->n_devices; i++)
                free(r->devices[i].access);
        free(r->devices);
        oci_resources_init(r);
}

void oci_seccomp_free(struct oci_seccomp *s)
{
        if (!s)
                return;
        strv_free(s->architectures);
        strv_free(s->flags);
        for (size_t i = 0; i < s->n_rules; i++) {
                strv_free(s->rules[i].names);
                free(s->rules[i].args);
        }
        free(s->rules);
        free(s);
}

void oci_spec_init(struct oci_spec *spec)
{
        *spec = (struct oci_spec){ 0 };
        oci_resources_init(&spec->resources);
}

static void process_done(struct oci_process *p)
{
        free(p->additional_gids);
        strv_free(p->args);
        strv_free(p->env);
        free(p->cwd);
        for (size_t i = 0; i < p->n_rlimits; i++)
                free(p->rlimits[i].type);
        free(p->rlimits);
        free(p->apparmor_profile);
}

void oci_spec_done(struct oci_spec *spec)
{
        free(spec->version);
        process_done(&spec->process);
        free(spec->root_path);
        free(spec->hostname);
        for (size_t i = 0; i < spec->n_mounts; i++) {
                free(spec->mounts[i].destination);
                free(spec->mounts[i].type);
                free(spec->mounts[i].source);
                strv_free(spec->mounts[i].options);
        }
        free(spec->mounts);
        string_map_done(&spec->annotations);
        for (size_t i = 0; i < _OCI_NS_MAX; i++)
                free(spec->namespaces[i].path);
        for (size_t i = 0; i < spec->n_devices; i++)
                free(spec->devices[i].path);
        free(spec->devices);
        free(spec->cgroups_path);
        oci_resources_done(&spec->resources);
        oci_seccomp_free(spec->seccomp);
        string_map_done(&spec->sysctl);
        strv_free(spec->masked_paths);
        strv_free(spec->readonly_paths);
        free(spec->rootfs_propagation);
        oci_spec_init(spec);
}

int oci_spec_add_mount(struct oci_spec *spec, const char *destination, const char *type,
                       const char *source, const char *options)
{
        struct oci_mount *grown = reallocarray(spec->mounts, spec->n_mounts + 1,
                                               sizeof *spec->mounts);
        struct oci_mount *m;

        if (!grown)
                return -ENOMEM;
        spec->mounts = grown;
        m = &grown[spec->n_mounts];
        *m = (struct oci_mount){
                .destination = strdup(destination),
                .type = strdup_null(type),
                .source = strdup_null(source),
        };
        if (!m->destination || (type && !m->type) || (source && !m->source) ||
            (options && strv_split(options, ",", &m->options) < 0)) {
                free(m->destination);
                free(m->type);
                free(m->source);
                return -ENOMEM;
        }
        spec->n_mounts++;
        return 0;
}
