/*
 * Containers of one pod, in and out: what pod-actions asked for is begun here once, and kept in the
 * pod's slots until it is over.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>

#include "base/log.h"
#include "base/text.h"
#include "kubelet/pod-files.h"
#include "kubelet/pod-log.h"
#include "kubelet/pod-worker-internal.h"
#include "kubelet/reason.h"

enum { NOTED_MAX = 6 }; /* failures in a row that the timeline tells */
#define PULL_FAILED_PAUSE_USEC \
        (2 * USEC_PER_SEC) /* ErrImagePull is shown so long before ImagePullBackOff */

/* ---- containers in ---- */

static void set_waiting(struct slot *s, const char *reason, const char *message)
{
        if (free_and_strdup(&s->waiting_reason, reason) < 0 ||
            free_and_strdup(&s->waiting_message, message) < 0)
                log_oom();
}

static void on_start_done(struct container_start *start, enum start_result result,
                          const char *reason, const char *message, usec_t wake_at, void *userdata)
{
        struct pod_worker *w = userdata;
        struct slot *s = &w->slots[container_start_index(start)];

        set_waiting(s, reason, message);
        if (result == START_FAILED) {
                s->failing_since = s->failures ? s->failing_since : now_realtime();
                if (!streq(reason, "ImagePullBackOff")) /* nothing was tried */
                        s->failures++;
                if (s->failures < NOTED_MAX)
                        pod_step(&w->timeline, w->pod, (int)container_start_index(start),
                                 "not started");
        } else {
                s->failures = 0;
        }
        s->retry_at = 0;
        if (result == START_FAILED && wake_at) {
                s->retry_at = wake_at;
                if (streq(reason, "ErrImagePull"))
                        s->retry_at = MAX(wake_at, now_monotonic() + PULL_FAILED_PAUSE_USEC);
        }
        s->hook_failed = result == START_HOOK_FAILED;
        s->start = container_start_free(start);
        pod_worker_poke(w);
}

static void on_start_step(struct container_start *start, const char *step, uint64_t value,
                          void *userdata)
{
        struct pod_worker *w = userdata;

        size_t i = container_start_index(start);
        struct slot *s = &w->slots[i];

        pod_step_at(&w->timeline, w->pod, (int)i, step, (uint32_t)MIN(value / 1024, UINT32_MAX), 0);
        /* the pause grows with every instance made after an exit, not with every try at its image
         */
        if (s->exited_at && container_start_id(start)) {
                crash_backoff_started(&s->backoff, crash_backoff_key(pod_container_at(w->pod, i)),
                                      s->exited_at, now_realtime());
                s->exited_at = 0;
        }
        pod_worker_poke(w);
}

static void begin_start(struct pod_worker *w, size_t i, const struct container_action *action)
{
        static const struct container_start_ops ops = { on_start_done, on_start_step };
        struct slot *s = &w->slots[i];
        const struct pod_container *c = pod_container_at(w->pod, i);
        const struct container_start_options options = {
                .pod = w->pod,
                .container = c,
                .index = i,
                .restart_count = action->restart_count,
                .volumes = w->volumes,
                .objects = w->objects,
                .puller = w->puller,
        };
        _cleanup_err_ struct err err = { 0 };
        usec_t now = now_monotonic();

        if (now < s->retry_at) {
                pod_worker_wake_by(w, s->retry_at);
                return;
        }
        if (container_start_new(w->ctx, &options, &ops, w, &s->start, &err) < 0) {
                log_container_warn(w->pod, c->name, 0, "Failed to start it, trying again: %s",
                                   err_text(&err));
                s->retry_at = now + USEC_PER_SEC;
                pod_worker_wake_by(w, s->retry_at);
                return;
        }
        s->exited_at = action->exited_at;
}

/* Lets the first of the starts under way go on to create; the others have their images looked at
 * meanwhile. */
