/*
 * Registry credentials out of imagePullSecrets. Pure. Source: pkg/credentialprovider
 * (DockerConfigJSON, keyring matching).
 */
#pragma once
#include "base/json.h"
#include "base/sha256.h"
#include "runtime/runtime.h"

/* Where a credential comes from. Strings are owned. */
struct pull_origin {
        char *uid, *namespace, *name; /* of the Secret */
        char hash[SHA256_HEX_SIZE];   /* of the credential */
};
void pull_origin_done(struct pull_origin *o);
struct pull_auths {
        struct image_auth *auths;    /* owned, with its strings */
        struct pull_origin *origins; /* owned; of the same index */
        size_t n;
};
void pull_auths_done(struct pull_auths *a);
/* The origins alone, for when the pull has ended: an owned array of @a->n. NULL without memory. */
struct pull_origin *pull_auths_origins(const struct pull_auths *a);
/**
 * pull_auths_add() - the credentials of one Secret that are meant for @image
 * @secret: kubernetes.io/dockerconfigjson or kubernetes.io/dockercfg; others have none
 * @image:  normalized reference ("docker.io/library/busybox:1")
 * Return: 0; -EINVAL with the field when the Secret is malformed.
 */
int pull_auths_add(struct pull_auths *a, const json_t *secret, const char *image, struct err *err);
