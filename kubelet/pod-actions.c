#include "kubelet/pod-actions.h"

#include <errno.h>
#include <string.h>

#include "base/text.h"

struct computing {
        const struct pod *pod;
        const struct pod_observed *seen;
        const struct crash_backoff *backoffs;
        usec_t now;
        struct pod_actions *a;
};

uint64_t container_definition_hash(const struct pod_container *c)
{
        uint64_t hash = fnv1a(c->name, strlen(c->name) + 1, FNV1A_SEED);

        return fnv1a(c->image, strlen(c->image) + 1, hash);
}

/* ---- restart rules ---- */
const struct pod_restart_rule *container_restart_rule(const struct pod_container *c, int exit_code)
{
        for (size_t i = 0; i < c->n_restart_rules; i++) {
                const struct pod_restart_rule *rule = &c->restart_rules[i];
                bool listed = false;

                for (size_t k = 0; k < rule->n_exit_codes; k++)
                        listed = listed || rule->exit_codes[k] == exit_code;
                if (listed != rule->not_in)
                        return rule;
        }
        return NULL;
}

static bool policy_restarts(int policy, bool failed)
{
        switch (policy) {
        case POD_RESTART_NEVER:
                return false;
        case POD_RESTART_ON_FAILURE:
                return failed;
        default:
                return true;
        }
}

bool container_should_restart(const struct pod *pod, const struct pod_container *c, int exit_code,
                              bool oom_killed)
{
        bool failed = exit_code != 0 || (oom_killed && c->kind == POD_CONTAINER_INIT);

        if (c->restart_policy != POD_UNSET)
                return container_restart_rule(c, exit_code) ||
                       policy_restarts(c->restart_policy, failed);
        return policy_restarts((int)pod->restart_policy, failed);
}

/* A kill by a probe asks the policy alone: there is no exit code yet that rules could look at. */
static bool restarts_after_kill(const struct pod *pod, const struct pod_container *c)
{
        int policy = c->restart_policy != POD_UNSET ? c->restart_policy : (int)pod->restart_policy;

        return policy != POD_RESTART_NEVER;
}

static bool is_restart_all(const struct pod_container *c, const struct instance *i)
{
        const struct pod_restart_rule *rule;

        if (!i || i->state != INSTANCE_EXITED || c->kind == POD_CONTAINER_EPHEMERAL)
                return false;
        rule = container_restart_rule(c, i->exit_code);
        return rule && rule->action == POD_RULE_RESTART_ALL_CONTAINERS;
}

bool pod_could_restart_all(const struct pod *pod)
{
        const struct pod_container *c;

        POD_FOREACH_CONTAINER(c, pod)
        for (size_t i = 0; i < c->n_restart_rules; i++)
                if (c->restart_rules[i].action == POD_RULE_RESTART_ALL_CONTAINERS)
                        return true;
        return false;
}

/* ---- looking at what is there ---- */
static const struct instance *newest(const struct pod_observed *seen, size_t i)
{
        return seen->containers[i].n_instances > 0 ? &seen->containers[i].instances[0] : NULL;
}

/* Instances of an older sandbox do not prove that this one is initialized. */
static const struct instance *newest_here(const struct pod_observed *seen, size_t i)
{
        const struct instance *instance = newest(seen, i);

        return instance && !instance->old_sandbox ? instance : NULL;
}

bool pod_restart_all_is_due(const struct pod *pod, const struct pod_observed *seen)
{
        const struct pod_container *c;

        for (size_t i = 0; (c = pod_container_at(pod, i)); i++)
                if (is_restart_all(c, newest(seen, i)))
                        return true;
        return false;
}

bool pod_sandbox_is_needed(const struct pod *pod, const struct pod_observed *seen,
                           uint32_t *ret_attempt)
{
        *ret_attempt = 0;
        if (!seen->has_sandbox)
                return true;
        *ret_attempt = seen->sandbox_attempt;
        if (seen->n_ready_sandboxes <= 1 && seen->sandbox_ready &&
            seen->sandbox_host_network == pod->host_network &&
            (pod->host_network || seen->ip4[0] || seen->ip6[0]))
                return false;
        (*ret_attempt)++;
        return true;
}

static bool anything_lives(const struct computing *x)
{
        for (size_t i = 0; i < x->a->n_containers; i++) {
                const struct instance *instance = newest(x->seen, i);

                if (instance && instance->state == INSTANCE_RUNNING)
                        return true;
        }
        return x->seen->n_ready_sandboxes > 0;
}

static bool any_instance(const struct pod_observed *seen, size_t from, size_t to)
{
        for (size_t i = from; i < to; i++)
                if (seen->containers[i].n_instances > 0)
                        return true;
        return false;
}

