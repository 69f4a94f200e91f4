/*
 * One volume of one pod, step by step. volume_use_advance() takes the steps that can be taken; a
 * step that failed waits for its timer and is then taken again, a step that waits for others (the
 * attach/detach controller, another pod) is looked at whenever one of these moved.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/text.h"
#include "kubelet/node-volumes-internal.h"
#include "kubelet/volume-block.h"
#include "kubelet/volume-group.h"

#define RETRY_FIRST_USEC     (500 * USEC_PER_MSEC)
#define RETRY_MAX_USEC       (122 * USEC_PER_SEC)
#define REPUBLISH_USEC       (60 * USEC_PER_SEC)
#define MAP_TIMEOUT_USEC     (60 * USEC_PER_SEC)
#define REASON_MOUNT         "FailedMount"
#define REASON_MAP           "FailedMapVolume"
#define REASON_MOUNTED_TWICE "AlreadyMountedVolume"

static const char *const failures[][2] = {
        /* of a file system, of a block device */
        [VOLUME_PHASE_ATTACH] = { "MountVolume.WaitForAttach failed",
                                  "MapVolume.WaitForAttach failed" },
        [VOLUME_PHASE_STAGE] = { "MountVolume.MountDevice failed", "MapVolume.SetUpDevice failed" },
        [VOLUME_PHASE_PUBLISH] = { "MountVolume.SetUp failed", "MapVolume.MapPodDevice failed" },
        [VOLUME_PHASE_FINISH] = { "MountVolume.SetUp failed", "MapVolume.MapBlockVolume failed" },
        [VOLUME_PHASE_READY] = { "MountVolume.SetUp failed", "MapVolume.MapPodDevice failed" },
};

/* ---- work ---- */

int volume_work_start(struct volume_work *w, const struct driver_entry *driver,
                      const struct volume_request *request, volume_done_fn done, void *userdata,
                      struct volume_result *ret, struct err *err)
{
        int r;

        w->driver = driver;
        w->is_busy = true;
        r = driver->ops->start(driver->driver, request, done, userdata, &w->step, ret, err);
        if (r != 0)
                volume_work_end(w);
        return r;
}

void volume_work_end(struct volume_work *w)
{
        w->step = NULL;
        w->child = volume_child_free(w->child);
        w->is_busy = false;
}

static void cancel_work(struct volume_work *w)
{
        if (w->step)
                w->driver->ops->cancel(w->step);
        volume_work_end(w);
}

/* ---- telling ---- */

static int on_notify(_unused_ sd_event_source *s, void *userdata)
{
        struct volume_use *u = userdata;
        struct volume_hold *h;

        /* they only note it: nobody comes or goes meanwhile */
        LIST_FOREACH (h, &u->holds, node)
                h->ops.on_changed(h->userdata);
        return 0;
}

static void tell_changed(struct volume_use *u)
{
        sd_event_source_set_enabled(u->notify, SD_EVENT_ONESHOT);
}

static void set_problem(struct volume_use *u, const char *sentence, bool is_waiting)
{
        bool same = sentence && u->problem && streq(u->problem, sentence);

        u->is_waiting = is_waiting;
        if (same || (!sentence && !u->problem))
                return;
        if (free_and_strdup(&u->problem, sentence) < 0)
                log_oom();
        tell_changed(u);
}

static void event(struct volume_use *u, bool is_warning, const char *reason, const char *message)
{
        struct volume_hold *h;

        LIST_FOREACH (h, &u->holds, node) /* one is enough for an event */
                if (message)
                        return h->ops.on_event(is_warning, reason, message, h->userdata);
}

static void wake_in(struct volume_use *u, usec_t pause)
{
        sd_event_source_set_time(u->timer, now_monotonic() + pause);
        sd_event_source_set_enabled(u->timer, SD_EVENT_ONESHOT);
}

static void fail_as(struct volume_use *u, const char *what, const struct err *err)
{
        _cleanup_free_ char *message = text_printf("%s for volume \"%s\" : %s", what, u->spec_name,
                                                   err_text(err));

        set_problem(u, err_text(err), false);
        u->is_backing_off = true;
        wake_in(u, backoff_next(&u->backoff));
        event(u, true, u->is_block ? REASON_MAP : REASON_MOUNT, message);
}

