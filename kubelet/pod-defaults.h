/*
 * Static pods: defaults, validation and identity that the API server gives to others. Pure.
 * Source: pkg/kubelet/config/common.go, pkg/apis/core/v1/defaults.go; pods.md 1.2, 1.3.
 */
#pragma once
#include "kubelet/pod.h"

/**
 * pod_from_manifest() - a manifest's tree to a static pod
 * @path: of the manifest: part of errors and of the identity
 * @now:  CLOCK_REALTIME, for the annotation config.seen
 * Return: 0 and one reference; -EINVAL with field, value and rule.
 */
int pod_from_manifest(const json_t *manifest, const char *node_name, const char *path, usec_t now,
                      struct pod **ret, struct err *err);
