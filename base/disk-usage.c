/*
 * Theory of operation. The levels between the root and where the walk stands are a stack. The upper
 * ones keep their descriptor and what was read of the directory; those deeper than KEPT_LEVELS,
 * where no honest tree is, give both up when the walk goes below them. On the way back they are
 * opened again through "..", checked to be the directory that was left (somebody may have moved
 * it), and read on from where they were.
 */
#include "base/disk-usage.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/cleanup.h"
#include "base/text.h"

enum {
        KEPT_LEVELS = 128,
        LEVELS_MAX = 1 << 18,
        BUFFER_BYTES = 8192,
        BLOCK_BYTES = 512, /* of st_blocks, whatever the file system */
        SHARE_BITS = 20,   /* inodes are added up in parts of so much */
};

struct level {
        int fd;       /* owned; -1: given up, see above */
        char *buffer; /* owned; BUFFER_BYTES; NULL: given up, or nothing read yet */
        uint32_t len, pos;
        dev_t dev;
        ino_t ino;
        int64_t resume; /* behind the entry looked at last */
};

struct walk {
        struct level *levels; /* owned */
        size_t n, cap;
        const char *except;
        uint64_t entries; /* that may still be looked at */
        uint64_t shares;  /* inodes << SHARE_BITS */
        bool is_incomplete;
        struct disk_usage *ret;
};

static void count(struct walk *w, const struct stat *st)
{
        uint64_t names = S_ISDIR(st->st_mode) || st->st_nlink == 0 ? 1 : st->st_nlink;

        w->ret->bytes += (uint64_t)st->st_blocks * BLOCK_BYTES / names;
        w->shares += ((uint64_t)1 << SHARE_BITS) / names;
        w->ret->inodes = (w->shares + ((uint64_t)1 << (SHARE_BITS - 1))) >> SHARE_BITS;
}

static void give_up(struct level *l)
{
        l->fd = safe_close(l->fd);
        free(l->buffer);
        l->buffer = NULL;
        l->len = l->pos = 0;
}

/* Takes @fd. */
static int push(struct walk *w, int fd)
{
        struct stat st;

        if (w->n == LEVELS_MAX || fstat(fd, &st) < 0) {
                safe_close(fd);
                return -ELOOP;
        }
        if (w->n == w->cap) {
                size_t cap = w->cap * 2 + 32;
                struct level *grown = realloc(w->levels, cap * sizeof *grown);

                if (!grown) {
                        safe_close(fd);
                        return -ENOMEM;
                }
                w->levels = grown;
                w->cap = cap;
        }
        count(w, &st);
        if (w->n > KEPT_LEVELS)
                give_up(&w->levels[w->n - 1]);
        w->levels[w->n++] = (struct level){ .fd = fd, .dev = st.st_dev, .ino = st.st_ino };
        return 0;
}

/* The level above one that is done with, through its "..". */
static int reopen(struct level *l, int below_fd)
{
        struct stat st;

        l->fd = openat(below_fd, "..", O_RDONLY | O_DIRECTORY | O_NOATIME | O_CLOEXEC);
        if (l->fd < 0)
                return -errno;
        if (fstat(l->fd, &st) < 0 || st.st_dev != l->dev || st.st_ino != l->ino ||
            lseek(l->fd, l->resume, SEEK_SET) < 0) {
                l->fd = safe_close(l->fd);
                return -ESTALE;
        }
        return 0;
}

static void pop(struct walk *w)
{
        struct level *done = &w->levels[--w->n];

        if (w->n > 0 && w->levels[w->n - 1].fd < 0 && reopen(&w->levels[w->n - 1], done->fd) < 0) {
                w->is_incomplete = true;
                while (w->levels[w->n - 1].fd < 0) /* the root keeps its own */
                        w->n--;
        }
        give_up(done);
}

static void descend(struct walk *w, const char *name)
{
        const struct open_how how = {
                .flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC,
                .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV,
        };
        int fd = (int)syscall(SYS_openat2, w->levels[w->n - 1].fd, name, &how, sizeof how);

        if (fd < 0) {
                /* gone, or no directory any more, or something is mounted there */
                w->is_incomplete |= errno != ENOENT && errno != ENOTDIR && errno != ELOOP &&
                                    errno != EXDEV;
                return;
        }
        w->is_incomplete |= push(w, fd) < 0;
}

static void look_at(struct walk *w, const struct dirent64 *e)
{
        const struct level *l = &w->levels[w->n - 1];
        struct stat st;

        if (streq(e->d_name, ".") || streq(e->d_name, ".."))
                return;
        if (w->n == 1 && w->except && streq(e->d_name, w->except))
                return;
        w->entries--;
        if (e->d_type == DT_DIR) { /* not by stat: that would ask what is mounted there */
                descend(w, e->d_name);
                return;
        }
        if (fstatat(l->fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) < 0) {
                w->is_incomplete |= errno != ENOENT;
                return;
        }
        if (S_ISDIR(st.st_mode))
                descend(w, e->d_name);
        else if (st.st_dev == l->dev)
                count(w, &st);
}

/* 1: there is an entry at .pos; 0: no more; negative errno. */
static int fill(struct level *l)
{
        ssize_t n;

        if (l->pos < l->len)
                return 1;
        if (!l->buffer && !(l->buffer = malloc(BUFFER_BYTES)))
                return -ENOMEM;
        n = getdents64(l->fd, l->buffer, BUFFER_BYTES);
        if (n < 0)
                return errno == ENOENT ? 0 : -errno; /* it was removed */
        l->len = (uint32_t)n;
        l->pos = 0;
        return n > 0;
}

static void walk(struct walk *w)
{
        while (w->n > 0) {
                struct level *l = &w->levels[w->n - 1];
                const struct dirent64 *e;
                int r = fill(l);

                w->is_incomplete |= r < 0;
                if (r <= 0 || w->entries == 0) {
                        w->is_incomplete |= r > 0;
                        pop(w);
                        continue;
                }
                e = (const struct dirent64 *)(l->buffer + l->pos);
                l->pos += e->d_reclen;
                l->resume = e->d_off;
                look_at(w, e); /* it may move the levels, and give up the buffer */
        }
}

int disk_usage_measure(const char *path, const char *except, uint64_t entries,
                       struct disk_usage *ret)
{
        struct walk w = { .except = except, .entries = entries, .ret = ret };
        usec_t started_at = now_monotonic();
        int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC);
        int r;

        if (fd < 0)
                return -errno;
        *ret = (struct disk_usage){ .is_known = true, .is_partial = true };
        r = push(&w, fd);
        if (r == 0)
                walk(&w);
        free(w.levels);
        ret->is_known = r == 0;
        ret->is_partial = w.is_incomplete;
        ret->took_usec = now_monotonic() - started_at;
        return r;
}
