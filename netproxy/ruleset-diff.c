#include "netproxy/ruleset-diff.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "base/usec.h"
#include "netproxy/element-table.h"

/* A pick chain and who leads to it. */
struct pick_chain {
        struct ruleset_target target;
        uint32_t refs; /* wanted elements that lead to it */
        char *have;    /* owned; signature of what is installed; NULL: no such chain */
        char *pending; /* owned; signature of what the batch under way makes */
};

struct point { /* of a set of ranges: an element as the kernel has it */
        uint8_t key[16];
        bool is_end;
};
struct points {
        struct point *items; /* owned; sorted */
        size_t n;
};

struct ruleset_table {
        int family;
        struct ruleset_context ctx;
        struct ruleset statics;         /* owned */
        char **statics_have;            /* owned; signature of each installed chain; NULL: none */
        struct element_table *elements; /* owned */
        struct pick_chain *picks;       /* owned; sorted by target */
        size_t n_picks;
        bool check_picks; /* the installed ones may differ from what they should be */
        struct points ranges_want[_SET_RANGES_MAX - SET_POD_IPS];
        struct points ranges_have[_SET_RANGES_MAX - SET_POD_IPS];
        uint32_t sets_fit; /* bit: that set is as we make it */
        bool exists;       /* the table, or something in it */
        bool misfit;       /* something in it is in our way: it must be made anew */
        char **strangers;  /* owned; chains in it that are not ours */
        struct list blocked, displaced;
};

static const uint32_t all_sets = (1U << _SET_MAX) - 1;

static void points_done(struct points *p)
{
        free(p->items);
        *p = (struct points){ 0 };
}

static void forget_chains(struct ruleset_table *t)
{
        for (size_t i = 0; i < t->statics.n_chains; i++)
                free(TAKE_PTR(t->statics_have[i]));
        for (size_t i = 0; i < t->n_picks; i++) {
                free(TAKE_PTR(t->picks[i].have));
                free(TAKE_PTR(t->picks[i].pending));
        }
        t->strangers = strv_free(t->strangers);
}

struct ruleset_table *ruleset_table_free(struct ruleset_table *t)
{
        if (!t)
                return NULL;
        forget_chains(t);
        free(t->picks);
        free(t->statics_have);
        ruleset_done(&t->statics);
        for (size_t i = 0; i < ARRAY_SIZE(t->ranges_want); i++) {
                points_done(&t->ranges_want[i]);
                points_done(&t->ranges_have[i]);
        }
        element_table_free(t->elements);
        free(t);
        return NULL;
}

int ruleset_table_new(int family, struct ruleset_table **ret)
{
        _cleanup_(ruleset_table_freep)
        struct ruleset_table *t = calloc(1, sizeof *t);

        if (!t)
                return -ENOMEM;
        t->family = family;
        list_init(&t->blocked);
        list_init(&t->displaced);
        t->elements = element_table_new(family);
        if (!t->elements)
                return -ENOMEM;
        *ret = TAKE_PTR(t);
        return 0;
}

int ruleset_table_set_context(struct ruleset_table *t, const struct ruleset_context *ctx)
{
        struct ruleset statics;
        int r = ruleset_build(ctx, &statics);

        if (r < 0)
                return r;
        if (!t->statics_have)
                t->statics_have = calloc(statics.n_chains, sizeof *t->statics_have);
        if (!t->statics_have) {
                ruleset_done(&statics);
                return -ENOMEM;
        }
        ruleset_done(&t->statics);
        t->statics = statics;
        t->ctx = *ctx;
        t->check_picks = true;
        return 0;
}

/* ---- pick chains ---- */
static int compare_targets(const struct ruleset_target *a, const struct ruleset_target *b)
{
        return memcmp(a, b, sizeof *a);
}

/* Where @target is, or would be. */
static size_t find_pick(const struct ruleset_table *t, const struct ruleset_target *target)
{
        size_t low = 0, high = t->n_picks;

        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (compare_targets(&t->picks[middle].target, target) < 0)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}

static struct pick_chain *ensure_pick(struct ruleset_table *t, const struct ruleset_target *target)
{
        size_t i = find_pick(t, target);
        struct pick_chain *more;

