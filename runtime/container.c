/*
 * Theory of operation. A container is known from the moment its shim has created it. Until then an
 * operation owns it together with all it made (directory, cgroup, descriptors), and takes all of it
 * away on failure. From then on its state is what its shim says; an exit is recorded here, told,
 * and only then acknowledged, after which the shim may forget it.
 */
#include "runtime/container.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/text.h"
#include "runtime/cgroup.h"
#include "runtime/image-store.h"
#include "runtime/plan.h"
#include "runtime/record.h"
#include "runtime/seccomp-store.h"

enum { EXIT_CODE_LOST = 128 + SIGKILL, EXIT_CODE_START_FAILED = 128, CONFIG_MAX = 16 << 20 };

struct container *container_get(const struct runtime *rt, const char *id)
{
        return map_get(rt->containers, id);
}

const struct container_status *container_find(const struct runtime *rt, const char *container_id)
{
        struct container *c = container_get(rt, container_id);

        return c ? &c->status : NULL;
}

void container_foreach(const struct runtime *rt, const char *sandbox_id,
                       void (*fn)(const struct container_status *c, void *userdata), void *userdata)
{
        const char *id;
        struct container *c;

        MAP_FOREACH (id, c, rt->containers)
                if (!sandbox_id || streq(sandbox_id, c->sandbox_id))
                        fn(&c->status, userdata);
}

static void save(const struct container *c)
{
        int r = container_save(c);

        if (r < 0)
                log_warn(r,
                         "Failed to record container '%s', after a restart its exit record or "
                         "its shim will tell",
                         c->id);
}

void container_discard(struct container *c)
{
        struct shim_message m = { .verb = SHIM_DELETE };
        struct runtime *rt = c->rt;

        if (c->sandbox && c->sandbox->shim) {
                memcpy(m.id, c->id, sizeof c->id);
                shim_request(c->sandbox->shim, &m, NULL, 0, NULL, NULL, NULL);
        }
        cgroup_remove_container(rt->cgroups, c->cgroup_parent, c->id);
        runtime_remove_directory(rt, rt->containers_fd, c->id);
        map_remove(rt->containers, c->id);
        container_free(c);
}

/* ---- what a shim says ---- */

static void note_exit(struct container *c, const struct exit_record *e)
{
        c->status.state = CONTAINER_EXITED;
        c->status.exit_code = e->exit_code;
        c->status.oom_killed = e->oom_killed;
        c->status.start_failed = e->start_failed;
        c->status.started_at = e->started_at;
        c->status.finished_at = e->finished_at;
        c->status.pid = 0;
        if (e->message && *e->message && free_and_strdup(&c->message, e->message) == 0)
                c->status.message = c->message;
}

void container_settle(struct container *c)
{
        _cleanup_(exit_record_done)
        struct exit_record e = { 0 };
        _cleanup_err_ struct err err = { 0 };
        int r;

        if (c->status.state == CONTAINER_EXITED)
                return;
        r = container_read_exit(c->rt, c->id, &e, &err);
        if (r < 0) {
                if (r != -ENOENT)
                        log_warn(0, "Exit record of container '%s' cannot be used: %s", c->id,
                                 err_text(&err));
                e = (struct exit_record){
                        .exit_code = EXIT_CODE_LOST,
                        .started_at = c->status.started_at,
                        .finished_at = now_realtime(),
                };
                c->status.lost = true;
        }
        note_exit(c, &e);
        save(c);
        r = cgroup_kill_container(c->rt->cgroups, c->cgroup_parent, c->id);
        if (r < 0 && *c->cgroup_parent)
                log_warn(r, "Failed to kill what is left of container '%s'", c->id);
        cgroup_remove_container(c->rt->cgroups, c->cgroup_parent, c->id);
        runtime_notify_container(c->rt, c->id);
}

static int insert(struct runtime *rt, struct sandbox *s, struct container *c)
{
        int r = map_put(rt->containers, c->id, c, NULL);

        if (r < 0)
                return r;
        c->sandbox = s;
        if (s)
                list_append(&s->containers, &c->in_sandbox);
        return 0;
}

