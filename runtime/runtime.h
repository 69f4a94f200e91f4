/*
 * Images, sandboxes and containers: the one header of runtime/ that kubelet/ includes.
 *
 * The verbs are the CRI's. What waits is answered by callback from the event loop, never from
 * inside the call that asked; what is known already is read at once (statuses are plain values kept
 * up to date from the shims). The runtime has never heard of a Pod: what the caller wants to find
 * again it puts into labels, which are stored with the record and come back after a restart.
 */
#pragma once
#include <netinet/in.h>
#include <systemd/sd-event.h>

#include "base/usec.h"
#include "runtime/oci-spec.h"

struct runtime;    /* opaque */
struct runtime_op; /* opaque: something under way */

/* Ids: 64 lower-case hex digits and a NUL. */
enum { RUNTIME_ID_SIZE = 65 };

enum cgroup_driver { CGROUP_DRIVER_CGROUPFS, CGROUP_DRIVER_SYSTEMD };

struct runtime_options {
        const char *run_dir;     /* /run/skiff */
        const char *state_dir;   /* /var/lib/skiff */
        const char *libexec_dir; /* where skiff-shim and skiff-image are */
        const char *cgroup_root; /* below the v2 mount: "/" or "/node-1" */
        const char
                *instance; /* names veths, tables, units: [a-z0-9]{1,8}, from the run directory */
        enum cgroup_driver cgroup_driver;
        const char *registries_file; /* k3s's registries.yaml; may be absent */
        const char *seccomp_dir;     /* Localhost profiles */
        uint64_t log_max_size;       /* containerLogMaxSize, bytes */
        uint32_t log_max_files;      /* containerLogMaxFiles */
        uint32_t max_parallel_pulls; /* 0: no limit */
};

struct runtime_events {
        /* A container's state changed by itself (exited, lost with its shim). Read its status. */
        void (*on_container_changed)(const char *container_id, void *userdata);
        /* A sandbox's shim died, or its state changed. */
        void (*on_sandbox_changed)(const char *sandbox_id, void *userdata);
        void (*on_image_changed)(void *userdata); /* image list changed */
};

/**
 * runtime_new() - opens the state, finds living shims by their sockets, reads all records
 * @ready: called once when every shim found has answered (or failed to within 2 s); statuses are
 * right from then on. Unreadable records are set aside and logged. Both directories are flocked.
 */
int runtime_new(sd_event *event, const struct runtime_options *options,
                const struct runtime_events *events, void (*ready)(void *userdata), void *userdata,
                struct runtime **ret, struct err *err);
/* Lets go of everything; containers live on. */
struct runtime *runtime_free(struct runtime *rt);
DEFINE_CLEANUP(struct runtime *, runtime_free)
/* What this machine lacks ("cgroup controller 'memory': no memory limits apply"): a list for the
 * log and a node condition. */
char *const *runtime_missing_features(const struct runtime *rt);
/* Some of what was removed (containers, images) still takes its place on disk. */
bool runtime_is_removing(const struct runtime *rt);
/* The callback will not come; the operation ends by itself. NULL is fine. Returns NULL. */
struct runtime_op *runtime_op_abandon(struct runtime_op *op);

/* ---- network of the node ---- */
/* podCIDRs from the Node object, "10.244.1.0/24[,fd00::/64]". Idempotent; addresses handed out
 * stay. */
int runtime_set_pod_cidrs(struct runtime *rt, const char *cidrs, struct err *err);
bool runtime_network_is_ready(const struct runtime *rt, const char **ret_why_not);

/* ---- cgroups above containers (QoS and pod level) ---- */
/* Creates or updates "kubepods/burstable/pod<uid>" in cgroupfs spelling, translated for the systemd
 * driver. */
int runtime_cgroup_apply(struct runtime *rt, const char *path, const struct oci_resources *r,
                         struct err *err);
/* Kills what is left in it, then removes it and what is below. 0 also when it does not exist.
 * -EAGAIN: still dying. */
int runtime_cgroup_remove(struct runtime *rt, const char *path, struct err *err);

