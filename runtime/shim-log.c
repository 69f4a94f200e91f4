/*
 * Container output into CRI log files. A read's worth of lines is written at once, each with the
 * time of that read. The file is rotated here when it has reached its size, as skiffd may be down
 * while the disk fills: renamed to <name>.<UTC time>, the oldest beyond the number allowed removed.
 * (skiffd compresses rotated files to <name>.<time>.gz; those count too.)
 *
 * Whoever writes into a container's output is never made to wait for a disk that is full: what
 * cannot be written is dropped, and that is said once.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>

#include "runtime/log-lines.h"
#include "runtime/shim.h"

/* Pages of its own: among the static variables it would spread them over two more. */
char *shim_buffer;
_Static_assert(SHIM_BUFFER_SIZE >= 2 * LOG_PIECE_MAX, "a carried line and as much again");

int shim_buffer_open(void)
{
        void *pages = mmap(NULL, SHIM_BUFFER_SIZE, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (pages == MAP_FAILED)
                return -errno;
        shim_buffer = pages;
        return 0;
}

void shim_buffer_release(void)
{
        madvise(shim_buffer, SHIM_BUFFER_SIZE, MADV_DONTNEED);
}

/* ---- the file ---- */

/* A container may have its log directory mounted: a link, a device or a second name is not it. */
static int open_file(int dir, const char *name, uint64_t *ret_size)
{
        int flags = O_WRONLY | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
        _cleanup_close_ int fd = openat(dir, name, flags | O_CREAT | O_EXCL, 0640);
        struct stat st;

        if (fd < 0 && errno == EEXIST)
                fd = openat(dir, name, flags);
        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode) || st.st_nlink > 1)
                return -EPERM;
        *ret_size = (uint64_t)st.st_size;
        return TAKE_FD(fd);
}

int log_open(struct container_log *log, const char *path, uint64_t max_size, uint32_t max_files)
{
        const char *slash = path ? strrchr(path, '/') : NULL;
        char folder[PATH_MAX];
        int r;

        *log = LOG_NONE;
        if (!slash)
                return 0;
        if (!slash[1] || (size_t)(slash - path) >= sizeof folder)
                return -EINVAL;
        memcpy(folder, path, (size_t)(slash - path));
        folder[slash - path] = '\0';
        log->max_size = max_size;
        log->max_files = max_files;
        log->name = strdup(slash + 1);
        if (!log->name)
                return -ENOMEM;
        log->dir = open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        r = log->dir < 0 ? -errno : log_reopen(log);
        if (r < 0)
                log_close(log);
        return r;
}

int log_reopen(struct container_log *log)
{
        uint64_t size = 0;
        int fd;

        if (log->dir < 0)
                return 0;
        fd = open_file(log->dir, log->name, &size);
        if (fd < 0)
                return fd; /* the old one stays */
        safe_close(log->file);
        log->file = fd;
        log->size = size;
        log->rotate_at = log->max_size;
        return 0;
}

void log_close(struct container_log *log)
{
        safe_close(log->file);
        safe_close(log->dir);
        free(log->name);
        *log = LOG_NONE;
}

/* ---- rotation ---- */

struct kernel_dirent {
        uint64_t ino;
        int64_t off;
        unsigned short reclen;
        unsigned char type;
        char name[];
};

/* "<log>.20060102-150405", maybe with ".gz" behind. */
static bool is_rotated(const struct container_log *log, const char *name)
{
        size_t n = strlen(log->name);

        return strncmp(name, log->name, n) == 0 && name[n] == '.' &&
               strspn(name + n + 1, "0123456789-") == ROTATED_TIME_SIZE - 1;
}

/* How many rotated files there are, and the one with the earliest time in its name. */
static unsigned find_oldest(const struct container_log *log, char oldest[static NAME_MAX + 1])
{
        _Alignas(8) char entries[2048];
        unsigned count = 0;
        long n;

        if (lseek(log->dir, 0, SEEK_SET) < 0)
                return 0;
        while ((n = syscall(SYS_getdents64, log->dir, entries, sizeof entries)) > 0) {
                for (long at = 0; at < n;) {
                        const struct kernel_dirent *e = (const void *)(entries + at);

                        at += e->reclen;
                        if (!is_rotated(log, e->name))
                                continue;
                        if (count++ == 0 || strcmp(e->name, oldest) < 0) {
                                struct line l = { .data = oldest, .size = NAME_MAX + 1 };

                                line_add(&l, e->name);
                        }
                }
        }
        return count;
}

