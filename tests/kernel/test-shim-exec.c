/* Execs: probes and hooks with their ends and caps, streams, terminals. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "tests/check.h"
#include "tests/kernel/shim-rig.h"

static struct rig_message m;
static struct rig_exec_outcome e;
static const struct rig_sandbox plain = { 0 };
static struct rig_container sleeper = { .argv = (const char *const[]){ "sleep", "1000", NULL } };

static const char *start(const struct rig_container *c)
{
        const char *id = rig_new_id();

        rig_up(&plain);
        CHECK_INT(rig_create(id, c, &m), 0);
        CHECK_INT(rig_request(SHIM_START, id, 0, NULL, 0, &m), 0);
        return id;
}

static long long now_msec(void)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

TEST(a_captured_exec_brings_both_outputs_and_its_exit_code)
{
        const char *id = start(&sleeper);

        rig_exec(id, rig_sh("echo out; echo err >&2; exit 3"), 25000, 1000, &e);
        CHECK_STR(e.text, "");
        CHECK_INT(e.exit_code, 3);
        CHECK_STR(e.output, "out\nerr\n");
        CHECK_INT(e.len, 8);
        CHECK(!e.timed_out);
        rig_exec(id, rig_sh("kill -9 $$"), 25000, 1000, &e);
        CHECK_INT(e.exit_code, 137);
        CHECK_INT(e.len, 0);
        rig_down();
}

TEST(output_beyond_the_cap_is_read_and_dropped)
{
        const char *id = start(&sleeper);

        rig_exec(id, rig_sh("head -c 10000000 /dev/zero | tr '\\0' x"), 25000, 1000, &e);
        CHECK_INT(e.exit_code, 0);
        CHECK_INT(e.len, 1000);
        rig_exec(id, rig_sh("echo nothing is kept"), 25000, 0, &e);
        CHECK_INT(e.len, 0);
        rig_down();
}

TEST(an_exec_beyond_its_time_is_killed_and_says_so)
{
        const char *id = start(&sleeper);
        long long begin = now_msec();

        rig_exec(id, rig_sh("echo begun; sleep 100 & sleep 100"), 3000, 1000, &e);
        CHECK(e.timed_out);
        CHECK_INT(e.exit_code, 137);
        CHECK_STR(e.output, "begun\n");
        CHECK(now_msec() - begin >= 2990 && now_msec() - begin < 60000);
        rig_exec(id,
                 rig_sh("for i in $(seq 200); do ps | grep -q 'sleep 100$' || exit 0; "
                        "usleep 50000; done; exit 1"),
                 25000, 100, &e);
        CHECK_INT(e.exit_code, 0); /* its children are gone, too */
        rig_down();
}

TEST(a_command_that_is_not_in_the_container_is_named)
{
        const char *id = start(&sleeper), *nope[] = { "nope", NULL }, *bin[] = { "/bin", NULL };

        rig_exec(id, nope, 25000, 1000, &e);
        CHECK_INT(e.r, -ENOENT);
        CHECK_INT(e.kind, ERR_COMMAND_NOT_FOUND);
        CHECK_STR(e.text, "exec 'nope': executable file not found in $PATH");
        rig_exec(id, bin, 25000, 1000, &e);
        CHECK_INT(e.kind, ERR_COMMAND_NOT_EXECUTABLE);
        rig_down();
}

TEST(an_exec_is_confined_as_its_container_is)
{
        static const uint32_t groups[] = { 7, 8 };
        struct rig_container c = sleeper;
        const char *id, *status[] = { "cat", "/proc/self/status", NULL };
        static const char *env[] = { "PATH=/bin", "MARK=here", NULL };

        c.uid = 1000;
        c.gid = 1001;
        c.groups = groups;
        c.n_groups = 2;
        c.env = env;
        c.cwd = "/tmp";
        c.flags = PLAN_NO_NEW_PRIVILEGES | PLAN_HAS_OOM_SCORE;
        c.oom_score_adj = 321;
        id = start(&c);
        rig_exec(id, status, 25000, 8000, &e);
        CHECK_CONTAINS(e.output, "Uid:\t1000\t1000\t1000\t1000\n");
        CHECK_CONTAINS(e.output, "Groups:\t7 8 1001 \n");
        CHECK_CONTAINS(e.output, "CapPrm:\t0000000000000000\n");
        CHECK_CONTAINS(e.output, "CapInh:\t0000000000000000\n");
        CHECK_CONTAINS(e.output, "CapBnd:\t00000000a80425fb\n");
        CHECK_CONTAINS(e.output, "NoNewPrivs:\t1\n");
        rig_exec(id,
                 rig_sh("pwd; echo $MARK; cat /proc/self/oom_score_adj; readlink /proc/1/exe; "
                        "grep ^0:: /proc/self/cgroup; ls /proc/self/fd"),
                 5000, 1000, &e);
        CHECK_STR(e.output, "/tmp\nhere\n321\n/bin/busybox\n0::/\n0\n1\n2\n3\n");
        rig_exec(id,
                 rig_sh("for n in mnt pid net ipc uts cgroup; do readlink /proc/1/ns/$n; "
                        "readlink /proc/self/ns/$n; done | sort | uniq -c | grep -cv ' 2 '"),
                 5000, 1000, &e);
        CHECK_STR(e.output, "0\n");
        rig_down();
}

