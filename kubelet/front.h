/*
 * The agent's faces: HTTPS on :10250, /healthz on :10248, the unix socket. Answers come from the
 * pod manager and the runtime; listening sockets outlive a restart in systemd's fd store.
 */
#pragma once
#include "kubelet/context.h"
#include "kubelet/pod-manager.h"

struct certificate_counts;
struct front; /* opaque */
struct node_shutdown;
struct options;

struct front_options {
        const struct context *ctx;
        struct pod_manager *pods;
        const struct node_shutdown *shutdown;    /* NULL: not asked for */
        struct kube_session *session;            /* NULL: standalone */
        const char *run_dir;                     /* the socket is <run_dir>/skiff.sock */
        const char *cert_dir;                    /* of the serving certificate */
        json_t *(*node)(void *userdata);         /* answer to /v1/node */
        const struct certificate_counts *client; /* for metrics; NULL: not ours to renew */
        const struct options *agent;             /* the command line, for /v1/config */
        void *userdata;
};
int front_new(const struct front_options *options, struct front **ret, struct err *err);
struct front *front_free(struct front *f);
DEFINE_CLEANUP(struct front *, front_free)
/* A container ended: who follows its log is let go. */
void front_container_ended(struct front *f, const char *container_id);
