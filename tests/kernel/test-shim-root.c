/*
 * A container's root: what is mounted where and how, and image trees that lead astray. The canary
 * tree is outside every container and compared after each hostile start.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/err.h"
#include "tests/check.h"
#include "tests/kernel/shim-rig.h"

static struct rig_outcome o;
static const struct rig_sandbox plain = { 0 };

static void run(const char *script, struct rig_container c)
{
        c.argv = rig_sh(script);
        rig_run(&c, &o);
}

static void run_ok(const char *script, struct rig_container c)
{
        run(script, c);
        CHECK_STR(o.text, "");
        CHECK_INT(o.r, 0);
        CHECK_INT(o.exit_code, 0);
}

/* ---- what is there ---- */

TEST(dev_is_a_tmpfs_of_ours_with_nodes_links_and_file_systems)
{
        rig_up(&plain);
        run_ok("cd /dev; stat -c '%n %F %t:%T %a' null zero full random urandom tty; "
               "for l in fd stdin stdout stderr ptmx; do readlink $l; done; "
               "stat -f -c %T . pts shm mqueue; stat -c %a shm; ls",
               (struct rig_container){ 0 });
        CHECK_STR(o.out, "null character special file 1:3 666\n"
                         "zero character special file 1:5 666\n"
                         "full character special file 1:7 666\n"
                         "random character special file 1:8 666\n"
                         "urandom character special file 1:9 666\n"
                         "tty character special file 5:0 666\n"
                         "/proc/self/fd\n/proc/self/fd/0\n/proc/self/fd/1\n/proc/self/fd/2\n"
                         "pts/ptmx\n"
                         "tmpfs\ndevpts\ntmpfs\nUNKNOWN\n1777\n"
                         "fd\nfull\nmqueue\nnull\nptmx\npts\nrandom\nshm\nstderr\nstdin\nstdout\n"
                         "tty\nurandom\nzero\n");
        rig_down();
}

TEST(the_mount_table_shows_the_container_s_mounts_and_nothing_of_the_host)
{
        rig_up(&plain);
        run_ok("awk '{print $5, $6}' /proc/self/mountinfo", (struct rig_container){ 0 });
        CHECK(strncmp(o.out, "/ rw,relatime\n/proc rw,nosuid,nodev,noexec,relatime\n", 52) == 0);
        CHECK_CONTAINS(o.out, "\n/dev rw,nosuid,noexec,relatime\n");
        CHECK_CONTAINS(o.out, "\n/sys ro,nosuid,nodev,noexec,relatime\n");
        CHECK_CONTAINS(o.out, "\n/sys/fs/cgroup ro,nosuid,nodev,noexec,relatime\n");
        CHECK_CONTAINS(o.out, "\n/proc/sys ro,nosuid,nodev,noexec,relatime\n");
        CHECK_CONTAINS(o.out, "\n/proc/keys ro,nosuid,noexec,relatime\n");
        CHECK(!strstr(o.out, rig_dir) && !strstr(o.out, "/root") && !strstr(o.out, "/host"));
        rig_down();
}

TEST(masked_paths_read_as_nothing_and_read_only_ones_refuse)
{
        rig_up(&plain);
        run_ok("cat /proc/keys /proc/timer_list | wc -c; ls /sys/firmware | wc -l; "
               "stat -c %t:%T /proc/keys; "
               "echo x 2>/dev/null > /proc/sys/kernel/domainname || echo refused; "
               "echo x 2>/dev/null > /proc/sysrq-trigger || echo refused; "
               "touch /sys/firmware/x 2>/dev/null || echo refused; "
               "umount /proc/keys 2>/dev/null || echo refused; "
               "mkdir /sys/fs/cgroup/x 2>/dev/null || echo refused",
               (struct rig_container){ 0 });
        CHECK_STR(o.out, "0\n0\n1:3\nrefused\nrefused\nrefused\nrefused\nrefused\n");
        rig_down();
}

