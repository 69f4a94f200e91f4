#include "runtime/shim.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "base/err.h"
#include "base/signals.h"
#include "runtime/shim-sys.h"

enum { IDLE_MSEC = 1000, LAST_WORDS_MSEC = 2000 };

struct shim shim;
static int epoll_fd = -1;
static struct reply_to ending_to; /* who asked for the shutdown */
static bool has_ended;
static struct source signals, sandbox_init;

/* ---- the loop ---- */

int source_watch(struct source *s, int fd, uint32_t events)
{
        struct epoll_event e = { .events = events, .data.ptr = s };

        if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &e) < 0)
                return -errno;
        s->fd = fd;
        return 0;
}

int source_change(struct source *s, uint32_t events)
{
        struct epoll_event e = { .events = events, .data.ptr = s };

        return epoll_ctl(epoll_fd, EPOLL_CTL_MOD, s->fd, &e) < 0 ? -errno : 0;
}

void source_unwatch(struct source *s)
{
        if (s->fd >= 0)
                epoll_ctl(epoll_fd, EPOLL_CTL_DEL, s->fd, NULL);
        s->fd = -1;
}

uint64_t shim_monotonic_usec(void)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

uint64_t shim_realtime_usec(void)
{
        struct timespec t;

        clock_gettime(CLOCK_REALTIME, &t);
        return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static int msec_until(uint64_t deadline_usec, int longest)
{
        uint64_t now = shim_monotonic_usec(), msec;

        if (deadline_usec == UINT64_MAX)
                return longest;
        if (deadline_usec <= now)
                return 0;
        msec = (deadline_usec - now + 999) / 1000;
        return longest >= 0 && msec > (uint64_t)longest ? longest
               : msec > INT32_MAX                       ? INT32_MAX
                                                        : (int)msec;
}

/* What deep calls have used of the stack below here, once they are over. */
static void release_stack(void)
{
        enum { DEEPEST = 64 << 10, PAGE = 4096 };
        uintptr_t here = (uintptr_t)__builtin_frame_address(0) & ~(uintptr_t)(PAGE - 1);

        /* the page below is where the call itself happens */
        madvise((void *)(here - PAGE - DEEPEST), DEEPEST, MADV_DONTNEED);
}

static void give_memory_back(void)
{
        shim_buffer_release();
        malloc_trim(0);
        release_stack();
}

/*
 * One event a turn: whoever is called may close and free anything without another event pointing
 * at it; the kernel keeps the ready ones in turn. After a second without any, memory goes back.
 */
static void run(void)
{
        bool fresh = true; /* something was used since memory went back */

        while (!has_ended || !connections_are_flushed()) {
                struct epoll_event e;
                int longest = has_ended ? LAST_WORDS_MSEC : fresh ? IDLE_MSEC : -1;
                uint64_t execs = execs_deadline(), containers = containers_deadline();
                int timeout = msec_until(execs < containers ? execs : containers, longest);
                int n = epoll_wait(epoll_fd, &e, 1, timeout);

                if (n < 0 && errno != EINTR) {
                        shim_warn("Failed to wait for events", NULL, -errno);
                        return;
                }
                if (n == 1) {
                        struct source *s = e.data.ptr;

                        s->on_ready(s, e.events);
                        fresh = true;
                }
                execs_check_deadlines(shim_monotonic_usec());
                containers_check_deadlines(shim_monotonic_usec());
                if (n == 0 && has_ended)
                        return; /* somebody does not read */
                if (n == 0 && fresh && timeout == IDLE_MSEC) {
                        give_memory_back();
                        fresh = false;
                }
        }
}

void shim_warn(const char *what, const char *whom, int r)
{
        char text[1024];
        struct line l = LINE(text);

        line_add(&l, "skiff-shim: ");
        line_add(&l, what);
        if (whom) {
                line_add(&l, " ");
                line_add_quoted(&l, whom);
        }
        if (r < 0)
                line_add_error(&l, r);
        line_add(&l, "\n");
        if (write(STDERR_FILENO, text, l.len) < 0)
                return; /* nowhere left to complain */
}

int exit_code_of(int code, int status)
{
        return code == CLD_EXITED ? status & 0xff : 128 + status;
}

/* ---- the end ---- */

static void kill_sandbox_init(void)
{
        siginfo_t info;

        if (shim.sandbox.init_pidfd < 0)
                return;
        source_unwatch(&sandbox_init);
        sys_pidfd_send_signal(shim.sandbox.init_pidfd, SIGKILL);
        waitid(P_PIDFD, (id_t)shim.sandbox.init_pidfd, &info, WEXITED);
        shim.sandbox.init_pidfd = safe_close(shim.sandbox.init_pidfd);
}

void shim_check_end(void)
{
        if (!shim.ending || has_ended || !containers_have_ended() || !execs_have_ended())
                return;
        kill_sandbox_init();
        reply_ok(&ending_to, NULL, 0);
        has_ended = true;
}

void shim_shutdown(struct reply_to to)
{
        shim.ending = true;
        ending_to = to;
        containers_kill_all();
        shim_check_end();
}

void shim_forget_connection(const struct connection *gone)
{
        if (ending_to.connection == gone)
                ending_to = (struct reply_to){ 0 };
}

static void on_signal(struct source *s, _unused_ uint32_t events)
{
        struct signalfd_siginfo info;

        if (read(s->fd, &info, sizeof info) != sizeof info)
                return;
        if (info.ssi_signo != SIGTERM && info.ssi_signo != SIGINT)
                return;
        /* The machine goes down: the containers were told as well, and have their time to end in.
         */
        shim.ending = true;
        if (!shim.signalled)
                shim.signalled = shim_monotonic_usec();
        shim_check_end();
}

/* Without the first process of the shared PID namespace nothing can be started in it. */
static void on_sandbox_init(struct source *s, _unused_ uint32_t events)
{
        source_unwatch(s);
        shim_warn("The sandbox's first process is gone, ending the sandbox", NULL, 0);
        shim_shutdown((struct reply_to){ 0 });
}

/* ---- birth ---- */

/* Only what the protocol names crosses into this process, and from here into none. */
static int take_descriptors(void)
{
        int null = open("/dev/null", O_RDWR);

        while (null >= 0 && null < 3) /* whichever of 0, 1, 2 was closed */
                null = open("/dev/null", O_RDWR);
        if (null < 0 || dup2(null, STDIN_FILENO) < 0)
                return -errno;
        close(null);
        for (int fd = SHIM_FD_LISTEN; fd < _SHIM_FD_END; fd++)
                if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
                        return -errno;
        return sys_close_range(_SHIM_FD_END, ~0U);
}

/* Dispositions are inherited, and containers inherit from here: all by default but SIGPIPE, which a
 * launch sets back. */
static int take_signals(void)
{
        const struct sigaction ignored = { .sa_handler = SIG_IGN };
        sigset_t taken;
        int fd;

        signals_reset();
        sigaction(SIGPIPE, &ignored, NULL);
        sigemptyset(&taken);
        sigaddset(&taken, SIGTERM);
        sigaddset(&taken, SIGINT);
        sigaddset(&taken, SIGHUP);
        if (sigprocmask(SIG_SETMASK, &taken, NULL) < 0)
                return -errno;
        fd = signalfd(-1, &taken, SFD_CLOEXEC | SFD_NONBLOCK);
        if (fd < 0)
                return -errno;
        signals.on_ready = on_signal;
        return source_watch(&signals, fd, EPOLLIN);
}

static int prepare_process(void)
{
        int r;

        if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || chdir("/") < 0)
                return -errno;
        prctl(PR_SET_NAME, "skiff-shim", 0, 0, 0);
        umask(0027);
        r = take_descriptors();
        if (r < 0)
                return r;
        /* two arenas or a generous top would be memory that nobody uses */
        mallopt(M_ARENA_MAX, 1);
        mallopt(M_TOP_PAD, 0);
        mallopt(M_TRIM_THRESHOLD, 16 << 10);
        r = shim_buffer_open();
        if (r < 0)
                return r;
        epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        return epoll_fd < 0 ? -errno : take_signals();
}

