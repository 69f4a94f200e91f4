/*
 * Device nodes, the links in /dev, the terminal. What goes into a tmpfs of ours on /dev is made in
 * it while it is detached, in the host's mount namespace, where nothing of the image's is near.
 */
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#include "runtime/init.h"
#include "runtime/shim-sys.h"

static const struct {
        const char *name, *target;
} links[] = {
        { "fd", "/proc/self/fd" },       { "stdin", "/proc/self/fd/0" },
        { "stdout", "/proc/self/fd/1" }, { "stderr", "/proc/self/fd/2" },
        { "ptmx", "pts/ptmx" },
};

/* The rest of @path below /dev, or NULL. */
static const char *below_dev(const char *path)
{
        return strncmp(path, "/dev/", 5) == 0 && path[5] ? path + 5 : NULL;
}

static int set_owner(int parent, const char *name, const struct plan_device *d)
{
        _cleanup_close_ int fd = openat(parent, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        struct stat st;

        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        if ((st.st_mode & S_IFMT) != d->type ||
            (d->type != S_IFIFO && st.st_rdev != makedev(d->major, d->minor)))
                return -EEXIST; /* not what was made here a moment ago */
        if (fchownat(fd, "", d->uid, d->gid, AT_EMPTY_PATH) < 0)
                return -errno;
        return 0;
}

static bool is_device(int fd, const struct plan_device *d)
{
        struct stat st;

        return fstat(fd, &st) == 0 && (st.st_mode & S_IFMT) == d->type &&
               st.st_rdev == makedev(d->major, d->minor);
}

/* The host's node of that number as a detached mount: by the name it has in the container, or by
 * number. */
static int clone_host_device(const struct plan_device *d, const char *path)
{
        char by_number[64];
        struct line l = LINE(by_number);
        const char *const names[] = { path, by_number };

        line_add(&l, d->type == S_IFBLK ? "/dev/block/" : "/dev/char/");
        line_add_u64(&l, d->major);
        line_add(&l, ":");
        line_add_u64(&l, d->minor);
        for (size_t n = 0; n < ARRAY_SIZE(names); n++) {
                int fd = sys_open_tree(AT_FDCWD, names[n], OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

                if (fd >= 0 && is_device(fd, d))
                        return fd;
                safe_close(fd);
        }
        return -EPERM;
}

/* Where mknod is refused (a user namespace, no CAP_MKNOD) the host's node is bound later. */
static int bind_later(struct init *i, unsigned record, const struct plan_device *d,
                      const char *path)
{
        int fd = clone_host_device(d, path);

        if (fd < 0)
                return fd;
        if (!i->devices)
                i->devices = calloc(i->plan->count[PLAN_DEVICE], sizeof *i->devices);
        if (!i->devices) {
                close(fd);
                return -ENOMEM;
        }
        i->devices[i->n_devices++] = (struct init_device){ .record = record, .fd = fd };
        return 0;
}

static int make_device(int root, const char *path, const struct plan_device *d)
{
        _cleanup_close_ int parent = -1;
        const char *name;

        parent = path_make_parent(root, path, &name);
        if (parent < 0)
                return parent;
        if (mknodat(parent, name, d->type | d->mode, makedev(d->major, d->minor)) < 0)
                return -errno;
        return set_owner(parent, name, d);
}

static int make_links(int dev)
{
        for (size_t n = 0; n < ARRAY_SIZE(links); n++)
                if (symlinkat(links[n].target, dev, links[n].name) < 0 && errno != EEXIST)
                        return -errno;
        return 0;
}

int init_make_devices(struct init *i)
{
        struct plan_record record;

        if (i->dev < 0)
                return 0;
        PLAN_FOREACH(i->plan, PLAN_DEVICE, record)
        {
                const char *path = plan_view_device_path(&record);
                const struct plan_device *d = record.payload;
                int r;

                if (!below_dev(path))
                        continue;
                init_at(i, STEP_DEVICE, plan_view_index(i->plan, &record));
                r = make_device(i->dev, below_dev(path), d);
                if (r == -EPERM)
                        r = bind_later(i, i->record, d, path);
                if (r < 0)
                        return r;
        }
        init_at(i, STEP_DEV_LINKS, LAUNCH_NO_RECORD);
        return make_links(i->dev);
}

static int attach_device(struct init *i, const struct init_device *device)
{
        _cleanup_close_ int target = -1;
        struct plan_record record;

        init_at(i, STEP_DEVICE, device->record);
        if (!plan_view_at(i->plan, device->record, &record))
                return -EINVAL;
        target = path_make_target(i->root, plan_view_device_path(&record), false, 0);
        return target < 0 ? target : sys_move_mount(device->fd, target);
}

/* Without a tmpfs on /dev (bundles of others) the image's own /dev gets what it lacks. */
static int make_in_root(struct init *i)
{
        struct plan_record record;

        PLAN_FOREACH(i->plan, PLAN_DEVICE, record)
        {
                const char *path = plan_view_device_path(&record);
                int r;

                if (i->dev >= 0 && below_dev(path))
                        continue;
                init_at(i, STEP_DEVICE, plan_view_index(i->plan, &record));
                r = make_device(i->root, path, record.payload);
                if (r < 0 && r != -EEXIST)
                        return r;
        }
        if (i->dev < 0) {
                _cleanup_close_ int dev = path_open(i->root, "/dev", O_PATH | O_DIRECTORY, 0);

                init_at(i, STEP_DEV_LINKS, LAUNCH_NO_RECORD);
                if (dev >= 0)
                        make_links(dev); /* a courtesy: the directory is the image's */
        }
        return 0;
}

int init_attach_devices(struct init *i)
{
        int r = 0;

        for (unsigned n = 0; r == 0 && n < i->n_devices; n++)
                r = attach_device(i, &i->devices[n]);
        return r < 0 ? r : make_in_root(i);
}

/*
 * The pty comes from the container's own devpts and its other end from the master, never from a
 * name. @pts may be the tenant's to change by now: only a master of a devpts will do.
 */
int init_open_terminal(struct init *i, int pts)
{
        struct stat st;
        struct statfs fs;
        int master, zero = 0, r;

        init_at(i, STEP_TERMINAL, LAUNCH_NO_RECORD);
        if (pts < 0)
                return -ENODEV;
        if (fstatfs(pts, &fs) < 0)
                return -errno;
        if (fs.f_type != DEVPTS_SUPER_MAGIC)
                return -ENOTTY; /* before anything in it is opened */
        master = openat(pts, "ptmx", O_RDWR | O_NOCTTY | O_NOFOLLOW | O_CLOEXEC);
        if (master < 0)
                return -errno;
        if (fstat(master, &st) < 0)
                r = -errno;
        else if (!S_ISCHR(st.st_mode) || st.st_rdev != makedev(5, 2))
                r = -ENOTTY;
        else if (ioctl(master, TIOCSPTLCK, &zero) < 0)
                r = -errno;
        else
                r = init_send(i, LAUNCH_CONSOLE, 0, master);
        if (r == 0) {
                i->terminal_peer = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
                r = i->terminal_peer < 0 ? -errno : 0;
        }
        close(master);
        return r;
}

/* Once /dev/pts is attached the peer can be cloned from it onto /dev/console. */
int init_attach_console(struct init *i)
{
        _cleanup_close_ int target = -1, peer = -1;

        init_at(i, STEP_TERMINAL, LAUNCH_NO_RECORD);
        if (i->terminal_peer < 0 || i->dev < 0)
                return 0;
        target = path_make_target(i->dev, "console", false, PATH_NO_LINKS);
        if (target < 0)
                return target;
        peer = sys_open_tree(i->terminal_peer, "",
                             AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
        return peer < 0 ? peer : sys_move_mount(peer, target);
}