/* The current file counts among the @max_files. */
static void remove_excess(const struct container_log *log)
{
        char oldest[NAME_MAX + 1];

        while (log->max_files > 0 && find_oldest(log, oldest) >= log->max_files)
                if (unlinkat(log->dir, oldest, 0) < 0)
                        return; /* skiffd may be at it too; the next rotation looks again */
}

static int rename_current(const struct container_log *log)
{
        uint64_t now = (uint64_t)time(NULL);
        char name[NAME_MAX + 1], when[ROTATED_TIME_SIZE];

        /* a flood fills several files a second: their names stay in order and never meet */
        for (unsigned later = 0; later < 1000; later++) {
                struct line l = LINE(name);

                rotated_time_format(now + later, when);
                line_add(&l, log->name);
                line_add(&l, ".");
                line_add(&l, when);
                if (l.len + 1 >= sizeof name)
                        return -ENAMETOOLONG;
                if (syscall(SYS_renameat2, log->dir, log->name, log->dir, name, RENAME_NOREPLACE) ==
                    0)
                        return 0;
                if (errno != EEXIST)
                        return -errno;
        }
        return -EEXIST;
}

static void complain(struct container_log *log, const char *what, int r)
{
        if (!log->complained)
                shim_warn(what, log->name, r);
        log->complained = true;
}

static void rotate(struct container_log *log)
{
        int r = rename_current(log);

        if (r == 0)
                r = log_reopen(log);
        if (r < 0) { /* on with the file that is open, for as much again */
                complain(log, "Failed to rotate, writing on", r);
                log->rotate_at = log->size + log->max_size;
                return;
        }
        log->complained = false;
        remove_excess(log);
}

/* ---- lines ---- */

enum { BATCH_PIECES = 64, TAP_SIZE = 256 * 1024 };

struct batch {
        struct iovec iov[BATCH_PIECES * 3];
        int n;
        size_t bytes;
};

static void add_iov(struct batch *b, const void *data, size_t n)
{
        b->iov[b->n++] = (struct iovec){ (void *)data, n };
        b->bytes += n;
}

static void write_batch(struct container_log *log, struct batch *b)
{
        ssize_t n = b->n > 0 && log->file >= 0 ? writev(log->file, b->iov, b->n) : 0;

        if (n > 0 && (size_t)n == b->bytes) {
                log->size += b->bytes;
        } else if (b->n > 0 && log->file >= 0) {
                int r = n < 0 ? -errno : -ENOSPC;

                complain(log, "Failed to write output, dropping it:", r);
                /* half a line would run into the next one */
                if (n > 0 && ftruncate(log->file, (off_t)log->size) < 0)
                        log->size += (uint64_t)n;
        }
        b->n = 0;
        b->bytes = 0;
        if (log->max_size > 0 && log->file >= 0 && log->size >= log->rotate_at)
                rotate(log);
}

static void format_prefix(char full[static 48], char partial[static 48], const char *stream,
                          size_t *ret_len)
{
        char when[LOG_TIME_SIZE];
        struct line f = { .data = full, .size = 48 }, p = { .data = partial, .size = 48 };
        struct timespec now;

        clock_gettime(CLOCK_REALTIME, &now);
        log_time_format((uint64_t)now.tv_sec, (uint32_t)now.tv_nsec, when);
        line_add(&f, when);
        line_add(&f, " ");
        line_add(&f, stream);
        line_add(&f, " ");
        line_add_n(&p, full, f.len);
        line_add(&f, "F ");
        line_add(&p, "P ");
        *ret_len = f.len;
}

/* Writes the pieces in front of @data; returns how many bytes they were. */
static size_t write_lines(struct log_stream *s, const char *data, size_t n, bool at_end)
{
        char full[48], partial[48];
        struct batch b = { .n = 0 };
        struct log_piece piece;
        size_t prefix, taken, at = 0;

        format_prefix(full, partial, s->name, &prefix);
        while ((taken = log_lines_next(data + at, n - at, at_end, &piece)) > 0) {
                add_iov(&b, piece.partial ? partial : full, prefix);
                add_iov(&b, piece.data, piece.partial ? piece.len : taken);
                if (piece.partial)
                        add_iov(&b, "\n", 1);
                at += taken;
                if (b.n > (BATCH_PIECES - 1) * 3)
                        write_batch(s->log, &b);
        }
        write_batch(s->log, &b);
        return at;
}

