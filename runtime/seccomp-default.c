/*
 * RuntimeDefault as data. What no list names is refused with EPERM, what this table is too old to
 * know with ENOSYS (seccomp-compile.c), so that libraries fall back to older calls.
 *
 * In no list, whatever the capabilities: the kernel's keyrings, io_uring, userfaultfd, pivot_root,
 * kexec, swap, moving pages between nodes, module calls of before 2.6, virtual 8086 mode and calls
 * that are obsolete or were never implemented.
 */
#include <assert.h>
#include <errno.h>
#include <linux/capability.h>
#include <seccomp.h>
#include <string.h>
#include <sys/socket.h>

#include "base/text.h"
#include "runtime/runtime.h"
#include "runtime/seccomp-profile.h"

enum { CLONE_NAMESPACES = 0x7e020000 }; /* all seven CLONE_NEW… flags that clone() takes */

/* clang-format off */
const char seccomp_always_allowed[] =
        "_llseek _newselect accept accept4 access adjtimex alarm arch_prctl arm_fadvise64_64 "
        "arm_sync_file_range bind breakpoint brk cacheflush cachestat capget capset chdir chmod "
        "chown chown32 clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 "
        "clock_gettime clock_gettime64 clock_nanosleep clock_nanosleep_time64 close close_range "
        "connect copy_file_range creat dup dup2 dup3 epoll_create epoll_create1 epoll_ctl "
        "epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 "
        "execve execveat exit exit_group faccessat faccessat2 fadvise64 fadvise64_64 fallocate "
        "fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64 "
        "fdatasync fgetxattr file_getattr file_setattr flistxattr flock fork fremovexattr "
        "fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futex "
        "futex_requeue futex_time64 futex_wait futex_waitv futex_wake futimesat get_robust_list "
        "get_thread_area getcpu getcwd getdents getdents64 getegid getegid32 geteuid geteuid32 "
        "getgid getgid32 getgroups getgroups32 getitimer getpeername getpgid getpgrp getpid "
        "getppid getpriority getrandom getresgid getresgid32 getresuid getresuid32 getrlimit "
        "getrusage getsid getsockname getsockopt gettid gettimeofday getuid getuid32 getxattr "
        "getxattrat inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel "
        "io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit ioctl "
        "ioprio_get ioprio_set ipc kill landlock_add_rule landlock_create_ruleset "
        "landlock_restrict_self lchown lchown32 lgetxattr link linkat listen listxattr "
        "listxattrat llistxattr lremovexattr lseek lsetxattr lstat lstat64 madvise "
        "map_shadow_stack membarrier memfd_create memfd_secret mincore mkdir mkdirat mknod "
        "mknodat mlock mlock2 mlockall mmap mmap2 modify_ldt mprotect mq_getsetattr mq_notify "
        "mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 "
        "mq_unlink mremap mseal msgctl msgget msgrcv msgsnd msync munlock munlockall munmap "
        "name_to_handle_at nanosleep newfstatat open openat openat2 pause pidfd_open "
        "pidfd_send_signal pipe pipe2 pkey_alloc pkey_free pkey_mprotect poll ppoll "
        "ppoll_time64 prctl pread64 preadv preadv2 prlimit64 process_mrelease process_vm_readv "
        "process_vm_writev pselect6 pselect6_time64 ptrace pwrite64 pwritev pwritev2 read "
        "readahead readdir readlink readlinkat readv recv recvfrom recvmmsg recvmmsg_time64 "
        "recvmsg remap_file_pages removexattr removexattrat rename renameat renameat2 "
        "restart_syscall rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo "
        "rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo "
        "sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr "
        "sched_getparam sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64 "
        "sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield seccomp "
        "select semctl semget semop semtimedop semtimedop_time64 send sendfile sendfile64 "
        "sendmmsg sendmsg sendto set_robust_list set_thread_area set_tid_address set_tls "
        "setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 "
        "setitimer setpgid setpriority setregid setregid32 setresgid setresgid32 setresuid "
        "setresuid32 setreuid setreuid32 setrlimit setsid setsockopt setuid setuid32 setxattr "
        "setxattrat shmat shmctl shmdt shmget shutdown sigaction sigaltstack signal signalfd "
        "signalfd4 sigpending sigprocmask sigreturn sigsuspend socketcall socketpair splice "
        "stat stat64 statfs statfs64 statx symlink symlinkat sync sync_file_range syncfs "
        "sysinfo tee tgkill time timer_create timer_delete timer_getoverrun timer_gettime "
        "timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime "
        "timerfd_gettime64 timerfd_settime timerfd_settime64 times tkill truncate truncate64 "
        "ugetrlimit umask uname unlink unlinkat uprobe uretprobe utime utimensat "
        "utimensat_time64 utimes vfork vmsplice wait4 waitid waitpid write writev ";

