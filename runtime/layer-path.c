#include "runtime/layer-path.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/text.h"
#include "base/usec.h"

enum { LINKS_MAX = 40, COMPONENT_MAX = 255 };

int layer_path_normalize(const char *name, char out[static TAR_PATH_MAX + 1], struct err *err)
{
        size_t len = 0;

        while (*name) {
                size_t n = strcspn(name, "/");

                if (n == 2 && name[0] == '.' && name[1] == '.')
                        return err_set_kind(err, -EINVAL, ERR_BAD_INPUT, "'..' in a name");
                if (n > COMPONENT_MAX)
                        return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                            "a component of more than %d bytes", COMPONENT_MAX);
                if (n > 0 && !(n == 1 && name[0] == '.')) {
                        if (len > 0)
                                out[len++] = '/';
                        memcpy(out + len, name, n); /* never longer than what came in */
                        len += n;
                }
                name += n + (name[n] == '/');
        }
        out[len] = '\0';
        return 0;
}

char *layer_path_split(char *path)
{
        char *slash = strrchr(path, '/');

        if (slash) {
                *slash = '\0';
                return slash + 1;
        }
        /* the parent is the root: the name moves one up, to make room for "" */
        memmove(path + 1, path, strnlen(path, TAR_PATH_MAX - 1) + 1);
        path[0] = '\0';
        return path + 1;
}

static int open_directory(int root_fd, const char *path)
{
        return fs_open_in_root(root_fd, *path ? path : ".", O_PATH | O_DIRECTORY, 0);
}

/* ---- the long way ---- */

/*
 * A walk by hand, component by component, for when something is missing on the way. It stands in a
 * real directory below the root all the time; ".." and absolute links make it start from the root
 * again, by openat2() as everything here.
 */
struct walk {
        int root_fd, at_fd; /* borrowed; owned: where it stands, O_PATH */
        const struct layer_path_maker *maker;
        char done[TAR_PATH_MAX + 1];     /* the path of at_fd: real directories */
        char rest[2 * TAR_PATH_MAX + 2]; /* still to walk */
        int links;
};

static int too_long(struct err *err)
{
        return err_set_kind(err, -ENAMETOOLONG, ERR_BAD_INPUT, "links make the path too long");
}

static int stand_at(struct walk *w, int fd, struct err *err)
{
        if (fd < 0)
                return err_sys(err, fd, "open '%s'", w->done);
        safe_close(w->at_fd);
        w->at_fd = fd;
        return 0;
}

/* Out of a link's target; above the root is the root. */
static int go_up(struct walk *w, struct err *err)
{
        char *slash = strrchr(w->done, '/');

        *(slash ? slash : w->done) = '\0';
        return stand_at(w, open_directory(w->root_fd, w->done), err);
}

/* Puts what a link says before the rest. */
static int follow(struct walk *w, const char *name, struct err *err)
{
        char target[TAR_PATH_MAX + 1], longer[sizeof w->rest];
        ssize_t n = readlinkat(w->at_fd, name, target, sizeof target - 1);

        if (n < 0)
                return err_sys(err, -errno, "read link '%s'", name);
        if (++w->links > LINKS_MAX)
                return err_set_kind(err, -ELOOP, ERR_BAD_INPUT, "too many links on the way");
        target[n] = '\0';
        if ((size_t)snprintf(longer, sizeof longer, "%s/%s", target, w->rest) >= sizeof longer)
                return too_long(err);
        memcpy(w->rest, longer, sizeof w->rest);
        if (target[0] != '/')
                return 0;
        w->done[0] = '\0';
        return stand_at(w, open_directory(w->root_fd, ""), err);
}

