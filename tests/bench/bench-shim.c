/*
 * What a shim adds to what the kernel asks: the start of a sandbox, a container's life, an exec;
 * and beside the life the same system calls bare, in turn. Medians and quartiles, in milliseconds.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "runtime/shim-sys.h"
#include "tests/check.h"
#include "tests/kernel/shim-rig.h"

enum { ROUNDS = 200 };

static struct rig_message m;
static double life[ROUNDS], create[ROUNDS], start[ROUNDS], rest[ROUNDS], bare[ROUNDS];

static double now_msec(void)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static int compare(const void *a, const void *b)
{
        double x = *(const double *)a, y = *(const double *)b;

        return x < y ? -1 : x > y;
}

static void report(const char *what, double *v)
{
        qsort(v, ROUNDS, sizeof *v, compare);
        printf("  %-42s %7.3f  (%.3f to %.3f)\n", what, v[ROUNDS / 2], v[ROUNDS / 4],
               v[ROUNDS * 3 / 4]);
}

/* ---- the same calls, bare ---- */

static int filesystem(const char *type, const char *const *options)
{
        int fs = sys_fsopen(type), fd;

        for (; options && *options; options += 2)
                sys_fsconfig(fs, options[0], options[1]);
        if (fs < 0 || sys_fscreate(fs) < 0)
                return -1;
        fd = sys_fsmount(fs, 0);
        close(fs);
        return fd;
}

static void attach(int fd, int root, const char *path)
{
        int target = openat(root, path, O_PATH | O_CLOEXEC);

        if (target < 0 && mkdirat(root, path, 0755) == 0)
                target = openat(root, path, O_PATH | O_CLOEXEC);
        if (sys_move_mount(fd, target) < 0)
                _exit(90);
        close(target);
}

