/*
 * Theory of operation. on_look() is the whole walk: observe, decide, tell the status, act. It runs
 * from a deferred source, so that any number of pokes before it are one. What was started is kept
 * in slots (one per container) and in the two sandbox operations, so that acting twice on the same
 * answer starts nothing twice.
 *
 * The way down is the same walk with other acts: TERMINATING stops containers until the observation
 * shows none, then the sandbox; TERMINATED takes down volumes and cgroup until that succeeded;
 * FINISHED waits for the API to let go of the pod.
 */
#include "kubelet/pod-worker-internal.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>

#include "base/log.h"
#include "base/text.h"
#include "kubelet/config.h"
#include "kubelet/container-config.h"
#include "kubelet/pod-files.h"
#include "kubelet/pod-log.h"
#include "kubelet/pod-status.h"
#include "kubelet/reason.h"

#define SANDBOX_RETRY_FIRST_USEC (1 * USEC_PER_SEC)
#define SANDBOX_RETRY_MAX_USEC   (60 * USEC_PER_SEC)
#define CLEANUP_FIRST_USEC       (20 * USEC_PER_MSEC)
#define CLEANUP_MAX_USEC         (5 * USEC_PER_SEC)

static const char *const state_names[] = {
        [POD_WORKER_SYNCING] = "syncing",
        [POD_WORKER_TERMINATING] = "terminating",
        [POD_WORKER_TERMINATED] = "terminated",
        [POD_WORKER_FINISHED] = "finished",
};
static_assert(ARRAY_SIZE(state_names) == _POD_WORKER_STATE_MAX, "a state has no name");

const char *pod_worker_state_name(enum pod_worker_state state)
{
        return state_names[state];
}

struct pod *pod_worker_pod(const struct pod_worker *w)
{
        return w->pod;
}

const struct pod_probes *pod_worker_probes(const struct pod_worker *w)
{
        return w->probes;
}

enum pod_worker_state pod_worker_state(const struct pod_worker *w)
{
        return w->state;
}

json_t *pod_worker_status(const struct pod_worker *w)
{
        json_t *status = NULL;

        if (w->status_text &&
            json_parse(w->status_text, strlen(w->status_text), false, &status, NULL) == 0)
                return status;
        return NULL;
}

void pod_worker_poke(struct pod_worker *w)
{
        sd_event_source_set_enabled(w->look, SD_EVENT_ONESHOT);
}

/* The walk is done again no later than @when (CLOCK_MONOTONIC). */
void pod_worker_wake_by(struct pod_worker *w, usec_t when)
{
        uint64_t due;
        int enabled;

        if (sd_event_source_get_enabled(w->timer, &enabled) > 0 &&
            sd_event_source_get_time(w->timer, &due) >= 0 && due <= when)
                return;
        sd_event_source_set_time(w->timer, when);
        sd_event_source_set_enabled(w->timer, SD_EVENT_ONESHOT);
}

usec_t pod_worker_timer_clock(usec_t t)
{
        usec_t now = now_realtime();

        return now_monotonic() + (t > now ? t - now : 0);
}

static void on_poke(void *userdata)
{
        pod_worker_poke(userdata);
}

static void set_state(struct pod_worker *w, enum pod_worker_state next, const char *why)
{
        if (next <= w->state) /* a pod only moves towards its end */
                return;
        log_pod_info(w->pod, "%s -> %s: %s", state_names[w->state], state_names[next], why);
        pod_step(&w->timeline, w->pod, -1, state_names[next]);
        w->state = next;
        w->state_since = now_realtime();
        if (free_and_strdup(&w->state_why, why) < 0)
                log_oom();
}

/* ---- observing ---- */

