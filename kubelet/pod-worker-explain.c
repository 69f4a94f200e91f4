/*
 * What a worker knows, for whoever asks what its pod waits for: facts for pod-explain, which makes
 * sentences of them, and the timeline.
 */
#include <string.h>

#include "base/log.h"
#include "base/text.h"
#include "kubelet/pod-explain.h"
#include "kubelet/pod-worker-internal.h"
#include "kubelet/services.h"

enum { VOLUMES_MAX = 64 };

/* CLOCK_MONOTONIC to CLOCK_REALTIME; 0 stays. */
static usec_t wall_clock(usec_t t)
{
        return t ? now_realtime() - now_monotonic() + t : 0;
}

static struct explain_probe probe_facts(const struct pod_worker *w, size_t i, enum probe_kind kind)
{
        const struct probe_view v = pod_probes_look(w->probes, i, kind);

        return (struct explain_probe){ .exists = v.exists,
                                       .is_fine = v.is_fine,
                                       .is_decided = v.is_decided,
                                       .run = v.run,
                                       .last_passed = v.last_passed,
                                       .threshold = v.threshold,
                                       .next_at = wall_clock(v.next_at) };
}

static void start_facts(const struct container_start *start, struct explain_container *c)
{
        static const enum explain_step steps[] = {
                [START_OBJECTS] = EXPLAIN_PULL_SECRETS, [START_IMAGE] = EXPLAIN_IMAGE,
                [START_CONFIG] = EXPLAIN_CONFIG,        [START_CREATE] = EXPLAIN_CREATE,
                [START_START] = EXPLAIN_START,          [START_HOOK] = EXPLAIN_HOOK,
                [START_OVER] = EXPLAIN_NO_START,
        };
        const char *pulling;
        usec_t since;
        enum start_stage stage = container_start_stage(start, &since, &pulling);

        c->step = steps[stage];
        if (stage == START_CONFIG && !container_start_is_allowed(start))
                c->step = EXPLAIN_TURN;
        c->step_since = wall_clock(since);
        c->is_pulling = pulling != NULL;
        if (pulling)
                c->image = pulling;
}

static void stop_facts(const struct container_stop *stop, struct explain_container *c)
{
        static const enum explain_stop stops[] = { [STOP_PRE_STOP] = EXPLAIN_PRE_STOP,
                                                   [STOP_WAITING] = EXPLAIN_STOP_TURN,
                                                   [STOP_SIGNALED] = EXPLAIN_SIGNALED,
                                                   [STOP_KILLED] = EXPLAIN_KILLED };
        usec_t since, deadline;

        c->stop = stops[container_stop_stage(stop, &since, &deadline)];
        c->stop_since = wall_clock(since);
        c->stop_deadline = wall_clock(deadline);
}

static void container_facts(const struct pod_worker *w, const struct observation *o,
                            const struct pod_actions *actions, size_t i,
                            struct explain_container *c)
{
        const struct pod_container *spec = pod_container_at(w->pod, i);
        const struct instance *n = newest_instance(&o->containers[i]);
        const struct slot *s = &w->slots[i];

        *c = (struct explain_container){
                .name = spec->name,
                .image = spec->image,
                .is_init = spec->kind == POD_CONTAINER_INIT || spec->kind == POD_CONTAINER_SIDECAR,
                .waiting_reason = s->waiting_reason,
                .waiting_message = s->waiting_message,
                .failures = s->failures,
                .step_since = s->failing_since,
                .retry_at = wall_clock(s->retry_at),
                .is_ready = s->was_ready,
                .startup = probe_facts(w, i, PROBE_STARTUP),
                .liveness = probe_facts(w, i, PROBE_LIVENESS),
                .readiness = probe_facts(w, i, PROBE_READINESS),
        };
        if (n) {
                c->is_running = n->state == INSTANCE_RUNNING;
                c->has_exited = n->state == INSTANCE_EXITED;
                c->oom_killed = n->oom_killed;
                c->exit_code = n->exit_code;
                c->started_at = n->started_at;
                c->exited_at = n->finished_at;
                c->restarts = n->restart_count;
        }
        if (i < actions->n_containers && actions->containers[i].what == CONTAINER_BACK_OFF) {
                c->backoff_until = actions->containers[i].wake_at;
                c->backoff_usec = actions->containers[i].delay_usec;
        }
        if (s->start)
                start_facts(s->start, c);
        if (s->stop)
                stop_facts(s->stop, c);
}

