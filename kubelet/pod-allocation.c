#include "kubelet/pod-allocation.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/text.h"
#include "kubelet/qos.h"

/* ---- one container ---- */

static int64_t amount(const struct string_map *list, const char *name)
{
        int64_t v = streq(name, "cpu") ? pod_resource_milli(list, name)
                                       : pod_resource_value(list, name);

        return MAX(v, 0);
}

static int64_t limit(const struct pod *pod, const struct pod_container *c, const char *name)
{
        int64_t own = amount(&c->resources.limits, name);

        return own > 0 ? own : amount(&pod->resources.limits, name);
}

struct container_amounts container_amounts_of(const struct pod *pod, const struct pod_container *c)
{
        return (struct container_amounts){
                .cpu_request = amount(&c->resources.requests, "cpu"),
                .cpu_limit = limit(pod, c, "cpu"),
                .memory_request = amount(&c->resources.requests, "memory"),
                .memory_limit = limit(pod, c, "memory"),
        };
}

bool container_amounts_are_equal(const struct container_amounts *a,
                                 const struct container_amounts *b)
{
        return a->cpu_request == b->cpu_request && a->cpu_limit == b->cpu_limit &&
               a->memory_request == b->memory_request && a->memory_limit == b->memory_limit;
}

const char *container_amounts_format(const struct container_amounts *a,
                                     char buf[static CONTAINER_AMOUNTS_TEXT_MAX])
{
        snprintf(buf, CONTAINER_AMOUNTS_TEXT_MAX, "%" PRIi64 " %" PRIi64 " %" PRIi64 " %" PRIi64,
                 a->cpu_request, a->cpu_limit, a->memory_request, a->memory_limit);
        return buf;
}

int container_amounts_parse(const char *text, struct container_amounts *ret)
{
        _cleanup_strv_ char **words = NULL;
        uint64_t v[4];

        if (strv_split(text, " ", &words) < 0)
                return -ENOMEM;
        if (strv_len(words) != ARRAY_SIZE(v))
                return -EINVAL;
        for (size_t i = 0; i < ARRAY_SIZE(v); i++)
                if (text_to_u64(words[i], &v[i]) < 0 || v[i] > INT64_MAX)
                        return -EINVAL;
        *ret = (struct container_amounts){ (int64_t)v[0], (int64_t)v[1], (int64_t)v[2],
                                           (int64_t)v[3] };
        return 0;
}

static bool restarts_for(const struct pod_container *c, const char *resource)
{
        for (size_t i = 0; i < c->n_resize_policies; i++)
                if (streq_null(c->resize_policies[i].name, resource))
                        return streq_null(c->resize_policies[i].value, "RestartContainer");
        return false;
}

bool container_resize_restarts(const struct pod_container *c, const struct container_amounts *from,
                               const struct container_amounts *to)
{
        return ((from->cpu_request != to->cpu_request || from->cpu_limit != to->cpu_limit) &&
                restarts_for(c, "cpu")) ||
               ((from->memory_request != to->memory_request ||
                 from->memory_limit != to->memory_limit) &&
                restarts_for(c, "memory"));
}

/* ---- pods ---- */

static bool lists_differ(const struct string_map *a, const struct string_map *b)
{
        return pod_resource_milli(a, "cpu") != pod_resource_milli(b, "cpu") ||
               pod_resource_value(a, "memory") != pod_resource_value(b, "memory");
}

static bool resources_differ(const struct pod_resources *a, const struct pod_resources *b)
{
        return lists_differ(&a->requests, &b->requests) || lists_differ(&a->limits, &b->limits);
}

bool pod_resources_differ(const struct pod *a, const struct pod *b)
{
        const struct pod_container *c;

        if (resources_differ(&a->resources, &b->resources))
                return true;
        POD_FOREACH_CONTAINER(c, a)
        {
                const struct pod_container *other = pod_find_container(b, c->name);

                if (other && c->kind != POD_CONTAINER_EPHEMERAL &&
                    resources_differ(&c->resources, &other->resources))
                        return true;
        }
        return false;
}

