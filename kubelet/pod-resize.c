/*
 * Theory of operation. A resize was admitted; the worker's pod has its numbers, the cgroups do not.
 * First the pod's cgroup gets the wider of both (unlimited, when nobody knows what it has), then
 * the containers change one by one, memory before cpu and decreases before increases, and when no
 * container runs with other numbers any more the pod's cgroup gets its own. A container that is to
 * be restarted for the resize is pod-actions' business and only waited for here. Each step may
 * fail: what was done stays done, and the next try starts with what is left.
 */
#include "kubelet/pod-resize.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/log.h"
#include "base/text.h"
#include "kubelet/config.h"
#include "kubelet/container-config.h"
#include "kubelet/pod-log.h"
#include "kubelet/reason.h"

#define RETRY_FIRST_USEC (2 * USEC_PER_SEC)
#define RETRY_MAX_USEC   (60 * USEC_PER_SEC)

/* ---- conditions ---- */

static void condition_clear(struct resize_condition *c)
{
        free(c->reason);
        free(c->message);
        *c = (struct resize_condition){ 0 };
}

static void condition_set(struct resize_condition *c, const char *reason, const char *message,
                          int64_t generation)
{
        c->is_set = true;
        c->generation = generation;
        if (free_and_strdup(&c->reason, reason) < 0 || free_and_strdup(&c->message, message) < 0)
                log_oom();
}

static void adopt(struct resize_condition *c, const json_t *status, const char *type)
{
        const json_t *had;
        size_t i;

        json_array_foreach (json_object_get(status, "conditions"), i, had)
                if (streq_null(json_text_at(had, "type"), type))
                        condition_set(c, json_text_at(had, "reason"), json_text_at(had, "message"),
                                      json_integer_value(
                                              json_object_get(had, "observedGeneration")));
}

void pod_resize_init(struct pod_resize *r, struct pod *pod)
{
        json_auto_t *status = pod->status_text ? pod_status_json(pod) : NULL;

        *r = (struct pod_resize){ .backoff = { RETRY_FIRST_USEC, RETRY_MAX_USEC, 0 } };
        adopt(&r->conditions.pending, status, "PodResizePending");
        adopt(&r->conditions.in_progress, status, "PodResizeInProgress");
        if (!r->conditions.in_progress.is_set)
                r->applied = pod_ref(pod);
}

void pod_resize_done(struct pod_resize *r)
{
        condition_clear(&r->conditions.pending);
        condition_clear(&r->conditions.in_progress);
        r->applied = pod_unref(r->applied);
}

void pod_resize_set_applied(struct pod_resize *r, struct pod *pod)
{
        struct pod *old = r->applied;

        r->applied = pod_ref(pod);
        pod_unref(old);
}

static void tell(const struct context *ctx, const struct pod *pod, const char *type,
                 const char *reason, const char *what, int64_t generation, const char *error)
{
        _cleanup_free_ char *message = pod_resize_message(what, pod, generation, error);

        log_pod_info(pod, "%s", message ? message : reason);
        pod_event(ctx, pod, NULL, type, reason, "%s", message ? message : what);
}

bool pod_resize_set_pending(struct pod_resize *r, const struct context *ctx,
                            const struct pod *desired, const char *message)
{
        struct resize_condition *c = &r->conditions.pending;
        bool is_new = !c->is_set || !streq_null(c->reason, REASON_RESIZE_DEFERRED) ||
                      c->generation != desired->generation;
        bool is_news = is_new || !streq_null(c->message, message);

        condition_set(c, REASON_RESIZE_DEFERRED, message, desired->generation);
        if (is_new)
                tell(ctx, desired, EVENT_WARNING, "ResizeDeferred", REASON_RESIZE_DEFERRED,
                     desired->generation, message);
        return is_news;
}

bool pod_resize_clear_pending(struct pod_resize *r)
{
        bool was = r->conditions.pending.is_set;

        condition_clear(&r->conditions.pending);
        return was;
}

void pod_resize_set_started(struct pod_resize *r, const struct context *ctx, const struct pod *pod)
{
        condition_clear(&r->conditions.pending);
        condition_clear(&r->conditions.in_progress);
        condition_set(&r->conditions.in_progress, NULL, NULL, pod->generation);
        r->retry_at = 0;
        backoff_reset(&r->backoff);
        tell(ctx, pod, EVENT_NORMAL, "ResizeStarted", "started", pod->generation, NULL);
}

/* ---- what is to change ---- */

struct change { /* of one running container */
        const struct pod_container *container;
        struct instance *instance;
        struct container_amounts wanted;
        bool restarts; /* it is changed by being made anew */
};
struct changes {
        struct change *list; /* owned */
        size_t n;
};

static struct container_input input_of(const struct context *ctx, const struct pod *pod,
                                       const struct pod_container *c)
{
        return (struct container_input){ .pod = pod,
                                         .container = c,
                                         .cpu_quota = ctx->config->cpu_quota,
                                         .pod_pids_limit = ctx->config->pod_pids_limit,
                                         .cpu_period_usec = ctx->config->cpu_period_usec,
                                         .node_memory_bytes = ctx->node_memory_bytes };
}

