#include "base/fs.h"

#include <dirent.h>
#include <errno.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/text.h"
#include "base/usec.h"

#define RENAME_RACE_USEC (5 * USEC_PER_MSEC)
#define REMOVE_DEPTH_MAX 16

static int open_resolved(int dir_fd, const char *path, uint64_t flags, mode_t mode,
                         uint64_t resolve)
{
        struct open_how how = {
                .flags = flags | O_CLOEXEC,
                .mode = flags & O_CREAT ? mode : 0,
                .resolve = resolve | RESOLVE_NO_MAGICLINKS,
        };
        usec_t deadline = 0;

        for (;;) {
                int fd = (int)syscall(SYS_openat2, dir_fd, path, &how, sizeof how);

                if (fd >= 0 || (errno != EAGAIN && errno != EINTR))
                        return fd >= 0 ? fd : -errno;
                if (deadline == 0)
                        deadline = now_monotonic() + RENAME_RACE_USEC;
                else if (now_monotonic() > deadline)
                        return -EAGAIN;
        }
}

int fs_open_in_root(int root_fd, const char *path, uint64_t flags, mode_t mode)
{
        return open_resolved(root_fd, path, flags, mode, RESOLVE_IN_ROOT);
}

int fs_open_inside(int dir_fd, const char *path, uint64_t flags, mode_t mode)
{
        return open_resolved(dir_fd, path, flags, mode, RESOLVE_BENEATH);
}

int fs_open_beneath(int dir_fd, const char *path, uint64_t flags, mode_t mode)
{
        return open_resolved(dir_fd, path, flags, mode, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
}

int fs_read_fd(int fd, size_t max, char **ret, size_t *ret_len)
{
        struct strbuf b = { 0 };
        char chunk[4096];

        for (;;) {
                ssize_t n = read(fd, chunk, sizeof chunk);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0) {
                        int r = -errno;

                        strbuf_done(&b);
                        return r;
                }
                if (n == 0)
                        break;
                if (b.len + (size_t)n > max) {
                        strbuf_done(&b);
                        return -EFBIG;
                }
                strbuf_add_n(&b, chunk, (size_t)n);
        }
        if (ret_len)
                *ret_len = b.len;
        *ret = strbuf_take(&b);
        return *ret ? 0 : -ENOMEM;
}

int fs_read_at(int dir_fd, const char *path, size_t max, char **ret, size_t *ret_len)
{
        _cleanup_close_ int fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        struct stat st;

        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode))
                return S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
        return fs_read_fd(fd, max, ret, ret_len);
}

int fs_read_line_at(int dir_fd, const char *path, char **ret)
{
        size_t n;
        int r = fs_read_at(dir_fd, path, 65536, ret, &n);

        if (r == 0 && n > 0 && (*ret)[n - 1] == '\n')
                (*ret)[n - 1] = '\0';
        return r;
}

int fs_write_all(int fd, const void *data, size_t n)
{
        const char *p = data;

        while (n > 0) {
                ssize_t k = write(fd, p, n);

                if (k < 0 && errno == EINTR)
                        continue;
                if (k < 0)
                        return -errno;
                p += k;
                n -= (size_t)k;
        }
        return 0;
}

