/*
 * Plugins that register with this node: each opens a socket in a folder and is asked there who it
 * is, handed to who deals with its kind, and told how that went.
 *
 * A socket that appears is a plugin, one that goes is a plugin that left, one that is made anew is
 * asked anew. What fails is tried again with back-off while the socket is there; a kind that nobody
 * here deals with is told so once.
 * Source: pkg/kubelet/pluginmanager (watcher, reconciler, operation generator).
 */
#pragma once
#include <systemd/sd-event.h>

#include "kubelet/plugin-message.h"

struct plugin_registry; /* opaque */

/* @why_not: NULL: it is registered. Borrowed. Called once, never from start(). */
typedef void (*plugin_started_fn)(const struct err *why_not, void *userdata);
struct plugin_kind {
        const char *type; /* "CSIPlugin" */
        /* @socket: by which it registered: names the registration. Negative: refused, with a
         * sentence, and done is not called. */
        int (*start)(void *kind, const char *socket, const struct plugin_info *info,
                     plugin_started_fn done, void *userdata, struct err *err);
        /* It is gone, or is asked anew; also while start() is under way, whose done is not called
         * then. */
        void (*stop)(void *kind, const char *socket);
};

/**
 * plugin_registry_new()
 * @dir:  <root-dir>/plugins_registry; made when it is not there
 * @ops:  static; @kind is handed to its functions
 */
int plugin_registry_new(sd_event *event, const char *dir, const struct plugin_kind *ops, void *kind,
                        struct plugin_registry **ret, struct err *err);
/* stop() is not called. */
struct plugin_registry *plugin_registry_free(struct plugin_registry *r);
DEFINE_CLEANUP(struct plugin_registry *, plugin_registry_free)
