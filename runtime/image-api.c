/*
 * The image verbs of runtime.h: from struct runtime to its store.
 */
#include <errno.h>
#include <sys/statvfs.h>

#include "base/text.h"
#include "runtime/image-pull.h"
#include "runtime/image-user.h"
#include "runtime/runtime-internal.h"

const struct image_info *image_find(const struct runtime *rt, const char *reference)
{
        const struct image *i = image_store_find(rt->images, reference);

        return i ? &i->info : NULL;
}

void image_foreach(const struct runtime *rt, void (*fn)(const struct image_info *i, void *userdata),
                   void *userdata)
{
        const char *id;
        struct image *i;

        MAP_FOREACH (id, i, rt->images->images)
                fn(&i->info, userdata);
}

int image_pull(struct runtime *rt, const char *reference, const struct image_auth *auths,
               size_t n_auths, image_done_fn done, void *userdata, struct runtime_op **ret,
               struct err *err)
{
        return image_store_pull(rt->images, reference, auths, n_auths, done, userdata, ret, err);
}

int image_import(struct runtime *rt, int fd, const char *name, image_done_fn done, void *userdata,
                 struct runtime_op **ret, struct err *err)
{
        return image_store_import(rt->images, fd, name, done, userdata, ret, err);
}

int image_remove(struct runtime *rt, const char *reference, struct err *err)
{
        return image_store_remove(rt->images, reference, err);
}

int image_resolve_user(const struct runtime *rt, const char *image_id, const char *user,
                       struct image_user *ret, struct err *err)
{
        return image_store_resolve_user(rt->images, image_id, user, ret, err);
}

int image_groups_of(const struct runtime *rt, const char *image_id, uint32_t uid, uint32_t **ret,
                    size_t *ret_n, struct err *err)
{
        return image_store_groups_of(rt->images, image_id, uid, ret, ret_n, err);
}

void image_foreach_layer(const struct runtime *rt, const char *image_id,
                         void (*fn)(const struct image_layer_info *l, void *userdata),
                         void *userdata)
{
        const struct image *i = map_get(rt->images->images, image_id);

        for (size_t k = 0; i && k < strv_len(i->what.diff_ids); k++) {
                struct image_layer_info info = { .diff_id = i->what.diff_ids[k],
                                                 .size = i->layers[k]->what.disk_bytes,
                                                 .n_images = i->layers[k]->n_images };

                for (size_t n = 0; n < strv_len(i->what.diff_ids); n++) /* twice in one image */
                        if (n != k && i->layers[n] == i->layers[k])
                                info.n_images--;
                fn(&info, userdata);
        }
}

int image_fs_usage(const struct runtime *rt, struct image_fs_usage *ret)
{
        struct statvfs v;

        if (fstatvfs(rt->images->dir_fd, &v) < 0)
                return -errno;
        *ret = (struct image_fs_usage){
                .used_bytes = image_store_used_bytes(rt->images),
                .capacity_bytes = (uint64_t)v.f_blocks * v.f_frsize,
                .available_bytes = (uint64_t)v.f_bavail * v.f_frsize,
                .inodes = v.f_files,
                .inodes_free = v.f_favail,
        };
        return 0;
}
