/*
 * The Node object and its status as JSON. Pure: what is true now comes in, an object comes out.
 * Source: pkg/kubelet/kubelet_node_status.go, pkg/kubelet/nodestatus/setters.go.
 */
#pragma once
#include <jansson.h>

#include "base/err.h"
#include "base/json.h"
#include "base/usec.h"
#include "kubelet/node-facts.h"

struct node_reservation { /* kubeReserved + systemReserved + hard eviction */
        int64_t cpu_milli, memory_bytes, ephemeral_bytes;
};

struct node_input {
        const char *name, *address, *provider_id; /* provider_id NULL: none */
        const struct node_facts *facts;
        const struct string_map *labels; /* --node-labels; or NULL */
        const json_t *taints;            /* registerWithTaints, an array; or NULL */
        uint32_t max_pods;
        uint16_t kubelet_port;
        uint64_t ephemeral_bytes; /* size of the file system of the root directory */
        struct node_reservation reserved;
        bool controller_attach_detach;
        const char *const *runtime_handlers; /* sorted, NULL at the end; or NULL */
        const json_t *images;         /* status.images as built by node_images_add(), or NULL */
        const json_t *volumes_in_use; /* an array of names; or NULL */
        const json_t *shown;          /* status as the server has it; or NULL */
        /* conditions */
        bool memory_pressure, disk_pressure, pid_pressure;
        const char *not_ready; /* NULL: Ready; else the joined errors */
        const char *warning;   /* appended to the Ready message: what the machine lacks; or NULL */
        usec_t now;            /* CLOCK_REALTIME */
};

/* status; new reference. @previous: the status written last (for lastTransitionTime), or NULL. */
json_t *node_status_build(const struct node_input *in, const json_t *previous);
/* The whole object for registration; new reference. Steals nothing. */
json_t *node_object_build(const struct node_input *in);
/* Does a status that the server has lack what node_status_build() makes of others' extended
 * resources? */
bool node_extended_resources_differ(const json_t *status);
/* Equal but for heartbeat times? */
bool node_status_equal(const json_t *a, const json_t *b);
/* The body of a strategic merge patch of the status sub-resource. New reference. */
json_t *node_status_patch(const json_t *status);
/* Allocatable, for admission and downward API: bytes and milli-CPU. */
int64_t node_allocatable_cpu_milli(const struct node_input *in);
int64_t node_allocatable_memory(const struct node_input *in);
int64_t node_allocatable_ephemeral(const struct node_input *in);
/* No more may be reserved than there is: -EINVAL naming the resource and both amounts. */
int node_reservation_check(const struct node_input *in, struct err *err);
/* One entry of status.images: digests first, then tags, five names at most. 0 or -ENOMEM. */
int node_images_add(json_t *images, char *const *digests, char *const *tags, uint64_t size);
/* Labels refused by NodeRestriction: first bad key of @labels, or NULL. */
const char *node_labels_refused(const struct string_map *labels);