/* Hands the running containers to the probes and takes their verdicts. */
static void observe_probes(struct pod_worker *w, struct observation *o)
{
        const char *ip = w->pod->host_network ? w->ctx->node_ip
                         : *o->seen.ip4       ? o->seen.ip4
                                              : o->seen.ip6;

        for (size_t i = 0; i < o->n_containers; i++) {
                struct container_observed *c = &o->containers[i];
                const struct instance *n = newest_instance(c);
                struct slot *slot = &w->slots[i];
                bool runs = n && n->state == INSTANCE_RUNNING;
                bool adopted = runs && slot->adopted_id && streq(slot->adopted_id, n->id);

                pod_probes_set_container(w->probes, i, runs ? n->id : NULL,
                                         runs ? n->started_at : 0, ip,
                                         adopted && slot->adopted_started,
                                         adopted && slot->adopted_ready);
                c->startup = pod_probes_verdict(w->probes, i, PROBE_STARTUP);
                c->liveness = pod_probes_verdict(w->probes, i, PROBE_LIVENESS);
                c->readiness = pod_probes_verdict(w->probes, i, PROBE_READINESS);
                c->must_restart = n && slot->restart_id && streq(slot->restart_id, n->id);
                c->has_started_before = adopted && slot->adopted_started;
                c->was_ready_before = adopted && slot->adopted_ready;
                c->waiting_reason = slot->waiting_reason;
                c->waiting_message = slot->waiting_message;
        }
}

int pod_worker_look_at(struct pod_worker *w, struct observation *o)
{
        int r = observe(w->observer, w->ctx, w->pod, o);

        if (r == 0)
                observe_probes(w, o);
        return r;
}

void pod_worker_decide(struct pod_worker *w, const struct observation *o,
                       struct pod_actions *actions)
{
        _cleanup_free_ struct crash_backoff *backoffs = calloc(w->n_slots + 1, sizeof *backoffs);

        for (size_t i = 0; backoffs && i < w->n_slots; i++)
                backoffs[i] = w->slots[i].backoff;
        if (!backoffs ||
            pod_actions_compute(w->pod, &o->seen, backoffs, now_realtime(), actions) < 0)
                *actions = (struct pod_actions){ .wake_at = USEC_NEVER };
}

/* ---- status ---- */

#define PREEMPTED_MESSAGE "Pod was preempted by Kubelet to accommodate a critical pod."

static bool was_preempted(const struct pod_worker *w)
{
        return w->forced_reason && streq(w->forced_reason, REASON_PREEMPTING);
}

static struct pod_status_input status_input(const struct pod_worker *w, const struct observation *o,
                                            const struct pod_actions *actions,
                                            const json_t *previous)
{
        bool volumes_ready = !w->volumes || pod_volumes_are_ready(w->volumes);

        return (struct pod_status_input){
                .pod = w->pod,
                .seen = &o->seen,
                .actions = actions,
                .previous = previous,
                .now = now_realtime(),
                .is_terminating = w->state >= POD_WORKER_TERMINATING,
                .is_terminal = w->state >= POD_WORKER_TERMINATED,
                .is_terminated = w->state >= POD_WORKER_FINISHED,
                /* volumes come before the sandbox in the kubelet: a pod that waits for them shows
                   none */
                .new_sandbox_needed = !o->seen.sandbox_ready || (!volumes_ready && !o->n_instances),
                .resize = &w->resize.conditions,
                .forced_reason = w->forced_reason,
                .forced_message = w->forced_message,
                .disruption_target = w->forced_reason && !w->is_own_fault,
                .disruption_message = was_preempted(w) ? PREEMPTED_MESSAGE : NULL,
        };
}

static void tell_status(struct pod_worker *w, const struct observation *o,
                        const struct pod_actions *actions)
{
        json_auto_t *previous = pod_worker_status(w);
        json_auto_t *shown = w->pod->readiness_gates ? pod_status_json(w->pod) : NULL;
        struct pod_status_input in = status_input(w, o, actions, previous);
        json_auto_t *status = NULL;
        char *text;

        in.shown = shown;
        status = pod_status_build(&in);
        if (!status)
                return log_oom();
        if (previous && w->status_text && json_equal(previous, status))
                return;
        text = json_dumps(status, JSON_COMPACT);
        if (!text)
                return log_oom();
        termination_counts_note(w->ctx->ended, previous, status);
        free(w->status_text);
        w->status_text = text;
        w->ops.on_status(w, status, w->userdata);
}

/* ---- the timeline ---- */

