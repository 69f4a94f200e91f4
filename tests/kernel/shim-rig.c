#include "tests/kernel/shim-rig.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/check.h"

char rig_dir[64];
pid_t rig_shim;
int rig_connection = -1;

static int template_ns = -1, records = -1, listener = -1, program = -1;
static char cgroup_root[128];
static unsigned next_id;
static uint64_t next_request;
static struct rig_message pending[64];
static size_t n_pending;

const char *rig_path(const char *fmt, ...)
{
        static char bufs[8][512];
        static unsigned at;
        char *buf = bufs[at++ % 8];
        va_list ap;
        int n = snprintf(buf, 512, "%s/", rig_dir);

        va_start(ap, fmt);
        vsnprintf(buf + n, 512 - (size_t)n, fmt, ap);
        va_end(ap);
        return buf;
}

const char *const *rig_sh(const char *script)
{
        static const char *argv[8][4];
        static unsigned at;
        const char **v = argv[at++ % 8];

        v[0] = "sh";
        v[1] = "-c";
        v[2] = script;
        v[3] = NULL;
        return v;
}

void rig_write(const char *path, const char *text, mode_t mode)
{
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);

        CHECK(fd >= 0);
        CHECK(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
        CHECK_INT(fchmod(fd, mode), 0);
        close(fd);
}

void rig_write_kernel(const char *path, const char *text)
{
        int fd = open(path, O_WRONLY | O_CLOEXEC);

        CHECK(fd >= 0);
        CHECK(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
        close(fd);
}

ssize_t rig_read(const char *path, char *buf, size_t size)
{
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        size_t n = 0;
        ssize_t k;

        buf[0] = '\0';
        if (fd < 0)
                return -1;
        while (n < size - 1 && (k = read(fd, buf + n, size - 1 - n)) > 0)
                n += (size_t)k;
        buf[n] = '\0';
        close(fd);
        return (ssize_t)n;
}

const char *rig_layer(const char *name)
{
        const char *path = rig_path("layers/%s", name);

        CHECK_INT(mkdir(path, 0755), 0);
        return path;
}

/* ---- once per program ---- */

static void copy_file(const char *from, const char *to)
{
        int in = open(from, O_RDONLY | O_CLOEXEC),
            out = open(to, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);

        CHECK(in >= 0 && out >= 0);
        while (sendfile(out, in, NULL, 1 << 20) > 0)
                ;
        close(in);
        close(out);
}

static void make_busybox_layer(void)
{
        static const char *const applets[] = {
                "sh",       "cat",      "echo",   "ls",     "id",     "sleep",  "true", "false",
                "mount",    "touch",    "mkdir",  "stat",   "head",   "wc",     "yes",  "kill",
                "ps",       "hostname", "ip",     "grep",   "ping",   "tty",    "stty", "dd",
                "readlink", "env",      "pwd",    "umount", "chroot", "sed",    "awk",  "seq",
                "nc",       "chmod",    "setsid", "test",   "printf", "usleep", "od",   "tr",
                "df",       "mknod",    "ln",     "rm",     "sync",   "tail",
        };

        rig_layer("busybox");
        mkdir(rig_path("layers/busybox/bin"), 0755);
        mkdir(rig_path("layers/busybox/etc"), 0755);
        mkdir(rig_path("layers/busybox/tmp"), 01777);
        chmod(rig_path("layers/busybox/tmp"), 01777);
        copy_file("/bin/busybox", rig_path("layers/busybox/bin/busybox"));
        for (size_t n = 0; n < sizeof applets / sizeof *applets; n++)
                CHECK_INT(symlink("busybox", rig_path("layers/busybox/bin/%s", applets[n])), 0);
}

/* A namespace whose root is a tmpfs with the two directories of the contract. */
static int make_template(void)
{
        char path[64], ready = 0;
        int pair[2], fd;
        pid_t pid;

        CHECK_INT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
                const char *root = rig_path("template");

                close(pair[0]);
                if (unshare(CLONE_NEWNS) < 0 || mkdir(root, 0700) < 0 ||
                    syscall(SYS_mount, "template", root, "tmpfs", 0L, "mode=755") < 0 ||
                    chdir(root) < 0 || mkdir("root", 0755) < 0 || mkdir("shm", 0755) < 0 ||
                    syscall(SYS_pivot_root, ".", ".") < 0 ||
                    syscall(SYS_umount2, ".", 2 /* MNT_DETACH */) < 0)
                        _exit(1);
                if (write(pair[1], "x", 1) == 1 && read(pair[1], &ready, 1) >= 0)
                        _exit(0);
                _exit(1);
        }
        close(pair[1]);
        CHECK_INT(read(pair[0], &ready, 1), 1);
        snprintf(path, sizeof path, "/proc/%d/ns/mnt", pid);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        CHECK(fd >= 0);
        close(pair[0]);
        waitpid(pid, NULL, 0);
        rmdir(rig_path("template"));
        return fd;
}