TEST(a_streamed_exec_gets_pipes_and_its_exit_is_told)
{
        const char *id = start(&sleeper);
        uint64_t request;
        char text[64] = "";
        int in, out, err;

        CHECK_INT(rig_begin_exec(id, rig_sh("cat; echo done >&2; exit 4"),
                                 SHIM_EXEC_STDIN | SHIM_EXEC_STDOUT | SHIM_EXEC_STDERR, 0, 0,
                                 &request, &m),
                  0);
        CHECK_INT(m.n_fds, 3);
        in = m.fds[0];
        out = m.fds[1];
        err = m.fds[2];
        CHECK_INT(write(in, "hello", 5), 5);
        CHECK_INT(read(out, text, sizeof text), 5);
        CHECK(memcmp(text, "hello", 5) == 0);
        close(in);
        rig_wait(SHIM_EV_EXEC_EXITED, id, request, &m);
        CHECK_INT(m.m.value, 4);
        CHECK_INT(read(out, text, sizeof text), 0);
        CHECK_INT(read(err, text, sizeof text), 5);
        CHECK_INT(read(err, text, sizeof text), 0);
        close(out);
        close(err);
        rig_down();
}

TEST(a_terminal_exec_is_a_session_with_a_pty_of_the_container)
{
        const char *id = start(&sleeper);
        struct winsize size = { .ws_row = 33, .ws_col = 99 };
        char text[512] = "";
        uint64_t request;
        size_t n = 0;
        ssize_t k;

        CHECK_INT(rig_begin_exec(id,
                                 rig_sh("tty; read x; stty size; echo got $x; ps -o pid,tty | "
                                        "grep -c pts"),
                                 SHIM_EXEC_TTY | SHIM_EXEC_STDIN | SHIM_EXEC_STDOUT, 0, 0, &request,
                                 &m),
                  0);
        CHECK_INT(m.n_fds, 1);
        CHECK_INT(ioctl(m.fds[0], TIOCSWINSZ, &size), 0);
        CHECK_INT(write(m.fds[0], "word\n", 5), 5);
        while (n < sizeof text - 1 && (k = read(m.fds[0], text + n, sizeof text - 1 - n)) > 0)
                n += (size_t)k;
        CHECK_CONTAINS(text, "/dev/pts/0\r\n");
        CHECK_CONTAINS(text, "33 99\r\n");
        CHECK_CONTAINS(text, "got word\r\n");
        close(m.fds[0]);
        rig_wait(SHIM_EV_EXEC_EXITED, id, request, &m);
        rig_down();
}

TEST(closing_a_terminal_hangs_its_exec_up)
{
        const char *id = start(&sleeper);
        uint64_t request;

        CHECK_INT(rig_begin_exec(id, rig_sh("sleep 100"), SHIM_EXEC_TTY, 0, 0, &request, &m), 0);
        close(m.fds[0]);
        rig_wait(SHIM_EV_EXEC_EXITED, id, request, &m);
        CHECK_INT(m.m.value, 128 + SIGHUP);
        rig_down();
}

TEST(an_exec_is_killed_on_request)
{
        const char *id = start(&sleeper);
        uint64_t request;

        CHECK_INT(rig_begin_exec(id, rig_sh("sleep 100"), SHIM_EXEC_CAPTURE, 0, 0, &request, &m),
                  0);
        CHECK_INT(rig_request(SHIM_EXEC_KILL, NULL, (int64_t)request, NULL, 0, &m), 0);
        rig_wait(SHIM_EV_EXEC_EXITED, id, request, &m);
        CHECK_INT(m.m.value, 137);
        CHECK(!(m.m.flags & SHIM_EXEC_TIMED_OUT));
        rig_down();
}

