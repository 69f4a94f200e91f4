#include "kubelet/pod-probes.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "base/text.h"
#include "kubelet/pod-log.h"
#include "kubelet/probe.h"

#define TRIES_MAX 3 /* of an attempt that could not be made */

struct container_probes;

struct one_probe {
        struct container_probes *owner;
        enum probe_kind kind;
        struct probe_state state;
        enum probe_verdict verdict;
        bool held; /* decided: no more attempts until a new container */
        unsigned tries;
        struct probe_counts counts;
        struct attempt *attempt; /* owned */
        struct pod *tried;       /* one reference while .attempt runs: it borrows of it */
        sd_event_source *timer;  /* owned; NULL: no such probe */
        usec_t due;              /* CLOCK_MONOTONIC of the tick under way or next */
        usec_t attempted_at;     /* CLOCK_MONOTONIC of the first of its tries */
};

struct container_probes {
        struct pod_probes *pod;
        size_t index;
        char *id, *ip;     /* owned; id NULL: nothing runs */
        usec_t started_at; /* CLOCK_MONOTONIC */
        struct one_probe probes[_PROBE_KIND_MAX];
};

struct pod_probes {
        const struct context *ctx;
        struct pod *pod;                     /* one reference */
        struct container_probes *containers; /* owned */
        size_t n;
        bool restarts_stopped;
        void (*on_changed)(void *userdata);
        void *userdata;
};

static const char *const kind_names[] = {
        [PROBE_STARTUP] = "Startup", [PROBE_LIVENESS] = "Liveness", [PROBE_READINESS] = "Readiness"
};

static const struct pod_container *container_of(const struct container_probes *c)
{
        return pod_container_at(c->pod->pod, c->index);
}

static const struct pod_probe *spec_of(const struct one_probe *p)
{
        const struct pod_container *c = container_of(p->owner);

        switch (p->kind) {
        case PROBE_STARTUP:
                return c->startup;
        case PROBE_LIVENESS:
                return c->liveness;
        default:
                return c->readiness;
        }
}

static void arm(struct one_probe *p, usec_t when)
{
        p->due = when;
        sd_event_source_set_time(p->timer, when);
        sd_event_source_set_enabled(p->timer, SD_EVENT_ONESHOT);
}

static void disarm(struct one_probe *p)
{
        if (p->timer)
                sd_event_source_set_enabled(p->timer, SD_EVENT_OFF);
        p->attempt = attempt_cancel(p->attempt);
        p->tried = pod_unref(p->tried);
}

static bool is_started(const struct container_probes *c)
{
        return !container_of(c)->startup ||
               c->probes[PROBE_STARTUP].verdict == PROBE_VERDICT_SUCCESS;
}

static bool may_run(const struct one_probe *p)
{
        const struct container_probes *c = p->owner;

        if (!c->id || p->held || !p->timer)
                return false;
        if (c->pod->restarts_stopped && p->kind != PROBE_READINESS &&
            container_of(c)->kind == POD_CONTAINER_REGULAR)
                return false;
        return p->kind == PROBE_STARTUP ? !is_started(c) : is_started(c);
}

static void set_verdict(struct one_probe *p, enum probe_verdict v)
{
        struct container_probes *c = p->owner;

        if (p->verdict == v)
                return;
        p->verdict = v;
        if (p->kind == PROBE_STARTUP && v == PROBE_VERDICT_SUCCESS)
                for (int k = PROBE_LIVENESS; k <= PROBE_READINESS; k++)
                        if (c->probes[k].timer && may_run(&c->probes[k]))
                                arm(&c->probes[k], now_monotonic());
        c->pod->on_changed(c->pod->userdata);
}

/* The next tick: period after period from the last, skipping those that went by. */
static void arm_next(struct one_probe *p)
{
        const struct pod_probe *spec = spec_of(p);
        usec_t now = now_monotonic(), period = (usec_t)spec->period_sec * USEC_PER_SEC;
        usec_t next = p->due + period;

        if (next <= now)
                next = now + period - (now - p->due) % period;
        p->tries = 0;
        if (may_run(p))
                arm(p, next);
}

static void fold(struct one_probe *p, enum probe_result result)
{
        const struct pod_probe *spec = spec_of(p);
        const struct probe_limits limits = { spec->success_threshold, spec->failure_threshold };

        if (probe_fold(&p->state, &limits, result) == PROBE_UNCHANGED)
                return;
        if ((p->kind == PROBE_LIVENESS && !p->state.passing) || p->kind == PROBE_STARTUP)
                p->held = true;
        set_verdict(p, p->state.passing ? PROBE_VERDICT_SUCCESS : PROBE_VERDICT_FAILURE);
}

