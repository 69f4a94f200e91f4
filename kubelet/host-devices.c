#include "kubelet/host-devices.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/fs.h"
#include "base/text.h"

#define DEPTH_MAX   8
#define DEVICES_MAX 4096

struct walk {
        struct oci_device *devices;
        size_t n;
};

static int add(struct walk *w, const char *path, const struct stat *st)
{
        struct oci_device *grown = realloc(w->devices, (w->n + 1) * sizeof *grown);

        if (!grown)
                return -ENOMEM;
        w->devices = grown;
        grown[w->n] = (struct oci_device){
                .path = strdup(path),
                .type = S_ISCHR(st->st_mode) ? 'c' : 'b',
                .major = major(st->st_rdev),
                .minor = minor(st->st_rdev),
                .file_mode = st->st_mode & 07777,
                .uid = st->st_uid,
                .gid = st->st_gid,
        };
        return grown[w->n++].path ? 0 : -ENOMEM;
}

static bool is_skipped(const char *path)
{
        static const char *const skipped[] = { "/dev/pts",       "/dev/shm",     "/dev/fd",
                                               "/dev/mqueue",    "/dev/console", "/dev/.lxc",
                                               "/dev/hugepages", "/dev/.udev" };

        for (size_t i = 0; i < ARRAY_SIZE(skipped); i++)
                if (streq(path, skipped[i]))
                        return true;
        return false;
}

static int walk_dir(struct walk *w, const char *dir, int depth)
{
        _cleanup_strv_ char **names = NULL;
        int r = fs_list_at(AT_FDCWD, dir, &names);

        if (r < 0)
                return r == -ENOENT ? 0 : r;
        STRV_FOREACH (name, names) {
                _cleanup_free_ char *path = text_printf("%s/%s", dir, *name);
                struct stat st;

                if (!path)
                        return -ENOMEM;
                if (is_skipped(path) || lstat(path, &st) < 0)
                        continue;
                if (S_ISDIR(st.st_mode) && depth < DEPTH_MAX)
                        r = walk_dir(w, path, depth + 1);
                else if ((S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode)) && w->n < DEVICES_MAX)
                        r = add(w, path, &st);
                if (r < 0)
                        return r;
        }
        return 0;
}

int host_devices_read(struct oci_device **ret, size_t *ret_n)
{
        struct walk w = { 0 };
        int r = walk_dir(&w, "/dev", 0);

        if (r < 0) {
                host_devices_free(w.devices, w.n);
                return r;
        }
        *ret = w.devices;
        *ret_n = w.n;
        return 0;
}

void host_devices_free(struct oci_device *devices, size_t n)
{
        for (size_t i = 0; i < n; i++)
                free(devices[i].path);
        free(devices);
}
