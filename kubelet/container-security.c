/*
 * Who a container runs as and what it may do.
 * Source: pkg/kubelet/kuberuntime/security_context*.go, pkg/securitycontext/util.go, what
 * containerd's CRI plugin makes of them.
 */
#include <errno.h>
#include <linux/capability.h>
#include <string.h>

#include "base/text.h"
#include "kubelet/container-parts.h"
#include "kubelet/node-facts.h"

#define CAP(c) (UINT64_C(1) << (c))
#define DEFAULT_CAPS                                                                       \
        (CAP(CAP_AUDIT_WRITE) | CAP(CAP_CHOWN) | CAP(CAP_DAC_OVERRIDE) | CAP(CAP_FOWNER) | \
         CAP(CAP_FSETID) | CAP(CAP_KILL) | CAP(CAP_MKNOD) | CAP(CAP_NET_BIND_SERVICE) |    \
         CAP(CAP_NET_RAW) | CAP(CAP_SETFCAP) | CAP(CAP_SETGID) | CAP(CAP_SETPCAP) |        \
         CAP(CAP_SETUID) | CAP(CAP_SYS_CHROOT))

/* The container's own value, else the pod's. */
#define EFFECTIVE(in, member)                                                        \
        ((in)->container->security && (in)->container->security->member != POD_UNSET \
                 ? (in)->container->security->member                                 \
                 : (in)->pod->security.member)

/* ---- user and groups ---- */
static int refuse_root(struct err *err, const struct pod *pod, const struct pod_container *c,
                       const char *what)
{
        return err_set_kind(err, -EINVAL, ERR_CONTAINER_CONFIG,
                            "%s (pod: \"%s_%s(%s)\", container: %s)", what, pod->name,
                            pod->namespace, pod->uid, c->name);
}

static bool is_number(const char *s)
{
        return *s && s[strspn(s, "0123456789")] == '\0';
}

/* An image's USER without its group: the group comes from runAsGroup or the image's passwd. */
static char *image_user(const struct image_info *image)
{
        const char *user = image->user ? image->user : "";
        size_t n = strcspn(user, ":");

        return n > 0 ? strndup(user, n) : strdup("0");
}

static int check_non_root(const struct pod *pod, const struct pod_container *c, const char *user,
                          bool from_pod, struct err *err)
{
        uint32_t uid = 0;

        if (from_pod)
                return text_to_u32(user, &uid) == 0 && uid == 0
                               ? refuse_root(err, pod, c,
                                             "container's runAsUser breaks non-root policy")
                               : 0;
        if (!is_number(user)) {
                _cleanup_free_ char *what =
                        text_printf("container has runAsNonRoot and image has non-numeric user "
                                    "(%s), cannot verify user is non-root",
                                    user);

                return refuse_root(err, pod, c, what ? what : "runAsNonRoot");
        }
        if (text_to_u32(user, &uid) < 0 || uid > INT32_MAX)
                return err_set_kind(err, -ERANGE, ERR_CONTAINER_CONFIG,
                                    "container has runAsNonRoot and image has an invalid user id "
                                    "(%s). (Must be 1-(2147483647))",
                                    user);
        if (uid == 0)
                return refuse_root(err, pod, c,
                                   "container has runAsNonRoot and image will run as root");
        return 0;
}

int container_user_wanted(const struct pod *pod, const struct pod_container *container,
                          const struct image_info *image, char **ret, struct err *err)
{
        const struct container_input in = { .pod = pod, .container = container };
        int64_t uid = EFFECTIVE(&in, run_as_user), gid = EFFECTIVE(&in, run_as_group);
        _cleanup_free_ char *user = uid >= 0 ? text_printf("%lld", (long long)uid)
                                             : image_user(image);
        int r;

        if (!user)
                return err_sys(err, -ENOMEM, "read the user");
        if (EFFECTIVE(&in, run_as_non_root) == 1) {
                r = check_non_root(pod, container, user, uid >= 0, err);
                if (r < 0)
                        return r;
        }
        *ret = gid >= 0 ? text_printf("%s:%lld", user, (long long)gid) : TAKE_PTR(user);
        return *ret ? 0 : err_sys(err, -ENOMEM, "read the user");
}

