#include "kubelet/pod-manager.h"

#include <errno.h>
#include <malloc.h>
#include <string.h>

#include "base/log.h"
#include "base/map.h"
#include "base/text.h"
#include "kubelet/admission.h"
#include "kubelet/allocations.h"
#include "kubelet/config.h"
#include "kubelet/node-pressure.h"
#include "kubelet/orphans.h"
#include "kubelet/pod-allocation.h"
#include "kubelet/pod-explain.h"
#include "kubelet/pod-log.h"
#include "kubelet/pod-observe.h"
#include "kubelet/pod-room.h"
#include "kubelet/pod-status.h"
#include "kubelet/qos.h"

#define TRIM_USEC         (10 * USEC_PER_SEC)
#define RESIZE_SOON_USEC  (200 * USEC_PER_MSEC) /* after something changed */
#define RESIZE_AGAIN_USEC (180 * USEC_PER_SEC)

struct entry { /* one uid */
        struct pod_manager *manager;
        struct pod *pod;     /* one reference; newest version, with the resources it was granted */
        struct pod *desired; /* one reference; newest version as it came: @pod, unless a resize is
                                waited for */
        struct pod_worker
                *worker;  /* owned; NULL: refused at admission, or a static pod that waits */
        json_t *refusal;  /* owned; status of a refused pod */
        bool removed;     /* its source has it no more */
        bool gone;        /* the API said so, the watch, which tells older news first, not yet */
        bool delete_told; /* the status writer was told to delete the object */
        bool awaits_room; /* critical, and others are on their way out for it */
};

struct pod_manager {
        struct pod_manager_options options;
        const struct context *ctx;
        struct map *entries; /* uid -> struct entry, owned */
        struct map
                *waiting; /* "ns/name" of a static pod -> uid (owned) of the one that runs next */
        struct orphans *orphans;
        sd_event_source *trim;   /* owned; runs while pods have been forgotten */
        sd_event_source *resize; /* owned; when to look at resizes again that are waited for */
        sd_event_source *room;   /* owned; a pod has ended: is there room for who awaits it? */
};

static void entry_free(void *value)
{
        struct entry *e = value;

        if (!e)
                return;
        pod_worker_free(e->worker);
        pod_unref(e->pod);
        pod_unref(e->desired);
        json_decref(e->refusal);
        free(e);
}

/* ---- status ---- */

/* The API object that shows the status of @pod: itself, or a static pod's mirror; NULL: none yet.
 */
static struct pod *status_target(const struct pod_manager *m, struct pod *pod)
{
        if (!pod_is_static(pod))
                return pod;
        return m->options.mirrors ? mirrors_find(m->options.mirrors, pod->namespace, pod->name)
                                  : NULL;
}

static void put_status(struct pod_manager *m, struct pod *pod, json_t *status)
{
        struct pod *target = status_target(m, pod);

        if (m->ctx->statuses && target)
                status_writer_put(m->ctx->statuses, target, status);
}

/* The server shows another status than ours. */
static void put_again(struct entry *e)
{
        json_auto_t *status = e->worker ? pod_worker_status(e->worker) : json_incref(e->refusal);

        if (status && !e->gone)
                put_status(e->manager, e->pod, status);
}

static void retry_resizes_in(struct pod_manager *m, usec_t pause);

static void on_status(_unused_ struct pod_worker *w, json_t *status, void *userdata)
{
        struct entry *e = userdata;

        if (!e->gone)
                put_status(e->manager, e->pod, status);
        retry_resizes_in(e->manager, RESIZE_SOON_USEC); /* it may take less now */
}

/* ---- the end of a pod ---- */

static void start_waiting(struct pod_manager *m, const char *namespace, const char *name);

/* Pods come and go by the hundred; what they held lies in pieces all over the heap. */
static int on_trim(sd_event_source *s, _unused_ uint64_t usec, _unused_ void *userdata)
{
        malloc_trim(0);
        sd_event_source_set_enabled(s, SD_EVENT_OFF);
        return 0;
}

static void trim_soon(struct pod_manager *m)
{
        int enabled = SD_EVENT_OFF;

        sd_event_source_get_enabled(m->trim, &enabled);
        if (enabled != SD_EVENT_OFF)
                return;
        sd_event_source_set_time(m->trim, now_monotonic() + TRIM_USEC);
        sd_event_source_set_enabled(m->trim, SD_EVENT_ONESHOT);
}