/* Ends and readiness, which the observation shows; all else is noted where it is done. */
static void note_changes(struct pod_worker *w, const struct observation *o)
{
        for (size_t i = 0; i < o->n_containers; i++) {
                const struct container_observed *c = &o->containers[i];
                const struct instance *n = newest_instance(c);
                struct slot *s = &w->slots[i];
                bool runs = n && n->state == INSTANCE_RUNNING;
                bool is_ready = runs && c->readiness != PROBE_VERDICT_FAILURE &&
                                (!pod_container_at(w->pod, i)->startup ||
                                 c->startup == PROBE_VERDICT_SUCCESS) &&
                                (!s->start || !pod_container_at(w->pod, i)->post_start);

                if (s->was_ready != is_ready && (runs || is_ready))
                        pod_step(&w->timeline, w->pod, (int)i, is_ready ? "ready" : "not ready");
                s->was_ready = is_ready;
                if (!n || n->state != INSTANCE_EXITED || s->exit_noted == n->finished_at)
                        continue;
                s->exit_noted = n->finished_at;
                pod_step_at(&w->timeline, w->pod, (int)i, "exited", (uint32_t)n->exit_code,
                            n->finished_at);
        }
}

/* ---- the states ---- */

/* activeDeadlineSeconds: 1 when it has passed. */
static bool is_past_deadline(struct pod_worker *w)
{
        json_auto_t *status = w->pod->active_deadline_sec == POD_UNSET ? NULL
                                                                       : pod_worker_status(w);
        const char *start = json_text_at(status, "startTime");
        usec_t started_at, end;

        if (!start || time_parse(start, &started_at) < 0)
                return false;
        end = started_at + (usec_t)w->pod->active_deadline_sec * USEC_PER_SEC;
        if (now_realtime() >= end)
                return true;
        pod_worker_wake_by(w, pod_worker_timer_clock(end));
        return false;
}

static void sync_pod(struct pod_worker *w, const struct observation *o,
                     const struct pod_actions *actions)
{
        if (is_past_deadline(w)) {
                static const char message[] =
                        "Pod was active on the node longer than the specified deadline";

                w->is_own_fault = true;
                pod_event(w->ctx, w->pod, NULL, EVENT_NORMAL, "DeadlineExceeded", "%s", message);
                pod_worker_kill(w, -1, "DeadlineExceeded", message);
                return;
        }
        if (actions->kill_pod) {
                if (pod_worker_stop_containers(w, o) && pod_worker_ensure_sandbox_stopped(w, o) &&
                    actions->create_sandbox)
                        pod_worker_ensure_sandbox(w, actions);
                return;
        }
        if (actions->create_sandbox)
                pod_worker_ensure_sandbox(w, actions);
        pod_worker_sync_containers(w, o, actions);
}

static void terminate_pod(struct pod_worker *w, const struct observation *o)
{
        if (!w->stopped_restarts) {
                pod_probes_stop_restarts(w->probes);
                w->stopped_restarts = true;
        }
        if (!pod_worker_stop_containers(w, o) || !pod_worker_ensure_sandbox_stopped(w, o))
                return;
        set_state(w, POD_WORKER_TERMINATED, "nothing of it runs any more");
        pod_worker_poke(w);
}

static void clean_up(struct pod_worker *w)
{
        _cleanup_free_ char *cgroup = pod_cgroup_path(w->pod);
        _cleanup_err_ struct err err = { 0 };
        int r = cgroup ? 0 : -ENOMEM;

        if (r == 0)
                r = w->volumes ? pod_volumes_teardown(w->volumes, &err)
                               : volumes_teardown_orphan(w->ctx->volumes, w->pod->uid, &err);
        if (r == 0)
                r = runtime_cgroup_remove(w->ctx->rt, cgroup, &err);
        if (r < 0) {
                usec_t pause = backoff_next(&w->cleanup_backoff);

                if (free_and_strdup(&w->cleanup_problem, err_text(&err)) < 0)
                        log_oom();
                w->cleanup_retry_at = now_monotonic() + pause;
                if (pause >= USEC_PER_SEC)
                        log_pod_warn(w->pod, r, "Failed to clean up after it, trying again: %s",
                                     err_text(&err));
                pod_worker_wake_by(w, now_monotonic() + pause);
                return;
        }
        w->volumes = pod_volumes_free(w->volumes);
        w->objects = pod_objects_free(w->objects);
        pod_worker_drop_files(w);
        set_state(w, POD_WORKER_FINISHED, "volumes and cgroup are gone");
        pod_worker_poke(w);
}

static void resize(struct pod_worker *w, struct observation *o)
{
        usec_t again = pod_resize_sync(&w->resize, w->ctx, w->pod, o);

        if (again != USEC_NEVER)
                pod_worker_wake_by(w, again);
}

