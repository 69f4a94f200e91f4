/*
 * One container, from its plan to its exit record.
 *
 *      CREATING ──READY──▶ CREATED ──START──▶ STARTING ──execve──▶ RUNNING ──pidfd──▶ EXITED
 *          │                  │ killed            │ failed                               │
 *          ▼ failed           ▼                   ▼                                      ▼ DELETE
 *       (dies, answered,   DYING ───pidfd──────▶ EXITED, never started               forgotten
 *        forgotten)
 *
 * Until execve its child is followed by the launch channel, then by its pidfd.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>

#include "base/err.h"
#include "runtime/shim-sys.h"
#include "runtime/shim.h"

enum container_phase {
        CONTAINER_CREATING, /* the child prepares */
        CONTAINER_CREATED,  /* it waits for START */
        CONTAINER_STARTING, /* between START and execve */
        CONTAINER_RUNNING,
        CONTAINER_DYING, /* will never run: its child is on its way out */
        CONTAINER_EXITED,
};

struct container {
        struct list_node node;
        char id[SHIM_ID_SIZE];
        enum container_phase phase;
        bool was_created;        /* it was told so: its end will be an event */
        struct reply_to waiting; /* for the answer to CREATE or START */

        struct launch launch; /* owned */
        struct source channel, process;
        int plan, cgroup, seccomp; /* owned; seccomp -1: unconfined */
        bool own_pid, terminal, stdin_once;
        bool is_overdue;    /* its time was over, and it was killed */
        uint64_t stop_usec; /* that time */

        struct container_log log;
        struct log_stream out, err;
        int input;   /* owned; write end of its stdin, or its terminal; -1: none */
        int ends[3]; /* owned: the child's, until it is cloned */

        uint64_t oom_kills; /* of its cgroup before it began */
        uint64_t started_usec, finished_usec;
        int exit_code;
        bool oom_killed, start_failed;
        int failure;       /* errno of a failed create or start */
        unsigned kind;     /* enum err_kind of it */
        char *message;     /* owned: its sentence, or NULL */
        uint64_t sequence; /* of its exit event; 0: none, or acknowledged */
};

static void on_channel(struct source *source, uint32_t events);
static void on_process(struct source *source, uint32_t events);

static struct container *container_find(const char *id)
{
        struct container *c;

        LIST_FOREACH (c, &shim.containers, node)
                if (strcmp(c->id, id) == 0)
                        return c;
        return NULL;
}

static struct container *container_new(const char *id)
{
        struct container *c = calloc(1, sizeof *c);

        if (!c)
                return NULL;
        memcpy(c->id, id, sizeof c->id);
        c->launch = LAUNCH_NONE;
        c->channel = SOURCE_OFF(on_channel);
        c->process = SOURCE_OFF(on_process);
        c->plan = c->cgroup = c->seccomp = c->input = -1;
        c->ends[0] = c->ends[1] = c->ends[2] = -1;
        c->log = LOG_NONE;
        c->out.fd = c->out.source.fd = c->err.fd = c->err.source.fd = -1;
        list_append(&shim.containers, &c->node);
        return c;
}

static void close_ends(struct container *c)
{
        for (int n = 0; n < 3; n++)
                c->ends[n] = safe_close(c->ends[n]);
}

static void container_free(struct container *c)
{
        list_remove(&c->node);
        source_unwatch(&c->channel);
        source_unwatch(&c->process);
        launch_done(&c->launch);
        log_stream_close(&c->out);
        log_stream_close(&c->err);
        log_close(&c->log);
        close_ends(c);
        safe_close(c->input);
        safe_close(c->plan);
        safe_close(c->cgroup);
        safe_close(c->seccomp);
        free(c->message);
        free(c);
}

/* ---- its cgroup ---- */

/* All in it, and what they fork meanwhile; walking cgroup.procs would race that (Linux 5.14). */
static int kill_cgroup(const struct container *c)
{
        _cleanup_close_ int fd = openat(c->cgroup, "cgroup.kill", O_WRONLY | O_CLOEXEC);

        return fd < 0 || write(fd, "1", 1) < 0 ? -errno : 0;
}

