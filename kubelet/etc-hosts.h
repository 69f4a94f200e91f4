/*
 * The text of a pod's /etc/hosts. Pure. Source: pkg/kubelet/kubelet_pods.go
 * (managedHostsFileContent, nodeHostsFileContent).
 */
#pragma once
#include "kubelet/pod.h"

/**
 * pod_etc_hosts() - the whole file
 * @ips:        of the pod, ends with NULL; not looked at with @node_hosts
 * @hostname:   short, or with @domain behind it
 * @domain:     of @hostname; NULL or "" when it has none
 * @node_hosts: the node's own file, for hostNetwork; else NULL
 * Return: owned; NULL without memory.
 */
char *pod_etc_hosts(const struct pod *pod, const char *const *ips, const char *hostname,
                    const char *domain, const char *node_hosts);
