#include "kubelet/pod-sandbox.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/text.h"
#include "kubelet/config.h"
#include "kubelet/container-config.h"
#include "kubelet/pod-observe.h"

#define PORTS_MAX 128

static int sandbox_labels(const struct pod *pod, const char *cgroup, uint32_t attempt,
                          struct string_map *m)
{
        _cleanup_free_ char *number = text_printf("%" PRIu32, attempt);
        /* in the order of keys */
        const char *const pairs[][2] = {
                { LABEL_CGROUP, cgroup },
                { LABEL_POD_NAME, pod->name },
                { LABEL_POD_NAMESPACE, pod->namespace },
                { LABEL_POD_UID, pod->uid },
                { LABEL_ATTEMPT, number },
        };

        m->entries = calloc(ARRAY_SIZE(pairs), sizeof *m->entries);
        if (!m->entries || !number)
                return -ENOMEM;
        for (; m->n < ARRAY_SIZE(pairs); m->n++) {
                m->entries[m->n].key = strdup(pairs[m->n][0]);
                m->entries[m->n].value = strdup(pairs[m->n][1]);
                if (!m->entries[m->n].key || !m->entries[m->n].value) {
                        m->n++;
                        return -ENOMEM;
                }
        }
        return 0;
}

static size_t collect_ports(const struct pod *pod, struct runtime_port *ports, size_t max)
{
        size_t n = 0;

        for (size_t i = 0; i < pod->n_containers; i++)
                for (size_t k = 0; k < pod->containers[i].n_ports; k++) {
                        const struct pod_port *p = &pod->containers[i].ports[k];

                        if (p->host_port && !pod->host_network && n < max)
                                ports[n++] = (struct runtime_port){ p->protocol, p->host_port,
                                                                    p->container_port, p->host_ip };
                }
        return n;
}

static int apply_cgroup(const struct context *ctx, const struct pod *pod, const char *path,
                        struct err *err)
{
        struct container_input node = { .cpu_quota = ctx->config->cpu_quota,
                                        .pod_pids_limit = ctx->config->pod_pids_limit,
                                        .cpu_period_usec = ctx->config->cpu_period_usec,
                                        .node_memory_bytes = ctx->node_memory_bytes };
        struct oci_resources resources;
        int r;

        oci_resources_init(&resources);
        ctx->allocatable(&node.allocatable, ctx->userdata);
        r = pod_cgroup_resources(pod, &node, &resources);
        if (r == 0)
                r = runtime_cgroup_apply(ctx->rt, path, &resources, err);
        oci_resources_done(&resources);
        if (r < 0)
                pod_event(ctx, pod, NULL, EVENT_WARNING, "FailedCreatePodContainer",
                          "unable to ensure pod container exists: %s", err_text(err));
        return r;
}

static int fill_sysctls(const struct pod *pod, struct string_map *m)
{
        m->entries = calloc(pod->security.n_sysctls + 1, sizeof *m->entries);
        if (!m->entries)
                return -ENOMEM;
        for (; m->n < pod->security.n_sysctls; m->n++) {
                m->entries[m->n].key = strdup(pod->security.sysctls[m->n].name);
                m->entries[m->n].value = strdup_null(pod->security.sysctls[m->n].value);
                if (!m->entries[m->n].key) {
                        m->n++;
                        return -ENOMEM;
                }
        }
        return 0;
}

int pod_sandbox_run(const struct context *ctx, const struct pod *pod, uint32_t attempt,
                    sandbox_done_fn done, void *userdata, struct runtime_op **ret, struct err *err)
{
        _cleanup_(string_map_done)
        struct string_map labels = { 0 }, sysctls = { 0 };
        _cleanup_free_ char *cgroup = pod_cgroup_path(pod), *hostname = NULL, *domain = NULL;
        struct runtime_port ports[PORTS_MAX];
        struct sandbox_config config = {
                .cgroup_parent = cgroup,
                .host_network = pod->host_network,
                .host_pid = pod->host_pid,
                .host_ipc = pod->host_ipc,
                .share_process_namespace = pod->share_process_namespace,
                .ports = ports,
        };
        const char *why;
        int r;

        if (!cgroup || sandbox_labels(pod, cgroup, attempt, &labels) < 0 ||
            fill_sysctls(pod, &sysctls) < 0)
                return err_sys(err, -ENOMEM, "prepare the sandbox");
        if (!pod->host_network && !runtime_network_is_ready(ctx->rt, &why)) {
                pod_event(ctx, pod, NULL, EVENT_WARNING, "NetworkNotReady",
                          "network is not ready: %s", why);
                return err_set(err, -EAGAIN, "network is not ready: %s", why);
        }
        r = pod_hostname(pod, ctx->config->cluster_domain, ctx->node_name, &hostname, &domain, err);
        if (r == 0)
                r = apply_cgroup(ctx, pod, cgroup, err);
        if (r < 0)
                return r;
        config.labels = labels;
        config.hostname = hostname;
        config.sysctls = &sysctls;
        config.n_ports = collect_ports(pod, ports, ARRAY_SIZE(ports));
        return sandbox_run(ctx->rt, &config, done, userdata, ret, err);
}