TEST(writes_go_to_the_upper_directory_and_layers_stack_topmost_first)
{
        rig_up(&plain);
        rig_layer("lower");
        rig_layer("upper");
        rig_write(rig_path("layers/lower/file"), "low\n", 0644);
        rig_write(rig_path("layers/lower/only"), "only\n", 0644);
        rig_write(rig_path("layers/upper/file"), "high\n", 0644);
        run_ok("cat /file /only; echo new > /file; cat /file",
               (struct rig_container){ .layers = { "upper", "lower", "busybox" } });
        CHECK_STR(o.out, "high\nonly\nnew\n");
        {
                char text[16];

                rig_read(rig_path("layers/upper/file"), text, sizeof text);
                CHECK_STR(text, "high\n");
        }
        rig_down();
}

TEST(a_read_only_root_refuses_writes_but_has_its_mount_points)
{
        rig_up(&plain);
        run_ok("touch /x 2>&1 | grep -c 'Read-only'; touch /dev/shm/x && echo shm",
               (struct rig_container){ .flags = PLAN_READONLY_ROOT });
        CHECK_STR(o.out, "1\nshm\n");
        rig_down();
}

static void add_binds(struct plan_writer *w)
{
        rig_mount(w, PLAN_MOUNT_BIND, 0, 0, rig_path("volume"), "/volume", "");
        rig_mount(w, PLAN_MOUNT_BIND, 0, MOUNT_ATTR_RDONLY, rig_path("volume"), "/readonly", "");
        rig_mount(w, PLAN_MOUNT_BIND, 0, 0, rig_path("volume/file"), "/etc/deep/er/file", "");
        rig_mount(w, PLAN_MOUNT_BIND, PLAN_MOUNT_CREATE_SOURCE, 0, rig_path("made/by/us"), "/made",
                  "");
        rig_mount(w, PLAN_MOUNT_TMPFS, 0, MOUNT_ATTR_RDONLY, "tmpfs", "/ro-tmpfs",
                  "size=64k,mode=0700");
        rig_mount(w, PLAN_MOUNT_BIND, 0, 0, rig_path("volume/file"), "/ro-tmpfs/inside", "");
}

TEST(directories_files_and_tmpfs_are_mounted_as_planned)
{
        struct stat st;

        rig_up(&plain);
        mkdir(rig_path("volume"), 0755);
        rig_write(rig_path("volume/file"), "content\n", 0644);
        run_ok("cat /etc/deep/er/file /ro-tmpfs/inside; echo x > /volume/new && cat /readonly/new; "
               "touch /readonly/y 2>/dev/null || echo refused; "
               "touch /ro-tmpfs/y 2>/dev/null || echo refused; stat -c %a /ro-tmpfs; "
               "touch /made/here",
               (struct rig_container){ .extra = add_binds });
        CHECK_STR(o.out, "content\ncontent\nx\nrefused\nrefused\n700\n");
        CHECK_INT(stat(rig_path("made/by/us/here"), &st), 0);
        CHECK_INT(stat(rig_path("made/by"), &st), 0);
        CHECK_INT(st.st_mode & 07777, 0755);
        rig_down();
}

static void add_recursive(struct plan_writer *w)
{
        rig_mount(w, PLAN_MOUNT_BIND, PLAN_MOUNT_RECURSIVE | PLAN_MOUNT_RECURSIVE_READONLY,
                  MOUNT_ATTR_RDONLY, rig_path("tree"), "/rro", "");
        rig_mount(w, PLAN_MOUNT_BIND, PLAN_MOUNT_RECURSIVE, MOUNT_ATTR_RDONLY, rig_path("tree"),
                  "/ro", "");
        rig_mount(w, PLAN_MOUNT_BIND, 0, 0, rig_path("tree"), "/flat", "");
}

TEST(a_recursive_bind_brings_submounts_and_rro_makes_them_read_only)
{
        rig_up(&plain);
        mkdir(rig_path("tree"), 0755);
        mkdir(rig_path("tree/sub"), 0755);
        CHECK_INT(syscall(SYS_mount, "sub", rig_path("tree/sub"), "tmpfs", 0L, ""), 0);
        rig_write(rig_path("tree/sub/file"), "sub\n", 0644);
        run_ok("cat /rro/sub/file; touch /rro/sub/x 2>/dev/null || echo refused; "
               "touch /ro/sub/x && echo written; ls /flat/sub | wc -l",
               (struct rig_container){ .extra = add_recursive });
        CHECK_STR(o.out, "sub\nrefused\nwritten\n0\n");
        CHECK_INT(syscall(SYS_umount2, rig_path("tree/sub"), 0), 0);
        rig_down();
}

