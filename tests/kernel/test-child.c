#include "base/child.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/fs.h"
#include "base/text.h"
#include "tests/check.h"

struct seen {
        sd_event *event;
        bool done, timed_out, free_in_done;
        int exit_code;
        char output[8192], errors[1024];
        size_t output_len;
};

static void on_done(struct child *c, const struct child_result *result, void *userdata)
{
        struct seen *s = userdata;

        CHECK(!s->done);
        s->done = true;
        if (s->free_in_done)
                child_free(c);
        s->timed_out = result->timed_out;
        s->exit_code = result->exit_code;
        s->output_len = result->output_len;
        snprintf(s->output, sizeof s->output, "%s", result->output);
        snprintf(s->errors, sizeof s->errors, "%s", result->errors);
        sd_event_exit(s->event, 0);
}

static struct seen run(struct child_options o)
{
        struct seen s = { 0 };
        _cleanup_err_ struct err err = { 0 };
        _cleanup_(child_freep)
        struct child *c = NULL;

        CHECK(sd_event_new(&s.event) >= 0);
        if (child_spawn(s.event, &o, on_done, &s, &c, &err) < 0)
                fail_msg("%s", err_text(&err));
        CHECK(!s.done);
        CHECK(sd_event_loop(s.event) >= 0);
        CHECK(s.done);
        c = child_free(c);
        s.event = sd_event_unref(s.event);
        return s;
}

#define SHELL(script)                         \
        (const char *const[])                 \
        {                                     \
                "/bin/sh", "-c", script, NULL \
        }

TEST(output_errors_and_exit_code_come_back)
{
        struct seen s = run(
                (struct child_options){ .argv = SHELL("echo out; echo err >&2; exit 7") });

        CHECK_STR(s.output, "out\n");
        CHECK_STR(s.errors, "err\n");
        CHECK_INT(s.exit_code, 7);
        CHECK(!s.timed_out);
}

TEST(a_signal_is_128_and_its_number)
{
        CHECK_INT(run((struct child_options){ .argv = SHELL("kill -TERM $$") }).exit_code, 143);
}

TEST(a_program_that_is_not_there_is_an_error_of_spawn)
{
        static const struct {
                const char *path;
                int error;
        } cases[] = { { "/nonexistent", -ENOENT },
                      { "/etc/passwd", -EACCES },
                      { "/", -EACCES },
                      { "sh", -EINVAL } };
        _cleanup_(sd_event_unrefp)
        sd_event *event = NULL;

        CHECK(sd_event_new(&event) >= 0);
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                const char *const argv[] = { cases[i].path, NULL };
                struct child_options o = { .argv = argv };
                _cleanup_err_ struct err err = { 0 };
                struct child *c = NULL;

                CHECK_INT(child_spawn(event, &o, on_done, NULL, &c, &err), cases[i].error);
                CHECK(c == NULL);
                CHECK_CONTAINS(err_text(&err), cases[i].path);
        }
        CHECK_INT(waitpid(-1, NULL, WNOHANG), -1); /* nothing left to reap */
        CHECK_INT(errno, ECHILD);
}

TEST(standard_input_is_what_was_given_or_empty)
{
        CHECK_STR(run((struct child_options){
                              .argv = SHELL("cat"), .input = "hello", .input_len = 5 })
                          .output,
                  "hello");
        CHECK_STR(run((struct child_options){ .argv = SHELL("cat; echo end") }).output, "end\n");
}

TEST(output_beyond_the_cap_is_dropped_and_the_program_goes_on)
{
        struct seen s = run((struct child_options){
                .argv = SHELL("head -c 3000000 /dev/zero | tr '\\0' x; exit 3"),
                .output_max = 100 });

        CHECK_INT(s.exit_code, 3);
        CHECK_INT(s.output_len, 100);
        CHECK_INT(strlen(s.output), 100);
}

TEST(at_the_deadline_the_whole_process_group_is_killed)
{
        usec_t before = now_monotonic();
        struct seen s = run((struct child_options){ .argv = SHELL("sleep 100 & echo $!; wait"),
                                                    .timeout_usec = 100 * USEC_PER_MSEC });
        _cleanup_free_ char *path = NULL, *status = NULL;

        CHECK(s.timed_out);
        CHECK_INT(s.exit_code, 137);
        CHECK(now_monotonic() - before < 5 * USEC_PER_SEC);
        path = text_printf("/proc/%d/status", (int)strtoul(s.output, NULL, 10));
        for (int i = 0; i < 100; i++) {
                status = (free(status), NULL);
                if (fs_read_at(AT_FDCWD, path, 65536, &status, NULL) < 0 ||
                    strstr(status, "State:\tZ"))
                        return;
                usleep(10000);
        }
        fail_msg("the grandchild is still there: %s", path);
}

TEST(a_daemon_left_behind_does_not_hold_up_the_end)
{
        usec_t before = now_monotonic();
        struct seen s = run((struct child_options){ .argv = SHELL("sleep 3 & echo started") });

        CHECK_STR(s.output, "started\n");
        CHECK(now_monotonic() - before < 2 * USEC_PER_SEC);
}