static void look(struct pod_worker *w)
{
        struct observation o;
        struct pod_actions actions = { .wake_at = USEC_NEVER };
        struct pod_status_input in;
        enum pod_worker_state before = w->state;

        pod_worker_reap_stops(w);
        if (pod_worker_look_at(w, &o) < 0) {
                pod_worker_wake_by(w, now_monotonic() + USEC_PER_SEC);
                return log_oom();
        }
        note_changes(w, &o);
        if (w->state == POD_WORKER_SYNCING) {
                pod_worker_decide(w, &o, &actions);
                in = status_input(w, &o, &actions, NULL);
                if (pod_phase_is_terminal(pod_status_phase(&in)))
                        set_state(w, POD_WORKER_TERMINATING,
                                  "all its containers have ended for good");
        }
        switch (w->state) {
        case POD_WORKER_SYNCING:
                resize(w, &o);
                tell_status(w, &o, &actions);
                sync_pod(w, &o, &actions);
                pod_worker_trim_instances(w, &o);
                break;
        case POD_WORKER_TERMINATING:
                terminate_pod(w, &o);
                if (w->state == POD_WORKER_TERMINATING)
                        tell_status(w, &o, NULL);
                break;
        case POD_WORKER_TERMINATED:
                tell_status(w, &o, NULL);
                clean_up(w);
                break;
        default:
                tell_status(w, &o, NULL);
                break;
        }
        pod_actions_done(&actions);
        observation_done(&o);
        if (w->state == POD_WORKER_FINISHED && before == POD_WORKER_FINISHED)
                w->ops.on_finished(w, w->userdata); /* last: it may free the worker */
}

static int on_look(_unused_ sd_event_source *s, void *userdata)
{
        look(userdata);
        return 0;
}

static int on_timer(_unused_ sd_event_source *s, _unused_ uint64_t usec, void *userdata)
{
        look(userdata);
        return 0;
}

/* ---- from outside ---- */

static void on_volume_event(bool is_warning, const char *reason, const char *message,
                            void *userdata)
{
        struct pod_worker *w = userdata;

        if (is_warning)
                log_pod_warn(w->pod, 0, "A volume is not ready: %s", message);
        pod_event(w->ctx, w->pod, NULL, is_warning ? EVENT_WARNING : EVENT_NORMAL, reason, "%s",
                  message);
}

static void on_volumes_changed(void *userdata)
{
        struct pod_worker *w = userdata;

        if (pod_volumes_are_ready(w->volumes))
                pod_step(&w->timeline, w->pod, -1, "volumes");
        pod_worker_poke(w);
}

/* What a container waits for may be here now, or what failed for the lack of it may work. */
static void retry_containers(struct pod_worker *w)
{
        for (size_t i = 0; i < w->n_slots; i++) {
                struct slot *s = &w->slots[i];

                if (s->start)
                        container_start_poke(s->start);
                else if (s->waiting_reason &&
                         streq(s->waiting_reason, "CreateContainerConfigError"))
                        s->retry_at = 0;
        }
        pod_worker_poke(w);
}

static void on_objects_changed(void *userdata)
{
        struct pod_worker *w = userdata;

        if (pod_objects_runtime_class(w->objects))
                w->sandbox_retry_at = 0;
        retry_containers(w);
}

/* Of a pod that has ended nothing is left to retry, its objects neither. */
void pod_worker_services_synced(struct pod_worker *w)
{
        retry_containers(w);
}

void pod_worker_kill(struct pod_worker *w, int64_t grace_sec, const char *reason,
                     const char *message)
{
        if (w->state >= POD_WORKER_TERMINATED)
                return;
        if (grace_sec >= 0 && (w->grace_sec < 0 || grace_sec < w->grace_sec))
                w->grace_sec = grace_sec;
        w->skip_hooks |= grace_sec == 0;
        if (reason && !w->forced_reason) {
                w->forced_reason = strdup(reason);
                w->forced_message = strdup(message);
        }
        set_state(w, POD_WORKER_TERMINATING, reason ? reason : "it is to go");
        pod_worker_poke(w);
}

void pod_worker_stop(struct pod_worker *w)
{
        if (w->state < POD_WORKER_TERMINATED && !w->forced_reason)
                w->is_own_fault = true;
        pod_worker_kill(w, -1, "Stopped", "It was stopped by 'skiff stop'");
}

