/* What a container's process is and may: ids, groups, capabilities, filters, descriptors. */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/err.h"
#include "tests/check.h"
#include "tests/kernel/shim-rig.h"

static struct rig_outcome o;
static struct rig_message m;
static const struct rig_sandbox plain = { 0 };

static const char *line_of(const char *text, const char *key)
{
        static char line[512];
        const char *at = strstr(text, key);

        if (!at)
                return "";
        snprintf(line, sizeof line, "%.*s", (int)strcspn(at, "\n"), at);
        return line;
}

static void run_status(struct rig_container c)
{
        c.argv = rig_sh("cat /proc/self/status");
        rig_up(&plain);
        rig_run(&c, &o);
        CHECK_STR(o.text, "");
        CHECK_INT(o.exit_code, 0);
        rig_down();
}

TEST(root_has_the_planned_capabilities_and_none_to_inherit)
{
        run_status((struct rig_container){ 0 });
        CHECK_STR(line_of(o.out, "CapInh:"), "CapInh:\t0000000000000000");
        CHECK_STR(line_of(o.out, "CapPrm:"), "CapPrm:\t00000000a80425fb");
        CHECK_STR(line_of(o.out, "CapEff:"), "CapEff:\t00000000a80425fb");
        CHECK_STR(line_of(o.out, "CapBnd:"), "CapBnd:\t00000000a80425fb");
        CHECK_STR(line_of(o.out, "CapAmb:"), "CapAmb:\t0000000000000000");
        CHECK_STR(line_of(o.out, "NoNewPrivs:"), "NoNewPrivs:\t0");
        CHECK_STR(line_of(o.out, "Seccomp:"), "Seccomp:\t0");
        CHECK_STR(line_of(o.out, "Pid:"), "Pid:\t1");
}

TEST(a_user_has_no_capability_after_execve_but_the_bounding_set)
{
        static const uint32_t groups[] = { 3000, 4000, 2000 };

        run_status((struct rig_container){
                .uid = 1000, .gid = 2000, .groups = groups, .n_groups = 3 });
        CHECK_STR(line_of(o.out, "Uid:"), "Uid:\t1000\t1000\t1000\t1000");
        CHECK_STR(line_of(o.out, "Gid:"), "Gid:\t2000\t2000\t2000\t2000");
        CHECK_STR(line_of(o.out, "Groups:"), "Groups:\t2000 3000 4000 ");
        CHECK_STR(line_of(o.out, "CapPrm:"), "CapPrm:\t0000000000000000");
        CHECK_STR(line_of(o.out, "CapEff:"), "CapEff:\t0000000000000000");
        CHECK_STR(line_of(o.out, "CapBnd:"), "CapBnd:\t00000000a80425fb");
}

TEST(the_primary_group_alone_is_left_of_an_empty_list)
{
        run_status((struct rig_container){ .uid = 1000, .gid = 50 });
        CHECK_STR(line_of(o.out, "Groups:"), "Groups:\t50 ");
}

TEST(no_new_privileges_and_no_capabilities_are_as_planned)
{
        run_status((struct rig_container){ .flags = PLAN_NO_NEW_PRIVILEGES, .no_caps = true });
        CHECK_STR(line_of(o.out, "NoNewPrivs:"), "NoNewPrivs:\t1");
        CHECK_STR(line_of(o.out, "CapBnd:"), "CapBnd:\t0000000000000000");
        CHECK_STR(line_of(o.out, "CapEff:"), "CapEff:\t0000000000000000");
}

