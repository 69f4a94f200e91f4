/*
 * The life of one container, create, start, wait and delete of 'true', ours beside crun's and
 * runc's with the very bundle that ours recorded, in turn. Ours stands in a sandbox that is there
 * already, as a pod's containers do; what a sandbox costs is said too. In milliseconds.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/fs.h"
#include "base/text.h"
#include "tests/kernel/runtime-rig.h"

enum { ROUNDS = 60, WARM_UP = 3 };

static char sandbox[RUNTIME_ID_SIZE], bundle[128];

struct peer {
        const char *name, *path;
        const char *const *options;
        bool missing;
        double times[ROUNDS];
};

static const char *const crun_options[] = { "--cgroup-manager=cgroupfs", NULL };
static const char *const runc_options[] = { NULL };
static struct peer peers[] = {
        { .name = "crun run", .path = "/usr/bin/crun", .options = crun_options },
        { .name = "runc run", .path = "/usr/sbin/runc", .options = runc_options },
};

/* ---- figures ---- */

static double now_msec(void)
{
        return (double)now_monotonic() / USEC_PER_MSEC;
}

static int compare(const void *a, const void *b)
{
        double x = *(const double *)a, y = *(const double *)b;

        return x < y ? -1 : x > y;
}

static double median(double *v)
{
        qsort(v, ROUNDS, sizeof *v, compare);
        return v[ROUNDS / 2];
}

static void report(const char *what, double *v, double ours)
{
        double m = median(v);

        printf("  %-34s p50 %7.2f  (quartiles %.2f to %.2f, p99 %.2f, n %d)", what, m,
               v[ROUNDS / 4], v[ROUNDS * 3 / 4], v[ROUNDS * 99 / 100], ROUNDS);
        if (ours > 0)
                printf("  ours is %.2f of it", ours / m);
        printf("\n");
}

/* ---- theirs ---- */

/* A mount namespace without the v2 half of a hybrid hierarchy, which crun 1.8 refuses. */
static int mounts_for_peers(void)
{
        _cleanup_close_ int here = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
        int fd;

        CHECK(here >= 0 && unshare(CLONE_NEWNS) == 0);
        umount2("/sys/fs/cgroup/unified", MNT_DETACH);
        fd = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
        CHECK(fd >= 0 && setns(here, CLONE_NEWNS) == 0);
        return fd;
}

static void exec_peer(const struct peer *p, int mounts, bool silent)
{
        const char *argv[16] = { p->path, "--root", rig_dir };
        char name[32];
        int n = 3, null = open("/dev/null", O_RDWR | O_CLOEXEC);

        for (const char *const *o = p->options; *o; o++)
                argv[n++] = *o;
        snprintf(name, sizeof name, "bench-%d", getpid());
        argv[n++] = "run";
        argv[n++] = "--bundle";
        argv[n++] = bundle;
        argv[n++] = name;
        if (setns(mounts, CLONE_NEWNS) < 0)
                _exit(127);
        for (int fd = 0; fd <= (silent ? 2 : 0); fd++)
                dup2(null, fd);
        execv(p->path, (char *const *)argv);
        _exit(127);
}

