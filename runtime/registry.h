/*
 * A registry v2 client for one image: endpoints in their order, credentials and tokens, manifests
 * by tag or digest, blobs as documents or as streams that survive broken connections.
 *
 * Everything fetched by digest is checked against it before it is handed out, streams excepted:
 * their taker does that.
 *
 * Source: OCI distribution-spec 1.1; distribution/distribution docs/spec/auth.
 */
#pragma once
#include "runtime/registry-http.h"

struct registry; /* opaque */

/* @job: a pull; borrowed as long as this lives. */
int registry_new(const struct image_job *job, struct registry **ret, struct err *err);
struct registry *registry_free(struct registry *r);
DEFINE_CLEANUP(struct registry *, registry_free)
/* Which of the job's auths its own registry wanted; -1: none. */
int registry_auth_index(const struct registry *r);

struct registry_document {
        char *text; /* owned, NUL-terminated */
        size_t n;
        char *content_type; /* owned; NULL: none */
        char *digest;       /* owned: as asked for, or SHA-256 of the text */
};
void registry_document_done(struct registry_document *d);
#define _cleanup_registry_document_ _cleanup_(registry_document_done)

/**
 * registry_manifest() - a manifest or index
 * @reference: tag or digest
 * @size:      as the descriptor says; 0: not known
 * Return: 0; negative errno with kind ERR_NOT_FOUND, ERR_UNAUTHORIZED, ERR_FORBIDDEN,
 * ERR_TOO_MANY, ERR_REGISTRY_UNAVAILABLE (it is there and cannot serve), ERR_IMAGE_PULL,
 * ERR_IMAGE_VERIFY.
 */
int registry_manifest(struct registry *r, const char *reference, uint64_t size,
                      struct registry_document *ret, struct err *err);
/* What digest a tag has, by a HEAD request: owned; NULL when the registry does not say. Cheap, and
 * only good for comparing with what is known. */
int registry_resolve(struct registry *r, const char *tag, char **ret, struct err *err);
/* A small blob: the config. */
int registry_blob(struct registry *r, const char *digest, uint64_t size,
                  struct registry_document *ret, struct err *err);

struct registry_transfer; /* opaque: one blob on its way into a pipe */
struct registry_transfer_events {
        /* Once. The transfer is freed after it. -EPIPE: the other end of the pipe is gone. */
        void (*done)(struct registry_transfer *t, int r, const struct err *err, void *userdata);
        void *userdata;
};
/**
 * registry_transfer() - start a blob's way into a pipe
 * @fd: write end, taken; closed when all is written. Nothing but the blob's bytes in order goes in
 */
int registry_transfer(struct registry *r, const char *digest, uint64_t size, int fd,
                      const struct registry_transfer_events *events, struct registry_transfer **ret,
                      struct err *err);
uint64_t registry_transfer_bytes(const struct registry_transfer *t);
/* Lets all transfers go on for up to @timeout_ms, also until @fd (or -1) is readable. */
int registry_run(struct registry *r, int fd, unsigned timeout_ms, struct err *err);