/* Nothing of it is wanted or left: forgotten, with its logs and records. */
static void forget(struct entry *e)
{
        struct pod_manager *m = e->manager;
        struct pod *pod = pod_ref(e->pod);
        char path[POD_FIELD_PATH_MAX];
        const struct event_object object = pod_event_object(pod, NULL, path);
        bool is_static = pod_is_static(pod);

        if (e->worker)
                pod_worker_erase(e->worker);
        if (m->ctx->statuses && !is_static)
                status_writer_forget(m->ctx->statuses, pod->uid);
        events_forget_object(m->ctx->events, &object);
        map_remove(m->entries, pod->uid);
        entry_free(e);
        trim_soon(m);
        if (is_static)
                start_waiting(m, pod->namespace, pod->name);
        retry_resizes_in(m, RESIZE_SOON_USEC);
        pod_unref(pod);
}

static void finish_deletion(struct entry *e)
{
        struct pod_manager *m = e->manager;

        if (!e->pod->deleted_at || e->delete_told || e->gone || pod_is_static(e->pod) ||
            !m->ctx->statuses)
                return;
        e->delete_told = true;
        status_writer_delete(m->ctx->statuses, e->pod);
}

static void on_finished(_unused_ struct pod_worker *w, void *userdata)
{
        struct entry *e = userdata;

        sd_event_source_set_enabled(e->manager->room, SD_EVENT_ONESHOT);
        if (e->removed)
                forget(e);
        else
                finish_deletion(e);
}

/* ---- admission ---- */

struct active_pods {
        const struct pod **pods;
        size_t n;
};

static struct active_pods collect_active(const struct pod_manager *m, const struct pod *except)
{
        struct active_pods a = { .pods = calloc(map_size(m->entries) + 1, sizeof *a.pods) };
        const char *uid;
        struct entry *e;

        if (!a.pods)
                return a;
        MAP_FOREACH (uid, e, m->entries)
                if (e->pod != except &&
                    (e->awaits_room ||
                     (e->worker && pod_worker_state(e->worker) < POD_WORKER_TERMINATED)))
                        a.pods[a.n++] = e->pod;
        return a;
}

static bool has_remains(const struct pod_manager *m, const char *uid)
{
        return pod_any_sandbox(m->ctx->rt, uid) != NULL;
}

static struct admission_node node_now(const struct pod_manager *m)
{
        const struct context *ctx = m->ctx;
        struct admission_node node = {
                .node = m->options.node(m->options.userdata),
                .name = ctx->node_name,
                .standalone = !ctx->statuses,
                .max_pods = ctx->max_pods,
                .has_apparmor = ctx->has_apparmor,
                .is_shutting_down = ctx->is_shutting_down(ctx->userdata),
                .allowed_unsafe_sysctls = ctx->config->allowed_unsafe_sysctls,
                .memory_pressure = node_pressure_has(ctx->pressure, EVICTION_MEMORY_PRESSURE),
                .disk_pressure = node_pressure_has(ctx->pressure, EVICTION_DISK_PRESSURE),
                .pid_pressure = node_pressure_has(ctx->pressure, EVICTION_PID_PRESSURE),
        };

        ctx->allocatable(&node.allocatable, ctx->userdata);
        return node;
}

/* @pod, a version of @e's, against all others: 0, or 1 and why not. */
static int admit(const struct entry *e, const struct pod *pod, struct admission_refusal *refusal)
{
        const struct admission_node node = node_now(e->manager);
        struct active_pods active = collect_active(e->manager, e->pod);
        int r = active.pods ? admission_check(pod, &node, active.pods, active.n, refusal) : -ENOMEM;

        free(active.pods);
        return r;
}

int pod_manager_foresee(const struct pod_manager *m,
                        int (*fn)(const struct admission_node *node,
                                  const struct pod *const *active, size_t n, void *userdata),
                        void *userdata)
{
        const struct admission_node node = node_now(m);
        struct active_pods active = collect_active(m, NULL);
        int r = active.pods ? fn(&node, active.pods, active.n, userdata) : -ENOMEM;

        free(active.pods);
        return r;
}

/* ---- room for critical pods ---- */

static int make_room(struct entry *e, struct admission_refusal *refusal)
{
        const struct admission_node node = node_now(e->manager);
        struct active_pods active = collect_active(e->manager, e->pod);
        int r = active.pods
                        ? pod_room_make(e->pod, &node, active.pods, active.n, e->manager, refusal)
                        : -ENOMEM;

        free(active.pods);
        e->awaits_room = r > 0;
        return r;
}

