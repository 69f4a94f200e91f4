/*
 * The façade: opens everything in the order it depends on each other, and lets go in the reverse.
 *
 * A start observes instead of trusting: records say what there was, sockets who lives, the shims
 * themselves how their containers are. Readiness is told when all of them have answered, or after
 * two seconds without those that have not.
 */
#include "runtime/runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/text.h"
#include "base/trash.h"
#include "runtime/cgroup.h"
#include "runtime/container.h"
#include "runtime/host-port.h"
#include "runtime/image-store.h"
#include "runtime/runtime-internal.h"
#include "runtime/seccomp-store.h"
#include "runtime/source-guard.h"

#define READY_TIMEOUT_USEC (2 * USEC_PER_SEC)

int runtime_add_missing_feature(struct runtime *rt, const char *fmt, ...)
{
        char *text = NULL;
        va_list ap;
        int n;

        va_start(ap, fmt);
        n = vasprintf(&text, fmt, ap);
        va_end(ap);
        if (n < 0)
                return -ENOMEM;
        if (strv_contains(rt->missing_features, text)) {
                free(text);
                return 0;
        }
        log_warn(0, "This machine lacks %s", text);
        return strv_consume(&rt->missing_features, text);
}

char *const *runtime_missing_features(const struct runtime *rt)
{
        return rt->missing_features;
}

void runtime_make_id(char id[static RUNTIME_ID_SIZE])
{
        uint8_t bytes[(RUNTIME_ID_SIZE - 1) / 2];

        for (size_t at = 0;
             at < sizeof bytes;) { /* only blocks, or fails, before early boot ends */
                ssize_t n = getrandom(bytes + at, sizeof bytes - at, 0);

                at += n > 0 ? (size_t)n : 0;
        }
        hex_encode(bytes, sizeof bytes, id);
}

void runtime_notify_container(struct runtime *rt, const char *container_id)
{
        if (rt->is_ready && rt->events.on_container_changed)
                rt->events.on_container_changed(container_id, rt->userdata);
}

void runtime_notify_sandbox(struct runtime *rt, const char *sandbox_id)
{
        if (rt->is_ready && rt->events.on_sandbox_changed)
                rt->events.on_sandbox_changed(sandbox_id, rt->userdata);
}

void runtime_remove_directory(struct runtime *rt, int dir_fd, const char *name)
{
        int r = trash_put(rt->trash, dir_fd, name);

        if (r < 0)
                log_warn(r, "Failed to remove '%s', leaving it", name);
}

bool runtime_is_removing(const struct runtime *rt)
{
        return trash_is_busy(rt->trash) || image_store_is_removing(rt->images);
}

/* ---- ready ---- */

static int on_ready_due(_unused_ sd_event_source *s, _unused_ uint64_t usec, void *userdata)
{
        struct runtime *rt = userdata;

        rt->ready_source = sd_event_source_disable_unref(rt->ready_source);
        sandbox_give_up_waiting(rt);
        pod_network_settle(rt->network);
        container_sweep(rt);
        host_ports_restore(rt->host_ports);
        source_guard_restore(rt->source_guard);
        rt->is_ready = true;
        if (rt->ready)
                rt->ready(rt->userdata);
        return 0;
}

static int arm_ready(struct runtime *rt, usec_t in_usec)
{
        rt->ready_source = sd_event_source_disable_unref(rt->ready_source);
        return sd_event_add_time_relative(rt->event, &rt->ready_source, CLOCK_MONOTONIC, in_usec,
                                          ACCURACY_USEC, on_ready_due, rt);
}

void runtime_check_ready(struct runtime *rt)
{
        int r;

        if (rt->is_ready || !rt->ready_source || sandbox_is_any_awaited(rt))
                return;
        r = arm_ready(rt, 0);
        if (r < 0)
                log_error(r, "Failed to go on after the restart");
}

/* ---- new, free ---- */

static int copy_text(const char **member, struct err *err)
{
        char *copy = strdup_null(*member);

        if (*member && !copy)
                return err_sys(err, -ENOMEM, "copy options");
        *member = copy;
        return 0;
}

static const char **texts_of(struct runtime_options *o, size_t i)
{
        const char **texts[] = { &o->run_dir,     &o->state_dir, &o->libexec_dir,
                                 &o->cgroup_root, &o->instance,  &o->registries_file,
                                 &o->seccomp_dir };

        return i < ARRAY_SIZE(texts) ? texts[i] : NULL;
}

