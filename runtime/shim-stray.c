#include "runtime/shim-stray.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/text.h"
#include "runtime/runtime.h"

enum { PROCS_MAX = 1 << 20, CMDLINE_MAX = 4096 };

/* "skiff-shim", NUL, the id, NUL. @ret is inside of @cmdline. */
static bool is_shim(const char *cmdline, size_t n, const char **ret)
{
        const char *id = cmdline + strlen(cmdline) + 1;

        if (!streq(cmdline, "skiff-shim") || id + RUNTIME_ID_SIZE > cmdline + n + 1 ||
            strlen(id) != RUNTIME_ID_SIZE - 1 || !is_hex_lower(id, RUNTIME_ID_SIZE - 1))
                return false;
        *ret = id;
        return true;
}

/* The process is pinned before it is looked at: a pid that was reused is nobody's shim. */
static bool end_if_stray(pid_t pid, bool (*is_stray)(const char *id, void *userdata),
                         void *userdata)
{
        _cleanup_close_ int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
        _cleanup_free_ char *cmdline = NULL;
        const char *id;
        char path[64];
        size_t n;

        snprintf(path, sizeof path, "/proc/%d/cmdline", (int)pid);
        if (pidfd < 0 || fs_read_at(AT_FDCWD, path, CMDLINE_MAX, &cmdline, &n) < 0 ||
            !is_shim(cmdline, n, &id) || !is_stray(id, userdata))
                return false;
        log_warn(0, "Shim of sandbox '%.12s' has lost its socket, ending it", id);
        return syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0) == 0;
}

int shim_strays_end(int shims_group_fd, bool (*is_stray)(const char *id, void *userdata),
                    void *userdata)
{
        _cleanup_free_ char *text = NULL;
        _cleanup_strv_ char **lines = NULL;
        int r = fs_read_at(shims_group_fd, "cgroup.procs", PROCS_MAX, &text, NULL), ended = 0;

        if (r == 0)
                r = strv_split(text, "\n", &lines);
        if (r < 0)
                return r;
        STRV_FOREACH (line, lines) {
                int64_t pid;

                if (text_to_i64(*line, &pid) == 0 && pid > 0 && pid <= INT32_MAX)
                        ended += end_if_stray((pid_t)pid, is_stray, userdata);
        }
        return ended;
}
