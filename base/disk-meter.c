#include "base/disk-meter.h"

#include <errno.h>
#include <linux/close_range.h>
#include <linux/ioprio.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum { NICE = 19, IO_LEVEL = 7 };

struct disk_meter {
        sd_event *event;           /* borrowed */
        struct disk_usage *shared; /* owned: a mapping that the child writes to; NULL: none */
        size_t n;
        pid_t child; /* 0: none runs */
        int pidfd;
        sd_event_source *end_source, *timer;
        disk_meter_done_fn done;
        void *userdata;
};

static size_t mapping_bytes(size_t n)
{
        return n * sizeof(struct disk_usage);
}

static void forget_job(struct disk_meter *m)
{
        m->end_source = sd_event_source_disable_unref(m->end_source);
        m->timer = sd_event_source_disable_unref(m->timer);
        m->pidfd = safe_close(m->pidfd);
        m->child = 0;
        if (m->shared)
                munmap(m->shared, mapping_bytes(m->n));
        m->shared = NULL;
}

static void kill_child(struct disk_meter *m)
{
        if (!m->child)
                return;
        kill(m->child, SIGKILL);
        waitpid(m->child, NULL, 0);
        m->child = 0;
}

static int on_end(_unused_ sd_event_source *s, _unused_ int fd, _unused_ uint32_t revents,
                  void *userdata)
{
        struct disk_meter *m = userdata;
        struct disk_usage *usage = m->shared;
        size_t n = m->n;

        waitpid(m->child, NULL, 0);
        m->shared = NULL;
        forget_job(m);
        m->done(usage, n, m->userdata); /* it may start the next one, or free us */
        munmap(usage, mapping_bytes(n));
        return 0;
}

/* One that hangs in a dead file system dies when that lets go of it; only then comes on_end(). */
static int on_timeout(_unused_ sd_event_source *s, _unused_ uint64_t usec, void *userdata)
{
        struct disk_meter *m = userdata;

        kill(m->child, SIGKILL);
        return 0;
}

/* Runs in a forked child, in the daemon's namespaces, without any of its descriptors. */
static _Noreturn void measure(const struct disk_tree *trees, size_t n, struct disk_usage *results)
{
        struct rlimit files;

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (syscall(SYS_close_range, 0, ~0U, 0) < 0)
                _exit(1);
        setpriority(PRIO_PROCESS, 0, NICE);
        syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0,
                IOPRIO_PRIO_VALUE(IOPRIO_CLASS_BE, IO_LEVEL));
        if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
                files.rlim_cur = files.rlim_max;
                setrlimit(RLIMIT_NOFILE, &files);
        }
        for (size_t i = 0; i < n; i++)
                disk_usage_measure(trees[i].path, trees[i].except, DISK_USAGE_ENTRIES_MAX,
                                   &results[i]);
        _exit(0);
}

static int watch_child(struct disk_meter *m, usec_t timeout_usec)
{
        int r;

        m->pidfd = (int)syscall(SYS_pidfd_open, m->child, 0);
        if (m->pidfd < 0)
                return -errno;
        r = sd_event_add_io(m->event, &m->end_source, m->pidfd, EPOLLIN, on_end, m);
        if (r < 0)
                return r;
        return sd_event_add_time_relative(m->event, &m->timer, CLOCK_MONOTONIC, timeout_usec,
                                          USEC_PER_SEC, on_timeout, m);
}

int disk_meter_start(struct disk_meter *m, const struct disk_tree *trees, size_t n,
                     usec_t timeout_usec, disk_meter_done_fn done, void *userdata, struct err *err)
{
        void *shared;
        int r;

        if (m->child)
                return err_set(err, -EBUSY, "measure disk usage: that is under way already");
        if (n == 0)
                return err_set(err, -EINVAL, "measure disk usage: of nothing");
        shared = mmap(NULL, mapping_bytes(n), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                      -1, 0);
        if (shared == MAP_FAILED)
                return err_sys(err, -errno, "measure disk usage: map memory for the results");
        m->shared = shared;
        m->n = n;
        m->done = done;
        m->userdata = userdata;
        m->child = fork();
        if (m->child == 0)
                measure(trees, n, m->shared);
        if (m->child < 0) {
                r = -errno;
                m->child = 0;
        } else {
                r = watch_child(m, timeout_usec);
        }
        if (r < 0) {
                kill_child(m);
                forget_job(m);
                return err_sys(err, r, "measure disk usage: start a child");
        }
        return 0;
}

bool disk_meter_is_busy(const struct disk_meter *m)
{
        return m->child != 0;
}

int disk_meter_new(sd_event *event, struct disk_meter **ret)
{
        struct disk_meter *m = calloc(1, sizeof *m);

        if (!m)
                return -ENOMEM;
        *m = (struct disk_meter){ .event = event, .pidfd = -1 };
        *ret = m;
        return 0;
}

struct disk_meter *disk_meter_free(struct disk_meter *m)
{
        if (!m)
                return NULL;
        kill_child(m);
        forget_job(m);
        free(m);
        return NULL;
}