/*
 * Before execve there is but the one process, and its cgroup is left alone: since Linux 6.14 a
 * clone into a cgroup that was ever killed dies at birth, which a second create would meet.
 */
static void kill_now(const struct container *c)
{
        if (c->phase == CONTAINER_RUNNING)
                kill_cgroup(c);
        if (c->launch.pidfd >= 0)
                sys_pidfd_send_signal(c->launch.pidfd, SIGKILL);
}

/* "oom_kill" of memory.events, which counts descendants too; 0 where there is no such file. */
static uint64_t read_oom_kills(const struct container *c)
{
        _cleanup_close_ int fd = openat(c->cgroup, "memory.events", O_RDONLY | O_CLOEXEC);
        char text[512];
        const char *at;
        uint64_t count;
        ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);

        if (n <= 0)
                return 0;
        text[n] = '\0';
        at = strstr(text, "oom_kill ");
        if (!at || (at != text && at[-1] != '\n'))
                return 0;
        at += strlen("oom_kill ");
        return text_is_number(at, strcspn(at, "\n"), &count) ? count : 0;
}

/* ---- what others are told ---- */

static void fill_state(const struct container *c, struct shim_message *m)
{
        struct line id = { .data = m->id, .size = SHIM_ID_SIZE };
        bool exited = c->phase == CONTAINER_EXITED;

        line_add(&id, c->id);
        m->state = exited                          ? SHIM_EXITED
                   : c->phase == CONTAINER_RUNNING ? SHIM_RUNNING
                                                   : SHIM_CREATED;
        m->value = exited ? c->exit_code : c->launch.pid;
        m->flags = (c->oom_killed ? SHIM_STATE_OOM_KILLED : 0) |
                   (c->start_failed ? SHIM_STATE_START_FAILED : 0);
        m->time_usec = c->started_usec;
        m->time2_usec = c->finished_usec;
        m->kind = (uint16_t)c->kind;
}

static void tell_exit(const struct container *c, struct connection *to)
{
        struct shim_message m = { .verb = SHIM_EV_EXITED, .sequence = c->sequence };

        fill_state(c, &m);
        send_event(to, &m, c->message);
}

void containers_tell(struct connection *to)
{
        struct container *c;

        LIST_FOREACH (c, &shim.containers, node) {
                struct shim_message m = { .verb = SHIM_EV_STATE };

                if (!c->was_created)
                        continue;
                fill_state(c, &m);
                send_event(to, &m, c->message);
        }
        LIST_FOREACH (c, &shim.containers, node)
                if (c->sequence)
                        tell_exit(c, to);
}

void containers_acknowledge(uint64_t sequence)
{
        struct container *c;

        LIST_FOREACH (c, &shim.containers, node)
                if (c->sequence <= sequence)
                        c->sequence = 0;
}

void containers_forget_connection(const struct connection *gone)
{
        struct container *c;

        LIST_FOREACH (c, &shim.containers, node)
                if (c->waiting.connection == gone)
                        c->waiting = (struct reply_to){ 0 };
}

static void reply_started(struct container *c)
{
        struct shim_message m = { .verb = SHIM_OK };

        fill_state(c, &m);
        m.value = c->launch.pid;
        m.flags = 0;
        m.kind = 0;
        reply(&c->waiting, &m, NULL, NULL, 0);
}

static void reply_failure(struct container *c)
{
        reply_failed(&c->waiting, c->id, c->failure, c->kind, c->message);
}

static void set_failure(struct container *c, int r, unsigned kind, const char *text)
{
        free(c->message);
        c->message = strdup(text);
        c->failure = r;
        c->kind = kind;
}

/* ---- its end ---- */

static void record_exit(struct container *c)
{
        struct exit_record record = {
                .exit_code = c->exit_code,
                .oom_killed = c->oom_killed,
                .start_failed = c->start_failed,
                .started_usec = c->started_usec,
                .finished_usec = c->finished_usec,
                .message = c->message ? c->message : "",
        };
        int r = exit_record_write(shim.records, c->id, &record);

        if (r < 0)
                shim_warn("Failed to record the exit of", c->id, r);
}

