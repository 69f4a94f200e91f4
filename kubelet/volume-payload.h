/*
 * The files of ConfigMap, Secret, downward API and projected volumes, from the objects they name.
 * Pure. Source: pkg/volume/{configmap,secret,downwardapi,projected}.
 */
#pragma once
#include "kubelet/atomic-writer.h"
#include "kubelet/field-path.h"
#include "kubelet/pod.h"

/*
 * Adds the files of one source.
 * @object: the ConfigMap or Secret; NULL: it does not exist (fine when optional)
 * @default_mode: of files without a mode of their own
 * Return: 0; -ENOENT with the kubelet's sentence for a missing object or key; -EINVAL for a bad
 * path.
 */
int payload_add_config_map(struct payload *p, const struct pod_volume_source *source,
                           const json_t *object, int32_t default_mode, struct err *err);
int payload_add_secret(struct payload *p, const struct pod_volume_source *source,
                       const json_t *object, int32_t default_mode, struct err *err);
int payload_add_downward_api(struct payload *p, const struct pod_volume_source *source,
                             const struct pod *pod, const struct node_allocatable *node,
                             int32_t default_mode, struct err *err);
/* The token file: 0600 when it has an owner of its own. */
int payload_add_token(struct payload *p, const struct pod_volume_source *source, const char *token,
                      bool has_owner, int32_t default_mode, struct err *err);
/* runAsUser common to all containers of the pod, or -1 ("fsUser"). */
int64_t pod_common_user(const struct pod *pod);
