#include "base/trash.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/text.h"
#include "base/usec.h"

enum { SMALL_ENTRIES = 96, SMALL_DEPTH = 16 }; /* some 0.5 ms */

struct trash {
        sd_event *event; /* borrowed */
        char *path;      /* owned; for messages */
        int fd;          /* owned */
        pid_t sweeper;   /* 0: none runs */
        int sweeper_pidfd;
        sd_event_source *sweeper_source;
        bool is_more; /* something came after the sweeper had started */
};

static void start_sweeper(struct trash *t);

static int on_sweeper_end(_unused_ sd_event_source *s, _unused_ int fd, _unused_ uint32_t revents,
                          void *userdata)
{
        struct trash *t = userdata;
        siginfo_t info = { 0 };

        waitid(P_PIDFD, (id_t)t->sweeper_pidfd, &info, WEXITED);
        if (info.si_status != 0)
                log_warn(0, "Some of '%s' could not be removed, trying again at the next start",
                         t->path);
        t->sweeper_source = sd_event_source_disable_unref(t->sweeper_source);
        t->sweeper_pidfd = safe_close(t->sweeper_pidfd);
        t->sweeper = 0;
        if (t->is_more)
                start_sweeper(t);
        return 0;
}

/* Runs in a forked child, in the daemon's namespaces, with the trash as its only descriptor. */
static _Noreturn void sweep(int trash_fd)
{
        _cleanup_strv_ char **names = NULL;
        int r, failed = 0;

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        /* a lock of the daemon's must not live on in here */
        if (dup2(trash_fd, 3) < 0 || syscall(SYS_close_range, 4, ~0U, 0) < 0)
                _exit(1);
        r = fs_list_at(3, ".", &names);
        STRV_FOREACH (name, names)
                failed |= fs_remove_tree_at(3, *name) < 0;
        _exit(r < 0 || failed);
}

static void start_sweeper(struct trash *t)
{
        int r;

        if (t->sweeper) {
                t->is_more = true;
                return;
        }
        t->is_more = false;
        t->sweeper = fork();
        if (t->sweeper == 0)
                sweep(t->fd);
        if (t->sweeper < 0) {
                log_warn(-errno, "Failed to start removing '%s'", t->path);
                t->sweeper = 0;
                return;
        }
        t->sweeper_pidfd = (int)syscall(SYS_pidfd_open, t->sweeper, 0);
        r = t->sweeper_pidfd < 0 ? -errno
                                 : sd_event_add_io(t->event, &t->sweeper_source, t->sweeper_pidfd,
                                                   EPOLLIN, on_sweeper_end, t);
        if (r < 0) {
                log_warn(r, "Failed to watch the removal of '%s'", t->path);
                kill(t->sweeper, SIGKILL);
                waitpid(t->sweeper, NULL, 0);
                t->sweeper_pidfd = safe_close(t->sweeper_pidfd);
                t->sweeper = 0;
        }
}

int trash_new(sd_event *event, int parent_fd, const char *name, const char *path,
              struct trash **ret, struct err *err)
{
        _cleanup_(trash_freep)
        struct trash *t = calloc(1, sizeof *t);
        _cleanup_strv_ char **names = NULL;
        int r;

        if (!t)
                return err_sys(err, -ENOMEM, "open the trash");
        *t = (struct trash){ .event = event, .path = strdup(path), .fd = -1, .sweeper_pidfd = -1 };
        r = t->path ? fs_mkdir_p_at(parent_fd, name, 0700) : -ENOMEM;
        if (r == 0) {
                t->fd = fs_open_beneath(parent_fd, name, O_RDONLY | O_DIRECTORY, 0);
                r = t->fd < 0 ? t->fd : fs_list_at(t->fd, ".", &names);
        }
        if (r < 0)
                return err_sys(err, r, "open '%s'", path);
        if (names)
                start_sweeper(t);
        *ret = TAKE_PTR(t);
        return 0;
}

struct trash *trash_free(struct trash *t)
{
        if (!t)
                return NULL;
        sd_event_source_disable_unref(t->sweeper_source);
        if (t->sweeper) {
                kill(t->sweeper, SIGKILL);
                waitpid(t->sweeper, NULL, 0);
        }
        safe_close(t->sweeper_pidfd);
        safe_close(t->fd);
        free(t->path);
        free(t);
        return NULL;
}

/* Takes what is below off @budget; false when that is not enough. */
static bool fits(int dir_fd, const char *name, unsigned *budget, unsigned depth)
{
        int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        DIR *dir = fd < 0 ? NULL : fdopendir(fd);
        struct dirent *e;
        bool yes = true;

        if (!dir) {
                safe_close(fd);
                return true; /* removing it will tell */
        }
        while (yes && (e = readdir(dir))) {
                if (streq(e->d_name, ".") || streq(e->d_name, ".."))
                        continue;
                yes = *budget > 0 && depth < SMALL_DEPTH;
                if (!yes)
                        break;
                (*budget)--;
                if (e->d_type == DT_DIR || e->d_type == DT_UNKNOWN)
                        yes = fits(dirfd(dir), e->d_name, budget, depth + 1);
        }
        closedir(dir);
        return yes;
}

int trash_put(struct trash *t, int dir_fd, const char *name)
{
        unsigned budget = SMALL_ENTRIES;
        char unique[33];

        if (fits(dir_fd, name, &budget, 0))
                return fs_remove_tree_at(dir_fd, name);
        snprintf(unique, sizeof unique, "%08x%08x%08x%08x", random_u32(), random_u32(),
                 random_u32(), random_u32());
        if (renameat(dir_fd, name, t->fd, unique) < 0) {
                if (errno == ENOENT)
                        return 0;
                /* on another file system it cannot be moved out of the way */
                return errno == EXDEV ? fs_remove_tree_at(dir_fd, name) : -errno;
        }
        start_sweeper(t);
        return 0;
}

bool trash_is_busy(const struct trash *t)
{
        return t->sweeper != 0;
}
