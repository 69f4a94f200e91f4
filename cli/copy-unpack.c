#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/tar.h"
#include "base/text.h"
#include "cli/copy.h"

struct copy_unpacker {
        int dir_fd;      /* borrowed */
        char *from, *to; /* owned */
        bool keep, has_ended;
        struct tar *tar; /* owned */
        int file;        /* owned: the file under way; -1: none */
};

int copy_unpacker_new(int dir_fd, const char *from, const char *to, bool keep,
                      struct copy_unpacker **ret)
{
        struct copy_unpacker *u = calloc(1, sizeof *u);

        if (!u)
                return -ENOMEM;
        u->dir_fd = dir_fd;
        u->keep = keep;
        u->file = -1;
        u->from = strdup(from);
        u->to = strdup(to);
        u->tar = tar_new();
        if (!u->from || !u->to || !u->tar) {
                copy_unpacker_free(u);
                return -ENOMEM;
        }
        *ret = u;
        return 0;
}

struct copy_unpacker *copy_unpacker_free(struct copy_unpacker *u)
{
        if (!u)
                return NULL;
        free(u->from);
        free(u->to);
        tar_free(u->tar);
        safe_close(u->file);
        free(u);
        return NULL;
}

/* ---- places ---- */

static int refuse(const char *name, const char *rule, struct err *err)
{
        return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                            "the container's archive holds '%s', which was refused: %s", name,
                            rule);
}

/**
 * place() - where an entry goes
 * @ret_parts: below .dir_fd; owned; NULL: .dir_fd itself
 */
static int place(const struct copy_unpacker *u, const char *name, char ***ret_parts,
                 struct err *err)
{
        _cleanup_strv_ char **parts = NULL, **result = NULL;
        const bool takes_all = streq(u->from, ".");
        bool is_first = true;

        if (strv_split(name, "/", &parts) < 0)
                return err_sys(err, -ENOMEM, "unpack '%s'", name);
        if (!streq(u->to, ".") && strv_append(&result, u->to) < 0)
                return err_sys(err, -ENOMEM, "unpack '%s'", name);
        STRV_FOREACH (p, parts) {
                if (streq(*p, "."))
                        continue;
                if (streq(*p, ".."))
                        return refuse(name, "'..' is not allowed", err);
                if (is_first && !takes_all) {
                        is_first = false;
                        if (!streq(*p, u->from))
                                return refuse(name, "that was not asked for", err);
                        continue;
                }
                is_first = false;
                if (strv_append(&result, *p) < 0)
                        return err_sys(err, -ENOMEM, "unpack '%s'", name);
        }
        if (is_first && !takes_all)
                return refuse(name, "that was not asked for", err);
        *ret_parts = TAKE_PTR(result);
        return 0;
}

/* The folder that the last of @parts belongs in, made where it is missing. A link in its way is
 * refused: somebody may have made it between two entries. */
static int open_parent(const struct copy_unpacker *u, char *const *parts, struct err *err)
{
        _cleanup_close_ int fd = fcntl(u->dir_fd, F_DUPFD_CLOEXEC, 3);

        for (; fd >= 0 && parts[0] && parts[1]; parts++) {
                int next;

                if (mkdirat(fd, parts[0], 0755) < 0 && errno != EEXIST)
                        return err_sys(err, -errno, "make the folder '%s'", parts[0]);
                next = openat(fd, parts[0], O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
                if (next < 0)
                        return err_sys(err, -errno,
                                       "'%s' is in the way: expected a folder, and no link",
                                       parts[0]);
                close(fd);
                fd = next;
        }
        return fd < 0 ? err_sys(err, -errno, "open a folder") : TAKE_FD(fd);
}

static const char *last_of(char *const *parts)
{
        size_t n = strv_len(parts);

        return n ? parts[n - 1] : NULL;
}

/* ---- entries ---- */

static int make_folder(const struct copy_unpacker *u, const struct tar_entry *e, char *const *parts,
                       struct err *err)
{
        const char *name = last_of(parts);
        _cleanup_close_ int parent = -1, fd = -1;

        if (!name) /* the place itself, which is there */
                return 0;
        parent = open_parent(u, parts, err);
        if (parent < 0)
                return parent;
        if (mkdirat(parent, name, 0777) < 0) {
                if (errno != EEXIST)
                        return err_sys(err, -errno, "make the folder '%s'", name);
                fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
                return fd < 0 ? err_sys(err, -errno,
                                        "'%s' is in the way: expected a folder, and no link", name)
                              : 0;
        }
        if (!u->keep)
                return 0;
        fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0 || fchmod(fd, (e->mode & 0777) | 0700) < 0) /* what comes goes in */
                return err_sys(err, -errno, "set the mode of '%s'", name);
        return 0;
}