TEST(captured_execs_die_with_their_connection_and_streamed_ones_live)
{
        const char *id = start(&sleeper);
        uint64_t request;

        CHECK_INT(rig_begin_exec(id, rig_sh("sleep 111"), SHIM_EXEC_CAPTURE, 0, 0, &request, &m),
                  0);
        CHECK_INT(rig_begin_exec(id, rig_sh("sleep 222"), SHIM_EXEC_STDOUT, 0, 0, &request, &m), 0);
        rig_disconnect();
        rig_reconnect();
        CHECK_INT(rig_request(SHIM_HELLO, NULL, 0, NULL, 0, &m), 0);
        rig_exec(
                id,
                rig_sh("for i in $(seq 200); do ps | grep -q 'sleep 11[1]' || break; usleep 50000; "
                       "done; ps | grep -c 'sleep 11[1]'; ps | grep -c 'sleep 22[2]'"),
                25000, 100, &e);
        CHECK_STR(e.output, "0\n1\n");
        rig_down();
}

TEST(execs_end_with_their_container)
{
        const char *id = start(&sleeper);
        uint64_t request;

        CHECK_INT(rig_begin_exec(id, rig_sh("sleep 100"), SHIM_EXEC_CAPTURE, 0, 0, &request, &m),
                  0);
        CHECK_INT(rig_request(SHIM_KILL, id, SIGKILL, NULL, 0, NULL), 0);
        rig_wait(SHIM_EV_EXEC_EXITED, id, request, &m);
        CHECK_INT(m.m.value, 137);
        rig_wait(SHIM_EV_EXITED, id, 0, &m);
        rig_exec(id, rig_sh("true"), 1000, 100, &e);
        CHECK_INT(e.r, -ESRCH);
        CHECK_INT(e.kind, ERR_NOT_RUNNING);
        rig_down();
}

TEST(a_child_that_keeps_the_output_open_does_not_keep_the_result)
{
        const char *id = start(&sleeper);

        rig_exec(id, rig_sh("setsid sleep 500 & echo back"), 20000, 100, &e);
        CHECK_STR(e.output, "back\n");
        CHECK(!e.timed_out);
        rig_down();
}

TEST(many_execs_at_once_all_come_back)
{
        enum { MANY = 40 };
        const char *id = start(&sleeper);
        uint64_t requests[MANY];

        for (int n = 0; n < MANY; n++)
                CHECK_INT(rig_begin_exec(id, rig_sh("sleep 0.2; exit 5"), SHIM_EXEC_CAPTURE, 9000,
                                         100, &requests[n], &m),
                          0);
        for (int n = 0; n < MANY; n++) {
                rig_wait(SHIM_EV_EXEC_EXITED, id, requests[n], &m);
                CHECK_INT(m.m.value, 5);
        }
        rig_down();
}

/* Two launches overlap, and each child is born with the other's channel. */
TEST(pairs_of_short_execs_never_take_each_other_s_end)
{
        enum { ROUNDS = 200 };
        const char *id = start(&sleeper);

        for (int round = 0; round < ROUNDS; round++) {
                const char *const yes[] = { "true", NULL }, *const no[] = { "false", NULL };
                uint64_t requests[2];

                for (int n = 0; n < 2; n++)
                        requests[n] = rig_send_exec(id, n ? no : yes, SHIM_EXEC_CAPTURE, 9000, 100);
                for (int n = 0; n < 2; n++) {
                        rig_wait(SHIM_OK, id, requests[n], &m);
                        rig_wait(SHIM_EV_EXEC_EXITED, id, requests[n], &m);
                        CHECK_INT(m.m.value, n);
                }
        }
        rig_down();
}

/* Root in the container looks at everything that appears in its /proc (PR-02). */
TEST(nobody_in_the_container_can_look_into_an_exec_before_its_execve)
{
        struct rig_container c = {
                .argv = rig_sh("while :; do for p in /proc/[0-9]*; do "
                               "[ $p = /proc/1 ] && continue; "
                               "e=$(readlink $p/exe 2>/dev/null) || continue; "
                               "case $e in /bin/busybox) ;; '') ;; *) echo EXE $e;; esac; "
                               "for f in $p/fd/*; do t=$(readlink $f 2>/dev/null) || continue; "
                               "case $t in /dev/null|pipe:*|/proc*|'') ;; *) echo FD $t;; esac; "
                               "done; done; done"),
        };
        const char *id = start(&c), *quick[] = { "true", NULL };
        char text[65536];

        for (int n = 0; n < 150; n++) {
                rig_exec(id, quick, 25000, 0, &e);
                CHECK_INT(e.exit_code, 0);
        }
        CHECK_INT(rig_request(SHIM_KILL, id, SIGKILL, NULL, 0, NULL), 0);
        rig_wait(SHIM_EV_EXITED, id, 0, &m);
        CHECK(rig_read(rig_log_path(id), text, sizeof text) >= 0);
        CHECK_STR(text, "");
        rig_down();
}

