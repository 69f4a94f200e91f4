/*
 * What a request to :10250 asks for: which handler, and what somebody must be allowed to do for it.
 * Pure.
 */
#pragma once
#include "base/cleanup.h"

enum server_route {
        ROUTE_NONE,    /* 404 as for a path nobody registered */
        ROUTE_UNKNOWN, /* 404 below a path that exists */
        ROUTE_HEALTHZ,
        ROUTE_PODS,
        ROUTE_CONTAINER_LOGS,
        ROUTE_EXEC,
        ROUTE_ATTACH,
        ROUTE_PORT_FORWARD,
        ROUTE_METRICS,          /* about the agent */
        ROUTE_METRICS_RESOURCE, /* about pods, for metrics-server */
        ROUTE_METRICS_PROBES,
        ROUTE_METRICS_CADVISOR, /* about cgroups */
        ROUTE_STATS_SUMMARY,
        ROUTE_RUNNING_PODS,
        ROUTE_CONFIGZ,
        ROUTE_STATUSZ,
        ROUTE_FLAGZ,
        ROUTE_RUN,
        ROUTE_LOGS, /* /var/log */
        ROUTE_CHECKPOINT,
        ROUTE_PPROF, /* these two only to be refused as the kubelet refuses them */
        ROUTE_DEBUG_FLAGS,
};

struct server_request {
        enum server_route route;
        const char *verb;            /* of the access asked for; "" for an unknown method */
        const char *subresources[3]; /* tried in this order, NULL-terminated; one yes is enough */
        bool is_method_ok;           /* false: 405 */
        bool is_debug;               /* 405 unless enableDebuggingHandlers */
        char *text;                  /* owned; what the names below point into */
        const char *names[4]; /* namespace, pod, [container], [pod's uid]; or { check } of healthz;
                                 or { path below /var/log } of logs */
};

/* @path: decoded and normal, as from http_exchange_path(). 0 or -ENOMEM. */
int server_request_parse(const char *method, const char *path, struct server_request *ret);
/* For the header Allow: "GET", "POST" or "GET, POST". */
const char *server_route_methods(enum server_route route);
void server_request_done(struct server_request *r);