/* Everything of it that an exited container does not need; its streams go on to their ends. */
static void let_go(struct container *c)
{
        source_unwatch(&c->channel);
        source_unwatch(&c->process);
        launch_done(&c->launch);
        c->cgroup = safe_close(c->cgroup);
        c->plan = safe_close(c->plan);
        c->seccomp = safe_close(c->seccomp);
        c->input = safe_close(c->input);
}

/* On disk, then told (the answer to who asked first, then the event to all). */
static void become_exited(struct container *c)
{
        log_stream_drain(&c->out);
        log_stream_drain(&c->err);
        c->oom_killed = c->started_usec && read_oom_kills(c) > c->oom_kills;
        c->finished_usec = shim_realtime_usec();
        record_exit(c);
        c->phase = CONTAINER_EXITED;
        c->sequence = ++shim.last_sequence;
        let_go(c);
        reply_failure(c);
        tell_exit(c, NULL);
        shim_check_end();
}

/* Its process is no more: reaps it and draws the consequence. */
static void reap(struct container *c)
{
        siginfo_t info = { 0 };
        bool create_failed = !c->was_created;

        if (waitid(P_PIDFD, (id_t)c->launch.pidfd, &info, WEXITED) < 0)
                info = (siginfo_t){ .si_code = CLD_KILLED, .si_status = SIGKILL };
        if (!c->own_pid && c->started_usec) /* else the rest died with its PID namespace */
                kill_cgroup(c);
        c->exit_code = c->start_failed ? 128 : exit_code_of(info.si_code, info.si_status);
        if (create_failed) {
                reply_failure(c);
                container_free(c);
                shim_check_end();
                return;
        }
        become_exited(c);
}

static void on_process(struct source *source, _unused_ uint32_t events)
{
        reap(CONTAINER_OF(source, struct container, process));
}

/* Follows the process instead of the channel from now on. */
static void follow_process(struct container *c, enum container_phase next)
{
        source_unwatch(&c->channel);
        c->launch.channel = safe_close(c->launch.channel);
        c->phase = next;
        if (source_watch(&c->process, c->launch.pidfd, EPOLLIN) < 0) {
                kill_now(c); /* no memory to watch it: it must not run unwatched */
                reap(c);
        }
}

/* ---- its launch ---- */

static void describe(const struct container *c, const struct launch_report *report, struct line *l)
{
        struct mapped_plan plan;
        const char *why;

        if (plan_map(c->plan, &plan, &why) < 0)
                return;
        launch_describe(report, &plan.view, l);
        plan_unmap(&plan);
}

static void launch_failed(struct container *c, const struct launch_report *report)
{
        bool starting = c->phase == CONTAINER_STARTING;
        char text[1024] = "";
        struct line l = LINE(text);

        describe(c, report, &l);
        set_failure(c, report->error, launch_error_kind(report, starting), text);
        c->start_failed = starting;
        kill_now(c);
        follow_process(c, CONTAINER_DYING);
}

/* The channel's end: after START, execve; before, somebody killed it. */
static void launch_ended(struct container *c)
{
        if (c->phase == CONTAINER_STARTING && (c->own_pid || c->launch.moved)) {
                c->started_usec = shim_realtime_usec();
                c->phase = CONTAINER_RUNNING;
                reply_started(c);
                follow_process(c, CONTAINER_RUNNING);
        } else {
                set_failure(c, -ECANCELED, ERR_CONTAINER_CREATE, "killed before it was started");
                follow_process(c, CONTAINER_DYING);
        }
}

static void warn(const struct container *c, const struct launch_report *report)
{
        char text[512] = "";
        struct line l = LINE(text);

        describe(c, report, &l);
        line_add(&l, ", going on without; container");
        shim_warn(text, c->id, 0);
}

