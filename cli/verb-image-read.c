/*
 * image export, image verify: what the store has of an image, read again.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/json.h"
#include "base/text.h"
#include "cli/progress.h"
#include "cli/verbs.h"

static char *path_for(const char *verb, const char *name)
{
        _cleanup_free_ char *escaped = name ? client_escape(name) : NULL;

        if (name && !escaped)
                return NULL;
        return text_printf("/v1/images/%s%s%s", verb, name ? "?name=" : "", name ? escaped : "");
}

/* ---- export ---- */

struct export
{
        int fd;
        struct progress progress;
};

static int on_archive(const void *data, size_t n, void *userdata)
{
        struct export *e = userdata;
        int r = fs_write_all(e->fd, data, n);

        progress_add(&e->progress, n);
        return r;
}

/* About how much it will be: what it takes on disk. */
static uint64_t size_of(struct invocation *in, const char *name)
{
        _cleanup_err_ struct err ignored = { 0 };
        json_auto_t *answer = NULL;
        const json_t *image, *tag;
        size_t i, k;

        if (client_call(in->client, "GET", "/v1/images", NULL, &answer, &ignored) < 0)
                return 0;
        json_array_foreach (json_object_get(answer, "items"), i, image)
                json_array_foreach (json_object_get(image, "tags"), k, tag)
                        if (endswith(json_string_value(tag), name))
                                return (uint64_t)json_integer_value(json_object_get(image, "size"));
        return 0;
}

static int export_to(struct invocation *in, int fd, uint64_t *ret_bytes, struct err *err)
{
        _cleanup_free_ char *path = path_for("export", in->words[0]),
                            *what = text_printf("exporting %s", in->words[0]);
        struct export e = { .fd = fd };
        int r;

        if (!path || !what)
                return err_sys(err, -ENOMEM, "export");
        progress_begin(&e.progress, what, size_of(in, in->words[0]));
        r = client_stream(in->client, "GET", path, NULL, on_archive, &e, err);
        progress_end(&e.progress);
        *ret_bytes = e.progress.bytes;
        return r;
}

/* A plain file appears when it is complete, and in nobody else's reach: images hold secrets. */
static int export_to_file(struct invocation *in, const char *file, uint64_t *ret_bytes,
                          struct err *err)
{
        _cleanup_free_ char *part = text_printf("%s.part", file);
        _cleanup_close_ int fd = -1;
        struct stat st;
        int r;

        if (!part)
                return err_sys(err, -ENOMEM, "export");
        if (stat(file, &st) == 0 && !S_ISREG(st.st_mode)) { /* a device, a pipe */
                fd = open(file, O_WRONLY | O_CLOEXEC | O_NOCTTY);
                return fd < 0 ? err_sys(err, -errno, "open '%s'", file)
                              : export_to(in, fd, ret_bytes, err);
        }
        fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0)
                return err_sys(err, -errno, "write '%s'", part);
        r = export_to(in, fd, ret_bytes, err);
        if (r == 0 && (fsync(fd) < 0 || rename(part, file) < 0))
                r = err_sys(err, -errno, "write '%s'", file);
        if (r < 0)
                unlink(part);
        return r;
}

int verb_image_export(struct invocation *in, struct err *err)
{
        const char *file = in->words[1];
        uint64_t bytes = 0;
        char size[32];

        if (!streq(file, "-")) {
                if (export_to_file(in, file, &bytes, err) < 0)
                        return EXIT_FAILED;
                printf("%s %s %s\n", file, size_format(bytes, size), in->words[0]);
                return EXIT_OK;
        }
        if (isatty(STDOUT_FILENO) == 1) {
                err_set(err, -EINVAL, "expected a file or pipe for the archive, and no terminal");
                return EXIT_USAGE;
        }
        return export_to(in, STDOUT_FILENO, &bytes, err) < 0 ? EXIT_FAILED : EXIT_OK;
}

/* ---- verify ---- */

struct verify {
        struct strbuf line;
        json_t *items; /* owned */
        struct progress progress;
};

static int on_report(const void *data, size_t n, void *userdata)
{
        struct verify *v = userdata;
        char *end;

        strbuf_add_n(&v->line, data, n);
        while (v->line.data && (end = memchr(v->line.data, '\n', v->line.len))) {
                size_t len = (size_t)(end - v->line.data);
                json_t *o = NULL;

                if (json_parse(v->line.data, len, false, &o, NULL) < 0)
                        return -EBADMSG;
                progress_add(&v->progress,
                             (uint64_t)json_integer_value(json_object_get(o, "bytes")));
                json_array_append_new(v->items, o);
                strbuf_consume(&v->line, len + 1);
        }
        return v->line.failed ? -ENOMEM : 0;
}