/* Its record is gone, but it lives: it is found, so that it can be stopped with its sandbox. */
static struct container *adopt_nameless(struct sandbox *s, const char *id)
{
        struct container *c = container_new(s->rt, id, s->id);

        if (c &&
            (free_and_strdup(&c->cgroup_parent, s->cgroup_parent) < 0 || insert(s->rt, s, c) < 0))
                c = container_free(c);
        if (c)
                log_warn(0, "Container '%s' lives, but what it belongs to is not known", id);
        return c;
}

static int note_end(struct container *c, const struct shim_message *m, const char *text)
{
        struct exit_record e = {
                .exit_code = (int)(m->value & 0xff),
                .oom_killed = m->flags & SHIM_STATE_OOM_KILLED,
                .start_failed = m->flags & SHIM_STATE_START_FAILED,
                .started_at = m->time_usec,
                .finished_at = m->time2_usec,
                .message = (char *)text,
        };
        int r;

        if (c->status.state == CONTAINER_EXITED)
                return 0; /* heard of before */
        note_exit(c, &e);
        r = container_save(c);
        if (r < 0)
                log_warn(r, "Failed to record the end of container '%s', its shim keeps it", c->id);
        cgroup_remove_container(c->rt->cgroups, c->cgroup_parent, c->id);
        runtime_notify_container(c->rt, c->id);
        return r;
}

int container_note_state(struct sandbox *s, const struct shim_message *m, const char *text)
{
        struct container *c = container_get(s->rt, m->id);

        if (!c && m->verb == SHIM_EV_STATE && is_hex_lower(m->id, RUNTIME_ID_SIZE - 1))
                c = adopt_nameless(s, m->id);
        if (!c || c->sandbox != s)
                return 0; /* one that was never finished, or has been removed */
        c->is_heard_of = true;
        switch (m->state) {
        case SHIM_CREATED:
        case SHIM_RUNNING:
                if (c->status.state == CONTAINER_EXITED)
                        return 0;
                c->status.state = m->state == SHIM_CREATED ? CONTAINER_CREATED : CONTAINER_RUNNING;
                c->status.started_at = m->time_usec;
                c->status.pid = (pid_t)m->value;
                return 0;
        case SHIM_EXITED:
                return note_end(c, m, text);
        }
        return 0;
}

/* ---- create ---- */

struct create_op {
        struct runtime_op op;        /* first member */
        struct runtime *rt;          /* borrowed */
        struct container *container; /* owned until it is created */
        int plan_fd, cgroup_fd;
        container_done_fn done;
        void *userdata;
};

static void create_op_free(struct create_op *op)
{
        if (op->container) {
                struct container *c = op->container;

                cgroup_remove_container(op->rt->cgroups, c->cgroup_parent, c->id);
                runtime_remove_directory(op->rt, op->rt->containers_fd, c->id);
                container_free(c);
        }
        safe_close(op->plan_fd);
        safe_close(op->cgroup_fd);
        free(op);
}

static void fail_create(struct create_op *op, int r, struct err *err)
{
        container_done_fn done = op->op.abandoned ? NULL : op->done;
        void *userdata = op->userdata;

        create_op_free(op);
        err_kind(err, r, ERR_CONTAINER_CREATE);
        if (done)
                done(r, NULL, err, userdata);
}

static void on_created(const struct shim_message *answer, const char *text, _unused_ int *fds,
                       _unused_ unsigned n_fds, void *userdata)
{
        struct create_op *op = userdata;
        struct container *c = op->container;
        struct sandbox *s = sandbox_get(op->rt, c->sandbox_id);
        _cleanup_err_ struct err err = { 0 };
        int r = 0;

        if (!answer) {
                op->container = container_free(c); /* after a restart the shim tells of it */
                create_op_free(op);
                return;
        }
        if (answer->verb != SHIM_OK)
                r = shim_failure(answer, text, &err);
        else if (!s)
                r = err_set(&err, -ENOENT, "its sandbox has been removed");
        else
                r = insert(op->rt, s, c);
        if (r < 0) {
                fail_create(op, r, &err);
                return;
        }
        c->status.pid = (pid_t)answer->value;
        op->container = NULL;
        if (!op->op.abandoned)
                op->done(0, c->id, NULL, op->userdata);
        create_op_free(op);
}