/* ---- one container ---- */
/* What the back-off counts from: the end of the last instance that ended by itself. */
static usec_t last_exit(const struct container_observed *c)
{
        for (size_t i = c->must_restart ? 1 : 0; c->instances && i < c->n_instances; i++)
                if (c->instances[i].state == INSTANCE_EXITED)
                        return c->instances[i].finished_at;
        return 0;
}

static void start(struct computing *x, size_t i)
{
        const struct container_observed *c = &x->seen->containers[i];
        const struct instance *last = newest(x->seen, i);
        struct container_action *action = &x->a->containers[i];
        usec_t exited_at = last_exit(c);
        uint64_t key = crash_backoff_key(pod_container_at(x->pod, i));

        action->restart_count = last ? last->restart_count + 1 : 0;
        action->what = CONTAINER_START;
        if (exited_at == 0 || crash_backoff_may_start(&x->backoffs[i], key, exited_at, x->now,
                                                      &action->wake_at, &action->delay_usec)) {
                action->exited_at = exited_at;
                return;
        }
        action->what = CONTAINER_BACK_OFF;
        x->a->wake_at = MIN(x->a->wake_at, action->wake_at);
}

static void kill_container(struct computing *x, size_t i, enum kill_reason why, bool will_restart)
{
        x->a->containers[i].what = CONTAINER_KILL;
        x->a->containers[i].why = why;
        x->a->containers[i].will_restart = will_restart;
}

/* Should a container without a running instance get one? Source: ShouldContainerBeRestarted. */
static bool wants_start(const struct computing *x, size_t i)
{
        const struct instance *instance = newest(x->seen, i);

        if (x->pod->deleted_at)
                return false;
        if (!instance)
                return true;
        if (instance->state == INSTANCE_RUNNING)
                return false;
        if (instance->state != INSTANCE_EXITED || x->seen->containers[i].must_restart)
                return true;
        return container_should_restart(x->pod, pod_container_at(x->pod, i), instance->exit_code,
                                        instance->oom_killed);
}

/* ---- resize ---- */
/* Runs it with other cpu or memory than was allocated? Then it is changed as it runs, or it is
 * killed: true. */
static bool is_killed_for_resize(struct computing *x, size_t i, const struct instance *instance)
{
        const struct pod_container *c = pod_container_at(x->pod, i);
        struct container_amounts wanted = container_amounts_of(x->pod, c);

        if (!instance->has_amounts || container_amounts_are_equal(&instance->amounts, &wanted))
                return false;
        if (c->kind != POD_CONTAINER_INIT &&
            container_resize_restarts(c, &instance->amounts, &wanted)) {
                kill_container(x, i, KILL_RESIZE, true);
                return true;
        }
        x->a->containers[i].resize = true;
        return false;
}

/* ---- init containers and sidecars ---- */
static bool has_failed(const struct instance *i)
{
        return i->exit_code != 0 || i->oom_killed;
}

/* Some regular container was made in this sandbox, so the init containers were done before. An
 * exited one proves nothing: after a reboot all are exited and everything must run again. */
static bool initialized_before(const struct computing *x)
{
        for (size_t k = 0; k < x->pod->n_containers; k++) {
                const struct instance *i = newest(x->seen, x->pod->n_init_containers + k);

                if (i && (i->state == INSTANCE_CREATED || i->state == INSTANCE_RUNNING))
                        return true;
        }
        return false;
}

struct init_walk {
        bool before;      /* a later container shows that this one was initialized already */
        bool initialized; /* all are */
        bool terminal;    /* one failed for good */
};

static bool is_last(const struct computing *x, size_t i)
{
        return i + 1 == x->pod->n_init_containers;
}

/* This one is done (or, a sidecar, up): the next one may start, or the regular containers. */
static void pass_on(struct computing *x, size_t i, struct init_walk *w)
{
        if (is_last(x, i))
                w->initialized = true;
        else if (!w->before)
                start(x, i + 1);
}

static void judge_running_sidecar(struct computing *x, size_t i, struct init_walk *w)
{
        const struct pod_container *c = &x->pod->init_containers[i];
        const struct container_observed *seen = &x->seen->containers[i];

        if (c->startup && !seen->has_started_before && seen->startup != PROBE_VERDICT_SUCCESS) {
                if (seen->startup == PROBE_VERDICT_FAILURE)
                        kill_container(x, i, KILL_STARTUP, true);
                return;
        }
        pass_on(x, i, w);
        if (seen->instances[0].hash != container_definition_hash(c))
                kill_container(x, i, KILL_DEFINITION_CHANGED, true);
        else if (c->liveness && seen->liveness == PROBE_VERDICT_FAILURE)
                kill_container(x, i, KILL_LIVENESS, true);
        else
                is_killed_for_resize(x, i, &seen->instances[0]);
}