static void begin(struct entry *e);

/* What was preempted has ended, all of it: those that wait for it begin. */
static int on_room(_unused_ sd_event_source *s, void *userdata)
{
        struct pod_manager *m = userdata;
        _cleanup_strv_ char **uids = map_keys(m->entries);
        const char *uid;
        struct entry *e;

        MAP_FOREACH (uid, e, m->entries)
                if (e->worker && pod_worker_makes_room(e->worker))
                        return 0;
        STRV_FOREACH (one, uids) {
                e = map_get(m->entries, *one);
                if (!e || !e->awaits_room)
                        continue;
                e->awaits_room = false;
                if (!e->removed && !e->gone && !e->worker)
                        begin(e);
        }
        return 0;
}

/* 1: refused, and the refusal is kept, told and written. */
static int check_admission(struct entry *e)
{
        struct pod_manager *m = e->manager;
        const struct context *ctx = m->ctx;
        struct admission_refusal refusal = { 0 };
        int r = admit(e, e->pod, &refusal);

        if (r <= 0)
                return r;
        if (pod_is_critical(e->pod) && startswith(refusal.reason, "OutOf")) {
                r = make_room(e, &refusal);
                if (r != 0) {
                        admission_refusal_done(&refusal);
                        return r < 0 ? r : 1;
                }
        }
        log_pod_warn(e->pod, 0, "Refused: %s: %s", refusal.reason, refusal.message);
        pod_event(ctx, e->pod, NULL, EVENT_WARNING, refusal.reason, "%s", refusal.message);
        e->refusal = pod_status_rejected(e->pod, refusal.reason, refusal.message, now_realtime());
        if (e->refusal)
                put_status(m, e->pod, e->refusal);
        admission_refusal_done(&refusal);
        return 1;
}

/* ---- resize ---- */

static bool waits_for_resize(const struct entry *e)
{
        return e->desired != e->pod && e->worker && !e->removed && !e->gone &&
               !e->pod->deleted_at && pod_worker_state(e->worker) == POD_WORKER_SYNCING;
}

static bool any_waits_for_resize(const struct pod_manager *m)
{
        const char *uid;
        struct entry *e;

        MAP_FOREACH (uid, e, m->entries)
                if (waits_for_resize(e))
                        return true;
        return false;
}

static void retry_resizes_in(struct pod_manager *m, usec_t pause)
{
        uint64_t due = now_monotonic() + pause, old;
        int enabled = SD_EVENT_OFF;

        if (!any_waits_for_resize(m))
                return;
        sd_event_source_get_enabled(m->resize, &enabled);
        if (enabled != SD_EVENT_OFF && sd_event_source_get_time(m->resize, &old) >= 0 && old <= due)
                return;
        sd_event_source_set_time(m->resize, due);
        sd_event_source_set_enabled(m->resize, SD_EVENT_ONESHOT);
}

static void try_resize(struct entry *e)
{
        struct admission_refusal refusal = { 0 };
        struct pod *old = e->pod;
        int r = admit(e, e->desired, &refusal);

        if (r < 0)
                return log_oom();
        if (r > 0) {
                pod_worker_defer_resize(e->worker, e->desired, refusal.message);
                admission_refusal_done(&refusal);
                return;
        }
        e->pod = pod_ref(e->desired);
        allocation_save(e->manager->ctx, e->pod);
        pod_worker_resize(e->worker, e->pod);
        pod_unref(old);
}

/* Who asks for no more comes first, then the greater priority, then the better class. */
static int by_claim(const void *a, const void *b)
{
        const struct entry *x = *(struct entry *const *)a, *y = *(struct entry *const *)b;
        bool x_grows = pod_requests_grow(x->pod, x->desired),
             y_grows = pod_requests_grow(y->pod, y->desired);
        int32_t px = x->pod->has_priority ? x->pod->priority : 0,
                py = y->pod->has_priority ? y->pod->priority : 0;

        if (x_grows != y_grows)
                return x_grows ? 1 : -1;
        if (px != py)
                return px > py ? -1 : 1;
        return (int)pod_qos(x->pod) - (int)pod_qos(y->pod);
}

static void retry_resizes(struct pod_manager *m)
{
        _cleanup_free_ struct entry **waiting = calloc(map_size(m->entries) + 1,
                                                       sizeof(struct entry *));
        const char *uid;
        struct entry *e;
        size_t n = 0;

        if (!waiting)
                return log_oom();
        MAP_FOREACH (uid, e, m->entries)
                if (waits_for_resize(e))
                        waiting[n++] = e;
        if (n > 0)
                qsort(waiting, n, sizeof(struct entry *), by_claim);
        for (size_t i = 0; i < n; i++)
                try_resize(waiting[i]);
}