static uint32_t source_type;
static const char *source;
static void add_typed(struct plan_writer *w)
{
        rig_mount(w, PLAN_MOUNT_BIND, source_type, 0, source, "/typed", "");
}

/* The volume's type was looked at some time ago; what counts is what gets mounted (VO-06). */
TEST(a_source_that_is_not_of_its_type_is_not_mounted)
{
        static const uint32_t types[] = { PLAN_MOUNT_SOURCE_DIRECTORY, PLAN_MOUNT_SOURCE_FILE,
                                          PLAN_MOUNT_SOURCE_SOCKET, PLAN_MOUNT_SOURCE_CHAR_DEVICE,
                                          PLAN_MOUNT_SOURCE_BLOCK_DEVICE };
        static const char *const names[] = { "typed-dir", "typed-file", "typed-socket",
                                             "typed-char", "typed-fifo" };

        rig_up(&plain);
        CHECK_INT(mkdir(rig_path("typed-dir"), 0755), 0);
        CHECK_INT(mknod(rig_path("typed-file"), S_IFREG | 0644, 0), 0);
        CHECK_INT(mknod(rig_path("typed-socket"), S_IFSOCK | 0644, 0), 0);
        CHECK_INT(mknod(rig_path("typed-char"), S_IFCHR | 0644, makedev(1, 3)), 0);
        CHECK_INT(mknod(rig_path("typed-fifo"), S_IFIFO | 0644, 0), 0);
        for (size_t t = 0; t < 5; t++) {
                for (size_t n = 0; n < 5; n++) {
                        struct rig_container c = { .argv = rig_sh("true"), .extra = add_typed };

                        source_type = types[t];
                        source = rig_path("%s", names[n]);
                        rig_run(&c, &o);
                        CHECK_INT(o.r, t == n && n != 4 ? 0 : t == 0 ? -ENOTDIR : -EINVAL);
                        if (o.r < 0)
                                CHECK_CONTAINS(o.text, "open the source of mount");
                }
        }
        rig_down();
}

static uint64_t propagation;
static void add_propagation(struct plan_writer *w)
{
        struct plan_mount p = { .kind = PLAN_MOUNT_BIND,
                                .flags = PLAN_MOUNT_RECURSIVE,
                                .propagation = propagation };
        char strings[512];
        int n = snprintf(strings, sizeof strings, "%s%c/shared%c", rig_path("shared"), 0, 0);

        plan_add(w, PLAN_MOUNT, &p, sizeof p, strings, (size_t)n + 1);
}

TEST(propagation_is_private_slave_or_shared_as_planned)
{
        static const struct {
                uint64_t flag;
                const char *wanted;
        } cases[] = { { 0, "" }, { MS_SLAVE, "master" }, { MS_SHARED, "shared" } };

        rig_up(&plain);
        mkdir(rig_path("shared"), 0755);
        CHECK_INT(syscall(SYS_mount, "shared", rig_path("shared"), "tmpfs", 0L, ""), 0);
        CHECK_INT(syscall(SYS_mount, NULL, rig_path("shared"), NULL, (long)MS_SHARED, NULL), 0);
        for (int n = 0; n < 3; n++) {
                propagation = cases[n].flag;
                run_ok("grep ' /shared ' /proc/self/mountinfo | sed 's/.* rw,relatime \\([a-z]*\\).*/"
                       "\\1/'; grep -cE '(shared|master):' /proc/self/mountinfo; true",
                       (struct rig_container){ .extra = add_propagation });
                CHECK(strncmp(o.out, cases[n].wanted, strlen(cases[n].wanted)) == 0);
                CHECK(n == 0 ? strstr(o.out, "\n0\n") != NULL : strstr(o.out, "\n1\n") != NULL);
        }
        CHECK_INT(syscall(SYS_umount2, rig_path("shared"), 0), 0);
        rig_down();
}

