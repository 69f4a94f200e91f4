/*
 * An archive may name "tmp/x" and leave "tmp" out. In an overlay the directory of the upper layer
 * decides what "tmp" is like, so it must be made like the one below it; the layer then belongs to
 * the layers it was adopted from, and is not shared with other images by its digest alone.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "base/fs.h"
#include "base/text.h"
#include "runtime/layer-tree.h"

enum { NAMES_MAX = 65536 };

enum below { BELOW_ABSENT, BELOW_FOUND, BELOW_HIDDEN };

static bool is_opaque(int dir_fd)
{
        char value[2];

        return fgetxattr(dir_fd, "trusted.overlay.opaque", value, sizeof value) == 1 &&
               value[0] == 'y';
}

/*
 * One layer's word on @path: walks down from its root, since a whiteout or an opaque directory on
 * the way hides all that is further below. *ret_fd is the directory when it is found.
 */
static int look_below(int layer_fd, const char *path, int *ret_fd, bool *ret_opaque)
{
        char prefix[TAR_PATH_MAX + 1];

        for (size_t n = 0;; n++) {
                _cleanup_close_ int fd = -1;
                struct stat st;

                if (path[n] != '/' && path[n] != '\0')
                        continue;
                memcpy(prefix, path, n);
                prefix[n] = '\0';
                fd = fs_open_beneath(layer_fd, prefix, O_PATH | O_NOFOLLOW, 0);
                if (fd == -ENOENT)
                        return BELOW_ABSENT;
                if (fd < 0)
                        return fd == -ELOOP || fd == -ENOTDIR ? BELOW_HIDDEN : fd;
                if (fstat(fd, &st) < 0)
                        return -errno;
                if (!S_ISDIR(st.st_mode))
                        return BELOW_HIDDEN; /* whiteout, link, file: the name means another thing
                                              */
                safe_close(fd);
                fd = fs_open_beneath(layer_fd, prefix, O_RDONLY | O_DIRECTORY, 0);
                if (fd < 0)
                        return fd;
                *ret_opaque |= is_opaque(fd);
                if (path[n] == '\0') {
                        *ret_fd = TAKE_FD(fd);
                        return BELOW_FOUND;
                }
        }
}

static int copy_xattrs(int from_fd, int to_fd)
{
        char names[NAMES_MAX], value[TAR_XATTR_SIZE_MAX];
        ssize_t n = flistxattr(from_fd, names, sizeof names);

        for (char *name = names; n > 0 && name < names + n; name += strlen(name) + 1) {
                ssize_t size;

                if (!startswith(name, "user."))
                        continue;
                size = fgetxattr(from_fd, name, value, sizeof value);
                if (size < 0 || fsetxattr(to_fd, name, value, (size_t)size, 0) < 0)
                        return -errno;
        }
        return n < 0 && errno != EOPNOTSUPP ? -errno : 0;
}

static int adopt_from(int from_fd, int to_fd)
{
        struct stat st;

        if (fstat(from_fd, &st) < 0 || fchown(to_fd, st.st_uid, st.st_gid) < 0 ||
            fchmod(to_fd, st.st_mode & 07777) < 0)
                return -errno;
        if (copy_xattrs(from_fd, to_fd) < 0)
                return -errno;
        return futimens(to_fd, (struct timespec[]){ st.st_atim, st.st_mtim }) < 0 ? -errno : 0;
}

static int adopt(int root_fd, const char *path, const int *lower_fds, size_t n_lower)
{
        _cleanup_close_ int fd = fs_open_beneath(root_fd, path, O_RDONLY | O_DIRECTORY, 0);
        struct stat st;

        if (fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP)
                return 0; /* a later entry took it away */
        if (fd < 0)
                return fd;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (st.st_uid != LAYER_IMPLIED_UID)
                return 0; /* a later entry named it */
        for (size_t i = 0; i < n_lower; i++) {
                _cleanup_close_ int from_fd = -1;
                bool opaque = false;
                int r = look_below(lower_fds[i], path, &from_fd, &opaque);

                if (r < 0)
                        return r;
                if (r == BELOW_FOUND)
                        return adopt_from(from_fd, fd);
                if (r == BELOW_HIDDEN || opaque)
                        break;
        }
        return fchown(fd, 0, 0) < 0 ? -errno : 0;
}

int layer_adopt_implied(int root_fd, int implied_fd, const int *lower_fds, size_t n_lower,
                        struct err *err)
{
        _cleanup_close_ int copy = fcntl(implied_fd, F_DUPFD_CLOEXEC, 3);
        _cleanup_fclose_ FILE *f = NULL;
        _cleanup_free_ char *path = NULL;
        size_t size = 0;
        ssize_t n;

        if (copy < 0 || lseek(copy, 0, SEEK_SET) < 0)
                return err_sys(err, -errno, "read the list of implied directories");
        f = fdopen(copy, "re");
        if (!f)
                return err_sys(err, -errno, "read the list of implied directories");
        TAKE_FD(copy);
        while ((n = getdelim(&path, &size, '\0', f)) > 0) {
                int r;

                if (n > TAR_PATH_MAX + 1 || path[n - 1] != '\0')
                        return err_set(err, -EINVAL, "the list of implied directories is damaged");
                r = adopt(root_fd, path, lower_fds, n_lower);
                if (r < 0)
                        return err_sys(err, r, "adopt directory '%s'", path);
        }
        return 0;
}
