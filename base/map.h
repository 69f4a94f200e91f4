/*
 * A string-keyed hash map with a seeded hash (keys may come from tenants). It copies its keys and
 * borrows its values.
 */
#pragma once
#include "base/cleanup.h"

struct map; /* opaque */

struct map *map_new(void); /* NULL without memory */
/* Frees keys and table. Values are the owner's; map_free_with() hands each to @free_value. */
struct map *map_free(struct map *m);
struct map *map_free_with(struct map *m, void (*free_value)(void *));
DEFINE_CLEANUP(struct map *, map_free)

/* The value, or NULL. A NULL map is empty. */
void *map_get(const struct map *m, const char *key);
/* Inserts or replaces; *ret_old (may be NULL) gets the value that was there. 0 or -ENOMEM. @value
 * must not be NULL. */
int map_put(struct map *m, const char *key, void *value, void **ret_old);
/* Takes the entry out and returns its value, or NULL. */
void *map_remove(struct map *m, const char *key);
size_t map_size(const struct map *m);

/*
 * Iteration in no particular order. Removing the entry the cursor stands on is allowed, inserting
 * is not. map_keys() is a sorted, owned copy for whoever must be deterministic or changes the map.
 */
struct map_cursor {
        size_t index;
};
bool map_next(const struct map *m, struct map_cursor *c, const char **ret_key, void **ret_value);
char **map_keys(const struct map *m);
#define MAP_FOREACH(key, value, m) \
        for (struct map_cursor _c = { 0 }; map_next((m), &_c, &(key), (void **)&(value));)
