#include "kubelet/server-files.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/text.h"

enum {
        STREAMS_MAX = 64,
        ENTRIES_MAX = 10000, /* of a list */
        CHUNK_MAX = 64 * 1024,
        BACKLOG_MAX = 256 * 1024,
        SNIFF_MAX = 512,
};

struct server_files {
        char *root; /* owned */
        size_t n_streams;
};

struct file_stream {
        struct server_files *files;
        struct http_exchange *x; /* borrowed */
        int fd;                  /* owned */
        uint64_t left;           /* of what the file held when it was opened */
};

int server_files_new(const char *root, struct server_files **ret)
{
        struct server_files *f = calloc(1, sizeof *f);

        if (!f)
                return -ENOMEM;
        f->root = strdup(root);
        if (!f->root) {
                free(f);
                return -ENOMEM;
        }
        *ret = f;
        return 0;
}

struct server_files *server_files_free(struct server_files *f)
{
        if (!f)
                return NULL;
        free(f->root);
        free(f);
        return NULL;
}

static void stream_free(struct file_stream *s)
{
        s->files->n_streams--;
        safe_close(s->fd);
        free(s);
}

/* Sends until the peer has enough for now, or all. */
static void go_on(struct file_stream *s)
{
        static char chunk[CHUNK_MAX];
        ssize_t waiting = 0;

        while (s->left > 0 && waiting < BACKLOG_MAX) {
                ssize_t n = read(s->fd, chunk, MIN(s->left, sizeof chunk));

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0) {
                        http_stream_abort(s->x);
                        stream_free(s);
                        return;
                }
                if (n == 0)
                        break; /* cut meanwhile */
                s->left -= (uint64_t)n;
                waiting = http_stream_write(s->x, chunk, (size_t)n);
                if (waiting < 0)
                        return; /* on_closed follows */
        }
        if (waiting >= BACKLOG_MAX)
                return;
        http_stream_end(s->x);
        stream_free(s);
}

static void on_drained(_unused_ struct http_exchange *x, void *userdata)
{
        go_on(userdata);
}

static void on_closed(_unused_ struct http_exchange *x, void *userdata)
{
        stream_free(userdata);
}

static const struct http_stream_ops stream_ops = { .on_drained = on_drained,
                                                   .on_closed = on_closed };

/* From what the file begins with, as far as a person at a browser cares. */
static const char *content_type_of(int fd)
{
        char head[SNIFF_MAX];
        ssize_t n = pread(fd, head, sizeof head, 0);

        return n > 0 && memchr(head, '\0', (size_t)n) ? "application/octet-stream"
                                                      : "text/plain; charset=utf-8";
}

/* Takes @fd. */
static void send_file(struct server_files *f, struct http_exchange *x, int fd, uint64_t size)
{
        _cleanup_close_ int owned = fd;
        struct file_stream *s;

        if (f->n_streams >= STREAMS_MAX)
                return http_answer_text(x, 429, "%d files are being read already", STREAMS_MAX);
        s = malloc(sizeof *s);
        if (!s)
                return http_answer_text(x, 500, "out of memory");
        *s = (struct file_stream){ .files = f, .x = x, .fd = -1, .left = size };
        if (http_stream_begin(x, 200, content_type_of(fd), &stream_ops, s) < 0) {
                free(s);
                return http_answer_text(x, 500, "out of memory");
        }
        s->fd = TAKE_FD(owned);
        f->n_streams++;
        go_on(s);
}

static void add_html(struct strbuf *b, const char *text)
{
        for (; *text; text++) {
                if (*text == '&')
                        strbuf_add(b, "&amp;");
                else if (*text == '<')
                        strbuf_add(b, "&lt;");
                else if (*text == '>')
                        strbuf_add(b, "&gt;");
                else if (*text == '"')
                        strbuf_add(b, "&#34;");
                else if (*text == '\'')
                        strbuf_add(b, "&#39;");
                else
                        strbuf_add_n(b, text, 1);
        }
}

static void add_url(struct strbuf *b, const char *text)
{
        static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                    "-_.~";

        for (; *text; text++) {
                if (strchr(plain, *text))
                        strbuf_add_n(b, text, 1);
                else
                        strbuf_addf(b, "%%%02X", (unsigned char)*text);
        }
}

static void send_list(struct http_exchange *x, int dir_fd)
{
        _cleanup_strbuf_ struct strbuf b = { 0 };
        _cleanup_strv_ char **names = NULL;
        size_t n = 0;

        if (fs_list_at(dir_fd, ".", &names) < 0)
                return http_answer_text(x, 500, "Error reading directory\n");
        strbuf_add(&b, "<!doctype html>\n<meta name=\"viewport\" content=\"width=device-width\">\n"
                       "<pre>\n");
        STRV_FOREACH (name, names) {
                struct stat st;
                bool is_dir = fstatat(dir_fd, *name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
                              S_ISDIR(st.st_mode);

                if (n++ == ENTRIES_MAX)
                        break;
                strbuf_add(&b, "<a href=\"");
                add_url(&b, *name);
                strbuf_add(&b, is_dir ? "/\">" : "\">");
                add_html(&b, *name);
                strbuf_add(&b, is_dir ? "/</a>\n" : "</a>\n");
        }
        strbuf_add(&b, "</pre>\n");
        if (b.failed)
                return http_answer_text(x, 500, "out of memory");
        http_answer(x, 200, "text/html; charset=utf-8", b.data, b.len);
}

/* Looks before it opens: a FIFO would wait, and a device may do something. */
static int open_path(const struct server_files *f, const char *path, struct stat *ret)
{
        _cleanup_close_ int root_fd = open(f->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
        _cleanup_close_ int fd = -1;
        char name[32];
        int real;

        if (root_fd < 0)
                return -errno;
        fd = fs_open_beneath(root_fd, *path ? path : ".", O_PATH | O_NOFOLLOW, 0);
        if (fd < 0)
                return fd;
        if (fstat(fd, ret) < 0)
                return -errno;
        if (!S_ISDIR(ret->st_mode) && (!S_ISREG(ret->st_mode) || ret->st_nlink != 1))
                return -ENOENT;
        real = open(fs_fd_path(fd, name), O_RDONLY | O_CLOEXEC | O_NOCTTY);
        return real < 0 ? -errno : real;
}

void server_files_handle(struct server_files *f, struct http_exchange *x, const char *path)
{
        size_t n = strlen(path);
        _cleanup_free_ char *plain = strndup(path, n > 0 && path[n - 1] == '/' ? n - 1 : n);
        struct stat st;
        int fd = plain ? open_path(f, plain, &st) : -ENOMEM;

        if (fd == -ENOMEM || fd == -EMFILE || fd == -ENFILE)
                return http_answer_text(x, 500, "500 Internal Server Error\n");
        if (fd < 0)
                return http_answer_text(x, 404, "404 page not found\n");
        if (!S_ISDIR(st.st_mode))
                return send_file(f, x, fd, (uint64_t)st.st_size);
        send_list(x, fd);
        safe_close(fd);
}
