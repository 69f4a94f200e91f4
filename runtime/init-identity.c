/*
 * What the process is and may: limits, keyring, label, groups, ids, capabilities, seccomp. The same
 * code for a container's first process, its execs, probes and hooks (PR-16). Stands in the
 * container's namespaces; procfs is our own.
 *
 * Capabilities: the bounding set is dropped first, ids change under KEEPCAPS, the sets follow and
 * are read back. Where there is no no_new_privs, installing a filter takes CAP_SYS_ADMIN, which is
 * then held until that last moment although the plan does not have it: execve computes the sets
 * anew from the bounding, inheritable and ambient ones, which never had it, so it cannot outlive
 * the execve. That way our own calls need not be allowed by anybody's filter (PR-18). With one
 * exception: a container that holds SYS_PTRACE could trace the process that moves into its PID
 * namespace, and so would come by CAP_SYS_ADMIN and no filter; there the filter comes first and has
 * to allow what little is left to do.
 */
#include <fcntl.h>
#include <grp.h>
#include <linux/filter.h>
#include <linux/keyctl.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "runtime/init.h"
#include "runtime/shim-sys.h"

#define CAP_BIT(cap) (UINT64_C(1) << (cap))

/* A file of our own procfs, and of no other mount. */
static int open_own_proc(const struct init *i, const char *path, int flags)
{
        struct open_how how = {
                .flags = (uint64_t)(flags | O_CLOEXEC),
                .resolve = RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS,
        };

        return sys_openat2(i->proc, path, &how);
}

static int write_own_proc(const struct init *i, const char *path, const char *value)
{
        _cleanup_close_ int fd = open_own_proc(i, path, O_WRONLY);
        size_t n = strlen(value);
        ssize_t k;

        if (fd < 0)
                return fd;
        k = write(fd, value, n);
        if (k < 0)
                return -errno;
        return (size_t)k == n ? 0 : -EIO;
}

int init_oom_score(struct init *i)
{
        const struct plan_container *c = i->plan->container;
        char value[16];
        struct line l = LINE(value);
        int r;

        init_at(i, STEP_OOM_SCORE, LAUNCH_NO_RECORD);
        if (!(c->flags & PLAN_HAS_OOM_SCORE))
                return 0;
        line_add_i64(&l, c->oom_score_adj);
        r = write_own_proc(i, "self/oom_score_adj", value);
        if (r == -EACCES || r == -EPERM) { /* lowering it takes CAP_SYS_RESOURCE */
                init_warn(i, r);
                return 0;
        }
        return r;
}

/* Without CAP_SYS_RESOURCE a hard limit does not rise: as far as it goes, and said. */
static int set_rlimit(struct init *i, int resource, uint64_t soft, uint64_t hard)
{
        struct rlimit limit = { .rlim_cur = soft, .rlim_max = hard }, now;

        if (setrlimit(resource, &limit) == 0)
                return 0;
        if (errno != EPERM)
                return -errno;
        init_warn(i, -EPERM);
        if (getrlimit(resource, &now) < 0)
                return -errno;
        if (limit.rlim_max > now.rlim_max)
                limit.rlim_max = now.rlim_max;
        if (limit.rlim_cur > limit.rlim_max)
                limit.rlim_cur = limit.rlim_max;
        return setrlimit(resource, &limit) < 0 ? -errno : 0;
}

int init_rlimits(struct init *i, const uint64_t nofile[2])
{
        struct plan_record record;
        int r;

        init_at(i, STEP_RLIMIT, LAUNCH_NO_RECORD);
        r = set_rlimit(i, RLIMIT_NOFILE, nofile[0], nofile[1]);
        PLAN_FOREACH(init_plan_of(i, PLAN_RLIMIT), PLAN_RLIMIT, record)
        {
                const struct plan_rlimit *l = record.payload;

                if (r == 0)
                        r = set_rlimit(i, (int)l->resource, l->soft, l->hard);
        }
        return r;
}

/* The session keyring of whoever started the node is not the container's to read (PR-14). */
static int join_keyring(struct init *i)
{
        init_at(i, STEP_KEYRING, LAUNCH_NO_RECORD);
        if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) < 0 && errno != ENOSYS)
                return -errno;
        return 0;
}

