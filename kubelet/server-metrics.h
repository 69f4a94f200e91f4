/*
 * How much :10250 is asked: kubelet_http_*, by method and the first part of the path, and what its
 * connections cost, skiff_http_*. Labels come from lists that are fixed: who asks for many paths
 * makes no series. Pure.
 * Source: pkg/kubelet/server/metrics/metrics.go.
 */
#pragma once
#include "base/http-server.h"
#include "base/text.h"

struct server_metrics; /* opaque */

int server_metrics_new(struct server_metrics **ret);
struct server_metrics *server_metrics_free(struct server_metrics *m);
DEFINE_CLEANUP(struct server_metrics *, server_metrics_free)
/* A request came, and is over. */
void server_metrics_begin(struct server_metrics *m, const char *method, const char *path);
void server_metrics_end(struct server_metrics *m, const char *method, const char *path,
                        usec_t took);
void server_metrics_format(const struct server_metrics *m, const struct http_server_counts *counts,
                           struct strbuf *b);