/* Time that was lost for want of something (the kernel's PSI). */
struct runtime_pressure {
        bool is_known;
        struct runtime_stall {
                uint64_t total_usec;
                double avg10, avg60, avg300; /* percent of the last so many seconds */
        } some, full;                        /* some tasks waited; all did */
};
/* Read now; UINT64_MAX: not known here, or no limit. */
struct runtime_usage {
        struct runtime_pressure cpu_pressure, memory_pressure, io_pressure;
        uint64_t cpu_usec; /* ever since it was made */
        uint64_t memory_current, memory_working_set, memory_anon, memory_limit; /* bytes */
        uint64_t page_faults, major_page_faults;
        uint64_t swap_current, swap_limit; /* bytes, without memory */
        uint64_t pids;
};
/* What is beyond that, for those who draw curves; UINT64_MAX likewise. */
struct runtime_device_io {
        uint32_t major, minor;
        uint64_t read_bytes, written_bytes, reads, writes;
};
struct runtime_detail {
        uint64_t cpu_user_usec, cpu_system_usec;
        uint64_t cpu_periods, cpu_throttled_periods, cpu_throttled_usec;
        uint64_t cpu_quota_usec, cpu_period_usec, cpu_weight;
        uint64_t memory_file, memory_mapped_file, memory_active_file, memory_inactive_file;
        uint64_t memory_peak, memory_low, oom_kills;
        uint64_t pids_max, processes, threads;
        struct runtime_device_io devices[8]; /* the first ones, where there are more */
        size_t n_devices;
        char path[512]; /* of the cgroup, below cgroup_root: "/kubepods/pod<uid>"; "" when longer */
};
/* Of "kubepods/burstable/pod<uid>". -ENOENT when it does not exist. */
int runtime_cgroup_detail(const struct runtime *rt, const char *path, struct runtime_detail *ret);
int runtime_machine_detail(struct runtime_detail *ret);
int runtime_cgroup_usage(const struct runtime *rt, const char *path, struct runtime_usage *ret);
/* Of the whole machine; limits are its sizes. */
int runtime_machine_usage(struct runtime_usage *ret);

/* ---- sandboxes ---- */
struct runtime_port {
        uint8_t protocol; /* IPPROTO_TCP, _UDP, _SCTP */
        uint16_t host_port, container_port;
        const char *host_ip; /* NULL: any */
};
struct sandbox_config {
        struct string_map labels;  /* opaque; borrowed during the call */
        const char *hostname;      /* of the pod's UTS namespace; ignored with host_network */
        const char *cgroup_parent; /* cgroupfs spelling; must exist (runtime_cgroup_apply) */
        bool host_network, host_pid, host_ipc, share_process_namespace;
        uint64_t shm_size;                /* bytes; 0: 64 MiB */
        const struct string_map *sysctls; /* or NULL */
        const struct runtime_port *ports;
        size_t n_ports;
};
enum sandbox_state {
        SANDBOX_STARTING,
        SANDBOX_READY,
        SANDBOX_NOT_READY /* stopped, or its shim died */
};
struct sandbox_status {
        const char *id;
        enum sandbox_state state;
        const struct string_map *labels;
        usec_t created_at;                                  /* CLOCK_REALTIME */
        char ipv4[INET_ADDRSTRLEN], ipv6[INET6_ADDRSTRLEN]; /* "" when none, or host network */
        bool host_network;
        pid_t shim_pid; /* 0: dead. Its network namespace is the pod's: /proc/<pid>/ns/net */
};
typedef void (*sandbox_done_fn)(int r, const char *sandbox_id, const struct err *err,
                                void *userdata);
int sandbox_run(struct runtime *rt, const struct sandbox_config *config, sandbox_done_fn done,
                void *userdata, struct runtime_op **ret, struct err *err);
typedef void (*runtime_done_fn)(int r, const struct err *err, void *userdata);
/* Kills all that is left in it, gives the address back, ends the shim. Idempotent. The record stays
 * (NOT_READY). */
int sandbox_stop(struct runtime *rt, const char *sandbox_id, runtime_done_fn done, void *userdata,
                 struct runtime_op **ret, struct err *err);
/* Forgets a stopped sandbox and its containers (records and upper directories). */
int sandbox_remove(struct runtime *rt, const char *sandbox_id, struct err *err);
const struct sandbox_status *sandbox_find(const struct runtime *rt,
                                          const char *sandbox_id); /* borrowed */
