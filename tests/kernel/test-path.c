/*
 * Resolution below a root while somebody moves things about underneath (RT-01, RT-07): whatever is
 * opened or made is inside, and honest attempts succeed.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/init.h"
#include "runtime/shim-sys.h"
#include "tests/check.h"

enum { ATTEMPTS = 20000 };

static char dir[64];
static int root = -1;

static const char *path_of(const char *name)
{
        static char bufs[4][256];
        static unsigned at;
        char *buf = bufs[at++ % 4];

        snprintf(buf, 256, "%s/%s", dir, name);
        return buf;
}

static void leave(void)
{
        sys_umount2(dir, DETACH_MOUNT); /* while mounted here it stays busy */
        rmdir(dir);
}

static void enter(void)
{
        if (!dir[0]) {
                if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0)
                        check_skip_all("not root, or no mount namespaces");
                sys_mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
                snprintf(dir, sizeof dir, "/tmp/skiff-path-XXXXXX");
                CHECK(mkdtemp(dir));
                atexit(leave);
        }
        if (root >= 0) {
                close(root);
                sys_umount2(dir, DETACH_MOUNT);
        }
        CHECK_INT(sys_mount("test", dir, "tmpfs", 0, ""), 0);
        CHECK_INT(mkdir(path_of("root"), 0755), 0);
        CHECK_INT(mkdir(path_of("root/shared"), 0755), 0);
        CHECK_INT(mkdir(path_of("root/shared/d"), 0755), 0);
        CHECK_INT(mkdir(path_of("root/shared/d/t"), 0755), 0);
        CHECK_INT(mkdir(path_of("outside"), 0755), 0);
        CHECK_INT(mkdir(path_of("outside/t"), 0755), 0);
        root = open(path_of("root"), O_PATH | O_DIRECTORY | O_CLOEXEC);
        CHECK(root >= 0);
}

/* Exchanges shared/d and a link that leads to @target, until it is killed. */
static pid_t start_racer(const char *target)
{
        pid_t pid;

        CHECK_INT(symlink(target, path_of("root/shared/link")), 0);
        pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
                int shared = open(path_of("root/shared"), O_PATH | O_DIRECTORY | O_CLOEXEC);

                prctl(PR_SET_PDEATHSIG, SIGKILL); /* a check that fails does not come to stop it */
                for (;;)
                        syscall(SYS_renameat2, shared, "d", shared, "link", 2 /* EXCHANGE */);
        }
        return pid;
}

static void stop_racer(pid_t pid)
{
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
}

/* Whether what @fd is lies outside: by the entry that only the outside has. */
static bool is_outside(int fd)
{
        struct stat here, there;

        CHECK_INT(fstat(fd, &here), 0);
        CHECK_INT(stat(path_of("outside/t"), &there), 0);
        if (here.st_ino == there.st_ino && here.st_dev == there.st_dev)
                return true;
        CHECK_INT(stat(path_of("outside"), &there), 0);
        return here.st_ino == there.st_ino && here.st_dev == there.st_dev;
}

static void race(const char *target, const char *what, bool make)
{
        unsigned inside = 0, refused = 0, lost = 0;
        pid_t racer;

        enter();
        racer = start_racer(target);
        for (int n = 0; n < ATTEMPTS; n++) {
                int fd = make ? path_make_target(root, what, true, 0)
                              : path_open(root, what, O_PATH, 0);

                if (fd == -EAGAIN)
                        lost++;
                if (fd < 0) {
                        refused++;
                        continue;
                }
                CHECK(!is_outside(fd));
                inside++;
                close(fd);
                if (make)
                        unlinkat(root, what + 1, AT_REMOVEDIR);
        }
        stop_racer(racer);
        printf("             %u inside, %u refused (%u of them gave up), 0 outside\n", inside,
               refused, lost);
        {
                char command[256];

                snprintf(command, sizeof command,
                         "test \"$(ls %s/outside)\" = t && "
                         "test -z \"$(ls %s/outside/t)\"",
                         dir, dir);
                CHECK_INT(system(command), 0);
        }
        CHECK(lost <= ATTEMPTS / 1000);
}

TEST(an_exchanged_link_to_the_outside_is_never_followed_out)
{
        race("../../outside", "/shared/d/t", false);
        race(path_of("outside"), "/shared/d/t", false);
}