static int send_create(struct create_op *op, int seccomp_fd, struct err *err)
{
        struct sandbox *s = sandbox_get(op->rt, op->container->sandbox_id);
        struct shim_message m = { .verb = SHIM_CREATE };
        int fds[3] = { op->plan_fd, op->cgroup_fd, seccomp_fd };
        int r = s && s->shim ? 0 : -ENOTCONN;

        memcpy(m.id, op->container->id, sizeof op->container->id);
        if (r == 0)
                r = shim_request(s->shim, &m, fds, seccomp_fd >= 0 ? 3 : 2, on_created, op, NULL);
        if (r == -ENOTCONN)
                return err_set_kind(err, r, ERR_CONTAINER_CREATE, "the pod's shim died");
        return r < 0 ? err_sys(err, r, "ask the shim to create the container") : 0;
}

static void on_seccomp(int r, int fd, const struct err *why, void *userdata)
{
        struct create_op *op = userdata;
        _cleanup_err_ struct err err = { 0 };

        if (r == -ECANCELED) {
                create_op_free(op);
                return;
        }
        if (r < 0)
                err_set_kind(&err, r, why->kind, "%s", err_text(why));
        else
                r = send_create(op, fd, &err);
        if (r < 0)
                fail_create(op, r, &err);
}

static int make_directories(struct container *c, struct err *err)
{
        static const char *const below[] = { "", "/upper", "/work" };

        for (size_t i = 0; i < ARRAY_SIZE(below); i++) {
                _cleanup_free_ char *path = text_printf("%s%s", c->id, below[i]);

                if (!path)
                        return err_sys(err, -ENOMEM, "make the container's directory");
                /* the upper directory becomes the root the container sees */
                if (mkdirat(c->rt->containers_fd, path, i == 1 ? 0755 : 0700) < 0 ||
                    fchmodat(c->rt->containers_fd, path, i == 1 ? 0755 : 0700, 0) < 0)
                        return err_sys(err, -errno, "make directory '%s/containers/%s'",
                                       c->rt->options.state_dir, path);
        }
        return 0;
}

static int make_log_directory(const char *log_path, struct err *err)
{
        _cleanup_free_ char *path = strdup_null(log_path);
        _cleanup_close_ int fd = -1;
        char *end = path ? strrchr(path, '/') : NULL;

        if (!log_path)
                return 0;
        if (!path)
                return err_sys(err, -ENOMEM, "make the log's folder");
        if (log_path[0] != '/' || !end || end == path || !end[1])
                return err_set_kind(err, -EINVAL, ERR_CONTAINER_CONFIG,
                                    "log path '%s': expected an absolute path of a file", log_path);
        *end = '\0';
        fd = fs_open_dir(path, 0755, err);
        return fd < 0 ? fd : 0;
}

/* "/var/lib/skiff/images/layers" of the descriptor that the image store lends. */
static int path_of(int fd, char **ret)
{
        char link[32], path[4096];
        ssize_t n = readlink(fs_fd_path(fd, link), path, sizeof path - 1);

        if (n < 0)
                return -errno;
        path[n] = '\0';
        *ret = strdup(path);
        return *ret ? 0 : -ENOMEM;
}

static int compile(struct container *c, const struct container_config *config, uint32_t flags,
                   struct err *err)
{
        _cleanup_(plan_writer_done)
        struct plan_writer w = { 0 };
        _cleanup_free_ char *layer_dir = NULL, *upper_dir = NULL;
        _cleanup_strv_ char **layers = NULL;
        struct plan_container_options options = {
                .id = c->id,
                .spec = config->spec,
                .sandbox_flags = flags,
                .log_path = config->log_path,
                .log_max_size = c->rt->options.log_max_size,
                .log_max_files = c->rt->options.log_max_files,
                .stdin_open = config->stdin_open,
                .stdin_once = config->stdin_once,
        };
        int r = 0, fd;