        if (i < t->n_picks && compare_targets(&t->picks[i].target, target) == 0)
                return &t->picks[i];
        more = reallocarray(t->picks, t->n_picks + 1, sizeof *more);
        if (!more)
                return NULL;
        t->picks = more;
        memmove(&more[i + 1], &more[i], (t->n_picks - i) * sizeof *more);
        more[i] = (struct pick_chain){ .target = *target };
        t->n_picks++;
        return &more[i];
}

static int hold_pick(struct ruleset_table *t, const struct ruleset_target *target)
{
        struct pick_chain *p;

        if (!ruleset_target_has_chain(target))
                return 0;
        p = ensure_pick(t, target);
        if (!p)
                return -ENOMEM;
        p->refs++;
        return 0;
}

static void release_pick(struct ruleset_table *t, const struct ruleset_target *target)
{
        if (ruleset_target_has_chain(target))
                t->picks[find_pick(t, target)].refs--;
}

/* ---- wanted elements ---- */
static bool is_verdict_map(const struct ruleset_table *t, enum ruleset_set set)
{
        return ruleset_set(t->family, set)->data[0] == NFT_FIELD_VERDICT;
}

static int want(struct ruleset_table *t, struct element *e, const void *value)
{
        int r;

        if (element_is_wanted(e) && element_wants(t->elements, e, value))
                return 0;
        if (is_verdict_map(t, element_set(e))) {
                assert(value);
                r = hold_pick(t, value);
                if (r < 0)
                        return r;
                if (element_is_wanted(e))
                        release_pick(t, element_wanted_value(t->elements, e));
        }
        element_want(t->elements, e, value);
        return 0;
}

static void unwant(struct ruleset_table *t, struct element *e)
{
        if (is_verdict_map(t, element_set(e)))
                release_pick(t, element_wanted_value(t->elements, e));
        element_unwant(t->elements, e);
}

/* Something got free: whoever lost before may have it now. */
static void wake_blocked(struct ruleset_table *t)
{
        struct list_node *n;

        while ((n = list_pop(&t->blocked))) {
                struct ruleset_owner *o = CONTAINER_OF(n, struct ruleset_owner, blocked);

                if (!list_contains(&o->displaced))
                        list_append(&t->displaced, &o->displaced);
        }
}

struct ruleset_owner *ruleset_table_next_displaced(struct ruleset_table *t)
{
        struct list_node *n = list_pop(&t->displaced);

        return n ? CONTAINER_OF(n, struct ruleset_owner, displaced) : NULL;
}

struct apply {
        struct ruleset_table *t;
        struct ruleset_owner *owner;
        struct element **items; /* what it has now; always room for what it had before, too */
        size_t n, room;
        uint32_t stamp;
        bool lost; /* somebody else has one of them */
};

/* Does our claim beat the one that stands? */
static bool beats(const struct apply *a, const struct element *e, int rank)
{
        const struct ruleset_owner *other = element_owner(e);

        if (rank != element_rank(e))
                return rank < element_rank(e);
        return service_compare(a->owner->service, other->service) < 0;
}

static int reserve(struct apply *a)
{
        size_t needed = a->n + a->owner->n_elements + 1, room;
        struct element **more;

        if (needed <= a->room)
                return 0;
        room = needed + needed / 2;
        more = reallocarray(a->items, room, sizeof(struct element *));
        if (!more)
                return -ENOMEM;
        a->items = more;
        a->room = room;
        return 0;
}

/* A set without values may have an element for many. */
static int claim_shared(struct apply *a, struct element *e)
{
        int r = want(a->t, e, NULL);

        if (r < 0)
                return r;
        element_hold(e);
        a->items[a->n++] = e;
        return 0;
}

static int claim(struct apply *a, struct element *e, const void *value, int rank)
{
        struct ruleset_owner *other = element_owner(e);
        int r;

        if (other && other != a->owner) {
                if (!beats(a, e, rank)) {
                        a->lost = true;
                        return 0;
                }
                if (!list_contains(&other->displaced))
                        list_append(&a->t->displaced, &other->displaced);
        }
        r = want(a->t, e, value);
        if (r < 0)
                return r;
        element_set_owner(a->t->elements, e, a->owner, rank);
        a->items[a->n++] = e;
        return 0;
}

