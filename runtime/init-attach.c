/*
 * From detached mounts to a container's root: enter the sandbox's copy of the template namespace,
 * take a copy of that for ourselves, attach, pivot_root.
 *
 * The template is almost empty: a copy of the host's mounts would cost 3 ms with 5,000 of them, and
 * would have to be taken off again. Here the handles made before are all that still leads to the
 * host, and no path of the host's can be named any more.
 */
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <sched.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include "runtime/init.h"
#include "runtime/shim-sys.h"

/* What may cover a file of /proc: what LXCFS and the like show to system containers. */
static const char *const proc_files[] = {
        "/proc/cpuinfo", "/proc/diskstats", "/proc/loadavg", "/proc/meminfo", "/proc/slabinfo",
        "/proc/stat",    "/proc/swaps",     "/proc/uptime",  "/proc/net/dev",
};

static bool is_on_proc(int fd)
{
        struct statfs fs;

        return fstatfs(fd, &fs) < 0 || fs.f_type == PROC_SUPER_MAGIC;
}

static bool is_proc_file(const char *path)
{
        for (size_t n = 0; n < ARRAY_SIZE(proc_files); n++)
                if (strcmp(path, proc_files[n]) == 0)
                        return true;
        return false;
}

/*
 * Nothing may be mounted on /proc but procfs, or below it but the files above: what looks there
 * would find the tenant's files in the place of the kernel's. @target -1: by its name alone.
 */
static int check_proc(const struct init_mount *m, const char *path, int target)
{
        bool named = strcmp(path, "/proc") == 0 || strncmp(path, "/proc/", 6) == 0;

        if (!named && (target < 0 || !is_on_proc(target)))
                return 0;
        if (strcmp(path, "/proc") == 0 && is_on_proc(m->fd))
                return 0;
        return is_proc_file(path) && !m->is_directory ? 0 : -EPERM;
}

static bool is_kernel_tree(const struct init_mount *m)
{
        return m->plan.mount->kind == PLAN_MOUNT_PROC || m->plan.mount->kind == PLAN_MOUNT_SYSFS;
}

