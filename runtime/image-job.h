/*
 * What skiffd and skiff-image say to each other: one job, then lines of events. Pure.
 *
 * The job is a sealed memfd with one JSON object, credentials included; nothing of it is ever
 * written elsewhere. Events are JSON objects, one a line, over a pipe:
 *
 *   {"progress": {"layer": 0, "of_layers": 3, "bytes": 1024, "of_bytes": 4096}}
 *   {"layer":    {…}}   a layer is verified, synced and complete in the job's directory
 *   {"image":    {…}}   all its layers are here (an import may bring several)
 *   {"present":  {"manifest_digest": "sha256:…"}}   the reference leads to what is known already
 *   {"error":    {"errno": 22, "kind": "image_verify", "message": "…"}}
 *   {"done":     true}  the last one; without it or an error the job died
 *
 * With an image come its documents, as files "sha256-<hex>" (or sha512) in the job's directory,
 * named by what their bytes are.
 *
 * Descriptors: IMAGE_JOB_FD and so on below. skiffd decodes events as it would a stranger's: the
 * process that wrote the image event has met hostile bytes.
 */
#pragma once
#include <stdint.h>

#include "base/json.h"
#include "runtime/manifest.h"
#include "runtime/registry-config.h"

enum {
        IMAGE_JOB_FD = 3,     /* the job: memfd */
        IMAGE_EVENTS_FD = 4,  /* pipe, write end */
        IMAGE_DIR_FD = 5,     /* directory of this job, empty; layers become "0", "1", … in it */
        IMAGE_LAYERS_FD = 6,  /* directory of all layers that are here */
        IMAGE_ARCHIVE_FD = 7, /* import: the archive; export, check: where it goes, a pipe */
        IMAGE_INDEX_FD = 8,   /* export, check: directory of the layers' indexes */
};

enum image_job_kind {
        IMAGE_JOB_PULL,
        IMAGE_JOB_IMPORT,
        IMAGE_JOB_REMOVE, /* empties IMAGE_DIR_FD */
        IMAGE_JOB_EXPORT, /* an image as an archive; IMAGE_DIR_FD: documents (image-check.h) */
        IMAGE_JOB_CHECK,  /* reads layers and documents against their digests; likewise */
};

struct image_credential {
        char *username, *password, *identity_token; /* owned; NULL: none */
};

struct image_job_host {               /* TLS towards one host, whatever for */
        char *host;                   /* "host", "host:port", "*" */
        char *ca, *certificate, *key; /* PEM; NULL: none */
        bool insecure_skip_verify;
};

struct image_job_endpoint {
        char *url, *repository;             /* owned */
        bool is_registry;                   /* the pull secrets may go there */
        struct image_credential credential; /* of registries.yaml */
        char *tls_host;                     /* which of the hosts; NULL: by the URL's authority */
        char **token_realms;
};

struct image_job_layer { /* one that is here already */
        char *diff_id, *name;
        char *chain_id; /* NULL: it fits on anything */
        bool root_is_opaque;
        uint64_t size; /* export: of its archive; else 0 */
};

struct image_job {
        enum image_job_kind kind;
        char *name;         /* pull: "docker.io/library/busybox"; export: with its tag, or NULL */
        char *tag, *digest; /* pull: one of them; export: .digest is the image's id */
        struct image_job_endpoint *endpoints;
        size_t n_endpoints;
        struct image_job_host *hosts;
        size_t n_hosts;
        struct image_credential *auths; /* pull secrets */
        size_t n_auths;
        char **known_manifests; /* digests that this reference may lead to without work for us;
                                   check: the documents */
        struct image_job_layer *layers;
        size_t n_layers;
        char *https_proxy, *http_proxy, *no_proxy;
        uint64_t reserve_bytes; /* leave so much of the file system */
        uint32_t fetcher_uid;   /* and gid */
        uint32_t parallel_layers;
        uint32_t stall_sec; /* no progress for so long breaks a transfer */
};

void image_job_done(struct image_job *job);
#define _cleanup_image_job_ _cleanup_(image_job_done)
/* Wipes passwords, tokens and keys: for a process that starts others which must not have them. */
void image_job_forget_secrets(struct image_job *job);
/* New reference; NULL without memory. */
json_t *image_job_to_json(const struct image_job *job);
/* Defaults: fetcher_uid IMAGE_FETCHER_UID, 3 layers at a time, 60 s. -EINVAL, -ENOMEM. */
int image_job_from_json(const json_t *root, struct image_job *ret, struct err *err);
/* Of no user and no range that systemd or Kubernetes hands out. */
enum { IMAGE_FETCHER_UID = 1900000001 };

struct image_layer_event {
        char *dir, *diff_id; /* owned; dir: name in the job's directory, and "<dir>.index" */
        char *digest;        /* of the bytes that came; NULL: not known */
        char *chain_id;      /* NULL: the layer fits on anything */
        uint64_t size, unpacked_size, disk_bytes, n_inodes;
        bool root_is_opaque;
};
enum { IMAGE_AUTHS_MAX = 1024 };
struct image_event_image {
        char *id, *manifest_digest; /* owned; valid digests; manifest_digest may be NULL (import) */
        char *index_digest;         /* the tag led to this index; NULL: to the manifest itself */
        char *media_type;
        char **names;               /* import: what the archive calls it; not normalised */
        char **diff_ids;            /* bottom first */
        int32_t auth_index;         /* which pull secret was needed; -1: none */
        struct image_config config; /* without diff_ids */
};
struct image_progress {
        uint32_t layer, of_layers;
        uint64_t bytes, of_bytes;
};
enum image_event_kind {
        IMAGE_EVENT_PROGRESS,
        IMAGE_EVENT_LAYER,
        IMAGE_EVENT_IMAGE,
        IMAGE_EVENT_PRESENT,
        IMAGE_EVENT_ERROR,
        IMAGE_EVENT_DONE,
};
struct image_event {
        enum image_event_kind kind;
        struct image_progress progress;
        struct image_layer_event layer;
        struct image_event_image image;
        struct image_present {
                int32_t auth_index; /* as above */
                char *manifest_digest,
                        *index_digest; /* owned; of an image or an index; may be NULL */
        } present;
        int error; /* negative errno */
        struct err err;
};
void image_event_done(struct image_event *e);
#define _cleanup_image_event_ _cleanup_(image_event_done)
enum { IMAGE_EVENT_LINE_MAX = 5 << 20 };
/* One line without its newline; NULL without memory. */
char *image_event_to_line(const struct image_event *e);
int image_event_from_line(const char *line, size_t n, struct image_event *ret, struct err *err);

/* The image part alone, as the fetcher hands it on. */
json_t *image_event_image_to_json(const struct image_event_image *i);
int image_event_image_from_json(const json_t *root, struct image_event_image *ret, struct err *err);
void image_event_image_done(struct image_event_image *i);
void image_layer_event_done(struct image_layer_event *l);
json_t *image_layer_event_to_json(const struct image_layer_event *l);
extern const struct json_field image_layer_event_fields[];
extern const struct json_field image_event_image_fields[];