static int take_terminal(struct container *c, int master)
{
        int reader;

        if (master < 0 || c->input >= 0) {
                safe_close(master);
                return -EBADMSG;
        }
        c->input = master;
        reader = fcntl(master, F_DUPFD_CLOEXEC, 3);
        return reader < 0 ? -errno : log_stream_open(&c->out, &c->log, "stdout", reader);
}

static void on_report(struct container *c, const struct launch_report *report, int fd)
{
        int r;

        switch (report->type) {
        case LAUNCH_CONSOLE:
                r = take_terminal(c, fd);
                if (r < 0) {
                        set_failure(c, r, ERR_CONTAINER_CREATE, "take over the terminal");
                        kill_now(c);
                        follow_process(c, CONTAINER_DYING);
                }
                return;
        case LAUNCH_WARNING:
                warn(c, report);
                break;
        case LAUNCH_READY:
                c->phase = CONTAINER_CREATED;
                c->was_created = true;
                reply_ok(&c->waiting, c->id, c->launch.pid);
                break;
        case LAUNCH_FAILED:
                launch_failed(c, report);
                break;
        default:
                break;
        }
        safe_close(fd);
}

static void on_channel(struct source *source, _unused_ uint32_t events)
{
        struct container *c = CONTAINER_OF(source, struct container, channel);
        struct launch_report report;
        int fd, r = launch_receive(&c->launch, &report, &fd);

        if (r == 1)
                on_report(c, &report, fd);
        else if (r != -EAGAIN)
                launch_ended(c);
}

/* ---- create ---- */

static int make_pipe(int *ret_read, int *ret_write)
{
        int pair[2];

        if (pipe2(pair, O_CLOEXEC) < 0)
                return -errno;
        *ret_read = pair[0];
        *ret_write = pair[1];
        return 0;
}

static int open_output(struct container *c, struct log_stream *s, const char *name, int *end)
{
        int reader, r = make_pipe(&reader, end);

        return r < 0 ? r : log_stream_open(s, &c->log, name, reader);
}

/* Our ends of its streams; a terminal comes from the child itself. */
static int open_streams(struct container *c, uint32_t flags)
{
        int r = 0;

        if (c->terminal)
                return 0;
        if (flags & PLAN_STDIN)
                r = make_pipe(&c->ends[0], &c->input);
        else
                c->ends[0] = fcntl(shim.sandbox.lent.null_device, F_DUPFD_CLOEXEC, 3);
        if (r == 0 && c->ends[0] < 0)
                r = -errno;
        if (r == 0)
                r = open_output(c, &c->out, "stdout", &c->ends[1]);
        if (r == 0)
                r = open_output(c, &c->err, "stderr", &c->ends[2]);
        return r;
}

static int launch(struct container *c, const struct plan_view *plan)
{
        struct launch_request q = {
                .plan = plan,
                .sandbox = &shim.sandbox.lent,
                .cgroup = c->cgroup,
                .seccomp = c->seccomp,
                .container_pidfd = -1,
                .terminal = c->terminal,
                .stdio = { c->ends[0], c->ends[1], c->ends[2] },
        };
        int r = launch_start(&q, &c->launch);

        close_ends(c);
        return r < 0 ? r : source_watch(&c->channel, c->launch.channel, EPOLLIN);
}

/* "<what>['<whom>']: <error>" as its failure. */
static int fail(struct container *c, int r, const char *what, const char *whom)
{
        char text[512];
        struct line l = LINE(text);

        line_add(&l, what);
        if (whom) {
                line_add(&l, " ");
                line_add_quoted(&l, whom);
        }
        line_add_error(&l, r);
        set_failure(c, r, r == -ENOSPC ? ERR_NO_SPACE : ERR_CONTAINER_CREATE, text);
        return r;
}