/* The names of the images that have it. */
static void add_owners(const json_t *images, const char *digest, struct strbuf *b)
{
        const json_t *image, *l;
        size_t i, k;

        json_array_foreach ((json_t *)images, i, image) {
                bool has = streq_null(json_text_at(image, "id"), digest);
                const char *tag = json_string_value(
                        json_array_get(json_object_get(image, "tags"), 0));

                json_array_foreach (json_object_get(image, "digests"), k, l)
                        has |= endswith(json_string_value(l), digest);
                json_array_foreach (json_object_get(image, "layers"), k, l)
                        has |= streq_null(json_text_at(l, "diffId"), digest);
                if (has)
                        strbuf_addf(b, "%s%s", b->len ? ", " : "",
                                    tag ? tag : json_text_at(image, "id"));
        }
}

static int verify_rows(_unused_ struct invocation *in, const json_t *answer, struct table *t)
{
        const json_t *o;
        size_t i;

        json_array_foreach (json_object_get(answer, "items"), i, o) {
                const char *digest = json_text_at(o, "digest"), *state = json_text_at(o, "state");
                _cleanup_strbuf_ struct strbuf owners = { 0 };
                char size[32];

                add_owners(json_object_get(answer, "images"), digest, &owners);
                if (table_add(t, (const char *const[]){
                                         json_text_at(o, "kind"), digest,
                                         size_format((uint64_t)json_integer_value(
                                                             json_object_get(o, "bytes")),
                                                     size),
                                         state, owners.data, json_text_at(o, "problem") }) < 0)
                        return -ENOMEM;
                table_set_colour(t, 3,
                                 streq(state, "ok")        ? COLOUR_GOOD
                                 : streq(state, "damaged") ? COLOUR_BAD
                                                           : COLOUR_WARNING);
        }
        return 0;
}

static int get_report(struct invocation *in, json_t **ret, struct err *err)
{
        _cleanup_free_ char *path = path_for("verify", in->n_words ? in->words[0] : NULL);
        struct verify v = { .items = json_array() };
        json_auto_t *images = NULL;
        int r = path ? client_call(in->client, "GET", "/v1/images", NULL, &images, err) : -ENOMEM;

        if (r == 0) {
                progress_begin(&v.progress, "reading", 0);
                r = client_stream(in->client, "GET", path, NULL, on_report, &v, err);
                progress_end(&v.progress);
        }
        strbuf_done(&v.line);
        if (r == 0)
                *ret = json_pack("{s:o, s:O}", "items", v.items, "images",
                                 json_object_get(images, "items"));
        else
                json_decref(v.items);
        return r;
}

static size_t count(const json_t *report, const char *state)
{
        const json_t *o;
        size_t i, n = 0;

        json_array_foreach (json_object_get(report, "items"), i, o)
                n += streq_null(json_text_at(o, "state"), state);
        return n;
}

static int print_report(struct invocation *in, json_t *report)
{
        static const char *const headings[] = { "KIND",   "DIGEST",  "READ", "STATE",
                                                "IMAGES", "PROBLEM", NULL };
        _cleanup_(table_freep)
        struct table *t = table_new(headings, !has_flag(in, FLAG_NO_HEADERS));

        if (in->format == OUTPUT_JSON || in->format == OUTPUT_YAML) {
                json_object_del(report, "images");
                return output_tree(in->format, report);
        }
        if (!t || verify_rows(in, report, t) < 0)
                return -ENOMEM;
        if (table_n_rows(t))
                table_print(t);
        return 0;
}

int verb_image_verify(struct invocation *in, struct err *err)
{
        json_auto_t *report = NULL;
        size_t damaged;

        if (get_report(in, &report, err) < 0)
                return EXIT_FAILED;
        damaged = count(report, "damaged");
        if (print_report(in, report) < 0) {
                err_sys(err, -ENOMEM, "show what was found");
                return EXIT_FAILED;
        }
        if (!damaged)
                return EXIT_OK;
        fflush(stdout);
        err_set(err, -EIO,
                "%zu of %zu are damaged: remove the images that have them, and pull anew", damaged,
                json_array_size(json_object_get(report, "items")));
        return EXIT_FAILED;
}
