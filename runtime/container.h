/*
 * One container as runtime/ keeps it. What kubelet/ may see of it is struct container_status.
 */
#pragma once
#include "runtime/sandbox.h"

struct container {
        struct runtime *rt;      /* borrowed */
        struct sandbox *sandbox; /* borrowed; NULL: its record is gone */
        struct list_node in_sandbox;
        struct container_status status; /* points to the members below */
        char id[RUNTIME_ID_SIZE], sandbox_id[RUNTIME_ID_SIZE];
        struct string_map labels;
        char *image_id, *image_name, *log_path, *message;
        char *cgroup_parent;
        uint32_t *groups;
        char **mounted_images; /* owned: ids of the images that are mounted into it */
        char **held_images;    /* owned: image_store_hold() was called for these */
        bool is_heard_of;      /* after a restart: its shim has named it */
        bool has_no_layer;     /* container_drop_layer() took it */
        bool is_deserted; /* it goes when it has ended: who made it is gone, and never started it */
};

struct container *container_get(const struct runtime *rt, const char *id); /* borrowed, or NULL */
struct container *container_free(struct container *c);
DEFINE_CLEANUP(struct container *, container_free)

/* ---- container-load.c ---- */
/* Reads all records after a start; sandboxes come first. */
int container_load_all(struct runtime *rt, struct err *err);
/* All shims have answered: takes away directories that no container has. */
void container_sweep(struct runtime *rt);

/* ---- container.c ---- */
/* Makes it known. -ENOMEM. */
int container_insert(struct runtime *rt, struct sandbox *s, struct container *c);
/* image_store_hold() for its own image and those mounted into it; goes on after a failure.
 * -ENOENT: one of them is not here, its id is in @ret_missing (borrowed). */
int container_hold_images(struct container *c, const char **ret_missing);
/* What its shim says of it: SHIM_EV_STATE, SHIM_EV_EXITED. 0 when it is recorded. */
int container_note_state(struct sandbox *s, const struct shim_message *m, const char *text);
/* Its shim is dead: its exit record tells how it ended, or else it is lost. */
void container_settle(struct container *c);
/* After a restart, and its shim has told all: @c goes if nobody will ever start it; or is settled
 * if the shim does not know it. @c may be freed. */
void container_recover(struct container *c);
/* Directory, cgroup and what else it left behind; @c is freed. */
void container_discard(struct container *c);
/* Its directory and its config.json. */
void container_remove_files(struct runtime *rt, const char *id);

/* ---- container-record.c ---- */
struct container *container_new(struct runtime *rt, const char *id, const char *sandbox_id);
int container_save(const struct container *c);
int container_from_record(struct runtime *rt, const char *id, const json_t *record,
                          struct container **ret, struct err *err);
/* <state_dir>/containers/<id>/exit, as the shim left it. -ENOENT; -EBADMSG. */
struct exit_record {
        int exit_code;
        bool oom_killed, start_failed;
        usec_t started_at, finished_at;
        char *message; /* owned */
};
int container_read_exit(const struct runtime *rt, const char *id, struct exit_record *ret,
                        struct err *err);
void exit_record_done(struct exit_record *e);