static int on_emit(enum ruleset_set set, const void *key, const void *value, int rank,
                   void *userdata)
{
        struct apply *a = userdata;
        struct element *e;

        if (reserve(a) < 0)
                return -ENOMEM;
        e = element_table_ensure(a->t->elements, set, key);
        if (!e)
                return -ENOMEM;
        if (!element_stamp(e, a->stamp))
                return 0; /* this Service has it already */
        return element_is_shared(e) ? claim_shared(a, e) : claim(a, e, value, rank);
}

/* What it had before and did not ask for again; @keep: the apply failed, nothing is given up. */
static void settle_old(struct apply *a, bool keep)
{
        struct ruleset_owner *o = a->owner;
        bool freed = false;

        for (size_t i = 0; i < o->n_elements; i++) {
                struct element *e = o->elements[i];
                bool again = element_has_stamp(e, a->stamp);

                if (!element_is_shared(e) && element_owner(e) != o)
                        continue;
                if (keep && !again) {
                        a->items[a->n++] = e;
                        continue;
                }
                if (element_is_shared(e) ? element_release(e) : !again) {
                        unwant(a->t, e);
                        freed = true;
                }
        }
        if (freed)
                wake_blocked(a->t);
}

int ruleset_table_apply(struct ruleset_table *t, struct ruleset_owner *owner,
                        struct service *service, const struct endpoint_slice *const *slices,
                        size_t n_slices)
{
        struct apply a = { .t = t, .owner = owner, .stamp = element_table_stamp(t->elements) };
        struct ruleset_sink sink = { .emit = on_emit, .userdata = &a };
        int r;

        list_remove(&owner->displaced);
        list_remove(&owner->blocked);
        r = reserve(&a);
        if (r < 0)
                return r;
        service_ref(service);
        service_unref(owner->service);
        owner->service = service;
        if (service)
                r = ruleset_service(&t->ctx, service, slices, n_slices, &sink);
        settle_old(&a, r < 0);
        free(owner->elements);
        owner->elements = a.items;
        owner->n_elements = a.n;
        if (a.lost)
                list_append(&t->blocked, &owner->blocked);
        return r;
}

void ruleset_table_drop(struct ruleset_table *t, struct ruleset_owner *owner)
{
        struct apply a = { .t = t, .owner = owner, .stamp = element_table_stamp(t->elements) };

        list_remove(&owner->displaced);
        list_remove(&owner->blocked);
        settle_old(&a, false);
        free(owner->elements);
        service_unref(owner->service);
        *owner = (struct ruleset_owner){ 0 };
}

/* ---- ranges ---- */
static int compare_points(const void *a, const void *b)
{
        const struct point *x = a, *y = b;
        int r = memcmp(x->key, y->key, sizeof x->key);

        /* where two ranges touch, one ends before the other begins */
        return r != 0 ? r : (int)y->is_end - (int)x->is_end;
}

static bool points_equal(const struct points *a, const struct points *b)
{
        if (a->n != b->n)
                return false;
        for (size_t i = 0; i < a->n; i++)
                if (compare_points(&a->items[i], &b->items[i]) != 0)
                        return false;
        return true;
}

static struct point make_point(const struct ip *ip, bool is_end)
{
        struct point p = { .is_end = is_end };

        memcpy(p.key, ip->bytes, ip_len(ip));
        return p;
}

int ruleset_table_set_ranges(struct ruleset_table *t, enum ruleset_set set,
                             const struct ip_range *ranges, size_t n)
{
        _cleanup_free_ struct ip_range *sorted = calloc(n + 1, sizeof *sorted);
        struct points *points = &t->ranges_want[set - SET_POD_IPS];
        _cleanup_(points_done)
        struct points p = { calloc(2 * n + 1, sizeof *p.items), 0 };
        size_t count = 0;

        if (!sorted || !p.items)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++)
                if (ranges[i].first.family == t->family)
                        sorted[count++] = ranges[i];
        if (ruleset_set_has_ranges(set))
                count = ip_ranges_merge(sorted, count);
        for (size_t i = 0; i < count; i++) {
                struct ip behind;

                p.items[p.n++] = make_point(&sorted[i].first, false);
                if (ruleset_set_has_ranges(set) && ip_next(&sorted[i].last, &behind))
                        p.items[p.n++] = make_point(&behind, true);
        }
        qsort(p.items, p.n, sizeof *p.items, compare_points);
        points_done(points);
        *points = TAKE_VALUE(p);
        return 0;
}

