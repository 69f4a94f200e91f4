#include "kubelet/container-config.h"

#include <errno.h>
#include <string.h>

#include "base/quantity.h"
#include "base/text.h"
#include "kubelet/container-parts.h"
#include "kubelet/pod-allocation.h"
#include "kubelet/qos.h"

#define HOSTNAME_MAX 63
#define FQDN_MAX     64 /* the kernel's */
#define UNLIMITED    (-1)
#define HUGEPAGES    "hugepages-"

/* ---- resources ---- */
/* "2Mi" -> "2MB", as the kernel's files are called; owned. */
static char *page_size_name(const char *size)
{
        static const char *const units[] = { "KB", "MB", "GB" };
        int64_t bytes;
        size_t i = 0;

        if (quantity_parse(size, &bytes) < 0 || bytes < 1024)
                return NULL;
        for (bytes /= 1024; bytes >= 1024 && i + 1 < ARRAY_SIZE(units); i++)
                bytes /= 1024;
        return text_printf("%lld%s", (long long)bytes, units[i]);
}

static int add_hugepages(struct oci_resources *r, const char *name, int64_t limit)
{
        const char *size = startswith(name, HUGEPAGES);
        struct oci_hugepage_limit *grown;
        char *page_size;

        if (!size)
                return 0;
        page_size = page_size_name(size);
        grown = reallocarray(r->hugepage_limits, r->n_hugepage_limits + 1, sizeof *grown);
        if (grown)
                r->hugepage_limits = grown;
        if (!grown || !page_size) {
                free(page_size);
                return -ENOMEM;
        }
        grown[r->n_hugepage_limits++] = (struct oci_hugepage_limit){ page_size, limit };
        return 0;
}

static int set_unified(struct oci_resources *r, const char *file, const char *value)
{
        json_auto_t *o = string_map_to_json(&r->unified);

        if (!o || json_set_text(o, file, value) < 0)
                return -ENOMEM;
        return decode_string_map(o, &r->unified, NULL, NULL);
}

/* The request that counts where there is none is the limit. */
static void add_cpu(const struct container_input *in, const struct container_amounts *a,
                    struct oci_resources *r)
{
        bool has_request = string_map_get(&in->container->resources.requests, "cpu") != NULL;

        r->cpu_shares = qos_cpu_shares(has_request ? a->cpu_request : a->cpu_limit);
        if (in->cpu_quota && a->cpu_limit > 0) {
                r->cpu_quota = qos_cpu_quota(a->cpu_limit, in->cpu_period_usec);
                r->cpu_period = (int64_t)in->cpu_period_usec;
        }
}

static void add_memory(const struct container_amounts *a, struct oci_resources *r)
{
        if (a->memory_limit > 0)
                r->memory_limit = r->memory_swap = a->memory_limit; /* together: no swap */
}

void container_resize_resources(const struct container_input *in, const char *resource,
                                struct oci_resources *ret)
{
        struct container_amounts a = container_amounts_of(in->pod, in->container);

        oci_resources_init(ret);
        if (streq(resource, "memory")) {
                ret->memory_limit = ret->memory_swap = UNLIMITED;
                add_memory(&a, ret);
                return;
        }
        ret->cpu_quota = UNLIMITED;
        ret->cpu_period = (int64_t)in->cpu_period_usec;
        add_cpu(in, &a, ret);
}

int container_add_resources(const struct container_input *in, struct oci_spec *spec,
                            struct err *err)
{
        const struct string_map *limits = &in->container->resources.limits;
        struct container_amounts a = container_amounts_of(in->pod, in->container);
        struct oci_resources *r = &spec->resources;
        int k = 0;

        add_cpu(in, &a, r);
        add_memory(&a, r);
        for (size_t i = 0; i < limits->n && k == 0; i++)
                k = add_hugepages(r, limits->entries[i].key,
                                  pod_resource_value(limits, limits->entries[i].key));
        if (k == 0 && !in->single_process_oom_kill)
                k = set_unified(r, "memory.oom.group", "1");
        spec->process.has_oom_score_adj = true;
        spec->process.oom_score_adj = qos_oom_score_adj(in->pod, in->container,
                                                        in->node_memory_bytes);
        return k < 0 ? err_sys(err, k, "prepare limits") : 0;
}

/* ---- the whole ---- */
int container_config_build(const struct container_input *in, struct container_output *ret,
                           struct err *err)
{
        struct oci_spec *spec = &ret->spec;
        int r;

        *ret = (struct container_output){ 0 };
        oci_spec_init(spec);
        r = container_add_process(in, spec, err);
        if (r == 0)
                r = container_add_security(in, ret, err);
        if (r == 0)
                r = container_add_mounts(in, spec, err);
        if (r == 0)
                r = container_add_resources(in, spec, err);
        if (r < 0)
                return r;
        r = free_and_strdup(&spec->version, "1.1.0");
        if (r == 0 && in->hostname && !in->pod->host_network)
                r = free_and_strdup(&spec->hostname, in->hostname);
        if (r == 0)
                r = free_and_strdup(&spec->rootfs_propagation, "private");
        return r < 0 ? err_sys(err, r, "prepare the container") : 0;
}

void container_output_done(struct container_output *o)
{
        oci_spec_done(&o->spec);
        *o = (struct container_output){ 0 };
}

/* ---- the pod's cgroup ---- */
char *pod_cgroup_path(const struct pod *pod)
{
        switch (pod_qos(pod)) {
        case QOS_GUARANTEED:
                return text_printf("kubepods/pod%s", pod->uid);
        case QOS_BURSTABLE:
                return text_printf("kubepods/burstable/pod%s", pod->uid);
        default:
                return text_printf("kubepods/besteffort/pod%s", pod->uid);
        }
}

