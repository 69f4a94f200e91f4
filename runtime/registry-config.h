/*
 * registries.yaml in k3s's format: mirrors with rewrites, and TLS and credentials per host; and
 * what follows from it: at which endpoints, in which order, an image is asked for. Pure.
 *
 * Beyond k3s: `token_realms` of a host in configs names the token servers ("host" or "host:port")
 * that may see its credentials, where the rule of registry-auth.h would not let them. Patterns of
 * rewrites are POSIX extended ones ("^rancher/(.*)"), replacements know $1 and ${1}.
 *
 * Source: docs.k3s.io "Private Registry Configuration"; containerd hosts.toml for the order.
 */
#pragma once
#include <jansson.h>

#include "runtime/image-ref.h"
#include "runtime/registry-url.h"

struct registry_host {                              /* of configs: one host */
        char *host;                                 /* owned: "host", "host:port" or "*" */
        char *username, *password, *identity_token; /* owned; NULL: none */
        char *ca_file, *cert_file, *key_file;       /* owned, absolute; NULL: none */
        bool insecure_skip_verify;
        char **token_realms; /* owned */
};

struct registry_rewrite {
        char *pattern, *replacement; /* owned, checked */
};

struct registry_mirror {  /* of mirrors: one registry */
        char *registry;   /* owned: "docker.io", "reg:5000" or "*" */
        char **endpoints; /* owned: URLs, checked */
        struct registry_rewrite *rewrites;
        size_t n_rewrites;
};

struct registries {
        struct registry_mirror *mirrors;
        size_t n_mirrors;
        struct registry_host *hosts;
        size_t n_hosts;
};

/**
 * registries_decode() - the tree of a registries.yaml
 * @root: null (an empty file) is fine
 * Return: 0; -EINVAL with the path to the field and the rule; -ENOMEM.
 */
int registries_decode(const json_t *root, struct registries *ret, struct err *err);
void registries_done(struct registries *r);
#define _cleanup_registries_ _cleanup_(registries_done)

struct registry_endpoint {
        struct registry_url
                url;      /* owned; its text ends without '/': + "/<repository>/manifests/…" */
        char *repository; /* owned: after rewriting */
        bool is_registry; /* the image's own registry: its pull secrets may go there */
        const struct registry_host *host; /* borrowed from struct registries; NULL: no config */
};
/**
 * registries_endpoints() - where to ask for an image, in order; the registry itself comes last
 * @r:   borrowed as long as the result is used
 * @ret: owned: registry_endpoints_free()
 * Return: 0; -EINVAL when a rewrite makes no repository name; -ENOMEM.
 */
int registries_endpoints(const struct registries *r, const struct image_ref *ref,
                         struct registry_endpoint **ret, size_t *ret_n, struct err *err);
void registry_endpoints_free(struct registry_endpoint *e, size_t n);