static void judge_exited_init(struct computing *x, size_t i, const struct instance *instance,
                              struct init_walk *w)
{
        if (!has_failed(instance))
                pass_on(x, i, w);
        else if (wants_start(x, i))
                start(x, i);
        else
                w->terminal = true;
}

static void judge_init(struct computing *x, size_t i, const struct instance *instance,
                       struct init_walk *w)
{
        const struct pod_container *c = &x->pod->init_containers[i];
        bool sidecar = c->kind == POD_CONTAINER_SIDECAR;

        switch (instance->state) {
        case INSTANCE_CREATED:
                start(x, i);
                break;
        case INSTANCE_RUNNING:
                if (sidecar)
                        judge_running_sidecar(x, i, w);
                else
                        is_killed_for_resize(x, i, instance);
                break;
        case INSTANCE_EXITED:
                if (sidecar)
                        start(x, i);
                else
                        judge_exited_init(x, i, instance, w);
                break;
        case INSTANCE_UNKNOWN:
                if (sidecar || restarts_after_kill(x->pod, c))
                        kill_container(x, i, KILL_UNKNOWN_STATE, true);
                else
                        w->terminal = true;
                break;
        }
}

static void stop_starts(struct computing *x, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                struct container_action *action = &x->a->containers[i];

                if (action->what == CONTAINER_START || action->what == CONTAINER_BACK_OFF)
                        *action = (struct container_action){ 0 };
        }
}

/*
 * From the last to the first: what ran before the newest may have been garbage collected, so only
 * the newest one that is known tells how far initialization came. Earlier sidecars are kept alive.
 */
static void judge_init_containers(struct computing *x)
{
        size_t n = x->pod->n_init_containers;
        struct init_walk w = { .before = initialized_before(x) };

        w.initialized = n == 0 || w.before;
        for (size_t i = n; i-- > 0 && !w.terminal;) {
                bool sidecar = x->pod->init_containers[i].kind == POD_CONTAINER_SIDECAR;
                const struct instance *instance = newest_here(x->seen, i);

                if (!instance && w.before && sidecar)
                        start(x, i);
                if (!instance || (w.before && !sidecar))
                        continue;
                judge_init(x, i, instance, &w);
                w.before = true;
        }
        if (n > 0 && !w.before)
                start(x, 0);
        if (w.terminal) {
                x->a->kill_pod = true;
                stop_starts(x, n);
        }
        x->a->initialized = w.initialized && !w.terminal;
}

/* ---- regular containers ---- */
/* Returns whether it is one that keeps the pod going. */
static bool judge_regular(struct computing *x, size_t i)
{
        const struct pod_container *c = pod_container_at(x->pod, i);
        const struct container_observed *seen = &x->seen->containers[i];
        const struct instance *instance = newest(x->seen, i);

        if (!instance || instance->state != INSTANCE_RUNNING) {
                if (!wants_start(x, i))
                        return false;
                if (instance && instance->state == INSTANCE_UNKNOWN)
                        kill_container(x, i, KILL_UNKNOWN_STATE, true);
                else
                        start(x, i);
                return true;
        }
        if (instance->hash != container_definition_hash(c))
                kill_container(x, i, KILL_DEFINITION_CHANGED, true);
        else if (c->liveness && seen->liveness == PROBE_VERDICT_FAILURE)
                kill_container(x, i, KILL_LIVENESS, restarts_after_kill(x->pod, c));
        else if (c->startup && seen->startup == PROBE_VERDICT_FAILURE)
                kill_container(x, i, KILL_STARTUP, restarts_after_kill(x->pod, c));
        else if (!is_killed_for_resize(x, i, instance))
                return true;
        return x->a->containers[i].will_restart;
}

static void judge_regular_containers(struct computing *x)
{
        size_t first = x->pod->n_init_containers;
        bool goes_on = false;

        for (size_t k = 0; k < x->pod->n_containers; k++)
                goes_on = judge_regular(x, first + k) || goes_on;
        if (goes_on)
                return;
        x->a->kill_pod = true; /* sidecars alone do not keep a pod */
        stop_starts(x, first);
}

/* ---- the pod ---- */
static bool succeeded_for_good(const struct computing *x, size_t i)
{
        const struct pod_container *c = pod_container_at(x->pod, i);
        const struct instance *instance = newest(x->seen, i);
        int policy = c->restart_policy != POD_UNSET ? c->restart_policy
                                                    : (int)x->pod->restart_policy;

        return policy == POD_RESTART_ON_FAILURE && instance && instance->state == INSTANCE_EXITED &&
               instance->exit_code == 0;
}