int rig_template(void)
{
        return template_ns;
}

/*
 * Mapped here too: pages of a memfd count as dirty, and as private where one process alone has
 * them. A second shim shares them; so does whoever keeps them mapped.
 */
static int load_program(void)
{
        struct stat st;

        int in = open(SHIM_PROGRAM, O_RDONLY | O_CLOEXEC),
            fd = memfd_create("skiff-shim", MFD_CLOEXEC | MFD_ALLOW_SEALING);

        CHECK(in >= 0 && fd >= 0);
        while (sendfile(fd, in, NULL, 1 << 20) > 0)
                ;
        close(in);
        CHECK_INT(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL),
                  0);
        CHECK_INT(fstat(fd, &st), 0);
        CHECK(mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0) !=
              MAP_FAILED);
        return fd;
}

/* Where there is a memory controller, containers' cgroups have it. */
static void enable_memory(void)
{
        char path[256];
        int fd;

        snprintf(path, sizeof path, "%s/cgroup.subtree_control", cgroup_root);
        fd = open(path, O_WRONLY | O_CLOEXEC);
        if (fd >= 0 && write(fd, "+memory", 7) < 0)
                errno = 0; /* it has not: tests of it are skipped */
        close(fd);
}

static void find_cgroups(void)
{
        static const char *const places[] = { "/sys/fs/cgroup", "/sys/fs/cgroup/unified" };
        struct statfs fs;

        for (size_t n = 0; n < 2; n++) {
                if (statfs(places[n], &fs) < 0 || fs.f_type != CGROUP2_SUPER_MAGIC)
                        continue;
                snprintf(cgroup_root, sizeof cgroup_root, "%s/skiff-test-%d", places[n], getpid());
                if (mkdir(cgroup_root, 0755) == 0) {
                        enable_memory();
                        return;
                }
        }
        check_skip_all("no writable cgroup v2 hierarchy");
}

static void remove_cgroups(void)
{
        DIR *dir = opendir(cgroup_root);
        struct dirent *e;

        while (dir && (e = readdir(dir)))
                if (e->d_type == DT_DIR && e->d_name[0] != '.') {
                        char path[512];

                        snprintf(path, sizeof path, "%s/%s/cgroup.kill", cgroup_root, e->d_name);
                        for (int i = 0; i < 200; i++) {
                                int fd = open(path, O_WRONLY | O_CLOEXEC);

                                if (fd >= 0) {
                                        if (write(fd, "1", 1) < 0)
                                                i = 200;
                                        close(fd);
                                }
                                snprintf(path, sizeof path, "%s/%s", cgroup_root, e->d_name);
                                if (rmdir(path) == 0)
                                        break;
                                usleep(5000);
                        }
                }
        if (dir)
                closedir(dir);
        rmdir(cgroup_root);
}

static pid_t rig_owner;

static void kill_shim(void)
{
        if (rig_shim <= 0)
                return;
        kill(rig_shim, SIGKILL);
        waitpid(rig_shim, NULL, 0);
        rig_shim = 0;
}

static void rig_exit(void)
{
        if (getpid() != rig_owner)
                return;
        kill_shim();
        remove_cgroups();
        syscall(SYS_umount2, rig_dir, 2);
        rmdir(rig_dir);
}

