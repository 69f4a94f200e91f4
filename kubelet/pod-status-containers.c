/*
 * Container statuses. Source: pkg/kubelet/kubelet_pods.go (convertToAPIContainerStatuses),
 * pkg/kubelet/prober/prober_manager.go (UpdatePodStatus).
 *
 * What the runtime knows wins; what it has forgotten is carried over from the status before, so
 * that no end of a container is lost; what is about to be started again shows why it is not yet.
 */
#include <errno.h>
#include <string.h>

#include "base/quantity.h"
#include "base/text.h"
#include "kubelet/pod-status-parts.h"
#include "kubelet/reason.h"

#define CONTAINER_ID_PREFIX "skiff://"
#define POD_MESSAGES_MAX    12288

struct building {
        const struct pod_status_input *in;
        bool restarts_all;
        size_t message_max; /* of each container */
        bool *failed;       /* without memory: the whole is thrown away */
};

static void put(const struct building *b, json_t *o, const char *key, json_t *value)
{
        if (json_set(o, key, value) < 0)
                *b->failed = true;
}

/* ---- reading statuses ---- */
json_t *status_of(const json_t *array, const char *name)
{
        size_t i;
        json_t *s;

        json_array_foreach ((json_t *)array, i, s)
                if (streq_null(json_text_at(s, "name"), name))
                        return s;
        return NULL;
}

static json_t *object_in(const json_t *object, const char *outer, const char *inner)
{
        json_t *o = json_object_get(json_object_get(object, outer), inner);

        return json_is_object(o) ? o : NULL;
}

json_t *status_state(const json_t *status, const char *kind)
{
        return object_in(status, "state", kind);
}

json_t *status_last(const json_t *status, const char *kind)
{
        return object_in(status, "lastState", kind);
}

int status_exit_code(const json_t *terminated)
{
        return (int)json_integer_value(json_object_get(terminated, "exitCode"));
}

static json_int_t restart_count(const json_t *status)
{
        return json_integer_value(json_object_get(status, "restartCount"));
}

static const json_t *previous_of(const struct pod_status_input *in, const struct pod_container *c)
{
        const char *list = "containerStatuses";

        if (c->kind == POD_CONTAINER_INIT || c->kind == POD_CONTAINER_SIDECAR)
                list = "initContainerStatuses";
        else if (c->kind == POD_CONTAINER_EPHEMERAL)
                list = "ephemeralContainerStatuses";
        return status_of(json_object_get(in->previous, list), c->name);
}

static const struct instance *newest(const struct container_observed *o)
{
        return o->n_instances > 0 ? &o->instances[0] : NULL;
}

bool status_restarts_all(const struct pod_status_input *in)
{
        const struct pod_container *c;

        if (!pod_could_restart_all(in->pod))
                return false;
        if (pod_restart_all_is_due(in->pod, in->seen) ||
            status_condition_is_true(json_object_get(in->previous, "conditions"),
                                     "AllContainersRestarting"))
                return true;
        POD_FOREACH_CONTAINER(c, in->pod)
        {
                const json_t *end = status_state(previous_of(in, c), "terminated");
                const struct pod_restart_rule *rule =
                        end ? container_restart_rule(c, status_exit_code(end)) : NULL;

                if (rule && rule->action == POD_RULE_RESTART_ALL_CONTAINERS)
                        return true;
        }
        return false;
}

/* ---- states ---- */
static json_t *waiting(const struct building *b, const char *reason, const char *message)
{
        json_t *w = json_pack("{s:s}", "reason", reason);

        if (message && *message)
                put(b, w, "message", status_text(message, b->message_max));
        return json_pack("{s:o}", "waiting", w);
}

/* An end that nobody saw: there are no times. */
static json_t *unseen_end(const char *reason, const char *message, int exit_code)
{
        return json_pack("{s:{s:i, s:s, s:s, s:n, s:n}}", "terminated", "exitCode", exit_code,
                         "reason", reason, "message", message, "startedAt", "finishedAt");
}

/* The kubelet shows the epoch for what could not be started. What was killed before it was started
 * has not run since then: it ran no time at all. */
static usec_t start_of_ended(const struct instance *i)
{
        return i->started_at || i->start_failed ? i->started_at : i->finished_at;
}

static json_t *seen_end(const struct building *b, const struct instance *i)
{
        json_t *t = json_pack("{s:i, s:s, s:o, s:o}", "exitCode", i->exit_code, "reason",
                              reason_of_exit(i), "startedAt", status_time(start_of_ended(i)),
                              "finishedAt", status_time(i->finished_at));
        const char *message = i->message ? i->message : i->lost ? REASON_LOST_TEXT : NULL;
        _cleanup_free_ char *id = text_printf(CONTAINER_ID_PREFIX "%s", i->id);

        if (message)
                put(b, t, "message", status_text(message, b->message_max));
        put(b, t, "containerID", id ? json_string(id) : NULL);
        return json_pack("{s:o}", "terminated", t);
}