static void fail(struct volume_use *u, const struct err *err)
{
        if (u->phase != VOLUME_PHASE_LEAVING) {
                fail_as(u, failures[u->phase][u->is_block], err);
                return;
        }
        set_problem(u, err_text(err), false);
        u->is_backing_off = true;
        wake_in(u, backoff_next(&u->backoff));
        log_warn(0, "Failed to unmount volume '%s' of pod '%s', trying again: %s", u->spec_name,
                 u->pod_uid, err_text(err));
}

static void enter(struct volume_use *u, enum volume_phase phase)
{
        u->phase = phase;
        u->is_backing_off = false;
        set_problem(u, NULL, false);
}

/* ---- on the way in ---- */

static bool is_in_anothers_hands(const struct volume_use *u)
{
        struct volume_use *o;

        LIST_FOREACH (o, &u->volume->uses, node)
                if (o != u && volume_use_is_here(o))
                        return true;
        return false;
}

/* What the kubelet looks at before it asks a driver. False: told, and to be tried again. */
static bool may_go_in(struct volume_use *u)
{
        const struct node_volumes *n = u->volume->owner;
        const struct volume_spec *s = u->spec;
        _cleanup_err_ struct err err = { 0 };

        if (s->has_node_affinity && !n->labels) {
                set_problem(u, "the labels of this node are not known yet", true);
                return false;
        }
        if (volume_spec_check_node(s, n->labels, n->node_name, &err) < 0) {
                fail_as(u,
                        u->is_block ? "MapVolume.NodeAffinity check failed"
                                    : "MountVolume.NodeAffinity check failed",
                        &err);
                return false;
        }
        if (u->is_block && !u->volume->driver->ops->map_prefix) {
                err_set(&err, -EOPNOTSUPP, "volumes of this type cannot be block devices");
                fail_as(u, "MapVolume.FindMapperPluginBySpec failed", &err);
                return false;
        }
        if (!u->is_block && strv_len(s->mount_options) &&
            !u->volume->driver->ops->takes_mount_options) {
                err_set(&err, -EINVAL, "mount options are not supported for this volume type");
                fail_as(u, "MountVolume.MountOptionSupport check failed", &err);
                return false;
        }
        if (volume_spec_is_for_one_pod(s) && is_in_anothers_hands(u)) {
                err_set(&err, -EBUSY,
                        "volume uses the ReadWriteOncePod access mode and is already in use by "
                        "another pod");
                fail_as(u,
                        u->is_block ? "MapVolume.SetUpDevice failed" : "MountVolume.SetUp failed",
                        &err);
                return false;
        }
        return true;
}

static bool start_step(struct volume_use *u, enum volume_step step);

static bool attach(struct volume_use *u)
{
        _cleanup_err_ struct err err = { 0 };
        int r;

        if (!may_go_in(u))
                return false;
        r = node_volume_must_attach(u->volume, u->spec, &err);
        if (r > 0) {
                r = node_volume_is_attached(u->volume, &err);
                if (r == 0)
                        return start_step(u, VOLUME_ATTACH);
        }
        if (r < 0) {
                set_problem(u, err_text(&err), true);
                return false;
        }
        enter(u, VOLUME_PHASE_STAGE);
        return true;
}

static bool stage(struct volume_use *u)
{
        struct node_volume *v = u->volume;

        if (v->driver->ops->has_stage && !v->is_staged) {
                if (node_volume_is_busy(v))
                        return false;
                v->may_be_staged = true;
                return start_step(u, VOLUME_STAGE);
        }
        enter(u, VOLUME_PHASE_PUBLISH);
        return true;
}

/* The folder above the target. */
static int make_folder(const struct volume_use *u, struct err *err)
{
        const struct node_volumes *n = u->volume->owner;
        const struct volume_driver *ops = u->volume->driver->ops;
        _cleanup_free_ char *dir = NULL;
        int r;

        if (!ops->dir)
                return 0;
        if (u->is_block)
                dir = text_printf("pods/%s/volumeDevices/%s", u->pod_uid, ops->dir);
        else
                dir = text_printf("pods/%s/volumes/%s%s%s", u->pod_uid, ops->dir,
                                  ops->leaf ? "/" : "", ops->leaf ? u->spec_name : "");
        r = dir ? fs_mkdir_p_at(n->root_fd, dir, 0750) : -ENOMEM;
        return r < 0 ? err_sys(err, r, "make folder '%s/%s'", n->root_dir, dir ? dir : "?") : 0;
}