static void allow_first_start(struct pod_worker *w, const struct observation *o)
{
        const char *ip4 = w->pod->host_network ? o->seen.host_ip4 : o->seen.ip4;
        const char *ip6 = w->pod->host_network ? o->seen.host_ip6 : o->seen.ip6;

        if (!o->seen.sandbox_ready || !pod_volumes_are_ready(w->volumes))
                return;
        for (size_t i = 0; i < w->n_slots; i++)
                if (w->slots[i].start) {
                        if (container_start_allow(w->slots[i].start, o->seen.sandbox_id, ip4, ip6) <
                            0)
                                log_oom();
                        return;
                }
}

static void tell_back_off(struct pod_worker *w, size_t i, const struct container_observed *seen)
{
        const struct pod_container *c = pod_container_at(w->pod, i);
        const struct instance *last = newest_instance(seen);

        /* once for each end of it; the kubelet repeats it with its resync, which counts up the same
         * event */
        if (!last || w->slots[i].backed_off_for == last->finished_at)
                return;
        w->slots[i].backed_off_for = last->finished_at;
        pod_step(&w->timeline, w->pod, (int)i, "back-off");
        pod_event(w->ctx, w->pod, c, EVENT_WARNING, "BackOff",
                  "Back-off restarting failed container %s in pod %s_%s(%s)", c->name, w->pod->name,
                  w->pod->namespace, w->pod->uid);
}

/* ---- containers out ---- */

static uint32_t kill_grace(const struct pod_worker *w, const struct pod_container *c,
                           enum kill_reason why)
{
        const struct pod_probe *p = why == KILL_LIVENESS  ? c->liveness
                                    : why == KILL_STARTUP ? c->startup
                                                          : NULL;
        int64_t grace = p && p->grace_sec != POD_UNSET ? p->grace_sec : w->pod->grace_sec;

        return why == KILL_RESTART_ALL ? 0 : (uint32_t)MAX(grace, 0);
}

static void begin_stop(struct pod_worker *w, struct slot *s, const struct pod_container *c,
                       const struct instance *n, const char *message, uint32_t grace,
                       bool must_wait)
{
        const struct container_stop_options options = {
                .pod = w->pod,
                .container = c,
                .container_id = n->id,
                .message = message,
                .grace_sec = grace,
                .skip_pre_stop = w->skip_hooks,
                .must_wait = must_wait,
        };
        _cleanup_err_ struct err err = { 0 };

        if (n->state == INSTANCE_CREATED) { /* nothing of the image's has run yet */
                container_kill(w->ctx->rt, n->id, SIGKILL, NULL);
                return;
        }
        if (container_stop_new(w->ctx, &options, &s->stop, &err) < 0) {
                log_container_warn(w->pod, c->name, 0, "Failed to stop it, trying again: %s",
                                   err_text(&err));
                pod_worker_wake_by(w, now_monotonic() + USEC_PER_SEC);
        }
}

static void kill_container(struct pod_worker *w, const struct observation *o, size_t i,
                           enum kill_reason why, bool will_restart)
{
        const struct pod_container *c = pod_container_at(w->pod, i);
        const struct instance *n = newest_instance(&o->containers[i]);
        struct slot *s = &w->slots[i];
        _cleanup_free_ char *message = NULL;

        if (!n || n->state == INSTANCE_EXITED || s->stop || s->start)
                return;
        message = kill_message(c, why, will_restart);
        begin_stop(w, s, c, n, message ? message : "Stopping container", kill_grace(w, c, why),
                   false);
        s->hook_failed = false;
        if (s->stop)
                pod_step(&w->timeline, w->pod, (int)i, "killed");
        if (will_restart && free_and_strdup(&s->restart_id, n->id) < 0)
                log_oom();
}

static void remove_instance(struct pod_worker *w, const char *name, const struct instance *n,
                            bool with_log)
{
        const struct container_status *c = container_find(w->ctx->rt, n->id);
        _cleanup_err_ struct err err = { 0 };

        if (!c || c->state != CONTAINER_EXITED)
                return;
        if (with_log)
                pod_log_remove_instance(w->ctx, w->pod, name, c->id, c->log_path);
        if (container_remove(w->ctx->rt, n->id, &err) < 0)
                log_container_warn(w->pod, name, 0, "Failed to remove a dead instance: %s",
                                   err_text(&err));
}

