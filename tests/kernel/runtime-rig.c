#include "tests/kernel/runtime-rig.h"

#include <errno.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/text.h"
#include "runtime/image-store.h"
#include "tests/kernel/netns.h"

#define WAIT_USEC (45 * USEC_PER_SEC) /* generous: the machine may be busy */

struct runtime *rig;
sd_event *rig_event;
char rig_dir[64], rig_network[64] = "10.99.0.0/24";
const char rig_image_id[] = "sha256:busybox";
unsigned rig_container_changes, rig_sandbox_changes;
char rig_last_changed[RUNTIME_ID_SIZE];
static char root_group[64];

/* ---- the image store's part that the runtime needs, with one image in it ---- */

struct image_store {
        int layer_dir;
        int held, holds[3]; /* altogether; of each image */
};

static struct image_store *store;

int image_store_new(_unused_ sd_event *event, _unused_ const struct runtime_options *options,
                    _unused_ void (*changed)(void *userdata), _unused_ void *userdata,
                    struct image_store **ret, _unused_ struct err *err)
{
        _cleanup_free_ char *path = text_printf("%s/image", rig_dir);

        *ret = store = calloc(1, sizeof **ret);
        (*ret)->layer_dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        return 0;
}

struct image_store *image_store_free(struct image_store *s)
{
        if (s) {
                CHECK_INT(s->held, 0); /* every container that held an image let go of it */
                close(s->layer_dir);
                free(s);
        }
        return NULL;
}

static const struct {
        const char *id, *layers; /* topmost first */
} images[] = {
        { rig_image_id, "busybox" },
        { "sha256:data", "top base" },
        { "sha256:base", "base" },
};

/* -1: no such image. */
static int index_of(const char *image_id)
{
        for (size_t i = 0; i < ARRAY_SIZE(images); i++)
                if (streq(images[i].id, image_id))
                        return (int)i;
        return -1;
}

int rig_image_holds(const char *image_id)
{
        return store->holds[index_of(image_id)];
}

int image_store_layers(const struct image_store *s, const char *image_id, int *ret_layer_dir,
                       char ***ret_names, struct err *err)
{
        int i = index_of(image_id);

        if (i < 0)
                return err_set_kind(err, -ENOENT, ERR_IMAGE_NOT_PRESENT, "no such image");
        *ret_layer_dir = s->layer_dir;
        return strv_split(images[i].layers, " ", ret_names);
}

int image_store_hold(struct image_store *s, const char *image_id)
{
        int i = index_of(image_id);

        if (i < 0)
                return -ENOENT;
        s->holds[i]++;
        s->held++;
        return 0;
}

void image_store_release(struct image_store *s, const char *image_id)
{
        s->holds[index_of(image_id)]--;
        s->held--;
}

bool image_store_is_removing(_unused_ const struct image_store *s)
{
        return false;
}

/* ---- once per program ---- */

static void make_dir(const char *name)
{
        _cleanup_free_ char *path = text_printf("%s/%s", rig_dir, name);

        CHECK(mkdir(path, 0755) == 0);
}

static void make_image(void)
{
        static const char *const applets[] = { "sh",    "cat",   "echo", "sleep",    "true",
                                               "false", "mount", "id",   "hostname", "nc",
                                               "kill",  "ls",    "ip",   "unshare",  "touch",
                                               "ping",  "head",  "yes",  "env",      "seq",
                                               "ps",    "wc",    "grep", "chmod",    "mkdir",
                                               "rm",    "dd",    "stat", "usleep",   "readlink" };
        _cleanup_free_ char *to = text_printf("%s/image/busybox/bin/busybox", rig_dir);
        _cleanup_free_ char *data = NULL;
        size_t n;

        make_dir("image");
        make_dir("image/busybox");
        make_dir("image/busybox/bin");
        make_dir("image/busybox/etc");
        make_dir("image/busybox/tmp");
        if (fs_read_at(AT_FDCWD, "/bin/busybox", 16 << 20, &data, &n) < 0)
                check_skip_all("needs /bin/busybox (package busybox-static)");
        CHECK(fs_replace_at(AT_FDCWD, to, data, n, 0755, false) == 0);
        for (size_t i = 0; i < ARRAY_SIZE(applets); i++) {
                _cleanup_free_ char *link = text_printf("%s/image/busybox/bin/%s", rig_dir,
                                                        applets[i]);

                CHECK(symlink("busybox", link) == 0);
        }
}

