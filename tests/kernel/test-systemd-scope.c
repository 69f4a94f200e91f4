/* The systemd driver under a real systemd: slices, a delegated scope, limits, and their end. */
#include <errno.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/fs.h"
#include "base/text.h"
#include "runtime/cgroup-systemd.h"
#include "runtime/cgroup.h"
#include "tests/check.h"

static const char id[] = "00000000000000000000000000000000000000000000000000000000000000bb";
static const char pod[] = "skifftest/burstable/pod1-2";
static const char slice[] = "/sys/fs/cgroup/skifftest.slice/skifftest-burstable.slice/"
                            "skifftest-burstable-pod1_2.slice";
static const char scope[] = "/sys/fs/cgroup/skifftest.slice/skifftest-burstable.slice/"
                            "skifftest-burstable-pod1_2.slice/skiff-"
                            "00000000000000000000000000000000000000000000000000000000000000bb"
                            ".scope";

static void check_file(const char *dir, const char *file, const char *want)
{
        _cleanup_free_ char *path = text_printf("%s/%s", dir, file), *text = NULL;
        int r = fs_read_line_at(AT_FDCWD, path, &text);

        if (r < 0)
                fail_msg("%s: %s", path, strerror(-r));
        CHECK_STR(text, want);
}

/* Within ten seconds @pid is the only process of the cgroup. */
static void check_only_process(const char *dir, pid_t pid)
{
        _cleanup_free_ char *path = text_printf("%s/cgroup.procs", dir),
                            *want = text_printf("%d\n", pid);

        for (int i = 0; i < 1000; i++) {
                _cleanup_free_ char *text = NULL;

                CHECK_INT(fs_read_at(AT_FDCWD, path, 4096, &text, NULL), 0);
                if (streq(text, want))
                        return;
                usleep(10000);
        }
        fail_msg("others than %d are in '%s'", pid, dir);
}

static bool exists(const char *path)
{
        return access(path, F_OK) == 0;
}

static pid_t start_in(int cgroup_fd)
{
        struct clone_args args = { .flags = CLONE_INTO_CGROUP,
                                   .exit_signal = SIGCHLD,
                                   .cgroup = (uint64_t)cgroup_fd };
        pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof args);

        if (pid == 0)
                for (;;)
                        poll(NULL, 0, -1);
        CHECK(pid > 0);
        return pid;
}

static void reload_systemd(void)
{
        int status = -1;
        pid_t pid = fork();

        if (pid == 0) {
                execlp("systemctl", "systemctl", "daemon-reload", NULL);
                _exit(127);
        }
        CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
        CHECK_INT(status, 0);
}

static int remove_all(struct cgroup_tree *t, const char *path)
{
        int r = -EAGAIN;

        for (int i = 0; i < 300 && r == -EAGAIN; i++) {
                r = cgroup_remove(t, path, NULL);
                if (r == -EAGAIN)
                        usleep(20000);
        }
        return r;
}

TEST(a_container_lives_in_a_delegated_scope_of_its_pods_slice)
{
        _cleanup_err_ struct err err = { 0 };
        struct cgroup_leaf leaf = { .fd = -1 };
        struct cgroup_tree *t = NULL;
        sd_event *event = NULL;
        struct oci_resources r;
        pid_t pid;

        if (geteuid() != 0 || cgroup_systemd_check(&err) < 0)
                check_skip_all("needs systemd as PID 1 (%s)", err_text(&err));
        CHECK(sd_event_new(&event) >= 0);
        if (cgroup_tree_new(event, CGROUP_DRIVER_SYSTEMD, "/", &t, &err) < 0)
                fail_msg("%s", err_text(&err));
        oci_resources_init(&r);
        r.cpu_shares = 1024;
        r.cpu_quota = 20000;
        r.cpu_period = 100000;
        r.memory_limit = 64 << 20;
        r.pids_limit = 100;
        if (cgroup_apply(t, pod, &r, &err) < 0 || cgroup_apply(t, pod, &r, &err) < 0)
                fail_msg("%s", err_text(&err));
        check_file(slice, "memory.max", "67108864");
        check_file(slice, "cpu.weight", "39");
        check_file(slice, "pids.max", "100");
        if (cgroup_create_container(t, pod, id, &r, &leaf, &err) < 0)
                fail_msg("%s", err_text(&err));
        pid = start_in(leaf.fd);
        cgroup_leaf_done(&leaf);
        /* the placeholder leaves, the scope does not */
        check_only_process(scope, pid);
        check_file(scope, "cpu.weight", "100");
        check_file(scope, "memory.max", "67108864");
        /* other limits, which systemd knows: a reload would write the old ones again */
        r.memory_limit = 32 << 20;
        if (cgroup_update_container(t, pod, id, &r, &err) < 0)
                fail_msg("%s", err_text(&err));
        check_file(scope, "memory.max", "33554432");
        reload_systemd();
        check_file(scope, "memory.max", "33554432");
        check_file(scope, "cpu.weight", "100");
        CHECK(cgroup_kill_container(t, pod, id) == 0);
        CHECK(waitpid(pid, NULL, 0) == pid);
        cgroup_remove_container(t, pod, id);
        CHECK_INT(remove_all(t, "skifftest"), 0);
        CHECK(!exists("/sys/fs/cgroup/skifftest.slice"));
        cgroup_tree_free(t);
        sd_event_unref(event);
}
