/*
 * Static pods: identity, defaults, validation, and the refusal of what only the API server can
 * give. Pure. Source: pkg/kubelet/config/common.go, pkg/apis/core/v1/defaults.go.
 */
#pragma once
#include "kubelet/pod.h"

/**
 * pod_from_manifest() - a manifest's tree to a static pod
 * @manifest: one v1.Pod, as yaml_parse() gives it; borrowed, and not changed
 * @path:     of the manifest: part of errors and of the identity
 * @now:      CLOCK_REALTIME, for the annotation config.seen
 * @ret:      set on success only; one reference, the caller's
 *
 * The uid, unless the manifest has one, is 32 hex digits that depend on content, node and path: a
 * changed manifest is another pod.
 *
 * Return: 0; -EINVAL and friends with "<path>: couldn't parse as pod(<why>), please check config
 * file" in @err; -ENOMEM.
 */
int pod_from_manifest(const json_t *manifest, const char *node_name, const char *path, usec_t now,
                      struct pod **ret, struct err *err);

/*
 * The rules of a create in the API that decoding does not check and that this node relies on:
 * cross references, uniqueness, ranges. -EINVAL with path, value and rule. Pods from the API were
 * validated there.
 */
int pod_validate(const struct pod *p, struct err *err);
