/*
 * What runtime/'s own files share: the layout of struct runtime, and the operation handle that
 * callers of runtime.h hold while something is under way. Nobody outside runtime/ includes this.
 */
#pragma once
#include "base/list.h"
#include "base/map.h"
#include "runtime/runtime.h"

enum { BOOT_ID_SIZE = 37 };

struct runtime {
        sd_event *event;                /* own reference */
        struct runtime_options options; /* its strings are owned copies */
        struct runtime_events events;
        void *userdata; /* for events and ready */
        void (*ready)(void *userdata);
        sd_event_source *ready_source; /* fires ready(): all shims answered, or 2 s are over */
        bool is_ready;                 /* it has fired: changes are told from now on */

        int run_fd, state_fd;            /* option directories; flocked as long as they are open */
        int sandboxes_fd, containers_fd; /* state_dir/sandboxes, state_dir/containers */
        int configs_fd; /* run_dir/configs: <container id>.json; memory, for env holds Secrets */
        char boot_id[BOOT_ID_SIZE]; /* of the kernel: records of another one are history */
        char **missing_features;    /* owned; see runtime_missing_features() */

        struct map *sandboxes, *containers; /* id -> struct sandbox *, struct container *; owned */
        struct trash *trash;                /* owned: <state_dir>/trash */
        struct cgroup_tree *cgroups;        /* owned: cgroup.c */
        struct pod_network *network;        /* owned: sandbox-net.c */
        struct host_ports *host_ports;      /* owned: host-port.c */
        struct source_guard *source_guard;  /* owned: source-guard.c */
        struct shim_launcher *launcher;     /* owned: shim-client.c */
        struct seccomp_store *seccomp;      /* owned: seccomp-store.c */
        struct image_store *images;         /* owned: image-store.h */
};

/*
 * Something under way, the first member of whatever its maker keeps about it. The maker frees it
 * after its callback; the caller's pointer is good until then, or until runtime_op_abandon().
 */
struct runtime_op {
        bool abandoned; /* the caller has lost interest: do not call back */
        void (*on_abandon)(struct runtime_op *op); /* or NULL: nothing to do early */
};

/* "cgroup controller 'memory': no memory limits apply". Said once, to the log too. */
int runtime_add_missing_feature(struct runtime *rt, const char *fmt, ...) _printf_(2, 3);

/* Tell the owner of the runtime, once it is ready. */
void runtime_notify_container(struct runtime *rt, const char *container_id);
void runtime_notify_sandbox(struct runtime *rt, const char *sandbox_id);
/* Some shim has told its inventory: was it the last one? */
void runtime_check_ready(struct runtime *rt);

/* 64 random hex digits. */
void runtime_make_id(char id[static RUNTIME_ID_SIZE]);
/* Takes away a directory below state_dir, at once or (when it holds much) by a child process. */
void runtime_remove_directory(struct runtime *rt, int dir_fd, const char *name);
