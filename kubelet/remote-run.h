/*
 * /run of the kubelet's server: a command without input, its two outputs as one answer when it has
 * ended. What kubectl exec does is remote-exec; this is for scripts with curl.
 * Source: pkg/kubelet/server/server.go (getRun).
 */
#pragma once
#include "base/http-server.h"
#include "runtime/runtime.h"

struct remote_runs; /* opaque: the commands under way */

int remote_runs_new(struct runtime *rt, struct remote_runs **ret);
struct remote_runs *remote_runs_free(struct remote_runs *r); /* their clients get no answer */
DEFINE_CLEANUP(struct remote_runs *, remote_runs_free)
/* Answers @x, which was authorized: the query's cmd, split at single spaces, in @container_id. */
void remote_runs_handle(struct remote_runs *r, struct http_exchange *x, const char *container_id);
