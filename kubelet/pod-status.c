#include "kubelet/pod-status.h"

#include <errno.h>
#include <string.h>

#include "base/quantity.h"
#include "base/text.h"
#include "kubelet/pod-status-parts.h"
#include "kubelet/qos.h"
#include "kubelet/reason.h"

json_t *status_time(usec_t t)
{
        char text[TIME_TEXT_MAX];

        return json_string(time_format(t, text));
}

/* Length of the UTF-8 character at @s (of @n bytes), 0 when it is none. */
static size_t utf8_length(const char *s, size_t n)
{
        const unsigned char *p = (const unsigned char *)s;
        size_t length = p[0] < 0x80   ? 1
                        : p[0] < 0xc2 ? 0
                        : p[0] < 0xe0 ? 2
                        : p[0] < 0xf0 ? 3
                        : p[0] < 0xf5 ? 4
                                      : 0;

        if (length > n)
                return 0;
        for (size_t i = 1; i < length; i++)
                if ((p[i] & 0xc0) != 0x80)
                        return 0;
        if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] >= 0xa0) ||
            (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] >= 0x90))
                return 0;
        return length;
}

json_t *status_text(const char *s, size_t max)
{
        static const char replacement[] = "\xef\xbf\xbd";
        struct strbuf b = { 0 };
        _cleanup_free_ char *text = NULL;

        for (size_t n = strlen(s), k; n > 0; s += MAX(k, 1), n -= MAX(k, 1)) {
                k = utf8_length(s, n);
                if (b.len + (k > 0 ? k : sizeof replacement - 1) > max)
                        break;
                if (k > 0)
                        strbuf_add_n(&b, s, k);
                else
                        strbuf_add(&b, replacement);
        }
        text = strbuf_take(&b);
        return text ? json_string(text) : NULL;
}

/* ---- phase ---- */
struct tally {
        bool restarts_all; /* whatever has ended is about to begin again */
        int failed_init_final, pending_init, pending_sidecar;
        int unknown, running, waiting, stopped, final, succeeded;
};

static bool is_restartable(const struct tally *t, const struct pod *pod,
                           const struct pod_container *c, const json_t *terminated)
{
        return t->restarts_all ||
               container_should_restart(pod, c, status_exit_code(terminated), false) ||
               streq_null(json_text_at(terminated, "reason"), REASON_RESTARTING_ALL);
}

static void count_init(const struct pod *pod, const struct pod_container *c, const json_t *status,
                       struct tally *t)
{
        const json_t *end = status_state(status, "terminated");

        if (!end && status_state(status, "waiting"))
                end = status_last(status, "terminated");
        if (!end)
                t->pending_init++;
        else if (status_exit_code(end) != 0 && !is_restartable(t, pod, c, end))
                t->failed_init_final++;
}

static void count_sidecar(const json_t *status, struct tally *t)
{
        if (!status) {
                t->unknown++;
        } else if (status_state(status, "running")) {
                t->running++;
                if (!json_is_true(json_object_get(status, "started")))
                        t->pending_sidecar++;
        } else if (status_state(status, "waiting") && !status_last(status, "terminated")) {
                t->pending_sidecar++;
                t->waiting++;
        }
}

static void count_regular(const struct pod *pod, const struct pod_container *c,
                          const json_t *status, struct tally *t)
{
        const json_t *end = status_state(status, "terminated");
        const json_t *last = status_last(status, "terminated");

        if (!status) {
                t->unknown++;
        } else if (status_state(status, "running")) {
                t->running++;
        } else if (end) {
                t->stopped++;
                t->final += !is_restartable(t, pod, c, end);
                t->succeeded += status_exit_code(end) == 0;
        } else if (last) {
                t->stopped++;
                t->final += !is_restartable(t, pod, c, last);
        } else {
                t->waiting++;
        }
}

static void count_all(const struct pod *pod, const struct status_lists *lists, struct tally *t)
{
        const struct pod_container *c;

        POD_FOREACH_CONTAINER(c, pod)
        switch (c->kind) {
        case POD_CONTAINER_INIT:
                count_init(pod, c, status_of(lists->init, c->name), t);
                break;
        case POD_CONTAINER_SIDECAR:
                count_sidecar(status_of(lists->init, c->name), t);
                break;
        case POD_CONTAINER_REGULAR:
                count_regular(pod, c, status_of(lists->regular, c->name), t);
                break;
        case POD_CONTAINER_EPHEMERAL:
                break;
        }
}

