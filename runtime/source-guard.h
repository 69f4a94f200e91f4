/*
 * A pod sends from its own addresses only. For IPv4 the kernel sees to that (rp_filter on the
 * host's end of a link, which has no address and so is strict whatever the node's own setting is);
 * IPv6 has no such thing, so that a rule drops what comes over a pod's link from an address that is
 * not routed there.
 *
 * One nftables table, "skiff-<instance>-sources", made before the first pod with an IPv6 address is
 * ready and taken away with the last one.
 */
#pragma once
#include "runtime/sandbox.h"

struct source_guard; /* opaque */

int source_guard_new(struct runtime *rt, struct source_guard **ret, struct err *err);
/* Lets go; the rule stays in force. */
struct source_guard *source_guard_free(struct source_guard *g);
DEFINE_CLEANUP(struct source_guard *, source_guard_free)
/* Before @s runs anything. A kernel without nftables is a missing feature, and no error. */
int source_guard_add(struct source_guard *g, const struct sandbox *s, struct err *err);
/* Some sandbox has lost its addresses: was it the last one? */
void source_guard_check(struct source_guard *g);
/* After a start: in force if a living sandbox needs it. */
void source_guard_restore(struct source_guard *g);