TEST(a_target_made_under_a_racing_parent_is_made_inside)
{
        race("../../../../../../outside", "/shared/d/made/deep", true);
        race("../../outside", "/shared/d/../d/x", true);
}

TEST(an_honest_path_is_found_while_others_are_raced_over)
{
        unsigned failed = 0;
        pid_t racer;

        enter();
        CHECK_INT(mkdir(path_of("root/honest"), 0755), 0);
        CHECK_INT(mkdir(path_of("root/honest/a"), 0755), 0);
        racer = start_racer("../../outside");
        for (int n = 0; n < ATTEMPTS; n++) {
                int fd = path_open(root, "/honest/../honest/a/../a", O_PATH, 0);

                if (fd < 0)
                        failed++;
                else
                        close(fd);
        }
        stop_racer(racer);
        printf("             %u of %d honest attempts failed\n", failed, ATTEMPTS);
        CHECK(failed <= ATTEMPTS / 1000);
}

TEST(magic_links_and_loops_lead_nowhere)
{
        int fd;

        enter();
        CHECK_INT(mkdir(path_of("root/proc"), 0755), 0);
        CHECK_INT(sys_mount("proc", path_of("root/proc"), "proc", 0, ""), 0);
        CHECK(path_open(root, "/proc/self/root/etc", O_PATH, 0) < 0);
        CHECK(path_open(root, "/proc/self/cwd", O_PATH, 0) < 0);
        CHECK_INT(symlink("/proc/self/fd/0/../..", path_of("root/magic")), 0);
        CHECK(path_open(root, "/magic", O_PATH, 0) < 0);
        CHECK_INT(symlink("loop", path_of("root/loop")), 0);
        CHECK_INT(path_make_target(root, "/loop/x", true, 0), -ELOOP);
        CHECK_INT(symlink("b/x", path_of("root/a")), 0);
        CHECK_INT(symlink("a/x", path_of("root/b")), 0);
        CHECK(path_make_target(root, "/a/y", true, 0) < 0);
        fd = path_open(root, "/../../..", O_PATH, 0);
        CHECK(fd >= 0 && !is_outside(fd));
        close(fd);
        CHECK_INT(sys_umount2(path_of("root/proc"), DETACH_MOUNT), 0);
}

TEST(targets_are_of_their_kind_and_nothing_is_truncated)
{
        struct stat st;
        int fd;

        enter();
        fd = open(path_of("root/file"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
        CHECK_INT(write(fd, "keep", 4), 4);
        close(fd);
        fd = path_make_target(root, "/file", false, 0);
        CHECK(fd >= 0 && fstat(fd, &st) == 0 && st.st_size == 4);
        close(fd);
        CHECK_INT(path_make_target(root, "/file", true, 0), -ENOTDIR);
        CHECK_INT(path_make_target(root, "/shared", false, 0), -EISDIR);
        CHECK_INT(path_make_target(root, "/file/below", true, 0), -ENOTDIR);
        fd = path_make_target(root, "new/../other//deep/./x", false, 0);
        CHECK(fd >= 0);
        close(fd);
        CHECK_INT(stat(path_of("root/other/deep/x"), &st), 0);
        CHECK(S_ISREG(st.st_mode));
        CHECK_INT(symlink("real", path_of("root/l")), 0);
        CHECK_INT(path_make_target(root, "/l", true, PATH_NO_LINKS), -ELOOP);
        fd = path_make_target(root, "/l", true, 0); /* dangling: made where it leads */
        CHECK(fd >= 0);
        close(fd);
        CHECK_INT(stat(path_of("root/real"), &st), 0);
}

TEST(a_cleaned_path_has_no_dots_and_double_slashes)
{
        char buf[16];

        CHECK_INT(path_clean("//proc/./", buf, sizeof buf), 0);
        CHECK_STR(buf, "/proc");
        CHECK_INT(path_clean("/", buf, sizeof buf), 0);
        CHECK_STR(buf, "/");
        CHECK_INT(path_clean("/a/../b", buf, sizeof buf), 0);
        CHECK_STR(buf, "/a/../b"); /* which only the kernel can tell */
        CHECK_INT(path_clean("/0123456789abcdef", buf, sizeof buf), -ENAMETOOLONG);
}