/* @result: of the attempt with all its tries. */
static void count(struct one_probe *p, enum probe_count result)
{
        p->counts.by_result[result]++;
        if (result != PROBE_COUNT_FAILED)
                prometheus_observe(&p->counts.durations, now_monotonic() - p->attempted_at);
}

static void on_attempt_done(enum handler_outcome outcome, const char *output, void *userdata)
{
        struct one_probe *p = userdata;
        struct pod_probes *pp = p->owner->pod;
        const struct pod_container *c = container_of(p->owner);
        const char *kind = kind_names[p->kind];

        p->attempt = NULL;
        p->tried = pod_unref(p->tried);
        if (outcome != HANDLER_ERROR)
                count(p, outcome == HANDLER_FAILURE ? PROBE_COUNT_FAILED : PROBE_COUNT_SUCCESSFUL);
        switch (outcome) {
        case HANDLER_ERROR:
                pod_event(pp->ctx, pp->pod, c, EVENT_WARNING, "Unhealthy",
                          "%s probe errored and resulted in unknown state: %s", kind, output);
                if (++p->tries < TRIES_MAX && may_run(p)) {
                        arm(p, now_monotonic());
                        return;
                }
                count(p, PROBE_COUNT_UNKNOWN);
                break;
        case HANDLER_FAILURE:
                log_container_debug(pp->pod, c->name, "%s probe failed: %s", kind, output);
                pod_event(pp->ctx, pp->pod, c, EVENT_WARNING, "Unhealthy", "%s probe failed: %s",
                          kind, output);
                fold(p, PROBE_FAILURE);
                break;
        case HANDLER_WARNING:
                pod_event(pp->ctx, pp->pod, c, EVENT_WARNING, "ProbeWarning",
                          "%s probe warning: %s", kind, output);
                fold(p, PROBE_SUCCESS);
                break;
        case HANDLER_SUCCESS:
                fold(p, PROBE_SUCCESS);
                break;
        }
        arm_next(p);
}

static int on_due(_unused_ sd_event_source *s, _unused_ uint64_t usec, void *userdata)
{
        struct one_probe *p = userdata;
        const struct pod_probe *spec = spec_of(p);
        const struct attempt_options options = {
                .handler = &spec->handler,
                .container = container_of(p->owner),
                .container_id = p->owner->id,
                .pod_ip = p->owner->ip,
                .timeout_usec = (usec_t)spec->timeout_sec * USEC_PER_SEC,
                .done = on_attempt_done,
                .userdata = p,
        };
        _cleanup_err_ struct err err = { 0 };

        if (!may_run(p) || p->attempt)
                return 0;
        p->tried = pod_ref(p->owner->pod->pod);
        if (p->tries == 0)
                p->attempted_at = now_monotonic();
        if (attempt_start(p->owner->pod->ctx->handlers, &options, &p->attempt, &err) < 0)
                on_attempt_done(HANDLER_ERROR, err_text(&err), p);
        return 0;
}

static void reset(struct one_probe *p, bool adopted_started, bool adopted_ready)
{
        static const enum probe_verdict initial[] = { [PROBE_STARTUP] = PROBE_VERDICT_NONE,
                                                      [PROBE_LIVENESS] = PROBE_VERDICT_SUCCESS,
                                                      [PROBE_READINESS] = PROBE_VERDICT_FAILURE };
        const struct pod_probe *spec = spec_of(p);
        usec_t first = p->owner->started_at + (usec_t)spec->initial_delay_sec * USEC_PER_SEC;

        p->verdict = initial[p->kind];
        p->held = false;
        p->tries = 0;
        if (p->kind == PROBE_STARTUP && adopted_started) {
                p->verdict = PROBE_VERDICT_SUCCESS;
                p->held = true;
        } else if (p->kind == PROBE_READINESS && adopted_ready) {
                p->verdict = PROBE_VERDICT_SUCCESS;
        }
        p->state = (struct probe_state){ .passing = p->verdict == PROBE_VERDICT_SUCCESS };
        arm(p, MAX(first, now_monotonic()));
}

void pod_probes_set_container(struct pod_probes *pp, size_t index, const char *id,
                              usec_t started_at, const char *pod_ip, bool adopted_started,
                              bool adopted_ready)
{
        struct container_probes *c = index < pp->n ? &pp->containers[index] : NULL;
        usec_t now = now_realtime();

        if (!c || streq_null(c->id, id))
                return;
        for (int k = 0; k < _PROBE_KIND_MAX; k++)
                disarm(&c->probes[k]);
        if (free_and_strdup(&c->id, id) < 0 || free_and_strdup(&c->ip, pod_ip) < 0)
                return log_oom();
        /* wall time of the start to the clock that timers use */
        c->started_at = now_monotonic() - (now > started_at ? now - started_at : 0);
        for (int k = 0; k < _PROBE_KIND_MAX; k++)
                if (c->id && c->probes[k].timer)
                        reset(&c->probes[k], adopted_started, adopted_ready);
}