static void rig_init(void)
{
        if (rig_dir[0])
                return;
        if (geteuid() != 0)
                check_skip_all("not root");
        if (access("/bin/busybox", X_OK) < 0)
                check_skip_all("no busybox (package busybox-static)");
        if (unshare(CLONE_NEWNS | CLONE_NEWNET) < 0)
                check_skip_all("unshare: %s", strerror(errno));
        CHECK_INT(syscall(SYS_mount, NULL, "/", NULL, (long)(MS_REC | MS_PRIVATE), NULL), 0);
        find_cgroups();
        rig_owner = getpid();
        atexit(rig_exit);
        snprintf(rig_dir, sizeof rig_dir, "/tmp/skiff-shim-XXXXXX");
        CHECK(mkdtemp(rig_dir));
        CHECK_INT(syscall(SYS_mount, "rig", rig_dir, "tmpfs", 0L, "mode=755"), 0);
        CHECK_INT(mkdir(rig_path("layers"), 0755), 0);
        CHECK_INT(mkdir(rig_path("containers"), 0700), 0);
        CHECK_INT(mkdir(rig_path("log"), 0755), 0);
        make_busybox_layer();
        template_ns = make_template();
        program = load_program();
        records = open(rig_path("containers"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        CHECK(records >= 0);
        signal(SIGPIPE, SIG_IGN);
}

/* ---- plans ---- */

static int memfd_of(const struct plan_writer *w)
{
        int fd = memfd_create("plan", MFD_CLOEXEC | MFD_ALLOW_SEALING);

        CHECK(fd >= 0 && write(fd, w->data, w->len) == (ssize_t)w->len);
        CHECK_INT(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW), 0);
        return fd;
}

void rig_mount(struct plan_writer *w, enum plan_mount_kind kind, uint32_t flags, uint64_t attr,
               const char *source, const char *destination, const char *data)
{
        struct plan_mount m = { .kind = kind, .flags = flags, .attr_set = attr };
        char strings[2048];
        size_t n = 0;
        const char *parts[] = { source, destination, data };

        for (int i = 0; i < 3; i++) {
                memcpy(strings + n, parts[i], strlen(parts[i]) + 1);
                n += strlen(parts[i]) + 1;
        }
        CHECK_INT(plan_add(w, PLAN_MOUNT, &m, sizeof m, strings, n), 0);
}

static void add_device(struct plan_writer *w, const char *path, unsigned major, unsigned minor)
{
        struct plan_device d = { .type = S_IFCHR, .mode = 0666, .major = major, .minor = minor };

        CHECK_INT(plan_add(w, PLAN_DEVICE, &d, sizeof d, path, strlen(path) + 1), 0);
}

static void add_defaults(struct plan_writer *w)
{
        static const char *const masked[] = { "/proc/acpi",          "/proc/kcore", "/proc/keys",
                                              "/proc/timer_list",    "/proc/scsi",  "/sys/firmware",
                                              "/proc/does-not-exist" };
        static const char *const readonly[] = { "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
                                                "/proc/sysrq-trigger" };
        uint64_t safe = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NODEV;

        rig_mount(w, PLAN_MOUNT_PROC, 0, safe, "proc", "/proc", "");
        rig_mount(w, PLAN_MOUNT_TMPFS, 0, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, "tmpfs", "/dev",
                  "mode=755,size=65536k");
        rig_mount(w, PLAN_MOUNT_DEVPTS, 0, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, "devpts",
                  "/dev/pts", "ptmxmode=0666,mode=0620,gid=5");
        rig_mount(w, PLAN_MOUNT_SHM, 0, safe, "shm", "/dev/shm", "");
        rig_mount(w, PLAN_MOUNT_MQUEUE, 0, safe, "mqueue", "/dev/mqueue", "");
        rig_mount(w, PLAN_MOUNT_SYSFS, 0, safe | MOUNT_ATTR_RDONLY, "sysfs", "/sys", "");
        rig_mount(w, PLAN_MOUNT_CGROUP, 0, safe | MOUNT_ATTR_RDONLY, "cgroup", "/sys/fs/cgroup",
                  "");
        add_device(w, "/dev/null", 1, 3);
        add_device(w, "/dev/zero", 1, 5);
        add_device(w, "/dev/full", 1, 7);
        add_device(w, "/dev/random", 1, 8);
        add_device(w, "/dev/urandom", 1, 9);
        add_device(w, "/dev/tty", 5, 0);
        for (size_t n = 0; n < sizeof masked / sizeof *masked; n++)
                plan_add_string(w, PLAN_MASKED, masked[n]);
        for (size_t n = 0; n < sizeof readonly / sizeof *readonly; n++)
                plan_add_string(w, PLAN_READONLY, readonly[n]);
}

static void add_root(const char *id, const struct rig_container *c, struct plan_writer *w)
{
        if (c->root_path) {
                plan_add_string(w, PLAN_ROOT_PATH, c->root_path);
                return;
        }
        plan_add_string(w, PLAN_LAYER_DIR, rig_path("layers"));
        for (int n = 0; n < 3 && c->layers[n]; n++)
                plan_add_string(w, PLAN_LAYER, c->layers[n]);
        if (!c->layers[0])
                plan_add_string(w, PLAN_LAYER, "busybox");
        mkdir(rig_path("containers/%s", id), 0700);
        mkdir(rig_path("containers/%s/upper", id), 0755);
        mkdir(rig_path("containers/%s/work", id), 0700);
        plan_add_string(w, PLAN_UPPER_DIR, rig_path("containers/%s", id));
}

const char *rig_log_path(const char *id)
{
        return rig_path("log/%s/0.log", id);
}

void rig_wait_for_log(const char *id, const char *text)
{
        static char log[1 << 16];

        for (int n = 0; n < RIG_TIMEOUT_MSEC / 10; n++) {
                if (rig_read(rig_log_path(id), log, sizeof log) > 0 && strstr(log, text))
                        return;
                usleep(10000);
        }
        fail_msg("'%s' never came into the log", text);
}

void rig_compile(const char *id, const struct rig_container *c, struct plan_writer *w)
{
        uint64_t caps = c->no_caps ? 0 : c->caps ? c->caps : CAPS_DEFAULT;
        struct plan_container p = {
                .flags = c->flags | (c->shared_pid ? 0 : PLAN_OWN_PID) | PLAN_OWN_CGROUP_NS,
                .uid = c->uid,
                .gid = c->gid,
                .umask = c->umask,
                .oom_score_adj = c->oom_score_adj,
                .stop_sec = c->stop_sec,
                .cap_bounding = caps,
                .cap_permitted = c->uid ? 0 : caps,
                .cap_effective = c->uid ? 0 : caps,
        };
        struct plan_log log = { .max_size = c->log_max_size, .max_files = c->log_max_files };
        static const char *const path_only[] = { "PATH=/bin", NULL };
        const char *log_path;

        CHECK_INT(plan_begin(w), 0);
        plan_add_string(w, PLAN_ID, id);
        plan_add(w, PLAN_CONTAINER, &p, sizeof p, NULL, 0);
        for (const char *const *s = c->argv; *s; s++)
                plan_add_string(w, PLAN_ARG, *s);
        for (const char *const *s = c->env ? c->env : path_only; *s; s++)
                plan_add_string(w, PLAN_ENV, *s);
        plan_add_string(w, PLAN_CWD, c->cwd ? c->cwd : "/");
        if (c->n_groups)
                plan_add(w, PLAN_GROUP, c->groups, c->n_groups * sizeof *c->groups, NULL, 0);
        add_root(id, c, w);
        if (!c->bare)
                add_defaults(w);
        if (c->extra)
                c->extra(w);
        mkdir(rig_path("log/%s", id), 0755);
        log_path = rig_log_path(id);
        plan_add(w, PLAN_LOG, &log, sizeof log, log_path, strlen(log_path) + 1);
        CHECK_INT(plan_finish(w), 0);
}

/* ---- the shim ---- */

char rig_host_link[16];

static void add_link(struct plan_writer *w, bool ipv6)
{
        static unsigned links;
        struct plan_link l = {
                .pod_name = "eth0",
                .mtu = 1400,
                .gateway4 = htonl(0xa9fe0101),
                .gateway6 = { 0xfe, 0x80, [15] = 1 },
                .host_mac = { 2, 0, 0, 0, 0, 1 },
                .pod_mac = { 2, 0, 0, 0, 0, 2 },
        };
        struct plan_address a4 = { .family = AF_INET, .prefix = 32, .address = { 10, 244, 1, 7 } };
        struct plan_address a6 = { .family = AF_INET6,
                                   .prefix = 128,
                                   .address = { 0xfd, [15] = 7 } };

        /* a name of its own each time: the last one goes with its namespace, some time later */
        snprintf(rig_host_link, sizeof rig_host_link, "veth-%u", ++links);
        memcpy(l.host_name, rig_host_link, sizeof l.host_name);
        plan_add(w, PLAN_LINK, &l, sizeof l, NULL, 0);
        plan_add(w, PLAN_ADDRESS, &a4, sizeof a4, NULL, 0);
        if (ipv6)
                plan_add(w, PLAN_ADDRESS, &a6, sizeof a6, NULL, 0);
}

static int sandbox_plan(const struct rig_sandbox *s)
{
        struct plan_sandbox record = { .flags = s->flags, .shm_size = 8 << 20 };
        struct plan_writer w = { 0 };
        int fd;

        CHECK_INT(plan_begin(&w), 0);
        plan_add(&w, PLAN_SANDBOX, &record, sizeof record, NULL, 0);
        if (s->hostname)
                plan_add_string(&w, PLAN_HOSTNAME, s->hostname);
        if (s->link)
                add_link(&w, s->ipv6);
        if (s->sysctl[0])
                plan_add(&w, PLAN_SYSCTL, s->sysctl[0], strlen(s->sysctl[0]) + 1, s->sysctl[1],
                         strlen(s->sysctl[1]) + 1);
        CHECK_INT(plan_finish(&w), 0);
        fd = memfd_of(&w);
        plan_writer_done(&w);
        return fd;
}

static int make_listener(void)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

        snprintf(address.sun_path, sizeof address.sun_path, "%s", rig_path("sandbox.sock"));
        unlink(address.sun_path);
        CHECK(fd >= 0);
        CHECK_INT(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
        CHECK_INT(listen(fd, 8), 0);
        return fd;
}

static void spawn_shim(const int fds[5])
{
        rig_shim = fork();
        CHECK(rig_shim >= 0);
        if (rig_shim == 0) {
                static char *const argv[] = { "skiff-shim", "sandbox", NULL }, *const envp[] = {
                        NULL
                };
                int high[6];

                for (int n = 0; n < 5; n++)
                        high[n] = fcntl(fds[n], F_DUPFD, 100);
                high[5] = fcntl(program, F_DUPFD_CLOEXEC, 100);
                for (int n = 0; n < 5; n++)
                        dup2(high[n], 3 + n);
                syscall(SYS_execveat, high[5], "", argv, envp, 0x1000 /* AT_EMPTY_PATH */);
                _exit(127);
        }
}

void rig_disconnect(void)
{
        close(rig_connection);
        rig_connection = -1;
        while (n_pending > 0) {
                n_pending--;
                while (pending[n_pending].n_fds > 0)
                        close(pending[n_pending].fds[--pending[n_pending].n_fds]);
        }
}

void rig_start(const struct rig_sandbox *sandbox, struct rig_message *ret)
{
        int pair[2], plan;

        rig_init();
        kill_shim();
        rig_disconnect();
        if (listener >= 0)
                close(listener);
        listener = make_listener();
        plan = sandbox_plan(sandbox);
        CHECK_INT(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
        spawn_shim((int[]){ listener, plan, pair[1], template_ns, records });
        close(plan);
        close(pair[1]);
        rig_connection = pair[0];
        rig_wait(0, NULL, 0, ret);
}

void rig_up(const struct rig_sandbox *sandbox)
{
        static struct rig_message m;

        rig_start(sandbox, &m);
        if (m.m.verb != SHIM_EV_READY)
                fail_msg("the shim did not become ready: %s", m.text);
        CHECK_INT(m.m.value, rig_shim);
}

void rig_down(void)
{
        int status;

        CHECK_INT(rig_request(SHIM_SHUTDOWN, NULL, 0, NULL, 0, NULL), 0);
        CHECK_INT(waitpid(rig_shim, &status, 0), rig_shim);
        rig_shim = 0;
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        rig_disconnect();
}

void rig_reconnect(void)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };

        rig_disconnect();
        snprintf(address.sun_path, sizeof address.sun_path, "%s", rig_path("sandbox.sock"));
        rig_connection = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        CHECK_INT(connect(rig_connection, (struct sockaddr *)&address, sizeof address), 0);
}

