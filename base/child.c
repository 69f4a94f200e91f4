/*
 * How a child starts: the parent blocks all signals, clones (a plain fork, with a pidfd and perhaps
 * straight into a cgroup) and reads the report pipe. The child makes its calls one after the other,
 * all async-signal-safe, and writes step and errno there when one fails; a successful execve closes
 * the pipe. So child_spawn() knows whether the program runs, and nothing else is shared.
 *
 * How it ends: the pidfd becomes readable, what is left in the pipes is read, the owner is told.
 * The end of the pipes is not waited for: a daemon that the program left behind may hold them.
 */
#include "base/child.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/signals.h"
#include "base/text.h"

#define OUTPUT_MAX_DEFAULT (64 << 10)
#define PIPE_SIZE          (64 << 10) /* pipe(7): what can be left in one when the child ends */
#define REAP_WAIT_MSEC     20         /* a killed process that runs is gone in one of these */

struct stream {
        struct child *child; /* borrowed: the owner */
        sd_event_source *source;
        int fd; /* owned */
        struct strbuf kept;
};

struct child {
        sd_event *event; /* own reference */
        pid_t pid;
        int pidfd; /* owned */
        bool ended, timed_out;
        size_t output_max;
        struct stream out, errors;
        sd_event_source *exit_source, *deadline;
        child_done_fn done;
        void *userdata;
};

enum step { STEP_NAMESPACE, STEP_DESCRIPTORS, STEP_EXEC };

struct report {
        int step, error;
};

/* What the child half needs, all of it ready before the clone. */
struct plan {
        const struct child_options *options;
        int stdio[3]; /* its future 0, 1 and 2 */
        int report_fd;
        int *spare; /* room for stdio and options->fds while they move */
};

/* ---- the child's half: after the clone, in the parent's namespaces until setns() ---- */

static _Noreturn void child_fail(int report_fd, enum step step)
{
        struct report report = { .step = step, .error = errno };

        if (write(report_fd, &report, sizeof report) < 0) {
                /* the parent sees the end of the pipe and the exit code */
        }
        _exit(127);
}

