/*
 * /containerLogs/{namespace}/{pod}/{container}: the query checked, the instance found, its log
 * streamed to one slow or quick reader, and nobody else waits for it.
 */
#pragma once
#include "base/http-server.h"
#include "kubelet/server.h"

struct server_logs; /* opaque: the streams under way */

/* @fail: answers with an error in the server's own way; NULL: as text, like the kubelet. */
int server_logs_new(sd_event *event, const char *pod_logs_dir, const struct server_ops *ops,
                    void (*fail)(struct http_exchange *x, int status, const char *message),
                    struct server_logs **ret);
struct server_logs *server_logs_free(struct server_logs *l); /* after the HTTP server */
DEFINE_CLEANUP(struct server_logs *, server_logs_free)
/* Answers @x, which was authorized. */
void server_logs_handle(struct server_logs *l, struct http_exchange *x, const char *namespace,
                        const char *pod, const char *container);
void server_logs_container_ended(struct server_logs *l, const char *container_id);
