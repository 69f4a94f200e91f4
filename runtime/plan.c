#include "runtime/plan.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/text.h"

/* A failed plan_add() is a size or memory matter; say so once and carry on with what was first. */
static int added(int r, struct err *err)
{
        if (r == -EFBIG)
                return err_set_kind(err, r, ERR_CONTAINER_CONFIG,
                                    "the container's configuration is larger than %d MiB",
                                    PLAN_MAX >> 20);
        return r < 0 ? err_sys(err, r, "write the launch plan") : 0;
}

static int add_strings(struct plan_writer *w, enum plan_type type, char *const *v)
{
        STRV_FOREACH (s, v) {
                int r = plan_add_string(w, type, *s);

                if (r < 0)
                        return r;
        }
        return 0;
}

/* "net.ipv4.tcp_rmem" or "net/ipv4/conf/eth0.1/x" as a path below /proc/sys; owned. */
static char *sysctl_path(const char *name)
{
        char *path = strdup(name);
        char *first = path ? strpbrk(path, "./") : NULL;

        if (!first || *first == '/')
                return path;
        for (char *p = path; *p; p++)
                *p = *p == '.' ? '/' : *p == '/' ? '.' : *p;
        return path;
}

static bool is_sysctl_path(const char *path)
{
        size_t n = strcspn(path, "/");

        if (!path[0] || path[strspn(path, "abcdefghijklmnopqrstuvwxyz0123456789_./-")])
                return false;
        for (const char *p = path;; p += n + 1, n = strcspn(p, "/")) {
                if (n == 0 || p[0] == '.')
                        return false;
                if (!p[n])
                        return true;
        }
}

/* Only what a namespace of the sandbox owns; everything else would change the node. */
static int check_sysctl(const char *path, const char *value, uint32_t flags, struct err *err)
{
        bool net = startswith(path, "net/"),
             ipc = startswith(path, "kernel/shm") || startswith(path, "kernel/msg") ||
                   streq(path, "kernel/sem") || startswith(path, "fs/mqueue/");
        const char *rule = NULL;

        if (!is_sysctl_path(path) || !(net || ipc))
                rule = "a sysctl of the network or IPC namespace";
        else if (net && flags & PLAN_HOST_NETWORK)
                rule = "no sysctl of the network with the host's network";
        else if (ipc && flags & PLAN_HOST_IPC)
                rule = "no sysctl of IPC with the host's IPC namespace";
        else if (strpbrk(value, "\n+"))
                rule = "a value of one line without '+'";
        return rule ? err_set_kind(err, -EINVAL, ERR_SANDBOX, "sysctl '%s': expected %s", path,
                                   rule)
                    : 0;
}

static int add_sysctls(struct plan_writer *w, const struct plan_sandbox_options *o, struct err *err)
{
        for (size_t i = 0; o->sysctls && i < o->sysctls->n; i++) {
                const char *value = o->sysctls->entries[i].value;
                _cleanup_free_ char *path = sysctl_path(o->sysctls->entries[i].key);
                int r = path ? check_sysctl(path, value, o->flags, err)
                             : err_sys(err, -ENOMEM, "read sysctls");

                if (r == 0)
                        r = added(plan_add(w, PLAN_SYSCTL, path, strlen(path) + 1, value,
                                           strlen(value) + 1),
                                  err);
                if (r < 0)
                        return r;
        }
        return 0;
}

int plan_compile_sandbox(const struct plan_sandbox_options *o, struct plan_writer *w,
                         struct err *err)
{
        struct plan_sandbox s = { .flags = o->flags, .shm_size = o->shm_size };
        int r = plan_begin(w);

        if (r == 0)
                r = plan_add_string(w, PLAN_ID, o->id);
        if (r == 0)
                r = plan_add(w, PLAN_SANDBOX, &s, sizeof s, NULL, 0);
        if (r == 0 && o->hostname)
                r = plan_add_string(w, PLAN_HOSTNAME, o->hostname);
        if (r == 0 && o->link)
                r = plan_add(w, PLAN_LINK, o->link, sizeof *o->link, NULL, 0);
        for (size_t i = 0; r == 0 && i < o->n_addresses; i++)
                r = plan_add(w, PLAN_ADDRESS, &o->addresses[i], sizeof o->addresses[i], NULL, 0);
        if (r < 0)
                return added(r, err);
        r = add_sysctls(w, o, err);
        return r < 0 ? r : added(plan_finish(w), err);
}

