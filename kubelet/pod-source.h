/*
 * Where pods come from: the API's watch of this node's pods, and a folder of manifests, as one
 * stream.
 *
 * The API's pods come only after pod_sources_start_api(): admission wants to know the node first.
 * Static pods are defaulted, validated and named here (kubelet/pod-defaults); a bad manifest is
 * logged by name and skipped. inotify tells changes at once, a scan every fileCheckFrequency
 * repairs what it missed. Source: pkg/kubelet/config.
 */
#pragma once
#include "base/kube-watch.h"
#include "kubelet/pod.h"

struct pod_source_ops {
        /* A pod is there or changed (also when only its status did). The callee takes a reference.
         */
        void (*on_pod)(struct pod *pod, void *userdata);
        void (*on_removed)(enum pod_source source, const char *namespace, const char *name,
                           const char *uid, void *userdata);
        /* Every configured source has delivered its first whole set. */
        void (*on_all_synced)(void *userdata);
        /* What is no valid pod, in the API or in a file: to be told. @name: its key or path. */
        void (*on_invalid)(const char *name, const char *sentence, void *userdata);
};
struct pod_source_options {
        const char *node_name;
        const char *manifest_path; /* folder or file; NULL or "": none */
        usec_t file_check_usec;
        struct kube_session *session; /* NULL: standalone */
};
struct pod_sources; /* opaque */
int pod_sources_new(sd_event *event, const struct pod_source_options *options,
                    const struct pod_source_ops *ops, void *userdata, struct pod_sources **ret,
                    struct err *err);
/* Begins to watch the API's pods; again: nothing. */
int pod_sources_start_api(struct pod_sources *s, struct err *err);
struct pod_sources *pod_sources_free(struct pod_sources *s);
DEFINE_CLEANUP(struct pod_sources *, pod_sources_free)
bool pod_sources_are_synced(const struct pod_sources *s);