/* ---- messages ---- */

static bool matches(const struct rig_message *m, uint16_t verb, const char *id, uint64_t request)
{
        bool answer = m->m.verb == SHIM_OK || m->m.verb == SHIM_FAILED;

        if (request && (m->m.request != request || (verb == 0 && !answer)))
                return false;
        return (verb == 0 || m->m.verb == verb) && (!id || strcmp(m->m.id, id) == 0);
}

static bool take_pending(uint16_t verb, const char *id, uint64_t request, struct rig_message *ret)
{
        for (size_t n = 0; n < n_pending; n++) {
                if (!matches(&pending[n], verb, id, request))
                        continue;
                *ret = pending[n];
                memmove(pending + n, pending + n + 1, (--n_pending - n) * sizeof *pending);
                return true;
        }
        return false;
}

static long long now_msec(void)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

bool rig_poll(uint16_t verb, const char *id, uint64_t request, int msec, struct rig_message *ret)
{
        long long end = now_msec() + msec;

        while (!take_pending(verb, id, request, ret)) {
                struct rig_message *m = &pending[n_pending];
                struct pollfd p = { .fd = rig_connection, .events = POLLIN };
                long long left = end - now_msec();
                int r;

                if (left < 0 || poll(&p, 1, (int)left) == 0)
                        return false;
                CHECK(n_pending < 63);
                r = shim_receive(rig_connection, &m->m, m->text, m->fds, &m->n_fds);
                if (r == 0 || r == -ECONNRESET)
                        return false;
                CHECK_INT(r, 1);
                n_pending++;
        }
        return true;
}