/* Of each container the newest instance stays, and the one before it for its logs. */
void pod_worker_trim_instances(struct pod_worker *w, const struct observation *o)
{
        for (size_t i = 0; i < o->n_containers; i++) {
                const struct container_observed *c = &o->containers[i];

                if (c->n_instances > 1) /* what it wrote is nobody's any more */
                        container_drop_layer(w->ctx->rt, c->instances[1].id);
                for (size_t k = 2; k < c->n_instances; k++)
                        remove_instance(w, pod_container_at(w->pod, i)->name, &c->instances[k],
                                        true);
        }
}

static void drop_layer(const struct container_status *c, void *userdata)
{
        const struct pod_worker *w = userdata;
        const char *uid = string_map_get(c->labels, LABEL_POD_UID);

        if (uid && streq(uid, w->pod->uid))
                container_drop_layer(w->ctx->rt, c->id);
}

void pod_worker_drop_files(struct pod_worker *w)
{
        container_foreach(w->ctx->rt, NULL, drop_layer, w);
        if (w->forced_reason && streq(w->forced_reason, REASON_EVICTED))
                pod_logs_remove(w->ctx, w->pod);
}

static void remove_all_instances(struct pod_worker *w, const struct observation *o, size_t i)
{
        for (size_t k = 0; k < o->containers[i].n_instances; k++)
                remove_instance(w, pod_container_at(w->pod, i)->name,
                                &o->containers[i].instances[k], false);
        pod_worker_poke(w);
}

/* What was being stopped and is gone. */
void pod_worker_reap_stops(struct pod_worker *w)
{
        for (size_t i = 0; i < w->n_slots; i++) {
                struct slot *s = &w->slots[i];
                const struct container_status *c;

                if (!s->stop)
                        continue;
                c = container_find(w->ctx->rt, container_stop_container_id(s->stop));
                if (c && c->state != CONTAINER_EXITED)
                        continue;
                s->stop = container_stop_free(s->stop);
        }
}

static bool is_going(const struct observation *o, size_t i)
{
        const struct instance *n = newest_instance(&o->containers[i]);

        return n && (n->state == INSTANCE_RUNNING || n->state == INSTANCE_CREATED);
}

/* A sidecar's turn has come when no regular container runs and none of the sidecars behind it. */
static bool is_turn(const struct pod_worker *w, const struct observation *o, size_t i)
{
        for (size_t k = 0; k < o->n_containers; k++) {
                const struct pod_container *c = pod_container_at(w->pod, k);

                if (is_going(o, k) && (c->kind == POD_CONTAINER_REGULAR ||
                                       (c->kind == POD_CONTAINER_SIDECAR && k > i)))
                        return false;
        }
        return true;
}

static void cancel_starts(struct pod_worker *w)
{
        for (size_t i = 0; i < w->n_slots; i++)
                w->slots[i].start = container_start_free(w->slots[i].start);
}

static uint32_t termination_grace(const struct pod_worker *w)
{
        int64_t grace = w->pod->deletion_grace_sec != POD_UNSET ? w->pod->deletion_grace_sec
                                                                : w->pod->grace_sec;

        if (w->grace_sec >= 0)
                grace = MIN(grace, w->grace_sec);
        return (uint32_t)MAX(grace, 1);
}

