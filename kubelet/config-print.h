/* A configuration as /configz shows it. Pure. */
#pragma once
#include "kubelet/config.h"

/**
 * config_print() - the KubeletConfiguration in force
 * @document: what was decoded to @c, or NULL; fields that are known and not acted upon are shown as
 *            they stand there, as the kubelet does with those that it ignores
 * Return: new reference, or NULL without memory. Durations are in Go's form ("2m0s"), paths
 * absolute. Source: k8s.io/component-base/configz, cmd/kubelet/app/server.go (setConfigz).
 */
json_t *config_print(const struct kubelet_config *c, const json_t *document);