void rig_wait(uint16_t verb, const char *id, uint64_t request, struct rig_message *ret)
{
        if (!rig_poll(verb, id, request, RIG_TIMEOUT_MSEC, ret))
                fail_msg("no message of verb %u for request %llu, id %s", verb,
                         (unsigned long long)request, id ? id : "-");
}

static uint64_t ask(struct shim_message *m, const int *fds, unsigned n_fds)
{
        m->request = ++next_request;
        CHECK_INT(shim_send(rig_connection, m, NULL, fds, n_fds), 0);
        return m->request;
}

static int answer_of(uint64_t request, struct rig_message *ret)
{
        static struct rig_message scratch;
        struct rig_message *m = ret ? ret : &scratch;

        rig_wait(0, NULL, request, m);
        return m->m.verb == SHIM_OK ? 0 : (int)m->m.value;
}

int rig_request(uint16_t verb, const char *id, int64_t value, const int *fds, unsigned n_fds,
                struct rig_message *ret)
{
        struct shim_message m = { .verb = verb, .value = value };

        if (id)
                snprintf(m.id, sizeof m.id, "%s", id);
        return answer_of(ask(&m, fds, n_fds), ret);
}

/* ---- containers ---- */

const char *rig_new_id(void)
{
        static char ids[16][SHIM_ID_SIZE];
        char *id = ids[next_id % 16];

        snprintf(id, SHIM_ID_SIZE, "%064x", ++next_id);
        return id;
}