static void child_reset_signals(void)
{
        sigset_t none;

        signals_reset();
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Everything goes up beyond the targets first, so that no target overwrites a source. */
static int child_place_descriptors(struct plan *p, int *exec_fd)
{
        const struct child_options *o = p->options;
        int n = (int)o->n_fds + 3, fd;

        fd = fcntl(p->report_fd, F_DUPFD_CLOEXEC, n);
        if (fd < 0)
                return -1;
        p->report_fd = fd;
        if (*exec_fd >= 0) {
                *exec_fd = fcntl(*exec_fd, F_DUPFD_CLOEXEC, n);
                if (*exec_fd < 0)
                        return -1;
        }
        for (int i = 0; i < n; i++) {
                p->spare[i] = fcntl(i < 3 ? p->stdio[i] : o->fds[i - 3], F_DUPFD_CLOEXEC, n);
                if (p->spare[i] < 0)
                        return -1;
        }
        for (int i = 0; i < n; i++)
                if (dup2(p->spare[i], i) < 0)
                        return -1;
        return (int)syscall(SYS_close_range, n, ~0u, CLOSE_RANGE_CLOEXEC);
}

static _Noreturn void child_main(struct plan *p)
{
        static char path_env[] =
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        static char *const default_env[] = { path_env, NULL };
        const struct child_options *o = p->options;
        char *const *argv = (char *const *)o->argv;
        char *const *env = o->env ? (char *const *)o->env : default_env;
        int exec_fd = o->exec_fd > 0 ? o->exec_fd : -1;

        child_reset_signals();
        setsid(); /* no terminal, and a process group to kill */
        umask(022);
        if (o->netns_fd > 0 && setns(o->netns_fd, CLONE_NEWNET) < 0)
                child_fail(p->report_fd, STEP_NAMESPACE);
        if (o->mntns_fd > 0 && setns(o->mntns_fd, CLONE_NEWNS) < 0)
                child_fail(p->report_fd, STEP_NAMESPACE);
        if (chdir("/") < 0 || child_place_descriptors(p, &exec_fd) < 0)
                child_fail(p->report_fd, STEP_DESCRIPTORS);
        if (exec_fd >= 0)
                syscall(SYS_execveat, exec_fd, "", argv, env, AT_EMPTY_PATH);
        else
                execve(argv[0], argv, env);
        child_fail(p->report_fd, STEP_EXEC);
}

/* ---- the parent's half ---- */

static void stream_done(struct stream *s)
{
        sd_event_source_disable_unref(s->source);
        s->source = NULL;
        s->fd = safe_close(s->fd);
        strbuf_done(&s->kept);
}

static void kill_group(const struct child *c, int signal)
{
        /* not reaped yet, so the number is still this child's */
        kill(-c->pid, signal);
        syscall(SYS_pidfd_send_signal, c->pidfd, signal, NULL, 0);
}

static int on_killed_child_end(sd_event_source *s, _unused_ int fd, _unused_ uint32_t revents,
                               _unused_ void *userdata)
{
        siginfo_t si;

        waitid(P_PIDFD, (id_t)fd, &si, WEXITED | WNOHANG);
        sd_event_source_set_enabled(s, SD_EVENT_OFF);
        sd_event_source_set_floating(s, false); /* its only reference */
        return 0;
}

/*
 * A process in uninterruptible sleep dies when it can. It is left to a source that nobody owns,
 * which closes the pidfd with itself, rather than stopping the loop.
 */
static void reap_killed(struct child *c)
{
        struct pollfd p = { .fd = c->pidfd, .events = POLLIN };
        sd_event_source *s = NULL;
        siginfo_t si;

        if (poll(&p, 1, REAP_WAIT_MSEC) > 0) {
                waitid(P_PIDFD, (id_t)c->pidfd, &si, WEXITED | WNOHANG);
                return;
        }
        if (sd_event_add_io(c->event, &s, c->pidfd, EPOLLIN, on_killed_child_end, NULL) < 0)
                return;
        sd_event_source_set_io_fd_own(s, true);
        c->pidfd = -1;
        sd_event_source_set_floating(s, true);
        sd_event_source_unref(s);
}

struct child *child_free(struct child *c)
{
        if (!c)
                return NULL;
        sd_event_source_disable_unref(c->exit_source);
        sd_event_source_disable_unref(c->deadline);
        if (c->pidfd >= 0 && !c->ended) {
                kill_group(c, SIGKILL);
                reap_killed(c);
        }
        stream_done(&c->out);
        stream_done(&c->errors);
        safe_close(c->pidfd);
        sd_event_unref(c->event);
        free(c);
        return NULL;
}

/* Reads once; what is beyond the cap is dropped. Returns what read() said. */
static ssize_t stream_read(struct stream *s)
{
        static char buf[16 << 10]; /* one thread */
        ssize_t n = read(s->fd, buf, sizeof buf);

        if (n > 0)
                strbuf_add_n(&s->kept, buf, MIN((size_t)n, s->child->output_max - s->kept.len));
        return n;
}

static int on_output(sd_event_source *source, _unused_ int fd, _unused_ uint32_t revents,
                     void *userdata)
{
        struct stream *s = userdata;
        ssize_t n = stream_read(s);

        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
                sd_event_source_set_enabled(source, SD_EVENT_OFF);
        return 0;
}

static void stream_drain(struct stream *s)
{
        size_t left = PIPE_SIZE;

        while (left > 0) {
                ssize_t n = stream_read(s);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return;
                left -= MIN(left, (size_t)n);
        }
}

static struct strbuf strbuf_move(struct strbuf *b)
{
        struct strbuf moved = *b;

        *b = (struct strbuf){ 0 };
        return moved;
}

static int exit_code_of(const siginfo_t *si)
{
        return si->si_code == CLD_EXITED ? si->si_status : 128 + si->si_status;
}

static int on_child_end(_unused_ sd_event_source *source, _unused_ int fd,
                        _unused_ uint32_t revents, void *userdata)
{
        struct child *c = userdata;
        siginfo_t si = { 0 };
        struct child_result result = { .timed_out = c->timed_out };
        _cleanup_strbuf_ struct strbuf out = { 0 }, errors = { 0 };

        if (waitid(P_PIDFD, (id_t)c->pidfd, &si, WEXITED | WNOHANG) == 0) {
                if (si.si_pid == 0)
                        return 0;
                result.exit_code = exit_code_of(&si);
        } else {
                result.exit_code = 255; /* somebody else reaped it: its code is lost */
        }
        c->ended = true;
        sd_event_source_set_enabled(c->exit_source, SD_EVENT_OFF);
        c->deadline = sd_event_source_disable_unref(c->deadline);
        stream_drain(&c->out);
        stream_drain(&c->errors);
        out = strbuf_move(&c->out.kept);
        errors = strbuf_move(&c->errors.kept);
        stream_done(&c->out);
        stream_done(&c->errors);
        result.output = out.data ? out.data : "";
        result.output_len = out.len;
        result.errors = errors.data ? errors.data : "";
        result.errors_len = errors.len;
        c->done(c, &result, c->userdata); /* may free c */
        return 0;
}

static int on_deadline(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata)
{
        struct child *c = userdata;

        c->timed_out = true;
        kill_group(c, SIGKILL);
        return 0;
}

/* Blocks until the child has reached execve or failed. */
static int read_report(int fd, const struct child_options *o, struct err *err)
{
        static const char *const what[] = {
                [STEP_NAMESPACE] = "enter a namespace for",
                [STEP_DESCRIPTORS] = "place descriptors for",
                [STEP_EXEC] = "execute",
        };
        struct report report;
        ssize_t n;

        do
                n = read(fd, &report, sizeof report);
        while (n < 0 && errno == EINTR);
        if (n == 0)
                return 0;
        if (n != sizeof report)
                return err_set(err, -EIO, "start '%s': no report from the child", o->argv[0]);
        return err_sys(err, -report.error, "%s '%s'", what[report.step], o->argv[0]);
}

static pid_t clone_child(struct plan *p, int *ret_pidfd)
{
        int cgroup_fd = p->options->cgroup_fd, pidfd = -1;
        struct clone_args args = {
                .flags = CLONE_PIDFD | (cgroup_fd > 0 ? CLONE_INTO_CGROUP : 0),
                .pidfd = (uint64_t)(uintptr_t)&pidfd,
                .exit_signal = SIGCHLD,
                .cgroup = cgroup_fd > 0 ? (uint64_t)cgroup_fd : 0,
        };
        sigset_t all, before;
        pid_t pid;
        int saved;

        /* no handler of ours may run in the child */
        sigfillset(&all);
        sigprocmask(SIG_SETMASK, &all, &before);
        pid = (pid_t)syscall(SYS_clone3, &args, sizeof args);
        if (pid == 0)
                child_main(p);
        saved = errno;
        sigprocmask(SIG_SETMASK, &before, NULL);
        *ret_pidfd = pidfd;
        return pid < 0 ? -saved : pid;
}

static int open_input(const struct child_options *o)
{
        int fd;

        if (o->input)
                return fs_sealed_memfd("input", o->input, o->input_len);
        fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

static int start(struct child *c, const struct child_options *o, struct err *err)
{
        int out[2] = { -1, -1 }, errors[2] = { -1, -1 }, report[2] = { -1, -1 };
        _cleanup_close_ int input = open_input(o);
        _cleanup_free_ int *spare = calloc(o->n_fds + 3, sizeof *spare);
        struct plan plan = { .options = o, .spare = spare };
        int r = 0;

        if (input < 0)
                return err_sys(err, input, "make input for '%s'", o->argv[0]);
        if (!spare)
                return err_sys(err, -ENOMEM, "start '%s'", o->argv[0]);
        if (pipe2(out, O_CLOEXEC) < 0 || pipe2(errors, O_CLOEXEC) < 0 ||
            pipe2(report, O_CLOEXEC) < 0) {
                r = err_sys(err, -errno, "make pipes for '%s'", o->argv[0]);
        } else {
                plan.stdio[0] = input;
                plan.stdio[1] = out[1];
                plan.stdio[2] = errors[1];
                plan.report_fd = report[1];
                c->pid = clone_child(&plan, &c->pidfd);
                if (c->pid < 0)
                        r = err_sys(err, c->pid, "start '%s'", o->argv[0]);
        }
        safe_close(out[1]);
        safe_close(errors[1]);
        safe_close(report[1]);
        c->out.fd = out[0];
        c->errors.fd = errors[0];
        if (r == 0)
                r = read_report(report[0], o, err);
        safe_close(report[0]);
        return r;
}

static int watch_stream(struct child *c, struct stream *s)
{
        if (fcntl(s->fd, F_SETFL, O_NONBLOCK) < 0)
                return -errno;
        return sd_event_add_io(c->event, &s->source, s->fd, EPOLLIN, on_output, s);
}

static int watch_child(struct child *c, usec_t timeout_usec)
{
        int r = watch_stream(c, &c->out);

        if (r >= 0)
                r = watch_stream(c, &c->errors);
        if (r >= 0)
                r = sd_event_add_io(c->event, &c->exit_source, c->pidfd, EPOLLIN, on_child_end, c);
        if (r >= 0 && timeout_usec > 0)
                r = sd_event_add_time_relative(c->event, &c->deadline, CLOCK_MONOTONIC,
                                               timeout_usec, ACCURACY_USEC, on_deadline, c);
        return MIN(r, 0);
}

int child_spawn(sd_event *event, const struct child_options *options, child_done_fn done,
                void *userdata, struct child **ret, struct err *err)
{
        _cleanup_(child_freep)
        struct child *c = NULL;
        int r;

        if (!options->argv || !options->argv[0] ||
            (options->exec_fd <= 0 && options->argv[0][0] != '/'))
                return err_set(err, -EINVAL, "argv[0] '%s': expected an absolute path",
                               options->argv && options->argv[0] ? options->argv[0] : "");
        c = calloc(1, sizeof *c);
        if (!c)
                return err_sys(err, -ENOMEM, "start '%s'", options->argv[0]);
        *c = (struct child){
                .event = sd_event_ref(event),
                .pidfd = -1,
                .output_max = options->output_max ? options->output_max : OUTPUT_MAX_DEFAULT,
                .out = { .child = c, .fd = -1 },
                .errors = { .child = c, .fd = -1 },
                .done = done,
                .userdata = userdata,
        };
        r = start(c, options, err);
        if (r < 0)
                return r;
        r = watch_child(c, options->timeout_usec);
        if (r < 0)
                return err_sys(err, r, "watch '%s'", options->argv[0]);
        *ret = TAKE_PTR(c);
        return 0;
}

int child_kill(struct child *c, int signal)
{
        if (c->ended)
                return -ESRCH;
        return syscall(SYS_pidfd_send_signal, c->pidfd, signal, NULL, 0) < 0 ? -errno : 0;
}