/* Two layers: base/{dir/file, gone, out -> /dir}, top/{dir/more, tool}, which takes "gone" away. */
static void make_data_image(void)
{
        static const char script[] = "#!/bin/sh\necho ran\n";
        _cleanup_free_ char *image = text_printf("%s/image", rig_dir);
        _cleanup_close_ int fd = open(image, O_PATH | O_DIRECTORY | O_CLOEXEC);

        make_dir("image/base");
        make_dir("image/base/dir");
        make_dir("image/top");
        make_dir("image/top/dir");
        CHECK(fs_replace_at(fd, "base/dir/file", "base", 4, 0644, false) == 0);
        CHECK(fs_replace_at(fd, "base/gone", "", 0, 0644, false) == 0);
        CHECK(symlinkat("/dir", fd, "base/out") == 0);
        CHECK(fs_replace_at(fd, "top/dir/more", "top", 3, 0644, false) == 0);
        CHECK(fs_replace_at(fd, "top/tool", script, sizeof script - 1, 0755, false) == 0);
        CHECK(mknodat(fd, "top/gone", S_IFCHR, 0) == 0);
}

static void clear_away(void);
static pid_t main_pid;

/* Shims and containers outlive a test that fails or gives up half-way, but not the program. */
static void remove_tmpfs(void)
{
        if (getpid() != main_pid)
                return;
        clear_away();
        if (umount2(rig_dir, MNT_DETACH) == 0)
                rmdir(rig_dir);
}

