/*
 * List, then watch: one resource kept up to date as a stream of callbacks.
 *
 * Starts by a streaming WATCH with sendInitialEvents where the server does it (WatchList), else a
 * LIST in pages; goes on by WATCH from the last resourceVersion with bookmarks. 410 Gone lists
 * again. A closed or refused connection is tried again within a second, other failures with
 * jittered back-off (0.8 s doubling to 30 s). An object that the caller cannot decode is logged
 * with its name and skipped.
 */
#pragma once
#include "base/kube-client.h"

struct kube_watch; /* opaque */

enum kube_event {
        KUBE_ADDED, /* also for every object of a list, and for one known already (a relist) */
        KUBE_MODIFIED,
        KUBE_DELETED, /* @object is the last state; after a relist only its key is known: metadata
                         alone */
};

struct kube_watch_ops {
        /*
         * @object is borrowed. @key is "namespace/name" or "name". Return: 0; negative errno with
         * @err: logged with the object's name, the object is treated as unknown, and the stream
         * goes on.
         */
        int (*on_event)(enum kube_event event, const char *key, const json_t *object,
                        void *userdata, struct err *err);
        /* A full list was delivered (deletions it implied included): the first time, and after
         * relists. */
        void (*on_synced)(void *userdata);
};

struct kube_watch_options {
        const char *path;           /* "/api/v1/pods" */
        const char *field_selector; /* unescaped; NULL: none */
        const char *label_selector;
        const char *what;         /* "pods": for the log */
        usec_t idle_timeout_usec; /* no byte for so long: connect anew. 0: 90 s */
};
int kube_watch_new(struct kube_session *s, const struct kube_watch_options *options,
                   const struct kube_watch_ops *ops, void *userdata, struct kube_watch **ret,
                   struct err *err);
struct kube_watch *kube_watch_free(struct kube_watch *w);
DEFINE_CLEANUP(struct kube_watch *, kube_watch_free)
bool kube_watch_is_synced(const struct kube_watch *w);
