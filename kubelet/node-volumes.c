/*
 * Theory of operation. A node_volume is what the attach/detach controller, STAGE and
 * ReadWriteOncePod are about; its uses are what PUBLISH is about. node_volume_look() is the one way
 * on: whatever ends (a step, a timer, a wait) notes its outcome and calls it last; it lets each use
 * go as far as it can, then unstages and frees what nobody uses. Nothing else destroys a use or a
 * volume.
 */
#include "kubelet/node-volumes.h"

#include <errno.h>
#include <string.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/text.h"
#include "kubelet/node-volumes-internal.h"

#define UNSTAGE_FIRST_USEC (500 * USEC_PER_MSEC)
#define UNSTAGE_MAX_USEC   (122 * USEC_PER_SEC)

/* ---- one volume ---- */

static void node_volume_free(struct node_volume *v)
{
        struct volume_use *u, *next;

        if (!v)
                return;
        LIST_FOREACH_SAFE (u, next, &v->uses, node)
                volume_use_destroy(u);
        if (v->work.step)
                v->driver->ops->cancel(v->work.step);
        sd_event_source_disable_unref(v->timer);
        free(v->unique_name);
        free(v->problem);
        free(v);
}

static void free_value(void *value)
{
        node_volume_free(value);
}

static int on_timer(_unused_ sd_event_source *s, _unused_ uint64_t usec, void *userdata)
{
        node_volume_look(userdata);
        return 0;
}

int node_volume_get(struct node_volumes *n, const struct driver_entry *driver,
                    const char *unique_name, struct node_volume **ret)
{
        struct node_volume *v = map_get(n->volumes, unique_name);
        int r;

        if (v) {
                *ret = v;
                return 0;
        }
        v = calloc(1, sizeof *v);
        if (!v)
                return -ENOMEM;
        *v = (struct node_volume){ .owner = n,
                                   .driver = driver,
                                   .unique_name = strdup(unique_name),
                                   .must_attach = driver->ops->must_attach ? -EAGAIN : 0,
                                   .backoff = { UNSTAGE_FIRST_USEC, UNSTAGE_MAX_USEC, 0 } };
        list_init(&v->uses);
        r = v->unique_name ? sd_event_add_time(n->event, &v->timer, CLOCK_MONOTONIC, 0,
                                               ACCURACY_USEC, on_timer, v)
                           : -ENOMEM;
        if (r >= 0)
                r = sd_event_source_set_enabled(v->timer, SD_EVENT_OFF);
        if (r >= 0)
                r = map_put(n->volumes, unique_name, v, NULL);
        if (r < 0) {
                node_volume_free(v);
                return r;
        }
        *ret = v;
        return 0;
}

bool node_volume_is_busy(const struct node_volume *v)
{
        struct volume_use *u;

        if (!v->driver->ops->has_stage)
                return false;
        if (v->work.is_busy)
                return true;
        LIST_FOREACH (u, &v->uses, node)
                if (u->work.is_busy)
                        return true;
        return false;
}

void node_volumes_told_in_use(struct node_volumes *n)
{
        json_t *now = node_volumes_in_use(n);

        if (!now)
                return log_oom();
        if (n->in_use && json_equal(now, n->in_use)) {
                json_decref(now);
                return;
        }
        json_decref(n->in_use);
        n->in_use = now;
        n->options.on_in_use_changed(n->options.userdata);
}

int node_volume_must_attach(struct node_volume *v, const struct volume_spec *spec, struct err *err)
{
        const struct volume_driver *ops = v->driver->ops;
        int r = ops->must_attach ? ops->must_attach(v->driver->driver, spec, err) : 0;

        if (r >= 0 && r != v->must_attach) {
                v->must_attach = r;
                node_volumes_told_in_use(v->owner);
        }
        return r;
}

static bool has_name(const json_t *list, const char *name)
{
        const json_t *e;
        size_t i;

        json_array_foreach (list, i, e) {
                const char *have = json_is_string(e) ? json_string_value(e)
                                                     : json_text_at(e, "name");

                if (streq_null(have, name))
                        return true;
        }
        return false;
}

