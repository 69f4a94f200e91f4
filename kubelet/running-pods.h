/*
 * What /runningpods answers: the pods that the runtime holds, whoever wanted them. Source:
 * pkg/kubelet/container/runtime.go (ToAPIPod).
 */
#pragma once
#include <jansson.h>

struct runtime;

/* v1.PodList of names, uids and the containers that run, with their images; new reference, or NULL
 * without memory. */
json_t *running_pods_list(const struct runtime *rt);
