#include "runtime/shim-sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "runtime/shim-net.h"
#include "runtime/shim-sys.h"

struct making {
        const struct plan_view *plan;
        int proc; /* a private procfs */
        struct line *why;
        unsigned *kind;
};

static int failed(const struct making *m, unsigned kind, int r, const char *what, const char *whom)
{
        line_add(m->why, what);
        if (whom) {
                line_add(m->why, " ");
                line_add_quoted(m->why, whom);
        }
        line_add_error(m->why, r);
        *m->kind = kind;
        return r;
}

static int open_procfs(void)
{
        _cleanup_close_ int fs = sys_fsopen("proc");
        int r;

        if (fs < 0)
                return fs;
        r = sys_fscreate(fs);
        return r < 0 ? r : sys_fsmount(fs, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
}

/* Below our own procfs, and nowhere else. */
static int open_proc_file(int proc, const char *folder, const char *name, int flags)
{
        struct open_how how = {
                .flags = (uint64_t)(flags | O_CLOEXEC),
                .resolve = RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS,
        };
        char buf[512];
        struct line path = LINE(buf);

        line_add(&path, folder);
        line_add(&path, name);
        return path.len + 1 < sizeof buf ? sys_openat2(proc, buf, &how) : -ENAMETOOLONG;
}

static int write_proc_file(int proc, const char *folder, const char *name, const char *value)
{
        _cleanup_close_ int fd = open_proc_file(proc, folder, name, O_WRONLY);
        size_t n = strlen(value);
        ssize_t k;

        if (fd < 0)
                return fd;
        k = write(fd, value, n);
        if (k < 0)
                return -errno;
        return (size_t)k == n ? 0 : -EIO;
}

/* "self" is a link, and the name behind it ends in a magic one: both are the kernel's own here. */
static int open_namespace(int proc, const char *name)
{
        char buf[64];
        struct line path = LINE(buf);
        int fd;

        line_add(&path, "self/ns/");
        line_add(&path, name);
        fd = openat(proc, buf, O_RDONLY | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

static int open_null(void)
{
        _cleanup_close_ int fd = open("/dev/null", O_RDWR | O_NOFOLLOW | O_CLOEXEC);
        struct stat st;

        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        return S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3) ? TAKE_FD(fd) : -ENODEV;
}

/* ---- network ---- */

/*
 * The host's end refuses what a sandbox must not be able to do to the host: routers
 * advertised, addresses that are not its own. Written from within the host's namespace, which is
 * what /proc/sys/net shows.
 */
static int set_on_host_end(const struct making *m, const char *folder, const char *name,
                           const char *value)
{
        char file[64];
        struct line l = LINE(file);

        line_add(&l, m->plan->link->host_name);
        line_add(&l, name);
        return write_proc_file(m->proc, folder, file, value);
}

static int harden_host_end(const struct making *m)
{
        bool ipv6 = false;
        struct plan_record record;
        int r;

        PLAN_FOREACH(m->plan, PLAN_ADDRESS, record)
        ipv6 |= ((const struct plan_address *)record.payload)->family == AF_INET6;
        r = set_on_host_end(m, "sys/net/ipv4/conf/", "/rp_filter", "1");
        if (r < 0)
                return r;
        r = set_on_host_end(m, "sys/net/ipv6/conf/", ipv6 ? "/accept_ra" : "/disable_ipv6",
                            ipv6 ? "0" : "1");
        return r == -ENOENT && !ipv6 ? 0 : r; /* a kernel without IPv6 */
}

static int make_link(const struct making *m, int host_ns, int hosts, int ours)
{
        _cleanup_close_ int our_ns = open_namespace(m->proc, "net");
        const char *why;
        int r;

        if (our_ns < 0)
                return failed(m, ERR_SANDBOX_NETWORK, our_ns, "open the network namespace", NULL);
        r = net_make_link(m->plan, ours, hosts, host_ns, &why);
        if (r < 0)
                return failed(m, ERR_SANDBOX_NETWORK, r, why, m->plan->link->host_name);
        if (setns(host_ns, CLONE_NEWNET) < 0)
                return failed(m, ERR_SANDBOX_NETWORK, -errno, "enter the host's network", NULL);
        r = harden_host_end(m);
        if (setns(our_ns, CLONE_NEWNET) < 0)
                return failed(m, ERR_SANDBOX_NETWORK, -errno, "enter the network namespace", NULL);
        if (r < 0)
                return failed(m, ERR_SANDBOX_NETWORK, r, "set the sysctls of",
                              m->plan->link->host_name);
        return 0;
}

static int make_network(const struct making *m, int host_ns, int hosts)
{
        _cleanup_close_ int ours = net_open();
        int r;

        if (ours < 0)
                return failed(m, ERR_SANDBOX_NETWORK, ours, "open a netlink socket", NULL);
        r = net_up_loopback(ours);
        if (r < 0)
                return failed(m, ERR_SANDBOX_NETWORK, r, "bring up", "lo");
        return m->plan->link ? make_link(m, host_ns, hosts, ours) : 0;
}

static int make_namespaces(const struct making *m)
{
        uint32_t flags = m->plan->sandbox->flags;
        _cleanup_close_ int host_ns = -1, hosts = -1;

        if (m->plan->link) { /* both lead back to the host's network, from where we stand next */
                host_ns = open_namespace(m->proc, "net");
                hosts = net_open();
                if (host_ns < 0 || hosts < 0)
                        return failed(m, ERR_SANDBOX_NETWORK, host_ns < 0 ? host_ns : hosts,
                                      "open the host's network", NULL);
        }
        if (unshare((flags & PLAN_HOST_NETWORK ? 0 : CLONE_NEWNET) |
                    (flags & PLAN_HOST_IPC ? 0 : CLONE_NEWIPC) |
                    (flags & PLAN_HOST_UTS ? 0 : CLONE_NEWUTS)) < 0)
                return failed(m, ERR_SANDBOX, -errno, "make the sandbox's namespaces", NULL);
        if (m->plan->hostname && sethostname(m->plan->hostname, strlen(m->plan->hostname)) < 0)
                return failed(m, ERR_SANDBOX, -errno, "set host name", m->plan->hostname);
        return flags & PLAN_HOST_NETWORK ? 0 : make_network(m, host_ns, hosts);
}

/* ---- sysctls ---- */

/* Of a namespace that is the sandbox's own; everything else would change the node. */
static bool is_own_sysctl(const char *name, uint32_t flags)
{
        bool ipc = strncmp(name, "kernel/shm", 10) == 0 || strncmp(name, "kernel/msg", 10) == 0 ||
                   strcmp(name, "kernel/sem") == 0 || strncmp(name, "fs/mqueue/", 10) == 0;

        if (strncmp(name, "net/", 4) == 0)
                return !(flags & PLAN_HOST_NETWORK);
        return ipc && !(flags & PLAN_HOST_IPC);
}

static int set_sysctls(const struct making *m)
{
        struct plan_record record;

        PLAN_FOREACH(m->plan, PLAN_SYSCTL, record)
        {
                const char *value, *name = plan_view_sysctl(&record, &value);
                int r = is_own_sysctl(name, m->plan->sandbox->flags)
                                ? write_proc_file(m->proc, "sys/", name, value)
                                : -EPERM;

                if (r < 0)
                        return failed(m, ERR_SANDBOX, r, "set sysctl", name);
        }
        return 0;
}

/* ---- the copy of the template, with /dev/shm ---- */

static int open_shm(uint64_t bytes)
{
        _cleanup_close_ int fs = sys_fsopen("tmpfs");
        char size[24];
        struct line l = LINE(size);
        int r;

        if (fs < 0)
                return fs;
        line_add_u64(&l, bytes ? bytes : 64 << 20);
        r = sys_fsconfig(fs, "size", size);
        if (r == 0)
                r = sys_fsconfig(fs, "mode", "1777");
        if (r == 0)
                r = sys_fscreate(fs);
        return r < 0 ? r
                     : sys_fsmount(fs, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
}

static int attach_shm(int shm)
{
        _cleanup_close_ int target = open("/shm", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

        return target < 0 ? -errno : sys_move_mount(shm, target);
}

/*
 * Before Linux 6.15 a detached mount could not be cloned: the sandbox's /dev/shm must be attached
 * somewhere for its containers to get theirs. It is in a copy of the template of its own, from
 * which they start anyway.
 */
static int make_mount_namespace(const struct making *m, int template, int *ret)
{
        _cleanup_close_ int hosts = open_namespace(m->proc, "mnt"), ours = -1, shm = -1;
        int r = 0;

        if (hosts < 0)
                return failed(m, ERR_SANDBOX, hosts, "open the host's mount namespace", NULL);
        shm = open_shm(m->plan->sandbox->shm_size);
        if (shm < 0)
                return failed(m, ERR_SANDBOX, shm, "make /dev/shm", NULL);
        if (setns(template, CLONE_NEWNS) < 0 || unshare(CLONE_NEWNS) < 0)
                return failed(m, ERR_SANDBOX, -errno, "copy the template mount namespace", NULL);
        r = sys_mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
        if (r == 0)
                r = attach_shm(shm);
        if (r == 0)
                r = ours = open_namespace(m->proc, "mnt");
        if (setns(hosts, CLONE_NEWNS) < 0)
                return failed(m, ERR_SANDBOX, -errno, "return to the host's mount namespace", NULL);
        if (r < 0)
                return failed(m, ERR_SANDBOX, r, "attach /dev/shm in the template", NULL);
        *ret = TAKE_FD(ours);
        return 0;
}

/* ---- a shared PID namespace ---- */

/* Nothing of the host's is left to it, as everybody in the sandbox sees it; @ready becomes 0. */
static int lose_everything(int template, int ready)
{
        if (setns(template, CLONE_NEWNS) < 0 || (ready != 0 && dup3(ready, 0, O_CLOEXEC) < 0) ||
            sys_close_range(1, ~0U) < 0)
                return -errno;
        if (setgroups(0, NULL) < 0 || setresgid(65535, 65535, 65535) < 0 ||
            setresuid(65535, 65535, 65535) < 0)
                return -errno;
        if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                return -errno;
        return setsid() < 0 ? -errno : 0;
}

/*
 * The first process of a shared PID namespace: reaps what is orphaned in it, until it is killed. By
 * @ready the shim hears that it will not outlive it; a shim that was killed before is noticed by
 * the same write.
 */
static _Noreturn void run_sandbox_init(int template, int ready)
{
        sigset_t all;
        siginfo_t info;

        sigfillset(&all);
        sigprocmask(SIG_SETMASK, &all, NULL);
        prctl(PR_SET_NAME, "pause", 0, 0, 0);
        if (lose_everything(template, ready) < 0)
                _exit(1);
        prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0); /* a change of user takes it back: not before */
        if (write(0, "", 1) != 1)
                _exit(1);
        close(0);
        for (;;) {
                while (waitid(P_ALL, 0, &info, WEXITED) == 0)
                        ;
                sigwaitinfo(&all, &info); /* no children for now: the next one ends with SIGCHLD */
        }
}

static int make_shared_pid(const struct making *m, int template, struct sandbox *s)
{
        _cleanup_close_ int ready = -1, theirs = -1;
        int pidfd = -1, pid, fd, pair[2];
        struct clone_args args = {
                .flags = CLONE_PIDFD | CLONE_NEWPID,
                .pidfd = (uint64_t)(uintptr_t)&pidfd,
                .exit_signal = SIGCHLD,
        };
        char buf[64];
        struct line path = LINE(buf);

        if (pipe2(pair, O_CLOEXEC) < 0)
                return failed(m, ERR_SANDBOX, -errno, "make a pipe", NULL);
        ready = pair[0];
        theirs = pair[1];
        pid = sys_clone3(&args);
        if (pid == 0)
                run_sandbox_init(template, theirs);
        if (pid < 0)
                return failed(m, ERR_SANDBOX, pid, "make the shared PID namespace", NULL);
        s->init_pidfd = pidfd;
        theirs = safe_close(theirs);
        if (read(ready, buf, 1) != 1)
                return failed(m, ERR_SANDBOX, -ECHILD, "start the shared PID namespace", NULL);
        line_add_u64(&path, (uint64_t)pid);
        line_add(&path, "/ns/pid");
        fd = openat(m->proc, buf, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return failed(m, ERR_SANDBOX, -errno, "open the shared PID namespace", NULL);
        s->lent.shared_pid = fd;
        return 0;
}

int sandbox_make(const struct plan_view *plan, int template, struct sandbox *ret, struct line *why,
                 unsigned *kind)
{
        _cleanup_close_ int proc = open_procfs();
        struct making m = { .plan = plan, .proc = proc, .why = why, .kind = kind };
        struct sandbox s = {
                .lent = { .flags = plan->sandbox->flags, .mount_ns = -1, .shared_pid = -1 },
                .init_pidfd = -1,
        };
        int r;

        if (proc < 0)
                return failed(&m, ERR_SANDBOX, proc, "make a private procfs", NULL);
        s.lent.null_device = open_null();
        if (s.lent.null_device < 0)
                return failed(&m, ERR_SANDBOX, s.lent.null_device, "open", "/dev/null");
        r = make_namespaces(&m);
        if (r == 0)
                r = set_sysctls(&m);
        if (r == 0)
                r = make_mount_namespace(&m, template, &s.lent.mount_ns);
        if (r == 0 && s.lent.flags & PLAN_SHARED_PID)
                r = make_shared_pid(&m, template, &s);
        if (r == 0)
                *ret = s;
        return r;
}
