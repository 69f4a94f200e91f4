#include "kubelet/admission.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "base/quantity.h"
#include "base/text.h"
#include "kubelet/qos.h"

void admission_refusal_done(struct admission_refusal *r)
{
        free(r->reason);
        free(r->message);
        *r = (struct admission_refusal){ 0 };
}

static _printf_(3, 4) int refuse(struct admission_refusal *ret, const char *reason, const char *fmt,
                                 ...)
{
        va_list ap;
        int n;

        va_start(ap, fmt);
        n = vasprintf(&ret->message, fmt, ap);
        va_end(ap);
        if (n < 0)
                ret->message = NULL;
        ret->reason = strdup(reason);
        if (ret->reason && ret->message)
                return 1;
        admission_refusal_done(ret);
        return -ENOMEM;
}

/* ---- sysctls ---- */

/* With a slash as the first separator, slashes and dots change places: an interface name keeps its
 * dot. */
char *sysctl_normalize(const char *name)
{
        char *copy = strdup(name);
        size_t first = strcspn(name, "./");

        if (!copy || name[first] != '/')
                return copy;
        for (char *p = copy; *p; p++)
                *p = *p == '/' ? '.' : *p == '.' ? '/' : *p;
        return copy;
}

static bool is_safe(const char *name)
{
        static const char *const safe[] = {
                "kernel.shm_rmid_forced",
                "net.ipv4.ip_local_port_range",
                "net.ipv4.tcp_syncookies",
                "net.ipv4.ping_group_range",
                "net.ipv4.ip_unprivileged_port_start",
                "net.ipv4.ip_local_reserved_ports",
                "net.ipv4.tcp_keepalive_time",
                "net.ipv4.tcp_fin_timeout",
                "net.ipv4.tcp_keepalive_intvl",
                "net.ipv4.tcp_keepalive_probes",
                "net.ipv4.tcp_rmem",
                "net.ipv4.tcp_wmem",
        };

        for (size_t i = 0; i < ARRAY_SIZE(safe); i++)
                if (streq(safe[i], name))
                        return true;
        return false;
}

static bool is_allowed(const char *name, char *const *allowed)
{
        STRV_FOREACH (a, allowed) {
                size_t n = strlen(*a);

                if (streq(*a, name) || (n && (*a)[n - 1] == '*' && strncmp(*a, name, n - 1) == 0))
                        return true;
        }
        return false;
}

static bool is_ipc_sysctl(const char *name)
{
        return startswith(name, "kernel.shm") || startswith(name, "kernel.msg") ||
               streq(name, "kernel.sem") || startswith(name, "fs.mqueue.");
}

static int check_sysctls(const struct pod *pod, const struct admission_node *node,
                         struct admission_refusal *ret)
{
        for (size_t i = 0; i < pod->security.n_sysctls; i++) {
                _cleanup_free_ char *name = sysctl_normalize(pod->security.sysctls[i].name);

                if (!name)
                        return -ENOMEM;
                if (startswith(name, "net.") && pod->host_network)
                        return refuse(ret, "SysctlForbidden",
                                      "forbidden sysctl: \"%s\" not allowed with host Net enabled",
                                      name);
                if (is_ipc_sysctl(name) && pod->host_ipc)
                        return refuse(ret, "SysctlForbidden",
                                      "forbidden sysctl: \"%s\" not allowed with host IPC enabled",
                                      name);
                if (!is_safe(name) && !(is_allowed(name, node->allowed_unsafe_sysctls) &&
                                        (startswith(name, "net.") || is_ipc_sysctl(name))))
                        return refuse(ret, "SysctlForbidden",
                                      "forbidden sysctl: \"%s\" not allowlisted", name);
        }
        return 0;
}

/* ---- node selector and affinity ---- */

static bool number_compares(const char *have, const char *wanted, bool greater)
{
        int64_t a, b;

        if (!have || !wanted || text_to_i64(have, &a) < 0 || text_to_i64(wanted, &b) < 0)
                return false;
        return greater ? a > b : a < b;
}

static bool requirement_matches(const struct pod_requirement *r, const char *have)
{
        switch (r->op) {
        case POD_OP_IN:
                return have && strv_contains(r->values, have);
        case POD_OP_NOT_IN:
                return !have || !strv_contains(r->values, have);
        case POD_OP_EXISTS:
                return have != NULL;
        case POD_OP_DOES_NOT_EXIST:
                return !have;
        case POD_OP_GT:
        case POD_OP_LT:
                return number_compares(have, r->values ? r->values[0] : NULL, r->op == POD_OP_GT);
        default:
                return false;
        }
}

