/*
 * The local socket: HTTP+JSON for `skiff` and for scripts, at <run-dir>/skiff.sock. Works with the
 * API server away. What it answers is described in skiff-api(5), cli/skiff-api.5: who may open the
 * socket may look; what changes something, runs a command or shows values of Secrets needs root.
 * Errors are metav1.Status.
 */
#pragma once
#include "base/http-server.h"
#include "kubelet/context.h"
#include "kubelet/pod-manager.h"
#include "kubelet/server.h"

struct local_api; /* opaque */
struct options;

struct local_api_options {
        const struct context *ctx;
        struct pod_manager *pods;
        const struct server_ops *logs; /* how logs are found; copied */
        /* A command in a container, or its own streams; answers @x, which asked for an upgrade. */
        void (*exec)(struct http_exchange *x, const char *container_id, bool attach,
                     void *exec_userdata);
        void *exec_userdata;
        const struct options *agent; /* the command line; borrowed */
        /* The answer to /v1/node; new reference. */
        json_t *(*node)(void *userdata);
        void *userdata;
};
int local_api_new(const struct local_api_options *options, struct local_api **ret, struct err *err);
struct local_api *local_api_free(struct local_api *a);
DEFINE_CLEANUP(struct local_api *, local_api_free)
/* A container ended: who follows its log is let go. */
void local_api_container_ended(struct local_api *a, const char *container_id);
/* The handler of the socket's http_server. */
void local_api_handle(struct http_exchange *x, void *userdata);

/* For the parts of the socket that live in files of their own. */
void local_api_fail(struct http_exchange *x, int status, const char *message);
/* False: @x was answered, with 403 or 405. */
bool local_api_is_root(struct http_exchange *x);
bool local_api_is_method(struct http_exchange *x, const char *method);
/* The body, an object; NULL: @x was answered with what is wrong. New reference. */
json_t *local_api_body(struct http_exchange *x);
/* What a person sees stays in its place from one look to the next. Steals @list. */
json_t *local_api_sorted(json_t *list, int (*compare)(const void *a, const void *b));
/* v1.PodList of what this node has; also what :10250/pods answers. New reference. */
json_t *local_api_pod_list(struct local_api *a, const char *namespace);
