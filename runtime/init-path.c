/*
 * Paths of a container's: resolved from a handle on its root, never leaving it, whatever links a
 * tenant put there or moves about meanwhile.
 */
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "runtime/init.h"
#include "runtime/shim-sys.h"

enum { LINKS_MAX = 40 };

static uint64_t now_usec(void)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

int path_open(int root, const char *path, int flags, unsigned how)
{
        struct open_how open_how = {
                .flags = (uint64_t)(flags | O_CLOEXEC),
                .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS |
                           (how & PATH_NO_LINKS ? RESOLVE_NO_SYMLINKS : 0),
        };
        uint64_t deadline = 0;

        for (;;) {
                int fd = sys_openat2(root, path, &open_how);

                if (fd != -EAGAIN)
                        return fd;
                /* somebody renames underneath; 0.8 ms is the longest runc's developers saw */
                if (deadline == 0)
                        deadline = now_usec() + 5000;
                else if (now_usec() > deadline)
                        return -EAGAIN;
        }
}

/* Makes @name below @parent; an existing one is somebody else's, which the caller looks at. */
static int make_one(int parent, const char *name, bool is_directory)
{
        int fd;

        if (is_directory)
                return mkdirat(parent, name, 0755) < 0 ? -errno : 0;
        fd = openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
        if (fd < 0)
                return -errno;
        close(fd);
        return 0;
}

/*
 * A link that leads nowhere yet: its target is what is to be made (/etc/resolv.conf ->
 * ../run/systemd/resolve/stub-resolv.conf). Puts the target in place of the link into @path, of
 * which [@start, @end) is the link's name.
 */
static int splice_link(int parent, char *path, size_t start, size_t end)
{
        char target[PATH_MAX], rest[PATH_MAX];
        size_t rest_len = strlen(path + end);
        char saved = path[end];
        ssize_t n;

        path[end] = '\0';
        n = readlinkat(parent, path + start, target, sizeof target - 1);
        path[end] = saved;
        if (n < 0)
                return errno == EINVAL ? -EEXIST : -errno;
        if (n == 0)
                return -ENOENT;
        if (target[0] == '/')
                start = 0;
        if (start + (size_t)n + rest_len >= PATH_MAX)
                return -ENAMETOOLONG;
        memcpy(rest, path + end, rest_len + 1);
        memcpy(path + start, target, (size_t)n);
        memcpy(path + start + n, rest, rest_len + 1);
        return 0;
}

/* The first component of @path from @at on: [*start, *end). false: there is none. */
static bool next_component(const char *path, size_t at, size_t *start, size_t *end)
{
        while (path[at] == '/')
                at++;
        *start = at;
        while (path[at] && path[at] != '/')
                at++;
        *end = at;
        return *end > *start;
}

static bool is_last(const char *path, size_t end)
{
        return path[end + strspn(path + end, "/")] == '\0';
}

/*
 * One walk down @path, making what is missing below handles that are held. 1: a link was spliced
 * into @path, walk again.
 */
static int walk_and_make(int root, char *path, bool is_directory, unsigned how, int *ret)
{
        _cleanup_close_ int parent = -1;
        size_t start, end, at = 0;

        parent = path_open(root, "/", O_PATH | O_DIRECTORY, 0);
        if (parent < 0)
                return parent;
        while (next_component(path, at, &start, &end)) {
                bool directory = is_directory || !is_last(path, end);
                char saved = path[end];
                int next, r = 0;

                path[end] = '\0';
                /* from the root again: ".." and links mean what they mean to the container */
                next = path_open(root, path, O_PATH, how);
                if (next == -ENOENT) {
                        r = make_one(parent, path + start, directory);
                        if (r == 0)
                                next = openat(parent, path + start,
                                              O_PATH | O_NOFOLLOW | O_CLOEXEC);
                        if (r == 0 && next < 0)
                                next = -errno;
                }
                path[end] = saved;
                if (r == -EEXIST && !(how & PATH_NO_LINKS)) {
                        r = splice_link(parent, path, start, end);
                        return r < 0 ? r : 1;
                }
                if (r < 0 || next < 0)
                        return r < 0 ? r : next;
                safe_close(parent);
                parent = next;
                at = end;
        }
        *ret = TAKE_FD(parent);
        return 0;
}

static int check_kind(int fd, bool is_directory)
{
        struct stat st;

        if (fstat(fd, &st) < 0)
                return -errno;
        if (S_ISLNK(st.st_mode))
                return -ELOOP; /* it came in between */
        if (is_directory != (S_ISDIR(st.st_mode) != 0))
                return is_directory ? -ENOTDIR : -EISDIR;
        return 0;
}

int path_make_target(int root, const char *path, bool is_directory, unsigned how)
{
        _cleanup_close_ int fd = path_open(root, path, O_PATH, how);
        char copy[PATH_MAX];
        int r;

        if (fd == -ENOENT) {
                if (strlen(path) >= sizeof copy)
                        return -ENAMETOOLONG;
                memcpy(copy, path, strlen(path) + 1);
                r = 1;
                for (int i = 0; r == 1; i++)
                        r = i < LINKS_MAX ? walk_and_make(root, copy, is_directory, how, &fd)
                                          : -ELOOP;
                if (r < 0)
                        return r;
        }
        if (fd < 0)
                return fd;
        r = check_kind(fd, is_directory);
        return r < 0 ? r : TAKE_FD(fd);
}

int path_make_parent(int root, const char *path, const char **ret_name)
{
        const char *slash = strrchr(path, '/');
        char parent[PATH_MAX];
        size_t n = slash ? (size_t)(slash - path) : 0;

        if (n >= sizeof parent - 1)
                return -ENAMETOOLONG;
        *ret_name = slash ? slash + 1 : path;
        if (!**ret_name || strcmp(*ret_name, ".") == 0 || strcmp(*ret_name, "..") == 0)
                return -EINVAL;
        parent[0] = '/';
        memcpy(parent + 1, path, n);
        parent[n + 1] = '\0';
        return path_make_target(root, parent, true, 0);
}

int path_clean(const char *path, char *buf, size_t size)
{
        size_t start, end, at = 0, n = 0;

        while (next_component(path, at, &start, &end)) {
                at = end;
                if (end - start == 1 && path[start] == '.')
                        continue;
                if (n + 1 + (end - start) >= size)
                        return -ENAMETOOLONG;
                buf[n++] = '/';
                memcpy(buf + n, path + start, end - start);
                n += end - start;
        }
        if (n == 0)
                buf[n++] = '/';
        buf[n] = '\0';
        return 0;
}