int node_volume_is_attached(const struct node_volume *v, struct err *err)
{
        const json_t *node = v->owner->attached;

        if (!has_name(json_object_get(node, "volumesInUse"), v->unique_name))
                return err_set(err, -EAGAIN,
                               "volume '%s' is not yet in the node's status (volumesInUse)",
                               v->unique_name);
        if (!has_name(json_object_get(node, "volumesAttached"), v->unique_name))
                return err_set(err, -EAGAIN,
                               "volume '%s' is not attached according to the node's status: the "
                               "attach/detach controller has to",
                               v->unique_name);
        return 0;
}

static void drop(struct node_volume *v)
{
        struct node_volumes *n = v->owner;

        map_remove(n->volumes, v->unique_name);
        node_volume_free(v);
        node_volumes_told_in_use(n);
}

static void end_unstage(struct node_volume *v, const struct volume_result *result)
{
        volume_work_end(&v->work);
        if (result->r == 0) {
                v->may_be_staged = v->is_staged = false;
                backoff_reset(&v->backoff);
                return;
        }
        if (free_and_strdup(&v->problem, err_text(result->err)) < 0)
                log_oom();
        log_warn(result->r, "Failed to unstage volume '%s', trying again: %s", v->unique_name,
                 err_text(result->err));
        sd_event_source_set_time(v->timer, now_monotonic() + backoff_next(&v->backoff));
        sd_event_source_set_enabled(v->timer, SD_EVENT_ONESHOT);
}

static void on_unstaged(const struct volume_result *result, void *userdata)
{
        struct node_volume *v = userdata;

        end_unstage(v, result);
        if (result->r == 0)
                node_volume_look(v);
}

/* True when it is done already. */
static bool unstage(struct node_volume *v)
{
        const struct volume_request request = { .step = VOLUME_UNSTAGE,
                                                .unique_name = v->unique_name };
        struct volume_result result = { 0 };
        _cleanup_err_ struct err err = { 0 };
        int r, enabled = SD_EVENT_OFF;

        sd_event_source_get_enabled(v->timer, &enabled);
        if (enabled != SD_EVENT_OFF)
                return false; /* after a failure */
        r = volume_work_start(&v->work, v->driver, &request, on_unstaged, v, &result, &err);
        if (r == 0)
                return false;
        if (r < 0)
                result = (struct volume_result){ .r = r, .err = &err };
        end_unstage(v, &result);
        return r > 0;
}

void node_volume_look(struct node_volume *v)
{
        struct volume_use *u, *next;
        bool again;

        do { /* one that has gone may have been in the way of one before it in the list */
                again = false;
                LIST_FOREACH_SAFE (u, next, &v->uses, node) {
                        volume_use_advance(u);
                        if (u->phase != VOLUME_PHASE_GONE)
                                continue;
                        volume_use_destroy(u);
                        again = true;
                }
        } while (again);
        if (!list_is_empty(&v->uses) || v->work.is_busy || !v->owner->is_settled)
                return;
        if (!v->may_be_staged || unstage(v))
                drop(v);
}

/* ---- the node ---- */

static void look_at_all(struct node_volumes *n)
{
        _cleanup_strv_ char **names = map_keys(n->volumes);

        STRV_FOREACH (name, names) {
                struct node_volume *v = map_get(n->volumes, *name);

                if (v)
                        node_volume_look(v);
        }
}

int node_volumes_add_driver(struct node_volumes *n, enum volume_spec_kind kind,
                            const struct volume_driver *ops, void *driver, struct err *err)
{
        if (kind <= VOLUME_SPEC_UNSUPPORTED || kind >= _VOLUME_SPEC_KIND_MAX ||
            n->drivers[kind].ops)
                return err_set(err, -EEXIST, "volume driver '%s' is there already", ops->plugin);
        n->drivers[kind] = (struct driver_entry){ ops, driver, kind };
        return 0;
}

