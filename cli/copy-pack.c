#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/tar-write.h"
#include "cli/copy.h"

enum { CHUNK = 64 * 1024, DEPTH_MAX = 256 };

struct packing {
        int fd;            /* borrowed: takes the archive */
        struct strbuf out; /* not written yet */
        char chunk[CHUNK];
};

static int flush(struct packing *p, struct err *err)
{
        int r = p->out.failed ? -ENOMEM : fs_write_all(p->fd, p->out.data, p->out.len);

        p->out.len = 0;
        return r < 0 ? err_sys(err, r, "write the archive") : 0;
}

static int put_entry(struct packing *p, enum tar_type type, const char *name, const char *link,
                     const struct stat *st, struct err *err)
{
        const struct tar_entry e = { .type = type,
                                     .name = name,
                                     .link = link,
                                     .size = type == TAR_FILE ? (uint64_t)st->st_size : 0,
                                     .mode = st->st_mode & 07777,
                                     .uid = st->st_uid,
                                     .gid = st->st_gid,
                                     .mtime = st->st_mtim };

        tar_write_header(&p->out, &e);
        return flush(p, err);
}

/* As many bytes as the header says: a file that grows meanwhile is cut, one that shrinks is an
 * error. */
static int put_contents(struct packing *p, int fd, const char *name, uint64_t size, struct err *err)
{
        uint64_t left = size;

        while (left > 0) {
                ssize_t n = read(fd, p->chunk, (size_t)MIN(left, (uint64_t)sizeof p->chunk));
                int r;

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return err_sys(err, -errno, "read '%s'", name);
                if (n == 0)
                        return err_set(err, -EAGAIN, "'%s' became shorter while it was read", name);
                r = fs_write_all(p->fd, p->chunk, (size_t)n);
                if (r < 0)
                        return err_sys(err, r, "write the archive");
                left -= (uint64_t)n;
        }
        tar_write_padding(&p->out, size);
        return flush(p, err);
}

static int pack(struct packing *p, int dir, const char *file, const char *name, unsigned depth,
                struct err *err);

static int pack_folder(struct packing *p, int fd, const char *name, unsigned depth, struct err *err)
{
        int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *d = copy < 0 ? NULL : fdopendir(copy);
        const struct dirent *e;
        int r = 0;

        if (!d) {
                r = err_sys(err, -errno, "read '%s'", name);
                safe_close(copy);
                return r;
        }
        while (r == 0 && (errno = 0, e = readdir(d))) {
                _cleanup_free_ char *below = NULL;

                if (streq(e->d_name, ".") || streq(e->d_name, ".."))
                        continue;
                below = text_printf("%s/%s", name, e->d_name);
                r = below ? pack(p, fd, e->d_name, below, depth + 1, err)
                          : err_sys(err, -ENOMEM, "read '%s'", name);
        }
        if (r == 0 && errno)
                r = err_sys(err, -errno, "read '%s'", name);
        closedir(d);
        return r;
}

static int pack_opened(struct packing *p, int dir, const char *file, const char *name,
                       const struct stat *st, unsigned depth, struct err *err)
{
        const bool is_folder = S_ISDIR(st->st_mode);
        _cleanup_close_ int fd = openat(dir, file,
                                        O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY |
                                                (is_folder ? O_DIRECTORY : 0));
        struct stat now;
        int r;

        if (fd < 0 || fstat(fd, &now) < 0)
                return err_sys(err, -errno, "open '%s'", name);
        if ((now.st_mode & S_IFMT) != (st->st_mode & S_IFMT))
                return err_set(err, -EAGAIN, "'%s' became something else while it was read", name);
        r = put_entry(p, is_folder ? TAR_DIRECTORY : TAR_FILE, name, NULL, &now, err);
        if (r < 0)
                return r;
        return is_folder ? pack_folder(p, fd, name, depth, err)
                         : put_contents(p, fd, name, (uint64_t)now.st_size, err);
}

static int pack_link(struct packing *p, int dir, const char *file, const char *name,
                     const struct stat *st, struct err *err)
{
        char target[PATH_MAX];
        ssize_t n = readlinkat(dir, file, target, sizeof target - 1);

        if (n < 0)
                return err_sys(err, -errno, "read the link '%s'", name);
        target[n] = '\0';
        return put_entry(p, TAR_SYMLINK, name, target, st, err);
}

static int pack(struct packing *p, int dir, const char *file, const char *name, unsigned depth,
                struct err *err)
{
        struct stat st;

        if (fstatat(dir, file, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return err_sys(err, -errno, "look at '%s'", depth ? name : file);
        if (depth > DEPTH_MAX)
                return err_set(err, -ELOOP, "'%s': expected at most %d folders in each other", name,
                               DEPTH_MAX);
        if (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode))
                return pack_opened(p, dir, file, name, &st, depth, err);
        if (S_ISLNK(st.st_mode))
                return pack_link(p, dir, file, name, &st, err);
        fprintf(stderr, "skiff: '%s' is no file, folder or link: left out\n", name);
        return 0;
}

int copy_pack(int fd, const char *path, const char *name, struct err *err)
{
        struct packing *p = calloc(1, sizeof *p);
        int r;

        if (!p)
                return err_sys(err, -ENOMEM, "read '%s'", path);
        p->fd = fd;
        r = pack(p, AT_FDCWD, path, name, 0, err);
        if (r == 0) {
                tar_write_end(&p->out);
                r = flush(p, err);
        }
        strbuf_done(&p->out);
        free(p);
        return r;
}
