/*
 * A v1.Pod from the API or a manifest, and what everything pure makes of it when it was accepted.
 * The first byte chooses: a manifest (YAML), or an object (JSON).
 */
#include <assert.h>
#include <string.h>

#include "base/text.h"
#include "base/yaml.h"
#include "kubelet/container-config.h"
#include "kubelet/dns.h"
#include "kubelet/etc-hosts.h"
#include "kubelet/pod-defaults.h"
#include "kubelet/pod-status.h"
#include "kubelet/qos.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

/* Names become parts of paths. */
static void check_names(const struct pod *p)
{
        const struct pod_container *c;

        assert(p->n_containers > 0);
        assert(is_dns_subdomain(p->name) && is_dns_label(p->namespace));
        assert(!strchr(p->uid, '/') && *p->uid != '.' && *p->uid != '\0');
        POD_FOREACH_CONTAINER(c, p)
        assert(is_dns_label(c->name) && c->image && c->termination_message_path);
        for (size_t i = 0; i < p->n_volumes; i++)
                assert(is_dns_label(p->volumes[i].name));
}

static void decide(const struct pod *p)
{
        size_t n = pod_n_containers(p);
        _cleanup_free_ struct container_observed *containers = calloc(n, sizeof *containers);
        _cleanup_free_ struct crash_backoff *backoffs = calloc(n, sizeof *backoffs);
        const struct pod_observed seen = {
                .ip4 = "", .ip6 = "", .host_ip4 = "", .host_ip6 = "", .containers = containers
        };
        struct pod_actions actions;
        struct pod_status_input in = { .pod = p, .seen = &seen, .actions = &actions, .now = 1 };
        json_auto_t *status = NULL, *again = NULL;

        assert(pod_actions_compute(p, &seen, backoffs, 1, &actions) == 0);
        status = pod_status_build(&in);
        assert(status);
        in.previous = status;
        in.is_terminated = true;
        again = pod_status_build(&in);
        assert(again);
        pod_actions_done(&actions);
}

static void write_files(const struct pod *p)
{
        const struct dns_node node = { NULL, "cluster.local", "nameserver 1.1.1.1\n" };
        const char *const ips[] = { "10.0.0.1", NULL };
        _cleanup_free_ char *hosts = NULL, *resolv = NULL, *hostname = NULL, *domain = NULL;
        _cleanup_strv_ char **warnings = NULL;
        const struct container_input facts = { .cpu_quota = true, .cpu_period_usec = 100000 };
        struct oci_resources r;

        if (pod_hostname(p, "cluster.local", "node", &hostname, &domain, NULL) == 0)
                hosts = pod_etc_hosts(p, ips, hostname, domain, NULL);
        if (pod_resolv_conf(p, &node, &resolv, &warnings, NULL) == 0)
                assert(resolv);
        assert(pod_cgroup_resources(p, &facts, &r) == 0);
        oci_resources_done(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
        const char *text = (const char *)bytes + 1;
        _cleanup_(pod_unrefp)
        struct pod *p = NULL, *same = NULL;
        json_auto_t *root = NULL, *back = NULL;
        int r;

        if (n == 0)
                return 0;
        if (bytes[0] & 1) {
                if (yaml_parse(text, n - 1, &root, NULL) < 0)
                        return 0;
                r = pod_from_manifest(root, "node-1", "/m/x.yaml", 1, &p, NULL);
        } else {
                if (json_parse(text, n - 1, false, &root, NULL) < 0)
                        return 0;
                r = pod_decode(root, POD_SOURCE_API, &p, NULL);
        }
        if (r < 0)
                return 0;
        check_names(p);
        back = pod_to_json(p);
        assert(back && pod_decode(back, p->source, &same, NULL) == 0);
        assert(!pod_differs(p, same));
        decide(p);
        write_files(p);
        return 0;
}
