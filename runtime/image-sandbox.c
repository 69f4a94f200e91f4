#include "runtime/image-sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/capability.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

enum {
        MEMORY_MAX = 640 << 20, /* 128 MiB zstd window, libraries, and ample room */
        DOCUMENT_MAX = 16 << 20,
        CPU_SEC_MAX = 3600,
        NAMESPACE_FLAGS = 0x7e020000, /* what clone() may not be asked for */
};

/* ---- common ---- */

static int limit(int what, rlim_t value)
{
        struct rlimit l = { value, value };

        return setrlimit((__rlimit_resource_t)what, &l) < 0 ? -errno : 0;
}

/* The parent may be gone before the request to die with it takes effect. */
static int die_with(pid_t parent, struct err *err)
{
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
                return err_sys(err, -errno, "die with the parent");
        return getppid() == parent ? 0 : err_set(err, -ESRCH, "the parent is gone");
}

static int own_mount_namespace(struct err *err)
{
        if (unshare(CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS) < 0)
                return err_sys(err, -errno, "make namespaces");
        if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
                return err_sys(err, -errno, "make mounts private");
        return 0;
}

/* Keeps @kept (in libcap's text form) and nothing else, in every set. */
static int keep_capabilities(const char *kept, struct err *err)
{
        cap_t caps = cap_from_text(kept);
        int r = 0;

        if (!caps)
                return err_sys(err, -errno, "set capabilities");
        for (cap_value_t c = 0; r == 0 && cap_get_bound(c) >= 0; c++) {
                cap_flag_value_t value = CAP_CLEAR;

                cap_get_flag(caps, c, CAP_PERMITTED, &value);
                if (value == CAP_CLEAR && cap_get_bound(c) == 1 && cap_drop_bound(c) < 0)
                        r = -errno;
        }
        if (r == 0 && cap_set_proc(caps) < 0)
                r = -errno;
        cap_free(caps);
        if (r == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                r = -errno;
        return r < 0 ? err_sys(err, r, "set capabilities") : 0;
}

static int allow(scmp_filter_ctx filter, const int *calls, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                int r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i], 0);

                if (r < 0)
                        return r;
        }
        return 0;
}

static int load_and_free(scmp_filter_ctx filter, int r, struct err *err)
{
        if (r == 0)
                r = seccomp_load(filter);
        seccomp_release(filter);
        return r < 0 ? err_sys(err, r, "set the system call filter") : 0;
}

/* ---- fetcher ---- */

/* What libcurl, OpenSSL and the resolver need; glibc falls back from what it is refused. */
static const int fetcher_calls[] = {
        SCMP_SYS(accept4),
        SCMP_SYS(access),
        SCMP_SYS(brk),
        SCMP_SYS(clock_getres),
        SCMP_SYS(clock_gettime),
        SCMP_SYS(clock_nanosleep),
        SCMP_SYS(close),
        SCMP_SYS(connect),
        SCMP_SYS(dup),
        SCMP_SYS(epoll_create1),
        SCMP_SYS(epoll_ctl),
        SCMP_SYS(epoll_wait),
        SCMP_SYS(epoll_pwait),
        SCMP_SYS(eventfd2),
        SCMP_SYS(exit),
        SCMP_SYS(exit_group),
        SCMP_SYS(faccessat),
        SCMP_SYS(faccessat2),
        SCMP_SYS(fcntl),
        SCMP_SYS(fstat),
        SCMP_SYS(ftruncate),
        SCMP_SYS(futex),
        SCMP_SYS(getcwd),
        SCMP_SYS(getdents64),
        SCMP_SYS(getegid),
        SCMP_SYS(geteuid),
        SCMP_SYS(getgid),
        SCMP_SYS(getpeername),
        SCMP_SYS(getpid),
        SCMP_SYS(getppid),
        SCMP_SYS(getrandom),
        SCMP_SYS(getrlimit),
        SCMP_SYS(getsockname),
        SCMP_SYS(getsockopt),
        SCMP_SYS(gettid),
        SCMP_SYS(gettimeofday),
        SCMP_SYS(getuid),
        SCMP_SYS(ioctl),
        SCMP_SYS(lseek),
        SCMP_SYS(madvise),
        SCMP_SYS(membarrier),
        SCMP_SYS(memfd_create),
        SCMP_SYS(mmap),
        SCMP_SYS(mprotect),
        SCMP_SYS(mremap),
        SCMP_SYS(munmap),
        SCMP_SYS(nanosleep),
        SCMP_SYS(newfstatat),
        SCMP_SYS(open),
        SCMP_SYS(openat),
        SCMP_SYS(pipe),
        SCMP_SYS(pipe2),
        SCMP_SYS(poll),
        SCMP_SYS(ppoll),
        SCMP_SYS(pread64),
        SCMP_SYS(prlimit64),
        SCMP_SYS(pselect6),
        SCMP_SYS(pwrite64),
        SCMP_SYS(read),
        SCMP_SYS(readlink),
        SCMP_SYS(readlinkat),
        SCMP_SYS(readv),
        SCMP_SYS(recvfrom),
        SCMP_SYS(recvmmsg),
        SCMP_SYS(recvmsg),
        SCMP_SYS(restart_syscall),
        SCMP_SYS(rseq),
        SCMP_SYS(rt_sigaction),
        SCMP_SYS(rt_sigprocmask),
        SCMP_SYS(rt_sigreturn),
        SCMP_SYS(sched_getaffinity),
        SCMP_SYS(sched_yield),
        SCMP_SYS(select),
        SCMP_SYS(sendmmsg),
        SCMP_SYS(sendmsg),
        SCMP_SYS(sendto),
        SCMP_SYS(set_robust_list),
        SCMP_SYS(set_tid_address),
        SCMP_SYS(setsockopt),
        SCMP_SYS(shutdown),
        SCMP_SYS(sigaltstack),
        SCMP_SYS(socketpair),
        SCMP_SYS(stat),
        SCMP_SYS(statfs),
        SCMP_SYS(statx),
        SCMP_SYS(sysinfo),
        SCMP_SYS(uname),
        SCMP_SYS(write),
        SCMP_SYS(writev),
};

