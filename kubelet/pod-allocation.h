/*
 * What of a pod's cpu and memory this node has granted it, where that is not what its spec asks for
 * (in-place resize), and what a container was last configured with. Pure.
 *
 * Three versions of the same numbers: *desired* is the spec of the API; *allocated* is what was
 * admitted, and what everything on this node works with; *actuated* is what a running container
 * was given. A struct pod that has been through pod_with_allocation() shows what is allocated.
 * Source: pkg/kubelet/allocation, pkg/kubelet/events/resize.go.
 */
#pragma once
#include "kubelet/pod.h"

/* As they reach a container's cgroup: cpu in thousandths, bytes; 0: none. Where a container has no
 * limit of its own it has the pod's. */
struct container_amounts {
        int64_t cpu_request, cpu_limit, memory_request, memory_limit;
};
struct container_amounts container_amounts_of(const struct pod *pod, const struct pod_container *c);
bool container_amounts_are_equal(const struct container_amounts *a,
                                 const struct container_amounts *b);
/* "100 200 0 33554432", in the order of the struct: kept with a container. */
enum { CONTAINER_AMOUNTS_TEXT_MAX = 96 };
const char *container_amounts_format(const struct container_amounts *a,
                                     char buf[static CONTAINER_AMOUNTS_TEXT_MAX]);
int container_amounts_parse(const char *text, struct container_amounts *ret); /* -EINVAL */
/* Does a change from @from to @to need a restart of the container by its resizePolicy? */
bool container_resize_restarts(const struct pod_container *c, const struct container_amounts *from,
                               const struct container_amounts *to);

/* Whether cpu or memory of a container, or of the pod itself, differs: 1000m and 1 do not. */
bool pod_resources_differ(const struct pod *a, const struct pod *b);
/* Does @to ask for more cpu or memory in sum than @from? */
bool pod_requests_grow(const struct pod *from, const struct pod *to);
/* { "containers": { name: resources }, "resources": … } of the spec; NULL: it asks for nothing that
 * could be resized (or without memory). New reference. */
json_t *pod_allocation_json(const struct pod *pod);
/**
 * pod_with_allocation() - a pod as it is desired, with the resources that it was granted
 * @allocation: of pod_allocation_json(); containers that it does not know stay as desired
 * @ret:        one reference; @desired itself when nothing differs
 * Return: 0; -EINVAL and the like (@allocation is damaged); -ENOMEM.
 */
int pod_with_allocation(struct pod *desired, const json_t *allocation, struct pod **ret,
                        struct err *err);
/* "Pod resize started: {"containers":[…],"generation":2}"; @error may be NULL. Owned. */
char *pod_resize_message(const char *what, const struct pod *pod, int64_t generation,
                         const char *error);
