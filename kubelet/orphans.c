#include "kubelet/orphans.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "base/fs.h"
#include "base/list.h"
#include "base/log.h"
#include "base/text.h"
#include "kubelet/pod-observe.h"

#define PERIOD_USEC        (120 * USEC_PER_SEC)
#define FOLDERS_FIRST_USEC (100 * USEC_PER_MSEC)
#define RETRY_USEC         (2 * USEC_PER_SEC)

struct stopping { /* one sandbox on its way out */
        struct orphans *owner;
        struct runtime_op *op; /* owned */
        char *sandbox_id;
        struct list_node node;
};

struct orphans {
        const struct context *ctx;
        bool (*is_known)(const char *uid, void *userdata);
        void *userdata;
        sd_event_source *timer; /* owned */
        struct list stopping;   /* owned */
        struct backoff folders; /* that could not be removed yet */
};

static void look_again(struct orphans *o, usec_t pause)
{
        sd_event_source_set_time(o->timer, now_monotonic() + pause);
        sd_event_source_set_enabled(o->timer, SD_EVENT_ONESHOT);
}

static void look_again_by(struct orphans *o, usec_t pause)
{
        uint64_t due;

        if (sd_event_source_get_time(o->timer, &due) < 0 || due > now_monotonic() + pause)
                look_again(o, pause);
}

static void stopping_free(struct stopping *s)
{
        runtime_op_abandon(s->op);
        list_remove(&s->node);
        free(s->sandbox_id);
        free(s);
}

static void remove_sandbox(struct orphans *o, const char *sandbox_id)
{
        const struct sandbox_status *s = sandbox_find(o->ctx->rt, sandbox_id);
        const char *label = s ? string_map_get(s->labels, LABEL_CGROUP) : NULL;
        _cleanup_free_ char *cgroup = strdup_null(label);
        _cleanup_err_ struct err err = { 0 };

        if (sandbox_remove(o->ctx->rt, sandbox_id, &err) < 0)
                log_warn(0, "Failed to remove orphaned sandbox '%.12s': %s", sandbox_id,
                         err_text(&err));
        else if (cgroup && runtime_cgroup_remove(o->ctx->rt, cgroup, &err) < 0)
                log_warn(0, "Failed to remove orphaned cgroup '%s': %s", cgroup, err_text(&err));
}

static void on_stopped(int r, const struct err *err, void *userdata)
{
        struct stopping *s = userdata;
        struct orphans *o = s->owner;
        _cleanup_free_ char *id = TAKE_PTR(s->sandbox_id);

        s->op = NULL;
        stopping_free(s);
        if (r < 0)
                log_warn(r, "Failed to stop orphaned sandbox '%.12s', trying again: %s", id,
                         err_text(err));
        else
                remove_sandbox(o, id);
        look_again(o, RETRY_USEC);
}

static bool is_stopping(const struct orphans *o, const char *sandbox_id)
{
        struct stopping *s;

        LIST_FOREACH (s, &o->stopping, node)
                if (streq(s->sandbox_id, sandbox_id))
                        return true;
        return false;
}

static void stop_sandbox(struct orphans *o, const char *sandbox_id)
{
        struct stopping *s = calloc(1, sizeof *s);
        _cleanup_err_ struct err err = { 0 };

        if (!s)
                return log_oom();
        s->owner = o;
        s->sandbox_id = strdup(sandbox_id);
        list_append(&o->stopping, &s->node);
        log_info("Sandbox '%.12s' belongs to no pod any more, stopping it", sandbox_id);
        if (!s->sandbox_id ||
            sandbox_stop(o->ctx->rt, sandbox_id, on_stopped, s, &s->op, &err) < 0) {
                stopping_free(s);
                look_again(o, RETRY_USEC);
        }
}

struct collecting {
        struct orphans *owner;
        char **ids;
};

static void collect_sandbox(const struct sandbox_status *s, void *userdata)
{
        struct collecting *c = userdata;
        const char *uid = string_map_get(s->labels, LABEL_POD_UID);

        if (uid && c->owner->is_known(uid, c->owner->userdata))
                return;
        if (strv_append(&c->ids, s->id) < 0)
                log_oom();
}

static void look_for_sandboxes(struct orphans *o)
{
        struct collecting c = { .owner = o };

        sandbox_foreach(o->ctx->rt, collect_sandbox, &c);
        STRV_FOREACH (id, c.ids)
                if (!is_stopping(o, *id))
                        stop_sandbox(o, *id);
        strv_free(c.ids);
}

/* ---- containers ---- */

static void collect_nameless(const struct container_status *s, void *userdata)
{
        char ***ids = userdata;

        if (!string_map_get(s->labels, LABEL_CONTAINER_NAME) && strv_append(ids, s->id) < 0)
                log_oom();
}