/* Does some regular container exist in this sandbox? Then it is initialized. */
static bool any_regular_here(const struct pod_status_input *in)
{
        for (size_t k = 0; k < in->pod->n_containers; k++) {
                const struct container_observed *o =
                        &in->seen->containers[in->pod->n_init_containers + k];

                if (o->n_instances > 0 && !o->instances[0].old_sandbox)
                        return true;
        }
        return false;
}

/* Source: getPhase; its tests in their order. */
static enum pod_phase phase_of(const struct pod_status_input *in, const struct status_lists *lists)
{
        struct tally t = { .restarts_all = !in->pod->deleted_at && !in->is_terminating &&
                                           pod_restart_all_is_due(in->pod, in->seen) };

        count_all(in->pod, lists, &t);
        if (t.failed_init_final > 0)
                return POD_FAILED;
        if (t.pending_init > 0 || (t.pending_sidecar > 0 && !any_regular_here(in)))
                return POD_PENDING;
        if (t.waiting > 0)
                return POD_PENDING;
        if (t.running > 0 && t.unknown == 0)
                return POD_RUNNING;
        if (t.running > 0 || t.stopped == 0 || t.unknown > 0)
                return POD_PENDING;
        if (in->is_terminal && !pod_is_static(in->pod))
                return t.stopped == t.succeeded ? POD_SUCCEEDED : POD_FAILED;
        if (t.stopped != t.final)
                return POD_RUNNING;
        return t.stopped == t.succeeded ? POD_SUCCEEDED : POD_FAILED;
}

static enum pod_phase previous_phase(const struct pod_status_input *in)
{
        return pod_phase_from_name(json_text_at(in->previous, "phase"));
}

static enum pod_phase final_phase(const struct pod_status_input *in,
                                  const struct status_lists *lists)
{
        enum pod_phase phase = phase_of(in, lists), before = previous_phase(in);

        if (pod_phase_is_terminal(before))
                return before; /* no way back */
        if (pod_phase_is_terminal(in->pod->phase))
                return in->pod->phase;
        if (in->forced_reason)
                return POD_FAILED;
        if (in->is_terminated && !pod_phase_is_terminal(phase) && !pod_is_static(in->pod))
                return POD_FAILED;
        return phase;
}

/* ---- the end: what nobody saw ending did not end well ---- */
static bool ran(const json_t *status)
{
        return !status_state(status, "waiting") || status_last(status, "terminated");
}

static int end_lost(json_t *status)
{
        int r;

        if (status_state(status, "terminated"))
                return 0;
        r = json_set(status, "state",
                     json_pack("{s:{s:i, s:s, s:s, s:n, s:n}}", "terminated", "exitCode",
                               EXIT_CODE_LOST, "reason", REASON_STATUS_UNKNOWN, "message",
                               REASON_LOST_TEXT, "startedAt", "finishedAt"));
        if (r == 0)
                r = json_set(status, "ready", json_false());
        return r < 0 ? r : json_set(status, "started", json_false());
}

static bool was_initialized(const struct pod *pod, const struct status_lists *lists)
{
        size_t i, n = json_array_size(lists->init);
        const json_t *s, *last;

        if (pod->n_init_containers == 0)
                return true;
        json_array_foreach (lists->regular, i, s)
                if (ran(s))
                        return true;
        last = json_array_get(lists->init, n - 1);
        if (pod->init_containers[n - 1].kind == POD_CONTAINER_SIDECAR)
                return status_state(last, "running") &&
                       json_is_true(json_object_get(last, "started"));
        s = status_state(last, "terminated");
        if (!s)
                s = status_last(last, "terminated");
        return s && status_exit_code(s) == 0;
}

/* Source: TerminatePod. */
static int end_everything(const struct pod *pod, struct status_lists *lists)
{
        size_t i, n = json_array_size(lists->init), begun = n > 0 ? 1 : 0;
        bool initialized = was_initialized(pod, lists);
        json_t *s;
        int r = 0;

        json_array_foreach (lists->regular, i, s)
                if (r == 0 && initialized)
                        r = end_lost(s);
        json_array_foreach (lists->init, i, s)
                if (ran(s))
                        begun = i + 1;
        for (i = 0; r == 0 && i < begun; i++)
                r = end_lost(json_array_get(lists->init, i));
        return r;
}