bool pod_worker_evict(struct pod_worker *w, int64_t grace_sec, const char *message,
                      bool is_disruption)
{
        if (w->forced_reason || w->state >= POD_WORKER_TERMINATED)
                return false;
        w->is_own_fault = !is_disruption;
        pod_worker_kill(w, grace_sec, REASON_EVICTED, message);
        return true;
}

void pod_worker_preempt(struct pod_worker *w)
{
        static const char message[] = "Preempted in order to admit critical pod";

        if (w->forced_reason || w->state >= POD_WORKER_TERMINATED)
                return;
        pod_event(w->ctx, w->pod, NULL, EVENT_WARNING, REASON_PREEMPTING, "%s", message);
        pod_worker_kill(w, -1, REASON_PREEMPTING, message);
}

bool pod_worker_makes_room(const struct pod_worker *w)
{
        return was_preempted(w) && w->state < POD_WORKER_TERMINATED;
}

/* More slots when ephemeral containers were added. */
static int fit_slots(struct pod_worker *w)
{
        size_t n = pod_n_containers(w->pod);
        struct slot *grown;

        if (n <= w->n_slots)
                return 0;
        grown = realloc(w->slots, n * sizeof *grown);
        if (!grown)
                return -ENOMEM;
        memset(grown + w->n_slots, 0, (n - w->n_slots) * sizeof *grown);
        for (size_t i = w->n_slots; i < n; i++)
                grown[i].backoff.limits = w->ctx->crash_limits;
        w->slots = grown;
        w->n_slots = n;
        return 0;
}

void pod_worker_update(struct pod_worker *w, struct pod *pod)
{
        struct pod *old = w->pod;

        w->pod = pod_ref(pod);
        if (fit_slots(w) < 0) {
                w->pod = old;
                pod_unref(pod);
                return log_oom();
        }
        pod_unref(old);
        if (w->volumes)
                pod_volumes_update(w->volumes, pod);
        pod_probes_set_pod(w->probes, pod);
        if (pod->deleted_at)
                set_state(w, POD_WORKER_TERMINATING, "it was deleted from the API");
        pod_worker_poke(w);
}

void pod_worker_resize(struct pod_worker *w, struct pod *pod)
{
        pod_worker_update(w, pod);
        pod_resize_set_started(&w->resize, w->ctx, pod);
}

void pod_worker_defer_resize(struct pod_worker *w, const struct pod *desired, const char *message)
{
        if (desired ? pod_resize_set_pending(&w->resize, w->ctx, desired, message)
                    : pod_resize_clear_pending(&w->resize))
                pod_worker_poke(w);
}

static void erase_container(const struct container_status *c, void *userdata)
{
        struct pod_worker *w = userdata;
        const char *name = string_map_get(c->labels, LABEL_CONTAINER_NAME);

        if (name)
                pod_log_remove_instance(w->ctx, w->pod, name, c->id, c->log_path);
}

struct sandbox_ids {
        const char *uid;
        char **ids;
};

static void collect_sandbox(const struct sandbox_status *s, void *userdata)
{
        struct sandbox_ids *ids = userdata;
        const char *uid = string_map_get(s->labels, LABEL_POD_UID);

        if (uid && streq(uid, ids->uid) && strv_append(&ids->ids, s->id) < 0)
                log_oom();
}

void pod_worker_erase(struct pod_worker *w)
{
        struct sandbox_ids ids = { .uid = w->pod->uid };

        sandbox_foreach(w->ctx->rt, collect_sandbox, &ids);
        STRV_FOREACH (id, ids.ids) {
                _cleanup_err_ struct err err = { 0 };

                container_foreach(w->ctx->rt, *id, erase_container, w);
                if (sandbox_remove(w->ctx->rt, *id, &err) < 0)
                        log_pod_warn(w->pod, 0, "Failed to remove sandbox '%.12s': %s", *id,
                                     err_text(&err));
        }
        strv_free(ids.ids);
        pod_logs_remove(w->ctx, w->pod);
        image_puller_forget(w->puller, w->pod->uid);
}

