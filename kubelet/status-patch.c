#include "kubelet/status-patch.h"

#include <errno.h>

#include "base/json.h"
#include "base/text.h"
#include "kubelet/pod.h"

/* What of a status is the kubelet's; all else belongs to others and is never touched. */
static const char *const owned[] = {
        "phase",
        "reason",
        "message",
        "hostIP",
        "podIP",
        "startTime",
        "qosClass",
        "observedGeneration",
        "resources",
        "allocatedResources",
        "containerStatuses",
        "initContainerStatuses",
        "ephemeralContainerStatuses",
};
static const char *const owned_conditions[] = {
        "PodScheduled",
        "Ready",
        "Initialized",
        "ContainersReady",
        "PodResizeInProgress",
        "PodResizePending",
        "PodReadyToStartContainers",
        "AllContainersRestarting",
};

struct patching {
        json_t *status; /* the patch's */
        bool failed;
};

static bool is_in(const char *const *list, size_t n, const char *s)
{
        for (size_t i = 0; s && i < n; i++)
                if (streq(list[i], s))
                        return true;
        return false;
}

static bool is_absent(const json_t *v)
{
        return !v || json_is_null(v);
}

/* Equal, where null is as good as absent. */
static bool is_same(const json_t *a, const json_t *b)
{
        const char *key;
        json_t *v;

        if (is_absent(a) || is_absent(b))
                return is_absent(a) && is_absent(b);
        if (json_is_array(a) && json_is_array(b)) {
                if (json_array_size(a) != json_array_size(b))
                        return false;
                for (size_t i = 0; i < json_array_size(a); i++)
                        if (!is_same(json_array_get(a, i), json_array_get(b, i)))
                                return false;
                return true;
        }
        if (!json_is_object(a) || !json_is_object(b))
                return json_equal(a, b);
        json_object_foreach ((json_t *)a, key, v)
                if (!is_same(v, json_object_get(b, key)))
                        return false;
        json_object_foreach ((json_t *)b, key, v)
                if (!is_same(v, json_object_get(a, key)))
                        return false;
        return true;
}

static void put(struct patching *p, const char *key, json_t *value)
{
        if (json_set(p->status, key, value) < 0)
                p->failed = true;
}

static void append(struct patching *p, json_t *array, json_t *value)
{
        if (json_array_append_new(array, value) < 0)
                p->failed = true;
}

/* Nested objects merge on the server: what is gone must be said, with null. */
static json_t *difference(const json_t *have, const json_t *want)
{
        json_t *diff, *v;
        const char *key;
        bool failed;

        if (is_absent(want))
                return json_null();
        if (!json_is_object(want) || !json_is_object(have))
                return json_deep_copy(want);
        diff = json_object();
        failed = !diff;
        json_object_foreach ((json_t *)want, key, v)
                if (!is_same(json_object_get(have, key), v))
                        failed = json_set(diff, key, difference(json_object_get(have, key), v)) <
                                         0 ||
                                 failed;
        json_object_foreach ((json_t *)have, key, v)
                if (!json_object_get(want, key) && !json_is_null(v))
                        failed = json_set(diff, key, json_null()) < 0 || failed;
        if (!failed)
                return diff;
        json_decref(diff);
        return NULL;
}

static const json_t *element(const json_t *list, const char *key, const char *name)
{
        size_t i;
        json_t *e;

        json_array_foreach ((json_t *)list, i, e)
                if (streq_null(json_text_at(e, key), name))
                        return e;
        return NULL;
}

/* ---- conditions: merged by type ---- */
/* Times move by themselves; a condition is new when it says something new. */
static bool says_the_same(const json_t *a, const json_t *b)
{
        static const char *const said[] = { "status", "reason", "message", "observedGeneration" };

        if (!a || !b)
                return !a && !b;
        for (size_t i = 0; i < ARRAY_SIZE(said); i++)
                if (!is_same(json_object_get(a, said[i]), json_object_get(b, said[i])))
                        return false;
        return true;
}

static json_t *condition_change(const json_t *have, const json_t *want, const char *type)
{
        json_t *change = difference(have, want);

        if (change && json_set_text(change, "type", type) == 0)
                return change;
        json_decref(change);
        return NULL;
}

/* DisruptionTarget is shared: it comes with the end of the pod, and is never taken back. */
static bool is_ours(const char *type)
{
        return is_in(owned_conditions, ARRAY_SIZE(owned_conditions), type);
}

