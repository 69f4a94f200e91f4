/*
 * One family's table in the kernel: read back, brought to what is wanted, watched.
 *
 * What is installed is read once at the start, and again when somebody else changed the table or a
 * commit failed. In between it is known from our own commits, which carry the ruleset's generation:
 * the kernel refuses one that was made for another.
 */
#pragma once
#include <systemd/sd-event.h>

#include "netproxy/ruleset-diff.h"

struct family;       /* opaque */
struct family_links; /* opaque; socket and watch that both families share */

/**
 * family_links_new() - nothing is opened before the first family_sync()
 * @table:      the tables' name in the kernel, the same in both families
 * @on_meddled: somebody else changed one: sync soon
 */
int family_links_new(sd_event *event, const char *table, void (*on_meddled)(void *userdata),
                     void *userdata, struct family_links **ret);
struct family_links *family_links_free(struct family_links *l); /* after the families */
DEFINE_CLEANUP(struct family_links *, family_links_free)
/* @family: AF_INET, AF_INET6. @links: borrowed. */
int family_new(struct family_links *links, int family, struct family **ret);
struct family *family_free(struct family *f); /* the table stays */
DEFINE_CLEANUP(struct family *, family_free)
int family_number(const struct family *f);
/* What is to be there: fill it, then sync. */
struct ruleset_table *family_wanted(struct family *f);

enum { FAMILY_UNSUPPORTED = 1 };
/**
 * family_sync() - makes the kernel agree, in one transaction
 * @ret_operations: how many it took
 * Return: 0; FAMILY_UNSUPPORTED: this kernel has no nf_tables for it, @err says what is missing;
 *         else a negative errno and nothing has changed.
 */
int family_sync(struct family *f, size_t *ret_operations, struct err *err);
/* False: the next family_sync() reads the kernel's table first. */
bool family_is_known(const struct family *f);
/**
 * family_read_element() - what the kernel has, whatever we think it has
 * @ret_value: ruleset_value_len() bytes; NULL: not wanted
 * Return: 1; 0: it has none of that key; negative errno.
 */
int family_read_element(struct family *f, enum ruleset_set set, const void *key, void *ret_value,
                        struct err *err);
bool family_has_stale(const struct family *f);
/* Chains that nothing leads to any more; call it some seconds after a sync. 0 when there are none
 * (left). */
int family_collect(struct family *f, struct err *err);
/* Takes the whole table away (--cleanup). Fine when there is none. */
int family_remove(int family, const char *table, struct err *err);
