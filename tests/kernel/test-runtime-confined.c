/* What an ordinary container's root cannot do, and what of ours nobody else can read. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/text.h"
#include "tests/kernel/runtime-rig.h"

static const char *run(const char *script, bool seccomp)
{
        struct rig_answer a = rig_run_sandbox(NULL);
        struct oci_spec spec;
        const char *id;

        CHECK_INT(a.r, 0);
        rig_make_spec(&spec, script);
        if (!seccomp) {
                oci_seccomp_free(spec.seccomp);
                spec.seccomp = NULL;
        }
        id = rig_begin(a.id, &spec);
        rig_wait_exit(id);
        return rig_log_of(id);
}

/* Also without a filter of system calls: capabilities and the device filter must do (CG-05). */
TEST(root_inside_opens_no_device_but_the_harmless_ones)
{
        rig_up();
        CHECK_STR(run("for n in 'c 1 1' 'c 1 2' 'c 1 4' 'c 1 11' 'c 10 130' 'c 10 200' 'c 10 229' "
                      "'c 10 232' 'c 4 64' 'b 7 0' 'b 8 0' 'b 254 0' 'b 259 0' 'c 1 5'; do "
                      "busybox rm -f /tmp/d; busybox mknod /tmp/d $n || echo cannot make $n; "
                      "(: < /tmp/d) 2>/dev/null && echo opened $n; done; true",
                      false),
                  "opened c 1 5\n");
        rig_down();
}

/* CG-01, CG-02: its own limits and the host's settings are not the container's to change. */
TEST(root_inside_changes_no_cgroup_and_no_setting_of_the_kernel)
{
        rig_up();
        CHECK_STR(
                run("cd /sys/fs/cgroup; busybox mkdir x 2>/dev/null && echo made a group; "
                    "for f in cgroup.procs cgroup.freeze cgroup.kill memory.max pids.max "
                    "cgroup.subtree_control; do (echo 0 > $f) 2>/dev/null && echo wrote $f; done; "
                    "busybox mkdir /tmp/c; for t in cgroup cgroup2 proc sysfs tmpfs; do "
                    "busybox mount -t $t x /tmp/c 2>/dev/null && echo mounted $t; done; "
                    "busybox mount -o remount,rw,bind /sys/fs/cgroup 2>/dev/null && echo remounted; "
                    "for f in kernel/core_pattern kernel/hostname vm/drop_caches kernel/modprobe; do "
                    "(echo x > /proc/sys/$f) 2>/dev/null && echo wrote $f; done; "
                    "(echo h > /proc/sysrq-trigger) 2>/dev/null && echo wrote sysrq; "
                    "busybox hostname other 2>/dev/null && echo renamed; "
                    "busybox grep ^0:: /proc/self/cgroup",
                    false),
                "0::/\n");
        rig_down();
}

/* Fails unless nobody but root gets to anything below: what is closed need not be looked into. */
static void check_private(int dir_fd, const char *path)
{
        _cleanup_strv_ char **names = NULL;

        CHECK_INT(fs_list_at(dir_fd, ".", &names), 0);
        STRV_FOREACH (name, names) {
                _cleanup_free_ char *full = text_printf("%s/%s", path, *name);
                _cleanup_close_ int fd = -1;
                struct stat st;

                CHECK_INT(fstatat(dir_fd, *name, &st, AT_SYMLINK_NOFOLLOW), 0);
                CHECK_INT(st.st_uid, 0);
                if ((st.st_mode & 077) == 0 || S_ISLNK(st.st_mode))
                        continue;
                if (!S_ISDIR(st.st_mode))
                        fail_msg("'%s' has mode %o", full, st.st_mode & 07777);
                CHECK_INT(st.st_mode & 022, 0);
                fd = openat(dir_fd, *name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
                CHECK(fd >= 0);
                check_private(fd, full);
        }
}

/* Records, sockets, root file systems with their set-uid programs (UN-09, INV-41). */
TEST(what_is_kept_of_containers_is_root_s_alone)
{
        static const char *const folders[] = { "run", "state" };

        rig_up();
        run("busybox cp /bin/busybox /su; busybox chmod 4755 /su; echo x > /open; "
            "busybox chmod 777 /open",
            true);
        for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
                _cleanup_free_ char *path = text_printf("%s/%s", rig_dir, folders[i]);
                _cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

                CHECK(fd >= 0);
                check_private(fd, path);
        }
        rig_down();
}