/* The label for the coming execve, written and read back. */
static int set_apparmor(struct init *i)
{
        const char *profile = i->plan->apparmor, *path = "self/attr/apparmor/exec";
        _cleanup_close_ int fd = -1;
        char value[512], back[512];
        struct line l = LINE(value);
        size_t len;
        ssize_t n;
        int r;

        init_at(i, STEP_APPARMOR, LAUNCH_NO_RECORD);
        if (!profile)
                return 0;
        line_add(&l, "exec ");
        line_add(&l, profile);
        r = write_own_proc(i, path, value);
        if (r == -ENOENT) { /* before Linux 5.8 */
                path = "self/attr/exec";
                r = write_own_proc(i, path, value);
        }
        if (r < 0)
                return r;
        fd = open_own_proc(i, path, O_RDONLY);
        if (fd < 0)
                return fd;
        n = read(fd, back, sizeof back - 1);
        if (n < 0)
                return -errno;
        len = strlen(profile);
        back[n] = '\0';
        return strncmp(back, profile, len) == 0 && strchr(" \n", back[len]) ? 0 : -EPERM;
}

/* The primary group is always among the supplementary ones: a set-gid program must not lose what it
 * denies (PR-06). */
static int set_groups(struct init *i)
{
        const struct plan_view *plan = init_plan_of(i, PLAN_GROUP);
        gid_t primary = init_container(i)->gid;
        gid_t *groups;
        size_t n = 0;
        int r = 0;

        init_at(i, STEP_GROUPS, LAUNCH_NO_RECORD);
        groups = calloc(plan->n_groups + 1, sizeof *groups);
        if (!groups)
                return -ENOMEM;
        groups[n++] = primary;
        for (size_t k = 0; k < plan->n_groups; k++)
                if (plan->groups[k] != primary)
                        groups[n++] = plan->groups[k];
        if (setgroups(n, groups) < 0)
                r = -errno;
        free(groups);
        return r;
}

static int read_caps(uint64_t *effective, uint64_t *permitted, uint64_t *inheritable)
{
        struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct data[2];
        int r = sys_capget(&head, data);

        if (r < 0)
                return r;
        *effective = data[0].effective | (uint64_t)data[1].effective << 32;
        *permitted = data[0].permitted | (uint64_t)data[1].permitted << 32;
        *inheritable = data[0].inheritable | (uint64_t)data[1].inheritable << 32;
        return 0;
}

static int write_caps(uint64_t effective, uint64_t permitted, uint64_t inheritable)
{
        struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct data[2] = {
                { (uint32_t)effective, (uint32_t)permitted, (uint32_t)inheritable },
                { (uint32_t)(effective >> 32), (uint32_t)(permitted >> 32),
                  (uint32_t)(inheritable >> 32) },
        };

        return sys_capset(&head, data);
}

static uint64_t bounding_set(void)
{
        uint64_t set = 0;

        for (int cap = 0; cap < 64; cap++) {
                int r = prctl(PR_CAPBSET_READ, cap, 0, 0, 0);

                if (r < 0)
                        break; /* the kernel knows no more */
                if (r > 0)
                        set |= CAP_BIT(cap);
        }
        return set;
}

static int drop_bounding(uint64_t wanted)
{
        uint64_t have = bounding_set();

        for (int cap = 0; cap < 64; cap++)
                if (have & ~wanted & CAP_BIT(cap) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
                        return -errno;
        return 0;
}

static int raise_ambient(uint64_t wanted)
{
        if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
                return -errno;
        for (int cap = 0; cap < 64; cap++)
                if (wanted & CAP_BIT(cap) &&
                    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) < 0)
                        return -errno;
        return 0;
}

struct cap_sets {
        uint64_t bounding, effective, permitted, inheritable, ambient;
};

/* What the plan asks for, less what this machine does not have to give; says so if that differs. */
static int wanted_caps(struct init *i, struct cap_sets *ret)
{
        const struct plan_container *c = init_container(i);
        uint64_t effective, permitted, inheritable, have, lacking;
        int r = read_caps(&effective, &permitted, &inheritable);

        if (r < 0)
                return r;
        have = permitted & bounding_set();
        lacking = (c->cap_bounding | c->cap_permitted) & ~have;
        if (lacking)
                init_warn(i, -EPERM);
        *ret = (struct cap_sets){
                .bounding = c->cap_bounding & have,
                .effective = c->cap_effective & have,
                .permitted = c->cap_permitted & have,
                .inheritable = c->cap_inheritable & have,
                .ambient = c->cap_ambient & have,
        };
        return 0;
}