static int copy_options(struct runtime *rt, const struct runtime_options *options, struct err *err)
{
        struct runtime_options copy = *options;
        int r = 0;

        for (size_t i = 0; texts_of(&copy, i); i++) {
                int k = copy_text(texts_of(&copy, i), err);

                if (k < 0) {
                        *texts_of(&copy, i) = NULL; /* not ours */
                        r = k;
                }
        }
        rt->options = copy;
        return r;
}

static bool is_instance(const char *s)
{
        size_t n = s ? strlen(s) : 0;

        return n >= 1 && n <= 8 && strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789") == n;
}

static int check_options(const struct runtime_options *o, struct err *err)
{
        const struct {
                const char *name, *value;
        } directories[] = {
                { "run directory", o->run_dir },
                { "state directory", o->state_dir },
                { "libexec directory", o->libexec_dir },
        };

        for (size_t i = 0; i < ARRAY_SIZE(directories); i++)
                if (!directories[i].value || directories[i].value[0] != '/')
                        return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                            "%s '%s': expected an absolute path",
                                            directories[i].name,
                                            directories[i].value ? directories[i].value : "");
        if (!is_instance(o->instance))
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                    "instance '%s': expected 1 to 8 of a-z and 0-9",
                                    o->instance ? o->instance : "");
        return 0;
}

/* Locked as long as it is open: two of us would hand out everything twice. */
static int open_locked(const char *path, mode_t mode, struct err *err)
{
        _cleanup_close_ int fd = fs_open_dir(path, mode, err);

        if (fd < 0)
                return fd;
        if (flock(fd, LOCK_EX | LOCK_NB) < 0)
                return errno == EWOULDBLOCK
                               ? err_set(err, -EBUSY, "'%s' is in use by another skiffd", path)
                               : err_sys(err, -errno, "lock '%s'", path);
        return TAKE_FD(fd);
}

static int open_below(int dir_fd, const char *name, const char *parent, struct err *err)
{
        int r = fs_mkdir_p_at(dir_fd, name, 0700), fd;

        if (r < 0)
                return err_sys(err, r, "make '%s/%s'", parent, name);
        fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return fd < 0 ? err_sys(err, -errno, "open '%s/%s'", parent, name) : fd;
}

static int open_directories(struct runtime *rt, struct err *err)
{
        _cleanup_free_ char *boot_id = NULL;
        int r;

        rt->run_fd = open_locked(rt->options.run_dir, 0755, err);
        if (rt->run_fd < 0)
                return rt->run_fd;
        rt->state_fd = open_locked(rt->options.state_dir, 0700, err);
        if (rt->state_fd < 0)
                return rt->state_fd;
        rt->sandboxes_fd = open_below(rt->state_fd, "sandboxes", rt->options.state_dir, err);
        if (rt->sandboxes_fd < 0)
                return rt->sandboxes_fd;
        rt->containers_fd = open_below(rt->state_fd, "containers", rt->options.state_dir, err);
        if (rt->containers_fd < 0)
                return rt->containers_fd;
        rt->configs_fd = open_below(rt->run_fd, "configs", rt->options.run_dir, err);
        if (rt->configs_fd < 0)
                return rt->configs_fd;
        r = fs_read_line_at(AT_FDCWD, "/proc/sys/kernel/random/boot_id", &boot_id);
        if (r < 0)
                return err_sys(err, r, "read the kernel's boot id");
        snprintf(rt->boot_id, sizeof rt->boot_id, "%s", boot_id);
        return 0;
}

static int open_trash(struct runtime *rt, struct err *err)
{
        _cleanup_free_ char *path = text_printf("%s/trash", rt->options.state_dir);

        if (!path)
                return err_sys(err, -ENOMEM, "open the trash");
        return trash_new(rt->event, rt->state_fd, "trash", path, &rt->trash, err);
}