static size_t volume_facts(const struct pod_worker *w, struct explain_volume *volumes)
{
        size_t n = 0;

        while (w->volumes && n < VOLUMES_MAX) {
                volumes[n].name = pod_volumes_missing_at(w->volumes, n, &volumes[n].problem);
                if (!volumes[n].name)
                        break;
                n++;
        }
        return n;
}

static struct explain_pod pod_facts(const struct pod_worker *w, const struct observation *o)
{
        struct explain_pod p = {
                .namespace = w->pod->namespace,
                .name = w->pod->name,
                .state = w->state == POD_WORKER_SYNCING       ? EXPLAIN_SYNCING
                         : w->state == POD_WORKER_TERMINATING ? EXPLAIN_TERMINATING
                         : w->state == POD_WORKER_TERMINATED  ? EXPLAIN_TERMINATED
                                                              : EXPLAIN_FINISHED,
                .state_why = w->state_why,
                .seen_at = w->seen_at,
                .state_since = w->state_since,
                .is_static = pod_is_static(w->pod),
                .sandbox_ready = o->seen.sandbox_ready,
                .sandbox_under_way = w->sandbox_op != NULL,
                .sandbox_problem = w->sandbox_problem,
                .sandbox_failures = w->sandbox_failures,
                .sandbox_retry_at = wall_clock(w->sandbox_retry_at),
                .cleanup_problem = w->cleanup_problem,
                .cleanup_retry_at = wall_clock(w->cleanup_retry_at),
                .services_pending = w->ctx->services && !services_are_synced(w->ctx->services) &&
                                    !pod_is_static(w->pod),
                .now = now_realtime(),
        };

        return p;
}

static json_t *explain(struct pod_worker *w, const struct observation *o,
                       const struct pod_actions *actions)
{
        _cleanup_free_ struct explain_container *containers = calloc(o->n_containers + 1,
                                                                     sizeof *containers);
        struct explain_volume volumes[VOLUMES_MAX];
        _cleanup_free_ char *pending = w->objects ? pod_objects_pending(w->objects) : NULL;
        struct explain_pod p = pod_facts(w, o);

        if (!containers)
                return NULL;
        for (size_t i = 0; i < o->n_containers; i++)
                container_facts(w, o, actions, i, &containers[i]);
        p.containers = containers;
        p.n_containers = o->n_containers;
        p.volumes = volumes;
        p.n_volumes = volume_facts(w, volumes);
        p.objects_pending = pending;
        if (w->objects)
                pod_objects_are_here(w->objects, &p.objects_problem);
        return pod_explain(&p);
}

json_t *pod_worker_explain(struct pod_worker *w)
{
        struct pod_actions actions = { .wake_at = USEC_NEVER };
        _cleanup_free_ char *missing = w->volumes ? pod_volumes_missing(w->volumes) : NULL;
        json_t *out = json_pack("{s:s, s:o}", "worker", pod_worker_state_name(w->state), "timeline",
                                pod_timeline_to_json(&w->timeline, w->pod));
        json_auto_t *waits = NULL;
        struct observation o;
        char since[TIME_TEXT_MAX];

        json_set_text(out, "seen", time_format_micro(w->seen_at, since));
        json_set_text(out, "volumes", missing);
        if (pod_worker_look_at(w, &o) < 0) {
                log_oom();
                return out;
        }
        if (w->state == POD_WORKER_SYNCING)
                pod_worker_decide(w, &o, &actions);
        waits = explain(w, &o, &actions);
        if (waits)
                json_object_update(out, waits);
        pod_actions_done(&actions);
        observation_done(&o);
        return out;
}