        if (config->image_id) {
                r = image_store_layers(c->rt->images, config->image_id, &fd, &layers, err);
                if (r < 0)
                        return r;
                r = path_of(fd, &layer_dir);
                upper_dir = text_printf("%s/containers/%s", c->rt->options.state_dir, c->id);
                if (r == 0 && !upper_dir)
                        r = -ENOMEM;
        }
        if (r < 0)
                return err_sys(err, r, "find the image's layers");
        options.layer_dir = layer_dir;
        options.layers = layers;
        options.upper_dir = upper_dir;
        r = plan_compile_container(&options, &w, err);
        if (r < 0)
                return r;
        r = fs_sealed_memfd("container-plan", w.data, w.len);
        return r < 0 ? err_sys(err, r, "make the container's plan") : r;
}

static int write_config(const struct container *c, const struct container_config *config,
                        struct err *err)
{
        _cleanup_free_ char *path = text_printf("%s/config.json", c->id), *text = NULL,
                            *cgroup = text_printf("/%s/%s", c->cgroup_parent, c->id);
        json_auto_t *root = oci_spec_to_json(config->spec);
        int r = -ENOMEM;

        if (root && cgroup && path &&
            json_set_text(json_object_get(root, "linux"), "cgroupsPath", cgroup) == 0 &&
            (!config->image_id ||
             json_set_text(json_object_get(root, "root"), "path", "rootfs") == 0))
                text = json_dumps(root, JSON_COMPACT);
        if (text)
                r = fs_replace_at(c->rt->containers_fd, path, text, strlen(text), 0600, false);
        return r < 0 ? err_sys(err, r, "write config.json") : 0;
}

static int copy_config(struct container *c, const struct container_config *config)
{
        const struct oci_process *p = &config->spec->process;
        int r = string_map_copy(&c->labels, &config->labels);

        if (r == 0)
                r = free_and_strdup(&c->image_id, config->image_id);
        if (r == 0)
                r = free_and_strdup(&c->image_name, config->image_name);
        if (r == 0)
                r = free_and_strdup(&c->log_path, config->log_path);
        if (r == 0 && p->n_additional_gids) {
                c->groups = calloc(p->n_additional_gids, sizeof *c->groups);
                if (!c->groups)
                        return -ENOMEM;
                memcpy(c->groups, p->additional_gids, p->n_additional_gids * sizeof *c->groups);
        }
        c->status.n_groups = p->n_additional_gids;
        c->status.groups = c->groups;
        c->status.uid = p->uid;
        c->status.gid = p->gid;
        c->status.image_id = c->image_id;
        c->status.image_name = c->image_name;
        c->status.log_path = c->log_path;
        c->status.created_at = now_realtime();
        c->status.state = CONTAINER_CREATED;
        return r;
}

/* All that skiffd itself makes of a container; what there is on failure goes with @op. */
static int prepare(struct create_op *op, const struct sandbox *s,
                   const struct container_config *config, struct err *err)
{
        struct container *c = op->container;
        int r = make_directories(c, err);

        if (r == 0)
                r = make_log_directory(config->log_path, err);
        if (r == 0 && config->image_id) {
                r = image_store_hold(op->rt->images, config->image_id);
                if (r < 0)
                        return err_set_kind(err, r, ERR_IMAGE_NOT_PRESENT, "image '%s' is not here",
                                            config->image_id);
                c->holds_image = true;
        }
        if (r < 0)
                return r;
        op->plan_fd = compile(c, config, s->flags, err);
        if (op->plan_fd < 0)
                return op->plan_fd;
        r = write_config(c, config, err);
        if (r == 0)
                r = cgroup_create_container(op->rt->cgroups, c->cgroup_parent, c->id,
                                            &config->spec->resources, &op->cgroup_fd, err);
        if (r < 0)
                return r;
        r = container_save(c);
        return r < 0 ? err_sys(err, r, "record the container") : 0;
}

