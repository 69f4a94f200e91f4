#include "runtime/plan.h"

#include <errno.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/text.h"
#include "tests/check.h"

/* A spec as the agent makes it for a pod with its own network and a container with its own PIDs. */
static void make_spec(struct oci_spec *s)
{
        oci_spec_init(s);
        CHECK(strv_append(&s->process.args, "/bin/true") == 0);
        CHECK(strv_append(&s->process.env, "A=b") == 0);
        s->process.cwd = strdup("/");
        for (int i = OCI_NS_PID; i <= OCI_NS_CGROUP; i++)
                s->namespaces[i].present = true;
}

static char *layers[] = { "b", "a", NULL };

static struct plan_container_options options_of(const struct oci_spec *s)
{
        return (struct plan_container_options){
                .id = "c1",
                .spec = s,
                .layer_dir = "/layers",
                .layers = layers,
                .upper_dir = "/upper",
        };
}

/* The @n-th record of @type, or false. */
static bool find(const struct plan_writer *w, enum plan_type type, int n, struct plan_record *ret)
{
        struct plan_reader reader;

        CHECK(plan_open(&reader, w->data, w->len) == 0);
        while (plan_next(&reader, ret) == 1)
                if (ret->type == type && n-- == 0)
                        return true;
        return false;
}

static const char *string_in(const struct plan_record *r, size_t at, int n)
{
        const char *s = plan_string(r, &at);

        while (s && n-- > 0)
                s = plan_string(r, &at);
        return s;
}

static void check_string(const struct plan_writer *w, enum plan_type type, int n, const char *s)
{
        struct plan_record r;

        CHECK(find(w, type, n, &r));
        CHECK_STR(string_in(&r, 0, 0), s);
}

static void check_refused(const struct plan_container_options *o, const char *said)
{
        _cleanup_(plan_writer_done)
        struct plan_writer w = { 0 };
        _cleanup_err_ struct err err = { 0 };

        CHECK(plan_compile_container(o, &w, &err) < 0);
        CHECK_CONTAINS(err.message, said);
        CHECK_INT(err.kind, ERR_CONTAINER_CONFIG);
}

TEST(a_container_becomes_a_plan)
{
        _cleanup_(plan_writer_done)
        struct plan_writer w = { 0 };
        struct oci_spec s;
        struct plan_container_options o;
        struct plan_record r;
        const struct plan_container *c;
        const struct plan_rlimit *limit;
        const struct plan_log *log;
        uint32_t gids[] = { 5, 6 };

        make_spec(&s);
        s.process.uid = 7;
        s.process.gid = 8;
        s.process.no_new_privileges = s.root_readonly = s.process.has_umask = true;
        s.process.umask = 077;
        s.process.cap_bounding = 5;
        s.process.additional_gids = memcpy(malloc(sizeof gids), gids, sizeof gids);
        s.process.n_additional_gids = 2;
        s.process.rlimits = calloc(1, sizeof *s.process.rlimits);
        s.process.rlimits[s.process.n_rlimits++] = (struct oci_rlimit){ strdup("RLIMIT_NOFILE"), 10,
                                                                        RLIM_INFINITY };
        CHECK(strv_append(&s.masked_paths, "/proc/kcore") == 0);
        CHECK(strv_append(&s.readonly_paths, "/proc/sys") == 0);
        o = options_of(&s);
        o.log_path = "/log/0.log";
        o.log_max_size = 1 << 20;
        o.log_max_files = 5;
        o.stdin_open = true;
        CHECK(plan_compile_container(&o, &w, NULL) == 0);

        CHECK(find(&w, PLAN_CONTAINER, 0, &r));
        c = plan_struct(&r, sizeof *c);
        CHECK_INT(c->flags, PLAN_STDIN | PLAN_NO_NEW_PRIVILEGES | PLAN_READONLY_ROOT |
                                    PLAN_OWN_PID | PLAN_OWN_CGROUP_NS | PLAN_HAS_UMASK);
        CHECK(c->uid == 7 && c->gid == 8 && c->umask == 077 && c->cap_bounding == 5);
        CHECK_INT(c->root_propagation, MS_PRIVATE);
        check_string(&w, PLAN_ID, 0, "c1");
        check_string(&w, PLAN_ARG, 0, "/bin/true");
        check_string(&w, PLAN_ENV, 0, "A=b");
        check_string(&w, PLAN_CWD, 0, "/");
        check_string(&w, PLAN_LAYER_DIR, 0, "/layers");
        check_string(&w, PLAN_LAYER, 0, "b");
        check_string(&w, PLAN_LAYER, 1, "a");
        check_string(&w, PLAN_UPPER_DIR, 0, "/upper");
        check_string(&w, PLAN_MASKED, 0, "/proc/kcore");
        check_string(&w, PLAN_READONLY, 0, "/proc/sys");
        CHECK(find(&w, PLAN_GROUP, 0, &r));
        CHECK(r.len == sizeof gids && memcmp(r.payload, gids, sizeof gids) == 0);
        CHECK(find(&w, PLAN_RLIMIT, 0, &r));
        limit = plan_struct(&r, sizeof *limit);
        CHECK(limit->resource == RLIMIT_NOFILE && limit->soft == 10);
        CHECK(limit->hard == RLIM_INFINITY);
        CHECK(find(&w, PLAN_LOG, 0, &r));
        log = plan_struct(&r, sizeof *log);
        CHECK(log->max_size == 1 << 20 && log->max_files == 5);
        CHECK_STR(string_in(&r, sizeof *log, 0), "/log/0.log");
        oci_spec_done(&s);
}

