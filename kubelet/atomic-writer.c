#include "kubelet/atomic-writer.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/fs.h"
#include "base/text.h"
#include "base/usec.h"

#define DATA_LINK      "..data"
#define DATA_TEMPORARY "..data_tmp"
#define PATH_TEXT_MAX  4096
#define NAME_TEXT_MAX  255

void payload_done(struct payload *p)
{
        for (size_t i = 0; i < p->n_files; i++) {
                free(p->files[i].path);
                if (p->files[i].data) {
                        explicit_bzero(p->files[i].data, p->files[i].n);
                        free(p->files[i].data);
                }
        }
        free(p->files);
        *p = (struct payload){ 0 };
}

/* Cleans "a//./b" to "a/b"; refuses what could leave the volume or clash with our own names. */
static int clean_path(const char *path, char **ret, struct err *err)
{
        _cleanup_strv_ char **parts = NULL;
        int r = strv_split(path, "/", &parts);

        if (r < 0)
                return r;
        if (!parts || path[0] == '/')
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                    "invalid path: '%s': must be relative and not empty", path);
        if (strlen(path) > PATH_TEXT_MAX)
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                    "invalid path: must be at most %d characters", PATH_TEXT_MAX);
        for (char **p = parts; *p;) {
                if (streq(*p, "..") || (p == parts && startswith(*p, "..")))
                        return err_set_kind(
                                err, -EINVAL, ERR_BAD_INPUT,
                                "invalid path: '%s': must not contain or start with '..'", path);
                if (strlen(*p) > NAME_TEXT_MAX)
                        return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                            "invalid path: each name must be at most %d characters",
                                            NAME_TEXT_MAX);
                if (streq(*p, ".")) {
                        free(*p);
                        memmove(p, p + 1, (strv_len(p + 1) + 1) * sizeof *p);
                } else {
                        p++;
                }
        }
        if (!parts[0])
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT, "invalid path: '%s'", path);
        *ret = strv_join(parts, "/");
        return *ret ? 0 : -ENOMEM;
}

int payload_add(struct payload *p, const char *path, const void *data, size_t n, mode_t mode,
                struct err *err)
{
        _cleanup_free_ char *clean = NULL;
        struct payload_file *grown, *f = NULL;
        void *copy;
        int r = clean_path(path, &clean, err);

        if (r < 0)
                return r;
        copy = malloc(n ? n : 1);
        if (!copy)
                return err_sys(err, -ENOMEM, "keep file '%s'", path);
        if (n)
                memcpy(copy, data, n);
        for (size_t i = 0; i < p->n_files && !f; i++)
                if (streq(p->files[i].path, clean))
                        f = &p->files[i];
        if (f) {
                free(f->data);
        } else {
                grown = realloc(p->files, (p->n_files + 1) * sizeof *grown);
                if (!grown) {
                        free(copy);
                        return err_sys(err, -ENOMEM, "keep file '%s'", path);
                }
                p->files = grown;
                f = &p->files[p->n_files++];
                *f = (struct payload_file){ .path = TAKE_PTR(clean) };
        }
        f->data = copy;
        f->n = n;
        f->mode = mode;
        return 0;
}

/* Top-level name of a payload path; owned. */
static char *top_name(const char *path)
{
        return strndup(path, strcspn(path, "/"));
}

static bool is_top_name(const struct payload *p, const char *name)
{
        size_t n = strlen(name);

        for (size_t i = 0; i < p->n_files; i++)
                if (strncmp(p->files[i].path, name, n) == 0 &&
                    (p->files[i].path[n] == '\0' || p->files[i].path[n] == '/'))
                        return true;
        return false;
}

static bool same_content(int data_fd, const struct payload_file *f)
{
        _cleanup_close_ int fd = fs_open_beneath(data_fd, f->path, O_RDONLY, 0);
        _cleanup_free_ char *old = NULL;
        size_t n;

        return fd >= 0 && fs_read_fd(fd, f->n, &old, &n) == 0 && n == f->n &&
               (n == 0 || memcmp(old, f->data, n) == 0);
}

