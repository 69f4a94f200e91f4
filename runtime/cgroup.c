/*
 * Theory of operation. root_fd is <v2 mount>/<root>. A directory's controllers are usable in its
 * children once they are named in its cgroup.subtree_control, so every group we make hands down all
 * it got, from the mount's top to the pod. A controller that cannot be handed down (bound to a v1
 * hierarchy, or the directory holds processes) is missing in the whole tree.
 *
 * A leaf can be removed when its last process is gone from it, which is a little after that process
 * was reaped; leaves that are still busy wait in .doomed and are tried again with growing pauses.
 */
#include "runtime/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include "base/fs.h"
#include "base/list.h"
#include "base/log.h"
#include "base/text.h"
#include "runtime/cgroup-detail.h"
#include "runtime/cgroup-devices.h"
#include "runtime/cgroup-systemd.h"
#include "runtime/cgroup-usage.h"

#define SHIMS_GROUP       "skiff-shims"
#define REMOVE_FIRST_USEC (5 * USEC_PER_MSEC)
#define REMOVE_MAX_USEC   (2 * USEC_PER_SEC)
#define REMOVE_GIVE_UP    (5 * USEC_PER_MINUTE)
#define DEPTH_MAX         64 /* of groups that a privileged container made below its own */

static const struct {
        const char *name, *without; /* @without: what it means; NULL: nobody need know */
} controllers[] = {
        { "cpu", "CPU weights and limits do not apply" },
        { "cpuset", "containers cannot be pinned to CPUs" },
        { "memory", "memory limits do not apply" },
        { "pids", "limits on the number of processes do not apply" },
        { "io", NULL },
        { "hugetlb", NULL },
        { "misc", NULL },
};
enum { N_CONTROLLERS = ARRAY_SIZE(controllers) };

struct cgroup_tree {
        sd_event *event; /* own reference */
        bool is_systemd;
        char *prefix; /* owned; of slices: what the root is below the mount, or "" */
        int root_fd, shims_fd;
        bool is_hybrid;
        bool usable[N_CONTROLLERS];
        char **missing;                 /* owned */
        struct device_filters *filters; /* owned */
        struct list doomed;
        sd_event_source *doomed_timer;
        struct backoff doomed_backoff;
};

struct doomed {
        struct list_node node;
        usec_t since_usec;
        char path[]; /* in the hierarchy */
};

static bool is_cgroup2(int fd)
{
        struct statfs st;

        return fstatfs(fd, &st) == 0 && st.f_type == CGROUP2_SUPER_MAGIC;
}

/* The unified hierarchy, or the v2 side of a hybrid one. */
static int open_mount(bool *ret_is_hybrid, struct err *err)
{
        static const char *const places[] = { "/sys/fs/cgroup", "/sys/fs/cgroup/unified" };

        for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
                _cleanup_close_ int fd = open(places[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);

                if (fd >= 0 && is_cgroup2(fd)) {
                        *ret_is_hybrid = i > 0;
                        return TAKE_FD(fd);
                }
        }
        return err_set(err, -ENODEV,
                       "no cgroup v2 hierarchy at '/sys/fs/cgroup' or '/sys/fs/cgroup/unified'");
}

static bool has_word(const char *words, const char *word)
{
        size_t n = strlen(word);

        for (const char *at = words; (at = strstr(at, word)); at += n)
                if ((at == words || at[-1] == ' ') && (!at[n] || at[n] == ' ' || at[n] == '\n'))
                        return true;
        return false;
}

/*
 * Hands down what the directory has. One write per controller: one that fails keeps no other. On a
 * hybrid hierarchy what containers can do without is left alone: somebody may want it on v1.
 */
