/*
 * The downward API: a field or a resource of a pod as text, for environment variables and volumes.
 * Pure. Source: pkg/fieldpath/fieldpath.go, pkg/api/v1/resource/helpers.go.
 */
#pragma once
#include "kubelet/pod.h"

/* What the node says for a limit that is not set. */
struct node_allocatable {
        int64_t cpu_milli, memory_bytes, ephemeral_bytes;
};
/* What the node knows of a running pod; lists joined by ','; members "" when not known. */
struct field_facts {
        const char *node_name, *pod_ip, *pod_ips, *host_ip, *host_ips;
};

/**
 * field_path_value() - "metadata.labels['app']", "status.podIP", …
 * @facts: NULL in volumes, which know metadata only
 * @ret:   owned; "" for a label that is not there
 * Return: 0; -EINVAL with "unsupported fieldPath: …"; -ENOMEM.
 */
int field_path_value(const struct pod *pod, const char *path, const struct field_facts *facts,
                     char **ret, struct err *err);

/**
 * field_resource_value() - "limits.cpu" in units of the divisor, rounded up
 * @own: container that asks; used when @from names none. NULL in volumes
 * Return: 0; -ENOENT when there is no such container; -EINVAL for a resource it has no name for;
 * -ENOMEM.
 */
int field_resource_value(const struct pod *pod, const struct pod_container *own,
                         const struct pod_value_from *from, const struct node_allocatable *node,
                         char **ret, struct err *err);
