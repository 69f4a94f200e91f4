#include "runtime/mount-template.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* What the child tells: which step it is at. The last one asks for the namespace to be opened. */
enum step {
        STEP_UNSHARE,
        STEP_PROPAGATION,
        STEP_TMPFS,
        STEP_DIRECTORIES,
        STEP_READONLY,
        STEP_ATTACH,
        STEP_PIVOT,
        STEP_DETACH,
        STEP_DONE,
};
static const char *const step_names[] = {
        [STEP_UNSHARE] = "unshare the mount namespace",
        [STEP_PROPAGATION] = "make all mounts private",
        [STEP_TMPFS] = "make a tmpfs",
        [STEP_DIRECTORIES] = "make its directories",
        [STEP_READONLY] = "make it read-only",
        [STEP_ATTACH] = "attach it",
        [STEP_PIVOT] = "make it the root",
        [STEP_DETACH] = "detach the host's mounts",
};
struct report {
        int32_t step, error;
};

static int make_tmpfs(void)
{
        _cleanup_close_ int fs = (int)syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC);

        if (fs < 0 ||
            syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "source", "skiff-template", 0) < 0 ||
            syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "size", "4k", 0) < 0 ||
            syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "mode", "0755", 0) < 0 ||
            syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
                return -1;
        return (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC,
                            MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
}

/* Runs in a forked child, in the host's namespaces until it has unshared the mount namespace. */
static enum step build(void)
{
        struct mount_attr readonly = { .attr_set = MOUNT_ATTR_RDONLY };
        int tree;

        if (unshare(CLONE_NEWNS) < 0)
                return STEP_UNSHARE;
        if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
                return STEP_PROPAGATION;
        tree = make_tmpfs();
        if (tree < 0)
                return STEP_TMPFS;
        if (mkdirat(tree, "root", 0755) < 0 || mkdirat(tree, "shm", 0755) < 0)
                return STEP_DIRECTORIES;
        if (syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &readonly, sizeof readonly) < 0)
                return STEP_READONLY;
        if (syscall(SYS_move_mount, tree, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0 ||
            fchdir(tree) < 0)
                return STEP_ATTACH;
        if (syscall(SYS_pivot_root, ".", ".") < 0)
                return STEP_PIVOT;
        /* the old root now lies on top of the new one */
        return umount2(".", MNT_DETACH) < 0 ? STEP_DETACH : STEP_DONE;
}

static void run_child(int socket)
{
        struct report report;
        char go;

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        /* a lock of skiffd's must not live on in here */
        if (dup2(socket, 3) < 0 || close_range(4, ~0U, 0) < 0)
                _exit(1);
        errno = 0;
        report.step = build();
        report.error = report.step == STEP_DONE ? 0 : errno;
        if (write(3, &report, sizeof report) == sizeof report)
                (void)!read(3, &go, 1); /* stays until the parent has opened the namespace */
        _exit(0);
}

static int open_namespace(pid_t pid)
{
        char path[64];

        snprintf(path, sizeof path, "/proc/%d/ns/mnt", (int)pid);
        return open(path, O_RDONLY | O_CLOEXEC);
}

static int await(int socket, pid_t pid, struct err *err)
{
        struct report report = { 0 };
        int fd;

        if (read(socket, &report, sizeof report) != sizeof report)
                return err_set(err, -EIO, "the child that makes the mount template died");
        if (report.step < 0 || report.step > STEP_DONE)
                return err_set(err, -EIO, "the child that makes the mount template is confused");
        if (report.step != STEP_DONE)
                return err_sys(err, -report.error, "mount template: %s", step_names[report.step]);
        fd = open_namespace(pid);
        return fd < 0 ? err_sys(err, -errno, "open the mount template") : fd;
}

int mount_template_make(struct err *err)
{
        int sockets[2], status, fd;
        pid_t pid;

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0)
                return err_sys(err, -errno, "make a socket pair");
        pid = fork();
        if (pid == 0)
                run_child(sockets[1]);
        safe_close(sockets[1]);
        if (pid < 0) {
                fd = err_sys(err, -errno, "fork");
                safe_close(sockets[0]);
                return fd;
        }
        fd = await(sockets[0], pid, err);
        safe_close(sockets[0]);
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
                ;
        return fd;
}