static struct create_op *create_op_new(struct sandbox *s, const struct container_config *config)
{
        struct create_op *op = calloc(1, sizeof *op);
        char id[RUNTIME_ID_SIZE];

        if (!op)
                return NULL;
        op->rt = s->rt;
        op->plan_fd = op->cgroup_fd = -1;
        runtime_make_id(id);
        op->container = container_new(s->rt, id, s->id);
        if (!op->container ||
            free_and_strdup(&op->container->cgroup_parent, s->cgroup_parent) < 0 ||
            copy_config(op->container, config) < 0) {
                op->container = container_free(op->container);
                create_op_free(op);
                return NULL;
        }
        return op;
}

int container_create(struct runtime *rt, const char *sandbox_id,
                     const struct container_config *config, container_done_fn done, void *userdata,
                     struct runtime_op **ret, struct err *err)
{
        struct sandbox *s = sandbox_get(rt, sandbox_id);
        struct create_op *op;
        int r, seccomp_fd = -1;

        if (!rt->is_ready) /* directories without a container are being removed until then */
                return err_set_kind(err, -EAGAIN, ERR_CONTAINER_CREATE,
                                    "the runtime is still finding its containers");
        if (!s || s->status.state != SANDBOX_READY || !s->shim)
                return err_set_kind(err, s ? -ENOTCONN : -ENOENT, ERR_CONTAINER_CREATE,
                                    "sandbox '%s' %s", sandbox_id,
                                    s ? "is not ready" : "does not exist");
        op = create_op_new(s, config);
        if (!op)
                return err_sys(err, -ENOMEM, "create a container");
        op->done = done;
        op->userdata = userdata;
        r = prepare(op, s, config, err);
        if (r == 0 && config->spec->seccomp) {
                r = seccomp_store_get(rt->seccomp, config->spec->seccomp, on_seccomp, op,
                                      &seccomp_fd, err);
                if (r > 0)
                        r = send_create(op, seccomp_fd, err);
        } else if (r == 0) {
                r = send_create(op, -1, err);
        }
        if (r < 0) {
                create_op_free(op);
                return err_kind(err, r, ERR_CONTAINER_CREATE);
        }
        if (ret)
                *ret = &op->op;
        return 0;
}

/* ---- start ---- */

struct start_op {
        struct runtime_op op; /* first member */
        struct runtime *rt;   /* borrowed */
        char id[RUNTIME_ID_SIZE];
        runtime_done_fn done;
        void *userdata;
};

static void note_started(struct container *c, usec_t started_at)
{
        if (c->status.state != CONTAINER_CREATED)
                return; /* it has ended already */
        c->status.state = CONTAINER_RUNNING;
        c->status.started_at = started_at;
        save(c);
}

static void note_start_failed(struct container *c, const char *message)
{
        struct exit_record e = {
                .exit_code = EXIT_CODE_START_FAILED,
                .start_failed = true,
                .finished_at = now_realtime(),
                .message = (char *)message,
        };

        if (c->status.state == CONTAINER_EXITED)
                return;
        note_exit(c, &e);
        save(c);
        cgroup_remove_container(c->rt->cgroups, c->cgroup_parent, c->id);
}

static void on_started(const struct shim_message *answer, const char *text, _unused_ int *fds,
                       _unused_ unsigned n_fds, void *userdata)
{
        _cleanup_free_ struct start_op *op = userdata;
        _cleanup_err_ struct err err = { 0 };
        struct container *c = container_get(op->rt, op->id);
        int r = 0;

        if (!answer)
                return;
        if (answer->verb != SHIM_OK) {
                r = shim_failure(answer, text, &err);
                err_kind(&err, r, ERR_CONTAINER_START);
                /* a dead shim's containers are settled by its sandbox */
                if (c && r != -ENOTCONN)
                        note_start_failed(c, err_text(&err));
        } else if (c) {
                note_started(c, answer->time_usec);
        }
        if (!op->op.abandoned)
                op->done(r, r < 0 ? &err : NULL, op->userdata);
}