static int build_lists(const struct pod_status_input *in, struct status_lists *ret)
{
        int r = status_lists_build(in, ret);

        if (r == 0 && in->is_terminated)
                r = end_everything(in->pod, ret);
        return r;
}

/* ---- building ---- */
struct output {
        const struct pod_status_input *in;
        json_t *status;
        bool failed; /* without memory: it is thrown away */
};

static void put(struct output *out, const char *key, json_t *value)
{
        if (json_set(out->status, key, value) < 0)
                out->failed = true;
}

static void put_text(struct output *out, const char *key, const char *value)
{
        if (value)
                put(out, key, json_string(value));
}

static bool has(const struct output *out, const char *key)
{
        return json_object_get(out->status, key) != NULL;
}

/* What the status before said. */
static void keep(struct output *out, const char *key)
{
        json_t *had = json_object_get(out->in->previous, key);

        if (had && !json_is_null(had))
                put(out, key, json_incref(had));
}

/* @one, @many: "podIP", "podIPs". Those of the node's own family come first. */
static void put_ips(struct output *out, const char *one, const char *many, const char *ip4,
                    const char *ip6)
{
        bool v6_first = !*out->in->seen->host_ip4 && *out->in->seen->host_ip6;
        const char *first = v6_first && *ip6 ? ip6 : *ip4 ? ip4 : ip6;
        const char *second = first == ip6 ? ip4 : ip6;

        if (!*first)
                return;
        put_text(out, one, first);
        put(out, many,
            *second ? json_pack("[{s:s}, {s:s}]", "ip", first, "ip", second)
                    : json_pack("[{s:s}]", "ip", first));
}

static void put_addresses(struct output *out)
{
        const struct pod_observed *seen = out->in->seen;
        bool host_network = out->in->pod->host_network;

        put_ips(out, "hostIP", "hostIPs", seen->host_ip4, seen->host_ip6);
        if (!host_network && (*seen->ip4 || *seen->ip6)) {
                put_ips(out, "podIP", "podIPs", seen->ip4, seen->ip6);
        } else if (host_network || seen->n_ready_sandboxes == 0) {
                keep(out, "podIP"); /* they stay when the pod has ended */
                keep(out, "podIPs");
                if (host_network && !has(out, "podIP"))
                        put_ips(out, "podIP", "podIPs", seen->host_ip4, seen->host_ip6);
        }
}

static bool is_resizable(const char *name)
{
        return streq(name, "cpu") || streq(name, "memory");
}

/* One amount in its list; as the spec has it where that means the same. */
static void put_amount(struct output *out, json_t *list, const struct string_map *spec,
                       const char *name, int64_t value)
{
        bool cpu = streq(name, "cpu");
        int64_t own = cpu ? pod_resource_milli(spec, name) : pod_resource_value(spec, name);
        char text[QUANTITY_TEXT_MAX];

        if (own == value)
                snprintf(text, sizeof text, "%s", string_map_get(spec, name));
        else if (cpu)
                quantity_format_milli(value, text);
        else
                quantity_format_bytes(value, text);
        if (json_set(list, name, json_string(text)) < 0)
                out->failed = true;
}

/*
 * requests or limits of the whole pod. While it runs: what its spec says of itself, and cpu and
 * memory as its cgroup has them. New reference.
 */
static json_t *pod_amounts(struct output *out, const struct amounts *sum, bool limits, bool runs)
{
        const struct pod *pod = out->in->pod;
        const struct string_map *spec = limits ? &pod->resources.limits : &pod->resources.requests;
        json_t *list = runs ? string_map_to_json(spec) : json_object();

        for (size_t i = 0; i < sum->n; i++) {
                const char *name = sum->list[i].name;
                int64_t value = sum->list[i].value;
                bool in_cgroup = value > 0 && is_resizable(name) &&
                                 (!limits || pod_limit_is_declared(pod, name));

                if (runs ? in_cgroup : value >= 0)
                        put_amount(out, list, spec, name, value);
        }
        return list;
}

static void put_pod_level(struct output *out, enum pod_phase phase)
{
        _cleanup_(amounts_done)
        struct amounts requests = { 0 }, limits = { 0 };
        json_auto_t *resources = json_object(), *list = NULL;

        if (pod_requests(out->in->pod, &requests) < 0 || pod_limits(out->in->pod, &limits) < 0) {
                out->failed = true;
                return;
        }
        for (int k = 0; k < 2; k++) {
                json_decref(list);
                list = pod_amounts(out, k ? &limits : &requests, k, phase == POD_RUNNING);
                if (json_object_size(list) > 0 &&
                    json_set(resources, k ? "limits" : "requests", json_incref(list)) < 0)
                        out->failed = true;
        }
        if (json_object_size(resources) > 0)
                put(out, "resources", json_incref(resources));
        json_decref(list);
        list = pod_amounts(out, &requests, false, false);
        if (json_object_size(list) > 0)
                put(out, "allocatedResources", json_incref(list));
}