void sandbox_foreach(const struct runtime *rt,
                     void (*fn)(const struct sandbox_status *s, void *userdata), void *userdata);

/* A TCP connection to the sandbox's own loopback, 127.0.0.1 or else ::1. @fd: non-blocking, the
 * callee's. */
typedef void (*dial_done_fn)(int r, int fd, const struct err *err, void *userdata);
int sandbox_dial(struct runtime *rt, const char *sandbox_id, uint16_t port, dial_done_fn done,
                 void *userdata, struct runtime_op **ret, struct err *err);

/* ---- containers ---- */
struct container_config {
        struct string_map labels; /* opaque */
        const char *image_id;     /* "sha256:…" of an image in the store: its layers are the root.
                                     NULL: spec->root_path, absolute, is (a bundle of others) */
        const char *image_name;   /* as the user wrote it; comes back in the status */
        const struct oci_spec
                *spec;        /* complete but for root and cgroups path; borrowed during the call */
        const char *log_path; /* absolute: …/<container>/<restartCount>.log; its folder is made */
        bool stdin_open, stdin_once;
        uint32_t stop_sec; /* when the machine goes down it has so long to end by itself */
};
enum container_state { CONTAINER_CREATED, CONTAINER_RUNNING, CONTAINER_EXITED, CONTAINER_UNKNOWN };
struct container_status {
        const char *id, *sandbox_id;
        enum container_state state;
        const struct string_map *labels;
        const char *image_id, *image_name, *log_path;
        usec_t created_at, started_at, finished_at; /* CLOCK_REALTIME; 0: not yet (started_at 0 and
                                                       EXITED: never started) */
        int exit_code; /* 0 to 255; 128 + signal; 128 for a start that failed; 137 for a lost one */
        bool oom_killed, start_failed, lost;
        const char *message; /* of a failed start; else NULL */
        pid_t pid;
        uint32_t uid, gid; /* of the first process */
        const uint32_t *groups;
        size_t n_groups;
};
typedef void (*container_done_fn)(int r, const char *container_id, const struct err *err,
                                  void *userdata);
/* Everything up to execve. On failure nothing is left, and err->kind is ERR_CONTAINER_CONFIG or
 * _CREATE. */
int container_create(struct runtime *rt, const char *sandbox_id,
                     const struct container_config *config, container_done_fn done, void *userdata,
                     struct runtime_op **ret, struct err *err);
/* execve. On failure the container is EXITED with start_failed, and err->kind says which failure.
 */
int container_start(struct runtime *rt, const char *container_id, runtime_done_fn done,
                    void *userdata, struct runtime_op **ret, struct err *err);
/* To its first process; SIGKILL goes to the whole cgroup. -ESRCH when it does not run. The end is
 * told by on_container_changed. */
int container_kill(struct runtime *rt, const char *container_id, int signal, struct err *err);
/**
 * container_update() - other limits for a running container, in force on return
 * @resources: what is OCI_UNSET stays as it is
 * @label:     takes the place of the label of this name in its record; NULL: none
 * Return: 0; -ESRCH when it does not run; what the kernel says to a value.
 */
int container_update(struct runtime *rt, const char *container_id,
                     const struct oci_resources *resources, const struct string_map_entry *label,
                     struct err *err);
/* Forgets an exited container: record, upper directory. Its log files are the caller's. */
int container_remove(struct runtime *rt, const char *container_id, struct err *err);
int container_reopen_log(struct runtime *rt, const char *container_id, struct err *err);
const struct container_status *container_find(const struct runtime *rt, const char *container_id);
void container_foreach(const struct runtime *rt, const char *sandbox_id, /* NULL: all */
                       void (*fn)(const struct container_status *c, void *userdata),
                       void *userdata);
/*
 * config.json as recorded; new reference. It lies in memory (<run_dir>/configs), for its
 * environment holds Secrets: -ENOENT after a reboot.
 */
int container_inspect(const struct runtime *rt, const char *container_id, json_t **ret,
                      struct err *err);
