#include "kubelet/log-source.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "base/fs.h"
#include "base/text.h"

enum {
        COMPRESSED_CHUNK = 16 * 1024,
        FILLS_MAX =
                64, /* compressed chunks without any output: no log, and it must not hold us up */
};

struct log_source {
        int fd; /* owned */
        ino_t inode;
        off_t size, at;
        struct gzip *gzip; /* owned; NULL: plain */
};

struct gzip {
        z_stream z;
        bool is_over; /* a whole member was read; another may follow */
        unsigned char in[COMPRESSED_CHUNK];
};

static struct gzip *gzip_new(void)
{
        struct gzip *g = malloc(sizeof *g);

        if (!g)
                return NULL;
        g->z = (z_stream){ 0 };
        g->is_over = true;
        if (inflateInit2(&g->z, 15 + 16) == Z_OK) /* 32 KiB window, gzip header */
                return g;
        free(g);
        return NULL;
}

static void gzip_free(struct gzip *g)
{
        if (!g)
                return;
        inflateEnd(&g->z);
        free(g);
}

int log_source_open(int dir_fd, const char *name, struct log_source **ret)
{
        _cleanup_(log_source_freep)
        struct log_source *s = malloc(sizeof *s);
        struct stat st;

        if (!s)
                return -ENOMEM;
        *s = (struct log_source){ .fd = -1 };
        s->fd = fs_open_beneath(dir_fd, name, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
        if (s->fd < 0)
                return s->fd == -ELOOP ? -EPERM : s->fd;
        if (fstat(s->fd, &st) < 0)
                return -errno;
        /* A second name could be a root-owned file that somebody linked here. */
        if (!S_ISREG(st.st_mode) || st.st_nlink > 1)
                return -EPERM;
        s->inode = st.st_ino;
        if (endswith(name, ".gz")) {
                s->gzip = gzip_new();
                if (!s->gzip)
                        return -ENOMEM;
        } else {
                s->size = st.st_size;
        }
        *ret = TAKE_PTR(s);
        return 0;
}

struct log_source *log_source_free(struct log_source *s)
{
        if (!s)
                return NULL;
        gzip_free(s->gzip);
        safe_close(s->fd);
        free(s);
        return NULL;
}

ino_t log_source_inode(const struct log_source *s)
{
        return s->inode;
}

off_t log_source_size(const struct log_source *s)
{
        return s->size;
}

bool log_source_is_compressed(const struct log_source *s)
{
        return s->gzip != NULL;
}

ssize_t log_source_read_at(struct log_source *s, void *buf, size_t n, off_t at)
{
        ssize_t got;

        do
                got = pread(s->fd, buf, n, at);
        while (got < 0 && errno == EINTR);
        return got < 0 ? -errno : got;
}

/* More compressed bytes when none are left. Returns 0 at the end of the file. */
static ssize_t gzip_fill(struct log_source *s)
{
        struct gzip *g = s->gzip;
        ssize_t n;

        if (g->z.avail_in > 0)
                return 1;
        n = log_source_read_at(s, g->in, sizeof g->in, s->at);
        if (n <= 0)
                return n;
        s->at += n;
        g->z.next_in = g->in;
        g->z.avail_in = (uInt)n;
        return n;
}

static ssize_t gzip_read(struct log_source *s, void *buf, size_t n)
{
        struct gzip *g = s->gzip;
        int fills = 0;

        g->z.next_out = buf;
        g->z.avail_out = (uInt)MIN(n, (size_t)1 << 20);
        n = g->z.avail_out;
        while (g->z.avail_out == n) {
                ssize_t filled = gzip_fill(s);
                int r;

                if (filled < 0)
                        return filled;
                if (filled == 0)
                        return g->is_over ? 0 : -EBADMSG;
                if (filled > 1 && ++fills > FILLS_MAX)
                        return -EBADMSG;
                g->is_over = false;
                r = inflate(&g->z, Z_NO_FLUSH);
                if (r == Z_STREAM_END) {
                        g->is_over = true;
                        if (inflateReset(&g->z) != Z_OK)
                                return -EBADMSG;
                } else if (r != Z_OK) {
                        return r == Z_MEM_ERROR ? -ENOMEM : -EBADMSG;
                }
        }
        return (ssize_t)(n - g->z.avail_out);
}

ssize_t log_source_read(struct log_source *s, void *buf, size_t n)
{
        ssize_t got;

        if (s->gzip)
                return gzip_read(s, buf, n);
        got = log_source_read_at(s, buf, n, s->at);
        if (got > 0)
                s->at += got;
        return got;
}

void log_source_seek(struct log_source *s, off_t at)
{
        s->at = at;
}

off_t log_source_position(const struct log_source *s)
{
        return s->at;
}
