/*
 * What this machine needs to be a node, judged from plain facts: ok, warning or problem, each with
 * what to do. Pure; cli/doctor-facts.c gathers the facts.
 */
#pragma once
#include <jansson.h>

#include "base/text.h"
#include "base/usec.h"

enum doctor_level { DOCTOR_OK, DOCTOR_WARNING, DOCTOR_PROBLEM, _DOCTOR_LEVEL_MAX };
extern const char *const doctor_level_names[_DOCTOR_LEVEL_MAX];

/* Texts are owned, NULL: could not be read. */
struct doctor_facts {
        char *release;     /* of the kernel */
        char *cmdline;     /* /proc/cmdline */
        char *mounts;      /* /proc/mounts */
        char *controllers; /* cgroup.controllers of the v2 root; NULL: none is mounted */
        char *filesystems; /* /proc/filesystems */
        char *model;       /* /proc/device-tree/model */
        char *swaps, *resolv_conf, *modules;
        char *tcp, *tcp6; /* /proc/net/tcp, tcp6 */
        int64_t ip_forward, inotify_instances, inotify_watches, pid_max, user_namespaces; /* -1 */
        bool has_seccomp, has_nftables;
        bool clock_known, clock_synchronized;
        char **programs;   /* names of running processes that matter here; sorted, each once */
        char **interfaces; /* of the network */
        char **remains;    /* paths of other runtimes that exist */
        struct doctor_disk {
                char *path;
                uint64_t free, size, inodes_free, inodes; /* size 0: it does not exist */
        } * disks;                                        /* owned */
        size_t n_disks;
        struct doctor_certificate {
                char *path;
                char *trouble;  /* owned; NULL: it was read */
                usec_t expires; /* CLOCK_REALTIME */
        } * certificates;       /* owned */
        size_t n_certificates;
        json_t *node;         /* what skiffd says of itself (/v1/node); NULL: it does not answer */
        char *daemon_trouble; /* why not */
        bool is_root;
        usec_t now;
};
void doctor_facts_done(struct doctor_facts *f);
/* @root: "/", or a tree with copies of such files, for tests; what is no file is not looked at
 * then. */
int doctor_facts_read(const char *root, struct doctor_facts *ret);
/* The expiry of the first certificate in a PEM text; 0, or -EINVAL. Pure. */
int certificate_expiry(const char *pem, size_t n, usec_t *ret);

typedef int (*doctor_fn)(enum doctor_level level, const char *area, const char *what,
                         const char *help, void *userdata);
/* Tells @fn each finding; help is NULL for what is fine. Negative from @fn ends it. */
int doctor_judge(const struct doctor_facts *f, doctor_fn fn, void *userdata);