TEST(descriptors_become_3_4_and_5_whatever_their_numbers_were)
{
        int a = fs_sealed_memfd("a", "A", 1), b = fs_sealed_memfd("b", "B", 1),
            c = fs_sealed_memfd("c", "C", 1), high, fds[3];
        struct seen s;

        CHECK(a >= 0 && b >= 0 && c >= 0);
        high = fcntl(a, F_DUPFD_CLOEXEC, 40);
        CHECK(dup2(c, 3) == 3 && dup2(b, 5) == 5); /* sources that are targets of others */
        fds[0] = high;
        fds[1] = 5;
        fds[2] = 3;
        s = run((struct child_options){
                .argv = SHELL("cat <&3; cat <&4; cat <&5; cd /proc/self/fd; echo *"),
                .fds = fds,
                .n_fds = 3 });
        CHECK_STR(s.output, "ABC0 1 2 3 4 5 6\n"); /* 6: the shell's own, of the glob */
        for (int fd = 3; fd < 60; fd++)
                close(fd);
}

TEST(nothing_is_inherited_but_what_was_given)
{
        int leak = open("/dev/null", O_RDONLY); /* without O_CLOEXEC, as some library may */
        sigset_t blocked, before;
        struct seen s;

        signal(SIGPIPE, SIG_IGN);
        sigemptyset(&blocked);
        sigaddset(&blocked, SIGTERM);
        sigprocmask(SIG_BLOCK, &blocked, &before);
        setenv("SECRET", "x", 1);
        umask(0);
        s = run((struct child_options){
                .argv = SHELL("grep -E 'Sig(Blk|Ign|Cgt)' /proc/$$/status | cut -f2; pwd; umask; "
                              "echo /proc/self/fd/*; echo \"$SECRET$PATH\"") });
        CHECK_CONTAINS(s.output, "0000000000000000\n0000000000000000\n");
        CHECK_CONTAINS(s.output, "\n/\n0022\n");
        CHECK_CONTAINS(s.output, "/fd/2 /proc/self/fd/3\n"); /* 3: of the glob */
        CHECK_CONTAINS(s.output, "\n/usr/local/sbin:");
        umask(022);
        signal(SIGPIPE, SIG_DFL);
        sigprocmask(SIG_SETMASK, &before, NULL);
        close(leak);
}

TEST(the_environment_is_the_one_given)
{
        const char *const env[] = { "A=1", "B=2", NULL };
        const char *const argv[] = { "/usr/bin/env", NULL };

        CHECK_STR(run((struct child_options){ .argv = argv, .env = env }).output, "A=1\nB=2\n");
}

TEST(a_descriptor_can_be_executed)
{
        _cleanup_close_ int fd = open("/bin/echo", O_PATH | O_CLOEXEC);
        const char *const argv[] = { "echo", "hello", NULL };

        CHECK_STR(run((struct child_options){ .argv = argv, .exec_fd = fd }).output, "hello\n");
}

TEST(it_enters_a_network_and_a_mount_namespace)
{
        _cleanup_close_ int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), netns = -1;
        struct seen s;

        if (unshare(CLONE_NEWNET) < 0)
                SKIP("no network namespace of our own: %s", strerror(errno));
        netns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
        CHECK(setns(home, CLONE_NEWNET) == 0);
        s = run((struct child_options){ .argv = SHELL("ls /sys/class/net >/dev/null; "
                                                      "cat /proc/net/dev | tail -n +3 | wc -l"),
                                        .netns_fd = netns });
        CHECK_STR(s.output, "1\n");
}

TEST(it_is_born_in_its_cgroup)
{
        const char *const roots[] = { "/sys/fs/cgroup/unified", "/sys/fs/cgroup" };

        for (size_t i = 0; i < ARRAY_SIZE(roots); i++) {
                _cleanup_free_ char *procs = text_printf("%s/cgroup.procs", roots[i]),
                                    *dir = text_printf("%s/skiff-test-child", roots[i]);
                _cleanup_close_ int fd = -1;
                struct seen s;

                if (access(procs, W_OK) < 0 || (mkdir(dir, 0755) < 0 && errno != EEXIST))
                        continue;
                fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
                s = run((struct child_options){ .argv = SHELL("cat /proc/self/cgroup"),
                                                .cgroup_fd = fd });
                CHECK_INT(rmdir(dir), 0);
                CHECK_CONTAINS(s.output, "0::");
                CHECK_CONTAINS(s.output, "skiff-test-child");
                return;
        }
        SKIP("no writable cgroup v2 hierarchy");
}

TEST(free_kills_and_reaps_one_that_runs)
{
        _cleanup_(sd_event_unrefp)
        sd_event *event = NULL;
        struct child_options o = { .argv = SHELL("sleep 100") };
        struct seen s = { 0 };
        struct child *c = NULL;

        CHECK(sd_event_new(&event) >= 0);
        CHECK_INT(child_spawn(event, &o, on_done, &s, &c, NULL), 0);
        CHECK_INT(child_kill(c, 0), 0);
        CHECK(child_free(c) == NULL);
        CHECK(!s.done);
        CHECK_INT(waitpid(-1, NULL, WNOHANG), -1);
        CHECK_INT(errno, ECHILD);
}

TEST(the_owner_may_free_it_from_its_callback)
{
        struct seen s = { .free_in_done = true };
        struct child_options o = { .argv = SHELL("echo still here") };
        struct child *c = NULL;

        CHECK(sd_event_new(&s.event) >= 0);
        CHECK_INT(child_spawn(s.event, &o, on_done, &s, &c, NULL), 0);
        CHECK(sd_event_loop(s.event) >= 0);
        CHECK_STR(s.output, "still here\n");
        sd_event_unref(s.event);
}
