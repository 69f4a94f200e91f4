/*
 * Answers kept for a while under a key, at most so many: when full the oldest one goes. Time is a
 * parameter. Pure.
 */
#pragma once
#include "base/cleanup.h"
#include "base/usec.h"

struct verdict_cache; /* opaque */

/* @unref gives up a value (may be NULL). NULL without memory. */
struct verdict_cache *verdict_cache_new(size_t max, void (*unref)(void *value));
struct verdict_cache *verdict_cache_free(struct verdict_cache *c);
DEFINE_CLEANUP(struct verdict_cache *, verdict_cache_free)
/* Borrowed; NULL: none, or it has expired. */
void *verdict_cache_get(struct verdict_cache *c, const char *key, usec_t now);
/* Takes @value (also on failure), replacing what was there. @ttl 0: nothing is kept. */
int verdict_cache_put(struct verdict_cache *c, const char *key, void *value, usec_t now,
                      usec_t ttl);
size_t verdict_cache_size(const struct verdict_cache *c);