static bool filter_needs_privilege(const struct init *i)
{
        return i->q->seccomp >= 0 && !(init_container(i)->flags & PLAN_NO_NEW_PRIVILEGES);
}

static int verify_caps(const struct cap_sets *want)
{
        struct cap_sets have = { .bounding = bounding_set() };
        int r = read_caps(&have.effective, &have.permitted, &have.inheritable);

        if (r < 0)
                return r;
        for (int cap = 0; cap < 64; cap++)
                if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, cap, 0, 0) == 1)
                        have.ambient |= CAP_BIT(cap);
        return have.bounding == want->bounding && have.effective == want->effective &&
                               have.permitted == want->permitted &&
                               have.inheritable == want->inheritable &&
                               have.ambient == want->ambient
                       ? 0
                       : -EPERM;
}

static int set_ids_and_caps(struct init *i)
{
        const struct plan_container *c = init_container(i);
        struct cap_sets caps;
        int r;

        init_at(i, STEP_CAPABILITIES, LAUNCH_NO_RECORD);
        r = wanted_caps(i, &caps);
        if (r == 0)
                r = drop_bounding(caps.bounding);
        if (r == 0 && prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
                r = -errno;
        if (r < 0)
                return r;

        init_at(i, STEP_USER, LAUNCH_NO_RECORD);
        if (setresgid(c->gid, c->gid, c->gid) < 0 || setresuid(c->uid, c->uid, c->uid) < 0)
                return -errno;

        init_at(i, STEP_CAPABILITIES, LAUNCH_NO_RECORD);
        if (filter_needs_privilege(i)) { /* see above: not beyond execve */
                caps.permitted |= CAP_BIT(CAP_SYS_ADMIN);
                caps.effective |= CAP_BIT(CAP_SYS_ADMIN);
        }
        r = write_caps(caps.effective, caps.permitted, caps.inheritable);
        if (r == 0 && prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) < 0)
                r = -errno;
        if (r == 0)
                r = raise_ambient(caps.ambient);
        return r < 0 ? r : verify_caps(&caps);
}

int init_identity(struct init *i)
{
        int r = join_keyring(i);

        if (r == 0)
                r = set_apparmor(i);
        if (r == 0)
                r = set_groups(i);
        if (r == 0)
                r = set_ids_and_caps(i);
        if (r < 0)
                return r;
        /* a change of ids sets this to fs.suid_dumpable, whatever that is */
        if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
                return -errno;
        if (init_container(i)->flags & PLAN_NO_NEW_PRIVILEGES &&
            prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                return -errno;
        return 0;
}

int init_load_seccomp(struct init *i)
{
        struct sock_fprog *program = &i->seccomp;
        struct stat st;
        void *code;

        init_at(i, STEP_SECCOMP, LAUNCH_NO_RECORD);
        if (i->q->seccomp < 0)
                return 0;
        if (fstat(i->q->seccomp, &st) < 0)
                return -errno;
        if (st.st_size <= 0 || st.st_size % (off_t)sizeof *program->filter ||
            st.st_size > BPF_MAXINSNS * (off_t)sizeof *program->filter)
                return -EINVAL;
        code = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, i->q->seccomp, 0);
        if (code == MAP_FAILED)
                return -errno;
        program->filter = code;
        program->len = (unsigned short)((size_t)st.st_size / sizeof *program->filter);
        return 0;
}

int init_install_seccomp(struct init *i)
{
        init_at(i, STEP_SECCOMP, LAUNCH_NO_RECORD);
        if (i->seccomp.len && syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &i->seccomp) < 0)
                return -errno;
        return 0;
}

bool init_filter_comes_first(const struct init *i)
{
        uint64_t caps = init_container(i)->cap_bounding;

        return filter_needs_privilege(i) && caps & CAP_BIT(CAP_SYS_PTRACE) &&
               !(caps & CAP_BIT(CAP_SYS_ADMIN));
}

static int drop_filter_privilege(void)
{
        uint64_t effective, permitted, inheritable;
        int r = read_caps(&effective, &permitted, &inheritable);

        return r < 0 ? r
                     : write_caps(effective & ~CAP_BIT(CAP_SYS_ADMIN),
                                  permitted & ~CAP_BIT(CAP_SYS_ADMIN), inheritable);
}

int init_install_seccomp_early(struct init *i)
{
        int r = init_install_seccomp(i);

        return r < 0 ? r : drop_filter_privilege();
}