/* Allows everything but what is listed: { number, answer } until { -1 }. */
static int filter_of(const int (*rules)[2])
{
        struct sock_filter f[64];
        size_t n = 0;
        int fd = memfd_create("seccomp", MFD_CLOEXEC);

        f[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                                              offsetof(struct seccomp_data, nr));
        for (; (*rules)[0] >= 0; rules++) {
                f[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
                                                      (uint32_t)(*rules)[0], 0, 1);
                f[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, (uint32_t)(*rules)[1]);
        }
        f[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
        CHECK(fd >= 0 && write(fd, f, n * sizeof *f) == (ssize_t)(n * sizeof *f));
        return fd;
}

TEST(a_filter_that_kills_on_our_own_calls_does_not_keep_a_container_from_starting)
{
        static const int kills[][2] = {
                { SYS_setresuid, SECCOMP_RET_KILL_PROCESS },
                { SYS_setresgid, SECCOMP_RET_KILL_PROCESS },
                { SYS_setgroups, SECCOMP_RET_KILL_PROCESS },
                { SYS_capset, SECCOMP_RET_KILL_PROCESS },
                { SYS_close_range, SECCOMP_RET_KILL_PROCESS },
                { SYS_mount, SECCOMP_RET_KILL_PROCESS },
                { SYS_move_mount, SECCOMP_RET_KILL_PROCESS },
                { SYS_clone3, SECCOMP_RET_KILL_PROCESS },
                { SYS_setns, SECCOMP_RET_KILL_PROCESS },
                { SYS_sendmsg, SECCOMP_RET_KILL_PROCESS },
                { SYS_keyctl, SECCOMP_RET_KILL_PROCESS },
                { SYS_mkdir, SECCOMP_RET_ERRNO | 38 },
                { -1, 0 },
        };
        static struct rig_exec_outcome e;
        struct rig_container c = {
                .argv = rig_sh("cat /proc/self/status; mkdir /tmp/x; echo end; sleep 100"),
                .uid = 1000,
                .gid = 1000,
                .seccomp = filter_of(kills)
        };
        const char *id = rig_new_id(), *status[] = { "cat", "/proc/self/status", NULL };

        rig_up(&plain);
        CHECK_INT(rig_create(id, &c, &m), 0);
        CHECK_INT(rig_request(SHIM_START, id, 0, NULL, 0, &m), 0);
        rig_exec(id, status, 25000, 20000, &e);
        CHECK_STR(e.text, "");
        CHECK_INT(e.exit_code, 0);
        /* held for the filter without no_new_privs, and gone with execve */
        CHECK_STR(line_of(e.output, "CapPrm:"), "CapPrm:\t0000000000000000");
        CHECK_STR(line_of(e.output, "CapEff:"), "CapEff:\t0000000000000000");
        CHECK_STR(line_of(e.output, "Seccomp:"), "Seccomp:\t2");
        CHECK_STR(line_of(e.output, "NoNewPrivs:"), "NoNewPrivs:\t0");
        rig_wait_for_log(id, "F end");
        CHECK_INT(rig_request(SHIM_KILL, id, 9, NULL, 0, NULL), 0);
        rig_wait(SHIM_EV_EXITED, id, 0, &m);
        {
                char text[16384];

                CHECK(rig_read(rig_log_path(id), text, sizeof text) > 0);
                CHECK_CONTAINS(text, "Seccomp:\t2");
                CHECK_CONTAINS(text, "CapPrm:\t0000000000000000");
                CHECK_CONTAINS(text, "can't create directory '/tmp/x': Function not implemented");
        }
        close(c.seccomp);
        rig_down();
}

TEST(a_filter_that_is_none_fails_the_container)
{
        struct rig_container c = { .argv = rig_sh("true") };

        rig_up(&plain);
        c.seccomp = memfd_create("empty", MFD_CLOEXEC);
        rig_run(&c, &o);
        CHECK_INT(o.r, -EINVAL);
        CHECK_CONTAINS(o.text, "install the seccomp filter");
        CHECK_INT(write(c.seccomp, "123456789", 9), 9);
        rig_run(&c, &o);
        CHECK_INT(o.r, -EINVAL);
        close(c.seccomp);
        c.seccomp = memfd_create("nonsense", MFD_CLOEXEC);
        CHECK_INT(write(c.seccomp, "\xff\xff\xff\xff\xff\xff\xff\xff", 8), 8);
        rig_run(&c, &o);
        CHECK_INT(o.r, -EINVAL);
        CHECK(o.flags & SHIM_STATE_START_FAILED);
        close(c.seccomp);
        rig_down();
}

TEST(nothing_is_open_in_a_started_process_but_its_three_streams)
{
        rig_up(&plain);
        rig_run(&(struct rig_container){ .argv = (const char *const[]){ "ls", "/proc/self/fd",
                                                                        NULL } },
                &o);
        CHECK_STR(o.out, "0\n1\n2\n3\n"); /* 3: ls' own */
        rig_run(&(struct rig_container){ .argv = (const char *const[]){ "readlink",
                                                                        "/proc/self/exe", NULL } },
                &o);
        CHECK_STR(o.out, "/bin/busybox\n");
        rig_down();
}

TEST(a_working_directory_or_command_through_a_descriptor_leads_nowhere)
{
        char path[64];

        rig_up(&plain);
        for (int fd = 0; fd < 40; fd++) {
                struct rig_container c = { .argv = rig_sh("ls -d ../../../../etc/hostname"),
                                           .cwd = path };

                snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
                rig_run(&c, &o);
                CHECK(o.r < 0 && o.r != -EPERM); /* resolved away, not only noticed */
                snprintf(path, sizeof path, "/proc/self/fd/%d/../../bin/sh", fd);
                c = (struct rig_container){ .argv = (const char *const[]){ path, NULL } };
                rig_run(&c, &o);
                CHECK(o.r < 0);
        }
        rig_run(&(struct rig_container){ .argv = rig_sh("pwd"), .cwd = "/proc/1/cwd" }, &o);
        CHECK(o.r < 0);
        rig_run(&(struct rig_container){ .argv = rig_sh("pwd"), .cwd = "/made/up" }, &o);
        CHECK_STR(o.out, "/made/up\n");
        rig_run(&(struct rig_container){ .argv = rig_sh("pwd"), .cwd = "/../../tmp/.." }, &o);
        CHECK_STR(o.out, "/\n");
        rig_run(&(struct rig_container){ .argv = rig_sh("pwd"), .cwd = "/etc/../bin/sh" }, &o);
        CHECK_INT(o.r, -ENOTDIR);
        rig_down();
}

TEST(umask_limits_and_the_score_are_as_planned)
{
        rig_up(&plain);
        rig_run(&(struct rig_container){ .argv = rig_sh(
                                                 "umask; cat /proc/self/oom_score_adj; ulimit -n"),
                                         .flags = PLAN_HAS_UMASK | PLAN_HAS_OOM_SCORE,
                                         .umask = 0027,
                                         .oom_score_adj = 500 },
                &o);
        {
                struct rlimit limit;
                char wanted[64];

                getrlimit(RLIMIT_NOFILE, &limit);
                snprintf(wanted, sizeof wanted, "0027\n500\n%llu\n",
                         (unsigned long long)limit.rlim_cur);
                CHECK_STR(o.out, wanted);
        }
        rig_run(&(struct rig_container){ .argv = rig_sh("umask") }, &o);
        CHECK_STR(o.out, "0022\n");
        rig_down();
}

static void add_rlimits(struct plan_writer *w)
{
        struct plan_rlimit l = { .resource = RLIMIT_NOFILE, .soft = 100, .hard = 200 };

        plan_add(w, PLAN_RLIMIT, &l, sizeof l, NULL, 0);
}

TEST(a_planned_limit_holds)
{
        rig_up(&plain);
        rig_run(&(struct rig_container){ .argv = rig_sh("ulimit -n; ulimit -Hn"),
                                         .extra = add_rlimits },
                &o);
        CHECK_STR(o.out, "100\n200\n");
        rig_down();
}

TEST(a_score_that_may_not_be_lowered_is_said_and_the_container_runs)
{
        rig_up(&plain);
        rig_run(&(struct rig_container){ .argv = rig_sh("true"),
                                         .flags = PLAN_HAS_OOM_SCORE,
                                         .oom_score_adj = -998 },
                &o);
        CHECK_INT(o.r, 0);
        CHECK_INT(o.exit_code, 0);
        rig_down();
}

TEST(the_environment_reaches_the_process_unchanged)
{
        static char big[100000];
        static const char *env[] = { "PATH=/bin", "A=with\nnewline:and\rmore", "EMPTY=", big,
                                     NULL };

        memset(big, 'x', sizeof big - 1);
        memcpy(big, "BIG=", 4);
        rig_up(&plain);
        rig_run(&(struct rig_container){ .argv = rig_sh(
                                                 "printf '%s|' \"$A\" \"$EMPTY\"; echo ${#BIG}"),
                                         .env = env },
                &o);
        CHECK_STR(o.out, "with\nnewline:and\rmore||99995\n");
        rig_down();
}

TEST(a_user_may_reopen_its_own_output)
{
        rig_up(&plain);
        rig_run(&(struct rig_container){ .argv = rig_sh(
                                                 "echo one > /dev/stdout; echo two > /dev/stderr"),
                                         .uid = 1000,
                                         .gid = 1000 },
                &o);
        CHECK_STR(o.out, "one\n");
        CHECK_STR(o.err, "two\n");
        rig_down();
}

TEST(a_container_is_alone_in_its_pid_namespace_and_leads_a_session)
{
        rig_up(&plain);
        rig_run(&(struct rig_container){ .argv = (const char *const[]){ "sh", "-c",
                                                                        "cat /proc/1/stat",
                                                                        NULL } },
                &o);
        CHECK(strncmp(o.out, "1 (", 3) == 0);
        {
                int ppid, pgrp, session;

                CHECK_INT(sscanf(strchr(o.out, ')') + 4, "%d %d %d", &ppid, &pgrp, &session), 3);
                CHECK(ppid == 0 && pgrp == 1 && session == 1);
        }
        rig_down();
}

TEST(the_session_keyring_is_not_the_host_s)
{
        rig_up(&plain);
        rig_run(&(struct rig_container){ .argv = rig_sh("cat /proc/keys | wc -l") }, &o);
        CHECK_STR(o.out, "0\n"); /* masked: nothing to see */
        rig_down();
}

TEST(our_program_cannot_be_reached_through_a_container_s_own_exe)
{
        static char before[1 << 20], after[1 << 20];
        ssize_t n;

        rig_up(&plain);
        n = rig_read(SHIM_PROGRAM, before, sizeof before);
        rig_layer("self");
        mkdir(rig_path("layers/self/bin"), 0755);
        rig_write(rig_path("layers/self/bin/self"), "#!/proc/self/exe\n", 0755);
        rig_run(&(struct rig_container){ .argv = (const char *const[]){ "/bin/self", NULL },
                                         .layers = { "self", "busybox" } },
                &o);
        CHECK(o.r < 0 || o.exit_code != 0);
        CHECK_INT(rig_read(SHIM_PROGRAM, after, sizeof after), n);
        CHECK(memcmp(before, after, (size_t)n) == 0);
        rig_down();
}
