#include "kubelet/pod-disk.h"

#include "base/text.h"

void pod_disk_done(struct pod_disk *d)
{
        for (size_t i = 0; i < d->n_items; i++)
                free(d->items[i].name);
        free(d->items);
        *d = (struct pod_disk){ 0 };
}

static struct pod_disk_item *find(const struct pod_disk *d, enum pod_disk_kind kind,
                                  const char *name)
{
        for (size_t i = 0; d && i < d->n_items; i++)
                if (d->items[i].kind == kind && streq_null(d->items[i].name, name))
                        return &d->items[i];
        return NULL;
}

struct pod_disk_item *pod_disk_add(struct pod_disk *d, enum pod_disk_kind kind, const char *name)
{
        struct pod_disk_item *item = find(d, kind, name), *grown;
        _cleanup_free_ char *copy = strdup_null(name);

        if (item)
                return item;
        grown = realloc(d->items, (d->n_items + 1) * sizeof *grown);
        if (!grown)
                return NULL;
        d->items = grown;
        if (name && !copy)
                return NULL;
        item = &d->items[d->n_items++];
        *item = (struct pod_disk_item){ .kind = kind, .name = TAKE_PTR(copy) };
        return item;
}

const struct disk_usage *pod_disk_find(const struct pod_disk *d, enum pod_disk_kind kind,
                                       const char *name)
{
        const struct pod_disk_item *item = find(d, kind, name);

        return item && item->usage.is_known ? &item->usage : NULL;
}

struct disk_usage pod_disk_total(const struct pod_disk *d)
{
        struct disk_usage sum = { 0 };

        for (size_t i = 0; d && i < d->n_items; i++) {
                const struct disk_usage *u = &d->items[i].usage;

                if (!u->is_known)
                        continue;
                sum.is_known = true;
                sum.is_partial |= u->is_partial;
                sum.bytes += u->bytes;
                sum.inodes += u->inodes;
                sum.took_usec += u->took_usec;
        }
        return sum;
}