#define CAP(name) (UINT64_C(1) << CAP_##name)
const struct seccomp_by_capability seccomp_by_capabilities[] = {
        { CAP(SYS_ADMIN), "clone clone3 fanotify_init fsconfig fsmount fsopen fspick listmount lookup_dcookie "
                          "lsm_get_self_attr lsm_list_modules lsm_set_self_attr mount mount_setattr "
                          "move_mount open_tree open_tree_attr quotactl quotactl_fd setdomainname "
                          "sethostname setns statmount umount umount2 unshare" },
        { CAP(SYS_ADMIN) | CAP(BPF), "bpf" },
        { CAP(SYS_ADMIN) | CAP(PERFMON), "perf_event_open" },
        { CAP(SYS_ADMIN) | CAP(SYSLOG), "syslog" },
        { CAP(DAC_READ_SEARCH), "open_by_handle_at" },
        { CAP(SYS_BOOT), "reboot" },
        { CAP(SYS_CHROOT), "chroot" },
        { CAP(SYS_MODULE), "delete_module finit_module init_module" },
        { CAP(SYS_NICE), "get_mempolicy mbind set_mempolicy set_mempolicy_home_node" },
        { CAP(SYS_PACCT), "acct" },
        { CAP(SYS_PTRACE), "kcmp pidfd_getfd process_madvise" },
        { CAP(SYS_RAWIO), "ioperm iopl" },
        { CAP(SYS_TIME), "clock_settime clock_settime64 settimeofday stime" },
        { CAP(SYS_TTY_CONFIG), "vhangup" },
        {},
};

const struct seccomp_newer_call seccomp_newer_calls[] = {
        { "uretprobe", 335, true },
        { "uprobe", 336, true },
        { "set_mempolicy_home_node", 450 },
        { "cachestat", 451 },
        { "fchmodat2", 452 },
        { "map_shadow_stack", 453 },
        { "futex_wake", 454 },
        { "futex_wait", 455 },
        { "futex_requeue", 456 },
        { "statmount", 457 },
        { "listmount", 458 },
        { "lsm_get_self_attr", 459 },
        { "lsm_set_self_attr", 460 },
        { "lsm_list_modules", 461 },
        { "mseal", 462 },
        { "setxattrat", 463 },
        { "getxattrat", 464 },
        { "listxattrat", 465 },
        { "removexattrat", 466 },
        { "open_tree_attr", 467 },
        { "file_getattr", 468 },
        { "file_setattr", 469 },
        {},
}; /* clang-format on */

static const char *const architectures[] = {
#if defined(__x86_64__)
        "SCMP_ARCH_X86_64",
        "SCMP_ARCH_X86",
        "SCMP_ARCH_X32",
#elif defined(__aarch64__)
        "SCMP_ARCH_AARCH64",
        "SCMP_ARCH_ARM",
#else
#error "no default seccomp profile for this architecture"
#endif
};

