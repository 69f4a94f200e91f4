#include "kubelet/node-object.h"

#include <errno.h>
#include <string.h>

#include "base/quantity.h"
#include "base/text.h"
#include "kubelet/qos.h"

#define NAMES_PER_IMAGE 5
#define RESERVATION_RULE                                                                           \
        "systemReserved, kubeReserved and evictionHard: %s: reserved is %s, and the node has %s: " \
        "expected no more than it has"

static int64_t floor_zero(int64_t v)
{
        return v < 0 ? 0 : v;
}

static uint64_t hugepage_bytes(const struct node_facts *f)
{
        uint64_t sum = 0;

        for (size_t i = 0; i < f->n_hugepages; i++)
                sum += f->hugepages[i].size_bytes * f->hugepages[i].count;
        return sum;
}

int64_t node_allocatable_cpu_milli(const struct node_input *in)
{
        return floor_zero((int64_t)in->facts->cpus * 1000 - in->reserved.cpu_milli);
}

int64_t node_allocatable_memory(const struct node_input *in)
{
        int64_t m = floor_zero((int64_t)in->facts->memory_bytes - in->reserved.memory_bytes);

        return floor_zero(m - (int64_t)hugepage_bytes(in->facts));
}

int64_t node_allocatable_ephemeral(const struct node_input *in)
{
        return floor_zero((int64_t)in->ephemeral_bytes - in->reserved.ephemeral_bytes);
}

int node_reservation_check(const struct node_input *in, struct err *err)
{
        char reserved[QUANTITY_TEXT_MAX], capacity[QUANTITY_TEXT_MAX];
        const int64_t cpu_milli = (int64_t)in->facts->cpus * 1000;
        const struct {
                const char *name;
                int64_t reserved, capacity;
        } bytes[] = { { "memory", in->reserved.memory_bytes, (int64_t)in->facts->memory_bytes },
                      { "ephemeral-storage", in->reserved.ephemeral_bytes,
                        (int64_t)in->ephemeral_bytes } };

        if (in->reserved.cpu_milli > cpu_milli)
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT, RESERVATION_RULE, "cpu",
                                    quantity_format_milli(in->reserved.cpu_milli, reserved),
                                    quantity_format_milli(cpu_milli, capacity));
        for (size_t i = 0; i < ARRAY_SIZE(bytes); i++)
                if (bytes[i].reserved > bytes[i].capacity)
                        return err_set_kind(err, -EINVAL, ERR_BAD_INPUT, RESERVATION_RULE,
                                            bytes[i].name,
                                            quantity_format_bytes(bytes[i].reserved, reserved),
                                            quantity_format_bytes(bytes[i].capacity, capacity));
        return 0;
}

static json_t *bytes(int64_t v)
{
        char buf[QUANTITY_TEXT_MAX];

        return json_string(quantity_format_bytes(v, buf));
}

static json_t *milli(int64_t v)
{
        char buf[QUANTITY_TEXT_MAX];

        return json_string(quantity_format_milli(v, buf));
}

static json_t *resource_list(const struct node_input *in, bool allocatable)
{
        const struct node_facts *f = in->facts;
        json_t *o = json_object();

        json_set(o, "cpu",
                 milli(allocatable ? node_allocatable_cpu_milli(in) : (int64_t)f->cpus * 1000));
        json_set(o, "memory",
                 bytes(allocatable ? node_allocatable_memory(in) : (int64_t)f->memory_bytes));
        json_set(o, "ephemeral-storage",
                 bytes(allocatable ? node_allocatable_ephemeral(in)
                                   : (int64_t)in->ephemeral_bytes));
        json_set(o, "pods", json_sprintf("%u", in->max_pods));
        for (size_t i = 0; i < f->n_hugepages; i++) {
                char size[QUANTITY_TEXT_MAX], key[QUANTITY_TEXT_MAX + 16];

                snprintf(key, sizeof key, "hugepages-%s",
                         quantity_format_bytes((int64_t)f->hugepages[i].size_bytes, size));
                json_set(o, key,
                         bytes((int64_t)(f->hugepages[i].size_bytes * f->hugepages[i].count)));
        }
        return o;
}