static int on_resize_due(sd_event_source *s, _unused_ uint64_t usec, void *userdata)
{
        struct pod_manager *m = userdata;

        sd_event_source_set_enabled(s, SD_EVENT_OFF);
        retry_resizes(m);
        retry_resizes_in(m, RESIZE_AGAIN_USEC);
        return 0;
}

/* @pod came anew: it goes on with what it was granted, and asks for what it is to have. */
static int take_version(struct entry *e, struct pod *pod)
{
        json_auto_t *granted = NULL;
        struct pod *old = e->pod, *version = NULL;
        _cleanup_err_ struct err err = { 0 };
        int r = 0;

        if (e->worker && !pod_is_static(pod) && pod_resources_differ(old, pod)) {
                granted = pod_allocation_json(old);
                r = pod_with_allocation(pod, granted, &version, &err);
                if (r < 0)
                        log_pod_warn(pod, r, "Its resize is passed over: %s", err_text(&err));
        }
        if (!version)
                version = pod_ref(r < 0 ? old : pod);
        pod_unref(e->desired);
        e->desired = pod_ref(pod);
        e->pod = version; /* @old is the caller's */
        return r;
}

/* ---- the beginning of a pod ---- */

static void start_worker(struct entry *e)
{
        static const struct pod_worker_ops ops = { on_status, on_finished };
        struct pod_manager *m = e->manager;
        _cleanup_err_ struct err err = { 0 };

        if (pod_worker_new(m->ctx, m->options.puller, e->pod, &ops, e, &e->worker, &err) < 0)
                log_pod_error(e->pod, 0, "Failed to take care of it, until its next change: %s",
                              err_text(&err));
}

static void begin(struct entry *e)
{
        bool is_over = e->pod->deleted_at || pod_phase_is_terminal(e->pod->phase);
        bool is_new = !is_over && !has_remains(e->manager, e->pod->uid);

        if (!is_over && !pod_is_static(e->pod)) {
                pod_unref(e->pod);
                e->pod = allocation_restore(e->manager->ctx, e->desired);
        }
        if (is_new && check_admission(e) > 0)
                return;
        if (is_new)
                allocation_save(e->manager->ctx, e->pod);
        start_worker(e);
        retry_resizes_in(e->manager, RESIZE_SOON_USEC);
}

/* Another static pod of this name that is not gone yet. */
static bool is_name_taken(const struct pod_manager *m, const struct pod *pod)
{
        const char *uid;
        struct entry *e;

        MAP_FOREACH (uid, e, m->entries)
                if (e->worker && pod_is_static(e->pod) && !streq(e->pod->uid, pod->uid) &&
                    streq(e->pod->name, pod->name) && streq(e->pod->namespace, pod->namespace))
                        return true;
        return false;
}

/* Of several waiting under one name the newest runs next. */
static void wait_for_name(struct entry *e)
{
        struct pod_manager *m = e->manager;
        _cleanup_free_ char *key = text_printf("%s/%s", e->pod->namespace, e->pod->name);
        char *uid = strdup(e->pod->uid), *old = NULL;

        if (!key || !uid || map_put(m->waiting, key, uid, (void **)&old) < 0) {
                free(uid);
                return log_oom();
        }
        log_pod_info(e->pod, "Waits until its predecessor of the same name is gone");
        free(old);
}

static void start_waiting(struct pod_manager *m, const char *namespace, const char *name)
{
        _cleanup_free_ char *key = text_printf("%s/%s", namespace, name);
        _cleanup_free_ char *uid = key ? map_remove(m->waiting, key) : NULL;
        struct entry *e = uid ? map_get(m->entries, uid) : NULL;

        if (e && !e->removed && !e->worker)
                begin(e);
        else if (m->options.mirrors)
                mirrors_clear_static(m->options.mirrors, namespace, name);
}

static struct entry *add_entry(struct pod_manager *m, struct pod *pod)
{
        struct entry *e = calloc(1, sizeof *e);

        if (!e || map_put(m->entries, pod->uid, e, NULL) < 0) {
                free(e);
                return NULL;
        }
        e->manager = m;
        e->pod = pod_ref(pod);
        e->desired = pod_ref(pod);
        return e;
}

