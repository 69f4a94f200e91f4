/* Conditions. Source: pkg/kubelet/status/generate.go. */
#include <errno.h>
#include <string.h>

#include "base/text.h"
#include "kubelet/pod-status-parts.h"
#include "kubelet/reason.h"

struct verdict { /* of one condition */
        bool is_true;
        const char *reason; /* NULL: none */
        char *message;      /* owned; NULL: none */
        int64_t generation; /* 0: that of the pod */
};

struct judging {
        const struct pod_status_input *in;
        const struct status_lists *lists;
        enum pod_phase phase;
        json_t *list; /* what is being built */
};

static const char *const kubelet_types[] = {
        "PodScheduled",
        "Ready",
        "Initialized",
        "ContainersReady",
        "PodResizeInProgress",
        "PodResizePending",
        "PodReadyToStartContainers",
        "AllContainersRestarting",
};

static bool is_ours(const char *type)
{
        for (size_t i = 0; i < ARRAY_SIZE(kubelet_types); i++)
                if (streq_null(type, kubelet_types[i]))
                        return true;
        return false;
}

static const json_t *condition_of(const json_t *conditions, const char *type)
{
        size_t i;
        json_t *c;

        json_array_foreach ((json_t *)conditions, i, c)
                if (streq_null(json_text_at(c, "type"), type))
                        return c;
        return NULL;
}

bool status_condition_is_true(const json_t *conditions, const char *type)
{
        const json_t *c = condition_of(conditions, type);

        return c && streq_null(json_text_at(c, "status"), "True");
}

static const json_t *previous(const struct judging *j)
{
        return json_object_get(j->in->previous, "conditions");
}

/* The transition time stays for as long as the status does. */
static int add(struct judging *j, const char *type, const struct verdict *v, bool with_generation)
{
        const char *status = v->is_true ? "True" : "False";
        int64_t generation = v->generation ? v->generation : j->in->pod->generation;
        const json_t *old = condition_of(previous(j), type);
        json_t *since = json_object_get(old, "lastTransitionTime");
        json_t *c = json_pack("{s:s, s:s, s:n}", "type", type, "status", status, "lastProbeTime");
        bool same = json_is_string(since) && streq_null(json_text_at(old, "status"), status);
        int r = json_set(c, "lastTransitionTime",
                         same ? json_incref(since) : status_time(j->in->now));

        if (r == 0)
                r = json_set_text(c, "reason", v->reason);
        if (r == 0 && v->message)
                r = json_set(c, "message", status_text(v->message, SIZE_MAX));
        if (r == 0 && with_generation && generation != 0)
                r = json_set(c, "observedGeneration", json_integer(generation));
        if (r < 0) {
                json_decref(c);
                return r;
        }
        return json_array_append_new(j->list, c) < 0 ? -ENOMEM : 0;
}

/* ---- what they say ---- */
/* "containers with unready status: [a b]", appended to *text with ", " between. */
static int append_names(char **text, const char *what, char *const *names)
{
        _cleanup_free_ char *joined = NULL;
        char *longer;

        if (strv_len(names) == 0)
                return 0;
        joined = strv_join(names, " ");
        longer = joined ? text_printf("%s%scontainers with %s status: [%s]", *text ? *text : "",
                                      *text ? ", " : "", what, joined)
                        : NULL;
        if (!longer)
                return -ENOMEM;
        free(*text);
        *text = longer;
        return 0;
}

static bool any_status(const struct judging *j)
{
        return json_array_size(j->lists->init) + json_array_size(j->lists->regular) > 0;
}

static bool flag(const json_t *status, const char *key)
{
        return json_is_true(json_object_get(status, key));
}

/* The verdict that a final phase gives; false: it gives none. */
static bool judged_by_end(const struct judging *j, bool all_known, struct verdict *v)
{
        if (j->phase == POD_SUCCEEDED && all_known)
                v->reason = REASON_POD_COMPLETED;
        else if (j->phase == POD_FAILED)
                v->reason = REASON_POD_FAILED;
        else
                return false;
        return true;
}

static int containers_ready(const struct judging *j, struct verdict *v)
{
        _cleanup_strv_ char **unknown = NULL, **unready = NULL;
        const struct pod_container *c;
        int r = 0;

        if (!any_status(j)) {
                v->reason = REASON_UNKNOWN_STATUSES;
                return 0;
        }
        POD_FOREACH_CONTAINER(c, j->in->pod)
        {
                const json_t *s = status_of(c->kind == POD_CONTAINER_SIDECAR ? j->lists->init
                                                                             : j->lists->regular,
                                            c->name);

                if (c->kind == POD_CONTAINER_INIT || c->kind == POD_CONTAINER_EPHEMERAL)
                        continue;
                if (!s)
                        r = strv_append(&unknown, c->name);
                else if (!flag(s, "ready"))
                        r = strv_append(&unready, c->name);
                if (r < 0)
                        return r;
        }
        if (judged_by_end(j, !unknown, v))
                return 0;
        v->is_true = !unknown && !unready;
        v->reason = v->is_true ? NULL : REASON_CONTAINERS_NOT_READY;
        r = append_names(&v->message, "unknown", unknown);
        return r < 0 ? r : append_names(&v->message, "unready", unready);
}

static int append_gate(char **text, const char *gate, const json_t *condition)
{
        const char *before = *text ? *text : "", *comma = *text ? ", " : "";
        char *longer;

        if (!condition)
                longer = text_printf("%s%scorresponding condition of pod readiness gate \"%s\" "
                                     "does not exist.",
                                     before, comma, gate);
        else
                longer = text_printf("%s%sthe status of pod readiness gate \"%s\" is not "
                                     "\"True\", but %s",
                                     before, comma, gate, json_text_at(condition, "status"));
        if (!longer)
                return -ENOMEM;
        free(*text);
        *text = longer;
        return 0;
}

