#include "kubelet/volume-empty-dir.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/text.h"
#include "kubelet/atomic-writer.h"

#define PLUGIN_DIR "kubernetes.io~empty-dir"

/* The sizes an emptyDir of medium Memory is held to; 0: none. */
static uint64_t memory_limit(const struct empty_dir *e)
{
        const struct pod *pod = e->pod;
        uint64_t limit = 0, sum = 0;
        bool all = pod->n_containers > 0;

        if (e->allocatable.memory_bytes > 0)
                limit = (uint64_t)e->allocatable.memory_bytes;
        for (size_t i = 0; i < pod->n_containers; i++) {
                int64_t m = pod_resource_value(&pod->containers[i].resources.limits, "memory");

                all = all && m > 0;
                sum += m > 0 ? (uint64_t)m : 0;
        }
        if (all && sum < limit)
                limit = sum;
        if (e->volume->size_limit > 0 && (limit == 0 || (uint64_t)e->volume->size_limit < limit))
                limit = (uint64_t)e->volume->size_limit;
        return limit;
}

bool is_tmpfs(int fd)
{
        struct statfs s;

        return fstatfs(fd, &s) == 0 && s.f_type == TMPFS_MAGIC;
}

int mount_tmpfs(const char *path, uint64_t size, const char *mode, struct err *err)
{
        char options[96], size_option[40] = "";

        if (size)
                snprintf(size_option, sizeof size_option, ",size=%" PRIu64, size);
        /* noswap came with Linux 6.4 */
        snprintf(options, sizeof options, "mode=%s%s,noswap", mode, size_option);
        if (mount("tmpfs", path, "tmpfs", 0, options) == 0)
                return 0;
        snprintf(options, sizeof options, "mode=%s%s", mode, size_option);
        if (mount("tmpfs", path, "tmpfs", 0, options) < 0)
                return err_sys(err, -errno, "mount tmpfs on '%s'", path);
        return 0;
}

int empty_dir_make(const struct empty_dir *e, struct err *err)
{
        const struct pod *pod = e->pod;
        _cleanup_free_ char *below = text_printf("pods/%s/volumes/%s/%s", pod->uid, PLUGIN_DIR,
                                                 e->volume->name);
        _cleanup_free_ char *marker = text_printf("pods/%s/plugins/%s/%s", pod->uid, PLUGIN_DIR,
                                                  e->volume->name);
        _cleanup_free_ char *ready = marker ? text_printf("%s/ready", marker) : NULL;
        _cleanup_free_ char *path = below ? text_printf("%s/%s", e->root_dir, below) : NULL;
        _cleanup_close_ int fd = -1;
        bool memory = streq(e->volume->medium, "Memory");
        int r;

        if (!path || !ready)
                return err_sys(err, -ENOMEM, "make emptyDir");
        if (!memory && *e->volume->medium)
                return err_set_kind(err, -EOPNOTSUPP, ERR_BAD_INPUT,
                                    "emptyDir: medium '%s' is not supported, expected '' or Memory",
                                    e->volume->medium);
        r = fs_mkdir_p_at(e->root_fd, below, 0750);
        if (r == 0)
                r = fs_mkdir_p_at(e->root_fd, marker, 0750);
        if (r < 0)
                return err_sys(err, r, "make folder '%s/%s'", e->root_dir, below);
        fd = fs_open_beneath(e->root_fd, below, O_RDONLY | O_DIRECTORY, 0);
        if (fd < 0)
                return err_sys(err, fd, "open folder '%s/%s'", e->root_dir, below);
        if (faccessat(e->root_fd, ready, F_OK, 0) == 0 && (!memory || is_tmpfs(fd)))
                return 0;
        if (memory && !is_tmpfs(fd)) {
                r = mount_tmpfs(path, memory_limit(e), "1777", err);
                if (r < 0)
                        return r;
                safe_close(fd);
                fd = fs_open_beneath(e->root_fd, below, O_RDONLY | O_DIRECTORY, 0);
                if (fd < 0)
                        return err_sys(err, fd, "open folder '%s/%s'", e->root_dir, below);
        }
        if (fchmod(fd, memory ? 01777 : 0777) < 0) /* the kubelet leaves a tmpfs its own mode */
                return err_sys(err, -errno, "chmod '%s'", path);
        if (pod->security.fs_group != POD_UNSET)
                volume_set_group(fd, (gid_t)pod->security.fs_group, false);
        r = fs_replace_at(e->root_fd, ready, "", 0, 0640, false);
        return r < 0 ? err_sys(err, r, "mark '%s' ready", path) : 0;
}
