/*
 * One family's table: what is wanted in it, what is installed, and the way from one to the other.
 * Pure: it is told what the kernel has, and fills a batch.
 *
 * Each element of a set knows both its sides, so a change of one Service costs what that Service
 * has, whatever else is there; after a restart, or when somebody else meddled, everything that is
 * installed is told anew and only what differs is changed.
 *
 * Two Services can claim the same address and port (external IPs are free for all). A cluster IP
 * beats the others, then the older Service does. Who lost is tried again when the winner lets go:
 * after every apply the caller empties ruleset_table_next_displaced().
 */
#pragma once
#include "base/list.h"
#include "netproxy/ruleset.h"

struct ruleset_table; /* opaque */
struct element;       /* opaque */

struct ruleset_owner {             /* one Service in one family; { 0 } is fresh */
        struct service *service;   /* owned reference; the last one applied; NULL: nothing */
        struct element **elements; /* owned array of borrowed elements */
        size_t n_elements;
        struct list_node blocked, displaced;
};

int ruleset_table_new(int family, struct ruleset_table **ret);
struct ruleset_table *ruleset_table_free(struct ruleset_table *t);
DEFINE_CLEANUP(struct ruleset_table *, ruleset_table_free)

/* ---- wanted ---- */
/* Copied; what it points at is borrowed. Afterwards apply those whose elements depend on it. */
int ruleset_table_set_context(struct ruleset_table *t, const struct ruleset_context *ctx);
/* @set: SET_POD_IPS to SET_SERVICE_CIDRS; replaced whole. @ranges: of any family, sorted here. */
int ruleset_table_set_ranges(struct ruleset_table *t, enum ruleset_set set,
                             const struct ip_range *ranges, size_t n);
/**
 * ruleset_table_apply() - what @owner wants from now on
 * @service: a reference is kept until the next apply; NULL: nothing
 * Return: 0; RULESET_LEFT_OUT as ruleset_service(); -ENOMEM: apply it again.
 */
int ruleset_table_apply(struct ruleset_table *t, struct ruleset_owner *owner,
                        struct service *service, const struct endpoint_slice *const *slices,
                        size_t n_slices);
/* An owner to be applied again, or NULL. */
struct ruleset_owner *ruleset_table_next_displaced(struct ruleset_table *t);
/* Withdraws everything and lets go of the owner's memory. */
void ruleset_table_drop(struct ruleset_table *t, struct ruleset_owner *owner);

/* ---- installed: forget, then tell everything, then end ---- */
void ruleset_table_forget(struct ruleset_table *t);
int ruleset_table_have_set(struct ruleset_table *t, const struct nft_found_set *set);
int ruleset_table_have_chain(struct ruleset_table *t, const struct nft_found_chain *chain);
int ruleset_table_have_rule(struct ruleset_table *t, const struct nft_found_rule *rule);
int ruleset_table_have_element(struct ruleset_table *t, enum ruleset_set set,
                               const struct nft_element *element);
/* True while elements are worth reading: all sets are as this program makes them. */
bool ruleset_table_layout_fits(const struct ruleset_table *t);
void ruleset_table_have_all(struct ruleset_table *t);

/* ---- from installed to wanted ---- */
/* Appends what has to change; an empty batch: nothing. */
int ruleset_table_diff(struct ruleset_table *t, struct nft_batch *b);
/* That batch is in force. */
void ruleset_table_committed(struct ruleset_table *t);
/*
 * Chains that nothing leads to any more. They go in a transaction of their own, a while after
 * the one that took their last reference: kernels before 6.2 let go of it late (-EBUSY: try again).
 */
bool ruleset_table_has_stale(const struct ruleset_table *t);
int ruleset_table_diff_stale(struct ruleset_table *t, struct nft_batch *b);
void ruleset_table_committed_stale(struct ruleset_table *t);

size_t ruleset_table_count(const struct ruleset_table *t); /* elements that are wanted */

/* ---- to be looked at ---- */
/* As it was set last; family 0: never. */
const struct ruleset_context *ruleset_table_context(const struct ruleset_table *t);
/* Is @ip in that set, as installed? */
bool ruleset_table_has_ip(const struct ruleset_table *t, enum ruleset_set set, const struct ip *ip);
/**
 * ruleset_table_find() - an element as installed
 * @ret_value: ruleset_value_len() bytes; untouched when there is none. May be NULL.
 * @ret_owner: whose it is: "namespace/name"; NULL: nobody's any more, or shared. May be NULL.
 * Return: whether it is installed.
 */
bool ruleset_table_find(const struct ruleset_table *t, enum ruleset_set set, const void *key,
                        void *ret_value, const char **ret_owner);