static size_t count_files(int dir_fd)
{
        _cleanup_strv_ char **names = NULL;
        size_t n = 0;

        if (fs_list_at(dir_fd, ".", &names) < 0)
                return 0;
        STRV_FOREACH (name, names) {
                struct stat st;

                if (fstatat(dir_fd, *name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                        continue;
                if (S_ISDIR(st.st_mode)) {
                        _cleanup_close_ int fd = fs_open_beneath(dir_fd, *name,
                                                                 O_RDONLY | O_DIRECTORY, 0);

                        n += fd >= 0 ? count_files(fd) : 0;
                } else {
                        n++;
                }
        }
        return n;
}

/* Does the folder behind ..data hold the payload and nothing else? */
static bool is_current(int dir_fd, const char *data_name, const struct payload *p)
{
        _cleanup_close_ int data_fd = fs_open_beneath(dir_fd, data_name, O_RDONLY | O_DIRECTORY, 0);

        if (data_fd < 0 || count_files(data_fd) != p->n_files)
                return false;
        for (size_t i = 0; i < p->n_files; i++)
                if (!same_content(data_fd, &p->files[i]))
                        return false;
        return true;
}

static int write_file(int data_fd, const struct payload_file *f,
                      const struct atomic_writer_owner *owner, struct err *err)
{
        _cleanup_free_ char *folder = strdup(f->path);
        char *slash = folder ? strrchr(folder, '/') : NULL;
        mode_t mode = f->mode;
        int fd, r;

        if (!folder)
                return err_sys(err, -ENOMEM, "write '%s'", f->path);
        if (slash) {
                *slash = '\0';
                r = fs_mkdir_p_at(data_fd, folder, 0755);
                if (r < 0)
                        return err_sys(err, r, "make folder '%s'", folder);
        }
        fd = fs_open_beneath(data_fd, f->path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode);
        if (fd < 0)
                return err_sys(err, fd, "create '%s'", f->path);
        r = fs_write_all(fd, f->data, f->n);
        if (r == 0 && fchmod(fd, mode) < 0)
                r = -errno;
        if (r == 0 && f->owner_only && owner->fs_user >= 0 &&
            fchown(fd, (uid_t)owner->fs_user, (gid_t)-1) < 0)
                r = -errno;
        safe_close(fd);
        return r < 0 ? err_sys(err, r, "write '%s'", f->path) : 0;
}

/* A fresh folder named by the time, mode 0755; its name into @name. */
static int make_data_dir(int dir_fd, char name[static 64], struct err *err)
{
        usec_t now = now_realtime();
        time_t sec = (time_t)(now / USEC_PER_SEC);
        struct tm tm;
        size_t n;

        gmtime_r(&sec, &tm);
        n = strftime(name, 64, "..%Y_%m_%d_%H_%M_%S", &tm);
        for (int i = 0; i < 100; i++) {
                snprintf(name + n, 64 - n, ".%09" PRIu32, random_u32() % 1000000000);
                if (mkdirat(dir_fd, name, 0755) == 0)
                        return fchmodat(dir_fd, name, 0755, 0) < 0
                                       ? err_sys(err, -errno, "chmod '%s'", name)
                                       : 0;
                if (errno != EEXIST)
                        break;
        }
        return err_sys(err, -errno, "make folder '%s'", name);
}

static int fill_data_dir(int dir_fd, const char *name, const struct payload *p,
                         const struct atomic_writer_owner *owner, struct err *err)
{
        _cleanup_close_ int data_fd = fs_open_beneath(dir_fd, name, O_RDONLY | O_DIRECTORY, 0);

        if (data_fd < 0)
                return err_sys(err, data_fd, "open folder '%s'", name);
        for (size_t i = 0; i < p->n_files; i++) {
                int r = write_file(data_fd, &p->files[i], owner, err);

                if (r < 0)
                        return r;
        }
        return 0;
}

static int make_links(int dir_fd, const struct payload *p, struct err *err)
{
        for (size_t i = 0; i < p->n_files; i++) {
                _cleanup_free_ char *name = top_name(p->files[i].path), *target = NULL;

                target = name ? text_printf(DATA_LINK "/%s", name) : NULL;
                if (!target)
                        return err_sys(err, -ENOMEM, "link '%s'", p->files[i].path);
                if (symlinkat(target, dir_fd, name) < 0 && errno != EEXIST)
                        return err_sys(err, -errno, "link '%s'", name);
        }
        return 0;
}

static void remove_stale(int dir_fd, const struct payload *p, const char *current)
{
        _cleanup_strv_ char **names = NULL;

        if (fs_list_at(dir_fd, ".", &names) < 0)
                return;
        STRV_FOREACH (name, names) {
                bool ours = startswith(*name, "..") != NULL;

                if (ours ? streq(*name, DATA_LINK) || streq(*name, current) : is_top_name(p, *name))
                        continue;
                fs_remove_tree_at(dir_fd, *name);
        }
}

/* The target of ..data, or "". */
static void read_data_link(int dir_fd, char name[static 256])
{
        ssize_t n = readlinkat(dir_fd, DATA_LINK, name, 255);

        name[n > 0 ? n : 0] = '\0';
        if (strchr(name, '/'))
                name[0] = '\0';
}

int atomic_writer_write(int dir_fd, const struct payload *p,
                        const struct atomic_writer_owner *owner, struct err *err)
{
        char old[256], name[64];
        int r;

        read_data_link(dir_fd, old);
        if (old[0] && is_current(dir_fd, old, p)) {
                r = make_links(dir_fd, p, err);
                return r < 0 ? r : 0;
        }
        r = make_data_dir(dir_fd, name, err);
        if (r < 0)
                return r;
        r = fill_data_dir(dir_fd, name, p, owner, err);
        if (r == 0 && owner->fs_group >= 0)
                volume_set_group(dir_fd, (gid_t)owner->fs_group, true);
        if (r == 0) {
                unlinkat(dir_fd, DATA_TEMPORARY, 0);
                if (symlinkat(name, dir_fd, DATA_TEMPORARY) < 0 ||
                    renameat(dir_fd, DATA_TEMPORARY, dir_fd, DATA_LINK) < 0)
                        r = err_sys(err, -errno, "switch to the new content");
        }
        if (r < 0) {
                fs_remove_tree_at(dir_fd, name);
                return r;
        }
        r = make_links(dir_fd, p, err);
        if (r < 0)
                return r;
        remove_stale(dir_fd, p, name);
        return 1;
}

static void set_group_of(int parent_fd, const char *name, const struct stat *st, gid_t group,
                         bool read_only)
{
        mode_t mode = st->st_mode & 07777;

        if (S_ISLNK(st->st_mode)) {
                if (fchownat(parent_fd, name, (uid_t)-1, group, AT_SYMLINK_NOFOLLOW) < 0)
                        return;
                return;
        }
        mode |= read_only ? 0440 : 0660;
        if (S_ISDIR(st->st_mode))
                mode |= 0110 | S_ISGID;
        if (fchownat(parent_fd, name, (uid_t)-1, group, AT_SYMLINK_NOFOLLOW) == 0) {
                _cleanup_close_ int fd = openat(parent_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
                char path[32];

                /* by the handle: the entry may have become a link meanwhile */
                if (fd >= 0 && chmod(fs_fd_path(fd, path), mode) < 0)
                        return;
        }
}

static void set_group_below(int fd, gid_t group, bool read_only, int depth)
{
        _cleanup_strv_ char **names = NULL;

        if (depth > 64 || fs_list_at(fd, ".", &names) < 0)
                return;
        STRV_FOREACH (name, names) {
                struct stat st;

                if (fstatat(fd, *name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                        continue;
                if (S_ISDIR(st.st_mode)) {
                        _cleanup_close_ int child = fs_open_beneath(fd, *name,
                                                                    O_RDONLY | O_DIRECTORY, 0);

                        if (child >= 0)
                                set_group_below(child, group, read_only, depth + 1);
                }
                set_group_of(fd, *name, &st, group, read_only);
        }
}

void volume_set_group(int dir_fd, gid_t group, bool read_only)
{
        struct stat st;

        set_group_below(dir_fd, group, read_only, 0);
        if (fstat(dir_fd, &st) == 0)
                set_group_of(dir_fd, ".", &st, group, read_only);
}