/*
 * Extended resources are patched into the capacity by others; what pods may have of them is all of
 * it. They are never in a capacity that we send, so that theirs stays.
 */
static void add_extended_resources(json_t *allocatable, const json_t *shown)
{
        const json_t *theirs = json_object_get(shown, "capacity"),
                     *old = json_object_get(shown, "allocatable");
        const char *name;
        json_t *amount;

        json_object_foreach ((json_t *)theirs, name, amount)
                if (is_extended_resource(name))
                        json_object_set(allocatable, name, amount);
        json_object_foreach ((json_t *)old, name, amount)
                if (is_extended_resource(name) && !json_object_get(theirs, name))
                        json_object_set_new(allocatable, name,
                                            json_null()); /* the patch takes it out */
}

bool node_extended_resources_differ(const json_t *status)
{
        const json_t *capacity = json_object_get(status, "capacity"),
                     *allocatable = json_object_get(status, "allocatable");
        const char *name;
        json_t *amount;

        json_object_foreach ((json_t *)capacity, name, amount)
                if (is_extended_resource(name) &&
                    !json_equal(amount, json_object_get(allocatable, name)))
                        return true;
        json_object_foreach ((json_t *)allocatable, name, amount)
                if (is_extended_resource(name) && !json_object_get(capacity, name))
                        return true;
        return false;
}

static const json_t *find_condition(const json_t *status, const char *type)
{
        const json_t *c;
        size_t i;

        json_array_foreach (json_object_get(status, "conditions"), i, c)
                if (streq_null(json_text_at(c, "type"), type))
                        return c;
        return NULL;
}

static json_t *condition(const struct node_input *in, const json_t *previous, const char *type,
                         bool is_true, const char *reason, const char *message)
{
        const json_t *old = find_condition(previous, type);
        const char *status = is_true ? "True" : "False", *since = NULL;
        char now[TIME_TEXT_MAX];

        time_format(in->now, now);
        if (old && streq_null(json_text_at(old, "status"), status))
                since = json_text_at(old, "lastTransitionTime");
        return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "type", type, "status", status,
                         "lastHeartbeatTime", now, "lastTransitionTime", since ? since : now,
                         "reason", reason, "message", message);
}

static json_t *pressure(const struct node_input *in, const json_t *previous, const char *type,
                        bool is_true, const char *const reasons[2], const char *const messages[2])
{
        return condition(in, previous, type, is_true, reasons[is_true], messages[is_true]);
}

static json_t *ready(const struct node_input *in, const json_t *previous)
{
        _cleanup_free_ char *message = NULL;
        json_t *c;

        if (in->not_ready)
                return condition(in, previous, "Ready", false, "KubeletNotReady", in->not_ready);
        message = in->warning
                          ? text_printf("kubelet is posting ready status. WARNING: %s", in->warning)
                          : strdup("kubelet is posting ready status");
        c = condition(in, previous, "Ready", true, "KubeletReady", message ? message : "");
        return c;
}

static json_t *conditions(const struct node_input *in, const json_t *previous)
{
        static const char *const memory_reasons[] = { "KubeletHasSufficientMemory",
                                                      "KubeletHasInsufficientMemory" };
        static const char *const memory_messages[] = {
                "kubelet has sufficient memory available",
                "kubelet has insufficient memory available"
        };
        static const char *const disk_reasons[] = { "KubeletHasNoDiskPressure",
                                                    "KubeletHasDiskPressure" };
        static const char *const disk_messages[] = { "kubelet has no disk pressure",
                                                     "kubelet has disk pressure" };
        static const char *const pid_reasons[] = { "KubeletHasSufficientPID",
                                                   "KubeletHasInsufficientPID" };
        static const char *const pid_messages[] = { "kubelet has sufficient PID available",
                                                    "kubelet has insufficient PID available" };

        return json_pack("[o, o, o, o]",
                         pressure(in, previous, "MemoryPressure", in->memory_pressure,
                                  memory_reasons, memory_messages),
                         pressure(in, previous, "DiskPressure", in->disk_pressure, disk_reasons,
                                  disk_messages),
                         pressure(in, previous, "PIDPressure", in->pid_pressure, pid_reasons,
                                  pid_messages),
                         ready(in, previous));
}

