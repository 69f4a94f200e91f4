/*
 * What Prometheus scrapes, under kube-proxy's names where it means the same, so that dashboards for
 * it work; skiff_* is our own.
 *
 * Source: kubernetes pkg/proxy/metrics/metrics.go.
 */
#pragma once
#include "netproxy/sync.h"

const char *metrics_family_name(size_t family); /* the label ip_family */
/* The two lines before the values of kubeproxy_@name. */
void metrics_add_head(struct strbuf *b, const char *name, const char *type, const char *help);
void metrics_add_sync(struct strbuf *b, struct sync *sync);
