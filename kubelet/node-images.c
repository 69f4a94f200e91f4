#include "kubelet/node-images.h"

#include <stdlib.h>

#include "kubelet/node-object.h"

struct listing {
        const struct image_info **images; /* owned */
        size_t n, cap;
        bool failed;
};

static void collect(const struct image_info *i, void *userdata)
{
        struct listing *l = userdata;

        if (l->n == l->cap) {
                size_t cap = l->cap * 2 + 16;
                const struct image_info **grown = realloc(l->images, cap * sizeof *grown);

                if (!grown) {
                        l->failed = true;
                        return;
                }
                l->images = grown;
                l->cap = cap;
        }
        l->images[l->n++] = i;
}

static int biggest_first(const void *a, const void *b)
{
        const struct image_info *x = *(const struct image_info *const *)a;
        const struct image_info *y = *(const struct image_info *const *)b;

        return (x->size < y->size) - (x->size > y->size);
}

json_t *node_images_list(const struct runtime *rt, int32_t max)
{
        struct listing l = { 0 };
        json_t *list = json_array();

        image_foreach(rt, collect, &l);
        if (l.n)
                qsort(l.images, l.n, sizeof *l.images, biggest_first);
        for (size_t i = 0; i < l.n && (max < 0 || i < (size_t)max); i++)
                if (node_images_add(list, l.images[i]->repo_digests, l.images[i]->repo_tags,
                                    l.images[i]->size) < 0)
                        l.failed = true;
        free(l.images);
        if (!l.failed)
                return list;
        json_decref(list);
        return NULL;
}
