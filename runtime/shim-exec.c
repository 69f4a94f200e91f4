/*
 * Further processes in a running container: an exec of somebody's, a probe, a hook.
 *
 * Captured: both outputs go into one pipe, of which the first bytes up to a cap are kept in a memfd
 * that the result carries; the rest is read and dropped, so that a flood costs no memory. The
 * deadline is kept here, as skiffd may be restarting. Streamed: the far ends of its pipes, or its
 * terminal, go to skiffd with the answer, and nothing is copied here.
 *
 * An exec belongs to the connection that asked for it (shim-protocol.h).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "base/err.h"
#include "runtime/shim-sys.h"
#include "runtime/shim.h"

struct exec {
        struct list_node node;
        struct reply_to asker; /* kept beyond the answer: for the exit */
        bool answered;
        uint16_t flags; /* SHIM_EXEC_… */
        char id[SHIM_ID_SIZE];

        int plan;             /* owned: its own, to name things by, until the answer; -1: over */
        struct launch launch; /* owned */
        struct source channel, process, output;
        int far[3];    /* owned: skiffd's ends, until the answer; a terminal is the first */
        int ends[3];   /* owned: the child's, until it is cloned */
        int output_fd; /* owned; captured: the pipe's read end */
        int kept;      /* owned; captured: the memfd, once there is something to keep */
        uint64_t kept_len, cap;
        uint64_t deadline_usec; /* monotonic; UINT64_MAX: none */
        bool timed_out;

        int failure;
        unsigned kind;
        char message[256];
};

static void on_channel(struct source *source, uint32_t events);
static void on_process(struct source *source, uint32_t events);
static void on_output(struct source *source, uint32_t events);

static void close_all(int fds[static 3])
{
        for (int n = 0; n < 3; n++)
                fds[n] = safe_close(fds[n]);
}

static struct exec *exec_new(const struct shim_message *m, const struct reply_to *to)
{
        struct exec *e = calloc(1, sizeof *e);

        if (!e)
                return NULL;
        memcpy(e->id, m->id, sizeof e->id);
        e->asker = *to;
        e->flags = m->flags;
        e->launch = LAUNCH_NONE;
        e->channel = SOURCE_OFF(on_channel);
        e->process = SOURCE_OFF(on_process);
        e->output = SOURCE_OFF(on_output);
        for (int n = 0; n < 3; n++)
                e->far[n] = e->ends[n] = -1;
        e->plan = e->output_fd = e->kept = -1;
        e->cap = m->value2 > 0 ? (uint64_t)m->value2 : 0;
        e->deadline_usec = UINT64_MAX;
        if (m->value > 0)
                e->deadline_usec = shim_monotonic_usec() + (uint64_t)m->value * 1000;
        list_append(&shim.execs, &e->node);
        return e;
}

static void exec_free(struct exec *e)
{
        list_remove(&e->node);
        source_unwatch(&e->channel);
        source_unwatch(&e->process);
        source_unwatch(&e->output);
        safe_close(e->plan);
        launch_done(&e->launch);
        close_all(e->far);
        close_all(e->ends);
        safe_close(e->output_fd);
        safe_close(e->kept);
        free(e);
        shim_check_end();
}

/* ---- capture ---- */