static bool term_matches(const struct pod_node_term *t, const json_t *labels, const char *node_name)
{
        if (t->n_expressions + t->n_fields == 0)
                return false;
        for (size_t i = 0; i < t->n_expressions; i++)
                if (!requirement_matches(&t->expressions[i],
                                         json_text_at(labels, t->expressions[i].key)))
                        return false;
        for (size_t i = 0; i < t->n_fields; i++)
                if (!requirement_matches(&t->fields[i], streq(t->fields[i].key, "metadata.name")
                                                                ? node_name
                                                                : NULL))
                        return false;
        return true;
}

bool admission_matches_terms(const struct pod_node_term *terms, size_t n, const json_t *labels,
                             const char *node_name)
{
        for (size_t i = 0; i < n; i++)
                if (term_matches(&terms[i], labels, node_name))
                        return true;
        return false;
}

bool admission_matches_node(const struct pod *pod, const json_t *labels, const char *node_name)
{
        for (size_t i = 0; i < pod->node_selector.n; i++)
                if (!streq_null(json_text_at(labels, pod->node_selector.entries[i].key),
                                pod->node_selector.entries[i].value))
                        return false;
        return !pod->has_node_affinity ||
               admission_matches_terms(pod->node_terms, pod->n_node_terms, labels, node_name);
}

/* ---- taints ---- */

static bool tolerates(const struct pod *pod, const char *key, const char *value, const char *effect)
{
        for (size_t i = 0; i < pod->n_tolerations; i++) {
                const struct pod_toleration *t = &pod->tolerations[i];

                if (t->effect && *t->effect && !streq(t->effect, effect))
                        continue;
                if (t->key && *t->key && !streq_null(t->key, key))
                        continue;
                if (t->exists || streq(t->value ? t->value : "", value ? value : ""))
                        return true;
        }
        return false;
}

const json_t *admission_find_taint(const struct pod *pod, const json_t *node, const char *effect)
{
        const json_t *taint;
        size_t i;

        json_array_foreach (json_object_get(json_object_get(node, "spec"), "taints"), i, taint)
                if (streq_null(json_text_at(taint, "effect"), effect) &&
                    !tolerates(pod, json_text_at(taint, "key"), json_text_at(taint, "value"),
                               effect))
                        return taint;
        return NULL;
}

static int check_taints(const struct pod *pod, const json_t *node, struct admission_refusal *ret)
{
        if (pod_is_static(pod) || !admission_find_taint(pod, node, "NoExecute"))
                return 0;
        return refuse(
                ret, "TaintToleration",
                "Predicate TaintToleration failed: node(s) had taints that the pod didn't tolerate");
}

/* A node that is short of something takes no more, but for critical pods; one that is short of
 * memory alone takes those that say how much they need, or that they can live with it. */
static int check_pressure(const struct pod *pod, const struct admission_node *node,
                          struct admission_refusal *ret)
{
        bool only_memory = node->memory_pressure && !node->disk_pressure && !node->pid_pressure;

        if ((!node->memory_pressure && !node->disk_pressure && !node->pid_pressure) ||
            pod_is_critical(pod))
                return 0;
        if (only_memory &&
            (pod_qos(pod) != QOS_BEST_EFFORT ||
             tolerates(pod, "node.kubernetes.io/memory-pressure", NULL, "NoSchedule")))
                return 0;
        return refuse(ret, "Evicted", "The node had condition: [%s%s%s%s%s]. ",
                      node->memory_pressure ? "MemoryPressure" : "",
                      node->memory_pressure && !only_memory ? " " : "",
                      node->disk_pressure ? "DiskPressure" : "",
                      node->disk_pressure && node->pid_pressure ? " " : "",
                      node->pid_pressure ? "PIDPressure" : "");
}

/* ---- resources and ports ---- */

static int sum_used(const char *resource, const struct pod *const *others, size_t n, int64_t *ret)
{
        *ret = 0;
        for (size_t i = 0; i < n; i++) {
                struct amounts a = { 0 };
                int64_t v;

                if (pod_requests(others[i], &a) < 0)
                        return -ENOMEM;
                v = amounts_get(&a, resource);
                *ret += v > 0 ? v : 0;
                amounts_done(&a);
        }
        return 0;
}

