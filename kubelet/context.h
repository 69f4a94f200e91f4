/*
 * What every pod of this node shares: borrowed pointers, filled once by kubelet.c. A module takes
 * the ones it names in its own header where it can; the pod workers, which tie all of them
 * together, take this.
 */
#pragma once
#include "kubelet/crash-backoff.h"
#include "kubelet/events.h"
#include "kubelet/handler.h"
#include "kubelet/object-cache.h"
#include "kubelet/pod.h"
#include "kubelet/status-writer.h"
#include "kubelet/termination-counts.h"
#include "kubelet/volumes.h"
#include "runtime/runtime.h"

struct kubelet_config;
struct node_pressure;
struct pod_disks;
struct services;

struct context {
        sd_event *event;
        const struct kubelet_config *config;
        struct runtime *rt;
        struct volumes *volumes;
        struct node_volumes *node_volumes;
        struct handlers *handlers;
        struct events *events;
        struct termination_counts *ended; /* of all pods since the start */
        struct object_cache *objects;     /* NULL: standalone */
        struct status_writer *statuses;   /* NULL: standalone */
        struct services *services;        /* NULL: standalone */
        const struct node_pressure *pressure;
        const struct pod_disks *disks;   /* what pods hold on disk, as measured last */
        const char *node_name, *node_ip; /* node_ip: InternalIP */
        const char *root_dir, *pod_log_dir, *container_log_dir;
        struct crash_backoff_limits crash_limits;
        uint64_t node_memory_bytes; /* capacity */
        bool has_apparmor;
        const char *apparmor_default; /* profile of RuntimeDefault; NULL: not loaded */
        uint32_t possible_cpus, max_pods;
        usec_t started_at; /* CLOCK_REALTIME: when skiffd came up */
        void (*allocatable)(struct node_allocatable *ret, void *userdata);
        bool (*is_shutting_down)(void *userdata);
        void *userdata;
};

/* An event about a pod (@container NULL) or one of its containers. */
#define pod_event(ctx, pod, container, type, reason, ...)                                   \
        do {                                                                                \
                char _path[POD_FIELD_PATH_MAX];                                             \
                const struct event_object _o = pod_event_object((pod), (container), _path); \
                events_add((ctx)->events, &_o, (type), (reason), __VA_ARGS__);              \
        } while (0)
/* An event about the node. */
#define node_event(ctx, type, reason, ...)                                     \
        do {                                                                   \
                const struct event_object _n = { .kind = "Node",               \
                                                 .name = (ctx)->node_name,     \
                                                 .uid = (ctx)->node_name };    \
                events_add((ctx)->events, &_n, (type), (reason), __VA_ARGS__); \
        } while (0)
enum { POD_FIELD_PATH_MAX = 300 };
/* @path holds "spec.containers{web}" for as long as the object is used. */
struct event_object pod_event_object(const struct pod *pod, const struct pod_container *container,
                                     char path[static POD_FIELD_PATH_MAX]);