static int make_sandbox(struct line *why, unsigned *kind)
{
        struct mapped_plan plan = { 0 };
        const char *rule;
        int r = plan_map(SHIM_FD_PLAN, &plan, &rule);

        if (r == 0)
                r = plan_view_check_sandbox(&plan.view, &rule);
        if (r < 0) {
                line_add(why, "read the sandbox's plan: ");
                line_add(why, rule);
                *kind = ERR_SANDBOX;
        } else {
                r = sandbox_make(&plan.view, SHIM_FD_TEMPLATE, &shim.sandbox, why, kind);
        }
        plan_unmap(&plan);
        if (r < 0)
                return r;
        close(SHIM_FD_PLAN);
        close(SHIM_FD_TEMPLATE);
        if (shim.sandbox.init_pidfd < 0)
                return 0;
        sandbox_init.on_ready = on_sandbox_init;
        return source_watch(&sandbox_init, shim.sandbox.init_pidfd, EPOLLIN);
}

static int begin(void)
{
        char why[512] = "prepare the shim";
        struct line l = LINE(why);
        struct shim_message m = { .verb = SHIM_EV_READY, .value = getpid(), .kind = ERR_SANDBOX };
        unsigned kind = ERR_SANDBOX;
        int r = prepare_process();

        list_init(&shim.containers);
        list_init(&shim.execs);
        shim.records = SHIM_FD_RECORDS;
        if (r == 0)
                r = make_sandbox(&l, &kind);
        if (r == 0)
                r = connections_listen(SHIM_FD_LISTEN);
        if (r < 0) {
                m.verb = SHIM_FAILED;
                m.value = r;
                m.kind = (uint16_t)kind;
                shim_warn(why, NULL, 0);
                shim_send(SHIM_FD_CONNECTION, &m, why, NULL, 0);
                return r;
        }
        r = connection_add(SHIM_FD_CONNECTION, true);
        if (r == 0)
                send_event(NULL, &m, NULL);
        return r;
}

int main(void)
{
        if (begin() < 0)
                return 1;
        run();
        return 0;
}
