#include "kubelet/volume-block.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/text.h"

/* The file that the device's node is bound to; one that a device lies on already is kept, if it is
 * the same. */
static int bind_device(int device_fd, int dir_fd, const char *name)
{
        _cleanup_close_ int tree = -1, target = -1;
        struct stat device, there;
        char path[32];

        target = openat(dir_fd, name, O_RDONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK,
                        0600);
        if (target < 0 || fstat(target, &there) < 0 || fstat(device_fd, &device) < 0)
                return -errno;
        if (S_ISBLK(there.st_mode) && there.st_rdev == device.st_rdev)
                return 0;
        if (S_ISBLK(there.st_mode) && umount2(fs_fd_path(target, path), MNT_DETACH) < 0)
                return -errno;
        safe_close(target);
        target = openat(dir_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        tree = open_tree(device_fd, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
        if (target < 0 || tree < 0 ||
            move_mount(tree, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
                return -errno;
        return 0;
}

/* Replaces a link to another device. */
static int link_device(const char *device, int dir_fd, const char *name)
{
        char have[PATH_MAX];
        ssize_t n = readlinkat(dir_fd, name, have, sizeof have - 1);

        if (n >= 0 && (size_t)n == strlen(device) && memcmp(have, device, (size_t)n) == 0)
                return 0;
        if (n >= 0 && unlinkat(dir_fd, name, 0) < 0)
                return -errno;
        return symlinkat(device, dir_fd, name) < 0 ? -errno : 0;
}

static int find_device(const struct block_map *m, char path[static PATH_MAX],
                       struct volume_child_answer *answer)
{
        int fd = open(m->device, (m->read_only ? O_RDONLY : O_RDWR) | O_NONBLOCK | O_CLOEXEC);
        struct stat st;
        char link[32];
        ssize_t n;

        if (fd < 0 && (errno == EROFS || errno == EACCES))
                fd = open(m->device, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        if (fd < 0) {
                volume_child_fail(answer, -errno, "open device '%s'", m->device);
                return -1;
        }
        n = fstat(fd, &st) < 0 ? -1 : readlink(fs_fd_path(fd, link), path, PATH_MAX - 1);
        if (n < 0 || !S_ISBLK(st.st_mode)) {
                answer->r = -ENOTBLK;
                snprintf(answer->text, sizeof answer->text, "'%s' is not a block device",
                         m->device);
                safe_close(fd);
                return -1;
        }
        path[n] = '\0';
        return fd;
}

void block_map_make(const void *arg, struct volume_child_answer *answer)
{
        const struct block_map *m = arg;
        _cleanup_close_ int map_fd = -1, link_fd = -1, node_fd = -1;
        _cleanup_err_ struct err err = { 0 };
        char path[PATH_MAX];
        int fd = find_device(m, path, answer), r;

        if (fd < 0)
                return;
        map_fd = fs_open_dir(m->map_dir, 0750, &err);
        link_fd = map_fd < 0 ? -1 : fs_open_dir(m->link_dir, 0750, &err);
        node_fd = open(path, O_PATH | O_CLOEXEC);
        if (map_fd < 0 || link_fd < 0 || node_fd < 0) {
                volume_child_fail(answer, -EIO, "%s", err.message ? err.message : path);
                safe_close(fd);
                return;
        }
        r = bind_device(node_fd, map_fd, m->pod_uid);
        if (r < 0)
                volume_child_fail(answer, r, "bind '%s' on '%s/%s'", path, m->map_dir, m->pod_uid);
        if (r == 0) {
                r = link_device(path, link_fd, m->link);
                if (r < 0)
                        volume_child_fail(answer, r, "link '%s/%s'", m->link_dir, m->link);
        }
        if (r < 0) {
                safe_close(fd);
                return;
        }
        answer->fd = fd;
        snprintf(answer->text, sizeof answer->text, "%s", path);
}

int block_map_remove(const struct block_map *m, struct err *err)
{
        _cleanup_free_ char *file = text_printf("%s/%s", m->map_dir, m->pod_uid),
                            *link = text_printf("%s/%s", m->link_dir, m->link);

        if (!file || !link)
                return err_sys(err, -ENOMEM, "unmap device");
        while (umount2(file, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
                ;
        if (errno != EINVAL && errno != ENOENT)
                return err_sys(err, -errno, "unmount '%s'", file);
        if (unlink(file) < 0 && errno != ENOENT)
                return err_sys(err, -errno, "remove '%s'", file);
        if (unlink(link) < 0 && errno != ENOENT)
                return err_sys(err, -errno, "remove '%s'", link);
        if (rmdir(m->map_dir) < 0 && errno != ENOENT && errno != ENOTEMPTY)
                return err_sys(err, -errno, "remove '%s'", m->map_dir);
        return 0;
}