void pod_probes_stop_restarts(struct pod_probes *pp)
{
        pp->restarts_stopped = true;
        for (size_t i = 0; i < pp->n; i++)
                for (int k = 0; k < _PROBE_KIND_MAX; k++)
                        if (pp->containers[i].id && !may_run(&pp->containers[i].probes[k]))
                                disarm(&pp->containers[i].probes[k]);
}

enum probe_verdict pod_probes_verdict(const struct pod_probes *pp, size_t index,
                                      enum probe_kind kind)
{
        const struct one_probe *p = index < pp->n ? &pp->containers[index].probes[kind] : NULL;

        return p && p->timer && p->owner->id ? p->verdict : PROBE_VERDICT_NONE;
}

struct probe_view pod_probes_look(const struct pod_probes *pp, size_t index, enum probe_kind kind)
{
        const struct one_probe *p = index < pp->n ? &pp->containers[index].probes[kind] : NULL;
        int enabled = SD_EVENT_OFF;

        if (!p || !p->timer || !p->owner->id)
                return (struct probe_view){ 0 };
        sd_event_source_get_enabled(p->timer, &enabled);
        return (struct probe_view){
                .exists = true,
                .is_fine = p->verdict == PROBE_VERDICT_SUCCESS,
                .is_decided = p->state.decided,
                .last_passed = p->state.last,
                .run = p->state.run,
                .threshold = (uint32_t)MAX(spec_of(p)->failure_threshold, 0),
                .next_at = enabled == SD_EVENT_OFF ? 0 : p->due,
        };
}

struct probe_counts pod_probes_counts(const struct pod_probes *pp, size_t index,
                                      enum probe_kind kind)
{
        return index < pp->n ? pp->containers[index].probes[kind].counts
                             : (struct probe_counts){ 0 };
}

const char *probe_kind_name(enum probe_kind kind)
{
        return kind_names[kind];
}

void pod_probes_set_pod(struct pod_probes *pp, struct pod *pod)
{
        struct pod *old = pp->pod;

        if (pod_n_containers(pod) <
            pp->n) /* only ephemeral containers are ever added, at the end */
                return;
        pp->pod = pod_ref(pod);
        pod_unref(old);
}

static int make_timers(struct container_probes *c)
{
        for (int k = 0; k < _PROBE_KIND_MAX; k++) {
                struct one_probe *p = &c->probes[k];
                enum pod_container_kind kind = container_of(c)->kind;
                int r;

                *p = (struct one_probe){ .owner = c, .kind = (enum probe_kind)k };
                if (!spec_of(p) || (kind != POD_CONTAINER_REGULAR && kind != POD_CONTAINER_SIDECAR))
                        continue;
                r = sd_event_add_time(c->pod->ctx->event, &p->timer, CLOCK_MONOTONIC,
                                      USEC_NEVER - 1, ACCURACY_USEC, on_due, p);
                if (r >= 0)
                        r = sd_event_source_set_enabled(p->timer, SD_EVENT_OFF);
                if (r < 0)
                        return r;
        }
        return 0;
}

int pod_probes_new(const struct context *ctx, struct pod *pod, void (*on_changed)(void *userdata),
                   void *userdata, struct pod_probes **ret)
{
        _cleanup_(pod_probes_freep)
        struct pod_probes *pp = calloc(1, sizeof *pp);
        size_t n = pod_n_containers(pod);

        if (!pp)
                return -ENOMEM;
        *pp = (struct pod_probes){
                .ctx = ctx, .pod = pod_ref(pod), .on_changed = on_changed, .userdata = userdata
        };
        pp->containers = calloc(n ? n : 1, sizeof *pp->containers);
        if (!pp->containers)
                return -ENOMEM;
        for (; pp->n < n; pp->n++) {
                struct container_probes *c = &pp->containers[pp->n];
                int r;

                c->pod = pp;
                c->index = pp->n;
                r = make_timers(c);
                if (r < 0) {
                        pp->n++; /* the destructor sees the half-made one too */
                        return r;
                }
        }
        *ret = TAKE_PTR(pp);
        return 0;
}

struct pod_probes *pod_probes_free(struct pod_probes *pp)
{
        if (!pp)
                return NULL;
        for (size_t i = 0; i < pp->n; i++) {
                for (int k = 0; k < _PROBE_KIND_MAX; k++) {
                        disarm(&pp->containers[i].probes[k]);
                        sd_event_source_disable_unref(pp->containers[i].probes[k].timer);
                }
                free(pp->containers[i].id);
                free(pp->containers[i].ip);
        }
        free(pp->containers);
        pod_unref(pp->pod);
        free(pp);
        return NULL;
}