static void check_mount(const char *type, const char *destination, const char *source,
                        const char *options, struct plan_mount want, const char *data)
{
        _cleanup_(plan_writer_done)
        struct plan_writer w = { 0 };
        const struct plan_mount *m;
        struct oci_spec s;
        struct plan_container_options o;
        struct plan_record r;

        make_spec(&s);
        CHECK(oci_spec_add_mount(&s, destination, type, source, options) == 0);
        o = options_of(&s);
        CHECK(plan_compile_container(&o, &w, NULL) == 0);
        CHECK(find(&w, PLAN_MOUNT, 0, &r));
        m = plan_struct(&r, sizeof *m);
        CHECK_INT(m->kind, want.kind);
        CHECK_INT(m->flags, want.flags);
        CHECK_INT(m->attr_set, want.attr_set);
        CHECK_INT(m->attr_clear, want.attr_clear);
        CHECK_INT(m->propagation, want.propagation);
        CHECK_STR(string_in(&r, sizeof *m, 0), source);
        CHECK_STR(string_in(&r, sizeof *m, 1), destination);
        CHECK_STR(string_in(&r, sizeof *m, 2), data);
        oci_spec_done(&s);
}

TEST(mount_options_are_sorted_by_what_they_mean)
{
        check_mount("proc", "/proc", "proc", "nosuid,noexec,nodev",
                    (struct plan_mount){ .kind = PLAN_MOUNT_PROC,
                                         .attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC |
                                                     MOUNT_ATTR_NODEV },
                    "");
        check_mount("tmpfs", "/dev", "tmpfs", "nosuid,strictatime,mode=755,size=65536k",
                    (struct plan_mount){ .kind = PLAN_MOUNT_TMPFS,
                                         .attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_STRICTATIME,
                                         .attr_clear = MOUNT_ATTR__ATIME },
                    "mode=755,size=65536k");
        check_mount("bind", "/data", "/host", "rbind,rslave,ro",
                    (struct plan_mount){ .kind = PLAN_MOUNT_BIND,
                                         .flags = PLAN_MOUNT_RECURSIVE,
                                         .attr_set = MOUNT_ATTR_RDONLY,
                                         .propagation = MS_SLAVE },
                    "");
        check_mount("bind", "/data", "/host", "rbind,x-skiff.source=Socket",
                    (struct plan_mount){ .kind = PLAN_MOUNT_BIND,
                                         .flags = PLAN_MOUNT_RECURSIVE | PLAN_MOUNT_SOURCE_SOCKET },
                    "");
        check_mount("bind", "/data", "/host", "ro,rbind,rprivate,rro,x-skiff.create-source",
                    (struct plan_mount){ .kind = PLAN_MOUNT_BIND,
                                         .flags = PLAN_MOUNT_RECURSIVE |
                                                  PLAN_MOUNT_RECURSIVE_READONLY |
                                                  PLAN_MOUNT_CREATE_SOURCE,
                                         .attr_set = MOUNT_ATTR_RDONLY,
                                         .propagation = MS_PRIVATE },
                    "");
        check_mount("bind", "/data", "/host", "bind,ro,rw",
                    (struct plan_mount){ .kind = PLAN_MOUNT_BIND, .attr_clear = MOUNT_ATTR_RDONLY },
                    "");
        check_mount("tmpfs", "/dev/shm", "shm", "nosuid,size=64m",
                    (struct plan_mount){ .kind = PLAN_MOUNT_SHM, .attr_set = MOUNT_ATTR_NOSUID },
                    "size=64m");
}

