/*
 * The launch plan: what skiffd compiled from an OCI spec for a shim that parses no JSON.
 *
 * A flat sequence of records { type, length, payload }, each padded to 8 bytes, in a sealed memfd,
 * opened by one PLAN_HEADER. Strings are NUL-terminated within their payload. The reader checks
 * every bound, so that a plan can be read by a newer or older shim: an unknown type is an error
 * there, never skipped. Pure, and linked into the static shim.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PLAN_MAGIC = 0x4b534650, PLAN_VERSION = 1, PLAN_MAX = 8 << 20 };

enum plan_type {
        PLAN_HEADER = 1, /* struct plan_header */
        /* sandbox */
        PLAN_SANDBOX,  /* struct plan_sandbox */
        PLAN_HOSTNAME, /* string */
        PLAN_LINK,     /* struct plan_link */
        PLAN_ADDRESS,  /* struct plan_address, one per family */
        PLAN_SYSCTL,   /* two strings: "net/ipv4/ip_unprivileged_port_start", "0" */
        /* container and exec */
        PLAN_CONTAINER, /* struct plan_container */
        PLAN_ID,        /* string: container id */
        PLAN_ARG,       /* string, in order */
        PLAN_ENV,       /* string "K=V", in order */
        PLAN_CWD,       /* string */
        PLAN_GROUP,     /* uint32_t[] supplementary groups */
        PLAN_RLIMIT,    /* struct plan_rlimit */
        PLAN_LAYER_DIR, /* string: absolute directory that holds the layers */
        PLAN_LAYER,     /* string: a layer's directory name below it, short, without ':', ',', '\\';
                           topmost first */
        PLAN_UPPER_DIR, /* string: absolute directory holding "upper" and "work", both there and
                           empty, never mounted before */
        PLAN_ROOT_PATH, /* string: instead of layers: a plain directory is the root (a bundle of
                           others) */
        PLAN_MOUNT,     /* struct plan_mount, then strings: source, destination, data */
        PLAN_MASKED,    /* string */
        PLAN_READONLY,  /* string */
        PLAN_DEVICE,    /* struct plan_device, then string: path */
        PLAN_LOG,       /* struct plan_log, then string: absolute path */
        PLAN_APPARMOR,  /* string */
        PLAN_NAMESPACE_PATH, /* struct { uint32_t clone_flag; uint32_t pad; }, then string: join
                                instead of the sandbox's or a fresh one */
        _PLAN_TYPE_MAX,
};

struct plan_header {
        uint32_t magic, version;
        uint64_t total; /* bytes of the whole plan */
};

enum {
        PLAN_HOST_NETWORK = 1,
        PLAN_HOST_PID = 2,
        PLAN_HOST_IPC = 4,
        PLAN_SHARED_PID = 8,
        PLAN_HOST_UTS = 16
};
struct plan_sandbox {
        uint32_t flags, pad;
        uint64_t shm_size;
};
struct plan_link { /* veth; the host's end gets a host route to each address */
        char host_name[16], pod_name[16];
        uint32_t mtu, pad;
        uint32_t gateway4;    /* network order; link-local next hop answered by proxy ARP or a
                                 permanent neighbour: 169.254.1.1 */
        uint8_t gateway6[16]; /* fe80::1 */
        uint8_t host_mac[6], pod_mac[6];
};
struct plan_address {
        uint32_t family, prefix; /* AF_INET, 32; AF_INET6, 128 */
        uint8_t address[16];     /* network order */
};