static void bare_child(int template, const char *upper, const char *work, const char *layer)
{
        const char *const overlay[] = { "lowerdir", layer,      "upperdir", upper, "workdir",
                                        work,       "volatile", NULL,       NULL };
        static const char *const dev[] = { "mode", "755", NULL };
        static const char *const places[] = { "proc",       "dev/pts", "dev/shm",
                                              "dev/mqueue", "sys",     "sys/fs/cgroup" };
        static const char *const nodes[] = { "null", "zero", "full", "random", "urandom", "tty" };
        int fds[6], root, tmpfs, target;

        unshare(CLONE_NEWCGROUP);
        root = filesystem("overlay", overlay);
        tmpfs = filesystem("tmpfs", dev);
        fds[0] = filesystem("proc", NULL);
        fds[1] = filesystem("devpts", NULL);
        fds[2] = filesystem("tmpfs", NULL);
        fds[3] = filesystem("mqueue", NULL);
        fds[4] = filesystem("sysfs", NULL);
        fds[5] = filesystem("cgroup2", NULL);
        for (size_t n = 0; n < sizeof nodes / sizeof *nodes; n++)
                mknodat(tmpfs, nodes[n], S_IFCHR | 0666, makedev(1, 3));
        if (setns(template, CLONE_NEWNS) < 0 || unshare(CLONE_NEWNS) < 0)
                _exit(91);
        target = open("/root", O_PATH | O_CLOEXEC);
        if (sys_move_mount(root, target) < 0)
                _exit(92);
        attach(tmpfs, root, "dev");
        for (int n = 0; n < 6; n++)
                attach(fds[n], root, places[n]);
        if (fchdir(root) < 0 || sys_pivot_root(".", ".") < 0 || sys_umount2(".", 2) < 0)
                _exit(93);
        for (int n = 0; n < 10; n++) { /* masks and read-only paths */
                int clone = sys_open_tree(AT_FDCWD, "/proc/sys",
                                          OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

                attach(clone, AT_FDCWD, "/proc/sys");
        }
        execl("/bin/true", "true", (char *)NULL);
        _exit(94);
}

static double run_bare(int n, int template)
{
        const char *upper = rig_path("containers/bare-%d-upper", n),
                   *work = rig_path("containers/bare-%d-work", n),
                   *layer = rig_path("layers/busybox"), *group = rig_cgroup_path("bare");
        double begin;
        int cgroup, status;
        pid_t pid;

        mkdir(upper, 0755);
        mkdir(work, 0755);
        mkdir(group, 0755);
        cgroup = open(group, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        begin = now_msec();
        {
                struct clone_args args = { .flags = CLONE_NEWPID | CLONE_INTO_CGROUP,
                                           .exit_signal = SIGCHLD,
                                           .cgroup = (uint64_t)cgroup };

                pid = sys_clone3(&args);
        }
        if (pid == 0)
                bare_child(template, upper, work, layer);
        CHECK(waitpid(pid, &status, 0) == pid);
        CHECK_INT(WEXITSTATUS(status), 0);
        close(cgroup);
        return now_msec() - begin;
}

/* ---- ours ---- */

static const struct rig_container true_container = { .argv = (const char *const[]){ "true",
                                                                                    NULL } };

static void run_ours(int n)
{
        const char *id = rig_new_id();
        double begin = now_msec(), created, started;

        /* the rig's own preparations are a part of this: a plan, two directories, a cgroup */
        CHECK_INT(rig_create(id, &true_container, &m), 0);
        created = now_msec();
        CHECK_INT(rig_request(SHIM_START, id, 0, NULL, 0, &m), 0);
        started = now_msec();
        rig_wait(SHIM_EV_EXITED, id, 0, &m);
        CHECK_INT(rig_request(SHIM_DELETE, id, 0, NULL, 0, NULL), 0);
        create[n] = created - begin;
        start[n] = started - created;
        rest[n] = now_msec() - started;
        life[n] = now_msec() - begin;
        rmdir(rig_cgroup_path(id));
}

TEST(a_container_s_life_beside_the_bare_calls)
{
        const struct rig_sandbox plain = { 0 };
        int template;

        rig_up(&plain);
        template = rig_template();
        for (int n = 0; n < ROUNDS; n++) {
                run_ours(n);
                bare[n] = run_bare(n, template);
        }
        printf("\n");
        report("create", create);
        report("start", start);
        report("exit seen, recorded, told; deleted", rest);
        report("create, start, exit, delete of 'true'", life);
        report("the same system calls bare", bare);
        printf("  ratio of the medians                       %7.2f\n",
               life[ROUNDS / 2] / bare[ROUNDS / 2]);
        rig_down();
}

TEST(the_start_of_a_sandbox)
{
        static const struct rig_sandbox kinds[] = {
                { .flags = PLAN_HOST_NETWORK | PLAN_HOST_IPC | PLAN_HOST_UTS },
                { .hostname = "bench" },
                { .hostname = "bench", .link = true },
                { .hostname = "bench", .link = true, .flags = PLAN_SHARED_PID },
        };
        static const char *const names[] = { "sandbox: host's namespaces", "sandbox: own, lo",
                                             "sandbox: own, veth and routes",
                                             "sandbox: and a shared PID namespace" };

        printf("\n");
        for (int k = 0; k < 4; k++) {
                for (int n = 0; n < ROUNDS; n++) {
                        double begin = now_msec();

                        rig_up(&kinds[k]);
                        life[n] = now_msec() - begin;
                        rig_down();
                        if (k >= 2)
                                usleep(20000); /* the old link is gone only with its namespace */
                }
                report(names[k], life);
        }
}

TEST(an_exec_with_its_output)
{
        const struct rig_sandbox plain = { 0 };
        struct rig_container sleeper = { .argv = (const char *const[]){ "sleep", "1000", NULL } };
        static struct rig_exec_outcome e;
        const char *id = rig_new_id(), *echo[] = { "echo", "ok", NULL };

        rig_up(&plain);
        CHECK_INT(rig_create(id, &sleeper, &m), 0);
        CHECK_INT(rig_request(SHIM_START, id, 0, NULL, 0, &m), 0);
        for (int n = 0; n < ROUNDS; n++) {
                double begin = now_msec();

                rig_exec(id, echo, 1000, 100, &e);
                CHECK_STR(e.output, "ok\n");
                life[n] = now_msec() - begin;
        }
        printf("\n");
        report("exec 'echo' captured", life);
        rig_down();
}