/* What the API said of running containers before we came: it holds until a probe says otherwise. */
static void adopt_status(struct pod_worker *w)
{
        static const char *const lists[] = { "initContainerStatuses", "containerStatuses" };
        json_auto_t *status = pod_status_json(w->pod);
        const struct pod_container *c;

        for (size_t k = 0; k < ARRAY_SIZE(lists); k++) {
                const json_t *s;
                size_t i;

                json_array_foreach (json_object_get(status, lists[k]), i, s) {
                        const char *name = json_text_at(s, "name"),
                                   *id = json_text_at(s, "containerID");

                        POD_FOREACH_CONTAINER(c, w->pod)
                        {
                                struct slot *slot = &w->slots[_i];

                                if (!name || !id || !streq(c->name, name) ||
                                    !startswith(id, "skiff://"))
                                        continue;
                                free_and_strdup(&slot->adopted_id, startswith(id, "skiff://"));
                                slot->adopted_started = json_is_true(json_object_get(s, "started"));
                                slot->adopted_ready = json_is_true(json_object_get(s, "ready"));
                        }
                }
        }
}

int pod_worker_new(const struct context *ctx, struct image_puller *puller, struct pod *pod,
                   const struct pod_worker_ops *ops, void *userdata, struct pod_worker **ret,
                   struct err *err)
{
        static const struct pod_volumes_ops volume_ops = { on_volumes_changed, on_volume_event };
        struct pod_worker *w = calloc(1, sizeof *w);
        int r;

        if (!w)
                return err_sys(err, -ENOMEM, "take care of the pod");
        *w = (struct pod_worker){
                .ctx = ctx,
                .puller = puller,
                .pod = pod_ref(pod),
                .ops = *ops,
                .userdata = userdata,
                .grace_sec = -1,
                .seen_at = now_realtime(),
                .state_since = now_realtime(),
                .observer = observer_new(),
                .status_text = strdup_null(pod->status_text),
                .sandbox_backoff = { SANDBOX_RETRY_FIRST_USEC, SANDBOX_RETRY_MAX_USEC, 0 },
                .cleanup_backoff = { CLEANUP_FIRST_USEC, CLEANUP_MAX_USEC, 0 },
        };
        pod_step(&w->timeline, pod, -1, "admitted");
        r = w->observer ? fit_slots(w) : -ENOMEM;
        if (r == 0)
                r = sd_event_add_defer(ctx->event, &w->look, on_look, w);
        if (r >= 0)
                r = sd_event_add_time(ctx->event, &w->timer, CLOCK_MONOTONIC, 0, ACCURACY_USEC,
                                      on_timer, w);
        if (r >= 0)
                r = sd_event_source_set_enabled(w->timer, SD_EVENT_OFF);
        if (r >= 0)
                r = pod_objects_new(ctx, pod, on_objects_changed, w, &w->objects);
        if (r >= 0)
                r = pod_probes_new(ctx, pod, on_poke, w, &w->probes);
        if (r < 0) {
                pod_worker_free(w);
                return err_sys(err, r, "take care of the pod");
        }
        adopt_status(w);
        pod_resize_init(&w->resize, pod);
        if (pod->deleted_at)
                set_state(w, POD_WORKER_TERMINATING, "it was deleted from the API");
        else if (pod_phase_is_terminal(pod->phase))
                set_state(w, POD_WORKER_TERMINATING, "it has ended before");
        if (w->state == POD_WORKER_SYNCING) { /* what is only to go needs none */
                r = pod_volumes_new(ctx->volumes, pod, &volume_ops, w, &w->volumes, err);
                if (r < 0) {
                        pod_worker_free(w);
                        return r;
                }
        }
        *ret = w;
        return 0;
}

struct pod_worker *pod_worker_free(struct pod_worker *w)
{
        if (!w)
                return NULL;
        for (size_t i = 0; i < w->n_slots; i++) {
                struct slot *s = &w->slots[i];

                container_start_free(s->start);
                container_stop_free(s->stop);
                free(s->waiting_reason);
                free(s->waiting_message);
                free(s->adopted_id);
                free(s->restart_id);
        }
        free(w->slots);
        pod_resize_done(&w->resize);
        runtime_op_abandon(w->sandbox_op);
        runtime_op_abandon(w->sandbox_stop_op);
        sd_event_source_disable_unref(w->look);
        sd_event_source_disable_unref(w->timer);
        pod_probes_free(w->probes);
        pod_volumes_free(w->volumes);
        pod_objects_free(w->objects);
        observer_free(w->observer);
        pod_timeline_done(&w->timeline);
        free(w->status_text);
        free(w->state_why);
        free(w->sandbox_problem);
        free(w->cleanup_problem);
        free(w->forced_reason);
        free(w->forced_message);
        pod_unref(w->pod);
        free(w);
        return NULL;
}