static bool is_scalar(const char *resource)
{
        return is_extended_resource(resource) || startswith(resource, "hugepages-");
}

/* Huge pages, and what others count on this node. An extended resource that the node does not have
 * is somebody else's matter: the scheduler's, who sent the pod here. */
static int check_scalars(const struct amounts *wanted, const struct admission_node *node,
                         const struct pod *const *others, size_t n, struct admission_refusal *ret)
{
        const json_t *allocatable = json_path(node->node, "status", "allocatable", NULL);
        int r = 0;

        for (size_t i = 0; allocatable && i < wanted->n && r == 0; i++) {
                const char *name = wanted->list[i].name, *text = json_text_at(allocatable, name);
                _cleanup_free_ char *reason = NULL;
                int64_t used, capacity = 0;

                if (!is_scalar(name) || wanted->list[i].value <= 0 ||
                    (!text && is_extended_resource(name)))
                        continue;
                if (text && quantity_parse(text, &capacity) < 0)
                        continue;
                r = sum_used(name, others, n, &used);
                if (r < 0 || wanted->list[i].value <= capacity - used)
                        continue;
                reason = text_printf("OutOf%s", name);
                r = reason ? refuse(ret, reason,
                                    "Node didn't have enough resource: %s, requested: %" PRIi64
                                    ", used: %" PRIi64 ", capacity: %" PRIi64,
                                    name, wanted->list[i].value, used, capacity)
                           : -ENOMEM;
        }
        return r;
}

static int check_resources(const struct pod *pod, const struct admission_node *node,
                           const struct pod *const *others, size_t n, struct admission_refusal *ret)
{
        const struct {
                const char *name;
                int64_t capacity;
        } known[] = { { "cpu", node->allocatable.cpu_milli },
                      { "memory", node->allocatable.memory_bytes },
                      { "ephemeral-storage", node->allocatable.ephemeral_bytes } };
        struct amounts wanted = { 0 };
        int r = 0;

        if (n + 1 > node->max_pods)
                return refuse(
                        ret, "OutOfpods",
                        "Node didn't have enough resource: pods, requested: 1, used: %zu, capacity: %" PRIu32,
                        n, node->max_pods);
        if (pod_requests(pod, &wanted) < 0)
                return -ENOMEM;
        for (size_t i = 0; i < ARRAY_SIZE(known) && r == 0; i++) {
                int64_t request = amounts_get(&wanted, known[i].name), used;

                if (request <= 0)
                        continue;
                r = sum_used(known[i].name, others, n, &used);
                if (r == 0 && request > known[i].capacity - used) {
                        _cleanup_free_ char *reason = text_printf("OutOf%s", known[i].name);

                        r = reason ? refuse(ret, reason,
                                            "Node didn't have enough resource: %s, requested: %" PRIi64
                                            ", used: %" PRIi64 ", capacity: %" PRIi64,
                                            known[i].name, request, used, known[i].capacity)
                                   : -ENOMEM;
                }
        }
        if (r == 0)
                r = check_scalars(&wanted, node, others, n, ret);
        amounts_done(&wanted);
        return r;
}

int admission_shortage(const struct pod *pod, const struct admission_node *node,
                       const struct pod *const *others, size_t n_others,
                       struct preemption_need ret[static PREEMPTION_NEEDS_MAX])
{
        const struct {
                const char *name;
                int64_t capacity;
        } known[] = { { "cpu", node->allocatable.cpu_milli },
                      { "memory", node->allocatable.memory_bytes },
                      { "ephemeral-storage", node->allocatable.ephemeral_bytes } };
        _cleanup_(amounts_done)
        struct amounts wanted = { 0 };
        int n = 0;

        static_assert(ARRAY_SIZE(known) + 1 <= PREEMPTION_NEEDS_MAX, "a need has no room");
        if (pod_requests(pod, &wanted) < 0)
                return -ENOMEM;
        if (n_others + 1 > node->max_pods)
                ret[n++] = (struct preemption_need){ "pods", (int64_t)n_others + 1 -
                                                                     (int64_t)node->max_pods };
        for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
                int64_t request = amounts_get(&wanted, known[i].name), used;

                if (request <= 0)
                        continue;
                if (sum_used(known[i].name, others, n_others, &used) < 0)
                        return -ENOMEM;
                if (request > known[i].capacity - used)
                        ret[n++] = (struct preemption_need){ known[i].name,
                                                             request - (known[i].capacity - used) };
        }
        return n;
}