static int add_group(struct oci_process *p, uint32_t gid)
{
        uint32_t *grown;

        for (size_t i = 0; i < p->n_additional_gids; i++)
                if (p->additional_gids[i] == gid)
                        return 0;
        grown = reallocarray(p->additional_gids, p->n_additional_gids + 1, sizeof *grown);
        if (!grown)
                return -ENOMEM;
        p->additional_gids = grown;
        p->additional_gids[p->n_additional_gids++] = gid;
        return 0;
}

static int add_groups(struct oci_process *p, const uint32_t *gids, size_t n)
{
        for (size_t i = 0; i < n; i++)
                if (add_group(p, gids[i]) < 0)
                        return -ENOMEM;
        return 0;
}

/* The primary group is one of them, so that it cannot be got rid of. */
static int add_identity(const struct container_input *in, struct oci_process *p, struct err *err)
{
        const struct pod_security_context *pod = &in->pod->security;
        int r;

        p->uid = in->user->uid;
        p->gid = in->user->gid;
        if (EFFECTIVE(in, run_as_non_root) == 1 && p->uid == 0)
                return refuse_root(err, in->pod, in->container,
                                   "container has runAsNonRoot and image will run as root");
        r = add_group(p, p->gid);
        if (r == 0 && pod->fs_group >= 0)
                r = add_group(p, (uint32_t)pod->fs_group);
        if (r == 0)
                r = add_groups(p, pod->supplemental_groups, pod->n_supplemental_groups);
        if (r == 0)
                r = add_groups(p, in->volume_groups, in->n_volume_groups);
        if (r == 0 && !pod->groups_strict)
                r = add_groups(p, in->user->groups, in->user->n_groups);
        if (r == 0 && !pod->groups_strict)
                r = add_groups(p, in->image_groups, in->n_image_groups);
        return r < 0 ? err_sys(err, r, "read groups") : 0;
}

/* ---- capabilities ---- */
static uint64_t all_caps(void)
{
        uint64_t all = 0;

        for (int cap = 0; oci_cap_name(cap); cap++)
                all |= CAP(cap);
        return all;
}

static int read_caps(char *const *names, uint64_t *ret, bool *ret_all, struct err *err)
{
        *ret = 0;
        *ret_all = false;
        STRV_FOREACH (name, names) {
                int cap = oci_cap_from_name(*name);

                if (streq(*name, "ALL") || streq(*name, "CAP_ALL"))
                        *ret_all = true;
                else if (cap < 0)
                        return err_set_kind(err, -EINVAL, ERR_CONTAINER_CONFIG,
                                            "securityContext: capabilities: '%s': expected a "
                                            "capability that the kernel knows, or ALL",
                                            *name);
                else
                        *ret |= CAP(cap);
        }
        return 0;
}

/* ALL first, then names: "drop ALL, add NET_BIND_SERVICE" is one capability. */
static int compute_caps(const struct pod_container *c, uint64_t *ret, struct err *err)
{
        uint64_t caps = DEFAULT_CAPS, add, drop;
        bool add_all, drop_all;
        int r;

        if (container_is_privileged(c)) {
                *ret = all_caps();
                return 0;
        }
        if (c->security) {
                r = read_caps(c->security->cap_add, &add, &add_all, err);
                if (r == 0)
                        r = read_caps(c->security->cap_drop, &drop, &drop_all, err);
                if (r < 0)
                        return r;
                if (add_all)
                        caps = all_caps();
                if (drop_all)
                        caps = 0;
                caps = (caps | add) & ~drop;
        }
        *ret = caps;
        return 0;
}

static int add_caps(const struct container_input *in, struct oci_process *p, struct err *err)
{
        uint64_t caps;
        int r = compute_caps(in->container, &caps, err);

        if (r < 0)
                return r;
        p->cap_bounding = p->cap_effective = p->cap_permitted = caps;
        p->cap_inheritable = p->cap_ambient = 0;
        return 0;
}

/* ---- profiles ---- */
static int choose_seccomp(const struct container_input *in, struct container_output *out,
                          struct err *err)
{
        const struct pod_security *own = in->container->security;
        const struct pod_profile *p = own && own->seccomp.type != POD_PROFILE_UNSET
                                              ? &own->seccomp
                                              : &in->pod->security.seccomp;

