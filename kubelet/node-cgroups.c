#include "kubelet/node-cgroups.h"

#include "base/cleanup.h"
#include "base/quantity.h"
#include "base/text.h"
#include "kubelet/qos.h"

static int64_t amount_in(const struct string_map *m, const char *resource, bool milli)
{
        const char *text = string_map_get(m, resource);
        int64_t v;

        if (!text || (milli ? quantity_parse_milli(text, &v) : quantity_parse(text, &v)) < 0)
                return 0;
        return v;
}

int64_t config_reserved(const struct kubelet_config *c, const char *resource, bool milli)
{
        return amount_in(&c->kube_reserved, resource, milli) +
               amount_in(&c->system_reserved, resource, milli);
}

void node_cgroups_limits(const struct kubelet_config *c, const struct node_share *machine,
                         struct oci_resources *ret)
{
        bool is_enforced = strv_contains(c->enforce_node_allocatable, "pods");
        int64_t cpu = machine->cpu_milli, memory = machine->memory_bytes, pids = machine->pids;

        oci_resources_init(ret);
        /* explicit, as a configuration before this one may have set other limits */
        ret->memory_limit = ret->pids_limit = -1;
        if (is_enforced) {
                cpu = MAX(cpu - config_reserved(c, "cpu", true), 0);
                ret->memory_limit = MAX(memory - config_reserved(c, "memory", false), 1);
                if (pids > 0)
                        ret->pids_limit = MAX(pids - config_reserved(c, "pid", false), 1);
        }
        ret->cpu_shares = qos_cpu_shares(cpu);
}

int node_cgroups_apply(struct runtime *rt, const struct kubelet_config *c,
                       const struct node_share *machine, struct err *err)
{
        static const char *const paths[] = { "kubepods", "kubepods/burstable",
                                             "kubepods/besteffort" };

        for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
                struct oci_resources r;
                int result;

                if (i == 0)
                        node_cgroups_limits(c, machine, &r);
                else
                        oci_resources_init(&r);
                if (i == 2)
                        r.cpu_shares = 2;
                result = runtime_cgroup_apply(rt, paths[i], &r, err);
                oci_resources_done(&r);
                if (result < 0)
                        return result;
        }
        return 0;
}
