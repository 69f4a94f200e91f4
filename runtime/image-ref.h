/*
 * Image references: "busybox", "reg:5000/team/app:v1@sha256:…" taken apart and normalised as
 * containerd and docker do. Pure.
 *
 * Source: distribution/reference v0.6.0 (ParseDockerRef), OCI distribution-spec 1.1 for the names.
 * Stricter in one point: only the digest algorithms sha256 and sha512 exist.
 */
#pragma once
#include "base/err.h"

struct image_ref {
        char *host;   /* owned: "docker.io", "registry:5000", "[::1]:5000" */
        char *path;   /* owned: "library/busybox" */
        char *tag;    /* owned; NULL when a digest says more */
        char *digest; /* owned: "sha256:…"; NULL without */
};

/**
 * image_ref_parse() - take a reference apart
 * @text: as a person wrote it; without tag and digest the tag is "latest", with both the tag goes
 * @ret:  set on success only; image_ref_done() frees what it holds
 * Return: 0; -EINVAL with kind ERR_INVALID_IMAGE_NAME and containerd's wording; -ENOMEM.
 */
int image_ref_parse(const char *text, struct image_ref *ret, struct err *err);
void image_ref_done(struct image_ref *ref);
#define _cleanup_image_ref_ _cleanup_(image_ref_done)

/* "docker.io/library/busybox:latest" or "…@sha256:…"; owned; NULL without memory. */
char *image_ref_format(const struct image_ref *ref);
/* Both at once; declared in runtime.h, too. */
int image_normalize(const char *reference, char **ret, struct err *err);
/* "docker.io/library/busybox"; owned; NULL without memory. */
char *image_ref_name(const struct image_ref *ref);

/* "sha256:" and 64, or "sha512:" and 128, lower-case hex digits, and nothing else. */
bool digest_is_valid(const char *text);
/* The same for a text that is not terminated. */
bool digest_is_valid_n(const char *text, size_t n);
enum { DIGEST_TEXT_MAX = sizeof("sha512:") + 128 };

/* "library/busybox": components as a repository may have, 255 bytes at most. */
bool image_path_is_valid(const char *path);

/* "localhost", 127.0.0.0/8 or [::1], whatever the port: spoken to by plain HTTP as peers do. */
bool registry_host_is_local(const char *host);