        out->seccomp = SECCOMP_UNCONFINED;
        if (container_is_privileged(in->container))
                return 0;
        switch (p->type) {
        case POD_PROFILE_RUNTIME_DEFAULT:
                out->seccomp = SECCOMP_RUNTIME_DEFAULT;
                break;
        case POD_PROFILE_LOCALHOST:
                if (!p->localhost)
                        return err_set_kind(err, -EINVAL, ERR_CONTAINER_CONFIG,
                                            "localhostProfile must be set if seccompProfile type "
                                            "is Localhost.");
                out->seccomp = SECCOMP_LOCALHOST;
                out->seccomp_localhost = p->localhost;
                break;
        case POD_PROFILE_UNCONFINED:
                break;
        case POD_PROFILE_UNSET:
                if (in->seccomp_default)
                        out->seccomp = SECCOMP_RUNTIME_DEFAULT;
                break;
        }
        return 0;
}

static int choose_apparmor(const struct container_input *in, struct oci_process *p, struct err *err)
{
        const struct pod_security *own = in->container->security;
        const struct pod_profile *profile = own && own->apparmor.type != POD_PROFILE_UNSET
                                                    ? &own->apparmor
                                                    : &in->pod->security.apparmor;
        const char *name = in->apparmor_default;

        if (container_is_privileged(in->container) || profile->type == POD_PROFILE_UNCONFINED)
                return 0;
        if (profile->type == POD_PROFILE_LOCALHOST)
                name = profile->localhost;
        if (!name && profile->type == POD_PROFILE_LOCALHOST)
                return err_set_kind(err, -EINVAL, ERR_CONTAINER_CONFIG,
                                    "localhostProfile must be set if appArmorProfile type is "
                                    "Localhost.");
        if (!name && profile->type == POD_PROFILE_RUNTIME_DEFAULT)
                return err_set_kind(err, -ENOENT, ERR_CONTAINER_CONFIG,
                                    "appArmorProfile type RuntimeDefault: profile '%s' was not "
                                    "loaded when this node's agent started",
                                    APPARMOR_DEFAULT);
        return free_and_strdup(&p->apparmor_profile, name) < 0
                       ? err_sys(err, -ENOMEM, "read appArmorProfile")
                       : 0;
}

/* ---- masked and read-only paths ---- */
static int append_all(char ***v, const char *const *paths, size_t n)
{
        for (size_t i = 0; i < n; i++)
                if (strv_append(v, paths[i]) < 0)
                        return -ENOMEM;
        return 0;
}

static int add_masks(const struct container_input *in, struct oci_spec *spec)
{
        static const char *const masked[] = {
                "/proc/asound",     "/proc/acpi",        "/proc/interrupts",
                "/proc/kcore",      "/proc/keys",        "/proc/latency_stats",
                "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug",
                "/proc/scsi",       "/sys/firmware",     "/sys/devices/virtual/powercap",
        };
        static const char *const readonly[] = { "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
                                                "/proc/sysrq-trigger" };
        const struct pod_security *own = in->container->security;
        int r;

        if (container_is_privileged(in->container))
                return 0;
        if (own && own->proc_unmasked && !in->pod->host_users)
                return 0; /* what is behind the masks is the user namespace's */
        r = append_all(&spec->masked_paths, masked, ARRAY_SIZE(masked));
        if (r == 0)
                r = append_all(&spec->readonly_paths, readonly, ARRAY_SIZE(readonly));
        for (uint32_t cpu = 0; cpu < in->possible_cpus && r == 0; cpu++)
                r = strv_consume(&spec->masked_paths,
                                 text_printf("/sys/devices/system/cpu/cpu%u/thermal_throttle",
                                             cpu));
        return r;
}

/* ---- devices ---- */
static const struct {
        const char *path;
        uint32_t minor, major;
} default_devices[] = {
        { "/dev/null", 3, 1 },   { "/dev/zero", 5, 1 },    { "/dev/full", 7, 1 },
        { "/dev/random", 8, 1 }, { "/dev/urandom", 9, 1 }, { "/dev/tty", 0, 5 },
};

static int add_device(struct oci_spec *spec, const struct oci_device *d)
{
        struct oci_device *grown = reallocarray(spec->devices, spec->n_devices + 1, sizeof *grown);
        char *path = strdup(d->path);

        if (grown)
                spec->devices = grown;
        if (!grown || !path) {
                free(path);
                return -ENOMEM;
        }
        grown[spec->n_devices] = *d;
        grown[spec->n_devices++].path = path;
        return 0;
}

