/*
 * Every mount of a container as a detached one: binds cloned from their sources, file systems made
 * in the namespaces they show. Runs in the host's mount namespace and already in the container's
 * PID (or with it as the namespace of its children), network, IPC and cgroup namespaces.
 */
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>

#include "runtime/init.h"
#include "runtime/shim-sys.h"

enum { OPTIONS_MAX = 4096 };

/* "size=64m,mode=1777" one option at a time. */
static int configure(int fs, const char *data)
{
        char copy[OPTIONS_MAX];
        size_t n = strlen(data);

        if (n >= sizeof copy)
                return -E2BIG;
        memcpy(copy, data, n + 1);
        for (char *key = copy, *next; key; key = next) {
                char *value;
                int r;

                next = strchr(key, ',');
                if (next)
                        *next++ = '\0';
                if (!*key)
                        continue;
                value = strchr(key, '=');
                if (value)
                        *value++ = '\0';
                r = sys_fsconfig(fs, key, value);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int open_filesystem(const char *type, const char *data)
{
        _cleanup_close_ int fs = sys_fsopen(type);
        int r;

        if (fs < 0)
                return fs;
        r = configure(fs, data);
        if (r == 0)
                r = sys_fscreate(fs);
        return r < 0 ? r : sys_fsmount(fs, 0);
}

/* A hostPath without a type: the directory is made when it does not exist. */
static int make_source(const char *path)
{
        char copy[PATH_MAX];
        size_t n = strlen(path);

        if (n >= sizeof copy)
                return -ENAMETOOLONG;
        memcpy(copy, path, n + 1);
        for (size_t at = 1; at <= n; at++) {
                if (copy[at] != '/' && copy[at] != '\0')
                        continue;
                copy[at] = '\0';
                if (mkdir(copy, 0755) < 0 && errno != EEXIST)
                        return -errno;
                copy[at] = path[at];
        }
        return 0;
}

static int clone_source(const char *path, bool recursive)
{
        return sys_open_tree(AT_FDCWD, path,
                             OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (recursive ? AT_RECURSIVE : 0));
}

/* Of what is mounted, and not of what had that name a moment before (VO-06). */
static int check_source(int fd, uint32_t type)
{
        static const mode_t formats[] = {
                [PLAN_MOUNT_SOURCE_DIRECTORY >> 4] = S_IFDIR,
                [PLAN_MOUNT_SOURCE_FILE >> 4] = S_IFREG,
                [PLAN_MOUNT_SOURCE_SOCKET >> 4] = S_IFSOCK,
                [PLAN_MOUNT_SOURCE_CHAR_DEVICE >> 4] = S_IFCHR,
                [PLAN_MOUNT_SOURCE_BLOCK_DEVICE >> 4] = S_IFBLK,
        };
        struct stat st;

        if (type == 0)
                return 0;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (type >> 4 < ARRAY_SIZE(formats) && (st.st_mode & S_IFMT) == formats[type >> 4])
                return 0;
        return type == PLAN_MOUNT_SOURCE_DIRECTORY ? -ENOTDIR : -EINVAL;
}

static int open_bind(const struct plan_mount_view *m)
{
        bool recursive = m->mount->flags & PLAN_MOUNT_RECURSIVE;
        int fd = clone_source(m->source, recursive), r;

        if (fd == -ENOENT && m->mount->flags & PLAN_MOUNT_CREATE_SOURCE) {
                r = make_source(m->source);
                fd = r < 0 ? r : clone_source(m->source, recursive);
        }
        if (fd < 0)
                return fd;
        r = check_source(fd, m->mount->flags & PLAN_MOUNT_SOURCE_TYPE);
        if (r < 0)
                close(fd);
        return r < 0 ? r : fd;
}

/*
 * With a cgroup namespace of its own the container's cgroup is the root of what it sees. Without,
 * it is the host's mount: a new one would reset the options of the hierarchy that all share.
 */
static int open_cgroup(const struct init *i, const struct plan_mount_view *m)
{
        static const char *const places[] = { "/sys/fs/cgroup", "/sys/fs/cgroup/unified" };

        if (i->plan->container->flags & PLAN_OWN_CGROUP_NS)
                return open_filesystem("cgroup2", m->data);
        for (size_t n = 0; n < ARRAY_SIZE(places); n++) {
                struct statfs fs;

                if (statfs(places[n], &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC)
                        return clone_source(places[n], false);
        }
        return -ENODEV;
}

/* The sandbox's /dev/shm is cloned where it is attached: in its copy of the template. */
static bool is_in_template(const struct init *i, const struct plan_mount_view *m)
{
        return m->mount->kind == PLAN_MOUNT_SHM && !(i->q->sandbox->flags & PLAN_HOST_IPC);
}

static int open_proc(struct init *i, const struct plan_mount_view *m)
{
        if (!i->joined_pid)
                return open_filesystem("proc", m->data);
        return i->joined_proc >= 0 ? TAKE_FD(i->joined_proc) : -EBUSY; /* one is what was made */
}

static int open_mount(struct init *i, const struct init_mount *m)
{
        const struct plan_mount_view *plan = &m->plan;
        bool bind = plan->mount->kind == PLAN_MOUNT_BIND;

        init_at(i,
                plan->mount->kind == PLAN_MOUNT_IMAGE ? STEP_IMAGE
                : bind                                ? STEP_MOUNT_SOURCE
                                                      : STEP_MOUNT_FILESYSTEM,
                m->record);
        switch (plan->mount->kind) {
        case PLAN_MOUNT_BIND:
                return open_bind(plan);
        case PLAN_MOUNT_TMPFS:
                return open_filesystem("tmpfs", plan->data);
        case PLAN_MOUNT_PROC:
                return open_proc(i, plan);
        case PLAN_MOUNT_SYSFS:
                return open_filesystem("sysfs", plan->data);
        case PLAN_MOUNT_MQUEUE:
                return open_filesystem("mqueue", plan->data);
        case PLAN_MOUNT_DEVPTS:
                return open_filesystem("devpts", plan->data);
        case PLAN_MOUNT_CGROUP:
                return open_cgroup(i, plan);
        case PLAN_MOUNT_SHM:
                return clone_source("/dev/shm", false);
        case PLAN_MOUNT_IMAGE:
                return init_open_image(i, plan->data);
        default:
                return -EINVAL;
        }
}

/*
 * Propagation first: the clone of a shared mount is its peer until it is told otherwise. Then the
 * attributes, of the whole tree only when "rro" asks for it.
 */
int init_set_mount_attributes(struct init *i, struct init_mount *m)
{
        const struct plan_mount *p = m->plan.mount;
        struct mount_attr propagation = { .propagation = p->propagation ? p->propagation
                                                                        : MS_PRIVATE };
        struct mount_attr attr = { .attr_set = p->attr_set, .attr_clr = p->attr_clear };
        int r;

        init_at(i, STEP_MOUNT_ATTRIBUTES, m->record);
        /* mount points of ours come into a tmpfs before it can be read-only */
        if (p->kind == PLAN_MOUNT_TMPFS && attr.attr_set & MOUNT_ATTR_RDONLY) {
                attr.attr_set &= ~(uint64_t)MOUNT_ATTR_RDONLY;
                m->readonly_at_end = true;
        }
        r = sys_mount_setattr(m->fd, AT_RECURSIVE, &propagation);
        if (r < 0 || (!attr.attr_set && !attr.attr_clr))
                return r;
        return sys_mount_setattr(m->fd, p->flags & PLAN_MOUNT_RECURSIVE_READONLY ? AT_RECURSIVE : 0,
                                 &attr);
}

static int prepare(struct init *i, struct init_mount *m)
{
        struct stat st;
        int fd;

        if (is_in_template(i, &m->plan)) {
                m->is_directory = true;
                return 0;
        }
        fd = open_mount(i, m);
        if (fd < 0)
                return fd;
        m->fd = fd;
        if (fstat(fd, &st) < 0)
                return -errno;
        m->is_directory = S_ISDIR(st.st_mode);
        return init_set_mount_attributes(i, m);
}

/* Where the plan's own mounts are wanted for more than being mounted. */
static void note_mount(struct init *i, const struct init_mount *m)
{
        char path[PATH_MAX];

        if (path_clean(m->plan.destination, path, sizeof path) < 0)
                return;
        if (m->plan.mount->kind == PLAN_MOUNT_TMPFS && strcmp(path, "/dev") == 0)
                i->dev = m->fd;
        if (m->plan.mount->kind == PLAN_MOUNT_DEVPTS && strcmp(path, "/dev/pts") == 0)
                i->pts = m->fd;
        if (m->plan.mount->kind == PLAN_MOUNT_PROC && strcmp(path, "/proc") == 0)
                i->container_proc = m->fd;
}

/* The options of the plan's procfs. */
static const char *proc_options(const struct init *i)
{
        struct plan_record record;

        PLAN_FOREACH(i->plan, PLAN_MOUNT, record)
        {
                struct plan_mount_view m = plan_view_mount(&record);

                if (m.mount->kind == PLAN_MOUNT_PROC)
                        return m.data;
        }
        return "";
}

/* Since Linux 6.17 whoever has a PID namespace's descriptor can make its procfs; -EINVAL before. */
static int open_procfs_of(int pid_ns, const char *options)
{
        _cleanup_close_ int fs = sys_fsopen("proc");
        int r;

        if (fs < 0)
                return fs;
        r = sys_fsconfig_fd(fs, "pidns", pid_ns);
        if (r == 0)
                r = configure(fs, options);
        if (r == 0)
                r = sys_fscreate(fs);
        return r < 0 ? r : sys_fsmount(fs, 0);
}

/*
 * In a clone, which is still in the host's PID namespace: the one that it clones in turn is seen by
 * everybody in @pid_ns, some of whom may trace. So it has lost what is the host's before: root,
 * descriptors, capabilities but the one that it takes.
 */
static _Noreturn void lend_procfs(struct init *i, int pid_ns, int socket, const char *options)
{
        struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct caps[2] = { { .effective = 1U << CAP_SYS_ADMIN,
                                                    .permitted = 1U << CAP_SYS_ADMIN } };
        struct clone_args args = { .exit_signal = SIGCHLD };
        siginfo_t info;
        int pid, fd;

        if (setns(i->q->sandbox->mount_ns, CLONE_NEWNS) < 0 || setns(pid_ns, CLONE_NEWPID) < 0 ||
            dup2(socket, INIT_CHANNEL_FD) < 0 || sys_close_range(INIT_CHANNEL_FD + 1, ~0U) < 0 ||
            sys_close_range(0, INIT_CHANNEL_FD - 1) < 0 || sys_capset(&head, caps) < 0)
                _exit(1);
        pid = sys_clone3(&args);
        if (pid == 0) {
                fd = open_filesystem("proc", options);
                i->channel = INIT_CHANNEL_FD;
                _exit(fd < 0 || init_send(i, LAUNCH_CONSOLE, 0, fd) < 0);
        }
        if (pid > 0)
                waitid(P_PID, (id_t)pid, &info, WEXITED);
        _exit(pid < 0);
}

/* A procfs shows the PID namespace of whoever makes it, and this process stays in the host's. */
static int have_procfs_made(struct init *i, int pid_ns, const char *options)
{
        struct clone_args args = { .exit_signal = SIGCHLD };
        struct launch l = LAUNCH_NONE;
        struct launch_report report;
        siginfo_t info;
        int pair[2], pid, fd = -1, r;

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return -errno;
        pid = sys_clone3(&args);
        if (pid == 0)
                lend_procfs(i, pid_ns, pair[1], options);
        close(pair[1]);
        l.channel = pair[0];
        r = pid < 0 ? pid : waitid(P_PID, (id_t)pid, &info, WEXITED) < 0 ? -errno : 0;
        if (r == 0)
                r = launch_receive(&l, &report, &fd);
        launch_done(&l);
        return r < 0 ? r : fd < 0 ? -EIO : fd;
}

int init_open_joined_procfs(struct init *i, int pid_ns)
{
        const char *options = proc_options(i);
        int fd;

        init_at(i, STEP_PROCFS, LAUNCH_NO_RECORD);
        fd = open_procfs_of(pid_ns, options);
        if (fd == -EINVAL)
                fd = have_procfs_made(i, pid_ns, options);
        if (fd < 0)
                return fd;
        safe_close(i->joined_proc);
        i->joined_proc = fd;
        return 0;
}

int init_open_procfs(struct init *i)
{
        int fd;

        init_at(i, STEP_PROCFS, LAUNCH_NO_RECORD);
        fd = open_filesystem("proc", "");
        if (fd < 0)
                return fd;
        i->proc = fd;
        return 0;
}

int init_open_mounts(struct init *i)
{
        unsigned n = i->plan->count[PLAN_MOUNT];
        struct plan_record record;

        if (n == 0)
                return 0;
        i->mounts = calloc(n, sizeof *i->mounts);
        if (!i->mounts)
                return -ENOMEM;
        PLAN_FOREACH(i->plan, PLAN_MOUNT, record)
        {
                struct init_mount *m = &i->mounts[i->n_mounts++];
                int r;

                *m = (struct init_mount){
                        .record = plan_view_index(i->plan, &record),
                        .plan = plan_view_mount(&record),
                        .fd = -1,
                };
                r = prepare(i, m);
                if (r < 0)
                        return r;
                note_mount(i, m);
        }
        return 0;
}
