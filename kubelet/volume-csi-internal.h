/*
 * The inside of volume-csi, shared by its two files: volume-csi.c (the steps and the driver's
 * calls) and volume-csi-inputs.c (what they need of the API, and of the pod).
 */
#pragma once
#include "kubelet/volume-csi.h"

struct volume_csi_kind {
        sd_event *event;              /* borrowed */
        struct kube_session *session; /* borrowed */
        struct csi *csi;              /* borrowed */
        char *root_dir, *node_name;   /* owned */
        int root_fd;                  /* owned */
};

struct csi_work;
/* Return: 1: done, the next part is due; 0: csi_work_goes_on() comes; negative: the step fails. */
typedef int (*csi_part_fn)(struct csi_work *w, struct err *err);

struct csi_work { /* one step that is under way */
        struct volume_csi_kind *kind;
        enum volume_step step;
        const csi_part_fn *parts;
        size_t at;                       /* the part that is due or under way */
        struct volume_spec *spec;        /* one reference; NULL in UNPUBLISH and UNSTAGE */
        struct pod *pod;                 /* likewise */
        char *driver, *handle;           /* owned */
        char *spec_name, *pod_uid;       /* owned; NULL in UNSTAGE, but for block volumes */
        char *target, *staging, *device; /* owned; absolute */
        bool is_block, is_persistent, is_repeated, is_uncertain;
        uint32_t capabilities;
        struct string_map publish_context, secrets, context; /* owned */
        json_t *tokens;         /* owned; audience -> token; NULL: none yet */
        size_t n_tokens;        /* asked so far */
        struct grpc_call *rpc;  /* owned */
        struct kube_call *call; /* owned */
        volume_done_fn done;
        void *userdata;
};
/* From a callback: the part that was under way has ended, @r negative: in vain. Frees @w when the
 * step has ended. */
void csi_work_goes_on(struct csi_work *w, int r, struct err *err);

/* Parts that read something: VolumeAttachment -> .publish_context, Secret -> .secrets. */
int csi_read_attachment(struct csi_work *w, struct err *err);
int csi_read_secret(struct csi_work *w, const char *namespace, const char *name, struct err *err);
int csi_get_tokens(struct csi_work *w, struct err *err);
/* Attributes, pod information and tokens -> .context (the tokens perhaps to .secrets). */
int csi_add_pod_info(struct csi_work *w, struct err *err);

/* Removes what the driver should have removed. 0; -EBUSY: it is still mounted there. */
int csi_remove_target(int dir_fd, const char *path, struct err *err);
void csi_wipe(struct strbuf *b);
void csi_wipe_map(struct string_map *m);