/* @device NULL: all of them. */
static int add_rule(struct oci_resources *r, bool allow, const struct oci_device *device,
                    const char *access)
{
        struct oci_device_rule *grown = reallocarray(r->devices, r->n_devices + 1, sizeof *grown);
        char *copy = strdup(access);

        if (grown)
                r->devices = grown;
        if (!grown || !copy) {
                free(copy);
                return -ENOMEM;
        }
        grown[r->n_devices++] = (struct oci_device_rule){ .allow = allow,
                                                          .type = device ? device->type : 'a',
                                                          .major = device ? device->major : -1,
                                                          .minor = device ? device->minor : -1,
                                                          .access = copy };
        return 0;
}

static bool is_default_device(const char *path)
{
        for (size_t i = 0; i < ARRAY_SIZE(default_devices); i++)
                if (streq(default_devices[i].path, path))
                        return true;
        return streq(path, "/dev/ptmx"); /* devpts has it */
}

static int add_devices(const struct container_input *in, struct oci_spec *spec)
{
        bool privileged = container_is_privileged(in->container);
        int r = 0;

        for (size_t i = 0; i < ARRAY_SIZE(default_devices) && r == 0; i++) {
                const struct oci_device d = { .path = (char *)default_devices[i].path,
                                              .type = 'c',
                                              .major = default_devices[i].major,
                                              .minor = default_devices[i].minor,
                                              .file_mode = 0666 };

                r = add_device(spec, &d);
        }
        for (size_t i = 0; privileged && i < in->n_host_devices && r == 0; i++)
                if (!is_default_device(in->host_devices[i].path))
                        r = add_device(spec, &in->host_devices[i]);
        if (r == 0)
                r = add_rule(&spec->resources, privileged, NULL, "rwm");
        for (size_t i = 0; i < in->n_devices && r == 0; i++) {
                const struct container_device_input *v = &in->devices[i];
                const struct oci_device d = { .path = (char *)v->path,
                                              .type = 'b',
                                              .major = v->major,
                                              .minor = v->minor,
                                              .file_mode = v->read_only ? 0440 : 0660 };

                r = add_device(spec, &d);
                if (r == 0)
                        r = add_rule(&spec->resources, true, &d, v->read_only ? "r" : "rwm");
        }
        return r;
}

/* ---- namespaces ---- */
/* A present one without a path is the sandbox's, or the container's own; an absent one the host's.
 */
static int add_namespaces(const struct container_input *in, struct oci_spec *spec, struct err *err)
{
        struct oci_namespace *ns = spec->namespaces;
        const struct pod *pod = in->pod;
        bool own_pid = !pod->host_pid && !pod->share_process_namespace;
        const char *target = in->container->target_container;

        ns[OCI_NS_MOUNT].present = true;
        ns[OCI_NS_NETWORK].present = ns[OCI_NS_UTS].present = !pod->host_network;
        ns[OCI_NS_IPC].present = !pod->host_ipc;
        ns[OCI_NS_PID].present = own_pid;
        ns[OCI_NS_CGROUP].present = !container_is_privileged(in->container);
        ns[OCI_NS_USER].present = !pod->host_users;
        if (!target || !own_pid)
                return 0;
        if (in->target_pid <= 0)
                return err_set_kind(err, -ENOENT, ERR_CONTAINER_CONFIG,
                                    "unable to find target container %s", target);
        ns[OCI_NS_PID].path = text_printf("/proc/%d/ns/pid", (int)in->target_pid);
        return ns[OCI_NS_PID].path ? 0 : err_sys(err, -ENOMEM, "choose namespaces");
}

int container_add_security(const struct container_input *in, struct container_output *out,
                           struct err *err)
{
        const struct pod_security *own = in->container->security;
        struct oci_spec *spec = &out->spec;
        int r = add_identity(in, &spec->process, err);

        if (r == 0)
                r = add_caps(in, &spec->process, err);
        if (r == 0)
                r = choose_seccomp(in, out, err);
        if (r == 0)
                r = choose_apparmor(in, &spec->process, err);
        if (r == 0)
                r = add_namespaces(in, spec, err);
        if (r < 0)
                return r;
        spec->root_readonly = own && own->read_only_root == 1;
        spec->process.no_new_privileges = own && own->allow_privilege_escalation == 0;
        r = add_masks(in, spec);
        if (r == 0)
                r = add_devices(in, spec);
        return r < 0 ? err_sys(err, r, "prepare confinement") : 0;
}