/*
 * Whoever may trace in the container sees the exec's process, and could open what that holds: when
 * it appears there it must hold nothing but its streams and the way back to the shim (INV-09).
 */
TEST(an_exec_holds_no_handle_when_a_tracer_in_the_container_sees_it)
{
        struct rig_container c = {
                .argv = rig_sh("while :; do for p in /proc/[0-9]*; do "
                               "[ $p = /proc/1 ] && continue; "
                               "case $(cat $p/comm 2>/dev/null) in skiff-*) ;; *) continue;; esac; "
                               "for f in $p/fd/*; do t=$(readlink $f 2>/dev/null) || continue; "
                               "echo SEEN; "
                               "case $t in /dev/null|pipe:*|socket:*|'') ;; *) echo FD $t;; esac; "
                               "done; done; done"),
                .caps = CAPS_DEFAULT | UINT64_C(1) << CAP_SYS_PTRACE,
        };
        const char *id = start(&c), *quick[] = { "true", NULL };
        static char text[1 << 20];
        bool seen = false;

        for (int n = 0; n < 400 || (!seen && n < 8000); n++) {
                rig_exec(id, quick, 25000, 0, &e);
                CHECK_INT(e.exit_code, 0);
                if (n % 100 == 99 && rig_read(rig_log_path(id), text, sizeof text) >= 0)
                        seen = strstr(text, "SEEN") != NULL;
        }
        CHECK(seen); /* or nothing was tried */
        CHECK_INT(rig_request(SHIM_KILL, id, SIGKILL, NULL, 0, NULL), 0);
        rig_wait(SHIM_EV_EXITED, id, 0, &m);
        CHECK(rig_read(rig_log_path(id), text, sizeof text) >= 0);
        CHECK(!strstr(text, "FD "));
        rig_down();
}

/* ---- attaching ---- */

TEST(copies_of_a_container_s_output_begin_now_and_end_with_it)
{
        struct rig_container c = { .argv = rig_sh("trap 'echo last; exit 3' TERM; echo first; "
                                                  "while :; do sleep 0.02; done") };
        const char *id = start(&c);
        static char text[4096];
        int first, second;

        rig_wait_for_log(id, "first");
        CHECK_INT(rig_attach(id, SHIM_EXEC_STDIN | SHIM_EXEC_STDOUT | SHIM_EXEC_STDERR, &m), 0);
        CHECK_INT(m.m.flags, SHIM_EXEC_STDOUT | SHIM_EXEC_STDERR); /* it has no input */
        CHECK_INT(m.n_fds, 2);
        first = m.fds[0];
        close(m.fds[1]);
        CHECK_INT(rig_attach(id, SHIM_EXEC_STDOUT, &m), 0);
        second = m.fds[0];
        close(second); /* who goes is no trouble for the others */
        CHECK_INT(rig_request(SHIM_KILL, id, SIGTERM, NULL, 0, NULL), 0);
        rig_wait(SHIM_EV_EXITED, id, 0, &m);
        CHECK_INT(read(first, text, sizeof text), 5);
        CHECK(memcmp(text, "last\n", 5) == 0);
        CHECK_INT(read(first, text, sizeof text), 0);
        close(first);
        CHECK_INT(rig_attach(id, SHIM_EXEC_STDOUT, &m), -ESRCH);
        rig_down();
}

TEST(who_is_attached_and_does_not_read_loses_the_rest_and_the_container_does_not_wait)
{
        struct rig_container c = {
                .argv = rig_sh("while ! [ -e /go ]; do sleep 0.02; done; "
                               "head -c 3000000 /dev/zero | tr '\\0' x; echo; exit 5")
        };
        const char *id = start(&c);
        size_t total = 0;
        ssize_t n;
        int tap;

        CHECK_INT(rig_attach(id, SHIM_EXEC_STDOUT, &m), 0);
        tap = m.fds[0];
        rig_exec(id, rig_sh("touch /go"), 5000, 0, &e);
        rig_wait(SHIM_EV_EXITED, id, 0, &m);
        CHECK_INT(m.m.value, 5);
        {
                static char text[65536];

                while ((n = read(tap, text, sizeof text)) > 0)
                        total += (size_t)n;
        }
        CHECK_INT(n, 0);
        CHECK(total > 0 && total < 3000000);
        close(tap);
        rig_down();
}
