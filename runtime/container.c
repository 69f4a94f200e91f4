/*
 * Theory of operation. A container is known from the moment its shim has created it
 * (container-create.c). From then on its state is what its shim says; an exit is recorded here,
 * told, and only then acknowledged, after which the shim may forget it. When the shim is dead, its
 * exit record on disk says how it ended, or else it is lost.
 */
#include "runtime/container.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/text.h"
#include "runtime/cgroup.h"

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

void container_remove_files(struct runtime *rt, const char *id)
{
        _cleanup_free_ char *config = text_printf("%s.json", id);

        if (config)
                unlinkat(rt->configs_fd, config, 0);
        runtime_remove_directory(rt, rt->containers_fd, id);
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
        container_remove_files(rt, c->id);
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

int container_insert(struct runtime *rt, struct sandbox *s, struct container *c)
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

        if (c && (free_and_strdup(&c->cgroup_parent, s->cgroup_parent) < 0 ||
                  container_insert(s->rt, s, c) < 0))
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
                if (!c->is_deserted)
                        return note_end(c, m, text);
                runtime_notify_container(c->rt, c->id);
                container_discard(c);
                return 0;
        }
        return 0;
}

/* An agent died between create and start. Nothing of the image has run: it counts as no instance.
 */
void container_recover(struct container *c)
{
        _cleanup_(exit_record_done)
        struct exit_record e = { 0 };
        _cleanup_err_ struct err err = { 0 };

        if (c->status.state != CONTAINER_CREATED) {
                if (!c->is_heard_of)
                        container_settle(c);
        } else if (c->is_heard_of) {
                c->is_deserted = container_kill(c->rt, c->id, SIGKILL, &err) == 0;
        } else if (container_read_exit(c->rt, c->id, &e, &err) == -ENOENT) {
                container_discard(c);
        } else {
                container_settle(c);
        }
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
        _cleanup_free_ char *path = text_printf("%s.json", container_id), *text = NULL;
        size_t n;
        int r;

        if (!container_get(rt, container_id))
                return err_set_kind(err, -ENOENT, ERR_NOT_FOUND, "no container '%s'", container_id);
        if (!path)
                return err_sys(err, -ENOMEM, "read config.json");
        r = fs_read_at(rt->configs_fd, path, CONFIG_MAX, &text, &n);
        if (r == -ENOENT)
                return err_set_kind(err, -ENOENT, ERR_NOT_FOUND,
                                    "the config.json of container '%s' went with the last reboot",
                                    container_id);
        if (r < 0)
                return err_sys(err, r, "read config.json of container '%s'", container_id);
        r = json_parse(text, n, true, ret, err);
        return r < 0 ? err_wrap(err, r, "config.json of container '%s'", container_id) : 0;
}

void container_drop_layer(struct runtime *rt, const char *container_id)
{
        static const char *const below[] = { "upper", "work" };
        struct container *c = container_get(rt, container_id);

        if (!c || c->status.state != CONTAINER_EXITED || c->has_no_layer)
                return;
        for (size_t i = 0; i < ARRAY_SIZE(below); i++) {
                _cleanup_free_ char *path = text_printf("%s/%s", c->id, below[i]);

                if (path)
                        runtime_remove_directory(rt, rt->containers_fd, path);
        }
        c->has_no_layer = true;
}

char *container_layer_path(const struct runtime *rt, const char *container_id)
{
        return container_get(rt, container_id)
                       ? text_printf("%s/containers/%s/upper", rt->options.state_dir, container_id)
                       : NULL;
}

int container_detail(const struct runtime *rt, const char *container_id, struct runtime_detail *ret)
{
        struct container *c = container_get(rt, container_id);

        return c ? cgroup_container_detail(rt->cgroups, c->cgroup_parent, c->id, ret) : -ENOENT;
}

int container_usage(const struct runtime *rt, const char *container_id, struct runtime_usage *ret)
{
        struct container *c = container_get(rt, container_id);

        return c ? cgroup_container_usage(rt->cgroups, c->cgroup_parent, c->id, ret) : -ENOENT;
}
