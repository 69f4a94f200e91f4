#include "kubelet/volume-child.h"

#include <errno.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/text.h"

struct volume_child {
        sd_event *event;                   /* borrowed */
        int pidfd, socket_fd;              /* owned */
        sd_event_source *end, *timer;      /* owned */
        struct volume_child_answer answer; /* as received; .fd owned */
        const char *what;
        bool is_late;
        volume_child_done_fn done;
        void *userdata;
};

/* ---- in the child ---- */
void volume_child_fail(struct volume_child_answer *answer, int r, const char *fmt, ...)
{
        char text[VOLUME_CHILD_TEXT_MAX / 2];
        va_list ap;

        va_start(ap, fmt);
        vsnprintf(text, sizeof text, fmt, ap);
        va_end(ap);
        answer->r = r;
        snprintf(answer->text, sizeof answer->text, "%s: %s", text, strerror(-r));
}

int volume_child_unmount(const char *path, int flags)
{
        struct stat st;

        /* EINVAL: nothing is mounted there (any more) */
        while (umount2(path, flags | UMOUNT_NOFOLLOW) == 0)
                ;
        if (errno == ENOENT)
                return 0;
        if (errno != EINVAL)
                return -errno;
        if (rmdir(path) == 0 || errno == ENOENT)
                return 0;
        if (errno == ENOTDIR && lstat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == 0)
                return unlink(path) < 0 ? -errno : 0;
        return -errno;
}

static void send_answer(int fd, const struct volume_child_answer *a)
{
        struct iovec parts[] = { { (void *)&a->r, sizeof a->r },
                                 { (void *)a->text, strnlen(a->text, sizeof a->text - 1) + 1 } };
        union {
                struct cmsghdr header;
                char space[CMSG_SPACE(sizeof(int))];
        } control = { 0 };
        struct msghdr msg = { .msg_iov = parts, .msg_iovlen = ARRAY_SIZE(parts) };

        if (a->fd >= 0) {
                struct cmsghdr *c;

                msg.msg_control = control.space;
                msg.msg_controllen = sizeof control.space;
                c = CMSG_FIRSTHDR(&msg);
                c->cmsg_level = SOL_SOCKET;
                c->cmsg_type = SCM_RIGHTS;
                c->cmsg_len = CMSG_LEN(sizeof(int));
                memcpy(CMSG_DATA(c), &a->fd, sizeof(int));
        }
        if (sendmsg(fd, &msg, MSG_NOSIGNAL) < 0)
                _exit(1);
}

static _Noreturn void run(volume_child_fn fn, const void *arg, int fd)
{
        static struct volume_child_answer answer;

        /* it may hang for long, and keeps nothing of ours open meanwhile */
        if (dup3(fd, 3, O_CLOEXEC) < 0 && errno != EINVAL)
                _exit(1);
        close_range(4, ~0U, 0);
        umask(022);
        answer.fd = -1;
        fn(arg, &answer);
        send_answer(3, &answer);
        _exit(0);
}

