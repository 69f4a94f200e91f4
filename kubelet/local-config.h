/*
 * /v1/config of the local socket: the configuration and the options in force, and which of them
 * somebody set.
 */
#pragma once
#include "kubelet/config.h"
#include "kubelet/options.h"

/* { file?, kubeletconfig, given: [ "a.b" ], options: [ { name, value?, given } ] }; new reference,
 * NULL without memory. Values of staticPodURLHeader, which hold credentials, are left out. */
json_t *local_config_json(const struct kubelet_config *config, const struct options *options);
/* The command line: [{ name, given, value? }]; new reference. */
json_t *local_config_options(const struct options *options);