/* Files below @dir_fd, pipes and devices apart, that hold @text. */
static unsigned count_files_with(int dir_fd, const char *text)
{
        _cleanup_strv_ char **names = NULL;
        unsigned n = 0;

        CHECK_INT(fs_list_at(dir_fd, ".", &names), 0);
        STRV_FOREACH (name, names) {
                _cleanup_free_ char *data = NULL;
                _cleanup_close_ int fd = -1;
                struct stat st;
                size_t len;

                CHECK_INT(fstatat(dir_fd, *name, &st, AT_SYMLINK_NOFOLLOW), 0);
                if (S_ISDIR(st.st_mode)) {
                        fd = openat(dir_fd, *name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
                        CHECK(fd >= 0);
                        n += count_files_with(fd, text);
                } else if (S_ISREG(st.st_mode) && st.st_size > 0) {
                        CHECK_INT(fs_read_at(dir_fd, *name, 64 << 20, &data, &len), 0);
                        n += memmem(data, len, text, strlen(text)) != NULL;
                }
        }
        return n;
}

/* A Secret in the environment is in config.json, and that is in memory only (INV-41). */
TEST(the_environment_is_written_to_no_disk)
{
        _cleanup_close_ int kept = -1, configs = -1;
        _cleanup_free_ char *state_dir = NULL, *config_dir = NULL;
        const char *secret = "correct-horse-battery-staple";
        struct rig_answer a;
        struct oci_spec spec;
        const char *id;

        rig_up();
        a = rig_run_sandbox(NULL);
        CHECK_INT(a.r, 0);
        rig_make_spec(&spec, "true");
        CHECK(strv_append(&spec.process.env, "PASSWORD=correct-horse-battery-staple") == 0);
        id = rig_begin(a.id, &spec);
        rig_wait_exit(id);
        state_dir = text_printf("%s/state", rig_dir);
        config_dir = text_printf("%s/run/configs", rig_dir);
        kept = open(state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        configs = open(config_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        CHECK(kept >= 0 && configs >= 0);
        CHECK_INT(count_files_with(kept, secret), 0);
        CHECK_INT(count_files_with(configs, secret), 1);
        CHECK_INT(container_remove(rig, id, NULL), 0);
        CHECK_INT(count_files_with(configs, secret), 0);
        rig_down();
}

static void on_exec(_unused_ int r, _unused_ const struct exec_result *result,
                    _unused_ const struct err *err, void *userdata)
{
        *(bool *)userdata = true;
}

static int exec_many(const char *id, size_t n, size_t last_size, bool *ret_done)
{
        _cleanup_free_ const char **argv = calloc(n + 1, sizeof *argv);
        _cleanup_free_ char *last = malloc(last_size + 1);
        _cleanup_err_ struct err err = { 0 };
        int r;

        CHECK(argv && last);
        memset(last, 'x', last_size);
        last[last_size] = '\0';
        argv[0] = "true";
        for (size_t i = 1; i < n; i++)
                argv[i] = i + 1 == n ? last : "x";
        *ret_done = false;
        r = exec_sync(rig, id, argv, 10 * USEC_PER_SEC, 100, on_exec, ret_done, NULL, &err);
        CHECK(r >= 0 || err.kind == ERR_BAD_INPUT);
        return r;
}

/*
 * Whoever may trace in the container can take over an exec's process as soon as that is seen there:
 * it must have the container's filter and nobody's rights by then (INV-15).
 */
TEST(an_exec_that_a_tracer_in_the_container_sees_is_filtered_and_has_no_more_rights)
{
        const uint64_t tracer = UINT64_C(0xa80425fb) | UINT64_C(1) << CAP_SYS_PTRACE;
        const char *argv[] = { "/bin/busybox", "true", NULL };
        bool seen = false;
        struct rig_answer a;
        struct oci_spec spec;
        const char *id;

        rig_up();
        a = rig_run_sandbox(NULL);
        CHECK_INT(a.r, 0);
        rig_make_spec(
                &spec,
                "while :; do for p in /proc/[2-9]* /proc/1?*; do "
                "read -r n 2>/dev/null < $p/comm || continue; "
                "case $n in skiff-*) ;; *) continue;; esac; c= f=; "
                "while read -r k v; do case $k in CapEff:) c=$v;; Seccomp:) f=$v;; esac; done "
                "2>/dev/null < $p/status; "
                "case $f,$c in ,*) ;; 2,00000000a80c25fb) [ $s ] || echo SEEN; s=1;; "
                "*) [ $m ] || echo MORE $f $c; m=1;; esac; done; done");
        oci_seccomp_free(spec.seccomp);
        spec.seccomp = NULL;
        CHECK(seccomp_runtime_default(tracer, &spec.seccomp, NULL) == 0);
        spec.process.cap_bounding = spec.process.cap_effective = spec.process.cap_permitted =
                tracer;
        id = rig_begin(a.id, &spec);
        for (int n = 0; n < 400 || (!seen && n < 8000); n++) {
                bool done = false;
                _cleanup_err_ struct err err = { 0 };

                CHECK_INT(exec_sync(rig, id, argv, 10 * USEC_PER_SEC, 100, on_exec, &done, NULL,
                                    &err),
                          0);
                while (!done)
                        CHECK(sd_event_run(rig_event, 100 * USEC_PER_MSEC) >= 0);
                if (n % 100 == 99)
                        seen = strstr(rig_log_of(id), "SEEN") != NULL;
        }
        CHECK(seen); /* or nothing was tried */
        CHECK_STR(rig_log_of(id), "SEEN\n");
        rig_down();
}

TEST(a_command_has_no_more_arguments_than_allowed)
{
        struct rig_answer a;
        const char *id;
        bool done;

        rig_up();
        a = rig_run_sandbox(NULL);
        id = rig_begin_shell(a.id, "exec sleep 100");
        CHECK_INT(exec_many(id, 1024, 1000, &done), 0);
        rig_wait(&done);
        CHECK_INT(exec_many(id, 1025, 1, &done), -E2BIG);
        CHECK_INT(exec_many(id, 2, 128 << 10, &done), -E2BIG);
        rig_down();
}