static json_t *state_of(const struct building *b, const struct instance *i, const json_t *old)
{
        switch (i->state) {
        case INSTANCE_RUNNING:
                return json_pack("{s:{s:o}}", "running", "startedAt", status_time(i->started_at));
        case INSTANCE_EXITED:
                return seen_end(b, i);
        case INSTANCE_UNKNOWN:
                /* it ran, and that is over, whatever the runtime has forgotten */
                if (status_state(old, "running"))
                        return unseen_end(b->restarts_all ? REASON_RESTARTING_ALL
                                                          : REASON_STATUS_UNKNOWN,
                                          REASON_LOST_TEXT, EXIT_CODE_LOST);
                break;
        case INSTANCE_CREATED:
                break;
        }
        return json_pack("{s:{}}", "waiting");
}

/* ---- what follows from the spec ---- */
static json_t *volume_mounts(const struct building *b, const struct pod_container *c)
{
        json_t *list = json_array();

        for (size_t i = 0; i < c->n_mounts; i++) {
                const struct pod_mount *m = &c->mounts[i];
                json_t *o = json_pack("{s:s, s:s}", "name", m->name, "mountPath", m->path);

                if (m->read_only) {
                        bool recursive = m->recursive_read_only != POD_RRO_DISABLED &&
                                         m->propagation == POD_PROPAGATION_NONE;

                        put(b, o, "readOnly", json_true());
                        put(b, o, "recursiveReadOnly",
                            json_string(recursive ? "Enabled" : "Disabled"));
                }
                if (json_array_append_new(list, o) < 0)
                        *b->failed = true;
        }
        return list;
}

static void put_list(const struct building *b, json_t *o, const char *key,
                     const struct string_map *m)
{
        if (m->n > 0)
                put(b, o, key, string_map_to_json(m));
}

/* In the place of what was allocated, where the container runs with something else yet. */
static void put_actual(const struct building *b, json_t *list, const char *name, int64_t actual,
                       int64_t allocated)
{
        char text[QUANTITY_TEXT_MAX];

        if (!json_object_get(list, name) || actual == allocated)
                return;
        put(b, list, name,
            json_string(streq(name, "cpu") ? quantity_format_milli(actual, text)
                                           : quantity_format_bytes(actual, text)));
}

/*
 * What was allocated; of a running container's cpu and memory what it was configured with, as
 * configured: reading it back would show the kernel's roundings.
 */
static void set_resources(const struct building *b, json_t *status, const struct pod_container *c,
                          const struct instance *i)
{
        json_t *resources = json_object(), *limits, *requests;
        struct container_amounts wanted = container_amounts_of(b->in->pod, c);

        put_list(b, resources, "limits", &c->resources.limits);
        put_list(b, resources, "requests", &c->resources.requests);
        if (i->state == INSTANCE_RUNNING && i->has_amounts) {
                limits = json_object_get(resources, "limits");
                requests = json_object_get(resources, "requests");
                put_actual(b, limits, "cpu", i->amounts.cpu_limit, wanted.cpu_limit);
                put_actual(b, limits, "memory", i->amounts.memory_limit, wanted.memory_limit);
                put_actual(b, requests, "cpu", i->amounts.cpu_request, wanted.cpu_request);
                put_actual(b, requests, "memory", i->amounts.memory_request, wanted.memory_request);
        }
        put(b, status, "resources", resources);
        put_list(b, status, "allocatedResources", &c->resources.requests);
}

static void set_user(const struct building *b, json_t *status, const struct instance *i)
{
        json_t *groups = json_array();

        for (size_t k = 0; k < i->n_groups; k++)
                if (json_array_append_new(groups, json_integer(i->groups[k])) < 0)
                        *b->failed = true;
        put(b, status, "user",
            json_pack("{s:{s:I, s:I, s:o}}", "linux", "uid", (json_int_t)i->uid, "gid",
                      (json_int_t)i->gid, "supplementalGroups", groups));
}

/* ---- one container ---- */
/* Before anything of it was made, or after the runtime forgot it. */
static json_t *base_status(const struct building *b, const struct pod_container *c,
                           const json_t *old)
{
        const char *reason = b->in->pod->n_init_containers > 0 ? REASON_POD_INITIALIZING
                                                               : REASON_CONTAINER_CREATING;
        const json_t *last = json_object_get(old, "lastState");
        json_t *status;

        if (status_state(old, "terminated"))
                return json_deep_copy(old);
        status = json_pack("{s:s, s:o, s:o, s:b, s:I, s:s, s:s}", "name", c->name, "state",
                           waiting(b, reason, NULL), "lastState",
                           json_is_object(last) ? json_deep_copy(last) : json_object(), "ready", 0,
                           "restartCount", restart_count(old), "image", c->image, "imageID", "");
        if (status && c->n_mounts > 0)
                put(b, status, "volumeMounts", volume_mounts(b, c));
        return status;
}