static int begin(struct container *c)
{
        struct mapped_plan plan = { 0 };
        const char *why;
        uint32_t flags;
        int r = plan_map(c->plan, &plan, &why);

        if (r == 0)
                r = plan_view_check_container(&plan.view, &why);
        if (r == 0 && (!plan.view.id || strcmp(plan.view.id, c->id) != 0)) {
                r = -EBADMSG;
                why = "it is another container's";
        }
        if (r < 0) {
                plan_unmap(&plan);
                return fail(c, r, "read the launch plan", why);
        }
        flags = plan.view.container->flags;
        c->own_pid = flags & PLAN_OWN_PID;
        c->terminal = flags & PLAN_TERMINAL;
        c->stdin_once = flags & PLAN_STDIN_ONCE;
        c->stop_usec = plan.view.container->stop_sec * UINT64_C(1000000);
        c->oom_kills = read_oom_kills(c);
        r = log_open(&c->log, plan.view.log_path, plan.view.log ? plan.view.log->max_size : 0,
                     plan.view.log ? plan.view.log->max_files : 0);
        if (r < 0) {
                fail(c, r, "open log", plan.view.log_path);
        } else {
                r = open_streams(c, flags);
                if (r == 0)
                        r = launch(c, &plan.view);
                if (r < 0)
                        fail(c, r, "start the launch process", NULL);
        }
        plan_unmap(&plan);
        return r;
}

static int take(int *fd)
{
        return TAKE_FD(*fd);
}

void container_create(struct reply_to to, const char *id, int *fds, unsigned n_fds)
{
        struct container *c = container_find(id);

        if (c && c->was_created) {
                reply_ok(&to, id, c->launch.pid);
                return;
        }
        if (c && c->waiting.connection) {
                reply_failed(&to, id, -EALREADY, ERR_CONFLICT, "it is being created already");
                return;
        }
        if (c) { /* who asked before is gone; nobody else knows of it */
                c->waiting = to;
                return;
        }
        c = container_new(id);
        if (!c) {
                reply_failed(&to, id, -ENOMEM, ERR_CONTAINER_CREATE, "out of memory");
                return;
        }
        c->plan = take(&fds[0]);
        c->cgroup = take(&fds[1]);
        c->seccomp = n_fds > 2 ? take(&fds[2]) : -1;
        c->waiting = to;
        if (begin(c) < 0) {
                if (c->launch.pidfd >= 0) {
                        kill_now(c);
                        follow_process(c, CONTAINER_DYING);
                        return;
                }
                reply_failure(c);
                container_free(c);
        }
}

/* ---- the other verbs ---- */

static void not_found(struct reply_to *to, const char *id)
{
        reply_failed(to, id, -ENOENT, ERR_NOT_FOUND, "no such container");
}

void container_start(struct reply_to to, const char *id)
{
        struct container *c = container_find(id);

        if (!c || !c->was_created) {
                not_found(&to, id);
                return;
        }
        switch (c->phase) {
        case CONTAINER_CREATED:
                c->waiting = to;
                /* a failure is a dead child, whose end the channel tells in a moment */
                if (launch_go(&c->launch) == 0)
                        c->phase = CONTAINER_STARTING;
                break;
        case CONTAINER_STARTING:
        case CONTAINER_DYING:
                c->waiting = to; /* the latest who asks is answered */
                break;
        case CONTAINER_EXITED:
                if (!c->started_usec) {
                        reply_failed(&to, id, c->failure, c->kind, c->message);
                        break;
                }
                /* fall through */
        default: /* started already, and maybe over by now, as the exit event says */
                c->waiting = to;
                reply_started(c);
        }
}

void container_kill(struct reply_to to, const char *id, int signal)
{
        struct container *c = container_find(id);
        int r = 0;

        if (!c) {
                not_found(&to, id);
                return;
        }
        if (c->phase == CONTAINER_EXITED)
                r = -ESRCH;
        else if (signal == SIGKILL || (c->phase != CONTAINER_RUNNING && signal != 0))
                kill_now(c); /* what has not begun has nothing to put in order first */
        else
                r = sys_pidfd_send_signal(c->launch.pidfd, signal);
        if (r < 0)
                reply_failed(&to, id, r, r == -ESRCH ? ERR_NOT_RUNNING : ERR_OTHER,
                             "the container does not run");
        else
                reply_ok(&to, id, 0);
}