static int pod_ready(const struct judging *j, struct verdict *v)
{
        int r = containers_ready(j, v);

        if (r < 0 || !v->is_true)
                return r;
        STRV_FOREACH (gate, j->in->pod->readiness_gates) {
                const json_t *c = condition_of(j->list, *gate);

                if (c && streq_null(json_text_at(c, "status"), "True"))
                        continue;
                v->is_true = false;
                v->reason = REASON_GATES_NOT_READY;
                r = append_gate(&v->message, *gate, c);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Some regular container has run: then everything before it was done once. */
static bool any_regular_ran(const struct judging *j)
{
        size_t i;
        json_t *s;

        json_array_foreach (j->lists->regular, i, s)
                if (status_state(s, "running") || status_state(s, "terminated"))
                        return true;
        return false;
}

static int initialized(const struct judging *j, struct verdict *v)
{
        _cleanup_strv_ char **incomplete = NULL;

        for (size_t i = 0; i < j->in->pod->n_init_containers; i++) {
                const struct pod_container *c = &j->in->pod->init_containers[i];
                const json_t *s = status_of(j->lists->init, c->name);
                bool done = flag(s, c->kind == POD_CONTAINER_SIDECAR ? "started" : "ready");

                if (!done && strv_append(&incomplete, c->name) < 0)
                        return -ENOMEM;
        }
        v->is_true = true;
        if (j->phase == POD_SUCCEEDED) {
                v->reason = REASON_POD_COMPLETED;
                return 0;
        }
        if (!incomplete || any_regular_ran(j) ||
            status_condition_is_true(previous(j), "Initialized"))
                return 0;
        v->is_true = false;
        v->reason = REASON_NOT_INITIALIZED;
        return append_names(&v->message, "incomplete", incomplete);
}

static int restarting_all(const struct judging *j, struct verdict *v)
{
        bool anything = false;
        const struct pod_container *c;

        if (judged_by_end(j, true, v))
                return 0;
        for (size_t i = 0; (c = pod_container_at(j->in->pod, i)); i++)
                anything = anything || (c->kind != POD_CONTAINER_EPHEMERAL &&
                                        j->in->seen->containers[i].n_instances > 0);
        if (!anything || !status_restarts_all(j->in))
                return 0;
        v->is_true = true;
        v->reason = REASON_RESTART_ALL_STARTED;
        v->message = strdup(REASON_RESTART_ALL_RULE);
        return v->message ? 0 : -ENOMEM;
}

/* ---- the list ---- */
typedef int (*judge_fn)(const struct judging *j, struct verdict *v);

static int add_judged(struct judging *j, const char *type, judge_fn judge, bool with_generation)
{
        struct verdict v = { 0 };
        int r = judge(j, &v);

        if (r == 0)
                r = add(j, type, &v, with_generation);
        free(v.message);
        return r;
}

static int add_foreign(struct judging *j)
{
        const json_t *from = j->in->shown ? json_object_get(j->in->shown, "conditions")
                                          : previous(j);
        size_t i;
        json_t *c;

        json_array_foreach ((json_t *)from, i, c) {
                const char *type = json_text_at(c, "type");

                if (is_ours(type) ||
                    (j->in->disruption_target && streq_null(type, "DisruptionTarget")))
                        continue;
                if (json_array_append_new(j->list, json_deep_copy(c)) < 0)
                        return -ENOMEM;
        }
        return 0;
}

static int add_disruption(struct judging *j)
{
        const char *message = j->in->disruption_message ? j->in->disruption_message
                              : j->in->forced_message   ? j->in->forced_message
                                                        : "";
        const struct verdict v = { .is_true = true,
                                   .reason = REASON_TERMINATION_BY_KUBELET,
                                   .message = (char *)message };

        return j->in->disruption_target ? add(j, "DisruptionTarget", &v, true) : 0;
}

static int add_resize(struct judging *j, const char *type, const struct resize_condition *c)
{
        const struct verdict v = { .is_true = true,
                                   .reason = c->reason,
                                   .message = c->message,
                                   .generation = c->generation };

        return c->is_set && !pod_phase_is_terminal(j->phase) ? add(j, type, &v, true) : 0;
}

json_t *status_conditions(const struct pod_status_input *in, const struct status_lists *lists,
                          enum pod_phase phase)
{
        const struct verdict sandbox = { .is_true = !in->new_sandbox_needed };
        const struct verdict scheduled = { .is_true = true };
        struct judging j = { in, lists, phase, json_array() };
        int r = j.list ? add_foreign(&j) : -ENOMEM;

        if (r == 0 && in->resize)
                r = add_resize(&j, "PodResizePending", &in->resize->pending);
        if (r == 0 && in->resize)
                r = add_resize(&j, "PodResizeInProgress", &in->resize->in_progress);
        if (r == 0)
                r = add_disruption(&j);
        if (r == 0)
                r = add(&j, "PodReadyToStartContainers", &sandbox, true);
        if (r == 0)
                r = add_judged(&j, "Initialized", initialized, true);
        if (r == 0)
                r = add_judged(&j, "Ready", pod_ready, true);
        if (r == 0)
                r = add_judged(&j, "ContainersReady", containers_ready, true);
        if (r == 0)
                r = add(&j, "PodScheduled", &scheduled, true);
        if (r == 0 && pod_could_restart_all(in->pod))
                r = add_judged(&j, "AllContainersRestarting", restarting_all, false);
        if (r == 0)
                return j.list;
        json_decref(j.list);
        return NULL;
}
