#include "runtime/launch.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "runtime/init.h"
#include "runtime/shim-sys.h"

/* What was being done, and whether the record it is about belongs into the sentence. */
static const struct {
        const char *text;
        bool record;
} steps[] = {
        /* clang-format off */
        [STEP_BIRTH]            = { "prepare the launch process" },
        [STEP_NAMESPACE]        = { "enter namespace", true },
        [STEP_PROCFS]           = { "make a private procfs" },
        [STEP_OOM_SCORE]        = { "set oom_score_adj" },
        [STEP_ROOT]             = { "mount the root file system" },
        [STEP_MOUNT_SOURCE]     = { "open the source of mount", true },
        [STEP_MOUNT_FILESYSTEM] = { "make the file system of mount", true },
        [STEP_MOUNT_ATTRIBUTES] = { "set the attributes of mount", true },
        [STEP_IMAGE]            = { "mount the image for mount", true },
        [STEP_IMAGE_PATH]       = { "find in the mounted image", true },
        [STEP_DEVICE]           = { "make device", true },
        [STEP_DEV_LINKS]        = { "make the links in /dev" },
        [STEP_TERMINAL]         = { "open a terminal" },
        [STEP_TEMPLATE]         = { "enter the template mount namespace" },
        [STEP_MOUNT_TARGET]     = { "make the target of mount", true },
        [STEP_MOUNT_FORBIDDEN]  = { "nothing but procfs may cover /proc: mount", true },
        [STEP_MOUNT_ATTACH]     = { "attach mount", true },
        [STEP_PROC_COVERED]     = { "the container's /proc is not the procfs made for it" },
        [STEP_PIVOT]            = { "change into the new root" },
        [STEP_MASK]             = { "mask", true },
        [STEP_READONLY]         = { "make read-only", true },
        [STEP_CWD]              = { "change into working directory", true },
        [STEP_STDIO]            = { "connect the standard streams" },
        [STEP_SESSION]          = { "start a session" },
        [STEP_RLIMIT]           = { "set resource limits" },
        [STEP_KEYRING]          = { "join a session keyring" },
        [STEP_APPARMOR]         = { "set the AppArmor profile" },
        [STEP_GROUPS]           = { "set supplementary groups" },
        [STEP_CAPABILITIES]     = { "set capabilities" },
        [STEP_USER]             = { "change user and group" },
        [STEP_JOIN]             = { "join the container's namespaces" },
        [STEP_MOVE]             = { "clone into the container's PID namespace" },
        [STEP_SECCOMP]          = { "install the seccomp filter" },
        [STEP_FIND_COMMAND]     = { "exec", true },
        [STEP_EXECVE]           = { "exec", true },
}; /* clang-format on */
_Static_assert(ARRAY_SIZE(steps) == _LAUNCH_STEP_MAX, "a step has no sentence");

int launch_start(const struct launch_request *q, struct launch *ret)
{
        bool fresh_pid = !q->exec && q->plan->container->flags & PLAN_OWN_PID;
        int pair[2], pidfd = -1, pid;
        struct clone_args args = {
                .flags = CLONE_PIDFD | CLONE_INTO_CGROUP | (fresh_pid ? CLONE_NEWPID : 0),
                .pidfd = (uint64_t)(uintptr_t)&pidfd,
                .exit_signal = SIGCHLD,
                .cgroup = (uint64_t)q->cgroup,
        };

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return -errno;
        pid = sys_clone3(&args);
        if (pid == 0)
                init_run(q, pair[1]);
        close(pair[1]);
        if (pid < 0) {
                close(pair[0]);
                return pid;
        }
        *ret = (struct launch){ .pid = pid, .pidfd = pidfd, .channel = pair[0] };
        return 0;
}

void launch_done(struct launch *l)
{
        l->pidfd = safe_close(l->pidfd);
        l->channel = safe_close(l->channel);
}

/* The one that prepared has said its last word; the one it cloned is ours to wait for. */
static int follow(struct launch *l, const struct launch_report *report, int pidfd)
{
        siginfo_t info;

        if (report->pid <= 0)
                return -EBADMSG;
        if (pidfd < 0) { /* no descriptor was left for it: it must not run unwatched */
                kill((pid_t)report->pid, SIGKILL);
                waitid(P_PID, (id_t)report->pid, &info, WEXITED);
                return -EMFILE;
        }
        waitid(P_PIDFD, (id_t)l->pidfd, &info, WEXITED);
        close(l->pidfd);
        l->pidfd = pidfd;
        l->pid = (pid_t)report->pid;
        l->moved = true;
        return 0;
}