static int have_point(struct points *p, const struct nft_element *element, size_t key_len)
{
        struct point *more = reallocarray(p->items, p->n + 1, sizeof *more);

        if (!more)
                return -ENOMEM;
        p->items = more;
        more[p->n] = (struct point){ .is_end = element->interval_end };
        memcpy(more[p->n++].key, element->key, key_len);
        return 0;
}

static void diff_ranges(struct ruleset_table *t, enum ruleset_set set, struct nft_batch *b)
{
        const struct points *points = &t->ranges_want[set - SET_POD_IPS];
        const struct nft_set *s = ruleset_set(t->family, set);

        if (points_equal(points, &t->ranges_have[set - SET_POD_IPS]))
                return;
        if (t->ranges_have[set - SET_POD_IPS].n > 0)
                nft_batch_flush_set(b, s->name);
        for (size_t i = 0; i < points->n; i++)
                nft_batch_add_element(b, s,
                                      &(struct nft_element){
                                              .key = points->items[i].key,
                                              .interval_end = points->items[i].is_end,
                                      });
}

/* Without memory for the copy nothing is known to be there: it is written once more. */
static void committed_ranges(struct ruleset_table *t, enum ruleset_set set)
{
        const struct points *points = &t->ranges_want[set - SET_POD_IPS];
        struct points *have = &t->ranges_have[set - SET_POD_IPS];
        struct point *copy;

        if (points_equal(points, have))
                return;
        copy = calloc(points->n + 1, sizeof *copy);
        points_done(have);
        if (!copy)
                return;
        if (points->n > 0)
                memcpy(copy, points->items, points->n * sizeof *copy);
        *have = (struct points){ copy, points->n };
}

/* ---- installed ---- */
void ruleset_table_forget(struct ruleset_table *t)
{
        forget_chains(t);
        for (size_t i = 0; i < ARRAY_SIZE(t->ranges_have); i++)
                points_done(&t->ranges_have[i]);
        element_table_forget(t->elements);
        t->sets_fit = 0;
        t->exists = false;
        t->misfit = false;
        t->check_picks = true;
}

int ruleset_table_have_set(struct ruleset_table *t, const struct nft_found_set *set)
{
        enum ruleset_set known = ruleset_set_find(set->name);

        t->exists = true;
        if (known == _SET_MAX || !nft_set_matches(ruleset_set(t->family, known), set))
                t->misfit = true; /* of another version, or not ours: the table is made anew */
        else
                t->sets_fit |= 1U << known;
        return 0;
}

bool ruleset_table_layout_fits(const struct ruleset_table *t)
{
        return t->exists && !t->misfit && t->sets_fit == all_sets;
}

static struct ruleset_chain *find_static(struct ruleset_table *t, const char *name, size_t *ret_i)
{
        for (size_t i = 0; i < t->statics.n_chains; i++) {
                if (streq(t->statics.chains[i].spec.name, name)) {
                        *ret_i = i;
                        return &t->statics.chains[i];
                }
        }
        return NULL;
}

static bool chain_fits(const struct nft_chain *want, const struct nft_found_chain *found)
{
        if (!want->type || !found->type)
                return !want->type && !found->type;
        return streq(want->type, found->type) && want->hook == found->hook &&
               want->priority == found->priority && found->policy == NF_ACCEPT;
}

/* Where the signature of an installed chain is kept; NULL: not one of ours. */
static char **signature_of(struct ruleset_table *t, const char *name, int *r)
{
        struct ruleset_target target;
        struct pick_chain *p;
        size_t i;

        *r = 0;
        if (find_static(t, name, &i))
                return &t->statics_have[i];
        if (!ruleset_target_parse(name, &target))
                return NULL;
        p = ensure_pick(t, &target);
        if (!p)
                *r = -ENOMEM;
        return p ? &p->have : NULL;
}