static bool publish(struct volume_use *u)
{
        const struct volume_driver *ops = u->volume->driver->ops;
        _cleanup_err_ struct err err = { 0 };

        if (node_volume_is_busy(u->volume) || !may_go_in(u))
                return false;
        if (make_folder(u, &err) < 0) {
                fail(u, &err);
                return false;
        }
        u->may_be_published = ops->dir != NULL;
        return start_step(u, VOLUME_PUBLISH);
}

static bool wants_republish(const struct volume_use *u)
{
        const struct driver_entry *d = u->volume->driver;

        return d->ops->wants_republish && d->ops->wants_republish(d->driver, u->spec);
}

static void get_ready(struct volume_use *u)
{
        enter(u, VOLUME_PHASE_READY);
        backoff_reset(&u->backoff);
        tell_changed(u);
        if (wants_republish(u))
                wake_in(u, usec_jitter(REPUBLISH_USEC, 50, random_u32()));
}

static void on_group_set(struct volume_child_answer *answer, void *userdata)
{
        struct volume_use *u = userdata;
        struct node_volume *v = u->volume;

        if (answer->r < 0) {
                _cleanup_err_ struct err err = { 0 };

                err_set(&err, answer->r, "%s", answer->text);
                volume_work_end(&u->work);
                fail(u, &err);
                return;
        }
        if (answer->r == VOLUME_GROUP_DIFFERS) {
                _cleanup_free_ char *message = text_printf(
                        "The requested fsGroup is %lld, but the volume %s has GID %s. The volume "
                        "may not be shareable.",
                        (long long)u->pod->security.fs_group, u->spec_name, answer->text);

                event(u, true, REASON_MOUNTED_TWICE, message);
        }
        volume_work_end(&u->work);
        if (u->phase == VOLUME_PHASE_FINISH)
                get_ready(u);
        node_volume_look(v);
}

/* True: there is nothing to do. */
static bool set_group(struct volume_use *u)
{
        const struct driver_entry *d = u->volume->driver;
        enum volume_group how = d->ops->group ? d->ops->group(d->driver, u->spec)
                                              : VOLUME_GROUP_NEVER;
        const struct volume_group_job job = {
                .path = u->path,
                .group = (gid_t)u->pod->security.fs_group,
                .only_look = how == VOLUME_GROUP_FIRST_POD && is_in_anothers_hands(u),
                .on_root_mismatch = u->pod->security.fs_group_on_root_mismatch,
        };
        _cleanup_err_ struct err err = { 0 };

        if (how == VOLUME_GROUP_NEVER || u->spec->read_only ||
            u->pod->security.fs_group == POD_UNSET)
                return true;
        if (volume_child_start(u->volume->owner->event, volume_group_apply, &job, "set the group",
                               0, on_group_set, u, &u->work.child, &err) < 0)
                fail(u, &err);
        else
                u->work.is_busy = true;
        return false;
}

/* ---- block devices ---- */

/* The kubelet's places; the strings are the caller's to free. */
static int map_places(const struct volume_use *u, struct block_map *m)
{
        const struct node_volumes *n = u->volume->owner;
        const struct volume_driver *ops = u->volume->driver->ops;

        *m = (struct block_map){
                .device = u->device,
                .map_dir = text_printf("%s/%s/%s%s", n->root_dir, ops->map_prefix, u->spec_name,
                                       ops->map_suffix ? ops->map_suffix : ""),
                .pod_uid = u->pod_uid,
                .link_dir = text_printf("%s/pods/%s/volumeDevices/%s", n->root_dir, u->pod_uid,
                                        ops->dir),
                .link = u->spec_name,
                .read_only = u->spec && u->spec->read_only,
        };
        return m->map_dir && m->link_dir ? 0 : -ENOMEM;
}

