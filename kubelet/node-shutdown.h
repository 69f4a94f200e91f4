/*
 * Graceful shutdown of the machine: while logind's lock is held, pods end in groups of their
 * priority, the lowest first, each group within the time that the configuration gives it. Then the
 * lock is let go. When the shutdown is called off, groups that did not begin stay, and new pods are
 * taken again. Source: pkg/kubelet/nodeshutdown.
 */
#pragma once
#include "kubelet/context.h"
#include "kubelet/pod-manager.h"

struct node_shutdown; /* opaque */

struct node_shutdown_options {
        const struct context *ctx;
        const struct pod_manager *pods;
        const char *conf_dir; /* of logind's drop-ins; borrowed */
        /* It began, or was called off: the node's conditions are to be told at once. */
        void (*on_changed)(void *userdata);
        void *userdata;
};
/* *ret is NULL where the configuration does not ask for it. */
int node_shutdown_new(const struct node_shutdown_options *options, struct node_shutdown **ret,
                      struct err *err);
struct node_shutdown *node_shutdown_free(struct node_shutdown *s);
DEFINE_CLEANUP(struct node_shutdown *, node_shutdown_free)
/* Is it under way? No pod is taken then. @s NULL: never. */
bool node_shutdown_is_on(const struct node_shutdown *s);
/* kubelet_graceful_shutdown_{start,end}_time_seconds, also of the shutdown before this start. */
void node_shutdown_add_metrics(const struct node_shutdown *s, struct strbuf *b);