int ruleset_table_have_chain(struct ruleset_table *t, const struct nft_found_chain *chain)
{
        struct ruleset_chain *known;
        char **have;
        size_t i;
        int r;

        t->exists = true;
        known = find_static(t, chain->name, &i);
        if (known ? !chain_fits(&known->spec, chain) : chain->type != NULL) {
                t->misfit = true;
                return 0;
        }
        have = signature_of(t, chain->name, &r);
        if (have)
                return free_and_strdup(have, "");
        return r < 0 ? r : strv_append(&t->strangers, chain->name);
}

int ruleset_table_have_rule(struct ruleset_table *t, const struct nft_found_rule *rule)
{
        int r;
        char **have = signature_of(t, rule->chain, &r), *longer;

        if (!have)
                return r;
        longer = text_printf("%s%s\n", *have ? *have : "", rule->comment ? rule->comment : "");
        if (!longer)
                return -ENOMEM;
        free(*have);
        *have = longer;
        return 0;
}

int ruleset_table_have_element(struct ruleset_table *t, enum ruleset_set set,
                               const struct nft_element *element)
{
        if (set >= SET_POD_IPS && set < _SET_RANGES_MAX)
                return have_point(&t->ranges_have[set - SET_POD_IPS], element,
                                  nft_fields_len(ruleset_set(t->family, set)->key));
        if (set >= _SET_ELEMENTS_MAX)
                return 0;
        return element_table_have(t->elements, set, element);
}

void ruleset_table_have_all(struct ruleset_table *t)
{
        for (size_t i = 0; i < ARRAY_SIZE(t->ranges_have); i++)
                if (t->ranges_have[i].n > 1)
                        qsort(t->ranges_have[i].items, t->ranges_have[i].n, sizeof(struct point),
                              compare_points);
        element_table_have_all(t->elements);
}

/* ---- from installed to wanted ---- */
static void append_rules(struct nft_batch *b, const struct ruleset_chain *c, const char *have)
{
        if (have && have[0])
                nft_batch_flush_chain(b, c->spec.name);
        for (size_t i = 0; i < c->n_rules; i++)
                nft_batch_add_rule(b, c->spec.name, c->rules[i].rule, c->rules[i].comment);
}

static int diff_statics(struct ruleset_table *t, struct nft_batch *b)
{
        for (size_t i = 0; i < t->statics.n_chains; i++)
                if (!t->statics_have[i])
                        nft_batch_add_chain(b, &t->statics.chains[i].spec);
        for (size_t i = 0; i < t->statics.n_chains; i++) {
                _cleanup_free_ char *signature = ruleset_chain_signature(&t->statics.chains[i]);

                if (!signature)
                        return -ENOMEM;
                if (!t->statics_have[i] || !streq(signature, t->statics_have[i]))
                        append_rules(b, &t->statics.chains[i], t->statics_have[i]);
        }
        return 0;
}

static int diff_pick(struct ruleset_table *t, struct pick_chain *p, struct nft_batch *b)
{
        _cleanup_(ruleset_chain_done)
        struct ruleset_chain c = { 0 };
        _cleanup_free_ char *signature = NULL;
        int r = ruleset_target_build(&t->ctx, &p->target, &c);

        if (r < 0)
                return r;
        signature = ruleset_chain_signature(&c);
        if (!signature)
                return -ENOMEM;
        if (p->have && streq(signature, p->have))
                return 0;
        if (!p->have)
                nft_batch_add_chain(b, &c.spec);
        append_rules(b, &c, p->have);
        free(p->pending);
        p->pending = TAKE_PTR(signature);
        return 0;
}

static int diff_picks(struct ruleset_table *t, struct nft_batch *b)
{
        for (size_t i = 0; i < t->n_picks; i++) {
                struct pick_chain *p = &t->picks[i];
                int r;

                if (p->refs == 0 || (p->have && !t->check_picks))
                        continue;
                r = diff_pick(t, p, b);
                if (r < 0)
                        return r;
        }
        return 0;
}

int ruleset_table_diff(struct ruleset_table *t, struct nft_batch *b)
{
        int r;

        if (!ruleset_table_layout_fits(t)) {
                if (t->exists)
                        nft_batch_delete_table(b);
                ruleset_table_forget(t);
                ruleset_table_have_all(t);
                nft_batch_add_table(b);
                for (int i = 0; i < _SET_MAX; i++)
                        nft_batch_add_set(b, ruleset_set(t->family, (enum ruleset_set)i));
        }
        for (size_t i = 0; i < t->n_picks; i++)
                free(TAKE_PTR(t->picks[i].pending)); /* of a batch that came to nothing */
        r = diff_statics(t, b);
        if (r == 0)
                r = diff_picks(t, b);
        if (r < 0)
                return r;
        for (int set = SET_POD_IPS; set < _SET_RANGES_MAX; set++)
                diff_ranges(t, (enum ruleset_set)set, b);
        element_table_diff(t->elements, b);
        return 0;
}