static void update(struct entry *e, struct pod *pod)
{
        struct pod_manager *m = e->manager;
        struct pod *old = e->pod;
        bool differs = pod_differs(e->desired, pod) || pod_gates_differ(e->desired, pod);
        bool waited = waits_for_resize(e);

        take_version(e, pod);
        if (m->ctx->statuses && !pod_is_static(pod) && status_writer_seen(m->ctx->statuses, pod))
                put_again(e);
        if (e->worker && differs)
                pod_worker_update(e->worker, e->pod);
        else if (!e->worker && e->refusal)
                finish_deletion(e);
        else if (!e->worker && !e->removed && !e->gone && !e->awaits_room && !pod_is_static(pod))
                begin(e); /* it could not be begun before */
        if (differs && waits_for_resize(e))
                retry_resizes_in(m, 0);
        else if (waited && !waits_for_resize(e))
                pod_worker_defer_resize(e->worker, NULL, NULL);
        pod_unref(old);
}

void pod_manager_put(struct pod_manager *m, struct pod *pod)
{
        struct entry *e;

        if (pod_is_mirror(pod)) {
                if (m->options.mirrors)
                        mirrors_seen(m->options.mirrors, pod);
                return;
        }
        e = map_get(m->entries, pod->uid);
        if (e) {
                update(e, pod);
                return;
        }
        e = add_entry(m, pod);
        if (!e)
                return log_oom();
        log_pod_info(pod, "Added");
        if (pod_is_static(pod) && m->options.mirrors)
                mirrors_set_static(m->options.mirrors, pod);
        if (pod_is_static(pod) && is_name_taken(m, pod))
                wait_for_name(e);
        else
                begin(e);
}

void pod_manager_removed(struct pod_manager *m, enum pod_source source, const char *namespace,
                         const char *name, const char *uid)
{
        struct entry *e = map_get(m->entries, uid);
        const struct pod *mirror = m->options.mirrors && source == POD_SOURCE_API
                                           ? mirrors_find(m->options.mirrors, namespace, name)
                                           : NULL;

        if (mirror && streq(mirror->uid, uid)) {
                if (m->ctx->statuses)
                        status_writer_forget(m->ctx->statuses, uid);
                mirrors_unseen(m->options.mirrors, namespace, name);
                return;
        }
        if (!e)
                return;
        log_pod_info(e->pod, "Removed");
        e->removed = true;
        if (!e->worker || pod_worker_state(e->worker) == POD_WORKER_FINISHED)
                forget(e);
        else
                pod_worker_kill(e->worker, -1, NULL, NULL);
}

void pod_manager_gone(struct pod_manager *m, const char *uid)
{
        struct entry *e = map_get(m->entries, uid);

        if (!e || pod_is_static(e->pod) || e->gone)
                return;
        e->gone = true;
        if (e->worker && pod_worker_state(e->worker) != POD_WORKER_FINISHED)
                pod_worker_kill(e->worker, -1, NULL, NULL);
}

void pod_manager_mirror_changed(struct pod_manager *m, const char *namespace, const char *name)
{
        struct pod_worker *w;
        struct pod *pod = pod_manager_find(m, namespace, name, &w);
        json_auto_t *status = pod && w && pod_is_static(pod) ? pod_worker_status(w) : NULL;

        if (status)
                put_status(m, pod, status);
}

/* ---- pokes ---- */

static void poke_uid(struct pod_manager *m, const char *uid)
{
        struct entry *e = uid ? map_get(m->entries, uid) : NULL;

        if (e && e->worker)
                pod_worker_poke(e->worker);
}

void pod_manager_container_changed(struct pod_manager *m, const char *container_id)
{
        const struct container_status *c = container_find(m->ctx->rt, container_id);

        if (c)
                poke_uid(m, string_map_get(c->labels, LABEL_POD_UID));
}

void pod_manager_sandbox_changed(struct pod_manager *m, const char *sandbox_id)
{
        const struct sandbox_status *s = sandbox_find(m->ctx->rt, sandbox_id);

        if (s)
                poke_uid(m, string_map_get(s->labels, LABEL_POD_UID));
}

void pod_manager_poke_all(struct pod_manager *m)
{
        const char *uid;
        struct entry *e;

        MAP_FOREACH (uid, e, m->entries)
                if (e->worker)
                        pod_worker_services_synced(e->worker);
}

/* ---- orphans ---- */

static bool is_known(const char *uid, void *userdata)
{
        const struct pod_manager *m = userdata;

        return map_get(m->entries, uid) != NULL;
}

