/*
 * One sandbox as runtime/ keeps it. What kubelet/ may see of it is struct sandbox_status.
 */
#pragma once
#include "base/list.h"
#include "runtime/sandbox-net.h"
#include "runtime/shim-client.h"

struct sandbox {
        struct runtime *rt;           /* borrowed */
        struct sandbox_status status; /* points to the members below */
        char id[RUNTIME_ID_SIZE];
        struct string_map labels;
        char *hostname, *cgroup_parent;
        uint32_t flags; /* PLAN_HOST_…, PLAN_SHARED_PID */
        uint64_t shm_size;
        struct string_map sysctls;
        struct pod_addresses addresses;
        struct runtime_port *ports; /* owned, with their host_ip */
        size_t n_ports;
        bool ports_in_force; /* host-port.c has redirected them */

        struct shim *shim;      /* owned; NULL: dead, or not started yet */
        bool stopped;           /* nothing runs, addresses are given back */
        bool may_have_shim;     /* whether there is one could not be found out */
        bool is_awaited;        /* found after a restart, and has not told its inventory yet */
        struct list containers; /* struct container, by .in_sandbox */
        struct sandbox_op *run; /* whoever waits for its start, or NULL */
        struct list stops;      /* struct sandbox_op, by .node */
        sd_event_source *stop_source;
};

struct sandbox *sandbox_free(struct sandbox *s);
DEFINE_CLEANUP(struct sandbox *, sandbox_free)
struct sandbox *sandbox_get(const struct runtime *rt, const char *id); /* borrowed, or NULL */

/* Finds all sandboxes of the records and their shims, after a start. */
int sandbox_load_all(struct runtime *rt, struct err *err);
/* True while one of them has not told its inventory. */
bool sandbox_is_any_awaited(const struct runtime *rt);
/* Two seconds are over: goes on without those that have not answered. */
void sandbox_give_up_waiting(struct runtime *rt);

/* ---- sandbox-record.c ---- */
struct sandbox *sandbox_new(struct runtime *rt, const char *id); /* NULL without memory */
int sandbox_save(const struct sandbox *s);
/* -EBADMSG and the field; @ret as far as it came is freed. */
int sandbox_from_record(struct runtime *rt, const char *id, const json_t *record,
                        struct sandbox **ret, struct err *err);
