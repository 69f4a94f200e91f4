/* The connection tracker's limits and times, as the configuration asks for them. */
#pragma once
#include "netproxy/config.h"

/**
 * sysctls_apply() - writes what differs
 * The size of the table belongs to the whole machine: it is left alone outside the first network
 * namespace. What cannot be written is logged; Services work without.
 */
void sysctls_apply(const struct proxy_config *c);
/* Pure. nf_conntrack_max for so many CPUs; 0: leave it alone.
 * Source: kubernetes cmd/kube-proxy/app/server_linux.go (getConntrackMax). */
uint64_t sysctls_conntrack_max(const struct proxy_config *c, unsigned n_cpus);
