/*
 * /v1/pods/NS/NAME/exec of the local socket: a program in a running container, its output as
 * frames.
 */
#pragma once
#include "kubelet/local-api.h"

enum { EXEC_FRAME_STDOUT = 1, EXEC_FRAME_STDERR = 2, EXEC_FRAME_EXIT = 3, EXEC_FRAME_HEADER = 8 };
/* Answers @x. @body: { command: [..], container? }. */
void local_exec_serve(const struct context *ctx, struct http_exchange *x, const struct pod *pod,
                      const json_t *body);
/* The running instance of a container of the pod (the first of the spec when @name is NULL); NULL
 * with a sentence. */
const struct container_status *pod_running_container(const struct context *ctx,
                                                     const struct pod *pod, const char *name,
                                                     struct err *err);