static int open_parts(struct runtime *rt, struct err *err)
{
        int r;

        rt->sandboxes = map_new();
        rt->containers = map_new();
        if (!rt->sandboxes || !rt->containers)
                return err_sys(err, -ENOMEM, "open the runtime");
        r = open_trash(rt, err);
        if (r == 0)
                r = cgroup_tree_new(rt->event, rt->options.cgroup_driver,
                                    rt->options.cgroup_root ? rt->options.cgroup_root : "/",
                                    &rt->cgroups, err);
        if (r < 0)
                return r;
        STRV_FOREACH (missing, cgroup_tree_missing(rt->cgroups))
                runtime_add_missing_feature(rt, "%s", *missing);
        r = seccomp_store_new(rt, &rt->seccomp, err);
        if (r == 0)
                r = shim_launcher_new(rt, &rt->launcher, err);
        if (r == 0)
                r = pod_network_new(rt, &rt->network, err);
        if (r == 0)
                r = host_ports_new(rt, &rt->host_ports, err);
        if (r == 0)
                r = source_guard_new(rt, &rt->source_guard, err);
        if (r == 0)
                r = image_store_new(rt->event, &rt->options, rt->events.on_image_changed,
                                    rt->userdata, &rt->images, err);
        return r;
}

int runtime_new(sd_event *event, const struct runtime_options *options,
                const struct runtime_events *events, void (*ready)(void *userdata), void *userdata,
                struct runtime **ret, struct err *err)
{
        _cleanup_(runtime_freep)
        struct runtime *rt = calloc(1, sizeof *rt);
        int r;

        if (!rt)
                return err_sys(err, -ENOMEM, "open the runtime");
        *rt = (struct runtime){
                .event = sd_event_ref(event),
                .events = *events,
                .userdata = userdata,
                .ready = ready,
                .run_fd = -1,
                .state_fd = -1,
                .sandboxes_fd = -1,
                .containers_fd = -1,
                .configs_fd = -1,
        };
        r = copy_options(rt, options, err);
        if (r == 0)
                r = check_options(&rt->options, err);
        if (r == 0)
                r = open_directories(rt, err);
        if (r == 0)
                r = open_parts(rt, err);
        if (r == 0)
                r = sandbox_load_all(rt, err);
        if (r == 0)
                r = container_load_all(rt, err);
        if (r == 0)
                r = arm_ready(rt, sandbox_is_any_awaited(rt) ? READY_TIMEOUT_USEC : 0);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(rt);
        return 0;
}

static void free_container(void *c)
{
        container_free(c);
}

static void free_sandbox(void *s)
{
        sandbox_free(s);
}

struct runtime *runtime_free(struct runtime *rt)
{
        struct map *sandboxes;

        if (!rt)
                return NULL;
        rt->is_ready = false;
        sd_event_source_disable_unref(rt->ready_source);
        seccomp_store_free(rt->seccomp);
        map_free_with(rt->containers, free_container);
        rt->containers = NULL;
        sandboxes = TAKE_PTR(rt->sandboxes);
        map_free_with(sandboxes, free_sandbox);
        image_store_free(rt->images);
        host_ports_free(rt->host_ports);
        source_guard_free(rt->source_guard);
        pod_network_free(rt->network);
        shim_launcher_free(rt->launcher);
        cgroup_tree_free(rt->cgroups);
        trash_free(rt->trash);
        safe_close(rt->sandboxes_fd);
        safe_close(rt->containers_fd);
        safe_close(rt->configs_fd);
        safe_close(rt->state_fd);
        safe_close(rt->run_fd);
        strv_free(rt->missing_features);
        for (size_t i = 0; texts_of(&rt->options, i); i++)
                free((char *)*texts_of(&rt->options, i));
        sd_event_unref(rt->event);
        free(rt);
        return NULL;
}

/* ---- groups above containers ---- */

int runtime_cgroup_apply(struct runtime *rt, const char *path, const struct oci_resources *r,
                         struct err *err)
{
        return cgroup_apply(rt->cgroups, path, r, err);
}

int runtime_cgroup_detail(const struct runtime *rt, const char *path, struct runtime_detail *ret)
{
        return cgroup_detail(rt->cgroups, path, ret);
}

int runtime_machine_detail(struct runtime_detail *ret)
{
        return cgroup_machine_detail(ret);
}

int runtime_cgroup_usage(const struct runtime *rt, const char *path, struct runtime_usage *ret)
{
        return cgroup_usage(rt->cgroups, path, ret);
}

int runtime_machine_usage(struct runtime_usage *ret)
{
        return cgroup_machine_usage(ret);
}

int runtime_cgroup_remove(struct runtime *rt, const char *path, struct err *err)
{
        return cgroup_remove(rt->cgroups, path, err);
}