/* A limit of the pod holds only where every container has one: the others must stay unlimited. */
static void set_pod_limits(const struct pod *pod, const struct container_input *node,
                           const struct amounts *limits, struct oci_resources *r)
{
        bool guaranteed = pod_qos(pod) == QOS_GUARANTEED;
        int64_t cpu = MAX(amounts_get(limits, "cpu"), 0);
        int64_t memory = MAX(amounts_get(limits, "memory"), 0);

        if (guaranteed || pod_limit_is_declared(pod, "cpu")) {
                r->cpu_period = (int64_t)node->cpu_period_usec;
                r->cpu_quota = node->cpu_quota && cpu > 0
                                       ? qos_cpu_quota(cpu, node->cpu_period_usec)
                                       : UNLIMITED;
        }
        if ((guaranteed || pod_limit_is_declared(pod, "memory")) && memory > 0)
                r->memory_limit = memory;
}

int pod_cgroup_resources(const struct pod *pod, const struct container_input *node,
                         struct oci_resources *ret)
{
        _cleanup_(amounts_done)
        struct amounts requests = { 0 }, limits = { 0 };
        int r = pod_requests(pod, &requests);

        oci_resources_init(ret);
        if (r == 0)
                r = pod_limits(pod, &limits);
        if (r < 0)
                return r;
        if (node->pod_pids_limit > 0)
                ret->pids_limit = node->pod_pids_limit;
        if (pod_qos(pod) == QOS_BEST_EFFORT) {
                ret->cpu_shares = qos_cpu_shares(0);
                return 0;
        }
        ret->cpu_shares = qos_cpu_shares(MAX(amounts_get(&requests, "cpu"), 0));
        set_pod_limits(pod, node, &limits, ret);
        for (size_t i = 0; i < requests.n && r == 0; i++)
                r = add_hugepages(ret, requests.list[i].name, requests.list[i].value);
        return r;
}

static int64_t greater_limit(int64_t a, int64_t b)
{
        return a < 0 || b < 0 ? UNLIMITED : MAX(a, b); /* OCI_UNSET: nothing limits it */
}

void pod_cgroup_resources_widen(struct oci_resources *r, const struct oci_resources *other)
{
        r->cpu_shares = MAX(r->cpu_shares, other->cpu_shares);
        r->memory_limit = greater_limit(r->memory_limit, other->memory_limit);
        r->cpu_quota = greater_limit(r->cpu_quota, other->cpu_quota);
        if (r->cpu_period == OCI_UNSET)
                r->cpu_period = other->cpu_period;
}

/* ---- host name ---- */
/* Cut to what the kernel takes, not ending in '-' or '.'; owned. */
static char *cut_hostname(const char *name)
{
        char *cut = strndup(name, HOSTNAME_MAX);
        size_t n = cut ? strlen(cut) : 0;

        if (strlen(name) > HOSTNAME_MAX)
                while (n > 0 && (cut[n - 1] == '-' || cut[n - 1] == '.'))
                        cut[--n] = '\0';
        return cut;
}

static int check_label(const char *field, const char *s, struct err *err)
{
        return !s || is_dns_label(s)
                       ? 0
                       : err_set_kind(err, -EINVAL, ERR_SANDBOX,
                                      "pod %s \"%s\" is not a valid DNS label", field, s);
}

/* The FQDN instead of the short name, where the pod asks for it. */
static int use_fqdn(const struct pod *pod, char **hostname, const char *domain, struct err *err)
{
        char *fqdn;

        if (!pod->set_hostname_as_fqdn || !*domain)
                return 0;
        fqdn = text_printf("%s.%s", *hostname, domain);
        if (!fqdn)
                return err_sys(err, -ENOMEM, "make the host name");
        if (strlen(fqdn) > FQDN_MAX) {
                int r = err_set_kind(err, -ENAMETOOLONG, ERR_SANDBOX,
                                     "failed to construct FQDN from pod hostname and cluster "
                                     "domain, FQDN %s is too long (%d characters is the max, %zu "
                                     "characters requested)",
                                     fqdn, FQDN_MAX, strlen(fqdn));

                free(fqdn);
                return r;
        }
        free(*hostname);
        *hostname = fqdn;
        return 0;
}

int pod_hostname(const struct pod *pod, const char *cluster_domain, const char *node_name,
                 char **ret_hostname, char **ret_domain, struct err *err)
{
        const char *name = pod->hostname_override ? pod->hostname_override
                           : pod->hostname        ? pod->hostname
                                                  : pod->name;
        _cleanup_free_ char *hostname = NULL, *domain = NULL;
        int r = check_label("Hostname", pod->hostname, err);

        if (r == 0)
                r = check_label("Subdomain", pod->subdomain, err);
        if (r < 0)
                return r;
        hostname = pod->host_network ? strdup(node_name) : cut_hostname(name);
        domain = pod->subdomain && !pod->hostname_override
                         ? text_printf("%s.%s.svc.%s", pod->subdomain, pod->namespace,
                                       cluster_domain)
                         : strdup("");
        if (!hostname || !domain)
                return err_sys(err, -ENOMEM, "make the host name");
        if (!pod->host_network) {
                r = use_fqdn(pod, &hostname, domain, err);
                if (r < 0)
                        return r;
        }
        *ret_hostname = TAKE_PTR(hostname);
        *ret_domain = TAKE_PTR(domain);
        return 0;
}