static int make_file(struct copy_unpacker *u, const struct tar_entry *e, char *const *parts,
                     struct err *err)
{
        const char *name = last_of(parts);
        _cleanup_close_ int parent = -1, fd = -1;
        struct stat st;

        if (!name)
                return refuse(e->name, "expected a folder", err);
        parent = open_parent(u, parts, err);
        if (parent < 0)
                return parent;
        fd = openat(parent, name,
                    O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0666);
        if (fd < 0 && errno == ELOOP)
                return err_set(err, -ELOOP, "'%s' is in the way: expected a file, and no link",
                               name);
        if (fd < 0 || fstat(fd, &st) < 0)
                return err_sys(err, -errno, "write '%s'", name);
        if (!S_ISREG(st.st_mode))
                return err_set(err, -EINVAL, "'%s' is in the way: expected a plain file", name);
        if (ftruncate(fd, 0) < 0)
                return err_sys(err, -errno, "write '%s'", name);
        u->file = TAKE_FD(fd);
        return 0;
}

static int make_hard_link(const struct copy_unpacker *u, const struct tar_entry *e,
                          char *const *parts, struct err *err)
{
        const char *name = last_of(parts);
        _cleanup_close_ int from = -1, to = -1;
        _cleanup_strv_ char **target = NULL;
        struct stat st;
        int r = place(u, e->link, &target, err);

        if (r < 0)
                return r;
        if (!name || !last_of(target))
                return refuse(e->name, "a link to a folder", err);
        from = open_parent(u, target, err);
        to = from < 0 ? -1 : open_parent(u, parts, err);
        if (from < 0 || to < 0)
                return from < 0 ? from : to;
        if (fstatat(from, last_of(target), &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
                return refuse(e->name, "a link to what is no file in it", err);
        if (unlinkat(to, name, 0) < 0 && errno != ENOENT)
                return err_sys(err, -errno, "replace '%s'", name);
        if (linkat(from, last_of(target), to, name, 0) < 0)
                return err_sys(err, -errno, "link '%s'", name);
        return 0;
}

static int begin_entry(struct copy_unpacker *u, const struct tar_entry *e, struct err *err)
{
        _cleanup_strv_ char **parts = NULL;
        int r = place(u, e->name, &parts, err);

        if (r < 0)
                return r;
        switch (e->type) {
        case TAR_FILE:
                return make_file(u, e, parts, err);
        case TAR_DIRECTORY:
                return make_folder(u, e, parts, err);
        case TAR_HARD_LINK:
                return make_hard_link(u, e, parts, err);
        case TAR_SYMLINK:
                fprintf(stderr, "skiff: '%s' is a link to '%s': left out\n", e->name, e->link);
                return 0;
        default:
                fprintf(stderr, "skiff: '%s' is no file, folder or link: left out\n", e->name);
                return 0;
        }
}

static int end_entry(struct copy_unpacker *u, const struct tar_entry *e, struct err *err)
{
        const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, e->mtime };
        _cleanup_close_ int fd = TAKE_FD(u->file);

        if (fd < 0 || !u->keep)
                return 0;
        if (fchmod(fd, e->mode & 0777) < 0 || futimens(fd, times) < 0)
                return err_sys(err, -errno, "set mode and time of '%s'", e->name);
        return 0;
}

static int take(struct copy_unpacker *u, const char *data, size_t n, size_t *ret_used,
                struct err *err)
{
        int event = tar_next(u->tar, data, n, ret_used, err), r = 0;

        switch (event) {
        case TAR_ENTRY:
                r = begin_entry(u, tar_entry(u->tar), err);
                break;
        case TAR_DATA:
                r = u->file >= 0 ? fs_write_all(u->file, data, *ret_used) : 0;
                if (r < 0)
                        r = err_sys(err, r, "write '%s'", tar_entry(u->tar)->name);
                break;
        case TAR_ENTRY_END:
                r = end_entry(u, tar_entry(u->tar), err);
                break;
        case TAR_END:
                u->has_ended = true;
                break;
        default:
                break;
        }
        if (event < 0)
                return event;
        return r < 0 ? r : event;
}

int copy_unpack(struct copy_unpacker *u, const void *data, size_t n, struct err *err)
{
        size_t at = 0;
        int r;

        do {
                size_t used = 0;

                r = take(u, (const char *)data + at, n - at, &used, err);
                at += used;
        } while (r >= 0 && !(r == TAR_NEED_MORE && at == n));
        return r < 0 ? r : 0;
}

int copy_unpack_end(struct copy_unpacker *u, struct err *err)
{
        if (!u->has_ended) {
                int r = tar_finish(u->tar, err);

                if (r < 0)
                        return r;
        }
        return u->file >= 0 ? err_set(err, -EINVAL, "the container's archive was cut short") : 0;
}