void ruleset_table_committed(struct ruleset_table *t)
{
        t->exists = true;
        t->misfit = false;
        t->sets_fit = all_sets;
        t->check_picks = false;
        for (size_t i = 0; i < t->statics.n_chains; i++) {
                free(t->statics_have[i]);
                t->statics_have[i] = ruleset_chain_signature(&t->statics.chains[i]);
        }
        for (size_t i = 0; i < t->n_picks; i++) {
                if (!t->picks[i].pending)
                        continue;
                free(t->picks[i].have);
                t->picks[i].have = TAKE_PTR(t->picks[i].pending);
        }
        for (int set = SET_POD_IPS; set < _SET_RANGES_MAX; set++)
                committed_ranges(t, (enum ruleset_set)set);
        element_table_committed(t->elements);
}

static bool is_stale(const struct pick_chain *p)
{
        return p->refs == 0 && p->have;
}

bool ruleset_table_has_stale(const struct ruleset_table *t)
{
        for (size_t i = 0; i < t->n_picks; i++)
                if (is_stale(&t->picks[i]))
                        return true;
        return strv_len(t->strangers) > 0;
}

int ruleset_table_diff_stale(struct ruleset_table *t, struct nft_batch *b)
{
        char name[TARGET_NAME_MAX];

        /* the kernel empties a chain that is deleted, but not in the order in which they refer
         * to each other */
        STRV_FOREACH (s, t->strangers)
                nft_batch_flush_chain(b, *s);
        STRV_FOREACH (s, t->strangers)
                nft_batch_delete_chain(b, *s);
        for (size_t i = 0; i < t->n_picks; i++)
                if (is_stale(&t->picks[i]))
                        nft_batch_delete_chain(b, ruleset_target_name(&t->picks[i].target, name));
        return 0;
}

void ruleset_table_committed_stale(struct ruleset_table *t)
{
        size_t kept = 0;

        t->strangers = strv_free(t->strangers);
        for (size_t i = 0; i < t->n_picks; i++) {
                if (is_stale(&t->picks[i])) {
                        free(t->picks[i].have);
                        free(t->picks[i].pending);
                } else {
                        t->picks[kept++] = t->picks[i];
                }
        }
        t->n_picks = kept;
}

size_t ruleset_table_count(const struct ruleset_table *t)
{
        return element_table_count(t->elements);
}

const struct ruleset_context *ruleset_table_context(const struct ruleset_table *t)
{
        return &t->ctx;
}

bool ruleset_table_has_ip(const struct ruleset_table *t, enum ruleset_set set, const struct ip *ip)
{
        const struct points *p = &t->ranges_have[set - SET_POD_IPS];
        bool inside = false;

        if (!ruleset_set_has_ranges(set)) {
                for (size_t i = 0; i < p->n; i++)
                        inside |= memcmp(p->items[i].key, ip->bytes, ip_len(ip)) == 0;
                return inside;
        }
        for (size_t i = 0; i < p->n; i++) /* sorted: the last point at or before it decides */
                if (memcmp(p->items[i].key, ip->bytes, ip_len(ip)) <= 0)
                        inside = !p->items[i].is_end;
        return inside;
}

bool ruleset_table_find(const struct ruleset_table *t, enum ruleset_set set, const void *key,
                        void *ret_value, const char **ret_owner)
{
        const struct element *e = element_table_find(t->elements, set, key);
        const struct ruleset_owner *owner;

        if (!e || !element_is_installed(e))
                return false;
        if (ret_value)
                memcpy(ret_value, element_installed_value(t->elements, e),
                       ruleset_value_len(t->family, set));
        owner = element_is_shared(e) ? NULL : element_owner(e);
        if (ret_owner)
                *ret_owner = owner && owner->service ? owner->service->key : NULL;
        return true;
}
