/*
 * What a container finds mounted: the kernel's file systems, our files, its volumes.
 * Source: pkg/kubelet/kubelet_pods.go (makeMounts), what containerd's CRI plugin mounts by default.
 */
#include <errno.h>
#include <string.h>

#include "base/text.h"
#include "kubelet/container-parts.h"

/* Read-only whatever the volumeMount says, and no programs. */
#define IMAGE_OPTIONS "ro,nosuid,nodev,noexec"

struct wanted {                    /* before it is known whether something lies over it */
        char *destination;         /* owned: clean and absolute */
        char *options;             /* owned */
        const char *type, *source; /* borrowed */
        bool is_volume;
        size_t depth;
};

struct mounts {
        struct wanted *list; /* owned */
        size_t n;
};

static void mounts_done(struct mounts *m)
{
        for (size_t i = 0; i < m->n; i++) {
                free(m->list[i].destination);
                free(m->list[i].options);
        }
        free(m->list);
}

/* "/a//b/../c/." -> "/a/c"; a relative path is one of the root. Owned. */
static char *clean_path(const char *path)
{
        _cleanup_strv_ char **parts = NULL;
        struct strbuf b = { 0 };
        size_t n = 0;

        if (strv_split(path, "/", &parts) < 0)
                return NULL;
        STRV_FOREACH (p, parts) {
                if (streq(*p, "."))
                        continue;
                if (!streq(*p, "..")) {
                        char *keep = parts[n];

                        parts[n++] = *p;
                        *(char **)p = keep;
                } else if (n > 0) {
                        n--;
                }
        }
        for (size_t i = 0; i < n; i++)
                strbuf_addf(&b, "/%s", parts[i]);
        if (n == 0)
                strbuf_add(&b, "/");
        return strbuf_take(&b);
}

static size_t depth_of(const char *path)
{
        size_t depth = 0;

        for (const char *p = path; *p; p++)
                depth += *p == '/' && p[1] != '\0';
        return depth;
}

static int want(struct mounts *m, const char *destination, const char *type, const char *source,
                const char *options, bool is_volume)
{
        _cleanup_free_ char *clean = clean_path(destination), *copy = strdup(options);
        struct wanted *grown = clean && copy ? reallocarray(m->list, m->n + 1, sizeof *grown)
                                             : NULL;

        if (!grown)
                return -ENOMEM;
        m->list = grown;
        grown[m->n] = (struct wanted){ .destination = TAKE_PTR(clean),
                                       .options = TAKE_PTR(copy),
                                       .type = type,
                                       .source = source,
                                       .is_volume = is_volume };
        grown[m->n].depth = depth_of(grown[m->n].destination);
        m->n++;
        return 0;
}

/* ---- the kernel's ---- */
static int want_defaults(struct mounts *m, bool privileged)
{
        const struct {
                const char *destination, *type, *source, *options;
        } defaults[] = {
                { "/proc", "proc", "proc", "nosuid,noexec,nodev" },
                { "/dev", "tmpfs", "tmpfs", "nosuid,noexec,strictatime,mode=755,size=65536k" },
                { "/dev/pts", "devpts", "devpts",
                  "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5" },
                { "/dev/shm", "tmpfs", "shm", "nosuid,noexec,nodev" },
                { "/dev/mqueue", "mqueue", "mqueue", "nosuid,noexec,nodev" },
                { "/sys", "sysfs", "sysfs",
                  privileged ? "nosuid,noexec,nodev" : "nosuid,noexec,nodev,ro" },
                {
                        "/sys/fs/cgroup",
                        "cgroup",
                        "cgroup",
                        privileged ? "nosuid,noexec,nodev,relatime"
                                   : "nosuid,noexec,nodev,relatime,ro",
                },
        };

        for (size_t i = 0; i < ARRAY_SIZE(defaults); i++) {
                if (want(m, defaults[i].destination, defaults[i].type, defaults[i].source,
                         defaults[i].options, false) < 0)
                        return -ENOMEM;
        }
        return 0;
}

/* ---- ours ---- */
static int want_files(struct mounts *m, const struct container_input *in)
{
        const char *const files[][2] = {
                { "/etc/hosts", in->hosts_file },
                { "/etc/resolv.conf", in->resolv_conf_file },
                { "/etc/hostname", in->hostname_file },
                { in->container->termination_message_path, in->termination_log_file },
        };

        for (size_t i = 0; i < ARRAY_SIZE(files); i++)
                if (files[i][1] &&
                    want(m, files[i][0], "bind", files[i][1], "rbind,rprivate,rw", false) < 0)
                        return -ENOMEM;
        return 0;
}