TEST(a_mount_of_an_image_carries_its_layers_and_the_path_in_it)
{
        static char *data_layers[] = { "top", "base", NULL };
        static const struct plan_image images[] = { { "sha256:1", layers },
                                                    { "sha256:12", data_layers } };
        static const struct {
                const char *source, *path, *layers, *said;
        } cases[] = {
                { "sha256:12", "", "top:base", NULL },
                { "sha256:1", "", "b:a", NULL },
                { "sha256:12/a//b", "a//b", "top:base", NULL },
                { "sha256:12//etc", "etc", "top:base", NULL },
                { "sha256:123", NULL, NULL, "'sha256:123': expected an image that is here" },
                { "", NULL, NULL, "expected an image that is here" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_(plan_writer_done)
                struct plan_writer w = { 0 };
                struct oci_spec s;
                struct plan_container_options o;
                struct plan_record r;
                const struct plan_mount *m;

                make_spec(&s);
                CHECK(oci_spec_add_mount(&s, "/data", OCI_MOUNT_IMAGE, cases[i].source,
                                         "ro,noexec") == 0);
                o = options_of(&s);
                o.images = images;
                o.n_images = ARRAY_SIZE(images);
                if (cases[i].said) {
                        check_refused(&o, cases[i].said);
                        oci_spec_done(&s);
                        continue;
                }
                CHECK(plan_compile_container(&o, &w, NULL) == 0);
                CHECK(find(&w, PLAN_MOUNT, 0, &r));
                m = plan_struct(&r, sizeof *m);
                CHECK_INT(m->kind, PLAN_MOUNT_IMAGE);
                CHECK_INT(m->attr_set, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOEXEC);
                CHECK_STR(string_in(&r, sizeof *m, 0), cases[i].path);
                CHECK_STR(string_in(&r, sizeof *m, 1), "/data");
                CHECK_STR(string_in(&r, sizeof *m, 2), cases[i].layers);
                o.layer_dir = NULL;
                s.root_path = strdup("/bundle");
                check_refused(&o, "for a root that is one");
                oci_spec_done(&s);
        }
}

TEST(a_mount_that_cannot_be_is_refused_by_destination)
{
        static const struct {
                const char *type, *destination, *source, *options, *said;
        } cases[] = {
                { "bind", "/a", "relative", "bind",
                  "mount '/a': 'relative': expected an absolute source" },
                { "bind", "/a", "/b", "bind,acl", "mount '/a': 'acl': expected an option" },
                { "bind", "a", "/b", "bind", "mount 'a': 'a': expected an absolute destination" },
                { "ext4", "/a", "/dev/sda", "", "mount '/a': type 'ext4'" },
                { NULL, "/a", "/b", "", "mount '/a': type ''" },
                { "tmpfs", "/a", "tmpfs", "rro", "mount '/a': 'tmpfs': expected a bind mount" },
                { "bind", "/a", "/b", "rbind,rslave,rro", "mount '/a': 'rro': expected private" },
                { "tmpfs", "/a", "tmpfs", "x-skiff.source=File", "expected a bind mount" },
                { "bind", "/a", "/b", "x-skiff.source=Pipe,bind", "expected an option" },
                { "proc", "/proc", "proc", "tmpcopyup", "expected a tmpfs" },
                { "image", "/a", "sha256:1", "ro,index=on", "'index=on': expected an option" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct oci_spec s;
                struct plan_container_options o;

                make_spec(&s);
                CHECK(oci_spec_add_mount(&s, cases[i].destination, cases[i].type, cases[i].source,
                                         cases[i].options) == 0);
                o = options_of(&s);
                check_refused(&o, cases[i].said);
                oci_spec_done(&s);
        }
}

TEST(namespaces_must_fit_the_sandbox)
{
        struct oci_spec s;
        struct plan_container_options o;

        make_spec(&s);
        o = options_of(&s);
        s.namespaces[OCI_NS_NETWORK].present = false;
        check_refused(&o, "linux.namespaces: network: absent, but the sandbox has one of its own");
        s.namespaces[OCI_NS_NETWORK].present = true;
        o.sandbox_flags = PLAN_HOST_NETWORK;
        check_refused(&o, "network: present, but the sandbox has the host's");
        o.sandbox_flags = 0;
        s.namespaces[OCI_NS_PID].present = false;
        check_refused(&o, "pid: absent, but the sandbox shares none");
        s.namespaces[OCI_NS_PID].present = true;
        s.namespaces[OCI_NS_USER].present = true;
        check_refused(&o, "user: not supported");
        s.namespaces[OCI_NS_USER].present = false;
        s.namespaces[OCI_NS_MOUNT].present = false;
        check_refused(&o, "mount: expected a fresh one");
        oci_spec_done(&s);
}

TEST(a_shared_or_host_pid_namespace_is_the_sandboxs)
{
        _cleanup_(plan_writer_done)
        struct plan_writer w = { 0 };
        struct oci_spec s;
        struct plan_container_options o;
        struct plan_record r;

        make_spec(&s);
        s.namespaces[OCI_NS_PID].present = false;
        o = options_of(&s);
        o.sandbox_flags = PLAN_SHARED_PID;
        CHECK(plan_compile_container(&o, &w, NULL) == 0);
        CHECK(find(&w, PLAN_CONTAINER, 0, &r));
        CHECK_INT(((const struct plan_container *)r.payload)->flags, PLAN_OWN_CGROUP_NS);
        oci_spec_done(&s);
}

TEST(a_namespace_with_a_path_is_joined)
{
        _cleanup_(plan_writer_done)
        struct plan_writer w = { 0 };
        struct oci_spec s;
        struct plan_container_options o;
        struct plan_record r;
        uint32_t flag;

        make_spec(&s);
        s.namespaces[OCI_NS_PID].path = strdup("/proc/9/ns/pid");
        o = options_of(&s);
        CHECK(plan_compile_container(&o, &w, NULL) == 0);
        CHECK(find(&w, PLAN_NAMESPACE_PATH, 0, &r));
        memcpy(&flag, r.payload, sizeof flag);
        CHECK_INT(flag, CLONE_NEWPID);
        CHECK_STR(string_in(&r, 8, 0), "/proc/9/ns/pid");
        oci_spec_done(&s);
}

TEST(a_plain_directory_may_be_the_root)
{
        _cleanup_(plan_writer_done)
        struct plan_writer w = { 0 };
        struct oci_spec s;
        struct plan_container_options o;
        struct plan_record r;

        make_spec(&s);
        o = options_of(&s);
        o.layer_dir = NULL;
        check_refused(&o, "root.path: ''");
        s.root_path = strdup("rootfs");
        check_refused(&o, "root.path: 'rootfs'");
        free(s.root_path);
        s.root_path = strdup("/bundle/rootfs");
        CHECK(plan_compile_container(&o, &w, NULL) == 0);
        check_string(&w, PLAN_ROOT_PATH, 0, "/bundle/rootfs");
        CHECK(!find(&w, PLAN_LAYER_DIR, 0, &r));
        oci_spec_done(&s);
}

TEST(every_container_gets_the_default_devices_unless_it_brings_its_own)
{
        _cleanup_(plan_writer_done)
        struct plan_writer w = { 0 };
        const struct plan_device *d;
        struct oci_spec s;
        struct plan_container_options o;
        struct plan_record r;

        make_spec(&s);
        s.devices = calloc(2, sizeof *s.devices);
        s.devices[s.n_devices++] = (struct oci_device){
                .path = strdup("/dev/null"), .type = 'c', .major = 1, .minor = 3, .file_mode = 0600
        };
        s.devices[s.n_devices++] = (struct oci_device){
                .path = strdup("/dev/sda"), .type = 'b', .major = 8, .file_mode = 0660, .gid = 6
        };
        o = options_of(&s);
        CHECK(plan_compile_container(&o, &w, NULL) == 0);
        CHECK(find(&w, PLAN_DEVICE, 0, &r));
        d = plan_struct(&r, sizeof *d);
        CHECK(d->mode == 0600 && d->type == S_IFCHR);
        CHECK(find(&w, PLAN_DEVICE, 1, &r));
        d = plan_struct(&r, sizeof *d);
        CHECK(d->type == S_IFBLK && d->major == 8 && d->gid == 6);
        CHECK(find(&w, PLAN_DEVICE, 2, &r));
        CHECK_STR(string_in(&r, sizeof *d, 0), "/dev/zero");
        CHECK(find(&w, PLAN_DEVICE, 6, &r));
        CHECK_STR(string_in(&r, sizeof *d, 0), "/dev/tty");
        CHECK(!find(&w, PLAN_DEVICE, 7, &r));
        oci_spec_done(&s);
}

TEST(a_process_that_cannot_be_is_refused)
{
        struct oci_spec s;
        struct plan_container_options o;

        make_spec(&s);
        o = options_of(&s);
        s.process.rlimits = calloc(1, sizeof *s.process.rlimits);
        s.process.rlimits[s.process.n_rlimits++] = (struct oci_rlimit){ strdup("NOFILE"), 1, 2 };
        check_refused(&o, "process.rlimits: 'NOFILE'");
        free(s.process.rlimits[0].type);
        s.process.rlimits[0] = (struct oci_rlimit){ strdup("RLIMIT_CPU"), 3, 2 };
        check_refused(&o, "RLIMIT_CPU: expected soft at most hard");
        s.process.n_rlimits = 0;
        free(s.process.rlimits[0].type);
        free(s.process.cwd);
        s.process.cwd = strdup("x");
        check_refused(&o, "process.cwd: 'x'");
        s.process.args = strv_free(s.process.args);
        check_refused(&o, "process.args");
        oci_spec_done(&s);
}

static void check_sysctl(const char *name, const char *value, uint32_t flags, const char *path,
                         const char *said)
{
        _cleanup_(plan_writer_done)
        struct plan_writer w = { 0 };
        _cleanup_err_ struct err err = { 0 };
        struct string_map_entry entry = { (char *)name, (char *)value };
        struct string_map sysctls = { &entry, 1 };
        struct plan_sandbox_options o = { .id = "s", .flags = flags, .sysctls = &sysctls };
        int r = plan_compile_sandbox(&o, &w, &err);
        struct plan_record record;

        if (said) {
                CHECK(r < 0);
                CHECK_CONTAINS(err.message, said);
                CHECK_INT(err.kind, ERR_SANDBOX);
                return;
        }
        CHECK(r == 0);
        CHECK(find(&w, PLAN_SYSCTL, 0, &record));
        CHECK_STR(string_in(&record, 0, 0), path);
        CHECK_STR(string_in(&record, 0, 1), value);
}

TEST(sysctls_reach_their_path_and_stay_in_the_namespace)
{
        check_sysctl("net.ipv4.tcp_rmem", "4096 87380 6291456", 0, "net/ipv4/tcp_rmem", NULL);
        check_sysctl("net/ipv4/conf/eth0.1/forwarding", "1", 0, "net/ipv4/conf/eth0.1/forwarding",
                     NULL);
        check_sysctl("net.ipv4.conf.eth0/1.forwarding", "1", 0, "net/ipv4/conf/eth0.1/forwarding",
                     NULL);
        check_sysctl("kernel.shm_rmid_forced", "1", 0, "kernel/shm_rmid_forced", NULL);
        check_sysctl("kernel.core_pattern", "x", 0, NULL, "sysctl 'kernel/core_pattern'");
        check_sysctl("net.ipv4.tcp_rmem", "1+kernel.core_pattern=x", 0, NULL, "without '+'");
        check_sysctl("net.ipv4.tcp_rmem", "1\n2", 0, NULL, "one line");
        check_sysctl("net..ipv4", "1", 0, NULL, "expected a sysctl of");
        check_sysctl("net/../kernel/core_pattern", "1", 0, NULL, "expected a sysctl of");
        check_sysctl("NET.ipv4.x", "1", 0, NULL, "expected a sysctl of");
        check_sysctl("net.ipv4.tcp_rmem", "1", PLAN_HOST_NETWORK, NULL, "host's network");
        check_sysctl("kernel.sem", "1", PLAN_HOST_IPC, NULL, "host's IPC");
        check_sysctl("", "1", 0, NULL, "expected a sysctl of");
}

TEST(a_sandbox_becomes_a_plan)
{
        _cleanup_(plan_writer_done)
        struct plan_writer w = { 0 };
        struct plan_link link = { .host_name = "h", .pod_name = "eth0", .mtu = 1450 };
        struct plan_address address = { .family = 2, .prefix = 32, .address = { 10, 0, 0, 1 } };
        struct plan_sandbox_options o = {
                .id = "s1",
                .hostname = "web",
                .flags = PLAN_SHARED_PID,
                .shm_size = 64 << 20,
                .link = &link,
                .addresses = &address,
                .n_addresses = 1,
        };
        struct plan_record r;
        const struct plan_sandbox *s;

        CHECK(plan_compile_sandbox(&o, &w, NULL) == 0);
        check_string(&w, PLAN_ID, 0, "s1");
        check_string(&w, PLAN_HOSTNAME, 0, "web");
        CHECK(find(&w, PLAN_SANDBOX, 0, &r));
        s = plan_struct(&r, sizeof *s);
        CHECK(s->flags == PLAN_SHARED_PID && s->shm_size == 64 << 20);
        CHECK(find(&w, PLAN_LINK, 0, &r) && r.len == sizeof link);
        CHECK(find(&w, PLAN_ADDRESS, 0, &r) && r.len == sizeof address);
}

TEST(an_exec_names_its_arguments_only)
{
        _cleanup_(plan_writer_done)
        struct plan_writer w = { 0 };
        static const char *const argv[] = { "ls", "-l", NULL };
        static const char *const none[] = { NULL };
        struct plan_record r;

        CHECK(plan_compile_exec(argv, &w, NULL) == 0);
        check_string(&w, PLAN_ARG, 1, "-l");
        CHECK(!find(&w, PLAN_CONTAINER, 0, &r));
        CHECK(plan_compile_exec(none, &w, NULL) == -EINVAL);
}
