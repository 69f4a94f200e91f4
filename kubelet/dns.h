/*
 * The text of a pod's /etc/resolv.conf. Pure. Source: pkg/kubelet/network/dns/dns.go.
 */
#pragma once
#include "kubelet/pod.h"

struct dns_node {
        char *const *cluster_dns;     /* addresses; NULL: none */
        const char *cluster_domain;   /* "" when unset */
        const char *resolv_conf_text; /* of the node's resolvConf; NULL: configured to "" */
};

/* The policy asks for cluster DNS and there is none, so that Default is used: event
 * MissingClusterDNS. */
bool pod_dns_misses_cluster(const struct pod *pod, const struct dns_node *node);

/**
 * pod_resolv_conf() - the whole file
 * @ret:          owned
 * @ret_warnings: sentences for events DNSConfigForming (limits were exceeded); owned, may stay NULL
 * Return: 0; -EINVAL when a name of the pod's dnsConfig cannot stand in the file; -ENOMEM.
 */
int pod_resolv_conf(const struct pod *pod, const struct dns_node *node, char **ret,
                    char ***ret_warnings, struct err *err);
