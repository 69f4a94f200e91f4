#include "kubelet/volume-sub-path.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/text.h"

#define MOUNTINFO_MAX (64 << 20)

int sub_path_validate(const char *sub_path, struct err *err)
{
        _cleanup_strv_ char **parts = NULL;

        if (sub_path[0] == '/')
                return err_set_kind(err, -EINVAL, ERR_CONTAINER_CONFIG,
                                    "error SubPath `%s` must not be an absolute path", sub_path);
        if (strv_split(sub_path, "/", &parts) < 0)
                return err_sys(err, -ENOMEM, "read subPath");
        if (strv_contains(parts, ".."))
                return err_set_kind(err, -EINVAL, ERR_CONTAINER_CONFIG,
                                    "unable to provision SubPath `%s`: must not contain '..'",
                                    sub_path);
        return 0;
}

/* Makes what is missing of @sub_path, one folder at a time below held handles, with the root's
 * mode. */
static int make_missing(int root_fd, const char *sub_path)
{
        _cleanup_strv_ char **parts = NULL;
        _cleanup_close_ int at = fcntl(root_fd, F_DUPFD_CLOEXEC, 3);
        struct strbuf done = { 0 };
        struct stat st;
        int r = strv_split(sub_path, "/", &parts);

        if (r < 0)
                return r;
        if (at < 0 || fstat(root_fd, &st) < 0)
                return -errno;
        STRV_FOREACH (part, parts) {
                int next;

                strbuf_addf(&done, "%s%s", done.len ? "/" : "", *part);
                if (done.failed) {
                        r = -ENOMEM;
                        break;
                }
                next = fs_open_inside(root_fd, done.data, O_PATH, 0);
                if (next == -ENOENT) {
                        if (mkdirat(at, *part, st.st_mode & 07777) < 0 && errno != EEXIST) {
                                r = -errno;
                                break;
                        }
                        next = openat(at, *part, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
                        if (next >= 0) {
                                char path[32];

                                /* the umask must not show */
                                if (chmod(fs_fd_path(next, path), st.st_mode & 07777) < 0)
                                        r = -errno;
                        } else {
                                next = -errno;
                        }
                }
                if (next < 0)
                        r = next;
                if (r < 0)
                        break;
                safe_close(at);
                at = next;
        }
        strbuf_done(&done);
        return r;
}

/* The folder or empty file that the mount goes on. */
static int make_place(int root_fd, const char *place, bool is_dir)
{
        _cleanup_free_ char *parent = strdup(place);
        char *slash = parent ? strrchr(parent, '/') : NULL;
        int fd, r;

        if (!slash)
                return -ENOMEM;
        if (is_dir) {
                r = fs_mkdir_p_at(root_fd, place, 0750);
                return r < 0 ? r : fs_open_beneath(root_fd, place, O_PATH, 0);
        }
        *slash = '\0';
        r = fs_mkdir_p_at(root_fd, parent, 0750);
        if (r < 0)
                return r;
        fd = fs_open_beneath(root_fd, place, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0640);
        if (fd >= 0)
                safe_close(fd);
        else if (fd != -EEXIST)
                return fd;
        return fs_open_beneath(root_fd, place, O_PATH, 0);
}

static bool same_inode(int a, int b)
{
        struct stat x, y;

        return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev &&
               x.st_ino == y.st_ino;
}

/* Binds the handle @source_fd on @place, in the place of an older mount there. */
static int bind_handle(int source_fd, int root_fd, const char *place)
{
        _cleanup_close_ int tree = -1, target = -1;
        struct stat st;
        char path[32];

        if (fstat(source_fd, &st) < 0)
                return -errno;
        target = make_place(root_fd, place, S_ISDIR(st.st_mode));
        if (target < 0)
                return target;
        if (same_inode(target, source_fd))
                return 0; /* mounted before, and still the same */
        while (umount2(fs_fd_path(target, path), MNT_DETACH) == 0) {
                safe_close(target);
                target = fs_open_beneath(root_fd, place, O_PATH, 0);
                if (target < 0)
                        return target;
        }
        tree = open_tree(source_fd, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
        if (tree < 0)
                return -errno;
        return move_mount(tree, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) <
                               0
                       ? -errno
                       : 0;
}

int sub_path_bind(const char *volume_path, const char *sub_path, int root_fd, const char *place,
                  const char *volume, const char *container, struct err *err)
{
        _cleanup_close_ int volume_fd = open(volume_path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        _cleanup_close_ int source_fd = -1;
        int r = sub_path_validate(sub_path, err);

        if (r < 0)
                return r;
        if (volume_fd < 0)
                r = -errno;
        else
                r = make_missing(volume_fd, sub_path);
        if (r < 0) {
                log_warn(r, "Failed to make subPath '%s' of volume '%s'", sub_path, volume);
                return err_set_kind(
                        err, r, ERR_CONTAINER_CONFIG,
                        "failed to create subPath directory for volumeMount \"%s\" of container \"%s\"",
                        volume, container);
        }
        source_fd = fs_open_inside(volume_fd, sub_path, O_PATH, 0);
        r = source_fd < 0 ? source_fd : bind_handle(source_fd, root_fd, place);
        if (r < 0) {
                log_warn(r, "Failed to bind subPath '%s' of volume '%s'", sub_path, volume);
                return err_set_kind(
                        err, r, ERR_CONTAINER_CONFIG,
                        "failed to prepare subPath for volumeMount \"%s\" of container \"%s\"",
                        volume, container);
        }
        return 0;
}

/* Undoes mountinfo's octal escapes in place. */
static void unescape(char *s)
{
        char *out = s;

        for (; *s; s++) {
                if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' &&
                    s[3] >= '0' && s[3] <= '7') {
                        *out++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
                        s += 3;
                } else {
                        *out++ = *s;
                }
        }
        *out = '\0';
}

/* Mount points in the order of the table, unescaped; owned. */
static int read_mount_points(char ***ret, struct err *err)
{
        _cleanup_close_ int fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
        _cleanup_strv_ char **points = NULL;
        _cleanup_free_ char *text = NULL;
        char *state = NULL;
        int r = fd < 0 ? -errno : fs_read_fd(fd, MOUNTINFO_MAX, &text, NULL);

        if (r < 0)
                return err_sys(err, r, "read the mount table");
        for (char *line = strtok_r(text, "\n", &state); line; line = strtok_r(NULL, "\n", &state)) {
                char *field = line;

                for (int i = 0; field && i < 4; i++) {
                        field = strchr(field, ' ');
                        field = field ? field + 1 : NULL;
                }
                if (!field)
                        continue;
                field[strcspn(field, " ")] = '\0';
                unescape(field);
                if (strv_append(&points, field) < 0)
                        return err_sys(err, -ENOMEM, "read the mount table");
        }
        *ret = TAKE_PTR(points);
        return 0;
}

int mount_is_at(const char *path, struct err *err)
{
        _cleanup_strv_ char **points = NULL;
        int r = read_mount_points(&points, err);

        return r < 0 ? r : strv_contains(points, path);
}

int mounts_detach_below(const char *path, struct err *err)
{
        _cleanup_strv_ char **points = NULL;
        size_t n = strlen(path);
        int r = read_mount_points(&points, err);

        if (r < 0)
                return r;
        /* later lines lie on or below earlier ones */
        for (size_t i = strv_len(points); i > 0; i--) {
                const char *p = points[i - 1];

                if (strncmp(p, path, n) != 0 || (p[n] != '/' && p[n] != '\0'))
                        continue;
                if (umount2(p, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 && errno != EINVAL &&
                    errno != ENOENT)
                        return err_sys(err, -errno, "unmount '%s'", p);
        }
        return 0;
}