static bool run_peer(struct peer *p, int mounts, int round)
{
        double begin = now_msec();
        int status = 0;
        pid_t pid = fork();

        if (pid == 0)
                exec_peer(p, mounts, round >= -WARM_UP + 1);
        CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
        if (round >= 0)
                p->times[round] = now_msec() - begin;
        return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* ---- ours ---- */

static void make_spec(struct oci_spec *spec, bool with_seccomp)
{
        rig_make_spec(spec, "");
        spec->process.args = strv_free(spec->process.args);
        CHECK(strv_append(&spec->process.args, "/bin/true") == 0);
        if (!with_seccomp) {
                oci_seccomp_free(spec->seccomp);
                spec->seccomp = NULL;
        }
}

static double run_ours(bool with_seccomp)
{
        struct oci_spec spec;
        const char *id;
        double begin;

        make_spec(&spec, with_seccomp); /* kubelet/'s work, as `crun spec` would be */
        begin = now_msec();
        id = rig_begin(sandbox, &spec);
        CHECK_INT(rig_wait_exit(id)->exit_code, 0);
        CHECK_INT(container_remove(rig, id, NULL), 0);
        return now_msec() - begin;
}

/* Writes the bundle of one of our containers, with busybox's tree as its root. */
static void record_bundle(bool with_seccomp)
{
        static const char *const targets[] = { "dev", "proc", "sys" };
        _cleanup_free_ char *rootfs = NULL, *image = text_printf("%s/image/busybox", rig_dir),
                            *text = NULL, *config = NULL;
        struct oci_spec spec;
        struct rig_answer a;
        json_t *doc = NULL;

        make_spec(&spec, with_seccomp);
        a = rig_create(sandbox, &spec);
        CHECK_INT(a.r, 0);
        CHECK(container_inspect(rig, a.id, &doc, NULL) == 0);
        CHECK_INT(rig_start(a.id).r, 0);
        rig_wait_exit(a.id);
        CHECK_INT(container_remove(rig, a.id, NULL), 0);
        text = json_dumps(doc, 0);
        json_decref(doc);

        snprintf(bundle, sizeof bundle, "%s/bundle-%d", rig_dir, with_seccomp);
        rootfs = text_printf("%s/rootfs", bundle);
        config = text_printf("%s/config.json", bundle);
        CHECK(mkdir(bundle, 0755) == 0 && mkdir(rootfs, 0755) == 0);
        CHECK(mount(image, rootfs, NULL, MS_BIND, NULL) == 0);
        for (size_t i = 0; i < ARRAY_SIZE(targets); i++) {
                _cleanup_free_ char *path = text_printf("%s/%s", rootfs, targets[i]);

                mkdir(path, 0755);
        }
        CHECK(fs_replace_at(AT_FDCWD, config, text, strlen(text), 0600, false) == 0);
}

static void begin_sandbox(void)
{
        struct rig_answer a = rig_run_sandbox(NULL);

        if (a.r < 0)
                fail_msg("sandbox: %s", a.text);
        memcpy(sandbox, a.id, sizeof sandbox);
}

static void compare_lives(bool with_seccomp)
{
        static double ours[ROUNDS];
        double m;
        int mounts;

        rig_up();
        begin_sandbox();
        record_bundle(with_seccomp);
        mounts = mounts_for_peers();
        for (size_t i = 0; i < ARRAY_SIZE(peers); i++)
                peers[i].missing = access(peers[i].path, X_OK) < 0;
        for (int n = -WARM_UP; n < ROUNDS; n++) {
                double mine = run_ours(with_seccomp);

                if (n >= 0)
                        ours[n] = mine;
                for (size_t i = 0; i < ARRAY_SIZE(peers); i++)
                        peers[i].missing = peers[i].missing || !run_peer(&peers[i], mounts, n);
        }
        close(mounts);
        rig_down();
        m = median(ours);
        printf("\none container %s, in ms\n", with_seccomp ? "with seccomp" : "without seccomp");
        report("skiff", ours, 0);
        for (size_t i = 0; i < ARRAY_SIZE(peers); i++) {
                if (peers[i].missing)
                        printf("  %-34s not here, or cannot run the bundle\n", peers[i].name);
                else
                        report(peers[i].name, peers[i].times, m);
        }
        fflush(stdout);
}

TEST(one_container_beside_others_with_seccomp)
{
        compare_lives(true);
}

TEST(one_container_beside_others_without_seccomp)
{
        compare_lives(false);
}

TEST(what_a_sandbox_costs)
{
        static double begin[ROUNDS], end[ROUNDS];

        rig_up();
        for (int n = 0; n < ROUNDS; n++) {
                double at = now_msec();

                begin_sandbox();
                begin[n] = now_msec() - at;
                at = now_msec();
                CHECK_INT(rig_stop(sandbox).r, 0);
                CHECK(sandbox_remove(rig, sandbox, NULL) == 0);
                end[n] = now_msec() - at;
                rig_idle(40); /* its link goes with the namespace, a while later */
        }
        rig_down();
        printf("\na sandbox with a network, in ms\n");
        report("begun", begin, 0);
        report("ended", end, 0);
        fflush(stdout);
}
