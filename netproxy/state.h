/*
 * What the API server has told us: Services with their EndpointSlices, Nodes, ServiceCIDRs; and
 * which Services changed since they were last written into the tables. Pure but for the log.
 */
#pragma once
#include "base/list.h"
#include "base/map.h"
#include "netproxy/config.h"
#include "netproxy/node.h"
#include "netproxy/ruleset-diff.h"

enum { FAMILIES = 2 }; /* 0: IPv4, 1: IPv6 */
static inline int family_of_index(size_t i)
{
        return i == 0 ? AF_INET : AF_INET6;
}

struct known_service {
        char *key;                      /* owned; "namespace/name" */
        struct service *service;        /* owned; NULL: only its slices are known */
        struct endpoint_slice **slices; /* owned array of borrowed slices */
        size_t n_slices;
        struct ruleset_owner owners[FAMILIES];
        struct list_node dirty; /* changed since it was applied */
};

/* When what changed slices was seen by their controller, of changes that are not in force yet. */
struct triggers {
        usec_t *items; /* owned; CLOCK_REALTIME */
        size_t n;
};

/* Something of an object is left out: one sentence for whoever wrote it. */
typedef void (*state_warn_fn)(const char *kind, const char *key, const char *why, void *userdata);

struct state {
        char *node_name;           /* owned */
        struct map *services;      /* of struct known_service; owned */
        struct map *slices;        /* by "namespace/name" of the slice: struct known_slice; owned */
        struct map *nodes;         /* of struct node; owned */
        struct map *service_cidrs; /* of struct cidr[2]; owned */
        struct node *own;          /* borrowed from nodes; NULL: not there */
        struct list dirty;         /* of known_service */
        state_warn_fn on_left_out; /* NULL: only the log is told */
        void *userdata;
        usec_t started_at; /* CLOCK_REALTIME; triggers before it are history */
        struct triggers triggers[FAMILIES];
        uint64_t service_changes, slice_changes; /* ever */
        size_t services_pending, slices_pending; /* of them not applied yet */
        bool network_changed; /* nodes or ServiceCIDRs changed since network_taken() */
};

int state_init(struct state *s, const char *node_name);
void state_done(struct state *s);

/*
 * One object each, as a watch tells it; NULL: it is gone. @key: "namespace/name", or a Node's name.
 * An object that cannot be read counts as unknown: what it was before goes, @err says why.
 */
int state_set_service(struct state *s, const char *key, const json_t *object, struct err *err);
int state_set_slice(struct state *s, const char *key, const json_t *object, struct err *err);
int state_set_node(struct state *s, const char *key, const json_t *object, struct err *err);
int state_set_service_cidr(struct state *s, const char *key, const json_t *object, struct err *err);

/* All nodes in an array of borrowed pointers; owned. */
int state_nodes(const struct state *s, const struct node ***ret, size_t *ret_n);
/* Every Service counts as changed (what they are built with has changed). */
void state_touch_all(struct state *s);

/**
 * state_apply() - writes the changed Services into the tables
 * @tables: NULL where a family is not in use
 * Return: 0; -ENOMEM: what is left stays dirty.
 */
int state_apply(struct state *s, struct ruleset_table *const tables[static FAMILIES]);
/* Tells @fn of each Service that will be applied: before is what the tables have, or NULL. */
void state_foreach_dirty(const struct state *s,
                         void (*fn)(const struct known_service *service,
                                    const struct service *before, void *userdata),
                         void *userdata);
bool state_has_changes(const struct state *s); /* anything that is not applied yet */
/* NULL: neither it nor a slice of it is known. */
const struct known_service *state_service(const struct state *s, const char *key);
const struct node *state_node(const struct state *s, const char *name);
/* The keys of the Services that are proxied, in @namespace (NULL: in all), whose names begin with
 * @prefix: sorted, owned. 0 or -ENOMEM. */
int state_service_keys(const struct state *s, const char *namespace, const char *prefix,
                       char ***ret);
size_t state_count_services(const struct state *s);
/*
 * Service ports that drop what comes because their policy is Local and no endpoint is here although
 * there is one elsewhere, by policy. A walk through all Services.
 */
void state_count_without_local(const struct state *s, size_t family, size_t *ret_internal,
                               size_t *ret_external);