static int find_shim_of(const struct runtime *rt, const char *container_id, struct container **ret,
                        struct shim **ret_shim, struct err *err)
{
        struct container *c = container_get(rt, container_id);

        if (!c)
                return err_set_kind(err, -ENOENT, ERR_NOT_FOUND, "no container '%s'", container_id);
        if (!c->sandbox || !c->sandbox->shim || c->status.state == CONTAINER_EXITED)
                return err_set_kind(err, -ESRCH, ERR_NOT_RUNNING, "container '%s' does not run",
                                    container_id);
        *ret = c;
        *ret_shim = c->sandbox->shim;
        return 0;
}

int container_start(struct runtime *rt, const char *container_id, runtime_done_fn done,
                    void *userdata, struct runtime_op **ret, struct err *err)
{
        struct shim_message m = { .verb = SHIM_START };
        _cleanup_free_ struct start_op *op = NULL;
        struct container *c;
        struct shim *shim;
        int r = find_shim_of(rt, container_id, &c, &shim, err);

        if (r < 0)
                return err_kind(err, r, ERR_CONTAINER_START);
        if (c->status.state != CONTAINER_CREATED)
                return err_set_kind(err, -EALREADY, ERR_CONTAINER_START,
                                    "container '%s' has been started before", container_id);
        op = calloc(1, sizeof *op);
        if (!op)
                return err_sys(err, -ENOMEM, "start container");
        op->rt = rt;
        op->done = done;
        op->userdata = userdata;
        memcpy(op->id, c->id, sizeof op->id);
        memcpy(m.id, c->id, sizeof c->id);
        r = shim_request(shim, &m, NULL, 0, on_started, op, NULL);
        if (r < 0)
                return err_set_kind(err, r, ERR_CONTAINER_START, "the pod's shim died");
        if (ret)
                *ret = &op->op;
        TAKE_PTR(op);
        return 0;
}

/* ---- the rest ---- */

int container_kill(struct runtime *rt, const char *container_id, int signal, struct err *err)
{
        struct shim_message m = { .verb = SHIM_KILL, .value = signal };
        struct container *c;
        struct shim *shim;
        int r = find_shim_of(rt, container_id, &c, &shim, err);

        if (r < 0)
                return r;
        memcpy(m.id, c->id, sizeof c->id);
        r = shim_request(shim, &m, NULL, 0, NULL, NULL, NULL);
        return r < 0 ? err_sys(err, r == -ENOTCONN ? -ESRCH : r, "kill container '%s'",
                               container_id)
                     : 0;
}

int container_reopen_log(struct runtime *rt, const char *container_id, struct err *err)
{
        struct shim_message m = { .verb = SHIM_REOPEN };
        struct container *c;
        struct shim *shim;
        int r = find_shim_of(rt, container_id, &c, &shim, err);

        if (r < 0)
                return r;
        memcpy(m.id, c->id, sizeof c->id);
        r = shim_request(shim, &m, NULL, 0, NULL, NULL, NULL);
        return r < 0 ? err_sys(err, r, "reopen the log of container '%s'", container_id) : 0;
}

int container_remove(struct runtime *rt, const char *container_id, struct err *err)
{
        struct container *c = container_get(rt, container_id);

        if (!c)
                return err_set_kind(err, -ENOENT, ERR_NOT_FOUND, "no container '%s'", container_id);
        if (c->status.state != CONTAINER_EXITED)
                return err_set(err, -EBUSY, "container '%s' has not ended", container_id);
        container_discard(c);
        return 0;
}

int container_inspect(const struct runtime *rt, const char *container_id, json_t **ret,
                      struct err *err)
{
        _cleanup_free_ char *path = text_printf("%s/config.json", container_id), *text = NULL;
        size_t n;
        int r;