static bool is_any_ip(const char *ip)
{
        return !ip || !*ip || streq(ip, "0.0.0.0") || streq(ip, "::");
}

static bool ports_clash(const struct pod_port *a, const struct pod_port *b)
{
        return a->host_port && a->host_port == b->host_port && a->protocol == b->protocol &&
               (is_any_ip(a->host_ip) || is_any_ip(b->host_ip) || streq(a->host_ip, b->host_ip));
}

static bool pod_port_is_taken(const struct pod_port *wanted, const struct pod *other)
{
        for (size_t i = 0; i < other->n_containers; i++)
                for (size_t k = 0; k < other->containers[i].n_ports; k++)
                        if (ports_clash(wanted, &other->containers[i].ports[k]))
                                return true;
        return false;
}

static int check_ports(const struct pod *pod, const struct pod *const *others, size_t n,
                       struct admission_refusal *ret)
{
        for (size_t i = 0; i < pod->n_containers; i++)
                for (size_t k = 0; k < pod->containers[i].n_ports; k++)
                        for (size_t o = 0; o < n; o++)
                                if (pod_port_is_taken(&pod->containers[i].ports[k], others[o]))
                                        return refuse(
                                                ret, "NodePorts",
                                                "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports");
        return 0;
}

/* ---- all ---- */

/* What this node does not carry out is said by name, before anything of the pod is made. */
static int check_features(const struct pod *pod, struct admission_refusal *ret)
{
        const char *missing = NULL;

        if (!pod->host_users)
                missing = "hostUsers: false";
        else if (pod->resource_claims)
                missing = "resourceClaims";
        return missing ? refuse(ret, "PodFeatureUnsupported",
                                "Pod requires node features that are not available: %s", missing)
                       : 0;
}

static bool confines(const struct pod_profile *p)
{
        return p->type == POD_PROFILE_RUNTIME_DEFAULT || p->type == POD_PROFILE_LOCALHOST;
}

/* A pod that wants to be confined does not run unconfined. */
static int check_apparmor(const struct pod *pod, const struct admission_node *node,
                          struct admission_refusal *ret)
{
        bool wanted = confines(&pod->security.apparmor);

        for (size_t i = 0; i < pod_n_containers(pod) && !wanted; i++) {
                const struct pod_security *own = pod_container_at(pod, i)->security;

                wanted = own && confines(&own->apparmor);
        }
        return wanted && !node->has_apparmor
                       ? refuse(ret, "AppArmor",
                                "Cannot enforce AppArmor: AppArmor is not enabled on the host")
                       : 0;
}

static int check_node(const struct pod *pod, const struct admission_node *node,
                      struct admission_refusal *ret)
{
        const char *os = string_map_get(&pod->labels, "kubernetes.io/os");

        if (!node->node && !node->standalone && !pod_is_static(pod))
                return refuse(ret, "InvalidNodeInfo", "Kubelet cannot get node info.");
        if (os && !streq(os, "linux"))
                return refuse(
                        ret, "PodOSSelectorNodeLabelDoesNotMatch",
                        "Failed to admit pod as the `kubernetes.io/os` label doesn't match node label");
        if (pod->os && !streq(pod->os, "linux"))
                return refuse(ret, "PodOSNotSupported",
                              "Failed to admit pod as the OS field doesn't match node OS");
        return 0;
}

int admission_check(const struct pod *pod, const struct admission_node *node,
                    const struct pod *const *others, size_t n_others, struct admission_refusal *ret)
{
        const json_t *labels = json_path(node->node, "metadata", "labels", NULL);
        int r = check_pressure(pod, node, ret);

        if (r == 0)
                r = check_sysctls(pod, node, ret);
        if (r == 0)
                r = check_features(pod, ret);
        if (r == 0)
                r = check_node(pod, node, ret);
        if (r == 0)
                r = check_resources(pod, node, others, n_others, ret);
        if (r == 0 && node->node && !admission_matches_node(pod, labels, node->name))
                r = refuse(
                        ret, "NodeAffinity",
                        "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector");
        if (r == 0)
                r = check_ports(pod, others, n_others, ret);
        if (r == 0)
                r = check_taints(pod, node->node, ret);
        if (r == 0)
                r = check_apparmor(pod, node, ret);
        if (r == 0 && node->is_shutting_down)
                r = refuse(ret, "NodeShutdown", "Pod was rejected as the node is shutting down.");
        return r;
}
