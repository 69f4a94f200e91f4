/*
 * Image manifests, indexes and configs: decoded with every check that must hold before a digest or
 * a size in them is used. Pure.
 *
 * One document has one meaning: the HTTP content type, the document's own mediaType and
 * the descriptor that led to it must agree; fields of another kind, duplicate keys and keys that
 * differ from ours in case only are refused, and so are schema 1, foreign and encrypted layers.
 * Of a config only the named fields are read; labels and annotations are never looked at.
 *
 * Source: OCI image-spec 1.1 (manifest.md, image-index.md, config.md), Docker image manifest V2
 * schema 2.
 */
#pragma once
#include <jansson.h>
#include <stdint.h>

#include "base/err.h"

enum {
        MANIFEST_SIZE_MAX = 4 << 20, /* manifest, index or config, each */
        MANIFEST_LAYERS_MAX = 256,
        MANIFEST_ENTRIES_MAX = 1024,
        INDEX_DEPTH_MAX = 3, /* an index in an index in an index */
};

/* What a client accepts, for the Accept header of a request for a manifest. */
#define MANIFEST_ACCEPT                                                                         \
        "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, " \
        "application/vnd.docker.distribution.manifest.list.v2+json, "                           \
        "application/vnd.docker.distribution.manifest.v2+json"

enum manifest_kind { MANIFEST_IMAGE, MANIFEST_INDEX };

enum compression { COMPRESSION_NONE, COMPRESSION_GZIP, COMPRESSION_ZSTD };

struct manifest_layer {
        char *digest; /* owned, valid; of the bytes as they travel */
        uint64_t size;
        enum compression compression;
};

struct manifest_entry {            /* of an index */
        char *media_type, *digest; /* owned; a type we know, or the entry is left out */
        uint64_t size;
        char *os, *architecture, *variant; /* owned; NULL when not said */
};

struct manifest {
        enum manifest_kind kind;
        char *media_type;    /* owned; one of the four */
        char *config_digest; /* of an image */
        uint64_t config_size;
        struct manifest_layer *layers;
        size_t n_layers;
        struct manifest_entry *entries; /* of an index */
        size_t n_entries;
};

/**
 * manifest_parse() - decode a manifest or an index
 * @content_type: of the HTTP answer, parameters and all; NULL or a general type says nothing
 * @expected:     media type in the descriptor that led here; NULL for a tag
 * Return: 0; -EINVAL (ERR_BAD_INPUT) with field and rule; -ENOMEM.
 */
int manifest_parse(const char *text, size_t n, const char *content_type, const char *expected,
                   struct manifest *ret, struct err *err);
void manifest_done(struct manifest *m);
#define _cleanup_manifest_ _cleanup_(manifest_done)

struct platform {
        const char *os, *architecture, *variant; /* variant may be NULL */
};
/* This machine's, in Go's names. */
struct platform platform_here(void);

/**
 * manifest_pick() - the entry of an index for a platform
 *
 * The first entry with the same os, architecture and variant; else the first with the same os and
 * architecture and no variant, or for arm an older one (v7 takes v6, v6 takes v5; arm64 is v8,
 * amd64 is v1). An index with one single entry that names no platform gives that one.
 * Return: borrowed from @m; NULL with @err set when nothing fits.
 */
const struct manifest_entry *manifest_pick(const struct manifest *m, const struct platform *p,
                                           struct err *err);

struct image_config {
        char *os, *architecture; /* owned; NULL when not said */
        char **diff_ids;         /* strv of valid digests, at least one */
        char **entrypoint, **cmd, **env, **volumes;
        char *user, *working_dir, *stop_signal;
};
/**
 * image_config_parse() - decode an image's config
 * Environment entries without a name or "=" are dropped.
 * Return: 0; -EINVAL (ERR_BAD_INPUT) with field and rule; -ENOMEM.
 */
int image_config_parse(const char *text, size_t n, struct image_config *ret, struct err *err);
void image_config_done(struct image_config *c);
#define _cleanup_image_config_ _cleanup_(image_config_done)

/* Layer counts agree, the platform is @p's. -EINVAL. */
int image_config_check(const struct image_config *c, const struct manifest *m,
                       const struct platform *p, struct err *err);

/* Strict JSON of a stranger: its size and the number of values are bounded before parsing. */
int strict_json_parse(const char *text, size_t n, json_t **ret, struct err *err);