void container_reopen_log(struct reply_to to, const char *id)
{
        struct container *c = container_find(id);
        int r;

        if (!c) {
                not_found(&to, id);
                return;
        }
        r = log_reopen(&c->log);
        if (r < 0)
                reply_failed(&to, id, r, ERR_OTHER, "open the log file anew");
        else
                reply_ok(&to, id, 0);
}

static void add_tap(struct shim_message *answer, int *fds, unsigned *n_fds, struct log_stream *s,
                    uint16_t flag)
{
        int fd = log_stream_tap(s);

        if (fd < 0)
                return;
        answer->flags |= flag;
        fds[(*n_fds)++] = fd;
}

/* Input ends with its last writer: of a stdin-once container that is the first who attaches. */
static int lend_input(struct container *c)
{
        if (c->stdin_once && !c->terminal)
                return TAKE_FD(c->input);
        return c->input < 0 ? -1 : fcntl(c->input, F_DUPFD_CLOEXEC, 3);
}

void container_attach(struct reply_to to, const struct shim_message *m)
{
        struct container *c = container_find(m->id);
        struct shim_message answer = { .verb = SHIM_OK };
        int fds[3];
        unsigned n_fds = 0;

        if (!c) {
                not_found(&to, m->id);
                return;
        }
        if (c->phase != CONTAINER_RUNNING) {
                reply_failed(&to, m->id, -ESRCH, ERR_NOT_RUNNING, "the container does not run");
                return;
        }
        if (m->flags & SHIM_EXEC_STDIN || c->terminal) {
                fds[0] = lend_input(c);
                if (fds[0] >= 0) {
                        answer.flags |= SHIM_EXEC_STDIN;
                        n_fds++;
                }
        }
        if (m->flags & SHIM_EXEC_STDOUT)
                add_tap(&answer, fds, &n_fds, &c->out, SHIM_EXEC_STDOUT);
        if (m->flags & SHIM_EXEC_STDERR && !c->terminal)
                add_tap(&answer, fds, &n_fds, &c->err, SHIM_EXEC_STDERR);
        if (c->terminal)
                answer.flags |= SHIM_EXEC_TTY;
        reply(&to, &answer, NULL, fds, n_fds);
}

void container_delete(struct reply_to to, const char *id)
{
        struct container *c = container_find(id);

        if (c && c->phase != CONTAINER_EXITED) {
                reply_failed(&to, id, -EBUSY, ERR_CONFLICT, "the container has not exited");
                return;
        }
        if (c)
                container_free(c);
        reply_ok(&to, id, 0);
}

void containers_kill_all(void)
{
        struct container *c;

        LIST_FOREACH (c, &shim.containers, node)
                if (c->phase != CONTAINER_EXITED)
                        kill_now(c);
}

uint64_t containers_deadline(void)
{
        uint64_t first = UINT64_MAX;
        struct container *c;

        if (!shim.signalled)
                return UINT64_MAX;
        LIST_FOREACH (c, &shim.containers, node)
                if (c->phase != CONTAINER_EXITED && !c->is_overdue &&
                    shim.signalled + c->stop_usec < first)
                        first = shim.signalled + c->stop_usec;
        return first;
}

void containers_check_deadlines(uint64_t now_usec)
{
        struct container *c;

        if (!shim.signalled)
                return;
        LIST_FOREACH (c, &shim.containers, node) {
                if (c->phase == CONTAINER_EXITED || c->is_overdue ||
                    now_usec < shim.signalled + c->stop_usec)
                        continue;
                c->is_overdue = true;
                kill_now(c);
        }
}

bool containers_have_ended(void)
{
        struct container *c;

        LIST_FOREACH (c, &shim.containers, node)
                if (c->phase != CONTAINER_EXITED)
                        return false;
        return true;
}

int container_exec_target(const char *id, struct exec_target *ret)
{
        struct container *c = container_find(id);

        if (!c)
                return -ENOENT;
        if (c->phase != CONTAINER_RUNNING)
                return -ESRCH;
        *ret = (struct exec_target){
                .plan = c->plan,
                .cgroup = c->cgroup,
                .seccomp = c->seccomp,
                .pidfd = c->launch.pidfd,
        };
        return 0;
}