TEST(a_plain_directory_may_be_the_root)
{
        rig_up(&plain);
        run_ok("echo x > /written; ls /",
               (struct rig_container){ .root_path = rig_path("layers/busybox") });
        CHECK_STR(o.out, "bin\ndev\netc\nproc\nsys\ntmp\nwritten\n");
        CHECK_INT(unlink(rig_path("layers/busybox/written")), 0);
        rmdir(rig_path("layers/busybox/dev"));
        rmdir(rig_path("layers/busybox/proc"));
        rmdir(rig_path("layers/busybox/sys"));
        rig_down();
}

/* ---- the other way of overlayfs, and many layers ---- */

static unsigned many;
static char names[300][16];
static void add_many_layers(struct plan_writer *w)
{
        for (unsigned n = 0; n < many; n++)
                plan_add_string(w, PLAN_LAYER, names[n]);
}

TEST(an_image_may_have_many_layers)
{
        rig_up(&plain);
        many = 120;
        for (unsigned n = 0; n < many; n++) {
                snprintf(names[n], sizeof names[n], "m%u", n);
                rig_layer(names[n]);
                rig_write(rig_path("layers/%s/f%u", names[n], n), "", 0644);
        }
        run_ok("ls / | grep -c '^f'", (struct rig_container){ .extra = add_many_layers });
        CHECK_STR(o.out, "120\n");
        rig_down();
}

/* ---- hostile trees ---- */

static void make_canary(void)
{
        mkdir(rig_path("canary"), 0755);
        rig_write(rig_path("canary/file"), "canary\n", 0600);
        rig_write(rig_path("canary/ptmx"), "canary\n", 0600);
        rig_write(rig_path("canary/null"), "canary\n", 0600);
}

static void check_canary(void)
{
        char command[512];

        snprintf(command, sizeof command,
                 "test \"$(ls %s/canary | tr '\\n' ' ')\" = 'file null ptmx ' && "
                 "test \"$(cat %s/canary/*)\" = \"$(printf 'canary\\ncanary\\ncanary')\" && "
                 "test \"$(stat -c %%a:%%u:%%h %s/canary/* | uniq)\" = 600:0:1",
                 rig_dir, rig_dir, rig_dir);
        CHECK_INT(system(command), 0);
        /* and through no container's mount */
        snprintf(command, sizeof command, "grep -c canary /proc/self/mountinfo >/dev/null");
        CHECK(system(command) != 0);
}

/* A layer in which @path is a link to @target, or with a type a file of that type. */
static const char *hostile_layer(const char *path, const char *target)
{
        static unsigned count;
        static char name[32];
        char folder[256];

        snprintf(name, sizeof name, "hostile%u", ++count);
        rig_layer(name);
        for (const char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
                snprintf(folder, sizeof folder, "%.*s", (int)(slash - path), path);
                mkdir(rig_path("layers/%s%s", name, folder), 0755);
        }
        if (strcmp(target, "FIFO") == 0)
                CHECK_INT(mkfifo(rig_path("layers/%s%s", name, path), 0644), 0);
        else if (strcmp(target, "FILE") == 0)
                rig_write(rig_path("layers/%s%s", name, path), "", 0644);
        else
                CHECK_INT(symlink(target, rig_path("layers/%s%s", name, path)), 0);
        return name;
}

static void run_hostile(const char *path, const char *target, const char *script,
                        void (*extra)(struct plan_writer *w))
{
        struct rig_container c = { .layers = { hostile_layer(path, target), "busybox" },
                                   .extra = extra };

        run(script, c);
        check_canary();
}

TEST(proc_or_sys_that_is_no_directory_of_the_image_fails_the_start)
{
        static const char *const paths[] = { "/proc", "/sys" };
        static const char *const targets[] = { "/etc", "../../etc", "/nowhere", "FILE", "FIFO" };

        rig_up(&plain);
        make_canary();
        for (int p = 0; p < 2; p++) {
                for (int t = 0; t < 5; t++) {
                        run_hostile(paths[p], targets[t], "true", NULL);
                        CHECK(o.r == -ELOOP || o.r == -ENOTDIR);
                        CHECK_CONTAINS(o.text, "make the target of mount");
                }
                run_hostile(paths[p], rig_path("canary"), "true", NULL);
                CHECK_INT(o.r, -ELOOP);
        }
        rig_down();
}