bool pod_requests_grow(const struct pod *from, const struct pod *to)
{
        _cleanup_(amounts_done)
        struct amounts a = { 0 }, b = { 0 };

        if (pod_requests(from, &a) < 0 || pod_requests(to, &b) < 0)
                return true;
        return MAX(amounts_get(&b, "cpu"), 0) > MAX(amounts_get(&a, "cpu"), 0) ||
               MAX(amounts_get(&b, "memory"), 0) > MAX(amounts_get(&a, "memory"), 0);
}

static const char *const lists[] = { "initContainers", "containers" };

static bool asks_for_something(const struct pod *pod)
{
        const struct pod_container *c;

        if (pod->resources.limits.n + pod->resources.requests.n > 0)
                return true;
        POD_FOREACH_CONTAINER(c, pod)
        if (c->resources.limits.n + c->resources.requests.n > 0)
                return true;
        return false;
}

json_t *pod_allocation_json(const struct pod *pod)
{
        json_auto_t *object = asks_for_something(pod) ? pod_to_json(pod) : NULL,
                    *containers = json_object();
        json_t *spec = json_object_get(object, "spec"), *resources;
        size_t i;
        json_t *c;

        if (!object || !containers)
                return NULL;
        for (size_t k = 0; k < ARRAY_SIZE(lists); k++)
                json_array_foreach (json_object_get(spec, lists[k]), i, c) {
                        resources = json_object_get(c, "resources");
                        if (json_set(containers, json_text_at(c, "name"),
                                     resources ? json_incref(resources) : json_object()) < 0)
                                return NULL;
                }
        resources = json_object_get(spec, "resources");
        return json_pack("{s:O, s:O*}", "containers", containers, "resources", resources);
}

static int put_resources(json_t *object, const json_t *resources)
{
        if (resources)
                return json_set(object, "resources", json_deep_copy(resources));
        json_object_del(object, "resources");
        return 0;
}

int pod_with_allocation(struct pod *desired, const json_t *allocation, struct pod **ret,
                        struct err *err)
{
        json_auto_t *object = pod_to_json(desired), *status = pod_status_json(desired);
        const json_t *containers = json_object_get(allocation, "containers");
        json_t *spec = json_object_get(object, "spec"), *c;
        _cleanup_(pod_unrefp)
        struct pod *allocated = NULL;
        int r = spec && status ? 0 : -ENOMEM;
        size_t i;

        if (r == 0)
                r = put_resources(spec, json_object_get(allocation, "resources"));
        for (size_t k = 0; k < ARRAY_SIZE(lists) && r == 0; k++)
                json_array_foreach (json_object_get(spec, lists[k]), i, c) {
                        const char *name = json_text_at(c, "name");
                        const json_t *granted = name ? json_object_get(containers, name) : NULL;

                        if (granted && put_resources(c, granted) < 0)
                                r = -ENOMEM;
                }
        if (r == 0)
                r = json_set(object, "status", json_incref(status));
        if (r < 0)
                return err_sys(err, r, "read what was allocated");
        r = pod_decode(object, desired->source, &allocated, err);
        if (r < 0)
                return r;
        *ret = pod_resources_differ(allocated, desired) ? TAKE_PTR(allocated) : pod_ref(desired);
        return 0;
}

/* ---- events ---- */

static json_t *summary_of(const json_t *spec, const char *list)
{
        json_t *all = json_array(), *c;
        size_t i;

        json_array_foreach (json_object_get(spec, list), i, c) {
                json_t *resources = json_object_get(c, "resources");

                json_array_append_new(all, json_pack("{s:O, s:o}", "name",
                                                     json_object_get(c, "name"), "resources",
                                                     resources ? json_incref(resources)
                                                               : json_object()));
        }
        return all;
}

char *pod_resize_message(const char *what, const struct pod *pod, int64_t generation,
                         const char *error)
{
        json_auto_t *object = pod_to_json(pod), *o = json_object();
        const json_t *spec = json_object_get(object, "spec");
        _cleanup_free_ char *text = NULL;

        for (size_t k = 0; k < ARRAY_SIZE(lists); k++) {
                json_auto_t *summary = summary_of(spec, lists[k]);

                if (json_array_size(summary) > 0)
                        json_object_set(o, lists[k], summary);
        }
        json_object_set_new(o, "generation", json_integer(generation));
        if (error && *error)
                json_object_set_new(o, "error", json_string(error));
        text = json_dumps(o, JSON_COMPACT);
        return text ? text_printf("Pod resize %s: %s", what, text) : NULL;
}