static void free_places(struct block_map *m)
{
        free((char *)m->map_dir);
        free((char *)m->link_dir);
}

static void tell_mapped(struct volume_use *u)
{
        _cleanup_(free_places)
        struct block_map m = { 0 };
        _cleanup_free_ char *global = NULL, *link = NULL;

        if (map_places(u, &m) < 0)
                return;
        global = text_printf(
                "MapVolume.MapPodDevice succeeded for volume \"%s\" globalMapPath \"%s\"",
                u->spec_name, m.map_dir);
        link = text_printf(
                "MapVolume.MapPodDevice succeeded for volume \"%s\" volumeMapPath \"%s\"",
                u->spec_name, m.link_dir);
        event(u, false, "SuccessfulMountVolume", global);
        event(u, false, "SuccessfulMountVolume", link);
}

static void on_mapped(struct volume_child_answer *answer, void *userdata)
{
        struct volume_use *u = userdata;
        struct node_volume *v = u->volume;
        _cleanup_err_ struct err err = { 0 };

        if (answer->r == 0 && free_and_strdup(&u->device, answer->text) < 0)
                answer->r = err_sys(&err, -ENOMEM, "map device");
        else if (answer->r < 0)
                err_set(&err, answer->r, "%s", answer->text);
        safe_close(u->device_fd);
        u->device_fd = answer->r == 0 ? TAKE_FD(answer->fd) : -1;
        volume_work_end(&u->work);
        if (u->device_fd < 0) {
                fail(u, &err);
        } else if (u->phase == VOLUME_PHASE_FINISH) {
                tell_mapped(u);
                get_ready(u);
        }
        node_volume_look(v);
}

static void map_device(struct volume_use *u)
{
        _cleanup_(free_places)
        struct block_map m = { 0 };
        _cleanup_err_ struct err err = { 0 };
        int r = map_places(u, &m);

        if (r < 0)
                err_sys(&err, r, "map device");
        else if (!u->device || !*u->device)
                r = err_set(&err, -ENODEV, "device path of the volume is empty");
        else
                r = volume_child_start(u->volume->owner->event, block_map_make, &m,
                                       "map the device", MAP_TIMEOUT_USEC, on_mapped, u,
                                       &u->work.child, &err);
        if (r < 0)
                fail(u, &err);
        else
                u->work.is_busy = true;
}

static bool finish(struct volume_use *u)
{
        if (u->is_block) {
                map_device(u);
                return false;
        }
        if (!set_group(u))
                return false;
        get_ready(u);
        return true;
}

/* ---- on the way out ---- */

static int remove_folder(const struct volume_use *u, struct err *err)
{
        const struct node_volumes *n = u->volume->owner;
        const char *dir = u->volume->driver->ops->dir;
        _cleanup_free_ char *path = dir && !u->is_block ? text_printf("pods/%s/volumes/%s/%s",
                                                                      u->pod_uid, dir, u->spec_name)
                                                        : NULL;

        if (!dir || u->is_block)
                return 0;
        if (!path)
                return err_sys(err, -ENOMEM, "remove folder");
        if (unlinkat(n->root_fd, path, AT_REMOVEDIR) < 0 && errno != ENOENT)
                return err_sys(err, -errno, "remove folder '%s/%s'", n->root_dir, path);
        return 0;
}

static bool leave(struct volume_use *u)
{
        _cleanup_err_ struct err err = { 0 };
        int r = 0;

        if (u->is_block && u->volume->driver->ops->map_prefix) {
                _cleanup_(free_places)
                struct block_map m = { 0 };

                r = map_places(u, &m);
                r = r < 0 ? err_sys(&err, r, "unmap device") : block_map_remove(&m, &err);
                if (r == 0)
                        u->device_fd = safe_close(u->device_fd);
        }
        if (r == 0 && u->may_be_published) {
                if (node_volume_is_busy(u->volume))
                        return false;
                return start_step(u, VOLUME_UNPUBLISH);
        }
        if (r == 0)
                r = remove_folder(u, &err);
        if (r < 0)
                fail(u, &err);
        else
                u->phase = VOLUME_PHASE_GONE;
        return false;
}

/* ---- the walk ---- */