TEST(a_dev_that_is_a_link_gets_our_tmpfs_where_it_leads_inside)
{
        rig_up(&plain);
        make_canary();
        run_hostile("/dev", rig_path("canary"), "ls -d /dev/null && echo > /dev/ptmx", NULL);
        CHECK(o.r == 0 || o.r == -ENOENT);
        run_hostile("/dev", "/etc", "stat -c %F /etc/null; stat -f -c %T /etc", NULL);
        CHECK_STR(o.out, "character special file\ntmpfs\n");
        run_hostile("/dev", "FILE", "true", NULL);
        CHECK_INT(o.r, -ENOTDIR);
        rig_down();
}

TEST(nodes_and_links_of_an_image_s_dev_are_covered_by_ours)
{
        static const char *const paths[] = { "/dev/null", "/dev/fd",   "/dev/stdin",  "/dev/shm",
                                             "/dev/pts",  "/dev/ptmx", "/dev/console" };

        rig_up(&plain);
        make_canary();
        for (size_t n = 0; n < sizeof paths / sizeof *paths; n++) {
                struct rig_container c = {
                        .layers = { hostile_layer(paths[n], rig_path("canary/file")), "busybox" }
                };

                run("echo x > /dev/null; stat -c %t:%T /dev/null; echo y > /dev/shm/z", c);
                CHECK_INT(o.exit_code, 0);
                CHECK_STR(o.out, "1:3\n");
                check_canary();
                c.flags = PLAN_TERMINAL;
                run("stat -c %t:%T /dev/console", c);
                CHECK_STR(o.out, "88:0\r\n");
                check_canary();
        }
        rig_down();
}

static const char *bind_target;
static void add_hostile_bind(struct plan_writer *w)
{
        rig_mount(w, PLAN_MOUNT_BIND, 0, 0, rig_path("volume"), bind_target, "");
}
static void add_hostile_file(struct plan_writer *w)
{
        rig_mount(w, PLAN_MOUNT_BIND, 0, 0, rig_path("volume/file"), bind_target, "");
}

TEST(mount_targets_never_leave_the_root_whatever_links_say)
{
        static const struct {
                const char *link, *to, *target;
        } cases[] = {
                { "/data", "/", "/data/inside" },
                { "/data", "../../../../..", "/data/etc/x" },
                { "/data", "/proc/self/root", "/data/x" },
                { "/a/b", "../../../../../../tmp", "/a/b/c/../../d" },
                { "/var/log", "/dangling/target", "/var/log/app" },
                { "/etc/resolv.conf", "../run/systemd/stub.conf", "/etc/resolv.conf" },
                { "/loop", "/loop", "/loop/x" },
        };

        rig_up(&plain);
        make_canary();
        mkdir(rig_path("volume"), 0755);
        rig_write(rig_path("volume/file"), "content\n", 0644);
        for (size_t n = 0; n < sizeof cases / sizeof *cases; n++) {
                bind_target = cases[n].target;
                run_hostile(cases[n].link, cases[n].to, "true", add_hostile_bind);
                CHECK(o.r == 0 || o.r == -ELOOP);
                run_hostile(cases[n].link, cases[n].to, "true", add_hostile_file);
                CHECK(o.r == 0 || o.r == -ELOOP || o.r == -EISDIR);
        }
        /* absolute links to host paths mean paths of the container */
        bind_target = "/etc/hosts";
        run_hostile("/etc/hosts", rig_path("canary/file"), "cat /etc/hosts", add_hostile_file);
        CHECK_STR(o.out, "content\n");
        bind_target = "/etc/sub/hosts";
        run_hostile("/etc", rig_path("canary"), "cat /etc/sub/hosts", add_hostile_file);
        CHECK_STR(o.out, "content\n");
        rig_down();
}

