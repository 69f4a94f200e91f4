#include "runtime/layer-tree.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "base/fs.h"
#include "base/text.h"
#include "runtime/layer-path.h"

enum {
        SPACE_CHECK_BYTES = 32 << 20,
        SPACE_CHECK_INODES = 4096,
        BLOCK = 4096,
};

struct layer_tree {
        struct layer_tree_options options;
        struct layer_tree_result result;
        char path[TAR_PATH_MAX + 1]; /* of the current entry */
        int file_fd;                 /* owned: of a file being written; -1 */
        uint64_t unchecked_bytes, unchecked_inodes;
};

struct layer_tree *layer_tree_new(const struct layer_tree_options *options)
{
        struct layer_tree *t = calloc(1, sizeof *t);

        if (!t)
                return NULL;
        t->options = *options;
        if (t->options.inodes_max == 0)
                t->options.inodes_max = LAYER_INODES_MAX;
        t->file_fd = -1;
        return t;
}

struct layer_tree *layer_tree_free(struct layer_tree *t)
{
        if (t)
                safe_close(t->file_fd);
        free(t);
        return NULL;
}

const char *layer_tree_path(const struct layer_tree *t)
{
        return t->path;
}

bool layer_tree_keeps_data(const struct layer_tree *t)
{
        return t->file_fd >= 0;
}

struct layer_tree_result layer_tree_result(const struct layer_tree *t)
{
        return t->result;
}

/* ---- limits ---- */

static int check_space(struct layer_tree *t, struct err *err)
{
        struct statfs s;

        if (t->unchecked_bytes < SPACE_CHECK_BYTES && t->unchecked_inodes < SPACE_CHECK_INODES)
                return 0;
        t->unchecked_bytes = t->unchecked_inodes = 0;
        if (fstatfs(t->options.root_fd, &s) < 0)
                return err_sys(err, -errno, "look at the free space");
        if ((uint64_t)s.f_bavail * (uint64_t)s.f_bsize < t->options.reserve_bytes)
                return err_set_kind(err, -ENOSPC, ERR_NO_SPACE,
                                    "the image store has less than its reserve of %llu bytes left",
                                    (unsigned long long)t->options.reserve_bytes);
        return 0;
}

static int count_inode(struct layer_tree *t, struct err *err)
{
        if (t->result.n_inodes >= t->options.inodes_max)
                return err_set_kind(err, -EFBIG, ERR_IMAGE_VERIFY,
                                    "more than the limit of %llu files and directories",
                                    (unsigned long long)t->options.inodes_max);
        t->result.n_inodes++;
        t->unchecked_inodes++;
        t->result.disk_bytes += BLOCK; /* an inode with its share of directories and tables */
        return check_space(t, err);
}

/* ---- directories ---- */

/* A directory has the times that its own entry gave it, whatever comes into it later. */
static int get_times(int dir_fd, struct timespec times[2], struct err *err)
{
        struct stat st;

        if (fstat(dir_fd, &st) < 0)
                return err_sys(err, -errno, "look at the directory");
        times[0] = st.st_atim;
        times[1] = st.st_mtim;
        return 0;
}

static int put_times(int dir_fd, const struct timespec times[2], struct err *err)
{
        if (utimensat(dir_fd, "", times, AT_EMPTY_PATH) < 0)
                return err_sys(err, -errno, "set times of the directory");
        return 0;
}

static int make_opaque(struct layer_tree *t, int parent_fd, const char *name)
{
        _cleanup_close_ int fd = openat(parent_fd, name,
                                        O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

        return fd < 0 ? -errno : t->options.make_opaque(fd, t->options.userdata);
}

/* Called by the path walk for a directory that no entry has named (yet). */
static int make_implied(int parent_fd, const char *name, const char *path, bool was_whiteout,
                        void *userdata, struct err *err)
{
        struct layer_tree *t = userdata;
        struct timespec times[2];
        int r = count_inode(t, err);

        if (r == 0 && startswith(name, ".wh."))
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT, "a directory named as a whiteout");
        if (r == 0)
                r = get_times(parent_fd, times, err);
        if (r < 0)
                return r;
        if (mkdirat(parent_fd, name, 0755) < 0)
                return err_sys(err, -errno, "make directory");
        if (fchownat(parent_fd, name, LAYER_IMPLIED_UID, 0, AT_SYMLINK_NOFOLLOW) < 0)
                return err_sys(err, -errno, "own directory");
        r = was_whiteout ? make_opaque(t, parent_fd, name) : 0;
        if (r < 0)
                return err_sys(err, r, "make directory opaque");
        r = fs_write_all(t->options.implied_fd, path, strlen(path) + 1);
        if (r < 0)
                return err_sys(err, r, "note directory");
        t->result.n_implied++;
        return put_times(parent_fd, times, err);
}