static int keep_answer(struct volume_use *u, const struct volume_result *result, struct err *err)
{
        const char *path = u->volume->driver->ops->dir ? u->target : result->path;

        if (u->is_block ? free_and_strdup(&u->device, result->device) < 0
                        : free_and_strdup(&u->path, path) < 0)
                return err_sys(err, -ENOMEM, "mount volume");
        return 0;
}

static void take_answer(struct volume_use *u, const struct volume_result *result)
{
        _cleanup_err_ struct err err = { 0 };

        switch (u->phase) {
        case VOLUME_PHASE_ATTACH:
                enter(u, VOLUME_PHASE_STAGE);
                break;
        case VOLUME_PHASE_STAGE:
                u->volume->is_staged = true;
                enter(u, VOLUME_PHASE_PUBLISH);
                break;
        case VOLUME_PHASE_PUBLISH:
                if (keep_answer(u, result, &err) < 0)
                        fail(u, &err);
                else
                        enter(u, VOLUME_PHASE_FINISH);
                break;
        case VOLUME_PHASE_READY: /* published again */
                u->is_repeated = false;
                get_ready(u);
                break;
        case VOLUME_PHASE_LEAVING:
                u->may_be_published = false;
                break;
        default:
                break;
        }
}

static void on_answer(struct volume_use *u, const struct volume_result *result)
{
        bool is_out = u->step == VOLUME_UNPUBLISH;

        volume_work_end(&u->work);
        if (u->step == VOLUME_STAGE && result->r == 0)
                u->volume->is_staged = true;
        if (is_out != (u->phase == VOLUME_PHASE_LEAVING))
                return; /* it was to leave meanwhile */
        if (result->r == 0)
                return take_answer(u, result);
        if (u->step == VOLUME_PUBLISH && !result->is_uncertain && !u->was_found && !u->is_repeated)
                u->may_be_published = false;
        u->is_repeated = false;
        if (result->failed_as && u->phase != VOLUME_PHASE_LEAVING)
                fail_as(u, result->failed_as, result->err);
        else
                fail(u, result->err);
}

static void on_step_done(const struct volume_result *result, void *userdata)
{
        struct volume_use *u = userdata;

        on_answer(u, result);
        node_volume_look(u->volume);
}

/* True: it is done already, and others can follow. */
static bool start_step(struct volume_use *u, enum volume_step step)
{
        const struct volume_request request = {
                .step = step,
                .spec = u->spec,
                .pod = u->pod,
                .unique_name = u->volume->unique_name,
                .spec_name = u->spec_name,
                .pod_uid = u->pod_uid,
                .is_block = u->is_block,
                .target = u->target,
                .is_repeated = u->is_repeated,
        };
        struct volume_result result = { 0 };
        _cleanup_err_ struct err err = { 0 };
        int r;

        u->step = step;
        r = volume_work_start(&u->work, u->volume->driver, &request, on_step_done, u, &result,
                              &err);
        if (r == 0)
                return false;
        if (r < 0)
                result = (struct volume_result){ .r = r, .err = &err };
        on_answer(u, &result);
        return r > 0;
}

void volume_use_advance(struct volume_use *u)
{
        bool more = true;

        while (more && !u->work.is_busy && !u->is_backing_off) {
                switch (u->phase) {
                case VOLUME_PHASE_ATTACH:
                        more = attach(u);
                        break;
                case VOLUME_PHASE_STAGE:
                        more = stage(u);
                        break;
                case VOLUME_PHASE_PUBLISH:
                        more = publish(u);
                        break;
                case VOLUME_PHASE_FINISH:
                        more = finish(u);
                        break;
                case VOLUME_PHASE_LEAVING:
                        more = leave(u);
                        break;
                default:
                        more = false;
                        break;
                }
        }
}

void volume_use_leave(struct volume_use *u)
{
        if (u->phase >= VOLUME_PHASE_LEAVING)
                return;
        if (u->work.child || (u->work.step && u->volume->driver->ops->may_be_cancelled))
                cancel_work(&u->work);
        sd_event_source_set_enabled(u->timer, SD_EVENT_OFF);
        backoff_reset(&u->backoff);
        enter(u, VOLUME_PHASE_LEAVING);
}