static int find_changes(const struct pod *pod, struct observation *o, struct changes *ret)
{
        const struct pod_container *c;

        ret->list = calloc(o->n_containers + 1, sizeof *ret->list);
        if (!ret->list)
                return -ENOMEM;
        POD_FOREACH_CONTAINER(c, pod)
        {
                struct container_amounts wanted = container_amounts_of(pod, c);
                /* the observation's own array, which the observed container points into */
                struct instance *i =
                        o->containers[_i].n_instances
                                ? &o->instances[o->containers[_i].instances - o->instances]
                                : NULL;

                if (!i || i->state != INSTANCE_RUNNING || !i->has_amounts ||
                    c->kind == POD_CONTAINER_EPHEMERAL ||
                    container_amounts_are_equal(&i->amounts, &wanted))
                        continue;
                ret->list[ret->n++] = (struct change){
                        c, i, wanted,
                        c->kind != POD_CONTAINER_INIT &&
                                container_resize_restarts(c, &i->amounts, &wanted)
                };
        }
        return 0;
}

/* ---- memory that is in use already ---- */

static bool is_decrease(int64_t from, int64_t to)
{
        return to > 0 && (from <= 0 || to < from);
}

static int refuse(struct err *err, const char *who, int64_t wanted, uint64_t used)
{
        return err_set(err, -EBUSY,
                       "cannot decrease memory limits: attempting to set %s memory limit (%" PRIi64
                       ") below current usage (%" PRIu64 ")",
                       who, wanted, used);
}

/* Where memory is not counted no limit of it applies either. */
static bool is_above(const struct runtime_usage *u, int64_t limit)
{
        return u->memory_current != UINT64_MAX && u->memory_current >= (uint64_t)limit;
}

static int check_memory(const struct context *ctx, const char *cgroup, const struct changes *all,
                        const struct oci_resources *old, const struct oci_resources *new,
                        struct err *err)
{
        struct runtime_usage usage;

        if (new->memory_limit != OCI_UNSET &&
            old->memory_limit !=
                    new->memory_limit &&is_decrease(old->memory_limit, new->memory_limit) &&
            runtime_cgroup_usage(ctx->rt, cgroup, &usage) == 0 &&
            is_above(&usage, new->memory_limit))
                return refuse(err, "pod", new->memory_limit, usage.memory_current);
        for (size_t i = 0; i < all->n; i++) {
                const struct change *c = &all->list[i];
                _cleanup_free_ char *who = NULL;

                if (c->restarts ||
                    !is_decrease(c->instance->amounts.memory_limit, c->wanted.memory_limit) ||
                    container_usage(ctx->rt, c->instance->id, &usage) < 0 ||
                    !is_above(&usage, c->wanted.memory_limit))
                        continue;
                who = text_printf("container \"%s\"", c->container->name);
                return refuse(err, who ? who : "container", c->wanted.memory_limit,
                              usage.memory_current);
        }
        return 0;
}

/* ---- changing ---- */

/* The number that says whether a container gets more or less of it. */
static int64_t more_or_less(const struct change *c, bool memory)
{
        const struct container_amounts *from = &c->instance->amounts, *to = &c->wanted;
        int64_t limit = memory ? to->memory_limit - from->memory_limit
                               : to->cpu_limit - from->cpu_limit;

        if (limit == 0)
                return memory ? to->memory_request - from->memory_request
                              : to->cpu_request - from->cpu_request;
        /* 0 is no limit at all */
        if ((memory ? from->memory_limit : from->cpu_limit) == 0)
                return -1;
        return (memory ? to->memory_limit : to->cpu_limit) == 0 ? 1 : limit;
}

static int change_one(const struct context *ctx, const struct pod *pod, struct change *c,
                      bool memory, struct err *err)
{
        struct container_input in = input_of(ctx, pod, c->container);
        struct container_amounts after = c->instance->amounts;
        char text[CONTAINER_AMOUNTS_TEXT_MAX];
        struct string_map_entry label = { (char *)LABEL_AMOUNTS, text };
        struct oci_resources resources;
        int r;

        if (memory) {
                after.memory_request = c->wanted.memory_request;
                after.memory_limit = c->wanted.memory_limit;
        } else {
                after.cpu_request = c->wanted.cpu_request;
                after.cpu_limit = c->wanted.cpu_limit;
        }
        container_amounts_format(&after, text);
        container_resize_resources(&in, memory ? "memory" : "cpu", &resources);
        r = container_update(ctx->rt, c->instance->id, &resources, &label, err);
        oci_resources_done(&resources);
        if (r == 0)
                c->instance->amounts = after;
        return r == -ESRCH ? 0 : r; /* it has just ended: it starts with the new ones */
}

