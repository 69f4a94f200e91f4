/* Rules of pkg/apis/core/validation that decoding has no place for. */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "base/text.h"
#include "kubelet/pod-defaults.h"

#define HOSTNAME_RULE "expected a DNS label"

static int refuse(struct err *err, const char *path, const char *value, const char *rule)
{
        return err_set_kind(err, -EINVAL, ERR_BAD_INPUT, "%s: '%s': %s", path, value, rule);
}

static bool is_ip(const char *s)
{
        unsigned char buf[sizeof(struct in6_addr)];

        return inet_pton(AF_INET, s, buf) == 1 || inet_pton(AF_INET6, s, buf) == 1;
}

static int check_mounts(const struct pod *p, const struct pod_container *c, struct err *err)
{
        for (size_t i = 0; i < c->n_mounts; i++) {
                const struct pod_mount *m = &c->mounts[i];

                if (!pod_find_volume(p, m->name))
                        return refuse(err, "volumeMounts: name", m->name,
                                      "expected the name of a volume of this pod");
                if (m->path[0] == '\0')
                        return refuse(err, "volumeMounts: mountPath", m->path, "required");
                if (m->sub_path && m->sub_path_expr)
                        return refuse(err, "volumeMounts: subPathExpr", m->sub_path_expr,
                                      "not together with subPath");
                if (m->propagation == POD_PROPAGATION_BIDIRECTIONAL &&
                    !(c->security && c->security->privileged == 1))
                        return refuse(err, "volumeMounts: mountPropagation", "Bidirectional",
                                      "only for privileged containers");
                for (size_t k = 0; k < i; k++)
                        if (streq(c->mounts[k].path, m->path))
                                return refuse(err, "volumeMounts: mountPath", m->path,
                                              "must be unique");
        }
        return 0;
}

static int check_ports(const struct pod_container *c, struct err *err)
{
        for (size_t i = 0; i < c->n_ports; i++) {
                const struct pod_port *a = &c->ports[i];

                if (a->host_ip && !is_ip(a->host_ip))
                        return refuse(err, "ports: hostIP", a->host_ip, "expected an IP address");
                for (size_t k = 0; k < i; k++)
                        if (a->name && streq_null(a->name, c->ports[k].name))
                                return refuse(err, "ports: name", a->name, "must be unique");
        }
        return 0;
}

static int check_resources(const struct pod_container *c, struct err *err)
{
        const struct string_map *requests = &c->resources.requests;

        for (size_t i = 0; i < requests->n; i++) {
                const char *name = requests->entries[i].key;
                bool cpu = streq(name, "cpu");
                int64_t request = cpu ? pod_resource_milli(requests, name)
                                      : pod_resource_value(requests, name);
                int64_t limit = cpu ? pod_resource_milli(&c->resources.limits, name)
                                    : pod_resource_value(&c->resources.limits, name);

                if (limit != POD_UNSET && request > limit)
                        return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                            "resources: requests: %s: '%s': must be less than or "
                                            "equal to %s limit of %s",
                                            name, requests->entries[i].value, name,
                                            string_map_get(&c->resources.limits, name));
        }
        return 0;
}

static int check_probes(const struct pod_container *c, struct err *err)
{
        if (c->kind == POD_CONTAINER_INIT &&
            (c->liveness || c->readiness || c->startup || c->post_start || c->pre_stop))
                return refuse(err, "livenessProbe, readinessProbe, startupProbe, lifecycle",
                              c->name,
                              "may not be set for init containers without restartPolicy=Always");
        if (c->liveness && c->liveness->success_threshold != 1)
                return refuse(err, "livenessProbe: successThreshold", c->name, "must be 1");
        if (c->startup && c->startup->success_threshold != 1)
                return refuse(err, "startupProbe: successThreshold", c->name, "must be 1");
        if (c->readiness && c->readiness->grace_sec != POD_UNSET)
                return refuse(err, "readinessProbe: terminationGracePeriodSeconds", c->name,
                              "must not be set for readinessProbes");
        return 0;
}

static int check_restart(const struct pod_container *c, struct err *err)
{
        if (c->n_restart_rules > 0 && c->restart_policy == POD_UNSET)
                return refuse(err, "restartPolicyRules", c->name,
                              "must specify restartPolicy when restart rules are used");
        if (c->security && c->security->privileged == 1 &&
            c->security->allow_privilege_escalation == 0)
                return refuse(err, "securityContext: allowPrivilegeEscalation", "false",
                              "not together with privileged");
        return 0;
}

