#include "netproxy/element-table.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "base/usec.h"
#include "netproxy/ruleset-diff.h"

enum element_flags {
        WANTED = 1 << 0,
        HAVE = 1 << 1,
        DIRTY = 1 << 2,  /* in the list of those that may differ */
        SHARED = 1 << 3, /* .holders counts, instead of one owner */
        RANK = 1 << 4,   /* of the owner's claim */
};

struct element {
        struct element *next; /* in its bucket */
        struct element *next_dirty;
        union {
                struct ruleset_owner *owner; /* borrowed; NULL: nobody's */
                size_t holders;
        };
        uint32_t stamp;
        uint32_t want_comment, have_comment; /* hashes; 0: none */
        uint8_t set, flags;
        /* key, wanted value, installed value */
        uint8_t bytes[] __attribute__((aligned(4)));
};

struct element_table {
        int family;
        uint64_t seed; /* addresses are chosen by tenants */
        uint32_t stamp;
        struct element **buckets; /* owned */
        size_t n_buckets, n_elements, n_wanted;
        struct element *dirty[_SET_ELEMENTS_MAX];
        uint8_t key_len[_SET_ELEMENTS_MAX], value_len[_SET_ELEMENTS_MAX];
};

struct element_table *element_table_new(int family)
{
        struct element_table *t = calloc(1, sizeof *t);

        if (!t)
                return NULL;
        t->family = family;
        t->seed = FNV1A_SEED ^ ((uint64_t)random_u32() << 32 | random_u32());
        t->n_buckets = 64;
        t->buckets = calloc(t->n_buckets, sizeof(struct element *));
        for (int i = 0; i < _SET_ELEMENTS_MAX; i++) {
                t->key_len[i] = (uint8_t)ruleset_key_len(family, (enum ruleset_set)i);
                t->value_len[i] = (uint8_t)ruleset_value_len(family, (enum ruleset_set)i);
        }
        return t->buckets ? t : element_table_free(t);
}

struct element_table *element_table_free(struct element_table *t)
{
        if (!t)
                return NULL;
        for (size_t i = 0; t->buckets && i < t->n_buckets; i++) {
                struct element *e = t->buckets[i], *next;

                for (; e; e = next) {
                        next = e->next;
                        free(e);
                }
        }
        free(t->buckets);
        free(t);
        return NULL;
}

static size_t bucket_of(const struct element_table *t, enum ruleset_set set, const void *key,
                        size_t n_buckets)
{
        return fnv1a(key, t->key_len[set], t->seed + set) & (n_buckets - 1);
}

static void grow(struct element_table *t)
{
        size_t n = 2 * t->n_buckets;
        struct element **more = calloc(n, sizeof(struct element *));

        if (!more)
                return; /* slower, but right */
        for (size_t i = 0; i < t->n_buckets; i++) {
                struct element *e = t->buckets[i], *next;

                for (; e; e = next) {
                        size_t k = bucket_of(t, (enum ruleset_set)e->set, e->bytes, n);

                        next = e->next;
                        e->next = more[k];
                        more[k] = e;
                }
        }
        free(t->buckets);
        t->buckets = more;
        t->n_buckets = n;
}

static struct element *find(const struct element_table *t, enum ruleset_set set, const void *key,
                            size_t bucket)
{
        for (struct element *e = t->buckets[bucket]; e; e = e->next)
                if (e->set == set && memcmp(e->bytes, key, t->key_len[set]) == 0)
                        return e;
        return NULL;
}

const struct element *element_table_find(const struct element_table *t, enum ruleset_set set,
                                         const void *key)
{
        return find(t, set, key, bucket_of(t, set, key, t->n_buckets));
}

struct element *element_table_ensure(struct element_table *t, enum ruleset_set set, const void *key)
{
        size_t k = bucket_of(t, set, key, t->n_buckets);
        struct element *e = find(t, set, key, k);

        if (e)
                return e;
        e = calloc(1, sizeof *e + t->key_len[set] + 2U * t->value_len[set]);
        if (!e)
                return NULL;
        e->set = (uint8_t)set;
        memcpy(e->bytes, key, t->key_len[set]);
        if (t->value_len[set] == 0)
                e->flags = SHARED;
        e->next = t->buckets[k];
        t->buckets[k] = e;
        if (++t->n_elements > t->n_buckets)
                grow(t);
        return e;
}

enum ruleset_set element_set(const struct element *e)
{
        return (enum ruleset_set)e->set;
}