/* The parent of the current entry, made when it is missing: an O_PATH descriptor. */
static int open_parent(struct layer_tree *t, const char *parent, struct err *err)
{
        struct layer_path_maker maker = { .make = make_implied, .userdata = t };

        return layer_path_open(t->options.root_fd, parent, &maker, err);
}

/* ---- metadata ---- */

static bool keeps_xattr(const struct tar_entry *e, const struct tar_xattr *x)
{
        if (streq(x->name, "security.capability"))
                return e->type == TAR_FILE;
        return startswith(x->name, "user.") && !startswith(x->name, "user.overlay.");
}

static int set_xattrs(int fd, const struct tar_entry *e, struct err *err)
{
        for (size_t i = 0; i < e->n_xattrs; i++) {
                const struct tar_xattr *x = &e->xattrs[i];

                if (!keeps_xattr(e, x) || fsetxattr(fd, x->name, x->value, x->size, 0) == 0)
                        continue;
                if (errno == EOPNOTSUPP && startswith(x->name, "user."))
                        continue; /* tmpfs before 6.6; programs do without, as with peers */
                return err_sys(err, -errno, "set extended attribute '%s'", x->name);
        }
        return 0;
}

/* A new owner takes set-id bits and capabilities away, so it comes first; times come last. */
static int set_metadata(int fd, const struct tar_entry *e, struct err *err)
{
        struct timespec times[2] = { e->mtime, e->mtime };
        int r;

        if (fchown(fd, e->uid, e->gid) < 0)
                return err_sys(err, -errno, "set owner %u:%u", e->uid, e->gid);
        if (fchmod(fd, e->mode) < 0)
                return err_sys(err, -errno, "set mode %o", e->mode);
        r = set_xattrs(fd, e, err);
        if (r == 0 && futimens(fd, times) < 0)
                r = err_sys(err, -errno, "set times");
        return r;
}

/* For what has no descriptor to write through: links, devices, FIFOs. */
static int set_metadata_at(int parent_fd, const char *name, const struct tar_entry *e,
                           struct err *err)
{
        struct timespec times[2] = { e->mtime, e->mtime };

        if (fchownat(parent_fd, name, e->uid, e->gid, AT_SYMLINK_NOFOLLOW) < 0)
                return err_sys(err, -errno, "set owner %u:%u", e->uid, e->gid);
        /* fchmodat() follows links, but this is a device or FIFO made two lines up */
        if (e->type != TAR_SYMLINK && fchmodat(parent_fd, name, e->mode, 0) < 0)
                return err_sys(err, -errno, "set mode %o", e->mode);
        if (utimensat(parent_fd, name, times, AT_SYMLINK_NOFOLLOW) < 0)
                return err_sys(err, -errno, "set times");
        return 0;
}

/* ---- entries ---- */

enum existing { EXISTING_NONE, EXISTING_WHITEOUT, EXISTING_DIRECTORY, EXISTING_OTHER };

static int look(int parent_fd, const char *name, struct stat *st, struct err *err)
{
        if (fstatat(parent_fd, name, st, AT_SYMLINK_NOFOLLOW) < 0)
                return errno == ENOENT ? EXISTING_NONE : err_sys(err, -errno, "look at it");
        if (S_ISCHR(st->st_mode) && st->st_rdev == 0)
                return EXISTING_WHITEOUT;
        return S_ISDIR(st->st_mode) ? EXISTING_DIRECTORY : EXISTING_OTHER;
}

/* Takes away what an earlier entry put there. */
static int clear_place(struct layer_tree *t, int parent_fd, const char *name,
                       enum existing existing, const struct stat *st, struct err *err)
{
        int r = 0;