/* The runtime knows no instance of it, but there was one. */
static void explain_absence(const struct building *b, json_t *status, const json_t *old)
{
        json_t *end;

        if (b->restarts_all && !status_state(old, "waiting")) {
                end = unseen_end(REASON_RESTARTING_ALL, REASON_RESTARTING_ALL_TEXT, EXIT_CODE_LOST);
                put(b, status, "state",
                    waiting(b, REASON_RESTARTING_ALL, REASON_RESTARTING_ALL_TEXT));
                put(b, status, "lastState", end);
                put(b, status, "restartCount", json_integer(restart_count(old) + 1));
                return;
        }
        if (!status_state(old, "running") || status_last(status, "terminated"))
                return;
        /* without this the pod would fall back to Pending */
        put(b, status, "lastState",
            unseen_end(REASON_STATUS_UNKNOWN, REASON_LOST_RUNNING_TEXT, EXIT_CODE_LOST));
        if (!b->in->pod->deleted_at)
                put(b, status, "restartCount", json_integer(restart_count(old) + 1));
}

static json_int_t count_restarts(const struct instance *i, const json_t *old)
{
        json_int_t before = restart_count(old), count = MAX(before, (json_int_t)i->restart_count);

        /* the one before was removed, and its count with it */
        if (i->state == INSTANCE_RUNNING && status_state(old, "terminated") &&
            before >= (json_int_t)i->restart_count)
                return before + 1;
        if (i->state == INSTANCE_UNKNOWN && status_state(old, "running"))
                return before + 1;
        return count;
}

static json_t *last_state(const struct building *b, const struct container_observed *o,
                          const json_t *old, const char *id)
{
        const json_t *carried = status_last(old, "terminated");

        if (o->n_instances > 1)
                return state_of(b, &o->instances[1], old);
        if (status_state(old, "terminated") &&
            !streq_null(json_text_at(old, "containerID"), id)) /* of an instance that was removed */
                carried = status_state(old, "terminated");
        return carried ? json_pack("{s:o}", "terminated", json_deep_copy(carried)) : json_object();
}

static json_t *observed_status(const struct building *b, const struct pod_container *c,
                               const struct container_observed *o, const json_t *old)
{
        const struct instance *i = newest(o);
        _cleanup_free_ char *id = text_printf(CONTAINER_ID_PREFIX "%s", i->id);
        json_t *status;

        if (!id)
                return NULL;
        status = json_pack("{s:s, s:o, s:o, s:b, s:I, s:s, s:s, s:s}", "name", c->name, "state",
                           state_of(b, i, old), "lastState", last_state(b, o, old, id), "ready", 0,
                           "restartCount", count_restarts(i, old), "image",
                           i->image ? i->image : c->image, "imageID",
                           i->image_id ? i->image_id : "", "containerID", id);
        if (!status)
                return NULL;
        if (c->n_mounts > 0)
                put(b, status, "volumeMounts", volume_mounts(b, c));
        set_resources(b, status, c, i);
        if (i->has_user)
                set_user(b, status, i);
        return status;
}

static bool any_regular_made(const struct pod_status_input *in)
{
        for (size_t k = 0; k < in->pod->n_containers; k++) {
                const struct instance *i = newest(
                        &in->seen->containers[in->pod->n_init_containers + k]);

                if (i && i->state != INSTANCE_UNKNOWN)
                        return true;
        }
        return false;
}

/* Will it be started again, as far as its last instance can tell? */
static bool is_to_start(const struct pod_status_input *in, const struct pod_container *c,
                        const struct container_observed *o)
{
        const struct instance *i = newest(o);

        if (in->pod->deleted_at)
                return false;
        if (!i)
                return true;
        if (i->state == INSTANCE_EXITED && !o->must_restart)
                return container_should_restart(in->pod, c, i->exit_code, i->oom_killed);
        return i->state != INSTANCE_RUNNING;
}

/* Why it is not running yet; the message is owned. */
static const char *why_waiting(const struct pod_status_input *in, size_t index, char **ret_message)
{
        const struct container_observed *o = &in->seen->containers[index];
        const struct container_action *a = in->actions && index < in->actions->n_containers
                                                   ? &in->actions->containers[index]
                                                   : NULL;

        if (a && a->what == CONTAINER_BACK_OFF) {
                *ret_message = reason_crash_loop_text(in->pod, pod_container_at(in->pod, index),
                                                      a->delay_usec);
                return REASON_CRASH_LOOP;
        }
        *ret_message = strdup_null(o->waiting_message);
        return o->waiting_reason;
}