uint32_t element_table_stamp(struct element_table *t)
{
        return ++t->stamp;
}

bool element_stamp(struct element *e, uint32_t stamp)
{
        if (e->stamp == stamp)
                return false;
        e->stamp = stamp;
        return true;
}

bool element_has_stamp(const struct element *e, uint32_t stamp)
{
        return e->stamp == stamp;
}

bool element_is_shared(const struct element *e)
{
        return e->flags & SHARED;
}

void element_hold(struct element *e)
{
        e->holders++;
}

bool element_release(struct element *e)
{
        assert(e->holders > 0);
        return --e->holders == 0;
}

struct ruleset_owner *element_owner(const struct element *e)
{
        return e->owner;
}

int element_rank(const struct element *e)
{
        return e->flags & RANK ? 1 : 0;
}

static uint8_t *wanted_value(const struct element_table *t, const struct element *e)
{
        return (uint8_t *)e->bytes + t->key_len[e->set];
}

static uint8_t *installed_value(const struct element_table *t, const struct element *e)
{
        return wanted_value(t, e) + t->value_len[e->set];
}

static bool has_comment(enum ruleset_set set)
{
        return set == SET_SERVICE_IPS || set == SET_SERVICE_NODE_PORTS;
}

static uint32_t comment_hash(const char *comment)
{
        size_t n = strnlen(comment, NFT_COMMENT_MAX - 1);

        return (uint32_t)fnv1a(comment, n, FNV1A_SEED) | 1;
}

static void mark_dirty(struct element_table *t, struct element *e)
{
        if (e->flags & DIRTY)
                return;
        e->flags |= DIRTY;
        e->next_dirty = t->dirty[e->set];
        t->dirty[e->set] = e;
}

void element_set_owner(struct element_table *t, struct element *e, struct ruleset_owner *owner,
                       int rank)
{
        uint32_t hash = has_comment((enum ruleset_set)e->set) ? comment_hash(owner->service->key)
                                                              : 0;

        e->owner = owner;
        e->flags = (uint8_t)(rank > 0 ? e->flags | RANK : e->flags & ~RANK);
        if (hash != e->want_comment)
                mark_dirty(t, e);
        e->want_comment = hash;
}

bool element_is_wanted(const struct element *e)
{
        return e->flags & WANTED;
}

const void *element_wanted_value(const struct element_table *t, const struct element *e)
{
        return wanted_value(t, e);
}

bool element_wants(const struct element_table *t, const struct element *e, const void *value)
{
        return t->value_len[e->set] == 0 ||
               memcmp(wanted_value(t, e), value, t->value_len[e->set]) == 0;
}

void element_want(struct element_table *t, struct element *e, const void *value)
{
        if (t->value_len[e->set] > 0)
                memcpy(wanted_value(t, e), value, t->value_len[e->set]);
        if (!(e->flags & WANTED))
                t->n_wanted++;
        e->flags |= WANTED;
        mark_dirty(t, e);
}

void element_unwant(struct element_table *t, struct element *e)
{
        if (e->flags & WANTED)
                t->n_wanted--;
        e->flags &= (uint8_t)~WANTED;
        e->want_comment = 0;
        if (!(e->flags & SHARED))
                e->owner = NULL;
        mark_dirty(t, e);
}

bool element_is_installed(const struct element *e)
{
        return e->flags & HAVE;
}

const void *element_installed_value(const struct element_table *t, const struct element *e)
{
        return installed_value(t, e);
}

/* Walks all elements and frees those that @keep does not want. */
static void sweep(struct element_table *t, bool (*keep)(struct element_table *t, struct element *e))
{
        for (size_t i = 0; i < t->n_buckets; i++) {
                struct element **at = &t->buckets[i];

                while (*at) {
                        struct element *e = *at;

                        if (keep(t, e)) {
                                at = &e->next;
                                continue;
                        }
                        *at = e->next;
                        t->n_elements--;
                        free(e);
                }
        }
}

static bool keep_wanted(_unused_ struct element_table *t, struct element *e)
{
        e->flags &= (uint8_t) ~(HAVE | DIRTY);
        e->have_comment = 0;
        return e->flags & WANTED;
}

void element_table_forget(struct element_table *t)
{
        memset(t->dirty, 0, sizeof t->dirty);
        sweep(t, keep_wanted);
}

