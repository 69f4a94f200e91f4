/* The cgroup tree and the device filter on the machine's own v2 hierarchy, below a root of ours. */
#include "runtime/cgroup.h"

#include <errno.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#include "base/fs.h"
#include "base/text.h"
#include "runtime/cgroup-devices.h"
#include "tests/check.h"

static const char id[] = "00000000000000000000000000000000000000000000000000000000000000aa";
static char root[64];
static sd_event *event;
static struct cgroup_tree *tree;

static int open_mount(void)
{
        int fd = open("/sys/fs/cgroup/unified", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        return fd >= 0 ? fd : open("/sys/fs/cgroup", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void open_tree_of_ours(void)
{
        _cleanup_close_ int mount_fd = open_mount();
        _cleanup_err_ struct err err = { 0 };
        int r;

        if (geteuid() != 0)
                check_skip_all("needs root");
        snprintf(root, sizeof root, "/skiff-test-%d", getpid());
        CHECK(sd_event_new(&event) >= 0);
        if (mkdirat(mount_fd, root + 1, 0755) < 0)
                check_skip_all("cannot make cgroup %s", root);
        r = cgroup_tree_new(event, CGROUP_DRIVER_CGROUPFS, root, &tree, &err);
        if (r == -ENODEV || r == -EROFS || r == -EACCES)
                check_skip_all("%s", err_text(&err));
        CHECK(r == 0);
}

static void close_tree_of_ours(void)
{
        _cleanup_close_ int mount_fd = open_mount();
        _cleanup_free_ char *shims = text_printf("%s/skiff-shims", root + 1);

        tree = cgroup_tree_free(tree);
        event = sd_event_unref(event);
        CHECK(unlinkat(mount_fd, shims, AT_REMOVEDIR) == 0);
        CHECK(unlinkat(mount_fd, root + 1, AT_REMOVEDIR) == 0);
}

/* Born in the group, runs @fn and ends with its value. */
static pid_t start_in(int cgroup_fd, int (*fn)(void))
{
        struct clone_args args = {
                .flags = CLONE_INTO_CGROUP,
                .exit_signal = SIGCHLD,
                .cgroup = (uint64_t)cgroup_fd,
        };
        pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof args);

        if (pid == 0)
                _exit(fn());
        CHECK(pid > 0);
        return pid;
}

static int exit_code_of(pid_t pid)
{
        int status;

        CHECK(waitpid(pid, &status, 0) == pid);
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int opens_devices(void)
{
        if (open("/dev/null", O_RDWR | O_CLOEXEC) < 0)
                return 1;
        if (open("/dev/urandom", O_RDONLY | O_CLOEXEC) < 0)
                return 2;
        if (open("/dev/kmsg", O_RDONLY | O_CLOEXEC) >= 0 || errno != EPERM)
                return 3;
        return 0;
}

static int opens_kmsg(void)
{
        return open("/dev/kmsg", O_RDONLY | O_CLOEXEC) >= 0 ? 0 : errno;
}

static int waits(void)
{
        poll(NULL, 0, -1);
        return 0;
}

static void make_resources(struct oci_resources *r)
{
        oci_resources_init(r);
        r->cpu_shares = 512;
        r->memory_limit = 64 << 20;
        r->pids_limit = 100;
}

TEST(a_root_that_is_not_there_is_refused_and_not_made)
{
        _cleanup_close_ int mount_fd = open_mount();
        _cleanup_err_ struct err err = { 0 };
        struct cgroup_tree *other = NULL;
        struct stat st;

        open_tree_of_ours();
        CHECK_INT(cgroup_tree_new(event, CGROUP_DRIVER_CGROUPFS, "/skiff-tset", &other, &err),
                  -ENOENT);
        CHECK_CONTAINS(err_text(&err), "cgroup root '/skiff-tset': expected a cgroup that exists");
        CHECK(fstatat(mount_fd, "skiff-tset", &st, 0) < 0);
        close_tree_of_ours();
}

TEST(a_container_gets_a_leaf_with_its_device_filter)
{
        struct oci_device_rule all = { true, 'a', -1, -1, (char *)"rwm" };
        _cleanup_(cgroup_leaf_done)
        struct cgroup_leaf leaf = { .fd = -1 };
        struct device_filters *filters = device_filters_new();
        struct runtime_usage usage;
        struct oci_resources r;

        open_tree_of_ours();
        make_resources(&r);
        CHECK(cgroup_apply(tree, "kubepods/burstable/podx", &r, NULL) == 0);
        CHECK(cgroup_exists(tree, "kubepods/burstable/podx"));
        CHECK(cgroup_create_container(tree, "kubepods/burstable/podx", id, &r, &leaf, NULL) == 0);
        CHECK_INT(exit_code_of(start_in(leaf.fd, opens_devices)), 0);
        /* replaced in one step, not added: all are open now, and closed again */
        CHECK(device_filters_attach(filters, leaf.fd, &all, 1, NULL) == 0);
        CHECK_INT(exit_code_of(start_in(leaf.fd, opens_kmsg)), 0);
        CHECK(device_filters_attach(filters, leaf.fd, NULL, 0, NULL) == 0);
        CHECK_INT(exit_code_of(start_in(leaf.fd, opens_kmsg)), EPERM);
        device_filters_free(filters);
        CHECK(cgroup_container_usage(tree, "kubepods/burstable/podx", id, &usage) == 0);
        CHECK(usage.cpu_usec != UINT64_MAX);
        CHECK(cgroup_usage(tree, "kubepods/burstable/podx", &usage) == 0);
        CHECK(usage.cpu_usec != UINT64_MAX);
        CHECK(cgroup_usage(tree, "kubepods/burstable/pody", &usage) == -ENOENT);
        CHECK(cgroup_machine_usage(&usage) == 0);
        CHECK(usage.cpu_usec != UINT64_MAX && usage.memory_working_set < usage.memory_limit);
        cgroup_remove_container(tree, "kubepods/burstable/podx", id);
        CHECK(cgroup_container_usage(tree, "kubepods/burstable/podx", id, &usage) == -ENOENT);
        CHECK(cgroup_remove(tree, "kubepods", NULL) == 0);
        CHECK(!cgroup_exists(tree, "kubepods"));
        close_tree_of_ours();
}

TEST(killing_a_container_reaches_all_of_it)
{
        _cleanup_(cgroup_leaf_done)
        struct cgroup_leaf leaf = { .fd = -1 };
        struct oci_resources r;
        pid_t a, b;

        open_tree_of_ours();
        oci_resources_init(&r);
        CHECK(cgroup_apply(tree, "pod", &r, NULL) == 0);
        CHECK(cgroup_create_container(tree, "pod", id, &r, &leaf, NULL) == 0);
        a = start_in(leaf.fd, waits);
        b = start_in(leaf.fd, waits);
        CHECK(cgroup_kill_container(tree, "pod", id) == 0);
        CHECK_INT(exit_code_of(a), 128 + SIGKILL);
        CHECK_INT(exit_code_of(b), 128 + SIGKILL);
        CHECK(cgroup_remove(tree, "pod", NULL) == 0);
        CHECK(cgroup_kill_container(tree, "pod", id) == 0);
        close_tree_of_ours();
}

TEST(a_leaf_that_is_still_busy_is_removed_from_the_loop)
{
        _cleanup_(cgroup_leaf_done)
        struct cgroup_leaf leaf = { .fd = -1 };
        struct oci_resources r;
        pid_t pid;

        open_tree_of_ours();
        oci_resources_init(&r);
        CHECK(cgroup_apply(tree, "pod", &r, NULL) == 0);
        CHECK(cgroup_create_container(tree, "pod", id, &r, &leaf, NULL) == 0);
        CHECK(mkdirat(leaf.fd, "nested.group", 0755) == 0); /* as a privileged container may */
        pid = start_in(leaf.fd, waits);
        cgroup_remove_container(tree, "pod", id);
        CHECK_INT(exit_code_of(pid), 128 + SIGKILL);
        for (int i = 0; i < 100; i++) {
                struct runtime_usage usage;

                if (cgroup_container_usage(tree, "pod", id, &usage) == -ENOENT)
                        break;
                CHECK(sd_event_run(event, 100000) >= 0);
        }
        CHECK(cgroup_remove(tree, "pod", NULL) == 0);
        close_tree_of_ours();
}

TEST(a_group_with_living_processes_is_killed_and_removed)
{
        _cleanup_(cgroup_leaf_done)
        struct cgroup_leaf leaf = { .fd = -1 };
        struct oci_resources r;
        pid_t pid;
        int k;

        open_tree_of_ours();
        oci_resources_init(&r);
        CHECK(cgroup_apply(tree, "pod", &r, NULL) == 0);
        CHECK(cgroup_create_container(tree, "pod", id, &r, &leaf, NULL) == 0);
        pid = start_in(leaf.fd, waits);
        k = cgroup_remove(tree, "pod", NULL);
        CHECK(k == 0 || k == -EAGAIN);
        CHECK_INT(exit_code_of(pid), 128 + SIGKILL);
        CHECK(cgroup_remove(tree, "pod", NULL) == 0);
        close_tree_of_ours();
}

TEST(a_path_that_leaves_the_tree_is_refused)
{
        static const char *const bad[] = { "..", "a/../b", "", "a//b", "cgroup.procs", "a/.b" };
        struct oci_resources r;

        open_tree_of_ours();
        oci_resources_init(&r);
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
                CHECK(cgroup_apply(tree, bad[i], &r, NULL) == -EINVAL);
        close_tree_of_ours();
}