const char *rig_cgroup_path(const char *id)
{
        static char path[256];

        snprintf(path, sizeof path, "%s/%s", cgroup_root, id);
        return path;
}

int rig_create(const char *id, const struct rig_container *c, struct rig_message *ret)
{
        struct plan_writer w = { 0 };
        int fds[3], r;

        rig_compile(id, c, &w);
        mkdir(rig_cgroup_path(id), 0755);
        fds[0] = memfd_of(&w);
        fds[1] = open(rig_cgroup_path(id), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        fds[2] = c->seccomp;
        plan_writer_done(&w);
        CHECK(fds[1] >= 0);
        r = rig_request(SHIM_CREATE, id, 0, fds, c->seccomp > 0 ? 3 : 2, ret);
        close(fds[0]);
        close(fds[1]);
        return r;
}

static void set_failure(struct rig_outcome *o, int r, const struct rig_message *m)
{
        o->r = r;
        o->kind = m->m.kind;
        snprintf(o->text, sizeof o->text, "%s", m->text);
}

/* The lines of a log without their prefixes, by stream; partial ones are joined. */
static void read_log(const char *id, struct rig_outcome *o)
{
        static char text[1 << 20];
        size_t n[2] = { 0 };

        rig_read(rig_log_path(id), text, sizeof text);
        for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
                bool err;
                char *to;
                size_t room, len;

                *end = '\0';
                CHECK(end - line >= 40 && line[30] == ' ' && line[37] == ' ' && line[39] == ' ');
                err = strncmp(line + 31, "stderr", 6) == 0;
                to = (err ? o->err : o->out) + n[err];
                room = (err ? sizeof o->err : sizeof o->out) - n[err];
                len = (size_t)snprintf(to, room, "%s%s", line + 40, line[38] == 'F' ? "\n" : "");
                n[err] += len < room ? len : room - 1;
        }
}

