/*
 * The archive is read twice, in steps of different sizes: both readings must see the same entries,
 * and what is handed out keeps to its promises.
 */
#include <assert.h>
#include <string.h>

#include "base/tar.h"
#include "base/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static uint64_t note(uint64_t hash, const void *data, size_t n)
{
        return fnv1a(data, n, hash);
}

static uint64_t note_entry(uint64_t hash, const struct tar_entry *e)
{
        assert(e->name[0] && strlen(e->name) <= TAR_PATH_MAX && strlen(e->link) <= TAR_PATH_MAX);
        assert((e->mode & ~07777U) == 0 && e->n_xattrs <= TAR_XATTRS_MAX);
        assert(e->type == TAR_FILE || e->size == 0);
        assert((e->link[0] != '\0') == (e->type == TAR_HARD_LINK || e->type == TAR_SYMLINK));
        assert(e->mtime.tv_nsec >= 0 && e->mtime.tv_nsec < 1000000000);
        hash = note(hash, e->name, strlen(e->name) + 1);
        hash = note(hash, e->link, strlen(e->link) + 1);
        hash = note(hash, &e->size, sizeof e->size);
        for (size_t i = 0; i < e->n_xattrs; i++) {
                assert(e->xattrs[i].name[0] && e->xattrs[i].size <= TAR_XATTR_SIZE_MAX);
                hash = note(hash, e->xattrs[i].name, strlen(e->xattrs[i].name));
                hash = note(hash, e->xattrs[i].value, e->xattrs[i].size);
        }
        return hash;
}

/* Returns a hash of all that was seen; errors count as seen. */
static uint64_t read_in_steps(const uint8_t *bytes, size_t n, size_t step)
{
        _cleanup_(tar_freep)
        struct tar *t = tar_new();
        uint64_t hash = FNV1A_SEED, data = 0;

        if (!t)
                return 0;
        for (size_t at = 0;;) {
                size_t used = 0, piece = MIN(step, n - at);
                int r = tar_next(t, bytes + at, piece, &used, NULL);

                if (r < 0)
                        return note(hash, "error", 5);
                assert(used <= piece);
                if (r == TAR_ENTRY) {
                        hash = note_entry(hash, tar_entry(t));
                        data = 0;
                } else if (r == TAR_DATA) {
                        assert(used > 0);
                        hash = note(hash, bytes + at, used);
                        data += used;
                } else if (r == TAR_ENTRY_END) {
                        assert(data == tar_entry(t)->size);
                } else if (r == TAR_NEED_MORE && at + used == n) {
                        return note(hash, tar_finish(t, NULL) < 0 ? "bad" : "end", 3);
                } else {
                        assert(r == TAR_END || used > 0);
                }
                at += used;
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
        uint64_t hash = read_in_steps(bytes, n, SIZE_MAX);

        assert(read_in_steps(bytes, n, 1) == hash);
        assert(read_in_steps(bytes, n, 700) == hash);
        return 0;
}