static void keep(struct exec *e, const char *data, size_t n)
{
        if (n > e->cap - e->kept_len)
                n = (size_t)(e->cap - e->kept_len);
        if (n > 0 && e->kept < 0)
                e->kept = memfd_create("output", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        while (n > 0) {
                ssize_t k = write(e->kept, data, n);

                if (k <= 0) {
                        e->cap = e->kept_len; /* no memory for more */
                        return;
                }
                e->kept_len += (uint64_t)k;
                data += k;
                n -= (size_t)k;
        }
}

/* One read's worth; 0: there was nothing, or it has ended. */
static size_t read_some(struct exec *e)
{
        ssize_t n;

        if (e->output_fd < 0)
                return 0;
        do
                n = read(e->output_fd, shim_buffer, SHIM_BUFFER_SIZE);
        while (n < 0 && errno == EINTR);
        if (n > 0) {
                keep(e, shim_buffer, (size_t)n);
                return (size_t)n;
        }
        if (n == 0 || errno != EAGAIN) {
                source_unwatch(&e->output);
                e->output_fd = safe_close(e->output_fd);
        }
        return 0;
}

static void on_output(struct source *source, _unused_ uint32_t events)
{
        read_some(CONTAINER_OF(source, struct exec, output));
}

static void drain(struct exec *e)
{
        enum { ENOUGH = 4 << 20 };
        size_t n, total = 0;

        while (total < ENOUGH && (n = read_some(e)) > 0)
                total += n;
}

/* ---- its end ---- */

/* Its process and what shares its session's first group; a daemon that it left behind stays. */
static void kill_now(const struct exec *e)
{
        if (e->launch.pidfd >= 0)
                sys_pidfd_send_signal(e->launch.pidfd, SIGKILL);
        if (e->answered && e->launch.pid > 1)
                kill(-e->launch.pid, SIGKILL); /* not reaped yet: the number is still its own */
}

static void fail(struct exec *e, int r, unsigned kind, const char *text)
{
        struct line l = LINE(e->message);

        e->failure = r;
        e->kind = kind;
        line_add(&l, text);
}

static void tell_exit(struct exec *e, int exit_code)
{
        struct shim_message m = {
                .verb = SHIM_EV_EXEC_EXITED,
                .value = exit_code,
                .value2 = (int64_t)e->kept_len,
                .flags = e->timed_out ? SHIM_EXEC_TIMED_OUT : 0,
        };

        memcpy(m.id, e->id, sizeof e->id);
        if (e->kept >= 0) {
                fcntl(e->kept, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK);
                lseek(e->kept, 0, SEEK_SET);
        }
        reply(&e->asker, &m, NULL, &e->kept, e->kept >= 0);
        e->kept = -1;
}

static void finish(struct exec *e)
{
        siginfo_t info = { 0 };

        if (waitid(P_PIDFD, (id_t)e->launch.pidfd, &info, WEXITED) < 0)
                info = (siginfo_t){ .si_code = CLD_KILLED, .si_status = SIGKILL };
        drain(e);
        if (e->answered)
                tell_exit(e, exit_code_of(info.si_code, info.si_status));
        else if (e->timed_out)
                reply_failed(&e->asker, e->id, -ETIMEDOUT, ERR_TIMEOUT,
                             "the command could not be started in time");
        else
                reply_failed(&e->asker, e->id, e->failure, e->kind, e->message);
        exec_free(e);
}

static void on_process(struct source *source, _unused_ uint32_t events)
{
        finish(CONTAINER_OF(source, struct exec, process));
}

static void follow_process(struct exec *e)
{
        source_unwatch(&e->channel);
        e->launch.channel = safe_close(e->launch.channel);
        if (source_watch(&e->process, e->launch.pidfd, EPOLLIN) < 0) {
                kill_now(e);
                finish(e);
        }
}

/* ---- its launch ---- */

static void answer(struct exec *e)
{
        struct shim_message m = { .verb = SHIM_OK,
                                  .value = e->launch.pid,
                                  .time_usec = shim_realtime_usec() };
        struct reply_to to = e->asker;
        int fds[3];
        unsigned n_fds = 0;

        for (int n = 0; n < 3; n++)
                if (e->far[n] >= 0)
                        fds[n_fds++] = TAKE_FD(e->far[n]);
        memcpy(m.id, e->id, sizeof e->id);
        e->answered = true;
        e->plan = safe_close(e->plan);
        reply(&to, &m, NULL, fds, n_fds);
}

static void launch_failed(struct exec *e, const struct launch_report *report)
{
        char text[sizeof e->message] = "";
        struct line l = LINE(text);
        struct mapped_plan plan;
        const char *why;

        if (plan_map(e->plan, &plan, &why) == 0) {
                launch_describe(report, &plan.view, &l);
                plan_unmap(&plan);
        }
        fail(e, report->error, launch_error_kind(report, true), text);
}

static void on_report(struct exec *e, const struct launch_report *report, int fd)
{
        switch (report->type) {
        case LAUNCH_CONSOLE:
                safe_close(e->far[0]);
                e->far[0] = fd;
                return;
        case LAUNCH_READY:
                launch_go(&e->launch);
                break;
        case LAUNCH_FAILED:
                launch_failed(e, report);
                kill_now(e);
                follow_process(e);
                break;
        default: /* what a container's start warned of already */
                break;
        }
        safe_close(fd);
}

static void on_channel(struct source *source, _unused_ uint32_t events)
{
        struct exec *e = CONTAINER_OF(source, struct exec, channel);
        struct launch_report report;
        int fd, r = launch_receive(&e->launch, &report, &fd);

        if (r == 1) {
                on_report(e, &report, fd);
        } else if (r != -EAGAIN) {
                if (r == 0 && e->launch.moved)
                        answer(e);
                else
                        fail(e, -ECANCELED, ERR_CONTAINER_START, "killed before it was started");
                follow_process(e);
        }
}

/* ---- start ---- */

static int make_stream(struct exec *e, int n, bool wanted)
{
        int pair[2];

        if (!wanted) {
                e->ends[n] = fcntl(shim.sandbox.lent.null_device, F_DUPFD_CLOEXEC, 3);
                return e->ends[n] < 0 ? -errno : 0;
        }
        if (pipe2(pair, O_CLOEXEC) < 0)
                return -errno;
        e->ends[n] = pair[n != 0];
        e->far[n] = pair[n == 0];
        return 0;
}

/* Both outputs into one pipe, which is read here. */
static int capture_output(struct exec *e)
{
        int r = make_stream(e, 1, true);

        if (r < 0)
                return r;
        e->output_fd = TAKE_FD(e->far[1]);
        e->ends[2] = fcntl(e->ends[1], F_DUPFD_CLOEXEC, 3);
        if (e->ends[2] < 0 || fcntl(e->output_fd, F_SETFL, O_NONBLOCK) < 0)
                return -errno;
        return source_watch(&e->output, e->output_fd, EPOLLIN);
}

static int open_streams(struct exec *e)
{
        bool capture = e->flags & SHIM_EXEC_CAPTURE;
        int r;

        if (e->flags & SHIM_EXEC_TTY)
                return 0; /* from the child itself */
        r = make_stream(e, 0, !capture && e->flags & SHIM_EXEC_STDIN);
        if (r == 0 && capture)
                return capture_output(e);
        if (r == 0)
                r = make_stream(e, 1, e->flags & SHIM_EXEC_STDOUT);
        return r < 0 ? r : make_stream(e, 2, e->flags & SHIM_EXEC_STDERR);
}

static int launch(struct exec *e, const struct exec_target *target, const struct plan_view *plan,
                  const struct plan_view *own)
{
        struct launch_request q = {
                .plan = plan,
                .exec = own,
                .sandbox = &shim.sandbox.lent,
                .cgroup = target->cgroup,
                .seccomp = target->seccomp,
                .container_pidfd = target->pidfd,
                .terminal = e->flags & SHIM_EXEC_TTY,
                .stdio = { e->ends[0], e->ends[1], e->ends[2] },
        };
        int r = launch_start(&q, &e->launch);

        close_all(e->ends);
        return r < 0 ? r : source_watch(&e->channel, e->launch.channel, EPOLLIN);
}

static int begin(struct exec *e, const struct exec_target *target)
{
        struct mapped_plan plan = { 0 }, own = { 0 };
        const char *why = NULL;
        int r = plan_map(e->plan, &own, &why);

        if (r == 0)
                r = plan_view_check_exec(&own.view, &why);
        if (r == 0)
                r = plan_map(target->plan, &plan, &why);
        if (r < 0) {
                fail(e, r, ERR_BAD_INPUT, why ? why : "the plan of the exec cannot be read");
        } else {
                r = open_streams(e);
                if (r == 0)
                        r = launch(e, target, &plan.view, &own.view);
                if (r < 0)
                        fail(e, r, ERR_CONTAINER_START, "start the launch process of the exec");
        }
        plan_unmap(&plan);
        plan_unmap(&own);
        return r;
}

static struct exec *exec_find(const struct reply_to *asker, uint64_t request)
{
        struct exec *e;

        LIST_FOREACH (e, &shim.execs, node)
                if (e->asker.connection == asker->connection && e->asker.request == request)
                        return e;
        return NULL;
}

void exec_start(struct reply_to to, const struct shim_message *m, int plan_fd)
{
        struct exec_target target;
        int r = container_exec_target(m->id, &target);
        struct exec *e;

        if (r < 0) {
                reply_failed(&to, m->id, r, r == -ENOENT ? ERR_NOT_FOUND : ERR_NOT_RUNNING,
                             r == -ENOENT ? "no such container" : "the container does not run");
                return;
        }
        if (exec_find(&to, to.request)) {
                reply_failed(&to, m->id, -EEXIST, ERR_CONFLICT,
                             "an exec with this request's number is under way");
                return;
        }
        e = exec_new(m, &to);
        if (!e) {
                reply_failed(&to, m->id, -ENOMEM, ERR_CONTAINER_START, "out of memory");
                return;
        }
        e->plan = fcntl(plan_fd, F_DUPFD_CLOEXEC, 3);
        if (begin(e, &target) == 0)
                return;
        if (e->launch.pidfd >= 0) {
                kill_now(e);
                follow_process(e);
                return;
        }
        reply_failed(&e->asker, e->id, e->failure, e->kind, e->message);
        exec_free(e);
}

void exec_kill(struct reply_to to, uint64_t request)
{
        struct exec *e = exec_find(&to, request);

        if (!e) {
                reply_failed(&to, NULL, -ENOENT, ERR_NOT_FOUND, "no such exec");
                return;
        }
        kill_now(e);
        reply_ok(&to, e->id, 0);
}

void execs_forget_connection(const struct connection *gone)
{
        struct exec *e;

        LIST_FOREACH (e, &shim.execs, node) {
                if (e->asker.connection != gone)
                        continue;
                e->asker = (struct reply_to){ 0 };
                if (e->flags & SHIM_EXEC_CAPTURE)
                        kill_now(e);
        }
}

bool execs_have_ended(void)
{
        return list_is_empty(&shim.execs);
}

uint64_t execs_deadline(void)
{
        uint64_t deadline = UINT64_MAX;
        struct exec *e;

        LIST_FOREACH (e, &shim.execs, node)
                if (!e->timed_out && e->deadline_usec < deadline)
                        deadline = e->deadline_usec;
        return deadline;
}

void execs_check_deadlines(uint64_t now_usec)
{
        struct exec *e;

        LIST_FOREACH (e, &shim.execs, node) {
                if (e->timed_out || e->deadline_usec > now_usec)
                        continue;
                e->timed_out = true;
                kill_now(e);
        }
}
