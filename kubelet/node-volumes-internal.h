/*
 * The inside of the volume manager, shared by its two files: node-volumes.c (what there is on this
 * node) and volume-use.c (one volume of one pod, step by step).
 */
#pragma once
#include "base/list.h"
#include "base/map.h"
#include "kubelet/node-volumes.h"
#include "kubelet/volume-child.h"

struct driver_entry {
        const struct volume_driver *ops; /* NULL: there is none */
        void *driver;
        enum volume_spec_kind kind;
};

/* A driver's step, or a child of ours, that is under way; one at a time. */
struct volume_work {
        const struct driver_entry *driver;
        void *step;                 /* the driver's, for cancel() */
        struct volume_child *child; /* owned */
        bool is_busy;
};

struct node_volume { /* as long as somebody uses it, or it is staged */
        struct node_volumes *owner;
        const struct driver_entry *driver;
        char *unique_name;       /* owned */
        struct list uses;        /* of struct volume_use, owned */
        bool may_be_staged;      /* UNSTAGE is due when the last user has gone */
        bool is_staged;          /* by us: nothing more to do */
        int must_attach;         /* 1, 0, or negative: not known */
        struct volume_work work; /* UNSTAGE */
        char *problem;           /* owned; of the last UNSTAGE */
        struct backoff backoff;
        sd_event_source *timer; /* owned */
};

enum volume_phase {
        VOLUME_PHASE_FOUND,  /* on disk, from an earlier skiffd: nobody said yet what becomes of it
                              */
        VOLUME_PHASE_ATTACH, /* waits for the attach/detach controller, then the driver's ATTACH */
        VOLUME_PHASE_STAGE,
        VOLUME_PHASE_PUBLISH,
        VOLUME_PHASE_FINISH, /* fsGroup, or the map of a block device */
        VOLUME_PHASE_READY,
        VOLUME_PHASE_LEAVING, /* it is to be unpublished */
        VOLUME_PHASE_GONE,    /* nothing of it is left */
        _VOLUME_PHASE_MAX,
};

struct volume_use {
        struct node_volume *volume; /* which owns it */
        struct list_node node;
        char *pod_uid, *spec_name; /* owned */
        bool is_block;
        struct volume_spec *spec; /* owned; NULL: known from disk alone */
        struct pod *pod;          /* one reference; likewise */
        struct list holds;        /* of struct volume_hold, which are their owners' */
        enum volume_phase phase;
        bool may_be_published; /* UNPUBLISH is due before it goes */
        bool was_found;        /* … because an earlier skiffd did it */
        bool is_repeated;      /* PUBLISH of what is mounted */
        enum volume_step step; /* under way, or the last one */
        char *target;          /* owned; NULL: the driver has no folder */
        char *path, *device;   /* owned; the answer of PUBLISH */
        int device_fd;         /* owned; keeps the device from becoming another one; -1 */
        struct volume_work work;
        char *problem;       /* owned; NULL: none */
        bool is_waiting;     /* the problem is one to wait for: no event */
        bool is_backing_off; /* until the timer, or until a driver says that something changed */
        struct backoff backoff;
        sd_event_source *timer;  /* owned: the next try, or the next republish */
        sd_event_source *notify; /* owned: tells on_changed from the loop */
};

struct volume_hold {
        struct volume_use *use; /* NULL: it has gone */
        struct list_node node;
        struct volume_hold_ops ops;
        void *userdata;
};

struct node_volumes {
        sd_event *event; /* borrowed */
        struct node_volumes_options options;
        char *root_dir, *node_name; /* owned */
        int root_fd;                /* owned */
        struct driver_entry drivers[_VOLUME_SPEC_KIND_MAX];
        struct map *volumes; /* unique name -> struct node_volume, owned */
        bool is_settled;     /* which pods there are is known: what nobody uses may go */
        json_t *labels, *attached, *in_use; /* owned; of the Node, as seen last; NULL: not yet */
};

/* ---- node-volumes.c ---- */
/* The one of that name, made when there is none. -ENOMEM. */
int node_volume_get(struct node_volumes *n, const struct driver_entry *driver,
                    const char *unique_name, struct node_volume **ret);
/* Something of it ended: others of its users may go on; or it is unstaged, or freed. */
void node_volume_look(struct node_volume *v);
/* A step of a driver with stages is under way somewhere in it. */
bool node_volume_is_busy(const struct node_volume *v);
/* Asks the driver again whether it is to be attached. 1, 0, or negative with @err. */
int node_volume_must_attach(struct node_volume *v, const struct volume_spec *spec, struct err *err);
/* 0; -EAGAIN with a sentence: the Node does not say (yet) that it is in use and attached. */
int node_volume_is_attached(const struct node_volume *v, struct err *err);
void node_volumes_told_in_use(struct node_volumes *n);

/* ---- volume-use.c ---- */
/* One that was found on disk, or is to be. The volume owns it. */
int volume_use_make(struct node_volume *v, const char *pod_uid, const char *spec_name,
                    bool is_block, struct volume_use **ret);
void volume_use_destroy(struct volume_use *u);
/* Goes on with it, if nothing is under way and nothing is waited for. It may be GONE then. */
void volume_use_advance(struct volume_use *u);
/* What its pod is now. */
void volume_use_set_pod(struct volume_use *u, struct pod *pod);
/* It is to go; node_volume_look() begins with that. */
void volume_use_leave(struct volume_use *u);
/* It has been on the way in far enough to be in another pod's way. */
static inline bool volume_use_is_here(const struct volume_use *u)
{
        return u->may_be_published;
}
/* Starts a step of the driver; as volume_driver.start(), the work being .is_busy while it lasts. */
int volume_work_start(struct volume_work *w, const struct driver_entry *driver,
                      const struct volume_request *request, volume_done_fn done, void *userdata,
                      struct volume_result *ret, struct err *err);
void volume_work_end(struct volume_work *w); /* it has been told, or is cancelled */
