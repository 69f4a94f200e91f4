/*
 * The child's half of a launch: runs once in a fresh clone of the shim, without loop or log, and
 * ends in execve or _exit. Each file says in which namespaces it stands.
 *
 * The functions answer 0 or a negative errno and keep init->step and init->record up to date, so
 * that whoever fails need not know what to say.
 */
#pragma once
#include <linux/filter.h>

#include "base/cleanup.h"
#include "runtime/launch.h"

enum { INIT_CHANNEL_FD = 3, COMMAND_PATH_MAX = 4096 };

struct init_mount { /* one PLAN_MOUNT on its way from source to target */
        unsigned record;
        struct plan_mount_view plan;
        int fd; /* the detached, then attached mount; -1: made in the template */
        bool is_directory;
        bool readonly_at_end; /* its mount points are still to be made in it */
};
struct init_device { /* one that had to be bound instead of made */
        unsigned record;
        int fd;
};

struct init {
        const struct launch_request *q;
        const struct plan_view *plan;
        int channel;
        enum launch_step step;
        unsigned record; /* LAUNCH_NO_RECORD: none */

        int proc; /* our private procfs: our own, or the container's before anyone has it */
        int container_proc;        /* its mount on /proc, or -1 */
        bool joined_pid;           /* children will be in a PID namespace that is there already */
        int joined_proc;           /* the procfs of that one, until it is a mount; -1 */
        int root;                  /* the container's root mount, then "/" */
        int dev;                   /* the tmpfs for /dev, or -1 */
        int pts;                   /* the devpts for /dev/pts, or -1 */
        int null_mask, tmpfs_mask; /* what masks are cloned from */
        int terminal_peer;         /* -1: none */
        struct init_mount *mounts;
        unsigned n_mounts;
        struct init_device *devices;
        unsigned n_devices;
        struct sock_fprog seccomp; /* .len 0: none */
};

/* Which plan has the records of a type: the exec's own before the container's. */
static inline const struct plan_view *init_plan_of(const struct init *i, enum plan_type type)
{
        return i->q->exec && i->q->exec->count[type] ? i->q->exec : i->plan;
}
static inline const struct plan_container *init_container(const struct init *i)
{
        return init_plan_of(i, PLAN_CONTAINER)->container;
}

/* Runs the child; never returns. */
_Noreturn void init_run(const struct launch_request *q, int channel);
static inline void init_at(struct init *i, enum launch_step step, unsigned record)
{
        i->step = step;
        i->record = record;
}
/* Says that a step did not work as asked, and that it goes on. */
void init_warn(const struct init *i, int error);
/* Sends @fd along with a report of @type. */
int init_send(const struct init *i, enum launch_report_type type, int64_t pid, int fd);

/* init-path.c: the one place that resolves a path of the container's. */
enum { PATH_NO_LINKS = 1 };
int path_open(int root, const char *path, int flags, unsigned how);
int path_make_target(int root, const char *path, bool is_directory, unsigned how);
int path_make_parent(int root, const char *path, const char **ret_name);
/* The path without "//", "/./" and a slash at its end, for comparing; -ENAMETOOLONG. */
int path_clean(const char *path, char *buf, size_t size);

/* init-root.c: in the host's mount namespace. */
enum overlay_way { OVERLAY_BY_LAYER, OVERLAY_BY_STRING };
int init_open_root(struct init *i);
/* The detached overlay of a plan; alone for tests of both ways. */
int init_open_overlay(struct init *i, enum overlay_way way);
/* Another image of the same store, read-only by its nature: @layers is "top:…:bottom". */
int init_open_image(const struct init *i, const char *layers);

/* init-mounts.c: in the host's mount namespace; everything is detached. */
int init_open_procfs(struct init *i);
int init_open_joined_procfs(struct init *i, int pid_ns); /* before it is joined */
int init_open_mounts(struct init *i);
int init_set_mount_attributes(struct init *i, struct init_mount *m);
/* init-attach.c: from the template on. */
int init_attach(struct init *i);
/* init-devices.c */
int init_make_devices(struct init *i);           /* into the detached /dev */
int init_attach_devices(struct init *i);         /* those bound, and those elsewhere */
int init_open_terminal(struct init *i, int pts); /* @pts: a handle on the root of a devpts */
int init_attach_console(struct init *i);
/* init-mask.c: after pivot_root. */
int init_open_masks(struct init *i);
int init_mask_paths(struct init *i);
/* init-identity.c: what the process is and may. */
int init_oom_score(struct init *i);
int init_rlimits(struct init *i, const uint64_t nofile[2]);
int init_identity(struct init *i);
int init_load_seccomp(struct init *i);
int init_install_seccomp(struct init *i);
/*
 * Somebody in the container may trace the one that moves there: it must have its filter, and no
 * right beyond the container's, before it does. _early() sees to both.
 */
bool init_filter_comes_first(const struct init *i);
int init_install_seccomp_early(struct init *i);
/* init-command.c: which program. */
struct init_command {
        const char *path; /* argv[0], or .found */
        char **argv, **envp;
        char found[COMMAND_PATH_MAX];
};
int init_find_command(struct init *i, struct init_command *ret);