TEST(a_dangling_link_is_filled_in_where_it_leads)
{
        rig_up(&plain);
        mkdir(rig_path("volume"), 0755);
        rig_write(rig_path("volume/file"), "content\n", 0644);
        bind_target = "/etc/resolv.conf";
        run_hostile("/etc/resolv.conf", "../run/systemd/stub.conf",
                    "cat /etc/resolv.conf /run/systemd/stub.conf", add_hostile_file);
        CHECK_STR(o.text, "");
        CHECK_STR(o.out, "content\ncontent\n");
        rig_down();
}

TEST(nothing_but_procfs_is_mounted_on_proc)
{
        static const char *const targets[] = { "/proc",       "//proc/./",    "/proc/self",
                                               "/proc/sys",   "/proc/1/attr", "/proc/sys/kernel",
                                               "/proc/kcore", "/data/x" };

        rig_up(&plain);
        make_canary();
        mkdir(rig_path("volume"), 0755);
        rig_write(rig_path("volume/file"), "content\n", 0644);
        for (size_t n = 0; n < sizeof targets / sizeof *targets; n++) {
                bind_target = targets[n];
                run_hostile("/data", "/proc", "true", add_hostile_bind);
                CHECK(o.r < 0);
                run_hostile("/data", "/proc", "true", add_hostile_file);
                CHECK(o.r < 0);
        }
        bind_target = "/proc/self";
        run_hostile("/x", "/", "true", add_hostile_bind);
        CHECK_STR(o.text, "nothing but procfs may cover /proc: mount '/proc/self': "
                          "Operation not permitted");
        /* its twin: what system containers show there */
        bind_target = "/proc/uptime";
        run_hostile("/x", "/", "cat /proc/uptime", add_hostile_file);
        CHECK_STR(o.out, "content\n");
        rig_down();
}

/* Before the default mounts, so that /proc is not there yet. */
static void add_early_proc(struct plan_writer *w)
{
        rig_mount(w, PLAN_MOUNT_BIND, 0, 0, rig_path("volume"), bind_target, "");
        rig_mount(w, PLAN_MOUNT_PROC, 0, 0, "proc", "/proc", "");
}

TEST(a_volume_at_proc_is_refused_before_procfs_is_there_too)
{
        rig_up(&plain);
        mkdir(rig_path("volume"), 0755);
        bind_target = "/proc";
        run("true", (struct rig_container){ .bare = true, .extra = add_early_proc });
        CHECK_INT(o.r, -EPERM);
        bind_target = "/other";
        run("true", (struct rig_container){ .bare = true, .extra = add_early_proc });
        CHECK_INT(o.r, 0);
        rig_down();
}

static void add_tmpfs_and_link(struct plan_writer *w)
{
        rig_mount(w, PLAN_MOUNT_BIND, 0, 0, rig_path("volume"), "/volume", "");
        rig_mount(w, PLAN_MOUNT_BIND, 0, 0, rig_path("volume/file"), "/volume/link/sub/file", "");
}

TEST(a_link_in_a_shared_volume_leads_into_the_container_not_out)
{
        rig_up(&plain);
        make_canary();
        mkdir(rig_path("volume"), 0755);
        rig_write(rig_path("volume/file"), "content\n", 0644);
        CHECK_INT(symlink(rig_path("canary"), rig_path("volume/link")), 0);
        run("true", (struct rig_container){ .extra = add_tmpfs_and_link });
        CHECK_INT(o.r, 0);
        check_canary();
        CHECK_INT(unlink(rig_path("volume/link")), 0);
        rig_down();
}

TEST(an_entry_point_that_is_a_link_out_of_the_root_is_not_found)
{
        rig_up(&plain);
        make_canary();
        run_hostile("/bin/escape", "/../../../../../../proc/1/root/bin/sh", "exec escape", NULL);
        CHECK(o.exit_code == 0 || o.exit_code == 127); /* the container's own sh, or none */
        rig_down();
}

TEST(the_host_s_mounts_are_the_same_after_all_that)
{
        static char before[1 << 16], after[1 << 16];

        rig_up(&plain);
        rig_read("/proc/self/mountinfo", before, sizeof before);
        for (int n = 0; n < 20; n++)
                run("true", (struct rig_container){ 0 });
        rig_read("/proc/self/mountinfo", after, sizeof after);
        CHECK_STR(before, after);
        rig_down();
}