static bool may_write(const char *type, bool at_the_end)
{
        return is_ours(type) || (at_the_end && streq_null(type, "DisruptionTarget"));
}

static void patch_conditions(struct patching *p, const json_t *have, const json_t *want,
                             bool at_the_end)
{
        json_auto_t *changes = json_array();
        size_t i;
        json_t *c;

        json_array_foreach ((json_t *)have, i, c) {
                const char *type = json_text_at(c, "type");

                if (is_ours(type) && !element(want, "type", type))
                        append(p, changes,
                               json_pack("{s:s, s:s}", "$patch", "delete", "type", type));
        }
        json_array_foreach ((json_t *)want, i, c) {
                const char *type = json_text_at(c, "type");
                const json_t *had = element(have, "type", type);

                if (!type || !may_write(type, at_the_end))
                        continue;
                if (!says_the_same(had, c))
                        append(p, changes, condition_change(had, c, type));
        }
        /* no $setElementOrder: the server refuses a patch whose own order differs from it, and the
         * order of conditions means nothing */
        if (json_array_size(changes) > 0)
                put(p, "conditions", json_incref(changes));
}

/* ---- addresses: merged by ip ---- */
static void patch_ips(struct patching *p, const char *key, const json_t *have, const json_t *want)
{
        json_auto_t *changes = json_array(), *order = json_array();
        _cleanup_free_ char *order_key = text_printf("$setElementOrder/%s", key);
        size_t i;
        json_t *e;

        if (!order_key)
                p->failed = true;
        if (!order_key || is_same(have, want))
                return;
        json_array_foreach ((json_t *)have, i, e) {
                const char *ip = json_text_at(e, "ip");

                if (ip && !element(want, "ip", ip))
                        append(p, changes, json_pack("{s:s, s:s}", "$patch", "delete", "ip", ip));
        }
        json_array_foreach ((json_t *)want, i, e) {
                append(p, order, json_deep_copy(e));
                if (!element(have, "ip", json_text_at(e, "ip")))
                        append(p, changes, json_deep_copy(e));
        }
        if (json_array_size(changes) > 0)
                put(p, key, json_incref(changes));
        put(p, order_key, json_incref(order));
}

static bool is_end(const json_t *status)
{
        return pod_phase_is_terminal(pod_phase_from_name(json_text_at(status, "phase")));
}

/* Phase, reason and message of a pod that has ended are final. */
static bool is_final(const char *key)
{
        return streq(key, "phase") || streq(key, "reason") || streq(key, "message");
}

static void patch_fields(struct patching *p, const json_t *have, const json_t *want)
{
        bool ended = is_end(have) &&
                     !streq_null(json_text_at(have, "phase"), json_text_at(want, "phase"));

        for (size_t i = 0; i < ARRAY_SIZE(owned); i++) {
                const json_t *a = json_object_get(have, owned[i]);
                const json_t *b = json_object_get(want, owned[i]);

                if (!is_same(a, b) && !(ended && is_final(owned[i])))
                        put(p, owned[i], difference(a, b));
        }
}

int status_patch_build(const json_t *have, const json_t *want, const char *uid, json_t **ret)
{
        json_auto_t *status = json_object();
        struct patching p = { .status = status, .failed = !status };
        json_t *patch;

        patch_fields(&p, have, want);
        patch_conditions(&p, json_object_get(have, "conditions"),
                         json_object_get(want, "conditions"), is_end(want));
        patch_ips(&p, "hostIPs", json_object_get(have, "hostIPs"),
                  json_object_get(want, "hostIPs"));
        patch_ips(&p, "podIPs", json_object_get(have, "podIPs"), json_object_get(want, "podIPs"));
        if (p.failed)
                return -ENOMEM;
        if (json_object_size(status) == 0)
                return 0;
        patch = json_pack("{s:{s:s}, s:O}", "metadata", "uid", uid, "status", status);
        if (!patch)
                return -ENOMEM;
        *ret = patch;
        return 1;
}

static const char *ready_status(const json_t *status)
{
        return json_text_at(element(json_object_get(status, "conditions"), "type", "Ready"),
                            "status");
}

bool status_is_pressing(const json_t *have, const json_t *want, bool is_ending)
{
        const char *had = ready_status(have), *has = ready_status(want);

        if (!streq_null(json_text_at(have, "phase"), json_text_at(want, "phase")))
                return true;
        return !is_ending && !streq_null(had ? had : "False", has ? has : "False");
}
