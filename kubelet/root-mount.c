#include "kubelet/root-mount.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/text.h"

#define TABLE_MAX (64 << 20)

/* 1: the mount of that number is shared; 0: it is not. */
static int is_shared(uint64_t mount_id, struct err *err)
{
        _cleanup_free_ char *table = NULL, *start = text_printf("%" PRIu64 " ", mount_id);
        int r = start ? fs_read_at(AT_FDCWD, "/proc/self/mountinfo", TABLE_MAX, &table, NULL)
                      : -ENOMEM;
        char *rest = table, *line;

        if (r < 0)
                return err_sys(err, r, "read '/proc/self/mountinfo'");
        while ((line = strsep(&rest, "\n"))) {
                char *end = strstr(line, " - ");

                if (!startswith(line, start) || !end)
                        continue;
                *end = '\0'; /* optional fields stand before it; blanks in paths are escaped */
                return strstr(line, " shared:") != NULL;
        }
        return 0;
}

int root_mount_share(const char *path, struct err *err)
{
        struct statx st;
        int r;

        if (statx(AT_FDCWD, path, 0, STATX_MNT_ID, &st) < 0)
                return err_sys(err, -errno, "look at '%s'", path);
        if (!(st.stx_mask & STATX_MNT_ID))
                return err_set(err, -EOPNOTSUPP, "look at '%s': the kernel names no mount", path);
        r = is_shared(st.stx_mnt_id, err);
        if (r != 0)
                return MIN(r, 0);
        if (mount(path, path, NULL, MS_BIND | MS_REC, NULL) < 0)
                return err_sys(err, -errno, "bind '%s' on itself", path);
        if (mount(NULL, path, NULL, MS_SHARED | MS_REC, NULL) < 0)
                return err_sys(err, -errno, "make '%s' a shared mount", path);
        return 0;
}