void node_volumes_settled(struct node_volumes *n)
{
        if (n->is_settled)
                return;
        n->is_settled = true;
        look_at_all(n);
}

void node_volumes_set_node(struct node_volumes *n, const json_t *node)
{
        const json_t *status = json_object_get(node, "status");
        json_t *labels = json_path(node, "metadata", "labels", NULL)
                                 ? json_incref(
                                           (json_t *)json_path(node, "metadata", "labels", NULL))
                                 : json_object();
        json_t *attached = json_object();
        static const char *const lists[] = { "volumesAttached", "volumesInUse" };

        for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
                if (json_object_get(status, lists[i]))
                        json_object_set(attached, lists[i], json_object_get(status, lists[i]));
        if (!labels || !attached) {
                json_decref(labels);
                json_decref(attached);
                return log_oom();
        }
        bool same = n->labels && json_equal(labels, n->labels) && json_equal(attached, n->attached);
        json_decref(n->labels);
        json_decref(n->attached);
        n->labels = labels;
        n->attached = attached;
        if (same)
                return;
        node_volumes_told_in_use(n);
        look_at_all(n);
}

void node_volumes_driver_changed(struct node_volumes *n, enum volume_spec_kind kind)
{
        const char *name;
        struct node_volume *v;

        MAP_FOREACH (name, v, n->volumes) {
                struct volume_use *u;

                if (v->driver->kind != kind)
                        continue;
                LIST_FOREACH (u, &v->uses, node)
                        u->is_backing_off = false;
                sd_event_source_set_enabled(v->timer, SD_EVENT_OFF);
        }
        look_at_all(n);
}

json_t *node_volumes_in_use(const struct node_volumes *n)
{
        _cleanup_strv_ char **names = map_keys(n->volumes);
        const json_t *attached = json_object_get(n->attached, "volumesAttached");
        json_t *list = json_array();

        if (!names && map_size(n->volumes)) {
                json_decref(list);
                return NULL;
        }
        STRV_FOREACH (name, names) {
                const struct node_volume *v = map_get(n->volumes, *name);

                /* of what was found on disk the Node's status says whether it was attached */
                if (v->must_attach > 0 || (v->must_attach < 0 && has_name(attached, *name)))
                        json_array_append_new(list, json_string(*name));
        }
        return list;
}

/* ---- uses ---- */

static struct volume_use *find_use(struct node_volumes *n, const struct driver_entry *driver,
                                   const char *pod_uid, const char *spec_name, bool is_block)
{
        const char *name;
        struct node_volume *v;

        MAP_FOREACH (name, v, n->volumes) {
                struct volume_use *u;

                if (v->driver != driver)
                        continue;
                LIST_FOREACH (u, &v->uses, node)
                        if (streq(u->pod_uid, pod_uid) && streq(u->spec_name, spec_name) &&
                            u->is_block == is_block)
                                return u;
        }
        return NULL;
}

/* What was found under a name that disk alone gave goes on under its own. */
static void move_use(struct volume_use *u, struct node_volume *v)
{
        struct node_volume *old = u->volume;

        if (old == v)
                return;
        list_remove(&u->node);
        list_append(&v->uses, &u->node);
        u->volume = v;
        if (list_is_empty(&old->uses) && !old->may_be_staged)
                drop(old);
}

static int use_for(struct node_volumes *n, struct pod *pod, struct volume_spec *spec,
                   struct volume_use **ret, struct err *err)
{
        const struct driver_entry *driver = &n->drivers[spec->kind];
        _cleanup_free_ char *name = NULL;
        struct node_volume *v;
        struct volume_use *u;
        int r;