static void show_what_it_waits_for(const struct building *b, size_t index, json_t *status)
{
        const struct pod_status_input *in = b->in;
        const struct pod_container *c = pod_container_at(in->pod, index);
        const struct container_observed *o = &in->seen->containers[index];
        const struct instance *i = newest(o);
        _cleanup_free_ char *message = NULL;
        const char *reason;

        if (c->kind == POD_CONTAINER_INIT || c->kind == POD_CONTAINER_SIDECAR) {
                if (i && i->state == INSTANCE_EXITED && i->exit_code == 0 && !i->oom_killed)
                        return;
                if (!i && c->kind == POD_CONTAINER_INIT && !b->restarts_all &&
                    any_regular_made(in) && status_state(status, "waiting")) {
                        put(b, status, "state",
                            unseen_end(REASON_COMPLETED, REASON_INIT_FORGOTTEN_TEXT, 0));
                        return;
                }
        }
        if (!is_to_start(in, c, o))
                return;
        reason = why_waiting(in, index, &message);
        if (!reason)
                return;
        if (status_state(status, "terminated"))
                put(b, status, "lastState", json_incref(json_object_get(status, "state")));
        put(b, status, "state", waiting(b, reason, message));
}

/* ---- started and ready ---- */
static bool is_started(const struct pod_container *c, const struct container_observed *o)
{
        if (o->startup != PROBE_VERDICT_NONE)
                return o->startup == PROBE_VERDICT_SUCCESS;
        return !c->startup || o->has_started_before;
}

static bool is_ready(const struct pod_container *c, const struct container_observed *o)
{
        if (o->readiness == PROBE_VERDICT_SUCCESS)
                return true;
        return !c->readiness || (o->readiness == PROBE_VERDICT_NONE && o->was_ready_before);
}

static void set_probe_results(const struct building *b, const struct pod_container *c,
                              const struct container_observed *o, json_t *status)
{
        const json_t *end = status_state(status, "terminated");
        bool started = status_state(status, "running") && is_started(c, o);
        bool ready = started && is_ready(c, o);

        if (c->kind == POD_CONTAINER_EPHEMERAL)
                return;
        if (c->kind == POD_CONTAINER_INIT)
                ready = end && status_exit_code(end) == 0;
        put(b, status, "started", json_boolean(started));
        put(b, status, "ready", json_boolean(ready));
}

/* ---- lists ---- */
static json_t *container_status(const struct building *b, size_t index)
{
        const struct pod_container *c = pod_container_at(b->in->pod, index);
        const struct container_observed *o = &b->in->seen->containers[index];
        const json_t *old = previous_of(b->in, c);
        json_t *status;

        if (o->n_instances > 0) {
                status = observed_status(b, c, o, old);
        } else {
                status = base_status(b, c, old);
                if (status && old)
                        explain_absence(b, status, old);
        }
        if (!status)
                return NULL;
        show_what_it_waits_for(b, index, status);
        set_probe_results(b, c, o, status);
        return status;
}

/* Takes @status. */
static int insert_by_name(json_t *list, json_t *status)
{
        size_t at = json_array_size(list);

        while (at > 0 && strcmp(json_text_at(json_array_get(list, at - 1), "name"),
                                json_text_at(status, "name")) > 0)
                at--;
        return json_array_insert_new(list, at, status);
}

static json_t *build_list(const struct building *b, size_t first, size_t n, bool sorted)
{
        json_t *list = json_array();

        for (size_t i = 0; list && i < n; i++) {
                json_t *status = container_status(b, first + i);
                int r = sorted && status ? insert_by_name(list, status)
                                         : json_array_append_new(list, status);

                if (r < 0)
                        *b->failed = true;
        }
        if (!list)
                *b->failed = true;
        return list;
}

void status_lists_done(struct status_lists *l)
{
        json_decref(l->init);
        json_decref(l->regular);
        json_decref(l->ephemeral);
        *l = (struct status_lists){ 0 };
}

int status_lists_build(const struct pod_status_input *in, struct status_lists *ret)
{
        const struct pod *p = in->pod;
        bool failed = false;
        const struct building b = { .in = in,
                                    .restarts_all = status_restarts_all(in),
                                    .message_max = POD_MESSAGES_MAX / pod_n_containers(p),
                                    .failed = &failed };

        *ret = (struct status_lists){
                .init = build_list(&b, 0, p->n_init_containers, false),
                .regular = build_list(&b, p->n_init_containers, p->n_containers, true),
                .ephemeral = build_list(&b, p->n_init_containers + p->n_containers,
                                        p->n_ephemeral_containers, true),
        };
        if (!failed)
                return 0;
        status_lists_done(ret);
        return -ENOMEM;
}