static int on_timer(_unused_ sd_event_source *s, _unused_ uint64_t usec, void *userdata)
{
        struct volume_use *u = userdata;

        u->is_backing_off = false;
        if (u->phase == VOLUME_PHASE_READY && !u->work.is_busy && wants_republish(u)) {
                u->is_repeated = true;
                start_step(u, VOLUME_PUBLISH);
        }
        node_volume_look(u->volume);
        return 0;
}

/* ---- life ---- */

int volume_use_make(struct node_volume *v, const char *pod_uid, const char *spec_name,
                    bool is_block, struct volume_use **ret)
{
        const struct volume_driver *ops = v->driver->ops;
        struct node_volumes *n = v->owner;
        struct volume_use *u = calloc(1, sizeof *u);
        int r;

        if (!u)
                return -ENOMEM;
        *u = (struct volume_use){ .volume = v,
                                  .pod_uid = strdup(pod_uid),
                                  .spec_name = strdup(spec_name),
                                  .is_block = is_block,
                                  .device_fd = -1,
                                  .backoff = { RETRY_FIRST_USEC, RETRY_MAX_USEC, 0 } };
        list_init(&u->holds);
        if (ops->dir && is_block)
                u->target = text_printf("%s/pods/%s/volumeDevices/%s", n->root_dir, pod_uid,
                                        ops->dir);
        else if (ops->dir)
                u->target = text_printf("%s/pods/%s/volumes/%s/%s%s%s", n->root_dir, pod_uid,
                                        ops->dir, spec_name, ops->leaf ? "/" : "",
                                        ops->leaf ? ops->leaf : "");
        r = u->pod_uid && u->spec_name && (u->target || !ops->dir) ? 0 : -ENOMEM;
        if (r == 0)
                r = sd_event_add_time(n->event, &u->timer, CLOCK_MONOTONIC, 0, ACCURACY_USEC,
                                      on_timer, u);
        if (r >= 0)
                r = sd_event_source_set_enabled(u->timer, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_add_defer(n->event, &u->notify, on_notify, u);
        if (r >= 0)
                r = sd_event_source_set_enabled(u->notify, SD_EVENT_OFF);
        list_append(&v->uses, &u->node);
        if (r < 0) {
                volume_use_destroy(u);
                return r;
        }
        *ret = u;
        return 0;
}

void volume_use_destroy(struct volume_use *u)
{
        struct volume_hold *h, *next;

        LIST_FOREACH_SAFE (h, next, &u->holds, node) {
                h->use = NULL;
                list_remove(&h->node);
        }
        list_remove(&u->node);
        cancel_work(&u->work);
        sd_event_source_disable_unref(u->timer);
        sd_event_source_disable_unref(u->notify);
        safe_close(u->device_fd);
        volume_spec_free(u->spec);
        pod_unref(u->pod);
        free(u->pod_uid);
        free(u->spec_name);
        free(u->target);
        free(u->path);
        free(u->device);
        free(u->problem);
        free(u);
}

void volume_use_set_pod(struct volume_use *u, struct pod *pod)
{
        struct pod *old = u->pod;

        u->pod = pod_ref(pod);
        pod_unref(old);
}

/* ---- as the pod holds it ---- */

struct volume_hold *volume_hold_free(struct volume_hold *h)
{
        if (!h)
                return NULL;
        list_remove(&h->node);
        free(h);
        return NULL;
}

void volume_hold_set_pod(struct volume_hold *h, struct pod *pod)
{
        if (h->use)
                volume_use_set_pod(h->use, pod);
}

const char *volume_hold_path(const struct volume_hold *h)
{
        return h->use && h->use->phase == VOLUME_PHASE_READY ? h->use->path : NULL;
}

const char *volume_hold_device(const struct volume_hold *h)
{
        return h->use && h->use->phase == VOLUME_PHASE_READY ? h->use->device : NULL;
}

const char *volume_hold_problem(const struct volume_hold *h)
{
        return h->use ? h->use->problem : NULL;
}

bool volume_hold_is_unattached(const struct volume_hold *h)
{
        return !h->use ||
               (h->use->phase <= VOLUME_PHASE_ATTACH && h->use->volume->must_attach != 0);
}