static const struct {
        uint32_t clone_flag;
        uint32_t sandbox_host_flag; /* the sandbox has the host's; 0: not shared with the sandbox */
        const char *name;
} namespaces[_OCI_NS_MAX] = {
        [OCI_NS_PID] = { CLONE_NEWPID, PLAN_HOST_PID, "pid" },
        [OCI_NS_NETWORK] = { CLONE_NEWNET, PLAN_HOST_NETWORK, "network" },
        [OCI_NS_IPC] = { CLONE_NEWIPC, PLAN_HOST_IPC, "ipc" },
        [OCI_NS_UTS] = { CLONE_NEWUTS, PLAN_HOST_UTS, "uts" },
        [OCI_NS_MOUNT] = { CLONE_NEWNS, 0, "mount" },
        [OCI_NS_CGROUP] = { CLONE_NEWCGROUP, 0, "cgroup" },
        [OCI_NS_USER] = { CLONE_NEWUSER, 0, "user" },
        [OCI_NS_TIME] = { CLONE_NEWTIME, 0, "time" },
};

static int refuse_namespace(struct err *err, int type, const char *rule)
{
        return err_set_kind(err, -EINVAL, ERR_CONTAINER_CONFIG, "linux.namespaces: %s: %s",
                            namespaces[type].name, rule);
}

static int check_namespace(const struct plan_container_options *o, int type, struct err *err)
{
        const struct oci_namespace *ns = &o->spec->namespaces[type];
        bool sandbox_has_hosts = o->sandbox_flags & namespaces[type].sandbox_host_flag;

        switch (type) {
        case OCI_NS_USER:
        case OCI_NS_TIME:
                return ns->present ? refuse_namespace(err, type, "not supported") : 0;
        case OCI_NS_MOUNT:
                return !ns->present || ns->path
                               ? refuse_namespace(err, type, "expected a fresh one")
                               : 0;
        case OCI_NS_PID:
                if (!ns->present && !(o->sandbox_flags & (PLAN_HOST_PID | PLAN_SHARED_PID)))
                        return refuse_namespace(err, type, "absent, but the sandbox shares none");
                return 0;
        case OCI_NS_CGROUP:
                return 0;
        default:
                if (!ns->present && !sandbox_has_hosts)
                        return refuse_namespace(err, type,
                                                "absent, but the sandbox has one of its own");
                if (ns->present && !ns->path && sandbox_has_hosts)
                        return refuse_namespace(err, type,
                                                "present, but the sandbox has the host's");
                return 0;
        }
}