/* Throws away what an exited container wrote to its root, and keeps all else of it. Idempotent. */
void container_drop_layer(struct runtime *rt, const char *container_id);
/* Where what it writes to its root lies on disk; owned. NULL: no such container, or no memory. */
char *container_layer_path(const struct runtime *rt, const char *container_id);
/* -ENOENT: it has no cgroup any more. */
int container_detail(const struct runtime *rt, const char *container_id,
                     struct runtime_detail *ret);
int container_usage(const struct runtime *rt, const char *container_id, struct runtime_usage *ret);

/* ---- exec ---- */
struct exec_result {
        int exit_code;      /* 128 + signal */
        bool timed_out;     /* killed at the deadline, by the shim */
        const char *output; /* stdout and stderr together, at most output_max; borrowed */
        size_t output_len;
};
typedef void (*exec_done_fn)(int r, const struct exec_result *result, const struct err *err,
                             void *userdata);
/* Probes and hooks: runs argv with the container's own identity, environment and confinement.
 * Time-out and cap live in the shim. */
int exec_sync(struct runtime *rt, const char *container_id, const char *const *argv,
              usec_t timeout_usec, size_t output_max, exec_done_fn done, void *userdata,
              struct runtime_op **ret, struct err *err);
struct exec_streams {
        int stdin_fd, stdout_fd, stderr_fd; /* ours now; -1: not asked for. With tty: stdin_fd is
                                               the terminal's master */
};
struct exec_options {
        const char *const *argv;
        bool want_stdin, want_stdout, want_stderr, tty;
};
/* @started: streams on success. @exited: when the process ended (after @started). */
int exec_stream(struct runtime *rt, const char *container_id, const struct exec_options *options,
                void (*started)(int r, const struct exec_streams *streams, const struct err *err,
                                void *userdata),
                void (*exited)(int exit_code, void *userdata), void *userdata,
                struct runtime_op **ret, struct err *err);
/*
 * The running container's own streams, of those @options want and it has (.argv is ignored): its
 * input, and copies of its outputs from now on, which end with it. @started: once; @ret is gone
 * after it. A copy that is not read in time ends early.
 */
int container_attach(struct runtime *rt, const char *container_id,
                     const struct exec_options *options,
                     void (*started)(int r, const struct exec_streams *streams,
                                     const struct err *err, void *userdata),
                     void *userdata, struct runtime_op **ret, struct err *err);

/* ---- images ---- */
struct image_info {
        const char *id;            /* "sha256:<64 hex>" of the image's config */
        char *const *repo_tags;    /* "docker.io/library/busybox:1.37" */
        char *const *repo_digests; /* "docker.io/library/busybox@sha256:…" */
        uint64_t size;             /* bytes on disk, all layers */
        usec_t pulled_at;          /* CLOCK_REALTIME */
        usec_t last_used_at; /* when a container that used it was removed; 0: none since the start
                              */
        unsigned n_users;    /* containers, also dead ones, that are made from it */
        /* of its config; T2 data */
        char *const *entrypoint, *const *cmd, *const *env;
        const char *user, *working_dir, *stop_signal;
};
/* @reference: name, name:tag, name@digest, or an id. Borrowed until the next image event. NULL: not
 * here. */
const struct image_info *image_find(const struct runtime *rt, const char *reference);
void image_foreach(const struct runtime *rt, void (*fn)(const struct image_info *i, void *userdata),
                   void *userdata);
/* "docker.io/library/busybox:latest" of "busybox"; ERR_INVALID_IMAGE_NAME. Owned. Pure. */
int image_normalize(const char *reference, char **ret, struct err *err);
struct image_auth { /* from imagePullSecrets; username and password, or a registry token */
        const char *username, *password, *identity_token;
};
struct image_imported { /* one image of an archive */
        const char *id;
        uint64_t size;
        char *const *names;   /* what it is called now, by this import; NULL: by none */
        char *const *refused; /* "'Name': why": names in the archive that are none; NULL */
};
struct image_pull_result {
        const char *id; /* of an import: of its last image */
        uint64_t size;
        int auth_index; /* of @auths: which one the registry wanted; -1: it was pulled without */
        const struct image_imported
                *imported; /* of an import: all of them, in the archive's order */
        size_t n_imported;
};
typedef void (*image_done_fn)(int r, const struct image_pull_result *result, const struct err *err,
                              void *userdata);