        if (existing == EXISTING_DIRECTORY)
                r = layer_path_remove_tree(parent_fd, name, t->options.root_fd);
        else if (existing != EXISTING_NONE && unlinkat(parent_fd, name, 0) < 0)
                r = -errno;
        /* a link, since files may have been written through it: their names lead nowhere now */
        if (existing == EXISTING_DIRECTORY ||
            (existing == EXISTING_OTHER && (S_ISREG(st->st_mode) || S_ISLNK(st->st_mode))))
                t->result.n_replaced++;
        return r < 0 ? err_sys(err, r, "replace an earlier entry") : 0;
}

static int add_directory(struct layer_tree *t, int parent_fd, const char *name,
                         const struct tar_entry *e, enum existing existing,
                         const struct stat *existing_st, struct err *err)
{
        _cleanup_close_ int fd = -1;
        int r = 0;

        if (existing != EXISTING_DIRECTORY) {
                r = clear_place(t, parent_fd, name, existing, existing_st, err);
                if (r < 0)
                        return r;
                if (mkdirat(parent_fd, name, 0700) < 0)
                        return err_sys(err, -errno, "make directory");
        }
        fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return err_sys(err, -errno, "open directory");
        if (existing == EXISTING_WHITEOUT) {
                r = t->options.make_opaque(fd, t->options.userdata);
                if (r < 0)
                        return err_sys(err, r, "make directory opaque");
        }
        return set_metadata(fd, e, err);
}

/* Same inode already: nothing to do. Everything else that could go wrong is refused beforehand. */
static int add_hard_link(struct layer_tree *t, int parent_fd, const char *name,
                         const struct tar_entry *e, enum existing existing,
                         const struct stat *existing_st, struct err *err)
{
        char target[TAR_PATH_MAX + 1], *base;
        _cleanup_close_ int target_fd = -1;
        struct stat st;
        int r = layer_path_normalize(e->link, target, err);

        if (r < 0)
                return err_wrap(err, r, "hard link target '%s'", e->link);
        base = layer_path_split(target);
        target_fd = layer_path_open(t->options.root_fd, target, NULL, NULL);
        r = target_fd < 0 || !*base ? EXISTING_NONE : look(target_fd, base, &st, err);
        if (r == EXISTING_NONE || r == EXISTING_WHITEOUT)
                return err_set_kind(err, -ENOENT, ERR_BAD_INPUT,
                                    "hard link target '%s' is not in this layer", e->link);
        if (r == EXISTING_DIRECTORY)
                return err_set_kind(err, -EPERM, ERR_BAD_INPUT,
                                    "hard link target '%s' is a directory", e->link);
        if (r < 0)
                return r;
        if (existing == EXISTING_OTHER && existing_st->st_ino == st.st_ino)
                return 0;
        r = clear_place(t, parent_fd, name, existing, existing_st, err);
        if (r < 0)
                return r;
        if (linkat(target_fd, base, parent_fd, name, 0) < 0)
                return err_sys(err, -errno, "hard link to '%s'", e->link);
        return 0;
}

/* A file is finished by layer_tree_end(). */
static int add_file(struct layer_tree *t, int parent_fd, const char *name,
                    const struct tar_entry *e, struct err *err)
{
        t->file_fd = openat(parent_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                            0600);
        if (t->file_fd < 0)
                return err_sys(err, -errno, "create file");
        t->result.disk_bytes += (e->size + BLOCK - 1) & ~(uint64_t)(BLOCK - 1);
        return 0;
}

static int add_node(int parent_fd, const char *name, const struct tar_entry *e, struct err *err)
{
        mode_t type = e->type == TAR_CHAR ? S_IFCHR : e->type == TAR_BLOCK ? S_IFBLK : S_IFIFO;

        if (e->type == TAR_SYMLINK
                    ? symlinkat(e->link, parent_fd, name) < 0
                    : mknodat(parent_fd, name, type | 0600, makedev(e->major, e->minor)) < 0)
                return err_sys(err, -errno, "create %s",
                               e->type == TAR_SYMLINK ? "symbolic link"
                               : e->type == TAR_FIFO  ? "FIFO"
                                                      : "device");
        return set_metadata_at(parent_fd, name, e, err);
}

