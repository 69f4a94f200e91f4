#include "base/map.h"

#include <errno.h>
#include <string.h>

#include "base/text.h"
#include "base/usec.h"

/* Open addressing, linear probing, a tombstone on removal; grows at three quarters. */
struct slot {
        char *key; /* owned; NULL: never used; TOMBSTONE: removed */
        void *value;
        uint64_t hash;
};

struct map {
        struct slot *slots; /* owned */
        size_t cap;         /* a power of two, or 0 */
        size_t used;        /* entries */
        size_t filled;      /* entries and tombstones */
        uint64_t seed;
};

static char tombstone[1];
#define TOMBSTONE (tombstone)

struct map *map_new(void)
{
        struct map *m = calloc(1, sizeof *m);

        if (m)
                m->seed = FNV1A_SEED ^ ((uint64_t)random_u32() << 32 | random_u32());
        return m;
}

static bool is_entry(const struct slot *s)
{
        return s->key && s->key != TOMBSTONE;
}

struct map *map_free_with(struct map *m, void (*free_value)(void *))
{
        if (!m)
                return NULL;
        for (size_t i = 0; i < m->cap; i++) {
                if (!is_entry(&m->slots[i]))
                        continue;
                if (free_value)
                        free_value(m->slots[i].value);
                free(m->slots[i].key);
        }
        free(m->slots);
        free(m);
        return NULL;
}

struct map *map_free(struct map *m)
{
        return map_free_with(m, NULL);
}

static struct slot *find(const struct map *m, const char *key, uint64_t hash)
{
        if (m->cap == 0)
                return NULL;
        for (size_t i = hash & (m->cap - 1);; i = (i + 1) & (m->cap - 1)) {
                struct slot *s = &m->slots[i];

                if (!s->key)
                        return NULL;
                if (s->key != TOMBSTONE && s->hash == hash && streq(s->key, key))
                        return s;
        }
}

static uint64_t hash_key(const struct map *m, const char *key)
{
        uint64_t h = fnv1a(key, strlen(key), m->seed);

        return h ^ h >> 32; /* the low bits choose the slot */
}

void *map_get(const struct map *m, const char *key)
{
        struct slot *s = m ? find(m, key, hash_key(m, key)) : NULL;

        return s ? s->value : NULL;
}

static void place(struct map *m, struct slot entry)
{
        size_t i = entry.hash & (m->cap - 1);

        while (is_entry(&m->slots[i]))
                i = (i + 1) & (m->cap - 1);
        if (!m->slots[i].key)
                m->filled++;
        m->slots[i] = entry;
        m->used++;
}

static int grow(struct map *m)
{
        size_t old_cap = m->cap, cap = m->cap ? m->cap : 8;
        struct slot *old = m->slots, *slots;

        while (cap < (m->used + 1) * 2)
                cap *= 2;
        slots = calloc(cap, sizeof *slots);
        if (!slots)
                return -ENOMEM;
        m->slots = slots;
        m->cap = cap;
        m->used = m->filled = 0;
        for (size_t i = 0; i < old_cap; i++)
                if (is_entry(&old[i]))
                        place(m, old[i]);
        free(old);
        return 0;
}

int map_put(struct map *m, const char *key, void *value, void **ret_old)
{
        uint64_t hash = hash_key(m, key);
        struct slot *s = find(m, key, hash);
        char *copy;

        if (ret_old)
                *ret_old = s ? s->value : NULL;
        if (s) {
                s->value = value;
                return 0;
        }
        if ((m->filled + 1) * 4 > m->cap * 3) {
                int r = grow(m);

                if (r < 0)
                        return r;
        }
        copy = strdup(key);
        if (!copy)
                return -ENOMEM;
        place(m, (struct slot){ .key = copy, .value = value, .hash = hash });
        return 0;
}

void *map_remove(struct map *m, const char *key)
{
        struct slot *s = m ? find(m, key, hash_key(m, key)) : NULL;
        void *value;

        if (!s)
                return NULL;
        value = s->value;
        free(s->key);
        *s = (struct slot){ .key = TOMBSTONE };
        m->used--;
        return value;
}

size_t map_size(const struct map *m)
{
        return m ? m->used : 0;
}

bool map_next(const struct map *m, struct map_cursor *c, const char **ret_key, void **ret_value)
{
        if (!m)
                return false;
        while (c->index < m->cap) {
                const struct slot *s = &m->slots[c->index++];

                if (is_entry(s)) {
                        *ret_key = s->key;
                        *ret_value = s->value;
                        return true;
                }
        }
        return false;
}

static int compare_keys(const void *a, const void *b)
{
        return strcmp(*(char *const *)a, *(char *const *)b);
}

char **map_keys(const struct map *m)
{
        char **keys = calloc(map_size(m) + 1, sizeof *keys);
        const char *key;
        void *value;
        size_t n = 0;

        if (!keys)
                return NULL;
        MAP_FOREACH (key, value, m) {
                keys[n] = strdup(key);
                if (!keys[n++])
                        return strv_free(keys);
        }
        qsort(keys, n, sizeof *keys, compare_keys);
        return keys;
}
