/*
 * A rig that plays skiffd for one shim: a template namespace, layers with busybox, cgroups, plans,
 * and the protocol. Everything is in namespaces of the test's own and below one tmpfs.
 */
#pragma once
#include <stdbool.h>
#include <sys/types.h>

#include "runtime/launch-plan.h"
#include "runtime/shim-protocol.h"

enum { RIG_TIMEOUT_MSEC = 30000 };
#define CAPS_DEFAULT UINT64_C(0xa80425fb) /* the default fourteen */

extern char rig_dir[64]; /* the tmpfs: layers/, containers/, log/, sandbox.sock */

struct rig_message {
        struct shim_message m;
        char text[SHIM_TEXT_MAX + 1];
        int fds[SHIM_MAX_FDS]; /* the caller's, once the message was taken */
        unsigned n_fds;
};

struct rig_sandbox { /* what rig_up() compiles; { 0 } is a sandbox of its own without a link */
        uint32_t flags;
        const char *hostname;
        bool link, ipv6;
        const char *sysctl[2];
};

struct rig_container {
        const char *const *argv;
        const char *const *env; /* NULL: PATH alone */
        const char *cwd;
        uint32_t flags; /* PLAN_OWN_PID and PLAN_OWN_CGROUP_NS are added unless .shared_pid */
        bool shared_pid;
        uint32_t uid, gid, umask;
        const uint32_t *groups;
        size_t n_groups;
        uint64_t caps; /* bounding, permitted, effective; 0: the default set */
        bool no_caps;
        bool bare; /* no mounts, devices and masks but what .extra adds */
        void (*extra)(struct plan_writer *w);
        const char *layers[3]; /* topmost first; all NULL: "busybox" */
        const char *root_path;
        int seccomp; /* memfd; 0: none */
        uint64_t log_max_size;
        uint32_t log_max_files;
        int32_t oom_score_adj; /* with PLAN_HAS_OOM_SCORE */
        uint32_t stop_sec;
};

struct rig_outcome {
        int r;         /* of create or start: 0, or the errno of SHIM_FAILED */
        unsigned kind; /* its enum err_kind */
        char text[SHIM_TEXT_MAX + 1];
        int exit_code;
        unsigned flags;             /* SHIM_STATE_… */
        char out[32768], err[4096]; /* of the log: the lines without their prefixes */
};

/* Starts a shim and waits until it is ready. Whatever an earlier test left goes first. */
void rig_up(const struct rig_sandbox *sandbox);
/* The same; answers its first message instead of insisting on SHIM_EV_READY. */
void rig_start(const struct rig_sandbox *sandbox, struct rig_message *ret);
/* SHUTDOWN, and looks that nothing is left. */
void rig_down(void);
extern char rig_host_link[16]; /* the host's end of the last sandbox's link */
int rig_template(void);        /* the template namespace; borrowed */
extern pid_t rig_shim;         /* 0: none runs */
extern int rig_connection;

/* A fresh container id. */
const char *rig_new_id(void);
void rig_compile(const char *id, const struct rig_container *c, struct plan_writer *w);
/* Requests: -errno of SHIM_FAILED with kind and text in @ret (may be NULL), or 0. */
int rig_request(uint16_t verb, const char *id, int64_t value, const int *fds, unsigned n_fds,
                struct rig_message *ret);
int rig_create(const char *id, const struct rig_container *c, struct rig_message *ret);
int rig_begin_exec(const char *id, const char *const *argv, uint16_t flags, int64_t timeout_msec,
                   int64_t cap, uint64_t *ret_request, struct rig_message *ret);
/* The same without waiting for the answer; returns the request's number. */
uint64_t rig_send_exec(const char *id, const char *const *argv, uint16_t flags,
                       int64_t timeout_msec, int64_t cap);
/* SHIM_ATTACH; the descriptors come in @ret. */
int rig_attach(const char *id, uint16_t flags, struct rig_message *ret);
/* Waits for a message: of @verb, and of @id or @request unless NULL or 0. */
void rig_wait(uint16_t verb, const char *id, uint64_t request, struct rig_message *ret);
/* false: none of that kind came within @msec. */
bool rig_poll(uint16_t verb, const char *id, uint64_t request, int msec, struct rig_message *ret);
void rig_reconnect(void);
void rig_disconnect(void);

/* Create, start, wait, read the log, delete. */
void rig_run(const struct rig_container *c, struct rig_outcome *ret);
/* Captured exec with an end. */
struct rig_exec_outcome {
        int r;
        unsigned kind;
        int exit_code;
        bool timed_out;
        size_t len;
        char output[65536], text[SHIM_TEXT_MAX + 1];
};
void rig_exec(const char *id, const char *const *argv, int64_t timeout_msec, int64_t cap,
              struct rig_exec_outcome *ret);

/* { "sh", "-c", script }; good for a while. */
const char *const *rig_sh(const char *script);
const char *rig_path(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void rig_write(const char *path, const char *text, mode_t mode);
/* To a file of the kernel's. */
void rig_write_kernel(const char *path, const char *text);
/* A file whole; NUL-terminated, cut at @size. -1: it is not there. */
ssize_t rig_read(const char *path, char *buf, size_t size);
const char *rig_log_path(const char *id);
void rig_wait_for_log(const char *id, const char *text);
const char *rig_cgroup_path(const char *id);
/* An empty layer directory of that name. */
const char *rig_layer(const char *name);

void rig_mount(struct plan_writer *w, enum plan_mount_kind kind, uint32_t flags, uint64_t attr,
               const char *source, const char *destination, const char *data);
