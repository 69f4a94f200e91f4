/*
 * The container's root as a detached mount: an overlay of its image's layers with an upper
 * directory of its own, or a plain directory; and other images, of which it gets the layers alone.
 * Runs in the host's mount namespace, where the layers are; nothing is ever attached there.
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

enum { FSCONFIG_VALUE_MAX = 255, LAYER_NAME_MAX = 255 };

/* The layers of an overlay one by one, topmost first: those of the plan, or of a list of names. */
struct layer_walk {
        struct plan_reader reader;
        const char *list; /* "top:…:bottom"; NULL: the plan's own */
        char name[LAYER_NAME_MAX + 1];
};

static struct layer_walk walk_layers(const struct init *i, const char *list)
{
        return (struct layer_walk){ .reader = i->plan->start, .list = list };
}

/* NULL: there are no more. */
static const char *next_layer(struct layer_walk *w)
{
        struct plan_record record;
        size_t n;

        if (!w->list)
                return plan_view_next(&w->reader, PLAN_LAYER, &record) ? record.payload : NULL;
        n = strcspn(w->list, ":");
        if (n == 0 || n > LAYER_NAME_MAX)
                return NULL;
        memcpy(w->name, w->list, n);
        w->name[n] = '\0';
        w->list += n + (w->list[n] == ':');
        return w->name;
}

/* A detached mount of a file system that needs no more than a word or two of options. */
static int mount_of(int fs)
{
        int r = sys_fscreate(fs);

        return r < 0 ? r : sys_fsmount(fs, 0);
}

static int add_layers_one_by_one(struct layer_walk w, int fs)
{
        const char *layer;

        while ((layer = next_layer(&w))) {
                int r = sys_fsconfig(fs, "lowerdir+", layer);

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
static int enter_links(const struct init *i, struct layer_walk w, struct line *names)
{
        _cleanup_close_ int fs = sys_fsopen("tmpfs"), fd = -1;
        const char *layer;
        unsigned n = 0;

        if (fs < 0)
                return fs;
        fd = mount_of(fs);
        if (fd < 0)
                return fd;
        while ((layer = next_layer(&w))) {
                char target[PATH_MAX], name[] = { short_name(n), '\0' };
                struct line path = LINE(target);

                if (!name[0] || n * 2 + 1 > FSCONFIG_VALUE_MAX)
                        return -E2BIG;
                line_add(&path, i->plan->layer_dir);
                line_add(&path, "/");
                line_add(&path, layer);
                if (symlinkat(target, fd, name) < 0)
                        return -errno;
                if (n++ > 0)
                        line_add(names, ":");
                line_add(names, name);
        }
        return fchdir(fd) < 0 ? -errno : 0;
}

static int add_layers_by_string(const struct init *i, const struct layer_walk *layers, int fs)
{
        char value[FSCONFIG_VALUE_MAX + 1];
        struct line names = LINE(value);
        struct layer_walk w = *layers;
        const char *layer;
        size_t n = 0;

        while ((layer = next_layer(&w))) {
                line_add(&names, n > 0 ? ":" : "");
                line_add(&names, layer);
                n += strlen(layer) + 1;
        }
        if (n > sizeof value) {
                int r;

                names = LINE(value);
                r = enter_links(i, *layers, &names);
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

/* @upper_dir NULL: nothing can be written, and there must be two layers at least. */
static int open_overlay(const struct init *i, struct layer_walk w, const char *upper_dir,
                        enum overlay_way way)
{
        _cleanup_close_ int fs = sys_fsopen("overlay"), dir = -1;
        int r;

        if (fs < 0)
                return fs;
        dir = open(i->plan->layer_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (dir < 0 || fchdir(dir) < 0)
                return -errno;
        r = way == OVERLAY_BY_LAYER ? add_layers_one_by_one(w, fs)
                                    : add_layers_by_string(i, &w, fs);
        if (r == 0 && upper_dir)
                r = sys_fsconfig(fs, "index", "off");
        if (r == 0 && upper_dir)
                r = add_upper(fs, upper_dir);
        return r < 0 ? r : mount_of(fs);
}

int init_open_overlay(struct init *i, enum overlay_way way)
{
        init_at(i, STEP_ROOT, LAUNCH_NO_RECORD);
        return open_overlay(i, walk_layers(i, NULL), i->plan->upper_dir, way);
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

static int open_layers(const struct init *i, struct layer_walk w, const char *upper_dir)
{
        int fd = may_take_layers() ? open_overlay(i, w, upper_dir, OVERLAY_BY_LAYER) : -EINVAL;

        return fd == -EINVAL ? open_overlay(i, w, upper_dir, OVERLAY_BY_STRING) : fd;
}

int init_open_image(const struct init *i, const char *layers)
{
        char buf[PATH_MAX];
        struct line path = LINE(buf);

        if (!i->plan->layer_dir)
                return -EINVAL;
        if (strchr(layers, ':'))
                return open_layers(i, walk_layers(i, layers), NULL);
        /* overlayfs wants two layers where nothing can be written */
        line_add(&path, "/");
        line_add(&path, layers);
        return clone_root(i->plan->layer_dir, buf);
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
                fd = open_layers(i, walk_layers(i, NULL), i->plan->upper_dir);
        }
        if (fd < 0)
                return fd;
        i->root = fd;
        return 0;
}