/* Identical pulls under way are joined. @auths are tried in order; with some there is no try
 * without one, as with kubelet. They go to the image's own registry alone, never to mirrors. The
 * registry is asked even when the image is here (that costs one HEAD). err->kind: ERR_IMAGE_PULL,
 * ERR_NOT_FOUND, ERR_UNAUTHORIZED, ERR_FORBIDDEN, ERR_TOO_MANY, ERR_IMAGE_VERIFY, ERR_BAD_INPUT (a
 * document or layer breaks a rule), ERR_NO_SPACE, ERR_REGISTRY_UNAVAILABLE (it is there and cannot
 * serve). */
int image_pull(struct runtime *rt, const char *reference, const struct image_auth *auths,
               size_t n_auths, image_done_fn done, void *userdata, struct runtime_op **ret,
               struct err *err);
/* An OCI layout or docker-save archive (tar) from a descriptor (taken); tags what it names, or
 * @name, which is for an archive of one image: several are ERR_BAD_INPUT then. */
int image_import(struct runtime *rt, int fd, const char *name, image_done_fn done, void *userdata,
                 struct runtime_op **ret, struct err *err);
/* Untags, and deletes what no tag and no container uses any more. ERR_NOT_FOUND; -EBUSY with a
 * sentence. */
int image_remove(struct runtime *rt, const char *reference, struct err *err);
/**
 * image_resolve_user() - "1000", "1000:100", "www-data", "app:app" or "" against the image's own
 * passwd and group The uid of a name, its gid and its supplementary groups. ERR_CONTAINER_CONFIG
 * with the sentence. Never NSS.
 */
struct image_user {
        uint32_t uid, gid;
        uint32_t *groups; /* owned */
        size_t n_groups;
        char *home; /* owned; of the image's passwd; NULL: it has none for this uid */
};
int image_resolve_user(const struct runtime *rt, const char *image_id, const char *user,
                       struct image_user *ret, struct err *err);
/* Supplementary groups of uid @uid in the image's /etc/group (SupplementalGroupsPolicy Merge). */
int image_groups_of(const struct runtime *rt, const char *image_id, uint32_t uid, uint32_t **ret,
                    size_t *ret_n, struct err *err);
/**
 * image_export() - an image as an OCI layout (tar), its layers uncompressed
 * @fd:   write end of a pipe, taken
 * @done: after its last byte
 * The image stays as long. ERR_IMAGE_NOT_PRESENT; ERR_IMAGE_VERIFY: the store is damaged;
 * ERR_TOO_MANY; -ENOTSUP: a layer cannot be written again (see image-check.h).
 */
int image_export(struct runtime *rt, const char *reference, int fd, runtime_done_fn done,
                 void *userdata, struct runtime_op **ret, struct err *err);
/* Reads every byte of an image (@reference NULL: of all) against its digests; what is found goes
 * into @fd line by line, as image_check() of image-check.h says. Otherwise as image_export(). */
int image_verify(struct runtime *rt, const char *reference, int fd, runtime_done_fn done,
                 void *userdata, struct runtime_op **ret, struct err *err);
struct image_layer_info {
        const char *diff_id;
        uint64_t size;     /* bytes on disk */
        unsigned n_images; /* images that have it */
};
/* The layers of an image, bottom first. */
void image_foreach_layer(const struct runtime *rt, const char *image_id,
                         void (*fn)(const struct image_layer_info *l, void *userdata),
                         void *userdata);
struct image_fs_usage {
        uint64_t used_bytes, capacity_bytes, available_bytes, inodes, inodes_free;
};
int image_fs_usage(const struct runtime *rt, struct image_fs_usage *ret);

/* ---- seccomp ---- */
/* RuntimeDefault, or a Localhost profile by relative name, for the capabilities that the container
 * has (a profile in Docker's format has rules for some only); fills spec->seccomp. */
int seccomp_runtime_default(uint64_t capabilities, struct oci_seccomp **ret, struct err *err);
int seccomp_localhost(const struct runtime *rt, const char *profile, uint64_t capabilities,
                      struct oci_seccomp **ret, struct err *err);
void oci_seccomp_free(struct oci_seccomp *s);
