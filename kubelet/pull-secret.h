/*
 * Registry credentials out of imagePullSecrets. Pure. Source: pkg/credentialprovider
 * (DockerConfigJSON, keyring matching).
 */
#pragma once
#include "base/json.h"
#include "runtime/runtime.h"

struct pull_auths {
        struct image_auth *auths; /* owned, with its strings */
        size_t n;
};
void pull_auths_done(struct pull_auths *a);
/**
 * pull_auths_add() - the credentials of one Secret that are meant for @image
 * @secret: kubernetes.io/dockerconfigjson or kubernetes.io/dockercfg; others have none
 * @image:  normalized reference ("docker.io/library/busybox:1")
 * Return: 0; -EINVAL with the field when the Secret is malformed.
 */
int pull_auths_add(struct pull_auths *a, const json_t *secret, const char *image, struct err *err);