int seccomp_profile_add(struct oci_seccomp *s, const char *names, uint32_t action,
                        int32_t errno_ret, const struct oci_seccomp_arg *arg)
{
        struct oci_seccomp_rule *grown = reallocarray(s->rules, s->n_rules + 1, sizeof *s->rules);
        struct oci_seccomp_rule *rule;
        int r;

        if (!grown)
                return -ENOMEM;
        s->rules = grown;
        rule = &grown[s->n_rules++];
        *rule = (struct oci_seccomp_rule){ .action = action, .errno_ret = errno_ret };
        r = strv_split(names, " ", &rule->names);
        if (r < 0 || !arg)
                return r;
        rule->args = malloc(sizeof *arg);
        if (!rule->args)
                return -ENOMEM;
        rule->args[rule->n_args++] = *arg;
        return 0;
}

static int allow_when(struct oci_seccomp *s, const char *name, int op, uint64_t value)
{
        struct oci_seccomp_arg arg = { .value = value, .op = op };

        return seccomp_profile_add(s, name, SCMP_ACT_ALLOW, -1, &arg);
}

/* Three rules: two conditions on one argument in a rule would be split into alternatives that allow
 * everything. */
static int add_socket_families(struct oci_seccomp *s)
{
        static_assert(AF_ALG == 38 && AF_VSOCK == 40, "the families between them are spelt out");
        int r = allow_when(s, "socket", SCMP_CMP_LT, AF_ALG);

        if (r == 0)
                r = allow_when(s, "socket", SCMP_CMP_EQ, AF_ALG + 1);
        if (r == 0)
                r = allow_when(s, "socket", SCMP_CMP_GT, AF_VSOCK);
        return r;
}

static int add_personalities(struct oci_seccomp *s)
{
        static const uint64_t allowed[] = { 0x0, 0x8, 0x20000, 0x20008, 0xffffffff };
        int r = 0;

        for (size_t i = 0; r == 0 && i < ARRAY_SIZE(allowed); i++)
                r = allow_when(s, "personality", SCMP_CMP_EQ, allowed[i]);
        return r;
}

/* clone3's flags are behind a pointer, so libc has to fall back to clone. */
static int add_clone(struct oci_seccomp *s)
{
        struct oci_seccomp_arg no_namespace = { .value = CLONE_NAMESPACES,
                                                .op = SCMP_CMP_MASKED_EQ };
        int r = seccomp_profile_add(s, "clone", SCMP_ACT_ALLOW, -1, &no_namespace);

        return r < 0 ? r : seccomp_profile_add(s, "clone3", SCMP_ACT_ERRNO(0), ENOSYS, NULL);
}

static int fill(struct oci_seccomp *s, uint64_t capabilities)
{
        int r = 0;

        s->default_action = SCMP_ACT_ERRNO(0);
        s->default_errno_ret = EPERM;
        for (size_t i = 0; r == 0 && i < ARRAY_SIZE(architectures); i++)
                r = strv_append(&s->architectures, architectures[i]);
        if (r == 0)
                r = seccomp_profile_add(s, seccomp_always_allowed, SCMP_ACT_ALLOW, -1, NULL);
        for (size_t i = 0; r == 0 && seccomp_by_capabilities[i].names; i++)
                if (seccomp_by_capabilities[i].capabilities & capabilities)
                        r = seccomp_profile_add(s, seccomp_by_capabilities[i].names, SCMP_ACT_ALLOW,
                                                -1, NULL);
        if (r == 0 && !(capabilities & CAP(SYS_ADMIN)))
                r = add_clone(s);
        if (r == 0)
                r = add_personalities(s);
        if (r == 0)
                r = add_socket_families(s);
        return r;
}

int seccomp_runtime_default(uint64_t capabilities, struct oci_seccomp **ret, struct err *err)
{
        struct oci_seccomp *s = calloc(1, sizeof *s);
        int r = s ? fill(s, capabilities) : -ENOMEM;

        if (r < 0) {
                oci_seccomp_free(s);
                return err_sys(err, r, "make the default seccomp profile");
        }
        *ret = s;
        return 0;
}
