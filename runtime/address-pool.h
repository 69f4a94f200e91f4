/*
 * Which address a pod gets: ranges and what is taken in them. Pure.
 *
 * Addresses are handed out in a circle, behind the one given last, so that one which has just been
 * returned (and may still be in somebody's connection tracking) comes last. The first address of a
 * range is its name, the second is left to the node, the last of an IPv4 range is its broadcast.
 */
#pragma once
#include "base/err.h"
#include "base/ip.h"
#include "base/map.h"

struct address_pool {
        struct cidr ranges[2]; /* at most one per family: the node's podCIDRs */
        size_t n_ranges;
        struct ip last[2]; /* given last from the range of the same index; family 0: none yet */
        struct map *taken; /* text of an address -> its owner's id (owned string) */
};
#define ADDRESS_POOL_OWNER_UNKNOWN ""

int address_pool_init(struct address_pool *p);
void address_pool_done(struct address_pool *p);
/* "10.244.1.0/24[,fd00::/64]"; what is taken stays. -EINVAL and the rule. */
int address_pool_set_ranges(struct address_pool *p, const char *cidrs, struct err *err);
/* The next free address of range @index, which is then @owner's. -ENOSPC: all are taken. */
int address_pool_take(struct address_pool *p, size_t index, const char *owner, struct ip *ret);
/* Marks one as taken (found on disk). -EEXIST when somebody else has it. */
int address_pool_mark(struct address_pool *p, const struct ip *ip, const char *owner);
void address_pool_release(struct address_pool *p, const struct ip *ip);
/* Who has it, or NULL. */
const char *address_pool_owner(const struct address_pool *p, const struct ip *ip);