void pod_manager_synced(struct pod_manager *m)
{
        if (m->options.mirrors)
                mirrors_synced(m->options.mirrors);
        orphans_start(m->orphans);
        node_volumes_settled(m->ctx->node_volumes);
}

/* ---- reading ---- */

void pod_manager_foreach(const struct pod_manager *m,
                         void (*fn)(struct pod *pod, struct pod_worker *w, void *userdata),
                         void *userdata)
{
        _cleanup_strv_ char **uids = map_keys(m->entries);

        STRV_FOREACH (uid, uids) {
                struct entry *e = map_get(m->entries, *uid);

                if (e)
                        fn(e->pod, e->worker, userdata);
        }
}

struct pod *pod_manager_find(const struct pod_manager *m, const char *namespace, const char *name,
                             struct pod_worker **ret_worker)
{
        struct entry *e, *found = NULL;
        const char *uid;

        MAP_FOREACH (uid, e, m->entries) {
                if (!streq(e->pod->name, name) || !streq(e->pod->namespace, namespace))
                        continue;
                if (!found || (e->worker && !found->worker) || (!e->removed && found->removed))
                        found = e;
        }
        if (ret_worker)
                *ret_worker = found ? found->worker : NULL;
        return found ? found->pod : NULL;
}

json_t *pod_manager_explain(const struct pod_manager *m, struct pod *pod, struct pod_worker *w)
{
        const struct entry *e = map_get(m->entries, pod->uid);
        struct explain_pod p = { .namespace = pod->namespace,
                                 .name = pod->name,
                                 .now = now_realtime() };

        if (w)
                return pod_worker_explain(w);
        if (e && e->refusal) {
                p.refusal_reason = json_text_at(e->refusal, "reason");
                p.refusal_message = json_text_at(e->refusal, "message");
        } else {
                p.waits_for_predecessor = pod_is_static(pod);
        }
        return pod_explain(&p);
}

struct pod_worker *pod_manager_worker(const struct pod_manager *m, const char *uid)
{
        const struct entry *e = map_get(m->entries, uid);

        return e ? e->worker : NULL;
}

json_t *pod_manager_pod_json(const struct pod_manager *m, struct pod *pod, struct pod_worker *w)
{
        const struct entry *e = map_get(m->entries, pod->uid);
        json_t *o = pod_to_json(pod);
        json_t *status = w ? pod_worker_status(w) : NULL;

        if (!o)
                return NULL;
        if (!status && e && e->refusal)
                status = json_incref(e->refusal);
        json_object_set_new(o, "status", status ? status : pod_status_json(pod));
        json_set_text(o, "apiVersion", "v1");
        json_set_text(o, "kind", "Pod");
        return o;
}

int pod_manager_new(const struct pod_manager_options *options, struct pod_manager **ret,
                    struct err *err)
{
        _cleanup_(pod_manager_freep)
        struct pod_manager *m = calloc(1, sizeof *m);
        int r;

        if (!m)
                return err_sys(err, -ENOMEM, "start the pod manager");
        *m = (struct pod_manager){
                .options = *options, .ctx = options->ctx, .entries = map_new(), .waiting = map_new()
        };
        if (!m->entries || !m->waiting)
                return err_sys(err, -ENOMEM, "start the pod manager");
        r = sd_event_add_time(m->ctx->event, &m->trim, CLOCK_MONOTONIC, 0, USEC_PER_SEC, on_trim,
                              m);
        if (r >= 0)
                r = sd_event_source_set_enabled(m->trim, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_add_time(m->ctx->event, &m->resize, CLOCK_MONOTONIC, 0,
                                      50 * USEC_PER_MSEC, on_resize_due, m);
        if (r >= 0)
                r = sd_event_source_set_enabled(m->resize, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_add_defer(m->ctx->event, &m->room, on_room, m);
        if (r >= 0)
                r = sd_event_source_set_enabled(m->room, SD_EVENT_OFF);
        if (r < 0)
                return err_sys(err, r, "start the pod manager");
        r = orphans_new(m->ctx, is_known, m, &m->orphans, err);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(m);
        return 0;
}

struct pod_manager *pod_manager_free(struct pod_manager *m)
{
        if (!m)
                return NULL;
        sd_event_source_disable_unref(m->trim);
        sd_event_source_disable_unref(m->resize);
        sd_event_source_disable_unref(m->room);
        orphans_free(m->orphans);
        map_free_with(m->entries, entry_free);
        map_free_with(m->waiting, free);
        free(m);
        return NULL;
}