static int filter_fetcher(struct err *err)
{
        static const int families[] = { AF_INET, AF_INET6, AF_NETLINK };
        scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
        int r;

        if (!filter)
                return err_sys(err, -ENOMEM, "set the system call filter");
        r = allow(filter, fetcher_calls, ARRAY_SIZE(fetcher_calls));
        for (size_t i = 0; r == 0 && i < ARRAY_SIZE(families); i++)
                r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
                                     SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)families[i]));
        /* the resolver is a thread; clone3 hides its flags, and without it glibc takes clone */
        if (r == 0)
                r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                                     SCMP_A0(SCMP_CMP_MASKED_EQ, NAMESPACE_FLAGS, 0));
        if (r == 0)
                r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
        return load_and_free(filter, r, err);
}

/* A tree of the kernel's that a stranger's bytes have no business to read. */
static int cover(const char *path, struct err *err)
{
        struct stat st;

        if (stat(path, &st) < 0)
                return 0;
        if (mount("tmpfs", path, "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=4k") <
            0)
                return err_sys(err, -errno, "cover '%s'", path);
        return 0;
}

static int limit_fetcher(void)
{
        int r = limit(RLIMIT_CORE, 0);

        if (r == 0)
                r = limit(RLIMIT_FSIZE, DOCUMENT_MAX); /* memfds of documents */
        if (r == 0)
                r = limit(RLIMIT_NOFILE, 512);
        if (r == 0 && !SANDBOX_SANITIZED)
                r = limit(RLIMIT_AS, MEMORY_MAX);
        return r;
}

int sandbox_enter_fetcher(uint32_t uid, pid_t parent, struct err *err)
{
        int r = own_mount_namespace(err);

        if (r == 0 && !SANDBOX_SANITIZED)
                r = cover("/proc", err);
        if (r == 0)
                r = cover("/sys", err);
        if (r < 0)
                return r;
        r = limit_fetcher();
        if (r < 0)
                return err_sys(err, r, "set limits");
        if (chdir("/") < 0 || setgroups(0, NULL) < 0 || setresgid(uid, uid, uid) < 0 ||
            setresuid(uid, uid, uid) < 0)
                return err_sys(err, -errno, "become user %u", uid);
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0) < 0)
                return err_sys(err, -errno, "give up privileges");
        r = die_with(parent, err);
        if (r == 0 && !SANDBOX_SANITIZED)
                r = filter_fetcher(err);
        return r;
}

/* ---- unpacker ---- */