/* True when nothing of the pod runs any more. */
bool pod_worker_stop_containers(struct pod_worker *w, const struct observation *o)
{
        uint32_t grace = termination_grace(w);

        cancel_starts(w);
        for (size_t i = 0; i < o->n_containers; i++) {
                const struct pod_container *c = pod_container_at(w->pod, i);
                bool sidecar = c->kind == POD_CONTAINER_SIDECAR;
                struct slot *s = &w->slots[i];
                _cleanup_free_ char *message = NULL;

                if (!is_going(o, i))
                        continue;
                if (s->stop) {
                        container_stop_shorten(s->stop, grace);
                        if (sidecar && is_turn(w, o, i))
                                container_stop_your_turn(s->stop);
                        continue;
                }
                message = kill_message(c, KILL_DEFAULT, false);
                begin_stop(w, s, c, newest_instance(&o->containers[i]),
                           message ? message : "Stopping container", grace,
                           sidecar && !is_turn(w, o, i));
                if (s->stop)
                        pod_step(&w->timeline, w->pod, (int)i, "stopping");
        }
        return !o->any_running;
}

/* What runs is stopped, and what has ended starts again whatever its policy. */
static void restart_instance(struct pod_worker *w, const struct observation *o, size_t i)
{
        const struct instance *n = newest_instance(&o->containers[i]);

        if (is_going(o, i)) {
                kill_container(w, o, i, KILL_DEFAULT, true);
                return;
        }
        if (n && free_and_strdup(&w->slots[i].restart_id, n->id) < 0)
                log_oom();
        pod_worker_poke(w);
}

/* ---- both ---- */

void pod_worker_sync_containers(struct pod_worker *w, const struct observation *o,
                                const struct pod_actions *actions)
{
        for (size_t i = 0; i < actions->n_containers; i++) {
                const struct container_action *a = &actions->containers[i];
                struct slot *s = &w->slots[i];

                if (s->restart_wanted && !s->start) { /* not before it has come up */
                        s->restart_wanted = false;
                        restart_instance(w, o, i);
                        continue;
                }
                if (s->hook_failed && is_going(o, i)) {
                        kill_container(w, o, i, KILL_POST_START, false);
                        continue;
                }
                switch (a->what) {
                case CONTAINER_KEEP:
                        break;
                case CONTAINER_KILL:
                        kill_container(w, o, i, a->why, a->will_restart);
                        break;
                case CONTAINER_REMOVE:
                        remove_all_instances(w, o, i);
                        break;
                case CONTAINER_BACK_OFF:
                        tell_back_off(w, i, &o->containers[i]);
                        break;
                case CONTAINER_START:
                        if (!s->start && !s->stop && !is_going(o, i))
                                begin_start(w, i, a);
                        break;
                }
        }
        allow_first_start(w, o);
        if (actions->wake_at != USEC_NEVER)
                pod_worker_wake_by(w, pod_worker_timer_clock(actions->wake_at));
}

/* Back-offs end now; what runs is stopped by the next walk. */
static void restart_slot(struct pod_worker *w, size_t i)
{
        struct slot *s = &w->slots[i];

        s->restart_wanted = true;
        s->retry_at = 0;
        s->backoff.current_usec = 0;
        s->backoff.updated_at = 0;
        pod_step(&w->timeline, w->pod, (int)i, "restart asked");
}

int pod_worker_restart(struct pod_worker *w, const char *container, struct err *err)
{
        const struct pod_container *c;
        int n = 0;

        if (w->state != POD_WORKER_SYNCING)
                return err_set(err, -EINVAL, "pod %s/%s ends, or has ended: nothing of it restarts",
                               w->pod->namespace, w->pod->name);
        POD_FOREACH_CONTAINER(c, w->pod)
        {
                bool is_meant = container ? streq(c->name, container)
                                          : c->kind == POD_CONTAINER_REGULAR ||
                                                    c->kind == POD_CONTAINER_SIDECAR;

                if (!is_meant || _i >= w->n_slots)
                        continue;
                if (container && c->kind != POD_CONTAINER_REGULAR &&
                    c->kind != POD_CONTAINER_SIDECAR)
                        return err_set(err, -EINVAL,
                                       "container %s: init and ephemeral containers do not restart",
                                       container);
                restart_slot(w, _i);
                n++;
        }
        if (n == 0)
                return err_set(err, -ENOENT, "container %s is not valid for pod %s",
                               container ? container : "", w->pod->name);
        image_puller_forget(w->puller, w->pod->uid);
        pod_worker_poke(w);
        return n;
}