static int change_containers(const struct context *ctx, const struct pod *pod, struct changes *all,
                             struct err *err)
{
        for (int step = 0; step < 4; step++) {
                bool memory = step < 2, increase = step % 2;

                for (size_t i = 0; i < all->n; i++) {
                        struct change *c = &all->list[i];
                        int64_t direction = more_or_less(c, memory);
                        int r = 0;

                        if (!c->restarts && direction != 0 && (direction > 0) == increase)
                                r = change_one(ctx, pod, c, memory, err);
                        if (r < 0)
                                return r;
                }
        }
        return 0;
}

static bool any_restarts(const struct changes *all)
{
        for (size_t i = 0; i < all->n; i++)
                if (all->list[i].restarts)
                        return true;
        return false;
}

/* What the pod's cgroup has now; where nobody knows, nothing limits it. */
static int old_values(const struct pod_resize *r, const struct context *ctx,
                      struct oci_resources *ret)
{
        struct container_input in = input_of(ctx, r->applied, NULL);

        if (r->applied)
                return pod_cgroup_resources(r->applied, &in, ret);
        oci_resources_init(ret);
        ret->memory_limit = ret->cpu_quota = -1;
        return 0;
}

/* Return: 0 done; 1 containers are to be restarted first. */
static int actuate(struct pod_resize *r, const struct context *ctx, struct pod *pod,
                   struct changes *all, struct err *err)
{
        _cleanup_free_ char *cgroup = pod_cgroup_path(pod);
        struct container_input in = input_of(ctx, pod, NULL);
        _cleanup_(oci_resources_done)
        struct oci_resources old = { 0 }, new = { 0 }, wide = { 0 };
        int k = cgroup ? old_values(r, ctx, &old) : -ENOMEM;

        if (k == 0)
                k = pod_cgroup_resources(pod, &in, &new);
        if (k == 0)
                k = pod_cgroup_resources(pod, &in, &wide);
        if (k < 0)
                return err_sys(err, k, "prepare the pod's limits");
        pod_cgroup_resources_widen(&wide, &old);
        k = check_memory(ctx, cgroup, all, &old, &new, err);
        if (k == 0)
                k = runtime_cgroup_apply(ctx->rt, cgroup, &wide, err);
        if (k == 0)
                k = change_containers(ctx, pod, all, err);
        if (k < 0)
                return k;
        if (any_restarts(all))
                return 1;
        if (new.memory_limit == OCI_UNSET && old.memory_limit != OCI_UNSET)
                new.memory_limit = -1;
        if (new.cpu_quota == OCI_UNSET && old.cpu_quota != OCI_UNSET)
                new.cpu_quota = -1;
        k = runtime_cgroup_apply(ctx->rt, cgroup, &new, err);
        if (k == 0)
                pod_resize_set_applied(r, pod);
        return k;
}

static void fail(struct pod_resize *r, const struct context *ctx, const struct pod *pod,
                 const struct err *err)
{
        struct resize_condition *c = &r->conditions.in_progress;
        bool is_news = !streq_null(c->reason, REASON_ERROR) ||
                       !streq_null(c->message, err_text(err));

        condition_set(c, REASON_ERROR, err_text(err), c->generation);
        if (is_news)
                tell(ctx, pod, EVENT_WARNING, "ResizeError", "error", c->generation, err_text(err));
}

static void complete(struct pod_resize *r, const struct context *ctx, const struct pod *pod)
{
        struct resize_condition *c = &r->conditions.in_progress;

        if (c->is_set)
                tell(ctx, pod, EVENT_NORMAL, "ResizeCompleted", "completed", c->generation, NULL);
        condition_clear(c);
        r->retry_at = 0;
        backoff_reset(&r->backoff);
}

usec_t pod_resize_sync(struct pod_resize *r, const struct context *ctx, struct pod *pod,
                       struct observation *o)
{
        struct changes all = { 0 };
        _cleanup_err_ struct err err = { 0 };
        usec_t now = now_monotonic();
        int k;

        if (find_changes(pod, o, &all) < 0) {
                log_oom();
                return now + USEC_PER_SEC;
        }
        /* the next sandbox is made with the pod's cgroup, which it notes */
        if (all.n == 0 &&
            (!o->seen.sandbox_ready || (r->applied && !pod_resources_differ(r->applied, pod)))) {
                free(all.list);
                complete(r, ctx, pod);
                return USEC_NEVER;
        }
        if (all.n > 0 && !r->conditions.in_progress.is_set)
                condition_set(&r->conditions.in_progress, NULL, NULL, pod->generation);
        if (now < r->retry_at) {
                free(all.list);
                return r->retry_at;
        }
        k = actuate(r, ctx, pod, &all, &err);
        free(all.list);
        if (k < 0) {
                fail(r, ctx, pod, &err);
                r->retry_at = now + backoff_next(&r->backoff);
                return r->retry_at;
        }
        if (k == 0)
                complete(r, ctx, pod);
        return USEC_NEVER;
}
