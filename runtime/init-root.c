/*
 * The container's root as a detached mount: an overlay of its image's layers with an upper
 * directory of its own, or a plain directory. Runs in the host's mount namespace, where the layers
 * are; nothing is ever attached there.
 *
 * Since Linux 6.7 overlayfs takes its layers one by one ("lowerdir+"). Before, they are one string
 * of at most 255 bytes: longer lists go through a tmpfs, detached too, in which links of one byte
 * stand for the layers.
 */
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include "runtime/init.h"
#include "runtime/shim-sys.h"

enum { FSCONFIG_VALUE_MAX = 255 };

/* A detached mount of a file system that needs no more than a word or two of options. */
static int mount_of(int fs)
{
        int r = sys_fscreate(fs);

        return r < 0 ? r : sys_fsmount(fs, 0);
}

static int add_layers_one_by_one(struct init *i, int fs)
{
        struct plan_record record;

        PLAN_FOREACH(i->plan, PLAN_LAYER, record)
        {
                int r = sys_fsconfig(fs, "lowerdir+", record.payload);

                if (r < 0)
                        return r;
        }
        return 0;
}

/* The @n-th name of one byte that means nothing to overlayfs or a path; 0: there are no more. */
static char short_name(unsigned n)
{
        for (unsigned c = 1; c < 256; c++)
                if (!strchr(":,\\/.", (int)c) && n-- == 0)
                        return (char)c;
        return 0;
}

/* Enters a tmpfs with a link of one byte to each layer, whose names go to @names. */
static int enter_links(struct init *i, struct line *names)
{
        _cleanup_close_ int fs = sys_fsopen("tmpfs"), fd = -1;
        struct plan_record record;
        unsigned n = 0;

        if (fs < 0)
                return fs;
        fd = mount_of(fs);
        if (fd < 0)
                return fd;
        PLAN_FOREACH(i->plan, PLAN_LAYER, record)
        {
                char target[PATH_MAX], name[] = { short_name(n), '\0' };
                struct line path = LINE(target);

                if (!name[0] || n * 2 + 1 > FSCONFIG_VALUE_MAX)
                        return -E2BIG;
                line_add(&path, i->plan->layer_dir);
                line_add(&path, "/");
                line_add(&path, record.payload);
                if (symlinkat(target, fd, name) < 0)
                        return -errno;
                if (n++ > 0)
                        line_add(names, ":");
                line_add(names, name);
        }
        return fchdir(fd) < 0 ? -errno : 0;
}

static int add_layers_by_string(struct init *i, int fs)
{
        char value[FSCONFIG_VALUE_MAX + 1];
        struct line names = LINE(value);
        struct plan_record record;
        size_t n = 0;

        PLAN_FOREACH(i->plan, PLAN_LAYER, record)
        {
                line_add(&names, n > 0 ? ":" : "");
                line_add(&names, record.payload);
                n += strlen(record.payload) + 1;
        }
        if (n > sizeof value) {
                int r;

                names = LINE(value);
                r = enter_links(i, &names);
                if (r < 0)
                        return r;
        }
        return sys_fsconfig(fs, "lowerdir", value);
}

/*
 * "volatile" keeps a mark in the work directory so that nobody mounts it again after a crash. A
 * create that failed and is tried again finds it.
 */
static void remove_volatile_mark(const char *upper_dir)
{
        char buf[PATH_MAX];
        struct line path = LINE(buf);
        size_t folder;

        line_add(&path, upper_dir);
        line_add(&path, "/work");
        line_add(&path, "/work");
        line_add(&path, "/incompat/volatile");
        folder = path.len;
        line_add(&path, "/dirty");
        unlinkat(AT_FDCWD, buf, 0);
        buf[folder] = '\0';
        unlinkat(AT_FDCWD, buf, AT_REMOVEDIR);
}

static int add_upper(int fs, const char *dir)
{
        char buf[PATH_MAX];
        struct line path = LINE(buf);
        size_t n;
        int r;

        remove_volatile_mark(dir);
        line_add(&path, dir);
        n = path.len;
        line_add(&path, "/upper");
        r = sys_fsconfig(fs, "upperdir", buf);
        if (r < 0)
                return r;
        path.len = n;
        line_add(&path, "/work");
        r = sys_fsconfig(fs, "workdir", buf);
        /* An unmount would sync the whole file system of the upper directory, and the container's
         * end waits for it; the upper directory means nothing after a crash. */
        return r < 0 ? r : sys_fsconfig(fs, "volatile", NULL);
}

int init_open_overlay(struct init *i, enum overlay_way way)
{
        _cleanup_close_ int fs = sys_fsopen("overlay"), dir = -1;
        int r;

        init_at(i, STEP_ROOT, LAUNCH_NO_RECORD);
        if (fs < 0)
                return fs;
        dir = open(i->plan->layer_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (dir < 0 || fchdir(dir) < 0)
                return -errno;
        r = way == OVERLAY_BY_LAYER ? add_layers_one_by_one(i, fs) : add_layers_by_string(i, fs);
        if (r < 0)
                return r;
        r = sys_fsconfig(fs, "index", "off");
        if (r == 0)
                r = add_upper(fs, i->plan->upper_dir);
        return r < 0 ? r : mount_of(fs);
}

static int clone_root(const char *dir, const char *name)
{
        struct mount_attr attr = { .propagation = MS_PRIVATE };
        _cleanup_close_ int fd = -1;
        char buf[PATH_MAX];
        struct line path = LINE(buf);
        int r;

        line_add(&path, dir);
        line_add(&path, name);
        fd = sys_open_tree(AT_FDCWD, buf, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
        if (fd < 0)
                return fd;
        r = sys_mount_setattr(fd, AT_RECURSIVE, &attr);
        return r < 0 ? r : TAKE_FD(fd);
}

/*
 * Before Linux 6.5 overlayfs writes a line into the kernel's log for an option that it does not
 * know: there the release decides. Later it answers quietly.
 */
static bool may_take_layers(void)
{
        struct utsname name;
        const char *dot;
        uint64_t major, minor;

        if (uname(&name) < 0)
                return false;
        dot = strchr(name.release, '.');
        return dot && text_is_number(name.release, (size_t)(dot - name.release), &major) &&
               text_is_number(dot + 1, strspn(dot + 1, "0123456789"), &minor) &&
               (major > 6 || (major == 6 && minor >= 5));
}

static int open_layers(struct init *i)
{
        int fd = may_take_layers() ? init_open_overlay(i, OVERLAY_BY_LAYER) : -EINVAL;

        return fd == -EINVAL ? init_open_overlay(i, OVERLAY_BY_STRING) : fd;
}

int init_open_root(struct init *i)
{
        int fd;

        init_at(i, STEP_ROOT, LAUNCH_NO_RECORD);
        if (i->plan->root_path) {
                fd = clone_root(i->plan->root_path, "");
        } else if (!i->plan->count[PLAN_LAYER]) {
                fd = clone_root(i->plan->upper_dir, "/upper"); /* an image without layers */
        } else {
                fd = open_layers(i);
        }
        if (fd < 0)
                return fd;
        i->root = fd;
        return 0;
}