enum {
        PLAN_TERMINAL = 1,
        PLAN_STDIN = 2,
        PLAN_NO_NEW_PRIVILEGES = 4,
        PLAN_READONLY_ROOT = 8,
        PLAN_HAS_OOM_SCORE = 16,
        PLAN_OWN_PID = 32, /* fresh PID namespace; else the sandbox's (shared) or the host's by the
                              sandbox's flags */
        PLAN_OWN_CGROUP_NS = 64,
        PLAN_HAS_UMASK = 128,
        PLAN_STDIN_ONCE = 256,
        PLAN_OWN_IPC = 512,
        PLAN_OWN_UTS = 1024,
        PLAN_OWN_NET = 2048, /* bundles of others; else the sandbox's */
};
struct plan_container {
        uint32_t flags, uid, gid, umask;
        int32_t oom_score_adj;
        uint32_t root_propagation; /* MS_PRIVATE, MS_SLAVE, MS_SHARED; 0: private */
        uint32_t stop_sec;         /* time to end in when the machine goes down */
        uint32_t pad;
        uint64_t cap_bounding, cap_effective, cap_inheritable, cap_permitted, cap_ambient;
};
struct plan_rlimit {
        uint32_t resource, pad;
        uint64_t soft, hard;
};

enum plan_mount_kind {
        PLAN_MOUNT_BIND = 1,
        PLAN_MOUNT_TMPFS,
        PLAN_MOUNT_PROC,
        PLAN_MOUNT_SYSFS,
        PLAN_MOUNT_MQUEUE,
        PLAN_MOUNT_DEVPTS,
        PLAN_MOUNT_CGROUP,
        PLAN_MOUNT_SHM,  /* the sandbox's /dev/shm */
        PLAN_MOUNT_IMAGE /* layers below PLAN_LAYER_DIR without an upper directory: their names
                            are the data, "top:…:bottom"; the source is a path in it, or "" */
};
enum {
        PLAN_MOUNT_RECURSIVE = 1,
        PLAN_MOUNT_RECURSIVE_READONLY = 2,
        PLAN_MOUNT_COPY_UP = 4,
        PLAN_MOUNT_CREATE_SOURCE = 8, /* hostPath without type: make a missing directory */
        /* what the source of a bind must be; 0: anything */
        PLAN_MOUNT_SOURCE_DIRECTORY = 0x10,
        PLAN_MOUNT_SOURCE_FILE = 0x20,
        PLAN_MOUNT_SOURCE_SOCKET = 0x30,
        PLAN_MOUNT_SOURCE_CHAR_DEVICE = 0x40,
        PLAN_MOUNT_SOURCE_BLOCK_DEVICE = 0x50,
        PLAN_MOUNT_SOURCE_TYPE = 0x70, /* their mask */
        PLAN_MOUNT_FLAGS = 0x7f
};
struct plan_mount {
        uint32_t kind, flags;
        uint64_t attr_set, attr_clear; /* MOUNT_ATTR_* */
        uint64_t propagation;          /* MS_PRIVATE, MS_SLAVE, MS_SHARED; 0: private */
};
struct plan_device {
        uint32_t type; /* S_IFCHR, S_IFBLK, S_IFIFO */
        uint32_t mode, uid, gid, major, minor;
};
struct plan_log {
        uint64_t max_size;
        uint32_t max_files, pad;
};

/* Writing (skiffd). plan_add() with parts: payload = a followed by b. -ENOMEM, -EFBIG. */
struct plan_writer {
        uint8_t *data; /* owned */
        size_t len, cap;
};
void plan_writer_done(struct plan_writer *w);
int plan_begin(struct plan_writer *w);
int plan_add(struct plan_writer *w, enum plan_type type, const void *a, size_t a_len, const void *b,
             size_t b_len);
int plan_add_string(struct plan_writer *w, enum plan_type type, const char *s);
int plan_finish(struct plan_writer *w); /* fills in the header's total */

/* Reading (shim). Payloads point into @data. */
struct plan_reader {
        const uint8_t *data;
        size_t len, at;
};
struct plan_record {
        enum plan_type type;
        const void *payload;
        size_t len;
};
/* 0; -EBADMSG when the header is wrong. */
int plan_open(struct plan_reader *r, const void *data, size_t len);
/* 1: *ret is the next record; 0: end; -EBADMSG: it lies. */
int plan_next(struct plan_reader *r, struct plan_record *ret);
/* The string(s) in a payload from @at on; NULL when not NUL-terminated within it. Advances *at. */
const char *plan_string(const struct plan_record *r, size_t *at);
/* The payload as a struct of @size, or NULL when it is shorter. */
const void *plan_struct(const struct plan_record *r, size_t size);