/* ---- volumes ---- */
static int check_recursive(const struct pod_mount *m, struct err *err)
{
        static const char *const names[] = { "None", "HostToContainer", "Bidirectional" };

        if (m->recursive_read_only == POD_RRO_DISABLED)
                return 0;
        if (!m->read_only)
                return err_set_kind(err, -EINVAL, ERR_CONTAINER_CONFIG,
                                    "failed to resolve recursive read-only mode: volume \"%s\" "
                                    "requested recursive read-only mode, but it is not read-only",
                                    m->name);
        if (m->propagation != POD_PROPAGATION_NONE)
                return err_set_kind(err, -EINVAL, ERR_CONTAINER_CONFIG,
                                    "failed to resolve recursive read-only mode: volume \"%s\" "
                                    "requested recursive read-only mode, but it is not compatible "
                                    "with propagation \"%s\"",
                                    m->name, names[m->propagation]);
        return 0;
}

/* Owned. */
static char *options_of(const struct container_mount_input *v)
{
        static const char *const options[3][3] = {
                /* [propagation][rw, ro, rro] */
                { "rbind,rprivate,rw", "rbind,rprivate,ro", "rbind,rprivate,rro" },
                { "rbind,rslave,rw", "rbind,rslave,ro", "rbind,rslave,ro" },
                { "rbind,rshared,rw", "rbind,rshared,ro", "rbind,rshared,ro" },
        };
        const struct pod_mount *m = v->mount;
        const char *type = v->source_type ? v->source_type : "";
        int mode = m->recursive_read_only != POD_RRO_DISABLED ? 2
                   : m->read_only || v->read_only             ? 1
                                                              : 0;

        /* "DirectoryOrCreate" was made when it was looked at: now it is a directory or it is not */
        return text_printf(
                "%s%s%s%.*s", options[m->propagation][mode],
                v->create_missing ? ",x-skiff.create-source" : "", *type ? ",x-skiff.source=" : "",
                (int)(strlen(type) - (endswith(type, "OrCreate") ? strlen("OrCreate") : 0)), type);
}

static int want_volumes(struct mounts *m, const struct container_input *in, struct err *err)
{
        for (size_t i = 0; i < in->n_mounts; i++) {
                const struct container_mount_input *v = &in->mounts[i];
                _cleanup_free_ char *options = NULL;
                int r = check_recursive(v->mount, err);

                if (r < 0)
                        return r;
                if (v->image) {
                        if (want(m, v->mount->path, OCI_MOUNT_IMAGE, v->image, IMAGE_OPTIONS,
                                 true) < 0)
                                return err_sys(err, -ENOMEM, "prepare mounts");
                        continue;
                }
                if (!v->host_path)
                        return err_set_kind(err, -ENOENT, ERR_CONTAINER_CONFIG,
                                            "cannot find volume \"%s\" to mount into container "
                                            "\"%s\"",
                                            v->mount->name, in->container->name);
                options = options_of(v);
                if (!options || want(m, v->mount->path, "bind", v->host_path, options, true) < 0)
                        return err_sys(err, -ENOMEM, "prepare mounts");
        }
        return 0;
}

/* ---- what lies over what ---- */
/* A volume takes the place of what we would have mounted there; one on /dev takes all of it. */
static bool is_covered(const struct mounts *m, const struct wanted *w)
{
        if (w->is_volume)
                return false;
        for (size_t i = 0; i < m->n; i++) {
                const struct wanted *v = &m->list[i];

                if (!v->is_volume)
                        continue;
                if (streq(v->destination, w->destination) ||
                    (streq(v->destination, "/dev") && startswith(w->destination, "/dev/")))
                        return true;
        }
        return false;
}

/* Parents before children; else the order they came in. */
static int add_sorted(const struct mounts *m, struct oci_spec *spec)
{
        size_t deepest = 0;

        for (size_t i = 0; i < m->n; i++)
                deepest = MAX(deepest, m->list[i].depth);
        for (size_t depth = 0; depth <= deepest; depth++)
                for (size_t i = 0; i < m->n; i++) {
                        const struct wanted *w = &m->list[i];

                        if (w->depth != depth || is_covered(m, w))
                                continue;
                        if (oci_spec_add_mount(spec, w->destination, w->type, w->source,
                                               w->options) < 0)
                                return -ENOMEM;
                }
        return 0;
}

int container_add_mounts(const struct container_input *in, struct oci_spec *spec, struct err *err)
{
        _cleanup_(mounts_done)
        struct mounts m = { 0 };
        int r = want_defaults(&m, container_is_privileged(in->container));

        if (r == 0)
                r = want_files(&m, in);
        if (r < 0)
                return err_sys(err, r, "prepare mounts");
        r = want_volumes(&m, in, err);
        if (r < 0)
                return r;
        r = add_sorted(&m, spec);
        return r < 0 ? err_sys(err, r, "prepare mounts") : 0;
}