int fs_replace_at(int dir_fd, const char *path, const void *data, size_t n, mode_t mode, bool sync)
{
        _cleanup_free_ char *temporary = text_printf("%s.new-%08x", path, random_u32());
        _cleanup_close_ int fd = -1;
        int r;

        if (!temporary)
                return -ENOMEM;
        fd = openat(dir_fd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
        if (fd < 0)
                return -errno;
        r = fs_write_all(fd, data, n);
        if (r == 0 && fchmod(fd, mode) < 0) /* the umask must not show */
                r = -errno;
        if (r == 0 && sync && fsync(fd) < 0)
                r = -errno;
        if (r == 0 && renameat(dir_fd, temporary, dir_fd, path) < 0)
                r = -errno;
        if (r < 0)
                unlinkat(dir_fd, temporary, 0);
        return r;
}

int fs_write_kernel_at(int dir_fd, const char *path, const char *value)
{
        _cleanup_close_ int fd = openat(dir_fd, path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
        size_t n = strlen(value);
        ssize_t k;

        if (fd < 0)
                return -errno;
        k = write(fd, value, n);
        if (k < 0)
                return -errno;
        return (size_t)k == n ? 0 : -EIO;
}

int fs_mkdir_p_at(int dir_fd, const char *path, mode_t mode)
{
        _cleanup_free_ char *copy = strdup(path);
        _cleanup_close_ int at = openat(dir_fd, path[0] == '/' ? "/" : ".",
                                        O_PATH | O_DIRECTORY | O_CLOEXEC);
        char *state = NULL;

        if (!copy)
                return -ENOMEM;
        if (at < 0)
                return -errno;
        for (char *name = strtok_r(copy, "/", &state); name; name = strtok_r(NULL, "/", &state)) {
                int next;

                if (streq(name, ".."))
                        return -EINVAL;
                next = openat(at, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
                if (next < 0 && errno == ENOENT) {
                        bool made = mkdirat(at, name, mode) == 0;

                        if (!made && errno != EEXIST)
                                return -errno;
                        next = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
                        if (next >= 0 && made && fchmod(next, mode) < 0) {
                                int r = -errno;

                                safe_close(next);
                                return r;
                        }
                }
                if (next < 0)
                        return -errno;
                safe_close(at);
                at = next;
        }
        return 0;
}

int fs_open_dir(const char *path, mode_t mode_if_made, struct err *err)
{
        int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (fd < 0 && errno == ENOENT && mode_if_made) {
                _cleanup_free_ char *copy = strdup(path);

                if (!copy)
                        return err_sys(err, -ENOMEM, "make directory '%s'", path);
                for (char *p = copy + 1; *p; p++) {
                        if (*p != '/')
                                continue;
                        *p = '\0';
                        if (mkdir(copy, 0755) < 0 && errno != EEXIST)
                                return err_sys(err, -errno, "make directory '%s'", copy);
                        *p = '/';
                }
                if (mkdir(copy, mode_if_made) < 0 && errno != EEXIST)
                        return err_sys(err, -errno, "make directory '%s'", path);
                fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        }
        return fd < 0 ? err_sys(err, -errno, "open directory '%s'", path) : fd;
}

/* Whether @fd is the root of a mount, and of which: 1, 0, negative errno. */
static int is_mount_point(int fd, uint64_t *ret_id)
{
        struct statx sx;

        if (statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &sx) < 0)
                return -errno;
        *ret_id = sx.stx_mnt_id;
        return (sx.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

struct removal {
        int top_fd; /* borrowed: the tree's root */
        uint64_t mount_id;
        bool moved; /* something came up into the root, which is to be read again */
};

/*
 * Whoever made the tree may have made it deeper than there are descriptors: what lies too deep
 * moves up into the tree's root, where it is not deep any more.
 */
static int move_up(struct removal *t, int dir_fd, const char *name)
{
        char fresh[32];

        snprintf(fresh, sizeof fresh, "..removed-%08x%08x", random_u32(), random_u32());
        if (renameat(dir_fd, name, t->top_fd, fresh) < 0)
                return -errno;
        t->moved = true;
        return 0;
}

/* Consumes @fd. */
static int remove_children(struct removal *t, int fd, unsigned depth)
{
        DIR *dir = fdopendir(fd);
        struct dirent *e;
        int r = 0;

        if (!dir) {
                r = -errno;
                safe_close(fd);
                return r;
        }
        while (r == 0 && (e = readdir(dir))) {
                uint64_t id;
                int child;

                if (streq(e->d_name, ".") || streq(e->d_name, ".."))
                        continue;
                if (unlinkat(dirfd(dir), e->d_name, 0) == 0 || errno == ENOENT)
                        continue;
                if (errno != EISDIR && errno != EPERM) {
                        r = -errno;
                        break;
                }
                if (depth == REMOVE_DEPTH_MAX) {
                        r = move_up(t, dirfd(dir), e->d_name);
                        continue;
                }
                child = openat(dirfd(dir), e->d_name,
                               O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
                if (child < 0) {
                        r = -errno;
                        break;
                }
                r = is_mount_point(child, &id);
                if (r > 0 || (r == 0 && id != t->mount_id))
                        r = -EBUSY;
                if (r < 0) {
                        safe_close(child);
                        break;
                }
                r = remove_children(t, child, depth + 1);
                if (r == 0 && unlinkat(dirfd(dir), e->d_name, AT_REMOVEDIR) < 0 && errno != ENOENT)
                        r = -errno;
        }
        closedir(dir);
        return r;
}

static int remove_all_children(int fd, uint64_t mount_id)
{
        struct removal t = { .top_fd = fd, .mount_id = mount_id };
        int r;

        do {
                int again = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

                t.moved = false;
                r = again < 0 ? -errno : remove_children(&t, again, 0);
        } while (r == 0 && t.moved);
        return r;
}

int fs_remove_tree_at(int dir_fd, const char *path)
{
        _cleanup_close_ int fd = -1;
        uint64_t mount_id;
        int r;

        if (unlinkat(dir_fd, path, 0) == 0 || errno == ENOENT)
                return 0;
        if (errno != EISDIR && errno != EPERM)
                return -errno;
        fd = openat(dir_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        r = is_mount_point(fd, &mount_id);
        if (r > 0)
                return -EBUSY;
        if (r == 0)
                r = remove_all_children(fd, mount_id);
        if (r == 0 && unlinkat(dir_fd, path, AT_REMOVEDIR) < 0 && errno != ENOENT)
                r = -errno;
        return r;
}

static int compare_names(const void *a, const void *b)
{
        return strcmp(*(char *const *)a, *(char *const *)b);
}

int fs_list_at(int dir_fd, const char *path, char ***ret)
{
        _cleanup_strv_ char **names = NULL;
        int fd = openat(dir_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        size_t n = 0, cap = 0;
        struct dirent *e;
        DIR *dir;

        if (fd < 0)
                return -errno;
        dir = fdopendir(fd);
        if (!dir) {
                int r = -errno;

                safe_close(fd);
                return r;
        }
        while ((e = readdir(dir))) {
                if (streq(e->d_name, ".") || streq(e->d_name, ".."))
                        continue;
                if (n + 2 > cap) {
                        char **grown = realloc(names, (cap = cap * 2 + 16) * sizeof *grown);

                        if (!grown)
                                break;
                        names = grown;
                }
                names[n] = strdup(e->d_name);
                if (!names[n])
                        break;
                names[++n] = NULL;
        }
        closedir(dir);
        if (e)
                return -ENOMEM;
        if (n)
                qsort(names, n, sizeof *names, compare_names);
        *ret = TAKE_PTR(names);
        return 0;
}

int fs_sealed_memfd(const char *name, const void *data, size_t n)
{
        _cleanup_close_ int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
        int r;

        if (fd < 0)
                return -errno;
        r = fs_write_all(fd, data, n);
        if (r < 0)
                return r;
        if (lseek(fd, 0, SEEK_SET) < 0 ||
            fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0)
                return -errno;
        return TAKE_FD(fd);
}

const char *fs_fd_path(int fd, char buf[static 32])
{
        snprintf(buf, 32, "/proc/self/fd/%d", fd);
        return buf;
}