static json_t *node_info(const struct node_facts *f)
{
        json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "machineID",
                              f->machine_id, "systemUUID", f->system_uuid, "bootID", f->boot_id,
                              "kernelVersion", f->kernel_version, "osImage", f->os_image,
                              "containerRuntimeVersion", "skiff://" SKIFF_VERSION, "kubeletVersion",
                              KUBERNETES_VERSION, "kubeProxyVersion", "", "operatingSystem",
                              "linux", "architecture", f->architecture);

        if (f->swap_bytes)
                json_object_set_new(o, "swap",
                                    json_pack("{s:I}", "capacity", (json_int_t)f->swap_bytes));
        return o;
}

static json_t *handlers_json(const struct node_input *in)
{
        json_t *list = json_array();

        for (size_t i = 0; in->runtime_handlers && in->runtime_handlers[i]; i++)
                json_array_append_new(list,
                                      json_pack("{s:s, s:{s:b, s:b}}", "name",
                                                in->runtime_handlers[i], "features",
                                                "recursiveReadOnlyMounts", 1, "userNamespaces", 0));
        return list;
}

json_t *node_status_build(const struct node_input *in, const json_t *previous)
{
        json_t *status = json_pack("{s:o, s:o, s:o, s:o, s:{s:{s:i}}, s:o}", "capacity",
                                   resource_list(in, false), "allocatable", resource_list(in, true),
                                   "conditions", conditions(in, previous), "addresses",
                                   json_pack("[{s:s, s:s}, {s:s, s:s}]", "type", "InternalIP",
                                             "address", in->address, "type", "Hostname", "address",
                                             in->name),
                                   "daemonEndpoints", "kubeletEndpoint", "Port",
                                   (int)in->kubelet_port, "nodeInfo", node_info(in->facts));

        add_extended_resources(json_object_get(status, "allocatable"), in->shown);
        json_object_set_new(status, "runtimeHandlers", handlers_json(in));
        json_object_set_new(status, "features", json_pack("{s:b}", "supplementalGroupsPolicy", 1));
        /* what schedulers and admission look for before they let a pod ask for it; sorted */
        json_object_set_new(status, "declaredFeatures",
                            json_pack("[s, s, s]", "InPlacePodLevelResourcesVerticalScaling",
                                      "InPlacePodVerticalScalingInitContainers",
                                      "RestartAllContainersOnContainerExits"));
        if (in->images)
                json_object_set(status, "images", (json_t *)in->images);
        /* an empty list takes back what was there before; else there is none, as in the API */
        if (json_array_size(in->volumes_in_use) ||
            json_array_size(json_object_get(previous, "volumesInUse")))
                json_object_set(status, "volumesInUse", (json_t *)in->volumes_in_use);
        return status;
}

static void add_default_labels(json_t *labels, const struct node_input *in)
{
        json_set_text(labels, "kubernetes.io/hostname", in->name);
        json_set_text(labels, "kubernetes.io/os", "linux");
        json_set_text(labels, "kubernetes.io/arch", in->facts->architecture);
        json_set_text(labels, "beta.kubernetes.io/os", "linux");
        json_set_text(labels, "beta.kubernetes.io/arch", in->facts->architecture);
        for (size_t i = 0; in->labels && i < in->labels->n; i++)
                json_set_text(labels, in->labels->entries[i].key, in->labels->entries[i].value);
}