static int take_fd(struct msghdr *msg)
{
        struct cmsghdr *c = CMSG_FIRSTHDR(msg);
        int fd;

        if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS ||
            c->cmsg_len != CMSG_LEN(sizeof fd))
                return -1;
        memcpy(&fd, CMSG_DATA(c), sizeof fd);
        return fd;
}

int launch_receive(struct launch *l, struct launch_report *ret, int *ret_fd)
{
        union {
                struct cmsghdr align;
                char space[CMSG_SPACE(sizeof(int))];
        } control;
        struct iovec iov = { ret, sizeof *ret };
        struct msghdr msg = {
                .msg_iov = &iov,
                .msg_iovlen = 1,
                .msg_control = control.space,
                .msg_controllen = sizeof control.space,
        };
        ssize_t n = recvmsg(l->channel, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        int fd, r;

        *ret_fd = -1;
        if (n <= 0)
                return n < 0 ? -errno : 0;
        fd = take_fd(&msg);
        if ((size_t)n != sizeof *ret || ret->step >= _LAUNCH_STEP_MAX) {
                safe_close(fd);
                return -EBADMSG;
        }
        if (ret->type == LAUNCH_MOVED) {
                r = follow(l, ret, fd);
                if (r < 0)
                        safe_close(fd);
                return r < 0 ? r : 1;
        }
        *ret_fd = fd;
        return 1;
}

int launch_go(struct launch *l)
{
        char go = LAUNCH_GO;

        return send(l->channel, &go, 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}

/* The name of what a step was about, out of its record. */
static const char *name_of(const struct launch_report *report, const struct plan_view *plan)
{
        struct plan_record record;
        uint32_t flag;

        if (report->step == STEP_CWD)
                return plan->cwd;
        if (report->step == STEP_FIND_COMMAND || report->step == STEP_EXECVE) {
                struct plan_reader r = plan->start;

                return plan_view_next(&r, PLAN_ARG, &record) ? record.payload : NULL;
        }
        if (!plan_view_at(plan, report->record, &record))
                return NULL;
        switch (record.type) {
        case PLAN_MOUNT:
                return report->step == STEP_MOUNT_SOURCE || report->step == STEP_IMAGE_PATH
                               ? plan_view_mount(&record).source
                               : plan_view_mount(&record).destination;
        case PLAN_DEVICE:
                return plan_view_device_path(&record);
        case PLAN_NAMESPACE_PATH:
                return plan_view_namespace(&record, &flag);
        case PLAN_MASKED:
        case PLAN_READONLY:
                return record.payload;
        default:
                return NULL;
        }
}

void launch_describe(const struct launch_report *report, const struct plan_view *plan,
                     struct line *ret)
{
        const char *name = steps[report->step].record ? name_of(report, plan) : NULL;

        line_add(ret, steps[report->step].text);
        if (name) {
                line_add(ret, " ");
                line_add_quoted(ret, name);
        }
        /* the words that people look for */
        if (report->step == STEP_FIND_COMMAND && report->error == -ENOENT &&
            !(name && strchr(name, '/')))
                line_add(ret, ": executable file not found in $PATH");
        else
                line_add_error(ret, report->error);
}

unsigned launch_error_kind(const struct launch_report *report, bool starting)
{
        bool command = report->step == STEP_FIND_COMMAND || report->step == STEP_EXECVE;

        switch (command ? report->error : 0) {
        case -ENOENT:
                return ERR_COMMAND_NOT_FOUND;
        case -EACCES:
        case -ENOEXEC:
        case -EISDIR:
        case -ENOTDIR:
                return ERR_COMMAND_NOT_EXECUTABLE;
        default:
                break;
        }
        if (report->error == -ENOSPC || report->error == -EDQUOT)
                return ERR_NO_SPACE;
        if (report->step == STEP_IMAGE || report->step == STEP_IMAGE_PATH)
                return ERR_IMAGE_MOUNT;
        return starting ? ERR_CONTAINER_START : ERR_CONTAINER_CREATE;
}