static int delegate(const struct cgroup_tree *t, int dir_fd)
{
        _cleanup_free_ char *have = NULL, *given = NULL;
        int r = fs_read_line_at(dir_fd, "cgroup.controllers", &have);

        if (r == 0)
                r = fs_read_line_at(dir_fd, "cgroup.subtree_control", &given);
        if (r < 0)
                return r;
        for (size_t i = 0; i < N_CONTROLLERS; i++) {
                char text[16];

                if (!has_word(have, controllers[i].name) || has_word(given, controllers[i].name) ||
                    (t->is_hybrid && !controllers[i].without))
                        continue;
                snprintf(text, sizeof text, "+%s", controllers[i].name);
                fs_write_kernel_at(dir_fd, "cgroup.subtree_control", text);
        }
        return 0;
}

/* Names that cgroupfs and we can both live with: no "..", nothing empty, no kernel file. */
static bool is_path(const char *path)
{
        for (const char *p = path;;) {
                size_t n = strcspn(p, "/");

                if (n == 0 || n > 255 || p[0] == '.' || strncmp(p, "cgroup.", 7) == 0)
                        return false;
                if (!p[n])
                        return true;
                p += n + 1;
        }
}

/* The kubelet's spelling from the mount on; owned. */
static int spell(const struct cgroup_tree *t, const char *path, char **ret, struct err *err)
{
        while (*path == '/')
                path++;
        if (!is_path(path))
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                    "cgroup '%s': expected a relative path without '..'", path);
        *ret = *t->prefix ? text_printf("%s/%s", t->prefix, path) : strdup(path);
        return *ret ? 0 : err_sys(err, -ENOMEM, "name cgroup '%s'", path);
}

/* Where @path lies below root_fd; owned. */
static int translate(const struct cgroup_tree *t, const char *path, char **ret, struct err *err)
{
        _cleanup_free_ char *spelt = NULL;
        int r = spell(t, path, &spelt, err);

        if (r < 0)
                return r;
        *ret = t->is_systemd ? cgroup_systemd_slice_path(spelt) : TAKE_PTR(spelt);
        return *ret ? 0 : err_sys(err, -ENOMEM, "name cgroup '%s'", path);
}

static int translate_container(const struct cgroup_tree *t, const char *parent, const char *id,
                               char **ret, struct err *err)
{
        _cleanup_free_ char *dir = NULL;
        int r = translate(t, parent, &dir, err);

        if (r < 0)
                return r;
        *ret = t->is_systemd ? text_printf("%s/skiff-%s.scope", dir, id)
                             : text_printf("%s/%s", dir, id);
        return *ret ? 0 : err_sys(err, -ENOMEM, "name cgroup of container");
}

/* Makes each directory of @path below @from_fd, handing controllers down on the way. */
/* A group below another; -ENOENT unless it is there or @make. */
static int open_path(const struct cgroup_tree *t, int from_fd, const char *path, bool make,
                     struct err *err)
{
        _cleanup_close_ int at = openat(from_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_free_ char *copy = strdup(path);
        char *state = NULL;

        if (at < 0)
                return err_sys(err, -errno, "open cgroup");
        if (!copy)
                return err_sys(err, -ENOMEM, "make cgroup");
        for (char *name = strtok_r(copy, "/", &state); name; name = strtok_r(NULL, "/", &state)) {
                int next;

                if (make && mkdirat(at, name, 0755) < 0 && errno != EEXIST)
                        return err_sys(err, -errno, "make cgroup '%s'", path);
                next = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
                if (next < 0)
                        return err_sys(err, -errno, "open cgroup '%s'", path);
                safe_close(at);
                at = next;
                delegate(t, at);
        }
        return TAKE_FD(at);
}

static void note_controllers(struct cgroup_tree *t)
{
        _cleanup_free_ char *given = NULL;

        if (fs_read_line_at(t->root_fd, "cgroup.subtree_control", &given) < 0)
                return;
        for (size_t i = 0; i < N_CONTROLLERS; i++) {
                t->usable[i] = has_word(given, controllers[i].name);
                if (!t->usable[i] && controllers[i].without)
                        strv_consume(&t->missing,
                                     text_printf("cgroup controller '%s': %s", controllers[i].name,
                                                 controllers[i].without));
        }
}

static int open_root(struct cgroup_tree *t, const char *root, struct err *err)
{
        _cleanup_close_ int mount_fd = open_mount(&t->is_hybrid, err);
        const char *path = root;

        if (mount_fd < 0)
                return mount_fd;
        while (*path == '/')
                path++;
        if (*path && !is_path(path))
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                    "cgroup root '%s': expected a path without '..'", root);
        delegate(t, mount_fd);
        t->prefix = strdup(t->is_systemd ? path : "");
        if (!t->prefix)
                return err_sys(err, -ENOMEM, "open cgroups");
        t->root_fd = *path && !t->is_systemd ? open_path(t, mount_fd, path, false, err)
                                             : TAKE_FD(mount_fd);
        if (t->root_fd == -ENOENT) /* mistyped, or another hierarchy's: never made by us */
                return err_set_kind(err, -ENOENT, ERR_BAD_INPUT,
                                    "cgroup root '%s': expected a cgroup that exists", root);
        return t->root_fd < 0 ? t->root_fd : 0;
}

