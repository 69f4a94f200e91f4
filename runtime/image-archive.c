#include "runtime/image-archive.h"

#include <errno.h>
#include <string.h>

#include "base/map.h"
#include "base/tar.h"
#include "base/text.h"
#include "runtime/layer-path.h"

enum {
        ENTRIES_MAX = 20000,
        LINKS_MAX = 8,
        CHUNK = 64 << 10,
};

struct archive_entry {
        struct archive_file file;
        char *link; /* owned; normalised name; NULL: a file */
};

struct image_archive {
        int fd;              /* borrowed */
        struct map *entries; /* normalised name -> struct archive_entry, owned */
        size_t n;
};

static void entry_free(void *p)
{
        struct archive_entry *e = p;

        free(e->link);
        free(e);
}

struct image_archive *image_archive_free(struct image_archive *a)
{
        if (!a)
                return NULL;
        map_free_with(a->entries, entry_free);
        free(a);
        return NULL;
}

/* "b/layer.tar" with a link "../a/layer.tar" is "a/layer.tar"; out of the archive is refused. */
static int resolve_link(const char *name, const char *link, char out[static TAR_PATH_MAX + 1],
                        struct err *err)
{
        char joined[2 * TAR_PATH_MAX + 2], *part, *state = NULL;
        size_t len = 0;
        const char *slash = strrchr(name, '/');

        snprintf(joined, sizeof joined, "%.*s/%s",
                 link[0] != '/' && slash ? (int)(slash - name) : 0, name, link);
        for (part = strtok_r(joined, "/", &state); part; part = strtok_r(NULL, "/", &state)) {
                size_t n = strlen(part);

                if (streq(part, "."))
                        continue;
                if (streq(part, "..")) {
                        while (len > 0 && out[--len] != '/')
                                ;
                        continue;
                }
                if (len + 1 + n > TAR_PATH_MAX)
                        return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                            "archive: link '%s' is too long", name);
                if (len > 0)
                        out[len++] = '/';
                memcpy(out + len, part, n);
                len += n;
        }
        out[len] = '\0';
        return 0;
}

static int add(struct image_archive *a, const struct tar_entry *t, uint64_t offset, struct err *err)
{
        char name[TAR_PATH_MAX + 1], target[TAR_PATH_MAX + 1];
        struct archive_entry *e;
        bool link = t->type == TAR_SYMLINK || t->type == TAR_HARD_LINK;
        int r = layer_path_normalize(t->name, name, err);

        if (r < 0)
                return err_wrap(err, r, "archive: entry '%s'", t->name);
        if (t->type != TAR_FILE && !link)
                return 0;
        if (++a->n > ENTRIES_MAX)
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                    "archive: more than %d files: not an archive of images",
                                    ENTRIES_MAX);
        if (map_get(a->entries, name))
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT, "archive: '%s' is in it twice",
                                    name);
        r = link ? resolve_link(t->type == TAR_SYMLINK ? name : "", t->link, target, err) : 0;
        if (r < 0)
                return r;
        e = calloc(1, sizeof *e);
        if (!e)
                return err_sys(err, -ENOMEM, "read archive");
        e->file = (struct archive_file){ offset, t->size };
        e->link = link ? strdup(target) : NULL;
        r = link && !e->link ? -ENOMEM : map_put(a->entries, name, e, NULL);
        if (r < 0)
                entry_free(e);
        return r < 0 ? err_sys(err, r, "read archive") : 0;
}

/* Reads headers; data is passed over by offset. */
static int scan(struct image_archive *a, struct err *err)
{
        _cleanup_(tar_freep)
        struct tar *t = tar_new();
        _cleanup_free_ uint8_t *chunk = malloc(CHUNK);
        uint64_t offset = 0;

        if (!t || !chunk)
                return err_sys(err, -ENOMEM, "read archive");
        for (;;) {
                ssize_t n = pread(a->fd, chunk, CHUNK, (off_t)offset);
                size_t at = 0;
                int event = TAR_NEED_MORE, r = 0;

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return err_sys(err, -errno, "read archive");
                if (n == 0)
                        return tar_finish(t, err);
                while (at < (size_t)n || event != TAR_NEED_MORE) {
                        size_t used = 0;

                        event = tar_next(t, chunk + at, (size_t)n - at, &used, err);
                        if (event < 0)
                                return err_wrap(err, event, "archive");
                        at += used;
                        if (event != TAR_ENTRY)
                                continue;
                        r = add(a, tar_entry(t), offset + at, err);
                        if (r < 0)
                                return r;
                        at += tar_skip_data(t);
                        if (at > (size_t)n)
                                break; /* beyond this chunk: read on from there */
                }
                offset += at;
        }
}

int image_archive_open(int fd, struct image_archive **ret, struct err *err)
{
        _cleanup_(image_archive_freep)
        struct image_archive *a = calloc(1, sizeof *a);
        int r;

        if (!a || !(a->entries = map_new()))
                return err_sys(err, -ENOMEM, "read archive");
        a->fd = fd;
        r = scan(a, err);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(a);
        return 0;
}

int image_archive_find(const struct image_archive *a, const char *name, struct archive_file *ret,
                       struct err *err)
{
        char normal[TAR_PATH_MAX + 1];
        const char *at = normal;
        int r = strlen(name) > TAR_PATH_MAX ? -EINVAL : layer_path_normalize(name, normal, err);

        if (r < 0)
                return err_wrap(err, r, "archive: '%.64s'", name);
        for (int i = 0; i < LINKS_MAX; i++) {
                const struct archive_entry *e = map_get(a->entries, at);

                if (!e)
                        break;
                if (!e->link) {
                        *ret = e->file;
                        return 0;
                }
                at = e->link;
        }
        return err_set_kind(err, -ENOENT, ERR_BAD_INPUT, "archive: there is no '%.128s' in it",
                            name);
}

ssize_t image_archive_pread(const struct image_archive *a, const struct archive_file *f, void *to,
                            size_t n, uint64_t offset)
{
        ssize_t k;

        if (offset >= f->size)
                return 0;
        do
                k = pread(a->fd, to, (size_t)MIN(n, f->size - offset), (off_t)(f->offset + offset));
        while (k < 0 && errno == EINTR);
        return k < 0 ? -errno : k == 0 ? -EIO : k;
}

int image_archive_read(const struct image_archive *a, const char *name, size_t max, char **ret,
                       size_t *ret_n, struct err *err)
{
        struct archive_file f;
        _cleanup_free_ char *text = NULL;
        int r = image_archive_find(a, name, &f, err);

        if (r < 0)
                return r;
        if (f.size > max)
                return err_set_kind(err, -EFBIG, ERR_BAD_INPUT,
                                    "archive: '%.128s' has %llu bytes: expected at most %zu", name,
                                    (unsigned long long)f.size, max);
        text = malloc(f.size + 1);
        if (!text)
                return err_sys(err, -ENOMEM, "read archive");
        for (uint64_t at = 0; at < f.size;) {
                ssize_t n = image_archive_pread(a, &f, text + at, f.size - at, at);

                if (n < 0)
                        return err_sys(err, (int)n, "archive: read '%.128s'", name);
                at += (uint64_t)n;
        }
        text[f.size] = '\0';
        *ret_n = f.size;
        *ret = TAKE_PTR(text);
        return 0;
}