static int check_container(const struct pod *p, const struct pod_container *c, struct err *err)
{
        int r = 0;

        if (c->image[0] == '\0')
                r = refuse(err, "image", "", "required");
        if (r == 0)
                r = check_mounts(p, c, err);
        if (r == 0)
                r = check_ports(c, err);
        if (r == 0)
                r = check_resources(c, err);
        if (r == 0)
                r = check_probes(c, err);
        if (r == 0)
                r = check_restart(c, err);
        return r < 0 ? err_wrap(err, r, "spec: container '%s'", c->name) : 0;
}

static bool same_host_port(const struct pod_port *a, const struct pod_port *b)
{
        return a->host_port != 0 && a->host_port == b->host_port && a->protocol == b->protocol &&
               streq_null(a->host_ip, b->host_ip);
}

/* Of all containers that run at the same time. */
static int check_host_ports(const struct pod *p, struct err *err)
{
        const struct pod_container *a, *b;

        for (size_t i = 0; i < p->n_containers; i++) {
                a = &p->containers[i];
                for (size_t m = 0; m < a->n_ports; m++)
                        for (size_t k = 0; k <= i; k++) {
                                b = &p->containers[k];
                                for (size_t n = 0; n < (k == i ? m : b->n_ports); n++)
                                        if (same_host_port(&a->ports[m], &b->ports[n]))
                                                return err_set_kind(
                                                        err, -EINVAL, ERR_BAD_INPUT,
                                                        "spec: container '%s': ports: hostPort: "
                                                        "%u: must be unique",
                                                        a->name, a->ports[m].host_port);
                        }
        }
        return 0;
}

static int check_network(const struct pod *p, struct err *err)
{
        if (p->hostname && !is_dns_label(p->hostname))
                return refuse(err, "spec: hostname", p->hostname, HOSTNAME_RULE);
        if (p->subdomain && !is_dns_label(p->subdomain))
                return refuse(err, "spec: subdomain", p->subdomain, HOSTNAME_RULE);
        if (p->hostname_override && !is_dns_subdomain(p->hostname_override))
                return refuse(err, "spec: hostnameOverride", p->hostname_override,
                              "expected a DNS subdomain");
        if (p->hostname_override && (p->host_network || p->set_hostname_as_fqdn))
                return refuse(err, "spec: hostnameOverride", p->hostname_override,
                              "not together with hostNetwork or setHostnameAsFQDN");
        for (size_t i = 0; i < p->n_host_aliases; i++) {
                if (!is_ip(p->host_aliases[i].ip))
                        return refuse(err, "spec: hostAliases: ip", p->host_aliases[i].ip,
                                      "expected an IP address");
                STRV_FOREACH (name, p->host_aliases[i].hostnames)
                        if (!is_dns_subdomain(*name))
                                return refuse(err, "spec: hostAliases: hostnames", *name,
                                              "expected a DNS subdomain");
        }
        for (char *const *s = p->dns_nameservers; s && *s; s++)
                if (!is_ip(*s))
                        return refuse(err, "spec: dnsConfig: nameservers", *s,
                                      "expected an IP address");
        if (p->dns_policy == POD_DNS_NONE && strv_len(p->dns_nameservers) == 0)
                return refuse(err, "spec: dnsConfig: nameservers", "",
                              "must provide at least one DNS nameserver when `dnsPolicy` is None");
        return 0;
}

static int check_namespaces(const struct pod *p, struct err *err)
{
        if (p->host_pid && p->share_process_namespace)
                return refuse(err, "spec: shareProcessNamespace", "true",
                              "ShareProcessNamespace and HostPID cannot both be enabled");
        if (!p->host_users && (p->host_network || p->host_pid || p->host_ipc))
                return refuse(err, "spec: hostUsers", "false",
                              "not together with hostNetwork, hostPID or hostIPC");
        if (p->n_ephemeral_containers > 0)
                return refuse(err, "spec: ephemeralContainers", p->ephemeral_containers[0].name,
                              "cannot be set on create");
        if (p->active_deadline_sec == 0)
                return refuse(err, "spec: activeDeadlineSeconds", "0",
                              "must be between 1 and 2147483647, inclusive");
        return 0;
}

int pod_validate(const struct pod *p, struct err *err)
{
        const struct pod_container *c;
        int r;

        POD_FOREACH_CONTAINER(c, p)
        {
                r = check_container(p, c, err);
                if (r < 0)
                        return r;
        }
        r = check_host_ports(p, err);
        if (r == 0)
                r = check_network(p, err);
        return r < 0 ? r : check_namespaces(p, err);
}