void rig_run(const struct rig_container *c, struct rig_outcome *ret)
{
        static struct rig_message m;
        const char *id = rig_new_id();
        int r;

        memset(ret, 0, sizeof *ret);
        r = rig_create(id, c, &m);
        if (r < 0) {
                set_failure(ret, r, &m);
                rmdir(rig_cgroup_path(id));
                return;
        }
        r = rig_request(SHIM_START, id, 0, NULL, 0, &m);
        if (r < 0)
                set_failure(ret, r, &m);
        rig_wait(SHIM_EV_EXITED, id, 0, &m);
        ret->exit_code = (int)m.m.value;
        ret->flags = m.m.flags;
        read_log(id, ret);
        CHECK_INT(rig_request(SHIM_DELETE, id, 0, NULL, 0, NULL), 0);
        rmdir(rig_cgroup_path(id));
}

/* ---- execs ---- */

uint64_t rig_send_exec(const char *id, const char *const *argv, uint16_t flags,
                       int64_t timeout_msec, int64_t cap)
{
        uint64_t request;
        struct shim_message m = {
                .verb = SHIM_EXEC, .flags = flags, .value = timeout_msec, .value2 = cap
        };
        struct plan_writer w = { 0 };
        int fd;

        snprintf(m.id, sizeof m.id, "%s", id);
        CHECK_INT(plan_begin(&w), 0);
        for (; *argv; argv++)
                plan_add_string(&w, PLAN_ARG, *argv);
        CHECK_INT(plan_finish(&w), 0);
        fd = memfd_of(&w);
        plan_writer_done(&w);
        request = ask(&m, &fd, 1);
        close(fd);
        return request;
}

int rig_begin_exec(const char *id, const char *const *argv, uint16_t flags, int64_t timeout_msec,
                   int64_t cap, uint64_t *ret_request, struct rig_message *ret)
{
        *ret_request = rig_send_exec(id, argv, flags, timeout_msec, cap);
        return answer_of(*ret_request, ret);
}

int rig_attach(const char *id, uint16_t flags, struct rig_message *ret)
{
        struct shim_message m = { .verb = SHIM_ATTACH, .flags = flags };

        snprintf(m.id, sizeof m.id, "%s", id);
        return answer_of(ask(&m, NULL, 0), ret);
}

void rig_exec(const char *id, const char *const *argv, int64_t timeout_msec, int64_t cap,
              struct rig_exec_outcome *ret)
{
        static struct rig_message m;
        uint64_t request;

        memset(ret, 0, sizeof *ret);
        ret->r = rig_begin_exec(id, argv, SHIM_EXEC_CAPTURE, timeout_msec, cap, &request, &m);
        if (ret->r < 0) {
                ret->kind = m.m.kind;
                snprintf(ret->text, sizeof ret->text, "%s", m.text);
                return;
        }
        rig_wait(SHIM_EV_EXEC_EXITED, id, request, &m);
        ret->exit_code = (int)m.m.value;
        ret->timed_out = m.m.flags & SHIM_EXEC_TIMED_OUT;
        ret->len = (size_t)m.m.value2;
        if (m.n_fds == 1) {
                CHECK(read(m.fds[0], ret->output, sizeof ret->output - 1) >= 0);
                close(m.fds[0]);
        }
}
