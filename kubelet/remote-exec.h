/*
 * Commands in containers for clients far away, /exec of the kubelet's server, and containers' own
 * streams, /attach. Each is a session of its own between a remote (the client) and what the runtime
 * gives: who does not read stalls his own command (or loses a container's output), and who goes
 * away leaves its output closed behind him.
 */
#pragma once
#include "base/http-server.h"
#include "base/usec.h"
#include "runtime/runtime.h"

struct remote_execs; /* opaque: the sessions under way */

int remote_execs_new(sd_event *event, struct runtime *rt, usec_t idle_usec,
                     struct remote_execs **ret);
struct remote_execs *remote_execs_free(struct remote_execs *e); /* breaks all of them off */
DEFINE_CLEANUP(struct remote_execs *, remote_execs_free)
/* Answers @x, which was authorized: the query says what to run in @container_id (unless @attach)
 * and which channels are wanted. */
void remote_execs_handle(struct remote_execs *e, struct http_exchange *x, const char *container_id,
                         bool attach);
/* The same for a peer on the local socket: its frames are spoken too, and it may be idle. */
void remote_execs_handle_local(struct remote_execs *e, struct http_exchange *x,
                               const char *container_id, bool attach);
struct remote_counts;
void remote_execs_read_counts(const struct remote_execs *e, struct remote_counts *ret);
/* The container ended, and all it wrote is in the pipes: who is attached to it is let go. */
void remote_execs_container_ended(struct remote_execs *e, const char *container_id);
