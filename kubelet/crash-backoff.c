#include "kubelet/crash-backoff.h"

#include <string.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "kubelet/pod.h"

#define FORGET_AFTER_USEC (600 * USEC_PER_SEC)

struct crash_backoff_limits crash_backoff_limits_from(usec_t max_container_restart_period)
{
        return (struct crash_backoff_limits){
                .initial_usec = MIN(10 * USEC_PER_SEC, max_container_restart_period),
                .max_usec = max_container_restart_period,
        };
}

/* It ran so long that what it did before no longer counts, or it is another definition. */
static bool is_forgotten(const struct crash_backoff *b, uint64_t key, usec_t finished_at)
{
        return b->current_usec == 0 || b->key != key ||
               (finished_at > b->updated_at && finished_at - b->updated_at > FORGET_AFTER_USEC);
}

bool crash_backoff_may_start(const struct crash_backoff *b, uint64_t key, usec_t finished_at,
                             usec_t now, usec_t *ret_wake_at, usec_t *ret_delay)
{
        /* a clock that was set back must not add to the wait */
        usec_t since = now > finished_at ? now - finished_at : 0;

        if (is_forgotten(b, key, finished_at) || since >= b->current_usec)
                return true;
        *ret_wake_at = now + b->current_usec - since;
        *ret_delay = b->current_usec;
        return false;
}

void crash_backoff_started(struct crash_backoff *b, uint64_t key, usec_t finished_at, usec_t now)
{
        if (is_forgotten(b, key, finished_at))
                b->current_usec = b->limits.initial_usec;
        else
                b->current_usec = MIN(2 * b->current_usec, b->limits.max_usec);
        b->updated_at = now;
        b->key = key;
}

static uint64_t hash_text(const char *s, uint64_t hash)
{
        return fnv1a(s, strlen(s) + 1, hash); /* with the NUL: "a","b" is not "ab","" */
}

static uint64_t hash_map(const struct string_map *m, uint64_t hash)
{
        for (size_t i = 0; i < m->n; i++)
                hash = hash_text(m->entries[i].value, hash_text(m->entries[i].key, hash));
        return hash_text("", hash);
}

uint64_t crash_backoff_key(const struct pod_container *c)
{
        uint64_t hash = hash_text(c->image, hash_text(c->name, FNV1A_SEED));

        return hash_map(&c->resources.requests, hash_map(&c->resources.limits, hash));
}
