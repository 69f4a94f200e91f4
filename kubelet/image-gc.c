#include "kubelet/image-gc.h"

#include <inttypes.h>

#include "base/cleanup.h"

uint64_t image_gc_wanted(const struct image_gc_policy *p, uint64_t capacity, uint64_t available)
{
        uint64_t used_percent, wanted;

        available = MIN(available, capacity);
        if (capacity == 0 || p->high_percent >= 100)
                return 0;
        used_percent = 100 - (uint64_t)((__uint128_t)available * 100 / capacity);
        wanted = (uint64_t)((__uint128_t)capacity * (100 - p->low_percent) / 100);
        return used_percent >= p->high_percent && wanted > available ? wanted - available : 0;
}

static int compare(const void *a, const void *b)
{
        const struct gc_image *x = a, *y = b;

        if (x->last_used_at != y->last_used_at)
                return x->last_used_at < y->last_used_at ? -1 : 1;
        return (x->pulled_at > y->pulled_at) - (x->pulled_at < y->pulled_at);
}

void image_gc_sort(struct gc_image *images, size_t n)
{
        if (n)
                qsort(images, n, sizeof *images, compare);
}

static usec_t since(usec_t then, usec_t now)
{
        return now > then ? now - then : 0;
}

uint64_t image_gc_choose(struct gc_image *images, size_t n, const struct image_gc_policy *p,
                         uint64_t wanted, usec_t now)
{
        uint64_t freed = 0;

        for (size_t i = 0; i < n && freed < wanted; i++) {
                struct gc_image *image = &images[i];

                if (image->is_used || image->must_go || since(image->pulled_at, now) < p->min_age)
                        continue;
                image->must_go = true;
                freed += image->size;
        }
        return freed;
}

void image_gc_choose_old(struct gc_image *images, size_t n, const struct image_gc_policy *p,
                         usec_t started_at, usec_t now)
{
        if (p->max_age == 0 || since(started_at, now) <= p->max_age)
                return;
        for (size_t i = 0; i < n; i++)
                if (!images[i].is_used && since(images[i].last_used_at, now) > p->max_age)
                        images[i].must_go = true;
}

const char *image_gc_size_text(uint64_t bytes, char buf[static SIZE_TEXT_MAX])
{
        static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
        double size = (double)bytes;
        size_t i = 0;

        for (; size >= 1024 && i + 1 < ARRAY_SIZE(units); i++)
                size /= 1024;
        if (i == 0)
                snprintf(buf, SIZE_TEXT_MAX, "%" PRIu64 " B", bytes);
        else
                snprintf(buf, SIZE_TEXT_MAX, "%.1f %s", size, units[i]);
        return buf;
}
