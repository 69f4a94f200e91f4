/*
 * The inside of the image store, shared by its files: image-store.c (records, lookup, removal),
 * image-pull.c (jobs) and image-user.c (who is who in an image).
 */
#pragma once
#include "base/child.h"
#include "base/list.h"
#include "base/map.h"
#include "runtime/image-job.h"
#include "runtime/image-store.h"
#include "runtime/registry-config.h"

struct stored_layer {
        char *name; /* directory below layers/, and file below index/ */
        char *diff_id;
        char *chain_id; /* NULL: it fits on anything */
        char *digest;   /* of the compressed bytes; NULL: not known */
        uint64_t size, disk_bytes;
        size_t n_images; /* that have it */
};

struct stored_image {
        char *id;
        char **tags, **digests;
        struct stored_layer **layers; /* bottom first; array owned */
        size_t n_layers;
        struct image_config config; /* without diff_ids */
        usec_t pulled_at;
        size_t n_holds;         /* containers that use it */
        struct image_info info; /* points into the above */
};

struct image_store {
        sd_event *event; /* borrowed */
        int dir_fd, layers_fd, index_fd, records_fd, jobs_fd;
        char *program; /* libexec_dir/skiff-image */
        char *registries_file;
        uint32_t max_parallel; /* 0: no limit */
        struct map *images;    /* id -> struct stored_image, owned */
        struct map *layers;    /* name -> struct stored_layer, owned */
        struct list jobs;      /* struct image_task */
        size_t n_running;
        uint32_t next_job;
        void (*changed)(void *userdata);
        void *userdata;
        sd_event_source *tell; /* owned: changed(), from the loop */
};

/* image-store.c */
void image_store_tell(struct image_store *s);
/* Takes a complete layer out of a job's directory: renames and records it. */
int image_store_add_layer(struct image_store *s, int job_fd, const struct image_layer_event *e,
                          struct err *err);
/* Records an image whose layers are here; @tag and @digest (normalized references) may be NULL. */
int image_store_add_image(struct image_store *s, const struct image_event_image *e, const char *tag,
                          const char *digest, struct stored_image **ret, struct err *err);
/* The image a reference (id, or any spelling of a name) means, or NULL. */
struct stored_image *image_store_find(const struct image_store *s, const char *reference);
/* Moves @tag (normalized) to the image. */
int image_store_tag(struct image_store *s, struct stored_image *i, const char *tag,
                    struct err *err);
/* The image with a manifest digest among its repo digests of @name. */
struct stored_image *image_store_find_digest(const struct image_store *s, const char *name,
                                             const char *digest);
/* Layers that no image has. */
void image_store_sweep(struct image_store *s);

/* image-pull.c */
void image_store_stop_jobs(struct image_store *s);