        if (!container_get(rt, container_id))
                return err_set_kind(err, -ENOENT, ERR_NOT_FOUND, "no container '%s'", container_id);
        if (!path)
                return err_sys(err, -ENOMEM, "read config.json");
        r = fs_read_at(rt->containers_fd, path, CONFIG_MAX, &text, &n);
        if (r < 0)
                return err_sys(err, r, "read config.json of container '%s'", container_id);
        r = json_parse(text, n, true, ret, err);
        return r < 0 ? err_wrap(err, r, "config.json of container '%s'", container_id) : 0;
}

int container_usage(const struct runtime *rt, const char *container_id, struct container_usage *ret)
{
        struct container *c = container_get(rt, container_id);

        return c ? cgroup_container_usage(rt->cgroups, c->cgroup_parent, c->id, ret) : -ENOENT;
}

/* ---- after a restart ---- */

static bool load(struct runtime *rt, const char *id, struct container **ret)
{
        _cleanup_free_ char *path = text_printf("%s/record.json", id);
        _cleanup_err_ struct err err = { 0 };
        json_auto_t *record = NULL;
        int r = path ? record_read(rt->containers_fd, path, &record, &err) : -ENOMEM;

        if (r == -ENOENT)
                return false;
        if (r == 0)
                r = container_from_record(rt, id, record, ret, &err);
        if (r < 0) {
                record_set_aside(rt->containers_fd, path, r, &err);
                return false;
        }
        if (!streq_null(json_text_at(record, "bootId"), rt->boot_id))
                (*ret)->status.pid = 0;
        return true;
}

static int adopt(struct runtime *rt, struct container *c)
{
        struct sandbox *s = sandbox_get(rt, c->sandbox_id);

        if (c->image_id && image_store_hold(rt->images, c->image_id) == 0)
                c->holds_image = true;
        if (insert(rt, s, c) < 0)
                return -ENOMEM;
        if (!s || !s->shim)
                container_settle(c);
        return 0;
}

int container_load_all(struct runtime *rt, struct err *err)
{
        _cleanup_strv_ char **ids = NULL;
        int r = fs_list_at(rt->containers_fd, ".", &ids);

        if (r < 0)
                return err_sys(err, r, "list containers");
        STRV_FOREACH (id, ids) {
                struct container *c = NULL;

                if (!is_hex_lower(*id, RUNTIME_ID_SIZE - 1) || !load(rt, *id, &c))
                        continue;
                if (adopt(rt, c) < 0) {
                        container_free(c);
                        return err_sys(err, -ENOMEM, "adopt containers");
                }
        }
        return 0;
}

/* What a damaged record belonged to is kept for whoever wants to know why, without its files. */
static void sweep(struct runtime *rt, const char *id)
{
        _cleanup_free_ char *bad = text_printf("%s.bad", id),
                            *record = text_printf("%s/record.json.bad", id),
                            *upper = text_printf("%s.bad/upper", id),
                            *work = text_printf("%s.bad/work", id);

        if (!bad || !record || !upper || !work)
                return;
        if (faccessat(rt->containers_fd, record, F_OK, AT_SYMLINK_NOFOLLOW) < 0) {
                log_info("Directory '%s' belongs to no container, removing it", id);
                runtime_remove_directory(rt, rt->containers_fd, id);
                return;
        }
        if (renameat(rt->containers_fd, id, rt->containers_fd, bad) < 0) {
                log_warn(-errno, "Failed to set directory '%s' aside", id);
                return;
        }
        runtime_remove_directory(rt, rt->containers_fd, upper);
        runtime_remove_directory(rt, rt->containers_fd, work);
}

void container_sweep(struct runtime *rt)
{
        _cleanup_strv_ char **ids = NULL;

        if (fs_list_at(rt->containers_fd, ".", &ids) < 0)
                return;
        STRV_FOREACH (id, ids)
                if (is_hex_lower(*id, RUNTIME_ID_SIZE - 1) && !container_get(rt, *id))
                        sweep(rt, *id);
}