/* What is left of a line waits in memory of its own: most streams have none. */
static void keep_rest(struct log_stream *s, const char *rest, size_t n)
{
        char *carry = NULL;

        if (n > 0 && n == s->carry_len && memcmp(rest, s->carry, n) == 0)
                return;
        if (n > 0)
                carry = malloc(n);
        if (n > 0 && !carry) {
                write_lines(s, rest, n, true); /* cut the line rather than lose it */
                n = 0;
        } else if (n > 0) {
                memcpy(carry, rest, n);
        }
        free(s->carry);
        s->carry = carry;
        s->carry_len = n;
}

static void end_stream(struct log_stream *s)
{
        if (s->carry_len > 0)
                write_lines(s, s->carry, s->carry_len, true);
        log_stream_close(s);
}

/* ---- who is attached ---- */

int log_stream_tap(struct log_stream *s)
{
        int pair[2];

        if (s->fd < 0)
                return -EPIPE;
        if (s->n_taps == LOG_TAPS_MAX)
                return -EMFILE;
        if (pipe2(pair, O_CLOEXEC | O_NONBLOCK) < 0)
                return -errno;
        (void)fcntl(pair[1], F_SETPIPE_SZ, TAP_SIZE);
        s->taps[s->n_taps++] = pair[1];
        return pair[0];
}

/* A reader who is gone or too slow is let go: the container is not made to wait for it. */
static void copy_to_taps(struct log_stream *s, const char *data, size_t n)
{
        for (unsigned i = s->n_taps; i-- > 0;) {
                if (write(s->taps[i], data, n) == (ssize_t)n)
                        continue;
                close(s->taps[i]);
                s->taps[i] = s->taps[--s->n_taps];
        }
}

/* One read's worth. 0: there was nothing, or it has ended. */
static size_t read_some(struct log_stream *s)
{
        size_t kept = s->carry_len, written;
        ssize_t n;

        if (s->fd < 0)
                return 0;
        if (kept > 0)
                memcpy(shim_buffer, s->carry, kept);
        do
                n = read(s->fd, shim_buffer + kept, SHIM_BUFFER_SIZE - kept);
        while (n < 0 && errno == EINTR);
        if (n < 0 && errno == EAGAIN)
                return 0;
        if (n <= 0) { /* EIO of a terminal: nobody has it open any more */
                end_stream(s);
                return 0;
        }
        copy_to_taps(s, shim_buffer + kept, (size_t)n);
        written = write_lines(s, shim_buffer, kept + (size_t)n, false);
        keep_rest(s, shim_buffer + written, kept + (size_t)n - written);
        return (size_t)n;
}

static void on_output(struct source *source, _unused_ uint32_t events)
{
        read_some(CONTAINER_OF(source, struct log_stream, source));
}

int log_stream_open(struct log_stream *s, struct container_log *log, const char *name, int fd)
{
        int r;

        *s = (struct log_stream){
                .source = SOURCE_OFF(on_output), .fd = fd, .log = log, .name = name
        };
        if (fcntl(fd, F_SETFL, O_RDONLY | O_NONBLOCK) < 0)
                r = -errno;
        else
                r = source_watch(&s->source, fd, EPOLLIN);
        if (r < 0)
                log_stream_close(s);
        return r;
}

void log_stream_drain(struct log_stream *s)
{
        /* who still writes after the container's end does not keep it from being reported */
        enum { ENOUGH = 4 << 20 };
        size_t n, total = 0;

        while (total < ENOUGH && (n = read_some(s)) > 0)
                total += n;
}

void log_stream_close(struct log_stream *s)
{
        while (s->n_taps > 0)
                close(s->taps[--s->n_taps]);
        source_unwatch(&s->source);
        s->fd = safe_close(s->fd);
        free(s->carry);
        s->carry = NULL;
        s->carry_len = 0;
}