static int add_namespaces(struct plan_writer *w, const struct plan_container_options *o,
                          struct err *err)
{
        for (int type = 0; type < _OCI_NS_MAX; type++) {
                const struct oci_namespace *ns = &o->spec->namespaces[type];
                uint32_t record[2] = { namespaces[type].clone_flag };
                int r = check_namespace(o, type, err);

                if (r == 0 && ns->present && ns->path)
                        r = added(plan_add(w, PLAN_NAMESPACE_PATH, record, sizeof record, ns->path,
                                           strlen(ns->path) + 1),
                                  err);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int propagation_of(const char *name, uint32_t *ret, struct err *err)
{
        if (!name || !*name || endswith(name, "private"))
                *ret = MS_PRIVATE;
        else if (endswith(name, "slave"))
                *ret = MS_SLAVE;
        else if (endswith(name, "shared"))
                *ret = MS_SHARED;
        else
                return err_set_kind(err, -EINVAL, ERR_CONTAINER_CONFIG,
                                    "linux.rootfsPropagation: '%s': not supported", name);
        return 0;
}

static int add_container(struct plan_writer *w, const struct plan_container_options *o,
                         struct err *err)
{
        const struct oci_spec *s = o->spec;
        const struct oci_process *p = &s->process;
        const struct oci_namespace *ns = s->namespaces;
        struct plan_container c = {
                .flags = (p->terminal ? PLAN_TERMINAL : 0) | (o->stdin_open ? PLAN_STDIN : 0) |
                         (o->stdin_once ? PLAN_STDIN_ONCE : 0) |
                         (p->no_new_privileges ? PLAN_NO_NEW_PRIVILEGES : 0) |
                         (s->root_readonly ? PLAN_READONLY_ROOT : 0) |
                         (p->has_oom_score_adj ? PLAN_HAS_OOM_SCORE : 0) |
                         (p->has_umask ? PLAN_HAS_UMASK : 0) |
                         (ns[OCI_NS_PID].present && !ns[OCI_NS_PID].path ? PLAN_OWN_PID : 0) |
                         (ns[OCI_NS_CGROUP].present && !ns[OCI_NS_CGROUP].path ? PLAN_OWN_CGROUP_NS
                                                                               : 0),
                .uid = p->uid,
                .gid = p->gid,
                .umask = p->umask,
                .oom_score_adj = p->oom_score_adj,
                .stop_sec = o->stop_sec,
                .cap_bounding = p->cap_bounding,
                .cap_effective = p->cap_effective,
                .cap_inheritable = p->cap_inheritable,
                .cap_permitted = p->cap_permitted,
                /* the kernel knows no others; crun's and runc's own examples name some */
                .cap_ambient = p->cap_ambient & p->cap_inheritable & p->cap_permitted,
        };
        int r = propagation_of(s->rootfs_propagation, &c.root_propagation, err);

        return r < 0 ? r : added(plan_add(w, PLAN_CONTAINER, &c, sizeof c, NULL, 0), err);
}

static const struct {
        const char *name;
        int resource;
} rlimits[] = {
        /* clang-format off */
        { "RLIMIT_AS", RLIMIT_AS },             { "RLIMIT_CORE", RLIMIT_CORE },
        { "RLIMIT_CPU", RLIMIT_CPU },           { "RLIMIT_DATA", RLIMIT_DATA },
        { "RLIMIT_FSIZE", RLIMIT_FSIZE },       { "RLIMIT_LOCKS", RLIMIT_LOCKS },
        { "RLIMIT_MEMLOCK", RLIMIT_MEMLOCK },   { "RLIMIT_MSGQUEUE", RLIMIT_MSGQUEUE },
        { "RLIMIT_NICE", RLIMIT_NICE },         { "RLIMIT_NOFILE", RLIMIT_NOFILE },
        { "RLIMIT_NPROC", RLIMIT_NPROC },       { "RLIMIT_RSS", RLIMIT_RSS },
        { "RLIMIT_RTPRIO", RLIMIT_RTPRIO },     { "RLIMIT_RTTIME", RLIMIT_RTTIME },
        { "RLIMIT_SIGPENDING", RLIMIT_SIGPENDING }, { "RLIMIT_STACK", RLIMIT_STACK },
}; /* clang-format on */

static int add_rlimit(struct plan_writer *w, const struct oci_rlimit *l, struct err *err)
{
        struct plan_rlimit record = { .soft = l->soft, .hard = l->hard };
        size_t i = 0;

        while (i < ARRAY_SIZE(rlimits) && !streq(rlimits[i].name, l->type))
                i++;
        if (i == ARRAY_SIZE(rlimits))
                return err_set_kind(err, -EINVAL, ERR_CONTAINER_CONFIG,
                                    "process.rlimits: '%s': expected a name such as RLIMIT_NOFILE",
                                    l->type);
        if (l->soft > l->hard)
                return err_set_kind(err, -EINVAL, ERR_CONTAINER_CONFIG,
                                    "process.rlimits: %s: expected soft at most hard", l->type);
        record.resource = (uint32_t)rlimits[i].resource;
        return added(plan_add(w, PLAN_RLIMIT, &record, sizeof record, NULL, 0), err);
}

static int add_process(struct plan_writer *w, const struct oci_process *p, struct err *err)
{
        int r;

        if (strv_len(p->args) == 0 || !p->args[0][0])
                return err_set_kind(err, -EINVAL, ERR_CONTAINER_CONFIG,
                                    "process.args: expected a program to run");
        if (p->cwd && p->cwd[0] != '/')
                return err_set_kind(err, -EINVAL, ERR_CONTAINER_CONFIG,
                                    "process.cwd: '%s': expected an absolute path", p->cwd);
        r = add_strings(w, PLAN_ARG, p->args);
        if (r == 0)
                r = add_strings(w, PLAN_ENV, p->env);
        if (r == 0)
                r = plan_add_string(w, PLAN_CWD, p->cwd ? p->cwd : "/");
        if (r == 0 && p->n_additional_gids)
                r = plan_add(w, PLAN_GROUP, p->additional_gids,
                             p->n_additional_gids * sizeof *p->additional_gids, NULL, 0);
        if (r == 0 && p->apparmor_profile && *p->apparmor_profile)
                r = plan_add_string(w, PLAN_APPARMOR, p->apparmor_profile);
        if (r < 0)
                return added(r, err);
        for (size_t i = 0; r == 0 && i < p->n_rlimits; i++)
                r = add_rlimit(w, &p->rlimits[i], err);
        return r;
}

static int add_root(struct plan_writer *w, const struct plan_container_options *o, struct err *err)
{
        int r;

        if (!o->layer_dir) {
                if (!o->spec->root_path || o->spec->root_path[0] != '/')
                        return err_set_kind(err, -EINVAL, ERR_CONTAINER_CONFIG,
                                            "root.path: '%s': expected an absolute path",
                                            o->spec->root_path ? o->spec->root_path : "");
                return added(plan_add_string(w, PLAN_ROOT_PATH, o->spec->root_path), err);
        }
        r = plan_add_string(w, PLAN_LAYER_DIR, o->layer_dir);
        if (r == 0)
                r = add_strings(w, PLAN_LAYER, o->layers);
        if (r == 0)
                r = plan_add_string(w, PLAN_UPPER_DIR, o->upper_dir);
        return added(r, err);
}

static int add_device(struct plan_writer *w, const struct oci_device *d)
{
        struct plan_device record = {
                .type = d->type == 'b'   ? S_IFBLK
                        : d->type == 'p' ? S_IFIFO
                                         : S_IFCHR,
                .mode = d->file_mode & 07777,
                .uid = d->uid,
                .gid = d->gid,
                .major = (uint32_t)d->major,
                .minor = (uint32_t)d->minor,
        };

        return plan_add(w, PLAN_DEVICE, &record, sizeof record, d->path, strlen(d->path) + 1);
}

/* What the runtime-spec gives every container without being asked ("Default Devices"). */
static const struct {
        const char *path;
        uint32_t major, minor;
} default_devices[] = {
        { "/dev/null", 1, 3 },   { "/dev/zero", 1, 5 },    { "/dev/full", 1, 7 },
        { "/dev/random", 1, 8 }, { "/dev/urandom", 1, 9 }, { "/dev/tty", 5, 0 },
};

static int add_devices(struct plan_writer *w, const struct oci_spec *s)
{
        int r = 0;

        for (size_t i = 0; r == 0 && i < s->n_devices; i++)
                r = add_device(w, &s->devices[i]);
        for (size_t i = 0; r == 0 && i < ARRAY_SIZE(default_devices); i++) {
                struct oci_device d = {
                        .path = (char *)default_devices[i].path,
                        .type = 'c',
                        .major = default_devices[i].major,
                        .minor = default_devices[i].minor,
                        .file_mode = 0666,
                };
                bool is_there = false;

                for (size_t k = 0; k < s->n_devices; k++)
                        is_there |= streq(s->devices[k].path, d.path);
                if (!is_there)
                        r = add_device(w, &d);
        }
        return r;
}

static int add_log(struct plan_writer *w, const struct plan_container_options *o)
{
        struct plan_log log = { .max_size = o->log_max_size, .max_files = o->log_max_files };

        return o->log_path ? plan_add(w, PLAN_LOG, &log, sizeof log, o->log_path,
                                      strlen(o->log_path) + 1)
                           : 0;
}

int plan_compile_container(const struct plan_container_options *o, struct plan_writer *w,
                           struct err *err)
{
        const struct oci_spec *s = o->spec;
        int r = plan_begin(w);

        if (r == 0)
                r = plan_add_string(w, PLAN_ID, o->id);
        if (r < 0)
                return added(r, err);
        if (s->sysctl.n)
                return err_set_kind(err, -EINVAL, ERR_CONTAINER_CONFIG,
                                    "linux.sysctl: '%s': sysctls belong to the sandbox",
                                    s->sysctl.entries[0].key);
        r = add_container(w, o, err);
        if (r == 0)
                r = add_process(w, &s->process, err);
        if (r == 0)
                r = add_namespaces(w, o, err);
        if (r == 0)
                r = add_root(w, o, err);
        for (size_t i = 0; r == 0 && i < s->n_mounts; i++)
                r = plan_add_mount(w, o, &s->mounts[i], err);
        if (r < 0)
                return r;
        r = add_devices(w, s);
        if (r == 0)
                r = add_strings(w, PLAN_MASKED, s->masked_paths);
        if (r == 0)
                r = add_strings(w, PLAN_READONLY, s->readonly_paths);
        if (r == 0)
                r = add_log(w, o);
        if (r == 0)
                r = plan_finish(w);
        return added(r, err);
}

int plan_compile_exec(const char *const *argv, struct plan_writer *w, struct err *err)
{
        int r = plan_begin(w);

        if (!argv || !argv[0] || !argv[0][0])
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT, "command: expected a program");
        for (; r == 0 && *argv; argv++)
                r = plan_add_string(w, PLAN_ARG, *argv);
        if (r == 0)
                r = plan_finish(w);
        return added(r, err);
}
