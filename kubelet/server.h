/*
 * The kubelet's servers: HTTPS on :10250 for the API server, metrics collectors and
 * administrators (/healthz, /pods, /runningpods, /configz, /statusz, /flagz, /containerLogs, /logs,
 * /exec, /attach, /run, /portForward, /metrics, /stats/summary), and /healthz alone on
 * 127.0.0.1:10248.
 *
 * Every request to :10250, also for a path that does not exist, is authenticated and authorized
 * before anything else is said about it (server-auth).
 * Source: pkg/kubelet/server/server.go.
 */
#pragma once
#include "base/http-server.h"
#include "base/kube-client.h"
#include "base/text.h"
#include "kubelet/server-route.h"

struct kubelet_config;
struct options;
struct server; /* opaque */

enum server_lookup { SERVER_FOUND, SERVER_NO_POD, SERVER_NO_CONTAINER };

/* What the server asks the rest of the agent; called from the loop, answered at once. */
struct server_ops {
        /* v1.PodList of the pods of this node, with their newest status; new reference, or NULL
         * without memory. */
        json_t *(*list_pods)(void *userdata);
        /* Likewise, as the runtime has them: names, and the containers that run. */
        json_t *(*list_running_pods)(void *userdata);
        /* @ret_status: v1.PodStatus as of now, new reference; set for SERVER_FOUND. */
        enum server_lookup (*pod_status)(const char *namespace, const char *pod,
                                         const char *container, json_t **ret_status,
                                         void *userdata);
        /*
         * The log of an instance: an absolute path below pod_logs_dir, owned by the caller.
         * -ENOENT: the instance is gone.
         */
        int (*find_log)(const char *container_id, char **ret_path, bool *ret_is_running,
                        void *userdata);
        /* Answers @x: a command in a container, or its own streams (@attach). @uid: of the pod, or
         * NULL. */
        void (*exec)(struct http_exchange *x, const char *namespace, const char *pod,
                     const char *uid, const char *container, bool attach, void *userdata);
        /* Answers @x: the query's cmd in a container, and what it printed. */
        void (*run)(struct http_exchange *x, const char *namespace, const char *pod,
                    const char *uid, const char *container, void *userdata);
        /* Answers @x: connections to a pod's loopback. */
        void (*port_forward)(struct http_exchange *x, const char *namespace, const char *pod,
                             const char *uid, void *userdata);
        /* Prometheus' text for one of ROUTE_METRICS*; owned, NULL without memory. */
        char *(*metrics)(enum server_route route, void *userdata);
        /* stats v1alpha1's Summary; new reference, or NULL without memory. */
        json_t *(*stats_summary)(bool only_cpu_and_memory, void *userdata);
        /* False: no sync for too long. NULL: always true. */
        bool (*is_sync_loop_healthy)(void *userdata);
        void *userdata;
};

struct server_options {
        const struct kubelet_config *config; /* borrowed */
        const char *node_name;               /* borrowed */
        const char *pod_logs_dir;            /* borrowed */
        const char *system_logs_dir;         /* what /logs shows: /var/log; borrowed */
        const char *pki_dir; /* kubelet.crt and kubelet.key are made here, self-signed, when
                                the configuration names no certificate; borrowed */
        const char *serving_certificate; /* certificate and key in one file that may come later:
                                            serverTLSBootstrap; NULL: the above; borrowed */
        const char *const *addresses;    /* of the node, for that certificate; NULL-terminated */
        struct kube_session *session;    /* borrowed; NULL: standalone */
        const struct options *agent;     /* the command line, for /flagz; borrowed; may be NULL */
        int api_fd, healthz_fd; /* listening, from the fd store; -1: they are made. Owned */
        struct server_ops ops;
};
/* Listens; both servers are left out where the configuration says so. */
int server_new(sd_event *event, const struct server_options *options, struct server **ret,
               struct err *err);
struct server *server_free(struct server *s);
DEFINE_CLEANUP(struct server *, server_free)

/* kubelet_http_*, and how the connections of :10250 fare (skiff_http_*). */
void server_add_metrics(const struct server *s, struct strbuf *b);
/* The container ended and its log is complete: who follows it is let go. */
void server_container_ended(struct server *s, const char *container_id);
/* For the fd store; -1: not listening. Borrowed. */
int server_api_fd(const struct server *s);
int server_healthz_fd(const struct server *s);