static int go_down(struct walk *w, const char *name, struct err *err)
{
        int fd = openat(w->at_fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

        return stand_at(w, fd < 0 ? -errno : fd, err);
}

static int note_step(struct walk *w, const char *name, struct err *err)
{
        size_t have = strlen(w->done);

        if (have + 1 + strlen(name) > TAR_PATH_MAX)
                return too_long(err);
        snprintf(w->done + have, sizeof w->done - have, "%s%s", have ? "/" : "", name);
        return 0;
}

static int make_one(struct walk *w, const char *name, bool was_whiteout, struct err *err)
{
        int r;

        if (was_whiteout && unlinkat(w->at_fd, name, 0) < 0)
                return err_sys(err, -errno, "replace whiteout '%s'", name);
        r = note_step(w, name, err);
        if (r == 0)
                r = w->maker->make(w->at_fd, name, w->done, was_whiteout, w->maker->userdata, err);
        return r < 0 ? r : go_down(w, name, err);
}

static int step(struct walk *w, const char *name, struct err *err)
{
        struct stat st;
        int r;

        if (streq(name, ".."))
                return go_up(w, err);
        if (fstatat(w->at_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return errno == ENOENT ? make_one(w, name, false, err)
                                       : err_sys(err, -errno, "look at '%s'", name);
        if (S_ISLNK(st.st_mode))
                return follow(w, name, err);
        if (S_ISCHR(st.st_mode) && st.st_rdev == 0)
                return make_one(w, name, true, err);
        if (!S_ISDIR(st.st_mode))
                return err_set_kind(err, -ENOTDIR, ERR_BAD_INPUT, "'%s' is no directory", name);
        r = note_step(w, name, err);
        return r < 0 ? r : go_down(w, name, err);
}

static int walk(int root_fd, const char *path, const struct layer_path_maker *maker,
                struct err *err)
{
        struct walk w = { .root_fd = root_fd, .at_fd = -1, .maker = maker };
        int r = stand_at(&w, open_directory(root_fd, ""), err);

        snprintf(w.rest, sizeof w.rest, "%s", path);
        for (size_t at = 0; r == 0 && w.rest[at];) {
                char name[COMPONENT_MAX + 1];
                size_t n = strcspn(w.rest + at, "/");

                if (n > COMPONENT_MAX) {
                        r = too_long(err);
                        break;
                }
                memcpy(name, w.rest + at, n);
                name[n] = '\0';
                at += n + (w.rest[at + n] == '/');
                if (!name[0] || streq(name, "."))
                        continue;
                memmove(w.rest, w.rest + at, strlen(w.rest + at) + 1);
                at = 0;
                r = step(&w, name, err);
        }
        if (r < 0) {
                safe_close(w.at_fd);
                return r;
        }
        return w.at_fd;
}

int layer_path_open(int root_fd, const char *path, const struct layer_path_maker *maker,
                    struct err *err)
{
        int fd = open_directory(root_fd, path);

        if (fd >= 0 || !maker || (fd != -ENOENT && fd != -ENOTDIR))
                return fd >= 0 || !maker ? fd : err_sys(err, fd, "open '%s'", path);
        return walk(root_fd, path, maker, err);
}

/* ---- removing ---- */

/* Empties directory @name of @scratch_fd: files go, directories move up into @scratch_fd. */
static int flatten(int scratch_fd, const char *name)
{
        int fd = openat(scratch_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), r = 0;
        DIR *dir = fd < 0 ? NULL : fdopendir(fd);
        struct dirent *e;

        if (!dir) {
                r = -errno;
                safe_close(fd);
                return r;
        }
        while (r == 0 && (e = readdir(dir))) {
                char fresh[20];

                if (streq(e->d_name, ".") || streq(e->d_name, "..") ||
                    unlinkat(dirfd(dir), e->d_name, 0) == 0)
                        continue;
                if (errno != EISDIR && errno != EPERM) {
                        r = -errno;
                        break;
                }
                snprintf(fresh, sizeof fresh, "%08x%08x", random_u32(), random_u32());
                if (renameat(dirfd(dir), e->d_name, scratch_fd, fresh) < 0)
                        r = -errno;
        }
        closedir(dir);
        return r;
}

int layer_path_empty(int dir_fd)
{
        int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
        DIR *dir = fd < 0 ? NULL : fdopendir(fd);
        bool again = true;

        if (!dir) {
                r = -errno;
                safe_close(fd);
                return r;
        }
        while (r == 0 && again) {
                struct dirent *e;

                again = false;
                rewinddir(dir);
                while (r == 0 && (e = readdir(dir))) {
                        if (streq(e->d_name, ".") || streq(e->d_name, ".."))
                                continue;
                        again = true;
                        if (unlinkat(dir_fd, e->d_name, 0) == 0)
                                continue;
                        r = errno == EISDIR || errno == EPERM ? flatten(dir_fd, e->d_name) : -errno;
                        if (r == 0 && unlinkat(dir_fd, e->d_name, AT_REMOVEDIR) < 0)
                                r = -errno;
                }
        }
        closedir(dir);
        return r;
}

int layer_path_remove_tree(int parent_fd, const char *name, int root_fd)
{
        static const char scratch[] = ".wh..wh.remove"; /* no entry can have this name */
        _cleanup_close_ int scratch_fd = -1;
        struct stat st;
        int r;

        if (fstat(root_fd, &st) < 0 || mkdirat(root_fd, scratch, 0700) < 0)
                return -errno;
        scratch_fd = openat(root_fd, scratch, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (scratch_fd < 0 || renameat(parent_fd, name, scratch_fd, "1") < 0)
                return -errno;
        r = layer_path_empty(scratch_fd);
        if (r == 0 && unlinkat(root_fd, scratch, AT_REMOVEDIR) < 0)
                r = -errno;
        if (r == 0 && futimens(root_fd, (struct timespec[]){ st.st_atim, st.st_mtim }) < 0)
                r = -errno;
        return r;
}
