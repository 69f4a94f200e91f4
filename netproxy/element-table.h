/*
 * The elements of one family's sets, each with what is wanted of it and what is installed. A hash
 * table by set and key. Pure.
 */
#pragma once
#include "netproxy/ruleset.h"

struct element_table; /* opaque */
struct element;       /* opaque; lives as long as it is wanted or installed */
struct ruleset_owner;

struct element_table *element_table_new(int family); /* NULL without memory */
struct element_table *element_table_free(struct element_table *t);

/* The element of that key, made when it is new; NULL without memory. */
struct element *element_table_ensure(struct element_table *t, enum ruleset_set set,
                                     const void *key);
/* The element of that key, or NULL. */
const struct element *element_table_find(const struct element_table *t, enum ruleset_set set,
                                         const void *key);
enum ruleset_set element_set(const struct element *e);

/* A fresh stamp, by which one pass over many elements knows those it has met. */
uint32_t element_table_stamp(struct element_table *t);
bool element_stamp(struct element *e, uint32_t stamp); /* false: it had that stamp already */
bool element_has_stamp(const struct element *e, uint32_t stamp);

/* An element of a set without values is shared: it counts its holders. Others have one owner. */
bool element_is_shared(const struct element *e);
void element_hold(struct element *e);
bool element_release(struct element *e); /* true: that was the last one */
struct ruleset_owner *element_owner(const struct element *e);
int element_rank(const struct element *e); /* of the owner's claim */
void element_set_owner(struct element_table *t, struct element *e, struct ruleset_owner *owner,
                       int rank);

bool element_is_wanted(const struct element *e);
const void *element_wanted_value(const struct element_table *t, const struct element *e);
bool element_wants(const struct element_table *t, const struct element *e, const void *value);
void element_want(struct element_table *t, struct element *e, const void *value);
void element_unwant(struct element_table *t, struct element *e);

bool element_is_installed(const struct element *e);
const void *element_installed_value(const struct element_table *t, const struct element *e);

/* Nothing is known to be installed … */
void element_table_forget(struct element_table *t);
/* … but this … */
int element_table_have(struct element_table *t, enum ruleset_set set,
                       const struct nft_element *found);
/* … and that was all. */
void element_table_have_all(struct element_table *t);
/* Deletes and adds what differs. */
void element_table_diff(struct element_table *t, struct nft_batch *b);
void element_table_committed(struct element_table *t);
size_t element_table_count(const struct element_table *t); /* wanted */