int element_table_have(struct element_table *t, enum ruleset_set set,
                       const struct nft_element *found)
{
        uint8_t key[RULESET_KEY_MAX];
        size_t n = nft_fields_len(ruleset_set(t->family, set)->key);
        struct ruleset_target target;
        struct element *e;

        memcpy(key, found->key, n);
        if (t->key_len[set] > n)
                memcpy(key + n, found->key_end ? found->key_end : found->key, n);
        e = element_table_ensure(t, set, key);
        if (!e)
                return -ENOMEM;
        e->flags |= HAVE;
        e->have_comment = has_comment(set) && found->comment ? comment_hash(found->comment) : 0;
        if (ruleset_set(t->family, set)->data[0] == NFT_FIELD_VERDICT) {
                /* a verdict we never give stays TARGET_NONE, which nobody wants */
                if (!ruleset_target_of_verdict(&found->verdict, &target))
                        target = (struct ruleset_target){ 0 };
                memcpy(installed_value(t, e), &target, sizeof target);
        } else if (t->value_len[set] > 0) {
                memcpy(installed_value(t, e), found->data, t->value_len[set]);
        }
        return 0;
}

static bool differs(const struct element_table *t, const struct element *e)
{
        if (!(e->flags & WANTED) || !(e->flags & HAVE))
                return (e->flags & WANTED) || (e->flags & HAVE);
        return memcmp(wanted_value(t, e), installed_value(t, e), t->value_len[e->set]) != 0 ||
               e->want_comment != e->have_comment;
}

static bool keep_and_mark(struct element_table *t, struct element *e)
{
        if (differs(t, e))
                mark_dirty(t, e);
        return true;
}

void element_table_have_all(struct element_table *t)
{
        sweep(t, keep_and_mark);
}

static struct nft_element nft_element_of(const struct element_table *t, const struct element *e,
                                         char name[static TARGET_NAME_MAX])
{
        const struct nft_set *set = ruleset_set(t->family, (enum ruleset_set)e->set);
        struct nft_element n = { .key = e->bytes };
        struct ruleset_target target;

        if (set->flags & NFT_SET_INTERVAL)
                n.key_end = e->bytes + nft_fields_len(set->key);
        if (!(e->flags & WANTED))
                return n; /* only to be deleted */
        if (set->data[0] == NFT_FIELD_VERDICT) {
                memcpy(&target, wanted_value(t, e), sizeof target);
                n.verdict = ruleset_target_verdict(&target, name);
        } else if (t->value_len[e->set] > 0) {
                n.data = wanted_value(t, e);
        }
        if (e->want_comment)
                n.comment = e->owner->service->key;
        return n;
}

void element_table_diff(struct element_table *t, struct nft_batch *b)
{
        char name[TARGET_NAME_MAX];

        for (int set = 0; set < _SET_ELEMENTS_MAX; set++) {
                const struct nft_set *s = ruleset_set(t->family, (enum ruleset_set)set);

                for (struct element *e = t->dirty[set]; e; e = e->next_dirty) {
                        struct nft_element n = nft_element_of(t, e, name);

                        if ((e->flags & HAVE) && differs(t, e))
                                nft_batch_delete_element(b, s, &n);
                }
                for (struct element *e = t->dirty[set]; e; e = e->next_dirty) {
                        struct nft_element n = nft_element_of(t, e, name);

                        if ((e->flags & WANTED) && differs(t, e))
                                nft_batch_add_element(b, s, &n);
                }
        }
}

static void remove_element(struct element_table *t, struct element *e)
{
        struct element **at =
                &t->buckets[bucket_of(t, (enum ruleset_set)e->set, e->bytes, t->n_buckets)];

        while (*at != e)
                at = &(*at)->next;
        *at = e->next;
        t->n_elements--;
        free(e);
}

void element_table_committed(struct element_table *t)
{
        for (int set = 0; set < _SET_ELEMENTS_MAX; set++) {
                struct element *e = t->dirty[set], *next;

                t->dirty[set] = NULL;
                for (; e; e = next) {
                        next = e->next_dirty;
                        e->flags &= (uint8_t)~DIRTY;
                        if (!(e->flags & WANTED)) {
                                remove_element(t, e);
                                continue;
                        }
                        e->flags |= HAVE;
                        e->have_comment = e->want_comment;
                        memcpy(installed_value(t, e), wanted_value(t, e), t->value_len[set]);
                }
        }
}

size_t element_table_count(const struct element_table *t)
{
        return t->n_wanted;
}