        if (!driver->ops)
                return err_set_kind(err, -EOPNOTSUPP, ERR_BAD_INPUT,
                                    "volume type '%s' is not supported by this node",
                                    spec->unsupported ? spec->unsupported : "csi");
        r = driver->ops->unique_name(driver->driver, spec, pod->uid, &name, err);
        if (r < 0)
                return r;
        r = node_volume_get(n, driver, name, &v);
        if (r < 0)
                return err_sys(err, r, "start volume '%s'", spec->name);
        u = find_use(n, driver, pod->uid, spec->name, spec->is_block);
        if (u)
                move_use(u, v);
        else
                r = volume_use_make(v, pod->uid, spec->name, spec->is_block, &u);
        if (r < 0)
                return err_sys(err, r, "start volume '%s'", spec->name);
        if (u->phase >= VOLUME_PHASE_LEAVING)
                return err_set(err, -EBUSY, "volume '%s' is being unmounted from the pod",
                               spec->name);
        *ret = u;
        return 0;
}

int volume_hold_new(struct node_volumes *n, struct pod *pod, struct volume_spec *spec,
                    const struct volume_hold_ops *ops, void *userdata, struct volume_hold **ret,
                    struct err *err)
{
        struct volume_hold *h = calloc(1, sizeof *h);
        struct volume_use *u;
        int r = h ? use_for(n, pod, spec, &u, err) : err_sys(err, -ENOMEM, "start volume");

        if (r < 0) {
                free(h);
                return r;
        }
        *h = (struct volume_hold){ .use = u, .ops = *ops, .userdata = userdata };
        list_append(&u->holds, &h->node);
        volume_use_set_pod(u, pod);
        if (!u->spec) {
                u->spec = volume_spec_ref(spec);
                u->phase = VOLUME_PHASE_ATTACH;
        }
        sd_event_source_set_time(u->timer, 0); /* begins, or is told, from the loop */
        sd_event_source_set_enabled(u->timer, SD_EVENT_ONESHOT);
        sd_event_source_set_enabled(u->notify, SD_EVENT_ONESHOT);
        *ret = h;
        return 0;
}

int node_volumes_release(struct node_volumes *n, const char *pod_uid, struct err *err)
{
        _cleanup_strv_ char **names = map_keys(n->volumes);
        int r = 0;

        if (!names && map_size(n->volumes))
                return err_sys(err, -ENOMEM, "take down the volumes");
        STRV_FOREACH (name, names) {
                struct node_volume *v = map_get(n->volumes, *name);
                struct volume_use *u;

                if (!v)
                        continue;
                LIST_FOREACH (u, &v->uses, node)
                        if (streq(u->pod_uid, pod_uid))
                                volume_use_leave(u);
                node_volume_look(v);
                v = map_get(n->volumes, *name);
                if (!v || r < 0)
                        continue;
                LIST_FOREACH (u, &v->uses, node)
                        if (streq(u->pod_uid, pod_uid))
                                r = err_set(err, -EBUSY, "volume '%s' is still being unmounted%s%s",
                                            u->spec_name, u->problem ? ": " : "",
                                            u->problem ? u->problem : "");
        }
        return r;
}

/* ---- after a restart ---- */

static int find_one(struct node_volumes *n, const struct driver_entry *driver, const char *uid,
                    bool is_block, const char *spec_name, struct err *err)
{
        _cleanup_free_ char *dir = text_printf("%s/pods/%s/%s/%s/%s", n->root_dir, uid,
                                               is_block ? "volumeDevices" : "volumes",
                                               driver->ops->dir, spec_name);
        _cleanup_free_ char *name = NULL;
        struct node_volume *v;
        struct volume_use *u;
        int r;

        if (!dir)
                return err_sys(err, -ENOMEM, "look for volumes");
        if (driver->ops->recognize) {
                r = driver->ops->recognize(driver->driver, dir, is_block, spec_name, uid, &name,
                                           err);
                if (r == -ENOENT)
                        return 0;
                if (r < 0)
                        return r;
        } else {
                name = text_printf("%s/%s", driver->ops->plugin, spec_name);
        }
        r = name ? node_volume_get(n, driver, name, &v) : -ENOMEM;
        if (r == 0)
                r = volume_use_make(v, uid, spec_name, is_block, &u);
        if (r < 0)
                return err_sys(err, r, "look for volumes");
        u->phase = VOLUME_PHASE_FOUND;
        u->may_be_published = u->was_found = true;
        v->may_be_staged |= driver->ops->has_stage;
        return 0;
}

