#include <endian.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "runtime/digest.h"
#include "runtime/layer-index.h"
#include "runtime/layer.h"

enum { CHUNK = 64 << 10 };

struct exporting {
        int root_fd;
        int (*write)(const void *data, size_t n, void *userdata);
        void *userdata;
        struct digest *digest;
        uint8_t chunk[CHUNK];
};

static int differs(struct err *err, const char *path, const char *how)
{
        return err_set_kind(err, -EINVAL, ERR_IMAGE_VERIFY, "file '%s': %s", path, how);
}

static int copy_contents(struct exporting *x, int fd, const char *path, uint64_t size,
                         struct err *err)
{
        while (size > 0) {
                ssize_t n = read(fd, x->chunk, (size_t)MIN(size, sizeof x->chunk));
                int r;

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return err_sys(err, -errno, "read '%s'", path);
                if (n == 0)
                        return differs(err, path, "shorter than it was");
                digest_add(x->digest, x->chunk, (size_t)n);
                r = x->write(x->chunk, (size_t)n, x->userdata);
                if (r < 0)
                        return err_sys(err, r, "write the archive");
                size -= (uint64_t)n;
        }
        return 0;
}

/* @record: size, digest and path as layer_index_file() wrote them. */
static int export_file(struct exporting *x, const uint8_t *record, struct err *err)
{
        const char *path = (const char *)record + LAYER_INDEX_FILE_HEAD;
        _cleanup_close_ int fd = -1;
        unsigned char sha256[64];
        struct stat st;
        uint64_t size;
        int r;

        memcpy(&size, record, sizeof size);
        size = le64toh(size);
        fd = fs_open_in_root(x->root_fd, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0);
        if (fd < 0 || fstat(fd, &st) < 0)
                return differs(err, path, "missing");
        if (!S_ISREG(st.st_mode))
                return differs(err, path, "no longer a file");
        if ((uint64_t)st.st_size != size)
                return differs(err, path, "of another size than it was");
        r = copy_contents(x, fd, path, size, err);
        if (r < 0)
                return r;
        if (digest_bytes(x->digest, sha256) != 32 || memcmp(sha256, record + 8, 32) != 0)
                return differs(err, path, "changed");
        return 0;
}

/* Were contents replaced within the archive? The last record says so. */
static int check_complete(int index_fd, struct err *err)
{
        _cleanup_(layer_index_reader_freep)
        struct layer_index_reader *r = layer_index_reader_new(index_fd);
        const uint8_t *data;
        size_t n;
        int type;

        if (!r || lseek(index_fd, 0, SEEK_SET) < 0)
                return err_sys(err, r ? -errno : -ENOMEM, "read the layer's index");
        do
                type = layer_index_next(r, &data, &n, err);
        while (type > 0 && type != LAYER_INDEX_END);
        if (type < 0)
                return type;
        for (size_t i = 0; i < n; i++)
                if (data[i])
                        return err_set(err, -ENOTSUP,
                                       "the layer's archive holds files that later entries of it "
                                       "replaced: it cannot be written again");
        return lseek(index_fd, 0, SEEK_SET) < 0 ? err_sys(err, -errno, "read the layer's index")
                                                : 0;
}

int layer_export(int root_fd, int index_fd,
                 int (*write)(const void *data, size_t n, void *userdata), void *userdata,
                 struct err *err)
{
        _cleanup_free_ struct exporting *x = calloc(1, sizeof *x);
        _cleanup_(layer_index_reader_freep)
        struct layer_index_reader *index = NULL;
        _cleanup_(digest_freep)
        struct digest *digest = digest_new("sha256:");
        int r = check_complete(index_fd, err);

        if (r < 0)
                return r;
        index = layer_index_reader_new(index_fd);
        if (!x || !index || !digest)
                return err_sys(err, -ENOMEM, "write the archive");
        *x = (struct exporting){ root_fd, write, userdata, digest, { 0 } };
        for (;;) {
                const uint8_t *data;
                size_t n;
                int type = layer_index_next(index, &data, &n, err);

                if (type < 0)
                        return type;
                if (type == LAYER_INDEX_END)
                        return 0;
                if (type == LAYER_INDEX_RAW) {
                        r = write(data, n, userdata);
                        if (r < 0)
                                return err_sys(err, r, "write the archive");
                } else if (type == LAYER_INDEX_FILE) {
                        r = export_file(x, data, err);
                        if (r < 0)
                                return r;
                }
        }
}