/*
 * While something may still run its end is not told: whoever sees a terminal phase takes what the
 * pod has for free.
 */
static void put_phase(struct output *out, enum pod_phase phase)
{
        const struct pod_status_input *in = out->in;
        enum pod_phase before = previous_phase(in);
        bool new_end = pod_phase_is_terminal(phase) && !pod_phase_is_terminal(before);
        bool hold_back = new_end && !in->is_terminal && !in->is_terminated;

        if (hold_back)
                phase = before == POD_PHASE_NONE ? POD_PENDING : before;
        put_text(out, "phase", pod_phase_name(phase));
        if (in->forced_reason && new_end && !hold_back) {
                put_text(out, "reason", in->forced_reason);
                put_text(out, "message", in->forced_message);
        } else if (phase == before) {
                keep(out, "reason");
                keep(out, "message");
        }
}

/*
 * When nobody remembers (we restarted, and there is no API server or it never heard), the pod is as
 * old as its sandbox.
 */
static void put_start_time(struct output *out)
{
        const struct pod_observed *seen = out->in->seen;
        usec_t start = out->in->pod->start_time;

        keep(out, "startTime");
        if (has(out, "startTime"))
                return;
        if (!start)
                start = out->in->now;
        if (seen && seen->has_sandbox && seen->sandbox_created_at)
                start = MIN(start, seen->sandbox_created_at);
        put(out, "startTime", status_time(start));
}

static void put_generation(struct output *out)
{
        json_int_t before = json_integer_value(
                json_object_get(out->in->previous, "observedGeneration"));
        json_int_t generation = MAX(before, (json_int_t)out->in->pod->generation);

        if (generation != 0)
                put(out, "observedGeneration", json_integer(generation));
}

static void put_class(struct output *out)
{
        keep(out, "qosClass");
        if (!has(out, "qosClass"))
                put_text(out, "qosClass", qos_name(pod_qos(out->in->pod)));
}

static void put_lists(struct output *out, const struct status_lists *lists)
{
        if (json_array_size(lists->init) > 0)
                put(out, "initContainerStatuses", json_incref(lists->init));
        put(out, "containerStatuses", json_incref(lists->regular));
        if (json_array_size(lists->ephemeral) > 0)
                put(out, "ephemeralContainerStatuses", json_incref(lists->ephemeral));
}

/* The status, or NULL when something of it is missing. */
static json_t *finish(struct output *out)
{
        if (!out->failed)
                return out->status;
        json_decref(out->status);
        return NULL;
}

json_t *pod_status_build(const struct pod_status_input *in)
{
        _cleanup_(status_lists_done)
        struct status_lists lists = { 0 };
        struct output out = { .in = in };
        enum pod_phase phase;

        if (build_lists(in, &lists) < 0)
                return NULL;
        phase = final_phase(in, &lists);
        out.status = json_object();
        put_phase(&out, phase);
        put_generation(&out);
        put(&out, "conditions", status_conditions(in, &lists, phase));
        put_lists(&out, &lists);
        put_addresses(&out);
        put_start_time(&out);
        put_class(&out);
        put_pod_level(&out, phase);
        return finish(&out);
}

enum pod_phase pod_status_phase(const struct pod_status_input *in)
{
        _cleanup_(status_lists_done)
        struct status_lists lists = { 0 };

        return build_lists(in, &lists) < 0 ? previous_phase(in) : final_phase(in, &lists);
}

json_t *pod_status_rejected(const struct pod *pod, const char *reason, const char *message,
                            usec_t now)
{
        const struct pod_status_input in = { .pod = pod, .now = now };
        struct output out = { .in = &in, .status = json_object() };
        _cleanup_free_ char *text = text_printf("Pod was rejected: %s", message);

        put_text(&out, "phase", "Failed");
        put_text(&out, "reason", reason);
        put(&out, "message", text ? status_text(text, SIZE_MAX) : NULL);
        put_class(&out);
        put_start_time(&out);
        put_generation(&out);
        return finish(&out);
}