static int clone_from_template(struct init *i, struct init_mount *m)
{
        int fd;

        init_at(i, STEP_MOUNT_SOURCE, m->record);
        fd = sys_open_tree(AT_FDCWD, "/shm", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
        if (fd < 0)
                return fd;
        m->fd = fd;
        return init_set_mount_attributes(i, m);
}

/*
 * A path in an image, in the place of the whole: followed within the merged layers. Before Linux
 * 6.15 only what is attached somewhere could be cloned: here, where the root will come.
 */
static int narrow_image(struct init *i, struct init_mount *m)
{
        _cleanup_close_ int target = -1, at = -1, part = -1;
        struct stat st;
        int r;

        init_at(i, STEP_IMAGE_PATH, m->record);
        target = open("/root", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (target < 0)
                return -errno;
        r = sys_move_mount(m->fd, target);
        if (r < 0)
                return r;
        at = path_open(m->fd, m->plan.source, O_PATH, 0);
        part = at < 0 ? at
                      : sys_open_tree(at, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
        r = sys_umount2("/root", DETACH_MOUNT);
        if (part < 0 || r < 0)
                return part < 0 ? part : r;
        if (fstat(part, &st) < 0)
                return -errno;
        close(m->fd);
        m->fd = TAKE_FD(part);
        m->is_directory = S_ISDIR(st.st_mode);
        return 0;
}

static int narrow_images(struct init *i)
{
        int r = 0;

        for (unsigned n = 0; r == 0 && n < i->n_mounts; n++) {
                struct init_mount *m = &i->mounts[n];

                if (m->plan.mount->kind == PLAN_MOUNT_IMAGE && m->plan.source[0])
                        r = narrow_image(i, m);
        }
        return r;
}

static int attach_mount(struct init *i, struct init_mount *m)
{
        _cleanup_close_ int target = -1;
        char path[PATH_MAX];
        int r;

        init_at(i, STEP_MOUNT_TARGET, m->record);
        r = path_clean(m->plan.destination, path, sizeof path);
        if (r < 0)
                return r;
        if (strcmp(path, "/") == 0)
                return -EBUSY;
        r = check_proc(m, path, -1);
        if (r == 0) {
                /* a link where /proc or /sys should be is an error, not a detour (RT-02) */
                target = path_make_target(i->root, m->plan.destination, m->is_directory,
                                          is_kernel_tree(m) ? PATH_NO_LINKS : 0);
                if (target < 0)
                        return target;
                r = check_proc(m, path, target);
        }
        if (r < 0) {
                init_at(i, STEP_MOUNT_FORBIDDEN, m->record);
                return r;
        }
        init_at(i, STEP_MOUNT_ATTACH, m->record);
        return sys_move_mount(m->fd, target);
}

static int enter_template(struct init *i)
{
        init_at(i, STEP_TEMPLATE, LAUNCH_NO_RECORD);
        if (setns(i->q->sandbox->mount_ns, CLONE_NEWNS) < 0)
                return -errno;
        for (unsigned n = 0; n < i->n_mounts; n++) {
                int r = i->mounts[n].fd < 0 ? clone_from_template(i, &i->mounts[n]) : 0;

                if (r < 0)
                        return r;
        }
        init_at(i, STEP_TEMPLATE, LAUNCH_NO_RECORD);
        if (unshare(CLONE_NEWNS) < 0)
                return -errno;
        return sys_mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
}

static int attach_root(struct init *i)
{
        _cleanup_close_ int target = open("/root", O_PATH | O_DIRECTORY | O_CLOEXEC);

        init_at(i, STEP_TEMPLATE, LAUNCH_NO_RECORD);
        return target < 0 ? -errno : sys_move_mount(i->root, target);
}

/* What the container will find at /proc must be the procfs that we made for it. */
static int check_proc_is_ours(struct init *i)
{
        _cleanup_close_ int fd = -1;
        struct statx ours, theirs;

        init_at(i, STEP_PROC_COVERED, LAUNCH_NO_RECORD);
        if (i->container_proc < 0)
                return 0;
        fd = path_open(i->root, "/proc", O_PATH | O_DIRECTORY, PATH_NO_LINKS);
        if (fd < 0)
                return fd;
        if (statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &theirs) < 0 ||
            statx(i->container_proc, "", AT_EMPTY_PATH, STATX_MNT_ID, &ours) < 0)
                return -errno;
        return ours.stx_mnt_id == theirs.stx_mnt_id ? 0 : -EPERM;
}

static int set_readonly(int fd)
{
        struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };

        return sys_mount_setattr(fd, 0, &attr);
}

static int finish_attributes(struct init *i)
{
        for (unsigned n = 0; n < i->n_mounts; n++) {
                int r;

                if (!i->mounts[n].readonly_at_end)
                        continue;
                init_at(i, STEP_MOUNT_ATTRIBUTES, i->mounts[n].record);
                r = set_readonly(i->mounts[n].fd);
                if (r < 0)
                        return r;
        }
        init_at(i, STEP_ROOT, LAUNCH_NO_RECORD);
        return i->plan->container->flags & PLAN_READONLY_ROOT ? set_readonly(i->root) : 0;
}

/* A working directory that the image lacks is made, as the field's runtimes do. */
static int make_cwd(struct init *i)
{
        const char *cwd = i->plan->cwd;
        int fd;

        init_at(i, STEP_CWD, LAUNCH_NO_RECORD);
        if (!cwd || strcmp(cwd, "/") == 0)
                return 0;
        fd = path_make_target(i->root, cwd, true, 0);
        if (fd >= 0)
                close(fd);
        /* on a read-only file system, or where root has no say: chdir will tell */
        return fd < 0 && fd != -EROFS && fd != -EACCES ? fd : 0;
}

/* New and old root change places on "/"; the old one, the template's copy, is taken off. */
static int pivot(struct init *i)
{
        uint32_t propagation = i->plan->container->root_propagation;
        int r;

        init_at(i, STEP_PIVOT, LAUNCH_NO_RECORD);
        if (fchdir(i->root) < 0)
                return -errno;
        r = sys_pivot_root(".", ".");
        if (r == 0)
                r = sys_umount2(".", DETACH_MOUNT);
        if (r == 0 && chdir("/") < 0)
                r = -errno;
        if (r == 0 && propagation && propagation != MS_PRIVATE)
                r = sys_mount(NULL, "/", NULL, propagation, NULL);
        return r;
}

int init_attach(struct init *i)
{
        int r = enter_template(i);

        if (r == 0)
                r = narrow_images(i);
        if (r == 0)
                r = attach_root(i);
        for (unsigned n = 0; r == 0 && n < i->n_mounts; n++)
                r = attach_mount(i, &i->mounts[n]);
        if (r == 0)
                r = init_attach_devices(i);
        if (r == 0)
                r = init_attach_console(i);
        if (r == 0)
                r = check_proc_is_ours(i);
        if (r == 0)
                r = make_cwd(i);
        if (r == 0)
                r = finish_attributes(i);
        return r < 0 ? r : pivot(i);
}
