#include "kubelet/verdict-cache.h"

#include <errno.h>
#include <string.h>

#include "base/list.h"
#include "base/map.h"

struct entry {
        struct list_node in_age;
        usec_t expires_usec;
        void *value; /* owned */
        char key[];
};

struct verdict_cache {
        size_t max;
        void (*unref)(void *value);
        struct map *entries; /* owned; struct entry, owned by the list */
        struct list age;     /* oldest first */
};

struct verdict_cache *verdict_cache_new(size_t max, void (*unref)(void *value))
{
        struct verdict_cache *c = malloc(sizeof *c);

        if (!c)
                return NULL;
        *c = (struct verdict_cache){ .max = max, .unref = unref, .entries = map_new() };
        list_init(&c->age);
        return c->entries ? c : verdict_cache_free(c);
}

static void drop(struct verdict_cache *c, struct entry *e)
{
        map_remove(c->entries, e->key);
        list_remove(&e->in_age);
        if (c->unref)
                c->unref(e->value);
        free(e);
}

struct verdict_cache *verdict_cache_free(struct verdict_cache *c)
{
        struct entry *e, *next;

        if (!c)
                return NULL;
        LIST_FOREACH_SAFE (e, next, &c->age, in_age)
                drop(c, e);
        map_free(c->entries);
        free(c);
        return NULL;
}

void *verdict_cache_get(struct verdict_cache *c, const char *key, usec_t now)
{
        struct entry *e = map_get(c->entries, key);

        if (!e)
                return NULL;
        if (e->expires_usec > now)
                return e->value;
        drop(c, e);
        return NULL;
}

/* The oldest ones that have expired, and one more when there is no room. */
static void make_room(struct verdict_cache *c, usec_t now)
{
        struct entry *e;

        while ((e = LIST_FIRST(&c->age, struct entry, in_age)) && e->expires_usec <= now)
                drop(c, e);
        if (map_size(c->entries) >= c->max && e)
                drop(c, e);
}

static int insert(struct verdict_cache *c, const char *key, void *value, usec_t expires_usec)
{
        size_t n = strlen(key) + 1;
        struct entry *e = malloc(sizeof *e + n);

        if (!e)
                return -ENOMEM;
        *e = (struct entry){ .expires_usec = expires_usec, .value = value };
        memcpy(e->key, key, n);
        if (map_put(c->entries, key, e, NULL) < 0) {
                free(e);
                return -ENOMEM;
        }
        list_append(&c->age, &e->in_age);
        return 0;
}

int verdict_cache_put(struct verdict_cache *c, const char *key, void *value, usec_t now, usec_t ttl)
{
        struct entry *old = map_get(c->entries, key);
        int r = 0;

        if (old)
                drop(c, old);
        make_room(c, now);
        if (ttl > 0)
                r = insert(c, key, value, now + ttl);
        if ((ttl == 0 || r < 0) && c->unref)
                c->unref(value);
        return r;
}

size_t verdict_cache_size(const struct verdict_cache *c)
{
        return map_size(c->entries);
}
