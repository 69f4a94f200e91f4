/*
 * Three caches, each keyed by text and bounded by 4096 entries (the oldest tenth goes when full):
 * buckets per source object (25 events, one more every 300 s), aggregates per similar event (ten
 * different messages within 600 s become one), and the events known to the API with their counts.
 */
#include "kubelet/event-correlator.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/list.h"
#include "base/map.h"
#include "base/text.h"

#define CACHE_MAX             4096
#define SPAM_BURST            25
#define SPAM_REFILL_USEC      (300 * USEC_PER_SEC)
#define AGGREGATE_MAX         10
#define AGGREGATE_WINDOW_USEC (600 * USEC_PER_SEC)

struct record {
        char *key;
        struct list_node node; /* least recently used first */
        /* bucket */
        double tokens;
        usec_t refilled_at;
        /* aggregate */
        char **messages; /* owned; different messages seen in the window */
        usec_t seen_at;
        /* event */
        char *name; /* owned */
        uint32_t count;
        usec_t first_seen;
};

struct cache {
        struct map *map; /* key -> struct record, owned */
        struct list lru;
};

struct event_correlator {
        struct cache buckets, aggregates, events;
        char *message; /* owned; what the last decision points at */
};

static void record_free(struct record *r)
{
        strv_free(r->messages);
        free(r->name);
        free(r->key);
        free(r);
}

static void cache_drop(struct cache *c, struct record *r)
{
        list_remove(&r->node);
        map_remove(c->map, r->key);
        record_free(r);
}

static bool cache_init(struct cache *c)
{
        list_init(&c->lru);
        c->map = map_new();
        return c->map != NULL;
}

static void cache_done(struct cache *c)
{
        struct record *r, *next;

        if (!c->map)
                return;
        LIST_FOREACH_SAFE (r, next, &c->lru, node)
                cache_drop(c, r);
        map_free(c->map);
}

/* Finds or makes, and marks as used last. */
static struct record *cache_get(struct cache *c, const char *key, bool *ret_new)
{
        struct record *r = map_get(c->map, key);

        *ret_new = !r;
        if (!r) {
                while (map_size(c->map) >= CACHE_MAX)
                        cache_drop(c, CONTAINER_OF(c->lru.head.next, struct record, node));
                r = calloc(1, sizeof *r);
                if (!r)
                        return NULL;
                r->key = strdup(key);
                if (!r->key || map_put(c->map, key, r, NULL) < 0) {
                        record_free(r);
                        return NULL;
                }
        }
        list_remove(&r->node);
        list_append(&c->lru, &r->node);
        return r;
}

struct event_correlator *event_correlator_new(void)
{
        struct event_correlator *c = calloc(1, sizeof *c);

        if (c && cache_init(&c->buckets) && cache_init(&c->aggregates) && cache_init(&c->events))
                return c;
        return event_correlator_free(c);
}

struct event_correlator *event_correlator_free(struct event_correlator *c)
{
        if (!c)
                return NULL;
        cache_done(&c->buckets);
        cache_done(&c->aggregates);
        cache_done(&c->events);
        free(c->message);
        free(c);
        return NULL;
}

static const char *or_empty(const char *s)
{
        return s ? s : "";
}

/* With its end, so that no key is the beginning of another object's. */
static char *key_of(const struct event_object *o)
{
        return text_printf("%s/%s/%s/%s/%s|", or_empty(o->kind), or_empty(o->namespace),
                           or_empty(o->name), or_empty(o->uid), or_empty(o->api_version));
}

static bool is_spam(struct record *bucket, bool is_new, usec_t now)
{
        if (is_new) {
                bucket->tokens = SPAM_BURST;
        } else if (now > bucket->refilled_at) {
                bucket->tokens += (double)(now - bucket->refilled_at) / SPAM_REFILL_USEC;
                bucket->tokens = MIN(bucket->tokens, SPAM_BURST);
        }
        bucket->refilled_at = now;
        if (bucket->tokens < 1)
                return true;
        bucket->tokens -= 1;
        return false;
}

/* Has this kind of event had so many different messages lately that they become one? */
static int is_aggregated(struct record *a, const char *message, usec_t now)
{
        if (now > a->seen_at + AGGREGATE_WINDOW_USEC)
                a->messages = strv_free(a->messages);
        a->seen_at = now;
        if (!strv_contains(a->messages, message) && strv_len(a->messages) < AGGREGATE_MAX) {
                int r = strv_append(&a->messages, message);

                if (r < 0)
                        return r;
        }
        return strv_len(a->messages) >= AGGREGATE_MAX;
}

int event_correlate(struct event_correlator *c, const struct event_object *o, const char *type,
                    const char *reason, const char *message, usec_t now, struct event_decision *ret)
{
        _cleanup_free_ char *object_key = key_of(o);
        _cleanup_free_ char *similar = NULL, *event_key = NULL;
        struct record *bucket, *aggregate, *event;
        bool is_new;
        int combined;

        if (!object_key)
                return -ENOMEM;
        bucket = cache_get(&c->buckets, object_key, &is_new);
        if (!bucket)
                return -ENOMEM;
        if (is_spam(bucket, is_new, now)) {
                *ret = (struct event_decision){ .verdict = EVENT_DROP };
                return 0;
        }
        similar = text_printf("%s%s|%s|%s", object_key, or_empty(o->field_path), type, reason);
        aggregate = similar ? cache_get(&c->aggregates, similar, &is_new) : NULL;
        combined = aggregate ? is_aggregated(aggregate, message, now) : -ENOMEM;
        if (combined < 0)
                return combined;
        free(c->message);
        c->message = combined ? text_printf("(combined from similar events): %s", message)
                              : strdup(message);
        event_key = text_printf("%s|%s", similar, combined ? "" : message);
        event = event_key && c->message ? cache_get(&c->events, event_key, &is_new) : NULL;
        if (!event)
                return -ENOMEM;
        if (is_new || !event->name) {
                event->name = text_printf("%s.%" PRIx64, or_empty(o->name),
                                          now * NSEC_PER_USEC + random_u32() % 1000);
                if (!event->name)
                        return -ENOMEM;
                event->first_seen = now;
                event->count = 0;
        }
        *ret = (struct event_decision){
                .verdict = event->count++ ? EVENT_COUNT : EVENT_CREATE,
                .name = event->name,
                .message = c->message,
                .count = event->count,
                .first_seen = event->first_seen,
        };
        return 0;
}

void event_correlator_forget(struct event_correlator *c, const char *name)
{
        struct record *r, *next;

        LIST_FOREACH_SAFE (r, next, &c->events.lru, node)
                if (r->name && streq(r->name, name))
                        cache_drop(&c->events, r);
}

static void forget_keys(struct cache *c, const char *beginning)
{
        struct record *r, *next;

        LIST_FOREACH_SAFE (r, next, &c->lru, node)
                if (startswith(r->key, beginning))
                        cache_drop(c, r);
}

void event_correlator_forget_object(struct event_correlator *c, const struct event_object *object)
{
        _cleanup_free_ char *key = key_of(object);

        if (!key)
                return; /* the oldest go by themselves when there are many */
        forget_keys(&c->buckets, key);
        forget_keys(&c->aggregates, key);
        forget_keys(&c->events, key);
}