static const int unpacker_calls[] = {
        SCMP_SYS(brk),          SCMP_SYS(clock_gettime), SCMP_SYS(close),      SCMP_SYS(exit_group),
        SCMP_SYS(fchmod),       SCMP_SYS(fchmodat),      SCMP_SYS(fchown),     SCMP_SYS(fchownat),
        SCMP_SYS(fcntl),        SCMP_SYS(fsetxattr),     SCMP_SYS(fstat),      SCMP_SYS(fstatfs),
        SCMP_SYS(getdents64),   SCMP_SYS(getrandom),     SCMP_SYS(linkat),     SCMP_SYS(lseek),
        SCMP_SYS(madvise),      SCMP_SYS(mkdirat),       SCMP_SYS(mknodat),    SCMP_SYS(mmap),
        SCMP_SYS(mremap),       SCMP_SYS(munmap),        SCMP_SYS(newfstatat), SCMP_SYS(openat),
        SCMP_SYS(openat2),      SCMP_SYS(read),          SCMP_SYS(readlinkat), SCMP_SYS(renameat),
        SCMP_SYS(rt_sigreturn), SCMP_SYS(sendmsg),       SCMP_SYS(symlinkat),  SCMP_SYS(syncfs),
        SCMP_SYS(unlinkat),     SCMP_SYS(utimensat),     SCMP_SYS(write),
};

static int filter_unpacker(struct err *err)
{
        scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
        int r;

        if (!filter)
                return err_sys(err, -ENOMEM, "set the system call filter");
        r = allow(filter, unpacker_calls, ARRAY_SIZE(unpacker_calls));
        return load_and_free(filter, r, err);
}

/*
 * The layer's directory as a mount of its own, in no namespace yet. A device made in it cannot be
 * opened there, a set-id program not be run.
 */
static int detach_tree(int root_fd, struct err *err)
{
        struct mount_attr attr = {
                .attr_set = MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC,
                .propagation = MS_PRIVATE, /* a host's mounts are shared: such a root cannot be
                                              pivoted to */
        };
        int tree = open_tree(root_fd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);

        if (tree < 0 || mount_setattr(tree, "", AT_EMPTY_PATH, &attr, sizeof attr) < 0) {
                int r = -errno;

                safe_close(tree);
                return err_sys(err, r, "mount the layer's directory");
        }
        return tree;
}

/* Puts the tree over the root, makes it the root, and lets go of all that was there. */
static int move_into(int tree, struct err *err)
{
        int fd;

        if (move_mount(tree, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0 || fchdir(tree) < 0 ||
            syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
                return err_sys(err, -errno, "move into the layer's directory");
        fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return fd < 0 ? err_sys(err, -errno, "open the layer's directory") : fd;
}

static int limit_unpacker(void)
{
        int r = limit(RLIMIT_CORE, 0);

        if (r == 0)
                r = limit(RLIMIT_NOFILE, 64);
        if (r == 0)
                r = limit(RLIMIT_CPU, CPU_SEC_MAX);
        if (r == 0 && !SANDBOX_SANITIZED)
                r = limit(RLIMIT_AS, MEMORY_MAX);
        return r;
}

int sandbox_enter_unpacker(int root_fd, pid_t parent, struct err *err)
{
        /* before the namespace: a clone is taken of what one's own namespace has */
        _cleanup_close_ int tree = detach_tree(root_fd, err);
        int r, fd;

        if (tree < 0)
                return tree;
        r = own_mount_namespace(err);
        if (r < 0)
                return r;
        fd = move_into(tree, err);
        if (fd < 0)
                return fd;
        r = limit_unpacker();
        if (r < 0)
                r = err_sys(err, r, "set limits");
        if (r == 0)
                r = keep_capabilities("cap_chown,cap_dac_override,cap_fowner,cap_fsetid,cap_mknod,"
                                      "cap_setfcap=ep",
                                      err);
        if (r == 0 && prctl(PR_SET_DUMPABLE, 0) < 0)
                r = err_sys(err, -errno, "give up privileges");
        if (r == 0)
                r = die_with(parent, err);
        tree = safe_close(tree);
        umask(0); /* modes are the archive's */
        if (r == 0 && !SANDBOX_SANITIZED)
                r = filter_unpacker(err);
        if (r < 0) {
                safe_close(fd);
                return r;
        }
        return fd;
}
