/*
 * Starting a process in a container: the parent's half (launch.c, in the shim) and what it shares
 * with the child's half (init*.c, in the clone, until execve).
 *
 * The child is born in its cgroup. It does everything by itself and tells its parent over a socket
 * pair, in messages of one fixed size and never in text: which step it is at, the errno, and which
 * record of the plan it was about. The parent makes the sentence. The socket closes with a
 * successful execve.
 *
 *      child                                   parent
 *      LAUNCH_CONSOLE (the terminal's master)  keeps it
 *      LAUNCH_WARNING (…)                      says it once, goes on
 *      LAUNCH_READY                            "created"; an exec is let go at once
 *                                              LAUNCH_GO
 *      LAUNCH_MOVED (pid, pidfd)               follows this process from now on
 *      end of stream, or LAUNCH_FAILED         "started", or not
 *
 * LAUNCH_MOVED: where others could see the child (an exec, a shared or the host's PID namespace)
 * the one that prepares stays in the host's PID namespace, and when it has given up all that it
 * had it clones, as a child of the shim, the one that will execve. So nobody in the container ever
 * sees a process that holds more than the container does (PR-02).
 */
#pragma once
#include <sys/types.h>

#include "runtime/plan-view.h"
#include "runtime/shim-text.h"

enum launch_step {
        STEP_BIRTH, /* clone, signals, descriptors */
        STEP_NAMESPACE,
        STEP_PROCFS,
        STEP_OOM_SCORE,
        STEP_ROOT,
        STEP_MOUNT_SOURCE,
        STEP_MOUNT_FILESYSTEM,
        STEP_MOUNT_ATTRIBUTES,
        STEP_IMAGE,
        STEP_IMAGE_PATH,
        STEP_DEVICE,
        STEP_DEV_LINKS,
        STEP_TERMINAL,
        STEP_TEMPLATE,
        STEP_MOUNT_TARGET,
        STEP_MOUNT_FORBIDDEN,
        STEP_MOUNT_ATTACH,
        STEP_PROC_COVERED,
        STEP_PIVOT,
        STEP_MASK,
        STEP_READONLY,
        STEP_CWD,
        STEP_STDIO,
        STEP_SESSION,
        STEP_RLIMIT,
        STEP_KEYRING,
        STEP_APPARMOR,
        STEP_GROUPS,
        STEP_CAPABILITIES,
        STEP_USER,
        STEP_JOIN,
        STEP_MOVE,
        STEP_SECCOMP,
        STEP_FIND_COMMAND,
        STEP_EXECVE,
        _LAUNCH_STEP_MAX,
};

enum launch_report_type {
        LAUNCH_READY = 1,
        LAUNCH_FAILED,
        LAUNCH_WARNING, /* the step did not work as asked, and the start goes on */
        LAUNCH_CONSOLE,
        LAUNCH_MOVED,
};
struct launch_report {
        uint32_t type;   /* enum launch_report_type */
        uint32_t step;   /* enum launch_step */
        int32_t error;   /* negative errno */
        uint32_t record; /* its place in the plan; UINT32_MAX: none in particular */
        int64_t pid;     /* LAUNCH_MOVED */
};
enum { LAUNCH_GO = 'g', LAUNCH_NO_RECORD = -1 };

/* What a sandbox lends to its launches. */
struct launch_sandbox {
        uint32_t flags;  /* PLAN_HOST_…, PLAN_SHARED_PID */
        int mount_ns;    /* the template's copy with the sandbox's /dev/shm on /shm */
        int shared_pid;  /* the shared PID namespace, or -1 */
        int null_device; /* read-write, verified; nobody's stdin */
};

struct launch_request {               /* all borrowed, and only until launch_start() returns */
        const struct plan_view *plan; /* of the container */
        const struct plan_view *exec; /* of the exec; NULL: the container itself is started */
        const struct launch_sandbox *sandbox;
        int cgroup;          /* directory of the container's cgroup */
        int seccomp;         /* memfd with the program, or -1 */
        int container_pidfd; /* an exec joins it; else -1 */
        bool terminal;
        int stdio[3]; /* the child's ends; -1: of the terminal */
};

/* A launch under way, or what became of it. */
struct launch {
        pid_t pid;
        int pidfd;   /* owned; -1: none */
        int channel; /* owned; -1: over */
        bool moved;  /* by LAUNCH_MOVED: the process is the one that will execve */
};
#define LAUNCH_NONE                        \
        (struct launch)                    \
        {                                  \
                .pidfd = -1, .channel = -1 \
        }

/**
 * launch_start() - clones the child
 * @ret: set on success; the caller owns it (launch_done)
 * Return: 0; negative errno of clone3 and the like.
 */
int launch_start(const struct launch_request *q, struct launch *ret);
/* Closes what it holds; kills and reaps nothing. */
void launch_done(struct launch *l);

/**
 * launch_receive() - takes one report, keeping @l up to date
 * @ret_fd: descriptor of LAUNCH_CONSOLE, the caller's; else -1
 * Return: 1; 0 at the end of the stream; -EAGAIN; other negative errno. The channel stays open: who
 * watches it must end that first, since a child cloned meanwhile may hold it open.
 */
int launch_receive(struct launch *l, struct launch_report *ret, int *ret_fd);
/* Lets a ready child go on to execve. */
int launch_go(struct launch *l);

/* The sentence of a LAUNCH_FAILED or LAUNCH_WARNING: "mount source '/data': No such file …". */
void launch_describe(const struct launch_report *report, const struct plan_view *plan,
                     struct line *ret);
/* Which enum err_kind it is. @starting: it was let go already. */
unsigned launch_error_kind(const struct launch_report *report, bool starting);
