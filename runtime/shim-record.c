#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "runtime/shim.h"

static const char temporary[] = "exit.tmp";

static void format(const struct exit_record *record, struct line *l)
{
        line_add(l, "{\"version\":1,\"exitCode\":");
        line_add_i64(l, record->exit_code);
        line_add(l, ",\"oomKilled\":");
        line_add(l, record->oom_killed ? "true" : "false");
        line_add(l, ",\"startedAt\":");
        line_add_u64(l, record->started_usec);
        line_add(l, ",\"finishedAt\":");
        line_add_u64(l, record->finished_usec);
        line_add(l, ",\"startFailed\":");
        line_add(l, record->start_failed ? "true" : "false");
        line_add(l, ",\"message\":");
        line_add_json(l, record->message);
        line_add(l, "}\n");
}

static int write_temporary(int dir, const char *data, size_t n)
{
        _cleanup_close_ int fd = -1;
        ssize_t k;

        unlinkat(dir, temporary, 0); /* of somebody who died over it */
        fd = openat(dir, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0)
                return -errno;
        k = write(fd, data, n);
        if (k < 0)
                return -errno;
        if ((size_t)k != n)
                return -ENOSPC;
        return fsync(fd) < 0 ? -errno : 0;
}

static int open_folder(int records, const char *id)
{
        int fd = openat(records, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

        if (fd < 0 && errno == ENOENT && mkdirat(records, id, 0700) == 0)
                fd = openat(records, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

int exit_record_write(int records, const char *id, const struct exit_record *record)
{
        _cleanup_close_ int dir = open_folder(records, id);
        char text[4096];
        struct line l = LINE(text);
        int r;

        if (dir < 0)
                return dir;
        format(record, &l);
        if (l.len + 1 >= sizeof text) { /* rather without its message than half of it */
                struct exit_record brief = *record;

                brief.message = "";
                l.len = 0;
                format(&brief, &l);
        }
        r = write_temporary(dir, text, l.len);
        if (r == 0 && renameat(dir, temporary, dir, "exit") < 0)
                r = -errno;
        return r;
}
