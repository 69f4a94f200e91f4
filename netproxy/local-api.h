/*
 * The proxy's own unix socket: HTTP+JSON for `skiff services`, `skiff service`, `skiff trace` and
 * for scripts, at <run-dir>/netproxy.sock. It only tells, and it tells from the state there is:
 * nothing is kept for it. What it answers is described in skiff-api(5).
 */
#pragma once
#include "netproxy/sync.h"

struct local_api; /* opaque */

/* @run_dir: where the socket is; a missing one is made. */
int local_api_new(sd_event *event, struct sync *sync, const char *run_dir, struct local_api **ret,
                  struct err *err);
struct local_api *local_api_free(struct local_api *a);
DEFINE_CLEANUP(struct local_api *, local_api_free)