/* A group that hands controllers down may hold no process itself: this one must not. */
static int make_shims_group(struct cgroup_tree *t, struct err *err)
{
        if (mkdirat(t->root_fd, SHIMS_GROUP, 0755) < 0 && errno != EEXIST)
                return err_sys(err, -errno, "make cgroup '%s'", SHIMS_GROUP);
        t->shims_fd = openat(t->root_fd, SHIMS_GROUP,
                             O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        return t->shims_fd < 0 ? err_sys(err, -errno, "open cgroup '%s'", SHIMS_GROUP) : 0;
}

int cgroup_tree_new(sd_event *event, enum cgroup_driver driver, const char *root,
                    struct cgroup_tree **ret, struct err *err)
{
        _cleanup_(cgroup_tree_freep)
        struct cgroup_tree *t = calloc(1, sizeof *t);
        int r;

        if (!t)
                return err_sys(err, -ENOMEM, "open cgroups");
        *t = (struct cgroup_tree){
                .event = sd_event_ref(event),
                .is_systemd = driver == CGROUP_DRIVER_SYSTEMD,
                .root_fd = -1,
                .shims_fd = -1,
                .filters = device_filters_new(),
                .doomed_backoff = { REMOVE_FIRST_USEC, REMOVE_MAX_USEC, 0 },
        };
        list_init(&t->doomed);
        if (!t->filters)
                return err_sys(err, -ENOMEM, "open cgroups");
        r = t->is_systemd ? cgroup_systemd_check(err) : 0;
        if (r == 0)
                r = open_root(t, root, err);
        if (r < 0)
                return r;
        note_controllers(t);
        r = make_shims_group(t, err);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(t);
        return 0;
}

struct cgroup_tree *cgroup_tree_free(struct cgroup_tree *t)
{
        struct doomed *d, *next;

        if (!t)
                return NULL;
        LIST_FOREACH_SAFE (d, next, &t->doomed, node)
                free(d);
        sd_event_source_disable_unref(t->doomed_timer);
        free(t->prefix);
        safe_close(t->root_fd);
        safe_close(t->shims_fd);
        strv_free(t->missing);
        device_filters_free(t->filters);
        sd_event_unref(t->event);
        free(t);
        return NULL;
}

char *const *cgroup_tree_missing(const struct cgroup_tree *t)
{
        return t->missing;
}

int cgroup_tree_shims_fd(const struct cgroup_tree *t)
{
        return t->shims_fd;
}

static bool is_usable(const struct cgroup_tree *t, const char *controller)
{
        for (size_t i = 0; i < N_CONTROLLERS; i++)
                if (streq(controllers[i].name, controller))
                        return t->usable[i];
        return false;
}

static int write_values(const struct cgroup_tree *t, int fd, const struct oci_resources *res,
                        enum cgroup_level level, struct err *err)
{
        struct cgroup_value values[CGROUP_VALUES_MAX];
        int n = cgroup_values(res, level, values, err);

        for (int i = 0; i < n; i++) {
                const struct cgroup_value *v = &values[i];
                const char *text = v->long_text ? v->long_text : v->text;
                int r;

                if (!is_usable(t, v->controller))
                        continue;
                r = fs_write_kernel_at(fd, v->file, text);
                if (r == -ENOENT && v->optional)
                        continue;
                if (r < 0)
                        return err_sys(err, r, "write '%s' to %s", text, v->file);
        }
        return n < 0 ? n : 0;
}

int cgroup_apply(struct cgroup_tree *t, const char *path, const struct oci_resources *res,
                 struct err *err)
{
        _cleanup_free_ char *dir = NULL, *spelt = NULL;
        _cleanup_close_ int fd = -1;
        int r = translate(t, path, &dir, err);

        if (r == 0 && t->is_systemd) {
                r = spell(t, path, &spelt, err);
                if (r == 0)
                        r = cgroup_systemd_apply_slice(spelt, res, err);
        }
        if (r < 0)
                return r;
        fd = open_path(t, t->root_fd, dir, true, err);
        if (fd < 0)
                return fd;
        r = write_values(t, fd, res, CGROUP_LEVEL_GROUP, err);
        return r < 0 ? err_wrap(err, r, "cgroup '%s'", path) : 0;
}

bool cgroup_exists(const struct cgroup_tree *t, const char *path)
{
        _cleanup_free_ char *dir = NULL;
        struct stat st;

        return translate(t, path, &dir, NULL) == 0 &&
               fstatat(t->root_fd, dir, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Removes the groups below @fd, deepest first. */
static int remove_children(int fd, int depth)
{
        _cleanup_strv_ char **names = NULL;
        int r = fs_list_at(fd, ".", &names);

        if (r < 0 || depth == DEPTH_MAX)
                return r < 0 ? r : -ELOOP;
        STRV_FOREACH (name, names) {
                _cleanup_close_ int child = -1;

                if (strchr(*name, '.') && unlinkat(fd, *name, AT_REMOVEDIR) < 0 && errno == ENOTDIR)
                        continue; /* a kernel file */
                child = openat(fd, *name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
                if (child < 0)
                        continue;
                r = remove_children(child, depth + 1);
                if (r == 0 && unlinkat(fd, *name, AT_REMOVEDIR) < 0 && errno != ENOENT)
                        r = -errno;
                if (r < 0)
                        return r;
        }
        return 0;
}

static int remove_tree(int root_fd, const char *path)
{
        _cleanup_close_ int fd = -1;

        if (unlinkat(root_fd, path, AT_REMOVEDIR) == 0 || errno == ENOENT)
                return 0;
        if (errno != EBUSY)
                return -errno;
        fd = openat(root_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return errno == ENOENT ? 0 : -errno;
        remove_children(fd, 0);
        if (unlinkat(root_fd, path, AT_REMOVEDIR) == 0 || errno == ENOENT)
                return 0;
        return -errno;
}

static int kill_all(int root_fd, const char *path)
{
        _cleanup_close_ int fd = openat(root_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (fd < 0)
                return errno == ENOENT ? 0 : -errno;
        /* reaches forks not seen yet, which walking cgroup.procs would race (Linux 5.14) */
        return fs_write_kernel_at(fd, "cgroup.kill", "1");
}

int cgroup_remove(struct cgroup_tree *t, const char *path, struct err *err)
{
        _cleanup_free_ char *dir = NULL, *spelt = NULL;
        int r = translate(t, path, &dir, err);

        if (r == 0)
                r = spell(t, path, &spelt, err);
        if (r < 0)
                return r;
        r = kill_all(t->root_fd, dir);
        if (r == 0 && t->is_systemd) { /* it removes the directory, and what was left below */
                r = cgroup_systemd_stop_slice(spelt, err);
                if (r < 0)
                        return r;
        }
        if (r == 0)
                r = remove_tree(t->root_fd, dir);
        if (r == -EBUSY)
                return err_set(err, -EAGAIN, "cgroup '%s': processes in it are still dying", path);
        return r < 0 ? err_sys(err, r, "remove cgroup '%s'", path) : 0;
}

/* The group at @path below root_fd; -errno. */
static int open_group(const struct cgroup_tree *t, const char *path)
{
        int fd = openat(t->root_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

        return fd < 0 ? -errno : fd;
}

static int make_leaf(struct cgroup_tree *t, const char *parent, const char *id, const char *path,
                     const struct oci_resources *res, pid_t *ret_placeholder, struct err *err)
{
        _cleanup_free_ char *spelt = NULL;
        int r;

        if (t->is_systemd) {
                r = spell(t, parent, &spelt, err);
                return r < 0 ? r : cgroup_systemd_start_scope(spelt, id, res, ret_placeholder, err);
        }
        if (mkdirat(t->root_fd, path, 0755) < 0 && errno != EEXIST)
                return err_sys(err, -errno, "make cgroup '%s'", path);
        return 0;
}

int cgroup_create_container(struct cgroup_tree *t, const char *parent, const char *id,
                            const struct oci_resources *res, struct cgroup_leaf *ret,
                            struct err *err)
{
        _cleanup_(cgroup_leaf_done)
        struct cgroup_leaf leaf = { .fd = -1 };
        _cleanup_free_ char *path = NULL;
        int r = translate_container(t, parent, id, &path, err);

        if (r == 0)
                r = make_leaf(t, parent, id, path, res, &leaf.placeholder, err);
        if (r < 0)
                return r;
        leaf.fd = open_group(t, path);
        if (leaf.fd < 0)
                r = err_sys(err, leaf.fd, "open cgroup '%s'", path);
        if (r == 0)
                r = write_values(t, leaf.fd, res, CGROUP_LEVEL_CONTAINER, err);
        if (r == 0)
                r = device_filters_attach(t->filters, leaf.fd, res->devices, res->n_devices, err);
        if (r < 0) {
                cgroup_leaf_done(&leaf);
                cgroup_remove_container(t, parent, id);
                return r;
        }
        *ret = leaf;
        leaf = (struct cgroup_leaf){ .fd = -1 };
        return 0;
}

int cgroup_update_container(struct cgroup_tree *t, const char *parent, const char *id,
                            const struct oci_resources *res, struct err *err)
{
        _cleanup_free_ char *path = NULL;
        _cleanup_close_ int fd = -1;
        int r = translate_container(t, parent, id, &path, err);

        if (r == 0 && t->is_systemd)
                r = cgroup_systemd_update_scope(id, res, err);
        if (r < 0)
                return r;
        fd = open_group(t, path);
        if (fd < 0)
                return err_sys(err, fd, "open cgroup '%s'", path);
        return write_values(t, fd, res, CGROUP_LEVEL_CONTAINER, err);
}

void cgroup_leaf_done(struct cgroup_leaf *leaf)
{
        cgroup_systemd_end_placeholder(leaf->placeholder);
        safe_close(leaf->fd);
        *leaf = (struct cgroup_leaf){ .fd = -1 };
}

int cgroup_kill_container(struct cgroup_tree *t, const char *parent, const char *id)
{
        _cleanup_free_ char *path = NULL;
        int r = translate_container(t, parent, id, &path, NULL);

        return r < 0 ? r : kill_all(t->root_fd, path);
}

static int on_doomed_due(sd_event_source *s, uint64_t due_usec, void *userdata);

static void arm_doomed(struct cgroup_tree *t)
{
        usec_t pause = backoff_next(&t->doomed_backoff);
        int r;

        if (t->doomed_timer) {
                r = sd_event_source_set_time_relative(t->doomed_timer, pause);
                if (r >= 0)
                        r = sd_event_source_set_enabled(t->doomed_timer, SD_EVENT_ONESHOT);
        } else {
                r = sd_event_add_time_relative(t->event, &t->doomed_timer, CLOCK_MONOTONIC, pause,
                                               ACCURACY_USEC, on_doomed_due, t);
        }
        if (r < 0)
                log_warn(r, "Failed to schedule the removal of cgroups");
}

static int on_doomed_due(_unused_ sd_event_source *s, uint64_t due_usec, void *userdata)
{
        struct cgroup_tree *t = userdata;
        struct doomed *d, *next;

        LIST_FOREACH_SAFE (d, next, &t->doomed, node) {
                int r = remove_tree(t->root_fd, d->path);

                if (r == -EBUSY && due_usec < d->since_usec + REMOVE_GIVE_UP)
                        continue;
                if (r < 0)
                        log_warn(r, "Failed to remove cgroup '%s', leaving it", d->path);
                list_remove(&d->node);
                free(d);
        }
        if (!list_is_empty(&t->doomed))
                arm_doomed(t);
        return 0;
}

static void remove_later(struct cgroup_tree *t, const char *path)
{
        struct doomed *d = malloc(sizeof *d + strlen(path) + 1);

        if (!d) {
                log_oom();
                return;
        }
        *d = (struct doomed){ .since_usec = now_monotonic() };
        memcpy(d->path, path, strlen(path) + 1);
        list_append(&t->doomed, &d->node);
        backoff_reset(&t->doomed_backoff);
        arm_doomed(t);
}

void cgroup_remove_container(struct cgroup_tree *t, const char *parent, const char *id)
{
        _cleanup_free_ char *path = NULL;
        int r;

        if (translate_container(t, parent, id, &path, NULL) < 0)
                return;
        r = remove_tree(t->root_fd, path);
        if (r == -EBUSY) {
                kill_all(t->root_fd, path);
                remove_later(t, path);
        } else if (r < 0) {
                log_warn(r, "Failed to remove cgroup '%s', leaving it", path);
        }
}

static int read_usage(const struct cgroup_tree *t, const char *path, struct runtime_usage *ret)
{
        _cleanup_close_ int fd = open_group(t, path);

        if (fd < 0)
                return fd;
        cgroup_usage_read(fd, ret);
        return 0;
}

static int read_detail(const struct cgroup_tree *t, const char *path, struct runtime_detail *ret)
{
        _cleanup_close_ int fd = open_group(t, path);
        int n;

        if (fd < 0)
                return fd;
        cgroup_detail_read(fd, ret);
        n = snprintf(ret->path, sizeof ret->path, "/%s", path);
        if (n < 0 || (size_t)n >= sizeof ret->path)
                ret->path[0] = '\0';
        return 0;
}

int cgroup_container_usage(const struct cgroup_tree *t, const char *parent, const char *id,
                           struct runtime_usage *ret)
{
        _cleanup_free_ char *path = NULL;
        int r = translate_container(t, parent, id, &path, NULL);

        return r < 0 ? r : read_usage(t, path, ret);
}

int cgroup_usage(const struct cgroup_tree *t, const char *path, struct runtime_usage *ret)
{
        _cleanup_free_ char *place = NULL;
        int r = translate(t, path, &place, NULL);

        return r < 0 ? r : read_usage(t, place, ret);
}

int cgroup_container_detail(const struct cgroup_tree *t, const char *parent, const char *id,
                            struct runtime_detail *ret)
{
        _cleanup_free_ char *path = NULL;
        int r = translate_container(t, parent, id, &path, NULL);

        return r < 0 ? r : read_detail(t, path, ret);
}

int cgroup_detail(const struct cgroup_tree *t, const char *path, struct runtime_detail *ret)
{
        _cleanup_free_ char *place = NULL;
        int r = translate(t, path, &place, NULL);

        return r < 0 ? r : read_detail(t, place, ret);
}

int cgroup_machine_detail(struct runtime_detail *ret)
{
        bool is_hybrid;
        _cleanup_close_ int mount_fd = open_mount(&is_hybrid, NULL);

        if (mount_fd < 0)
                return mount_fd;
        cgroup_detail_read(mount_fd, ret);
        memcpy(ret->path, "/", sizeof "/");
        return 0;
}

int cgroup_machine_usage(struct runtime_usage *ret)
{
        bool is_hybrid;
        _cleanup_close_ int mount_fd = open_mount(&is_hybrid, NULL);

        if (mount_fd < 0)
                return mount_fd;
        cgroup_usage_read_machine(mount_fd, ret);
        return 0;
}
