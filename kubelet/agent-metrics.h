/* /metrics: what the agent tells about itself, put together from those who know. */
#pragma once
#include "base/kube-client.h"
#include "kubelet/certificate-manager.h"
#include "kubelet/pod-manager.h"
#include "kubelet/remote.h"
#include "kubelet/server.h"
#include "kubelet/stats.h"

struct node_shutdown;

struct agent_metrics {
        struct stats *stats;
        const struct server *server;
        const struct pod_manager *pods;
        const struct node_shutdown *shutdown; /* NULL: not asked for */
        struct remote_counts execs, forwards;
        const struct kube_session *session;                /* NULL: standalone */
        const struct certificate_counts *client, *serving; /* NULL: not ours to renew */
};
/* Prometheus' text; owned, NULL without memory. */
char *agent_metrics_format(const struct agent_metrics *m);