/* ---- in skiffd ---- */
static void receive(struct volume_child *c)
{
        struct iovec parts[] = { { &c->answer.r, sizeof c->answer.r },
                                 { c->answer.text, sizeof c->answer.text - 1 } };
        union {
                struct cmsghdr header;
                char space[CMSG_SPACE(sizeof(int))];
        } control = { 0 };
        struct msghdr msg = { .msg_iov = parts,
                              .msg_iovlen = ARRAY_SIZE(parts),
                              .msg_control = control.space,
                              .msg_controllen = sizeof control.space };
        ssize_t n = recvmsg(c->socket_fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        struct cmsghdr *h;

        if (n < (ssize_t)sizeof c->answer.r) {
                c->answer.r = c->is_late ? -ETIMEDOUT : -EIO;
                snprintf(c->answer.text, sizeof c->answer.text, "%s: %s", c->what,
                         c->is_late ? "no answer in time" : "the child ended without an answer");
                return;
        }
        h = CMSG_FIRSTHDR(&msg);
        if (h && h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_RIGHTS)
                memcpy(&c->answer.fd, CMSG_DATA(h), sizeof(int));
}

static void tell(struct volume_child *c)
{
        c->end = sd_event_source_disable_unref(c->end);
        c->timer = sd_event_source_disable_unref(c->timer);
        receive(c);
        c->done(&c->answer, c->userdata);
}

static int on_end(_unused_ sd_event_source *s, _unused_ int fd, _unused_ uint32_t revents,
                  void *userdata)
{
        struct volume_child *c = userdata;
        siginfo_t si = { 0 };

        if (waitid(P_PIDFD, (id_t)c->pidfd, &si, WEXITED | WNOHANG) < 0 || si.si_pid == 0)
                return 0;
        /* its source first: a child just forked may hold the pidfd, which would then stay in epoll
         */
        c->end = sd_event_source_disable_unref(c->end);
        c->pidfd = safe_close(c->pidfd);
        tell(c);
        return 0;
}

static int on_dead(sd_event_source *s, int fd, _unused_ uint32_t revents, _unused_ void *userdata)
{
        siginfo_t si = { 0 };

        if (waitid(P_PIDFD, (id_t)fd, &si, WEXITED | WNOHANG) < 0 || si.si_pid != 0)
                sd_event_source_disable_unref(s);
        return 0;
}

/* One that hangs in the kernel dies when it can: until then its pidfd waits on the loop. */
static void kill_it(struct volume_child *c)
{
        sd_event_source *s = NULL;

        if (c->pidfd < 0)
                return;
        syscall(SYS_pidfd_send_signal, c->pidfd, SIGKILL, NULL, 0);
        c->end = sd_event_source_disable_unref(c->end);
        if (sd_event_add_io(c->event, &s, c->pidfd, EPOLLIN, on_dead, NULL) >= 0 &&
            sd_event_source_set_io_fd_own(s, true) >= 0) {
                c->pidfd = -1; /* the source's, which on_dead() lets go */
                return;
        }
        sd_event_source_disable_unref(s);
        c->pidfd = safe_close(c->pidfd);
}

static int on_late(_unused_ sd_event_source *s, _unused_ uint64_t usec, void *userdata)
{
        struct volume_child *c = userdata;

        c->is_late = true;
        kill_it(c);
        tell(c);
        return 0;
}

static int watch(struct volume_child *c, sd_event *event, usec_t timeout_usec)
{
        int r = sd_event_add_io(event, &c->end, c->pidfd, EPOLLIN, on_end, c);

        if (r >= 0 && timeout_usec)
                r = sd_event_add_time(event, &c->timer, CLOCK_MONOTONIC,
                                      now_monotonic() + timeout_usec, ACCURACY_USEC, on_late, c);
        return r;
}

int volume_child_start(sd_event *event, volume_child_fn fn, const void *arg, const char *what,
                       usec_t timeout_usec, volume_child_done_fn done, void *userdata,
                       struct volume_child **ret, struct err *err)
{
        struct clone_args args = { .flags = CLONE_PIDFD, .exit_signal = SIGCHLD };
        _cleanup_(volume_child_freep)
        struct volume_child *c = calloc(1, sizeof *c);
        int pair[2], pidfd = -1, r;
        pid_t pid;

        if (!c)
                return err_sys(err, -ENOMEM, "%s", what);
        *c = (struct volume_child){ .event = event,
                                    .pidfd = -1,
                                    .socket_fd = -1,
                                    .answer = { .fd = -1 },
                                    .what = what,
                                    .done = done,
                                    .userdata = userdata };
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return err_sys(err, -errno, "%s", what);
        c->socket_fd = pair[0];
        args.pidfd = (uint64_t)(uintptr_t)&pidfd;
        pid = (pid_t)syscall(SYS_clone3, &args, sizeof args);
        if (pid == 0)
                run(fn, arg, pair[1]);
        r = pid < 0 ? -errno : 0;
        safe_close(pair[1]);
        if (r < 0)
                return err_sys(err, r, "%s", what);
        c->pidfd = pidfd;
        r = watch(c, event, timeout_usec);
        if (r < 0)
                return err_sys(err, r, "%s", what);
        *ret = TAKE_PTR(c);
        return 0;
}

struct volume_child *volume_child_free(struct volume_child *c)
{
        if (!c)
                return NULL;
        sd_event_source_disable_unref(c->end);
        sd_event_source_disable_unref(c->timer);
        kill_it(c);
        safe_close(c->socket_fd);
        safe_close(c->answer.fd);
        free(c);
        return NULL;
}