/* Everything starts anew in a new sandbox, unless nothing is left to be done. */
static void plan_new_sandbox(struct computing *x)
{
        size_t first = x->pod->n_init_containers, end = first + x->pod->n_containers, n_start = 0;

        x->a->kill_pod = true;
        if (x->pod->restart_policy == POD_RESTART_NEVER && x->a->attempt != 0 &&
            any_instance(x->seen, 0, x->a->n_containers))
                return;
        for (size_t i = first; i < end; i++)
                n_start += !succeeded_for_good(x, i);
        if (n_start == 0 && any_instance(x->seen, first, end))
                return;
        x->a->create_sandbox = true;
        x->a->sandbox_changed = x->seen->has_sandbox;
        x->a->kill_pod = anything_lives(x);
        if (first > 0) {
                start(x, 0);
                return;
        }
        for (size_t i = first; i < end; i++)
                if (!succeeded_for_good(x, i))
                        start(x, i);
}

/*
 * RestartAllContainers: what runs is killed, then every instance removed; those whose exit asked
 * for it come last, so that a restart of ours in between finds the reason again.
 */
static void plan_restart_all(struct computing *x)
{
        size_t first = x->pod->n_init_containers, end = first + x->pod->n_containers;
        bool others = false, regular_trigger = false;

        for (size_t i = 0; i < end; i++) {
                const struct instance *instance = newest(x->seen, i);
                bool trigger = is_restart_all(pod_container_at(x->pod, i), instance);

                others = others || (instance && !trigger);
                regular_trigger = regular_trigger || (trigger && i >= first);
        }
        for (size_t i = 0; i < end; i++) {
                const struct instance *instance = newest(x->seen, i);
                bool trigger = is_restart_all(pod_container_at(x->pod, i), instance);

                if (!instance)
                        continue;
                if (instance->state != INSTANCE_EXITED)
                        kill_container(x, i, KILL_RESTART_ALL, false);
                else if (!trigger || (!others && (i >= first || !regular_trigger)))
                        x->a->containers[i].what = CONTAINER_REMOVE;
        }
}

static void start_new_ephemerals(struct computing *x)
{
        for (size_t i = x->a->n_containers - x->pod->n_ephemeral_containers; i < x->a->n_containers;
             i++)
                if (!newest(x->seen, i))
                        start(x, i);
}

int pod_actions_compute(const struct pod *pod, const struct pod_observed *seen,
                        const struct crash_backoff *backoffs, usec_t now, struct pod_actions *ret)
{
        struct computing x = { pod, seen, backoffs, now, ret };
        bool sandbox_needed;

        *ret = (struct pod_actions){ .n_containers = pod_n_containers(pod), .wake_at = USEC_NEVER };
        ret->containers = calloc(ret->n_containers, sizeof *ret->containers);
        if (!ret->containers)
                return -ENOMEM;
        sandbox_needed = pod_sandbox_is_needed(pod, seen, &ret->attempt);
        if (pod_restart_all_is_due(pod, seen)) {
                plan_restart_all(&x);
        } else if (sandbox_needed) {
                plan_new_sandbox(&x);
        } else {
                start_new_ephemerals(&x);
                judge_init_containers(&x);
                if (ret->initialized)
                        judge_regular_containers(&x);
        }
        return 0;
}

void pod_actions_done(struct pod_actions *a)
{
        free(a->containers);
        *a = (struct pod_actions){ 0 };
}

char *kill_message(const struct pod_container *c, enum kill_reason why, bool will_restart)
{
        bool init = c->kind == POD_CONTAINER_INIT || c->kind == POD_CONTAINER_SIDECAR;
        const char *who = init ? "Init container" : "Container";
        const char *suffix = will_restart && !init ? ", will be restarted" : "";

        switch (why) {
        case KILL_DEFINITION_CHANGED:
                return text_printf("%s %s definition changed%s", who, c->name, suffix);
        case KILL_LIVENESS:
                return text_printf("%s %s failed liveness probe%s", who, c->name, suffix);
        case KILL_STARTUP:
                return text_printf("%s %s failed startup probe%s", who, c->name, suffix);
        case KILL_RESIZE:
                return text_printf("%s %s resize requires restart%s", who, c->name, suffix);
        case KILL_UNKNOWN_STATE:
                return text_printf("%s is in \"unknown\" state, try killing it before restart",
                                   who);
        case KILL_POST_START:
                return text_printf("FailedPostStartHook");
        case KILL_RESTART_ALL:
                return text_printf("killing");
        case KILL_NONE:
        case KILL_DEFAULT:
                break;
        }
        return text_printf("Stopping container %s", c->name);
}