/*
 * A container whose record was lost lives on in the sandbox of its pod, and its pod starts another
 * one: two at once is worse than an end without a grace period.
 */
static void look_for_containers(struct orphans *o)
{
        _cleanup_strv_ char **ids = NULL;

        container_foreach(o->ctx->rt, NULL, collect_nameless, &ids);
        STRV_FOREACH (id, ids) {
                const struct container_status *s = container_find(o->ctx->rt, *id);
                _cleanup_err_ struct err err = { 0 };
                int r;

                if (!s)
                        continue;
                if (s->state == CONTAINER_EXITED) {
                        r = container_remove(o->ctx->rt, *id, &err);
                } else {
                        log_info("Container '%.12s' belongs to no pod that is known, killing it",
                                 *id);
                        r = container_kill(o->ctx->rt, *id, SIGKILL, &err);
                        look_again(o, RETRY_USEC);
                }
                if (r < 0)
                        log_warn(0, "Failed to remove orphaned container '%.12s': %s", *id,
                                 err_text(&err));
        }
}

static bool has_sandbox(struct orphans *o, const char *uid)
{
        struct stopping *s;

        LIST_FOREACH (s, &o->stopping, node) {
                const struct sandbox_status *status = sandbox_find(o->ctx->rt, s->sandbox_id);
                const char *label = status ? string_map_get(status->labels, LABEL_POD_UID) : NULL;

                if (label && streq(label, uid))
                        return true;
        }
        return false;
}

static void look_for_folders(struct orphans *o)
{
        _cleanup_strv_ char **uids = NULL;
        bool all = true;

        if (volumes_list_pods(o->ctx->volumes, &uids) < 0)
                return;
        STRV_FOREACH (uid, uids) {
                _cleanup_err_ struct err err = { 0 };

                if (o->is_known(*uid, o->userdata) || has_sandbox(o, *uid))
                        continue;
                if (volumes_teardown_orphan(o->ctx->volumes, *uid, &err) < 0) {
                        all = false;
                        log_info(
                                "Folder of pod '%s' belongs to no pod any more, but cannot be removed yet: %s",
                                *uid, err_text(&err));
                }
        }
        if (all)
                backoff_reset(&o->folders);
        else /* a volume that is being unmounted takes a moment, one that is in use takes long */
                look_again_by(o, backoff_next(&o->folders));
}

/* "<ns>_<name>_<uid>" */
static void look_for_logs(struct orphans *o)
{
        _cleanup_strv_ char **names = NULL;

        if (fs_list_at(AT_FDCWD, o->ctx->pod_log_dir, &names) < 0)
                return;
        STRV_FOREACH (name, names) {
                const char *uid = strrchr(*name, '_');
                _cleanup_free_ char *path = text_printf("%s/%s", o->ctx->pod_log_dir, *name);

                if (!uid || !path || strchr(*name, '_') == uid ||
                    o->is_known(uid + 1, o->userdata) || has_sandbox(o, uid + 1))
                        continue;
                if (fs_remove_tree_at(AT_FDCWD, path) < 0)
                        log_warn(0, "Failed to remove orphaned logs '%s'", path);
        }
}

static int on_timer(_unused_ sd_event_source *s, _unused_ uint64_t usec, void *userdata)
{
        struct orphans *o = userdata;

        look_again(o, PERIOD_USEC);
        look_for_sandboxes(o);
        look_for_containers(o);
        look_for_folders(o);
        look_for_logs(o);
        return 0;
}

void orphans_start(struct orphans *o)
{
        look_again(o, 0);
}

int orphans_new(const struct context *ctx, bool (*is_known)(const char *uid, void *userdata),
                void *userdata, struct orphans **ret, struct err *err)
{
        struct orphans *o = calloc(1, sizeof *o);
        int r;

        if (!o)
                return err_sys(err, -ENOMEM, "start looking for orphans");
        *o = (struct orphans){ .ctx = ctx,
                               .is_known = is_known,
                               .userdata = userdata,
                               .folders = { FOLDERS_FIRST_USEC, PERIOD_USEC, 0 } };
        list_init(&o->stopping);
        r = sd_event_add_time(ctx->event, &o->timer, CLOCK_MONOTONIC, 0, USEC_PER_SEC, on_timer, o);
        if (r >= 0)
                r = sd_event_source_set_enabled(o->timer, SD_EVENT_OFF);
        if (r < 0) {
                orphans_free(o);
                return err_sys(err, r, "start looking for orphans");
        }
        *ret = o;
        return 0;
}

struct orphans *orphans_free(struct orphans *o)
{
        struct stopping *s, *next;

        if (!o)
                return NULL;
        LIST_FOREACH_SAFE (s, next, &o->stopping, node)
                stopping_free(s);
        sd_event_source_disable_unref(o->timer);
        free(o);
        return NULL;
}
