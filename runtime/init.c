/*
 * The child's way from clone to execve.
 *
 * A container: born in its cgroup, in the host's mount namespace, in the sandbox's network, IPC and
 * UTS namespaces, which are the shim's own. Sources are opened there; the rest happens in a copy of
 * the template. With a PID namespace of its own it is alone in there; otherwise it stays in the
 * host's until the last moment (launch.h, LAUNCH_MOVED).
 *
 * An exec: the same, but it joins the container's namespaces through its pidfd, in one call,
 * instead of building a root.
 */
#include "runtime/init.h"

#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "runtime/shim-sys.h"

int init_send(const struct init *i, enum launch_report_type type, int64_t pid, int fd)
{
        struct launch_report report = {
                .type = type, .step = i->step, .record = i->record, .pid = pid
        };
        union {
                struct cmsghdr align;
                char space[CMSG_SPACE(sizeof(int))];
        } control = { 0 };
        struct iovec iov = { &report, sizeof report };
        struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

        if (fd >= 0) {
                struct cmsghdr *c;

                msg.msg_control = control.space;
                msg.msg_controllen = sizeof control.space;
                c = CMSG_FIRSTHDR(&msg);
                c->cmsg_level = SOL_SOCKET;
                c->cmsg_type = SCM_RIGHTS;
                c->cmsg_len = CMSG_LEN(sizeof fd);
                memcpy(CMSG_DATA(c), &fd, sizeof fd);
        }
        return sendmsg(i->channel, &msg, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static void report_error(const struct init *i, enum launch_report_type type, int error)
{
        struct launch_report report = {
                .type = type, .step = i->step, .error = error, .record = i->record
        };

        if (send(i->channel, &report, sizeof report, MSG_NOSIGNAL) < 0)
                return; /* nobody listens: the shim is gone, and so are we in a moment */
}

void init_warn(const struct init *i, int error)
{
        report_error(i, LAUNCH_WARNING, error);
}

static void sort_fds(int *fds, size_t n)
{
        for (size_t i = 1; i < n; i++) {
                int fd = fds[i];
                size_t at = i;

                for (; at > 0 && fds[at - 1] > fd; at--)
                        fds[at] = fds[at - 1];
                fds[at] = fd;
        }
}

/*
 * Everything of the shim's that this child does not need goes at once: it may wait for its start
 * for long, and an end of somebody's pipe held here would keep that pipe open.
 */
static int close_others(const struct init *i)
{
        const struct launch_request *q = i->q;
        int keep[] = {
                i->channel, q->stdio[0],        q->stdio[1],          q->stdio[2],
                q->seccomp, q->container_pidfd, q->sandbox->mount_ns, q->sandbox->shared_pid,
        };
        int next = 3, r = 0;

        sort_fds(keep, ARRAY_SIZE(keep));
        for (size_t n = 0; r == 0 && n < ARRAY_SIZE(keep); n++) {
                if (keep[n] < next)
                        continue;
                if (keep[n] > next)
                        r = sys_close_range((unsigned)next, (unsigned)keep[n] - 1);
                next = keep[n] + 1;
        }
        return r < 0 ? r : sys_close_range((unsigned)next, ~0U);
}

static int raise_nofile(uint64_t ret_old[2])
{
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
                return -errno;
        ret_old[0] = limit.rlim_cur;
        ret_old[1] = limit.rlim_max;
        limit.rlim_cur = limit.rlim_max; /* a descriptor per mount */
        return setrlimit(RLIMIT_NOFILE, &limit) < 0 ? -errno : 0;
}

static int begin(struct init *i, uint64_t nofile[2])
{
        int r;

        init_at(i, STEP_BIRTH, LAUNCH_NO_RECORD);
        prctl(PR_SET_NAME, "skiff-init", 0, 0, 0);
        umask(0);
        r = close_others(i);
        return r < 0 ? r : raise_nofile(nofile);
}

/* Whether others could see this process if it were in the container's PID namespace already. */
static bool must_move(const struct init *i)
{
        return i->q->exec || !(i->plan->container->flags & PLAN_OWN_PID);
}

/* "/proc/12/ns/pid" -> "/proc/12"; false: it is another path. */
static bool is_of_process(const char *path, char *ret, size_t size)
{
        static const char prefix[] = "/proc/", suffix[] = "/ns/pid";
        size_t n;

        if (strncmp(path, prefix, strlen(prefix)) != 0)
                return false;
        n = strspn(path + strlen(prefix), "0123456789");
        if (n == 0 || strlen(prefix) + n >= size || strcmp(path + strlen(prefix) + n, suffix) != 0)
                return false;
        memcpy(ret, path, strlen(prefix) + n);
        ret[strlen(prefix) + n] = '\0';
        return true;
}

/* The parent of the process that @dir is of; 0: it is gone. */
static uint64_t parent_of(int dir)
{
        _cleanup_close_ int fd = openat(dir, "stat", O_RDONLY | O_CLOEXEC);
        char buf[512];
        ssize_t n = fd < 0 ? -1 : read(fd, buf, sizeof buf - 1);
        const char *end;
        uint64_t parent;

        buf[n > 0 ? n : 0] = '\0';
        end = strrchr(buf, ')'); /* of the command, which may hold anything */
        return end && strlen(end) > 4 && text_is_number(end + 4, strcspn(end + 4, " "), &parent)
                       ? parent
                       : 0;
}

/*
 * The PID namespace of another container of the pod, by its first process. That may have ended, and
 * its number be somebody else's by now: only a child of the shim, as this process is one, will do.
 */
static int open_pid_namespace(const struct init *i, const char *path)
{
        _cleanup_close_ int dir = -1;
        char process[64];
        int fd;

        if (i->plan->root_path || !is_of_process(path, process, sizeof process)) {
                fd = open(path, O_RDONLY | O_CLOEXEC); /* a bundle of others knows what it does */
                return fd < 0 ? -errno : fd;
        }
        dir = open(process, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (dir < 0 || parent_of(dir) != (uint64_t)getppid())
                return -ESRCH;
        fd = openat(dir, "ns/pid", O_RDONLY | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

static int open_namespace(const struct init *i, const char *path, uint32_t flag)
{
        int fd;

        if (flag == CLONE_NEWPID)
                return open_pid_namespace(i, path);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

static int join_namespace_paths(struct init *i)
{
        struct plan_record record;

        PLAN_FOREACH(i->plan, PLAN_NAMESPACE_PATH, record)
        {
                uint32_t flag;
                const char *path = plan_view_namespace(&record, &flag);
                _cleanup_close_ int fd = -1;
                int r;

                init_at(i, STEP_NAMESPACE, plan_view_index(i->plan, &record));
                fd = open_namespace(i, path, flag);
                if (fd < 0)
                        return fd;
                r = flag == CLONE_NEWPID ? init_open_joined_procfs(i, fd) : 0;
                if (r < 0)
                        return r;
                init_at(i, STEP_NAMESPACE, plan_view_index(i->plan, &record));
                if (setns(fd, (int)flag) < 0)
                        return -errno;
                i->joined_pid |= flag == CLONE_NEWPID;
        }
        return 0;
}

static int enter_namespaces(struct init *i)
{
        uint32_t flags = i->plan->container->flags;
        int fresh = (flags & PLAN_OWN_CGROUP_NS ? CLONE_NEWCGROUP : 0) |
                    (flags & PLAN_OWN_IPC ? CLONE_NEWIPC : 0) |
                    (flags & PLAN_OWN_UTS ? CLONE_NEWUTS : 0) |
                    (flags & PLAN_OWN_NET ? CLONE_NEWNET : 0);
        int r;

        if (must_move(i)) { /* as long as procfs still shows this process to itself */
                r = init_open_procfs(i);
                if (r < 0)
                        return r;
        }
        init_at(i, STEP_NAMESPACE, LAUNCH_NO_RECORD);
        /* after the birth in the cgroup, so that the cgroup is the root of what it sees */
        if (fresh && unshare(fresh) < 0)
                return -errno;
        if (must_move(i) && i->q->sandbox->shared_pid >= 0) {
                r = init_open_joined_procfs(i, i->q->sandbox->shared_pid);
                if (r < 0)
                        return r;
                init_at(i, STEP_NAMESPACE, LAUNCH_NO_RECORD);
                if (setns(i->q->sandbox->shared_pid, CLONE_NEWPID) < 0)
                        return -errno;
                i->joined_pid = true;
        }
        return join_namespace_paths(i);
}

/* Alone in its PID namespace, the container's procfs can serve us before anybody else has it. */
static int choose_procfs(struct init *i)
{
        if (i->proc >= 0)
                return 0;
        for (unsigned n = 0; n < i->n_mounts; n++) {
                if (i->mounts[n].fd == i->container_proc && i->container_proc >= 0 &&
                    !(i->mounts[n].plan.mount->attr_set & MOUNT_ATTR_RDONLY)) {
                        i->proc = i->container_proc;
                        return 0;
                }
        }
        return init_open_procfs(i);
}

static int build_root(struct init *i)
{
        int r = enter_namespaces(i);

        if (r == 0)
                r = init_open_root(i);
        if (r == 0)
                r = init_open_mounts(i);
        if (r == 0)
                r = init_open_masks(i);
        if (r == 0)
                r = init_make_devices(i);
        if (r == 0 && i->q->terminal)
                r = init_open_terminal(i, i->pts);
        if (r == 0)
                r = choose_procfs(i);
        if (r == 0)
                r = init_oom_score(i);
        if (r == 0)
                r = init_attach(i);
        return r < 0 ? r : init_mask_paths(i);
}

/* The container's namespaces by the process that was its first: -ESRCH when that is no more. */
static int join_container(struct init *i)
{
        int flags = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET |
                    CLONE_NEWPID;
        int r = init_open_procfs(i);

        if (r == 0)
                r = init_oom_score(i);
        if (r < 0)
                return r;
        init_at(i, STEP_JOIN, LAUNCH_NO_RECORD);
        if (setns(i->q->container_pidfd, flags) < 0)
                return -errno;
        i->root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (i->root < 0)
                return -errno;
        if (i->q->terminal) {
                _cleanup_close_ int pts = path_open(i->root, "/dev/pts", O_PATH | O_DIRECTORY, 0);

                r = init_open_terminal(i, pts);
        }
        return r;
}

/*
 * By handle, resolved in the root; and where that led is asked back: a directory outside the root
 * has a name that does not begin with '/' (RT-08).
 */
static int enter_cwd(struct init *i)
{
        const char *cwd = init_plan_of(i, PLAN_CWD)->cwd;
        _cleanup_close_ int fd = -1;
        char back[4096 + 64];
        long n;

        init_at(i, STEP_CWD, LAUNCH_NO_RECORD);
        fd = path_open(i->root, cwd ? cwd : "/", O_PATH | O_DIRECTORY, 0);
        if (fd < 0)
                return fd;
        if (fchdir(fd) < 0)
                return -errno;
        n = syscall(SYS_getcwd, back, sizeof back);
        if (n < 0)
                return -errno;
        return back[0] == '/' ? 0 : -EPERM;
}

/* A process that reopens /dev/stdout must be allowed to, whoever it runs as. */
static int own_stream(int fd, uid_t uid)
{
        struct stat st;

        if (fstat(fd, &st) < 0)
                return -errno;
        if (uid == st.st_uid || !(S_ISFIFO(st.st_mode) || isatty(fd)))
                return 0;
        return fchown(fd, uid, (gid_t)-1) < 0 ? -errno : 0;
}

static int attach_stdio(struct init *i)
{
        init_at(i, STEP_STDIO, LAUNCH_NO_RECORD);
        for (int fd = 0; fd < 3; fd++) {
                int from = i->q->stdio[fd] >= 0 ? i->q->stdio[fd] : i->terminal_peer, r;

                if (from < 0 || dup2(from, fd) < 0)
                        return from < 0 ? -EBADF : -errno;
                r = own_stream(fd, init_container(i)->uid);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* On a file system where root is nobody the directory may be the user's alone. */
enum { CWD_LATER = 1 };
static int enter_cwd_early(struct init *i)
{
        int r = enter_cwd(i);

        return r == -EACCES ? CWD_LATER : r;
}

static int become(struct init *i, const uint64_t nofile[2])
{
        int r = attach_stdio(i);

        if (r == 0)
                r = init_load_seccomp(i);
        if (r == 0)
                r = init_rlimits(i, nofile);
        return r < 0 ? r : init_identity(i);
}

static int prepare(struct init *i)
{
        const struct plan_container *c = init_container(i);
        uint64_t nofile[2];
        int r = begin(i, nofile), cwd = 0;

        if (r == 0)
                r = i->q->exec ? join_container(i) : build_root(i);
        if (r == 0)
                r = cwd = enter_cwd_early(i);
        if (r >= 0)
                r = become(i, nofile);
        if (r == 0 && cwd == CWD_LATER)
                r = enter_cwd(i);
        umask(c->flags & PLAN_HAS_UMASK ? c->umask : 0022);
        return r;
}

static int wait_for_go(struct init *i)
{
        char go = 0;
        ssize_t n;

        i->record = (unsigned)LAUNCH_NO_RECORD;
        if (init_send(i, LAUNCH_READY, 0, -1) < 0)
                return -EPIPE;
        do
                n = recv(i->channel, &go, 1, 0);
        while (n < 0 && errno == EINTR);
        return n == 1 && go == LAUNCH_GO ? 0 : -EPIPE;
}

/* Goes on in a process that is in the container's PID namespace and a child of the shim. */
static int move(struct init *i)
{
        int pidfd = -1, pid;

        init_at(i, STEP_MOVE, LAUNCH_NO_RECORD);
        /* not clone3: RuntimeDefault knows no such call, and may be in force already */
        pid = sys_answer(syscall(SYS_clone, CLONE_PARENT | CLONE_PIDFD, NULL, &pidfd, NULL, NULL));
        if (pid <= 0)
                return pid;
        _exit(init_send(i, LAUNCH_MOVED, pid, pidfd) < 0);
}

static int start_session(struct init *i)
{
        init_at(i, STEP_SESSION, LAUNCH_NO_RECORD);
        if (setsid() < 0)
                return -errno;
        return i->q->terminal && ioctl(0, TIOCSCTTY, 0) < 0 ? -errno : 0;
}

/* From here on nothing but the three streams and the channel exists. */
static int close_all(struct init *i)
{
        init_at(i, STEP_BIRTH, LAUNCH_NO_RECORD);
        if (i->channel != INIT_CHANNEL_FD) {
                if (dup3(i->channel, INIT_CHANNEL_FD, O_CLOEXEC) < 0)
                        return -errno;
                i->channel = INIT_CHANNEL_FD;
        }
        return sys_close_range(INIT_CHANNEL_FD + 1, ~0U);
}

static int reset_signals(void)
{
        const struct sigaction by_default = { .sa_handler = SIG_DFL };
        sigset_t none;

        sigemptyset(&none);
        /* the only one that the shim ignores */
        if (sigaction(SIGPIPE, &by_default, NULL) < 0 || sigprocmask(SIG_SETMASK, &none, NULL) < 0)
                return -errno;
        return 0;
}

static int go(struct init *i)
{
        struct init_command command;
        bool filter_first = must_move(i) && init_filter_comes_first(i);
        int r = init_find_command(i, &command);

        if (r == 0)
                r = close_all(i); /* before anybody in the container can look at this process */
        if (r == 0 && filter_first)
                r = init_install_seccomp_early(i);
        if (r == 0 && must_move(i))
                r = move(i);
        if (r == 0)
                r = start_session(i);
        if (r == 0)
                r = reset_signals();
        if (r == 0 && !filter_first)
                r = init_install_seccomp(i);
        if (r < 0)
                return r;
        init_at(i, STEP_EXECVE, LAUNCH_NO_RECORD);
        execve(command.path, command.argv, command.envp);
        return -errno;
}

void init_run(const struct launch_request *q, int channel)
{
        static struct init init;
        struct init *i = &init;
        int r;

        *i = (struct init){
                .q = q,
                .plan = q->plan,
                .channel = channel,
                .proc = -1,
                .container_proc = -1,
                .joined_proc = -1,
                .root = -1,
                .dev = -1,
                .pts = -1,
                .null_mask = -1,
                .tmpfs_mask = -1,
                .terminal_peer = -1,
        };
        r = prepare(i);
        if (r == 0)
                r = wait_for_go(i);
        if (r == -EPIPE)
                _exit(1); /* the shim is gone */
        if (r == 0)
                r = go(i);
        report_error(i, LAUNCH_FAILED, r);
        _exit(1);
}