json_t *node_object_build(const struct node_input *in)
{
        json_t *labels = json_object();
        json_t *o = json_pack("{s:s, s:s, s:{s:s, s:o}, s:{}, s:o}", "apiVersion", "v1", "kind",
                              "Node", "metadata", "name", in->name, "labels", labels, "spec",
                              "status", node_status_build(in, NULL));
        json_t *spec = json_object_get(o, "spec");

        if (!o)
                return NULL;
        add_default_labels(labels, in);
        if (in->controller_attach_detach)
                json_object_set_new(
                        json_object_get(o, "metadata"), "annotations",
                        json_pack("{s:s}", "volumes.kubernetes.io/controller-managed-attach-detach",
                                  "true"));
        if (in->taints && json_array_size(in->taints))
                json_object_set(spec, "taints", (json_t *)in->taints);
        json_set_text(spec, "providerID", in->provider_id);
        return o;
}

/* A copy without what changes at every write. */
static json_t *without_heartbeats(const json_t *status)
{
        json_t *copy = json_deep_copy(status), *c;
        size_t i;

        json_array_foreach (json_object_get(copy, "conditions"), i, c)
                json_object_del(c, "lastHeartbeatTime");
        return copy;
}

bool node_status_equal(const json_t *a, const json_t *b)
{
        json_auto_t *x = without_heartbeats(a), *y = without_heartbeats(b);

        return x && y && json_equal(x, y);
}

json_t *node_status_patch(const json_t *status)
{
        json_t *copy = json_deep_copy(status);
        json_t *addresses = json_object_get(copy, "addresses");

        /* the list's merge key is "type", which is not unique: send it whole */
        if (addresses)
                json_array_append_new(addresses, json_pack("{s:s}", "$patch", "replace"));
        return json_pack("{s:o}", "status", copy);
}

int node_images_add(json_t *images, char *const *digests, char *const *tags, uint64_t size)
{
        json_t *names = json_array();

        STRV_FOREACH (d, digests)
                if (json_array_size(names) < NAMES_PER_IMAGE)
                        json_array_append_new(names, json_string(*d));
        STRV_FOREACH (t, tags)
                if (json_array_size(names) < NAMES_PER_IMAGE)
                        json_array_append_new(names, json_string(*t));
        return json_array_append_new(images, json_pack("{s:o, s:I}", "names", names, "sizeBytes",
                                                       (json_int_t)size)) < 0
                       ? -ENOMEM
                       : 0;
}

static bool is_kubernetes_domain(const char *domain, size_t n)
{
        _cleanup_free_ char *d = strndup(domain, n);

        return d && (streq(d, "kubernetes.io") || endswith(d, ".kubernetes.io") ||
                     streq(d, "k8s.io") || endswith(d, ".k8s.io"));
}

static bool is_allowed_domain(const char *domain, size_t n)
{
        _cleanup_free_ char *d = strndup(domain, n);

        return d && (streq(d, "kubelet.kubernetes.io") || endswith(d, ".kubelet.kubernetes.io") ||
                     streq(d, "node.kubernetes.io") || endswith(d, ".node.kubernetes.io"));
}

const char *node_labels_refused(const struct string_map *labels)
{
        static const char *const allowed[] = {
                "kubernetes.io/hostname",
                "kubernetes.io/os",
                "kubernetes.io/arch",
                "kubernetes.io/instance-type",
                "beta.kubernetes.io/os",
                "beta.kubernetes.io/arch",
                "beta.kubernetes.io/instance-type",
                "node.kubernetes.io/instance-type",
                "topology.kubernetes.io/zone",
                "topology.kubernetes.io/region",
                "failure-domain.beta.kubernetes.io/zone",
                "failure-domain.beta.kubernetes.io/region",
        };

        for (size_t i = 0; i < labels->n; i++) {
                const char *key = labels->entries[i].key, *slash = strchr(key, '/');
                bool ok = !slash || !is_kubernetes_domain(key, (size_t)(slash - key)) ||
                          is_allowed_domain(key, (size_t)(slash - key));

                for (size_t k = 0; !ok && k < ARRAY_SIZE(allowed); k++)
                        ok = streq(key, allowed[k]);
                if (!ok)
                        return key;
        }
        return NULL;
}