/* Hides @name of the layers below, unless this layer has something of its own there. */
static int add_whiteout(struct layer_tree *t, int parent_fd, const char *name, struct err *err)
{
        struct stat st;
        int r = look(parent_fd, name, &st, err);

        if (r == EXISTING_DIRECTORY) {
                r = make_opaque(t, parent_fd, name);
                return r < 0 ? err_sys(err, r, "make directory opaque") : 0;
        }
        if (r != EXISTING_NONE)
                return MIN(r, 0);
        if (mknodat(parent_fd, name, S_IFCHR, makedev(0, 0)) < 0)
                return err_sys(err, -errno, "create whiteout");
        return 0;
}

static int add_entry(struct layer_tree *t, int parent_fd, const char *name,
                     const struct tar_entry *e, struct err *err)
{
        struct stat st;
        int r;

        if (e->type == TAR_CHAR && e->major == 0 && e->minor == 0)
                return add_whiteout(t, parent_fd, name, err);
        r = look(parent_fd, name, &st, err);
        if (r < 0)
                return r;
        if (e->type == TAR_DIRECTORY)
                return add_directory(t, parent_fd, name, e, (enum existing)r, &st, err);
        if (e->type == TAR_HARD_LINK)
                return add_hard_link(t, parent_fd, name, e, (enum existing)r, &st, err);
        r = clear_place(t, parent_fd, name, (enum existing)r, &st, err);
        if (r < 0)
                return r;
        return e->type == TAR_FILE ? add_file(t, parent_fd, name, e, err)
                                   : add_node(parent_fd, name, e, err);
}

/* ".wh.<name>", ".wh..wh..opq"; the rest of ".wh..wh." is what AUFS kept for itself. */
static int add_marker(struct layer_tree *t, const char *parent, int parent_fd, const char *hidden,
                      struct err *err)
{
        if (streq(hidden, ".wh..opq")) {
                int r = 0;

                if (!*parent)
                        t->result.root_is_opaque = true;
                else
                        r = make_opaque(t, parent_fd, ".");
                return r < 0 ? err_sys(err, r, "make directory opaque") : 0;
        }
        if (startswith(hidden, ".wh."))
                return 0;
        if (!*hidden || streq(hidden, ".") || streq(hidden, ".."))
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT, "whiteout of no name");
        return add_whiteout(t, parent_fd, hidden, err);
}

static int begin(struct layer_tree *t, const struct tar_entry *e, struct err *err)
{
        char parent[TAR_PATH_MAX + 1];
        struct timespec times[2];
        _cleanup_close_ int parent_fd = -1;
        const char *name, *hidden;
        int r = layer_path_normalize(e->name, t->path, err);

        if (r < 0)
                return r;
        if (!*t->path)
                return e->type == TAR_DIRECTORY ? set_metadata(t->options.root_fd, e, err)
                                                : err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                                               "the root can only be a directory");
        if (startswith(t->path, ".wh..wh.") && strchr(t->path, '/'))
                return 0; /* below AUFS's own folders */
        r = count_inode(t, err);
        if (r < 0)
                return r;
        memcpy(parent, t->path, sizeof parent);
        name = layer_path_split(parent);
        parent_fd = open_parent(t, parent, err);
        if (parent_fd < 0)
                return parent_fd;
        r = get_times(parent_fd, times, err);
        if (r < 0)
                return r;
        hidden = startswith(name, ".wh.");
        r = hidden ? add_marker(t, parent, parent_fd, hidden, err)
                   : add_entry(t, parent_fd, name, e, err);
        return r < 0 ? r : put_times(parent_fd, times, err);
}

int layer_tree_begin(struct layer_tree *t, const struct tar_entry *e, struct err *err)
{
        int r = begin(t, e, err);

        return r < 0 ? err_wrap(err, r, "entry '%s'", e->name) : 0;
}

int layer_tree_data(struct layer_tree *t, const void *data, size_t n, struct err *err)
{
        int r = 0;

        if (t->file_fd < 0)
                return 0; /* of a whiteout: nobody looks at it */
        r = fs_write_all(t->file_fd, data, n);
        t->unchecked_bytes += n;
        if (r < 0)
                return err_wrap(err, err_sys(err, r, "write"), "entry '%s'", t->path);
        return check_space(t, err);
}

int layer_tree_end(struct layer_tree *t, const struct tar_entry *e, struct err *err)
{
        int r;

        if (t->file_fd < 0)
                return 0;
        r = set_metadata(t->file_fd, e, err);
        t->file_fd = safe_close(t->file_fd);
        return r < 0 ? err_wrap(err, r, "entry '%s'", e->name) : 0;
}
