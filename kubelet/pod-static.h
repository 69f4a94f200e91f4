/*
 * Static pods: a manifest from a file or URL becomes the pod that this node would have got from the
 * API server: identity, defaults, validation, and the refusal of what only the API can give.
 *
 * Source: spec/pods.md 1.2 and 1.3; pkg/kubelet/config/common.go.
 */
#pragma once
#include "kubelet/pod.h"

struct pod_origin {
        enum pod_source source; /* POD_SOURCE_FILE or _HTTP */
        const char *path;       /* of the file, or the URL */
        const char *node_name;
        usec_t seen; /* CLOCK_REALTIME: when this pod was first seen */
};

/**
 * pod_static_decode() - the pod of a manifest
 * @manifest: tree of one v1.Pod, as yaml_parse() gives it; borrowed, and not changed
 * @ret:      set on success only; one reference, the caller's
 *
 * The uid, unless the manifest has one, is 32 hex digits that depend on content, node and path: a
 * changed manifest is another pod.
 *
 * Return: 0; -EINVAL and friends with "<path>: couldn't parse as pod(<why>), please check config
 * file" in @err; -ENOMEM.
 */
int pod_static_decode(const json_t *manifest, const struct pod_origin *origin, struct pod **ret,
                      struct err *err);

/*
 * The rules of a create in the API that decoding does not check and that this node relies on:
 * cross references, uniqueness, ranges. -EINVAL with path, value and rule. Pods from the API were
 * validated there.
 */
int pod_validate(const struct pod *p, struct err *err);