static int open_cgroups(void)
{
        int fd = open("/sys/fs/cgroup/unified", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        return fd >= 0 ? fd : open("/sys/fs/cgroup", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void make_world(void)
{
        if (geteuid() != 0)
                check_skip_all("needs root");
        netns_enter_fresh();
        if (fs_write_kernel_at(AT_FDCWD, "/proc/sys/net/ipv4/ip_forward", "1") < 0)
                check_skip_all("cannot forward in a network namespace");
        if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
                check_skip_all("cannot make a mount namespace");
        snprintf(rig_dir, sizeof rig_dir, "/tmp/skiff-rig-XXXXXX");
        CHECK(mkdtemp(rig_dir));
        CHECK(mount("skiff-rig", rig_dir, "tmpfs", 0, "mode=755") == 0);
        main_pid = getpid();
        atexit(remove_tmpfs);
        snprintf(root_group, sizeof root_group, "/skiff-rig-%d", getpid());
        make_image();
        make_data_image();
        make_dir("log");
        CHECK(sd_event_new(&rig_event) >= 0);
        /* shims outlive runtime_free(), not this program */
        prctl(PR_SET_CHILD_SUBREAPER, 1);
        log_open("test", LOG_WARNING);
}

/* ---- a runtime ---- */

static void on_container_changed(const char *id, _unused_ void *userdata)
{
        rig_container_changes++;
        snprintf(rig_last_changed, sizeof rig_last_changed, "%s", id);
}

static void on_sandbox_changed(const char *id, _unused_ void *userdata)
{
        rig_sandbox_changes++;
        snprintf(rig_last_changed, sizeof rig_last_changed, "%s", id);
}

static bool is_ready;

static void on_ready(_unused_ void *userdata)
{
        is_ready = true;
}

void rig_wait(const bool *done)
{
        usec_t deadline = now_monotonic() + WAIT_USEC;

        while (!*done) {
                if (now_monotonic() > deadline)
                        fail_msg("nothing happened for %d s", (int)(WAIT_USEC / USEC_PER_SEC));
                CHECK(sd_event_run(rig_event, 100 * USEC_PER_MSEC) >= 0);
        }
}

void rig_idle(unsigned msec)
{
        usec_t end = now_monotonic() + msec * USEC_PER_MSEC, now;

        while ((now = now_monotonic()) < end)
                CHECK(sd_event_run(rig_event, end - now) >= 0);
}

void rig_take_up(void)
{
        static const struct runtime_events events = {
                .on_container_changed = on_container_changed,
                .on_sandbox_changed = on_sandbox_changed,
        };
        _cleanup_free_ char *run = text_printf("%s/run", rig_dir),
                            *state_dir = text_printf("%s/state", rig_dir);
        struct runtime_options options = {
                .run_dir = run,
                .state_dir = state_dir,
                .libexec_dir = SHIM_DIR,
                .cgroup_root = root_group,
                .instance = "rig",
                .log_max_size = 1 << 20,
                .log_max_files = 3,
        };
        _cleanup_close_ int cgroups = open_cgroups();
        _cleanup_err_ struct err err = { 0 };
        int r;

        CHECK(mkdirat(cgroups, root_group + 1, 0755) == 0 || errno == EEXIST);
        is_ready = false;
        r = runtime_new(rig_event, &options, &events, on_ready, NULL, &rig, &err);
        if (r < 0)
                fail_msg("runtime_new: %s", err_text(&err));
        if (rig_network[0] && runtime_set_pod_cidrs(rig, rig_network, &err) < 0)
                fail_msg("%s", err_text(&err));
        rig_wait(&is_ready);
}

void rig_let_go(void)
{
        rig = runtime_free(rig);
}

void rig_restart(void)
{
        rig_let_go();
        rig_take_up();
}

static void remove_group_tree(int dir_fd, const char *name)
{
        _cleanup_close_ int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_strv_ char **names = NULL;

        if (fd < 0)
                return;
        fs_list_at(fd, ".", &names);
        STRV_FOREACH (child, names)
                remove_group_tree(fd, *child);
        unlinkat(dir_fd, name, AT_REMOVEDIR);
}

/* After a test that failed half-way. The groups go too: a process that is cloned into one which was
 * ever killed dies at once (Linux 6.14 and later). */
static void clear_away(void)
{
        _cleanup_close_ int fd = open_cgroups(), group = openat(fd, root_group + 1, O_DIRECTORY);
        _cleanup_free_ char *state_dir = text_printf("%s/state", rig_dir),
                            *run = text_printf("%s/run", rig_dir);

        if (rig)
                rig_let_go();
        if (group < 0)
                return;
        fs_write_kernel_at(group, "cgroup.kill", "1");
        while (waitpid(-1, NULL, 0) > 0)
                ;
        fs_remove_tree_at(AT_FDCWD, state_dir);
        fs_remove_tree_at(AT_FDCWD, run);
        remove_group_tree(fd, root_group + 1);
        snprintf(rig_network, sizeof rig_network, "10.99.0.0/24");
}

void rig_up(void)
{
        struct oci_resources r;

        if (!rig_event)
                make_world();
        clear_away();
        rig_container_changes = rig_sandbox_changes = 0;
        rig_take_up();
        oci_resources_init(&r);
        CHECK(runtime_cgroup_apply(rig, "kubepods/pod1", &r, NULL) == 0);
}

static void collect_id(const struct sandbox_status *s, void *userdata)
{
        CHECK(strv_append(userdata, s->id) == 0);
}

static void check_empty(const char *name)
{
        _cleanup_free_ char *path = text_printf("%s/%s", rig_dir, name);
        _cleanup_strv_ char **names = NULL;

        CHECK(fs_list_at(AT_FDCWD, path, &names) == 0);
        for (int i = 0; names && i < 1000; i++) { /* the trash takes its time */
                rig_idle(10);
                names = strv_free(names);
                CHECK(fs_list_at(AT_FDCWD, path, &names) == 0);
        }
        if (names)
                fail_msg("%s is left in %s", names[0], path);
}

/* Shims that are gone, and what they left to us as a subreaper. */
static void reap(void)
{
        for (int i = 0; i < 1000; i++) {
                pid_t pid = waitpid(-1, NULL, WNOHANG);

                if (pid < 0 && errno == ECHILD)
                        return;
                if (pid <= 0)
                        usleep(10000);
        }
        fail_msg("a child process is left");
}

static void remove_groups(void)
{
        _cleanup_close_ int fd = open_cgroups();
        _cleanup_free_ char *shims = text_printf("%s/skiff-shims", root_group + 1);
        struct stat st;

        CHECK(unlinkat(fd, shims, AT_REMOVEDIR) == 0);
        CHECK(unlinkat(fd, root_group + 1, AT_REMOVEDIR) == 0);
        CHECK(fstatat(fd, root_group + 1, &st, 0) < 0);
}

void rig_down(void)
{
        _cleanup_strv_ char **ids = NULL;
        _cleanup_free_ char *state_dir = text_printf("%s/state", rig_dir);
        int r = -EAGAIN;

        sandbox_foreach(rig, collect_id, &ids);
        STRV_FOREACH (id, ids) {
                CHECK_INT(rig_stop(*id).r, 0);
                CHECK(sandbox_remove(rig, *id, NULL) == 0);
        }
        for (int i = 0; i < 1000 && r == -EAGAIN; i++) {
                r = runtime_cgroup_remove(rig, "kubepods", NULL);
                if (r == -EAGAIN)
                        rig_idle(10);
        }
        CHECK_INT(r, 0);
        check_empty("state/sandboxes");
        check_empty("state/containers");
        check_empty("state/network/addresses");
        check_empty("state/trash");
        check_empty("run/shims");
        rig_let_go();
        reap();
        remove_groups();
        CHECK(fs_remove_tree_at(AT_FDCWD, state_dir) == 0);
}

/* ---- calls that wait ---- */

static void answered(struct rig_answer *a, int r, const char *id, const struct err *err)
{
        a->done = true;
        a->r = r;
        snprintf(a->id, sizeof a->id, "%s", r == 0 && id ? id : "");
        if (r < 0) {
                a->kind = err->kind;
                snprintf(a->text, sizeof a->text, "%s", err_text(err));
        }
}

static void on_id(int r, const char *id, const struct err *err, void *userdata)
{
        answered(userdata, r, id, err);
}

static void on_done(int r, const struct err *err, void *userdata)
{
        answered(userdata, r, NULL, err);
}

struct rig_answer rig_run_sandbox(const struct sandbox_config *config)
{
        struct sandbox_config plain = { .hostname = "pod", .cgroup_parent = "kubepods/pod1" };
        _cleanup_err_ struct err err = { 0 };
        struct rig_answer a = { 0 };
        int r = sandbox_run(rig, config ? config : &plain, on_id, &a, NULL, &err);

        if (r < 0)
                answered(&a, r, NULL, &err);
        rig_wait(&a.done);
        return a;
}

struct rig_answer rig_create_from(const char *sandbox_id, const struct container_config *config)
{
        _cleanup_err_ struct err err = { 0 };
        struct rig_answer a = { 0 };
        int r = container_create(rig, sandbox_id, config, on_id, &a, NULL, &err);

        if (r < 0)
                answered(&a, r, NULL, &err);
        rig_wait(&a.done);
        oci_spec_done((struct oci_spec *)config->spec);
        return a;
}

struct rig_answer rig_create(const char *sandbox_id, struct oci_spec *spec)
{
        static unsigned n;
        _cleanup_free_ char *log = text_printf("%s/log/%u/0.log", rig_dir, n++);
        const struct container_config config = {
                .image_id = spec->root_path ? NULL : rig_image_id,
                .image_name = "busybox",
                .spec = spec,
                .log_path = log,
        };

        return rig_create_from(sandbox_id, &config);
}

struct rig_answer rig_start(const char *id)
{
        _cleanup_err_ struct err err = { 0 };
        struct rig_answer a = { 0 };
        int r = container_start(rig, id, on_done, &a, NULL, &err);

        if (r < 0)
                answered(&a, r, NULL, &err);
        rig_wait(&a.done);
        return a;
}

struct rig_answer rig_stop(const char *sandbox_id)
{
        _cleanup_err_ struct err err = { 0 };
        struct rig_answer a = { 0 };
        int r = sandbox_stop(rig, sandbox_id, on_done, &a, NULL, &err);

        if (r < 0)
                answered(&a, r, NULL, &err);
        rig_wait(&a.done);
        return a;
}

const char *rig_begin(const char *sandbox_id, struct oci_spec *spec)
{
        static char ids[32][RUNTIME_ID_SIZE];
        static unsigned at;
        char *id = ids[at++ % ARRAY_SIZE(ids)];
        struct rig_answer a = rig_create(sandbox_id, spec);

        if (a.r < 0)
                fail_msg("create: %s", a.text);
        memcpy(id, a.id, RUNTIME_ID_SIZE);
        a = rig_start(id);
        if (a.r < 0)
                fail_msg("start: %s", a.text);
        return id;
}

const char *rig_begin_shell(const char *sandbox_id, const char *script)
{
        struct oci_spec spec;

        rig_make_spec(&spec, script);
        return rig_begin(sandbox_id, &spec);
}

const struct container_status *rig_wait_exit(const char *id)
{
        usec_t deadline = now_monotonic() + WAIT_USEC;

        for (;;) {
                const struct container_status *c = container_find(rig, id);

                CHECK(c);
                if (c->state == CONTAINER_EXITED)
                        return c;
                if (now_monotonic() > deadline)
                        fail_msg("container %.12s does not end", id);
                CHECK(sd_event_run(rig_event, 100 * USEC_PER_MSEC) >= 0);
        }
}

void rig_make_spec(struct oci_spec *s, const char *script)
{
        static const char *const masked[] = { "/proc/kcore", "/proc/keys", "/sys/firmware" };
        static const char *const readonly[] = { "/proc/sys", "/proc/sysrq-trigger" };
        const char *argv[] = { "/bin/sh", "-c", script };
        const uint64_t caps = UINT64_C(0xa80425fb);

        oci_spec_init(s);
        for (size_t i = 0; i < ARRAY_SIZE(argv); i++)
                CHECK(strv_append(&s->process.args, argv[i]) == 0);
        CHECK(strv_append(&s->process.env, "PATH=/bin") == 0);
        s->process.cwd = strdup("/");
        s->process.cap_bounding = s->process.cap_effective = s->process.cap_permitted = caps;
        for (int i = OCI_NS_PID; i <= OCI_NS_CGROUP; i++)
                s->namespaces[i].present = true;
        CHECK(oci_spec_add_mount(s, "/proc", "proc", "proc", "nosuid,noexec,nodev") == 0);
        CHECK(oci_spec_add_mount(s, "/dev", "tmpfs", "tmpfs",
                                 "nosuid,noexec,strictatime,mode=755,size=65536k") == 0);
        CHECK(oci_spec_add_mount(s, "/dev/pts", "devpts", "devpts",
                                 "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5") == 0);
        CHECK(oci_spec_add_mount(s, "/dev/shm", "tmpfs", "shm", "nosuid,noexec,nodev") == 0);
        CHECK(oci_spec_add_mount(s, "/dev/mqueue", "mqueue", "mqueue", "nosuid,noexec,nodev") == 0);
        CHECK(oci_spec_add_mount(s, "/sys", "sysfs", "sysfs", "nosuid,noexec,nodev,ro") == 0);
        CHECK(oci_spec_add_mount(s, "/sys/fs/cgroup", "cgroup", "cgroup",
                                 "nosuid,noexec,nodev,relatime,ro") == 0);
        for (size_t i = 0; i < ARRAY_SIZE(masked); i++)
                CHECK(strv_append(&s->masked_paths, masked[i]) == 0);
        for (size_t i = 0; i < ARRAY_SIZE(readonly); i++)
                CHECK(strv_append(&s->readonly_paths, readonly[i]) == 0);
        CHECK(seccomp_runtime_default(caps, &s->seccomp, NULL) == 0);
}

const char *rig_log_of(const char *id)
{
        static char text[65536];
        const struct container_status *c = container_find(rig, id);
        _cleanup_free_ char *data = NULL;
        size_t n = 0;
        char *state_line = NULL;

        CHECK(c);
        text[0] = '\0';
        if (fs_read_at(AT_FDCWD, c->log_path, sizeof text, &data, NULL) < 0)
                return text;
        for (char *line = strtok_r(data, "\n", &state_line); line;
             line = strtok_r(NULL, "\n", &state_line)) {
                const char *rest = line;

                for (int i = 0; rest && i < 3; i++) { /* time, stream, tags */
                        rest = strchr(rest, ' ');
                        rest = rest ? rest + 1 : NULL;
                }
                CHECK(rest);
                n += (size_t)snprintf(text + n, sizeof text - n, "%s\n", rest);
        }
        return text;
}
