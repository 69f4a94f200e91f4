/*
 * What the files of the image store share: image-store.c (what is here), image-store-load.c (what
 * was here), image-pull.c (jobs), image-user.c and image-api.c (the verbs of runtime.h).
 */
#pragma once
#include "base/child.h"
#include "base/list.h"
#include "base/map.h"
#include "runtime/image-job.h"
#include "runtime/image-store.h"

struct layer {
        char *name;                    /* owned: short, unique, [0-9a-z]+ */
        struct image_layer_event what; /* .dir is not used */
        unsigned n_images;             /* images that it belongs to */
        usec_t loose_since;            /* CLOCK_MONOTONIC; when .n_images is 0 */
};

struct image {
        struct image_event_image what; /* .names is not used */
        struct layer **layers;         /* owned array, bottom first; the layers are the store's */
        char **repo_tags, **repo_digests; /* owned, sorted by age */
        usec_t pulled_at;
        usec_t last_used_at;    /* CLOCK_REALTIME: when a container let go of it; 0: not yet */
        unsigned holds;         /* containers */
        unsigned pins;          /* it is being read */
        struct image_info info; /* a view of all that */
};

struct image_store {
        sd_event *event; /* own reference */
        void (*changed)(void *userdata);
        void *userdata;
        sd_event_source *changed_source; /* tells `changed` from the loop */
        sd_event_source *loose_source;   /* takes loose layers away */
        sd_event_source *start_source;   /* starts what is queued */

        char *program, *registries_file; /* owned: skiff-image; NULL without a file */
        unsigned max_parallel_pulls;     /* 0: no limit */

        int dir_fd, layers_fd, index_fd, documents_fd, records_fd, incoming_fd, trash_fd;
        struct map *images; /* id -> struct image, owned */
        struct map *names;  /* "host/path:tag", "host/path@digest" -> struct image, borrowed */
        struct map *layers; /* short name -> struct layer, owned */
        uint64_t next_name;
        bool keeps_loose; /* a record could not be read: nobody knows who needs what */

        struct list pulls; /* of struct pull: image-pull.c */
        struct list reads; /* of struct image_read: image-read.c */
        unsigned n_running, next_job;
        struct child *remover; /* owned: empties the trash; NULL: not running */
        bool trash_is_full;    /* something came in since the remover started */
        unsigned remover_failures;
};

/* ---- image-store.c ---- */

/* A tag, a digest, an id ("sha256:…") or 64 hex digits; NULL: not here, or not a reference. */
struct image *image_store_find(const struct image_store *s, const char *reference);
/* The image that a manifest or index of this digest is. */
struct image *image_store_find_manifest(const struct image_store *s, const char *digest);
/* The layer for this place in an image, or NULL. */
struct layer *image_store_find_layer(const struct image_store *s, const char *diff_id,
                                     const char *chain_id);
/* Moves a complete layer of a job in and records it. One that is here already is left where it is.
 */
int image_store_add_layer(struct image_store *s, int job_fd, const struct image_layer_event *l,
                          struct err *err);
/**
 * image_store_add_image() - record an image whose layers are all here
 * @what: taken apart: what is kept of it is moved
 * Of an image that is here already names are kept and added to.
 */
int image_store_add_image(struct image_store *s, int job_fd, struct image_event_image *what,
                          struct image **ret, struct err *err);
/* Gives a name to an image, taking it from another one, and records it. Normalised. */
int image_store_name(struct image_store *s, struct image *image, const char *name, struct err *err);
int image_store_remove(struct image_store *s, const char *reference, struct err *err);
/* Moves something to the trash and sees to it that it is emptied. */
int image_store_trash(struct image_store *s, int dir_fd, const char *name);
uint64_t image_store_used_bytes(const struct image_store *s);
void image_store_tell(struct image_store *s);

/* chain_ids[i] of diff_ids[0..i]; owned strv; NULL without memory. */
char **image_chain_ids(char *const *diff_ids);

/* Somebody who read the image has done. */
void image_store_unpin(struct image_store *s, const char *image_id);

/* ---- image-pull.c ---- */

/* Starts skiff-image; @fds become IMAGE_EVENTS_FD and those behind it, at most 5. */
int image_store_spawn(struct image_store *s, const struct image_job *job, const int *fds,
                      size_t n_fds, child_done_fn done, void *userdata, struct child **ret,
                      struct err *err);

/* ---- image-store-load.c ---- */

int image_store_load(struct image_store *s, struct err *err);
int image_store_record_layer(struct image_store *s, const struct layer *l);
int image_store_record_image(struct image_store *s, const struct image *i);
void image_store_forget_record(struct image_store *s, const char *kind, const char *name);

/* ---- shared with the loader ---- */

struct layer *image_layer_free(struct layer *l);
DEFINE_CLEANUP(struct layer *, image_layer_free)
struct image *image_free(struct image *i);
DEFINE_CLEANUP(struct image *, image_free)
/* Looks up the layers of @i (whose .what is filled) and counts it as a user. -ENOENT. */
int image_bind_layers(struct image_store *s, struct image *i, struct err *err);
void image_unbind_layers(struct image_store *s, struct image *i);
/* Makes the names of @i known. */
int image_index_names(struct image_store *s, struct image *i);
/* The view of an image follows what it is. */
void image_refresh_info(struct image *i);
/* "sha256-…" of "sha256:…". */
void image_document_name(const char *digest, char out[static DIGEST_TEXT_MAX]);
