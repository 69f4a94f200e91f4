/*
 * KubeProxyConfiguration (kubeproxy.config.k8s.io/v1alpha1): decoded, defaulted, validated. Pure.
 *
 * Unknown fields pass, as with kube-proxy's lenient second try. There is one data path, nftables;
 * whatever `mode` says, its section of masquerade and sync settings is the one that counts.
 */
#pragma once
#include <jansson.h>

#include "base/err.h"
#include "base/ip.h"
#include "base/usec.h"

enum proxy_mode { PROXY_MODE_DEFAULT, PROXY_MODE_IPTABLES, PROXY_MODE_IPVS, PROXY_MODE_NFTABLES };

/* How traffic of this cluster's own pods is told from traffic of others. */
enum detect_local_mode {
        DETECT_LOCAL_CLUSTER_CIDR,
        DETECT_LOCAL_NODE_CIDR,
        DETECT_LOCAL_BRIDGE_INTERFACE,
        DETECT_LOCAL_INTERFACE_NAME_PREFIX,
};

struct proxy_config {
        char *kubeconfig;        /* owned; NULL: not given */
        char *hostname_override; /* owned; NULL: the host's name */
        enum proxy_mode mode;
        struct ip bind_address; /* unspecified: the node's address is the Node object's */
        struct ip healthz_ip, metrics_ip;
        uint16_t healthz_port, metrics_port; /* 0: no server */

        unsigned masquerade_bit; /* of the packet mark */
        bool masquerade_all;
        usec_t sync_period_usec;     /* until a failed sync is tried again */
        usec_t min_sync_period_usec; /* between two syncs */
        bool min_sync_period_given;

        int detect_local;                               /* enum detect_local_mode */
        char *bridge_interface, *interface_name_prefix; /* owned */
        struct cidr cluster_cidrs[2];                   /* at most one a family */
        size_t n_cluster_cidrs;
        bool node_ports_on_primary; /* nodePortAddresses empty or "primary": the Node's addresses */
        struct cidr *node_port_cidrs; /* owned; otherwise local addresses within these */
        size_t n_node_port_cidrs;

        uint32_t conntrack_max_per_core, conntrack_min; /* max_per_core 0: left alone */
        usec_t tcp_established_timeout_usec, tcp_close_wait_timeout_usec; /* 0: left alone */
        usec_t udp_timeout_usec, udp_stream_timeout_usec;                 /* 0: left alone */
        bool tcp_be_liberal;
        int32_t oom_score_adj;
};

/* The defaults, which hold when there is no file. */
void proxy_config_init(struct proxy_config *c);
/**
 * proxy_config_decode() - fills an initialised struct from the parsed file
 * Return: 0; -EINVAL: @err names field, value and rule.
 * Source: kubernetes pkg/proxy/apis/config/v1alpha1/defaults.go, .../validation.
 */
int proxy_config_decode(const json_t *root, struct proxy_config *c, struct err *err);
void proxy_config_done(struct proxy_config *c);