static int find_in_pod(struct node_volumes *n, const char *uid, struct err *err)
{
        for (int i = 0; i < 2 * _VOLUME_SPEC_KIND_MAX; i++) {
                const struct driver_entry *driver = &n->drivers[i / 2];
                bool is_block = i % 2;
                _cleanup_strv_ char **specs = NULL;
                _cleanup_free_ char *dir = NULL;
                int r;

                if (!driver->ops || !driver->ops->dir)
                        continue;
                dir = text_printf("pods/%s/%s/%s", uid, is_block ? "volumeDevices" : "volumes",
                                  driver->ops->dir);
                r = dir ? fs_list_at(n->root_fd, dir, &specs) : -ENOMEM;
                if (r == -ENOENT || r == -ENOTDIR)
                        continue;
                if (r < 0)
                        return err_sys(err, r, "look for volumes");
                STRV_FOREACH (spec, specs) {
                        r = find_one(n, driver, uid, is_block, *spec, err);
                        if (r < 0)
                                return r;
                }
        }
        return 0;
}

static int find_staged(struct node_volumes *n, const struct driver_entry *driver, struct err *err)
{
        _cleanup_strv_ char **names = NULL;
        int r;

        if (!driver->ops || !driver->ops->list_staged)
                return 0;
        r = driver->ops->list_staged(driver->driver, &names, err);
        STRV_FOREACH (name, names) {
                struct node_volume *v;

                r = node_volume_get(n, driver, *name, &v);
                if (r < 0)
                        return err_sys(err, r, "look for volumes");
                v->may_be_staged = true;
        }
        return r;
}

int node_volumes_observe(struct node_volumes *n, struct err *err)
{
        _cleanup_strv_ char **uids = NULL;
        int r = fs_list_at(n->root_fd, "pods", &uids);

        if (r < 0 && r != -ENOENT)
                return err_sys(err, r, "look for volumes");
        /* one that cannot be read is nobody's reason not to start */
        STRV_FOREACH (uid, uids) {
                _cleanup_err_ struct err why = { 0 };

                r = find_in_pod(n, *uid, &why);
                if (r < 0)
                        log_warn(r, "Failed to look for volumes of pod '%s', going on: %s", *uid,
                                 err_text(&why));
        }
        for (size_t i = 0; i < ARRAY_SIZE(n->drivers); i++) {
                _cleanup_err_ struct err why = { 0 };

                r = find_staged(n, &n->drivers[i], &why);
                if (r < 0)
                        log_warn(r, "Failed to look for staged volumes of '%s', going on: %s",
                                 n->drivers[i].ops->plugin, err_text(&why));
        }
        return 0;
}

int node_volumes_new(sd_event *event, const struct node_volumes_options *options,
                     struct node_volumes **ret, struct err *err)
{
        _cleanup_(node_volumes_freep)
        struct node_volumes *n = calloc(1, sizeof *n);

        if (!n)
                return err_sys(err, -ENOMEM, "start the volumes");
        *n = (struct node_volumes){ .event = event,
                                    .options = *options,
                                    .root_dir = strdup(options->root_dir),
                                    .node_name = strdup(options->node_name),
                                    .root_fd = -1,
                                    .volumes = map_new() };
        if (!n->root_dir || !n->node_name || !n->volumes)
                return err_sys(err, -ENOMEM, "start the volumes");
        n->root_fd = fs_open_dir(n->root_dir, 0750, err);
        if (n->root_fd < 0)
                return n->root_fd;
        *ret = TAKE_PTR(n);
        return 0;
}

struct node_volumes *node_volumes_free(struct node_volumes *n)
{
        if (!n)
                return NULL;
        map_free_with(n->volumes, free_value);
        json_decref(n->labels);
        json_decref(n->attached);
        json_decref(n->in_use);
        safe_close(n->root_fd);
        free(n->root_dir);
        free(n->node_name);
        free(n);
        return NULL;
}
