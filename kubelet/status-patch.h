/*
 * The strategic merge patch that turns one pod status into another. Pure. Source:
 * pkg/util/pod/pod.go.
 */
#pragma once
#include <jansson.h>
#include <stdbool.h>

/**
 * status_patch_build() - { metadata: { uid }, status: … } from @have (the server's) to @want (ours)
 * Conditions that are not the kubelet's, and fields others own, stay the server's; a terminal phase
 * of the server is never undone. Return: 1 with *ret (new reference); 0 when nothing differs;
 * -ENOMEM.
 */
int status_patch_build(const json_t *have, const json_t *want, const char *uid, json_t **ret);

/* Does somebody wait for @want: is its phase, or whether the pod is ready, not what @have says? A
 * pod that is being deleted (@is_ending) is not asked whether it is ready. */
bool status_is_pressing(const json_t *have, const json_t *want, bool is_ending);
