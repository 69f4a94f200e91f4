/*
 * Masked and read-only paths, after pivot_root. A masked file is covered by the host's null device,
 * a masked directory by one empty read-only tmpfs that all masks of the container share; both were
 * opened, and the device verified, on the host. Only "it does not exist" is forgiven.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "runtime/init.h"
#include "runtime/shim-sys.h"

static int open_null(void)
{
        struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID |
                                               MOUNT_ATTR_NOEXEC,
                                   .propagation = MS_PRIVATE };
        _cleanup_close_ int fd = sys_open_tree(AT_FDCWD, "/dev/null",
                                               OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC |
                                                       AT_SYMLINK_NOFOLLOW);
        struct stat st;
        int r;

        if (fd < 0)
                return fd;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISCHR(st.st_mode) || st.st_rdev != makedev(1, 3))
                return -ENODEV;
        r = sys_mount_setattr(fd, 0, &attr);
        return r < 0 ? r : TAKE_FD(fd);
}

static int open_empty(void)
{
        _cleanup_close_ int fs = sys_fsopen("tmpfs");
        int r;

        if (fs < 0)
                return fs;
        r = sys_fsconfig(fs, "nr_inodes", "1");
        if (r == 0)
                r = sys_fsconfig(fs, "mode", "0555");
        if (r == 0)
                r = sys_fsconfig(fs, "ro", NULL);
        if (r == 0)
                r = sys_fscreate(fs);
        return r < 0 ? r
                     : sys_fsmount(fs, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
                                               MOUNT_ATTR_NOEXEC);
}

int init_open_masks(struct init *i)
{
        int fd;

        init_at(i, STEP_MASK, LAUNCH_NO_RECORD);
        if (!i->plan->count[PLAN_MASKED])
                return 0;
        fd = open_null();
        if (fd < 0)
                return fd;
        i->null_mask = fd;
        fd = open_empty();
        if (fd < 0)
                return fd;
        i->tmpfs_mask = fd;
        return 0;
}

/* The first one attached is what the next are cloned from: a detached mount could not be. */
static int cover(int *mask, int target)
{
        int clone, r = sys_move_mount(*mask, target);

        if (r < 0)
                return r;
        clone = sys_open_tree(*mask, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
        if (clone < 0)
                return clone;
        safe_close(*mask);
        *mask = clone;
        return 0;
}

static int mask_path(struct init *i, const char *path)
{
        _cleanup_close_ int target = path_open(i->root, path, O_PATH, 0);
        struct stat st;

        if (target == -ENOENT)
                return 0;
        if (target < 0)
                return target;
        if (fstat(target, &st) < 0)
                return -errno;
        return cover(S_ISDIR(st.st_mode) ? &i->tmpfs_mask : &i->null_mask, target);
}

static int make_readonly(struct init *i, const char *path)
{
        struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };
        _cleanup_close_ int target = path_open(i->root, path, O_PATH, 0), clone = -1;
        int r;

        if (target == -ENOENT)
                return 0;
        if (target < 0)
                return target;
        clone = sys_open_tree(target, "",
                              AT_EMPTY_PATH | AT_RECURSIVE | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
        if (clone < 0)
                return clone;
        r = sys_mount_setattr(clone, AT_RECURSIVE, &attr);
        return r < 0 ? r : sys_move_mount(clone, target);
}

int init_mask_paths(struct init *i)
{
        struct plan_record record;
        int r;

        PLAN_FOREACH(i->plan, PLAN_READONLY, record)
        {
                init_at(i, STEP_READONLY, plan_view_index(i->plan, &record));
                r = make_readonly(i, record.payload);
                if (r < 0)
                        return r;
        }
        PLAN_FOREACH(i->plan, PLAN_MASKED, record)
        {
                init_at(i, STEP_MASK, plan_view_index(i->plan, &record));
                r = mask_path(i, record.payload);
                if (r < 0)
                        return r;
        }
        return 0;
}
