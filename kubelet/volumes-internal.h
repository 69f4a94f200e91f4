/*
 * Between the volumes of a pod (volumes.c) and each one of them (volume.c). All pointers are
 * borrowed unless said otherwise.
 */
#pragma once
#include "kubelet/volumes.h"

#include "base/usec.h"
#include "kubelet/volume-claim.h"
#include "kubelet/volume-host-path.h"

struct volumes {
        sd_event *event;              /* borrowed */
        struct kube_session *session; /* borrowed; NULL: standalone */
        struct object_cache *objects; /* borrowed */
        struct node_volumes *nodes;   /* borrowed */
        char *root_dir, *memory_dir;  /* owned */
        int root_fd, memory_fd;       /* owned */
        struct trash *trash;          /* owned; on root_dir's file system */
        void (*allocatable)(struct node_allocatable *ret, void *userdata);
        void *userdata;
};

struct source_input {                           /* what one source of a volume waits for */
        const struct pod_volume_source *source; /* of the pod */
        struct object_ref *object;              /* owned; or NULL */
        struct token *token;                    /* owned; or NULL */
};

struct volume {
        struct pod_volumes *owner;
        const struct pod_volume *spec; /* of the owner's pod */
        struct source_input *inputs;   /* owned */
        size_t n_inputs;
        struct host_path_check *check; /* owned */
        struct volume_claim *claim;    /* owned; of what a driver mounts */
        char *path;                    /* owned; where it is, or will be */
        bool ready;
        char *problem;          /* owned; NULL: none */
        struct backoff backoff; /* of telling the problem */
        sd_event_source *timer; /* owned */
};

struct pod_volumes {
        struct volumes *volumes; /* borrowed */
        struct pod *pod;         /* one reference */
        struct volume *items;    /* owned; the used ones */
        size_t n_items;
        struct pod_volumes_ops ops;
        void *userdata;
        sd_event_source *notify; /* owned; tells ops.on_changed from the loop */
};

/* Begins: what it waits for is asked for. Its answers come from the loop. 0, or negative with @err.
 */
int volume_start(struct volume *v, struct pod_volumes *pv, const struct pod_volume *spec,
                 struct err *err);
void volume_done(struct volume *v);
/* Writes what it is made of, when all of it is here; it is ready then, or has a problem. */
void volume_write(struct volume *v);
void volume_set_problem(struct volume *v, const char *sentence);
