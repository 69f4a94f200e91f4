#include "runtime/image-pull.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/text.h"
#include "runtime/digest.h"
#include "runtime/image-plan.h"

#define JOB_TIMEOUT_USEC (12 * 60 * USEC_PER_MINUTE)
enum { REMOVER_FAILURES_MAX = 3 };

/* One caller that waits. */
struct pull_wait {
        struct runtime_op op; /* first: what the caller holds */
        struct list_node node;
        image_done_fn done;
        void *userdata;
};

struct pull {
        struct image_store *store; /* borrowed */
        struct list_node node;
        struct list waits;
        char *key;            /* owned: what makes pulls identical; NULL: an import */
        struct image_ref ref; /* of a pull */
        char *import_name;    /* owned: name for what is imported; NULL: what the archive says */
        struct image_job job; /* until it runs */
        int archive_fd;       /* owned */

        char dir_name[16]; /* in incoming/ */
        int dir_fd;        /* owned */
        struct child *child;
        int events_fd; /* owned */
        sd_event_source *events_source;
        struct strbuf line; /* events read and not yet complete */
        bool has_exited, is_complete;
        int error; /* negative errno: the first */
        struct err err;
        char *image_id; /* owned: what came of it */
        int auth_index; /* the pull secret that the registry wanted; -1: none */
        struct imported {
                char *id;                /* owned */
                char **names, **refused; /* owned */
                bool was_here;
        } * imported; /* owned; of an import */
        size_t n_imported;
};

static struct pull *pull_free(struct pull *p)
{
        struct pull_wait *w, *next;

        if (!p)
                return NULL;
        list_remove(&p->node);
        if (p->child)
                p->store->n_running--;
        child_free(p->child);
        sd_event_source_disable_unref(p->events_source);
        safe_close(p->events_fd);
        safe_close(p->dir_fd);
        safe_close(p->archive_fd);
        image_job_done(&p->job);
        image_ref_done(&p->ref);
        LIST_FOREACH_SAFE (w, next, &p->waits, node) {
                list_remove(&w->node);
                free(w);
        }
        for (size_t i = 0; i < p->n_imported; i++) {
                free(p->imported[i].id);
                strv_free(p->imported[i].names);
                strv_free(p->imported[i].refused);
        }
        free(p->imported);
        strbuf_done(&p->line);
        err_done(&p->err);
        free(p->image_id);
        free(p->import_name);
        free(p->key);
        free(p);
        return NULL;
}
DEFINE_CLEANUP(struct pull *, pull_free)

void image_pulls_stop(struct image_store *s)
{
        struct pull *p, *next;

        if (!s->pulls.head.next)
                return;
        LIST_FOREACH_SAFE (p, next, &s->pulls, node)
                pull_free(p);
}

int image_store_spawn(struct image_store *s, const struct image_job *job, const int *fds,
                      size_t n_fds, child_done_fn done, void *userdata, struct child **ret,
                      struct err *err)
{
        const char *argv[] = { s->program, NULL };
        int all[6] = { -1 };
        json_auto_t *root = image_job_to_json(job);
        char *text = root ? json_dumps(root, JSON_COMPACT) : NULL;
        _cleanup_close_ int job_fd = -1;
        struct child_options options = { .argv = argv, .fds = all, .n_fds = n_fds + 1 };

        if (!text)
                return err_sys(err, -ENOMEM, "start '%s'", s->program);
        job_fd = fs_sealed_memfd("image-job", text, strlen(text));
        explicit_bzero(text, strlen(text));
        free(text);
        if (job_fd < 0)
                return err_sys(err, job_fd, "start '%s'", s->program);
        all[0] = job_fd;
        for (size_t i = 0; i < n_fds; i++)
                all[i + 1] = fds[i];
        options.timeout_usec = job->kind == IMAGE_JOB_REMOVE ? 0 : JOB_TIMEOUT_USEC;
        return child_spawn(s->event, &options, done, userdata, ret, err);
}

/* ---- the trash ---- */

static void start_remover(struct image_store *s);

static void on_remover_done(struct child *c, const struct child_result *result, void *userdata)
{
        struct image_store *s = userdata;

        s->remover = child_free(c);
        if (result->exit_code != 0) {
                log_warn(0, "Removing layers failed: %s", result->errors);
                if (++s->remover_failures >= REMOVER_FAILURES_MAX)
                        return; /* the next start will try again */
        } else {
                s->remover_failures = 0;
        }
        if (s->trash_is_full || result->exit_code != 0)
                start_remover(s);
}

static void start_remover(struct image_store *s)
{
        struct image_job job = { .kind = IMAGE_JOB_REMOVE };
        _cleanup_err_ struct err err = { 0 };
        _cleanup_close_ int null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
        int fds[] = { null_fd, s->trash_fd }, r;

        if (s->remover)
                return;
        s->trash_is_full = false;
        r = null_fd < 0 ? err_sys(&err, -errno, "open '/dev/null'")
                        : image_store_spawn(s, &job, fds, 2, on_remover_done, s, &s->remover, &err);
        if (r < 0)
                log_warn(0, "Cannot remove layers, the next start will: %s", err_text(&err));
}

int image_store_trash(struct image_store *s, int dir_fd, const char *name)
{
        if (name) {
                char fresh[24];

                snprintf(fresh, sizeof fresh, "%08x%08x", random_u32(), random_u32());
                if (renameat(dir_fd, name, s->trash_fd, fresh) < 0)
                        return errno == ENOENT ? 0 : -errno;
        }
        s->trash_is_full = true;
        start_remover(s);
        return 0;
}

/* ---- what a job reports ---- */

static int name_pulled(struct pull *p, struct image *image, const char *digest, struct err *err)
{
        _cleanup_free_ char *repository = image_ref_name(&p->ref), *by_digest = NULL,
                            *by_tag = NULL;
        int r;

        if (!repository || !(by_digest = text_printf("%s@%s", repository, digest)))
                return err_sys(err, -ENOMEM, "name image");
        r = image_store_name(p->store, image, by_digest, err);
        if (r < 0 || !p->ref.tag)
                return r;
        by_tag = image_ref_format(&p->ref);
        return by_tag ? image_store_name(p->store, image, by_tag, err)
                      : err_sys(err, -ENOMEM, "name image");
}

static int name_and_note(struct pull *p, struct image *image, const char *name,
                         struct imported *note, struct err *err)
{
        int r = image_store_name(p->store, image, name, err);

        if (r == 0 && strv_append(&note->names, name) < 0)
                r = err_sys(err, -ENOMEM, "import");
        return r;
}

static int note_refusal(struct imported *note, const char *name, const struct err *why)
{
        log_warn(0, "Image '%s' is called '%.128s' in its archive: %s, left out", note->id, name,
                 err_text(why));
        return strv_consume(&note->refused, text_printf("'%.128s': %s", name, err_text(why)));
}

/* Names of the archive's own. One that the caller chose is given when all is here. */
static int name_imported(struct pull *p, struct image *image, char *const *names,
                         struct imported *note, struct err *err)
{
        if (p->import_name)
                return 0;
        STRV_FOREACH (name, names) {
                _cleanup_err_ struct err why = { 0 };
                _cleanup_free_ char *normal = NULL;
                int r = image_normalize(*name, &normal, &why);

                if (r == -EINVAL)
                        r = note_refusal(note, *name, &why) < 0 ? -ENOMEM : 0;
                else if (r == 0)
                        r = name_and_note(p, image, normal, note, err);
                if (r < 0)
                        return r == -ENOMEM ? err_sys(err, r, "import") : r;
        }
        return 0;
}

static int add_imported(struct pull *p, const char *id, bool was_here, struct imported **ret)
{
        struct imported *grown = realloc(p->imported, (p->n_imported + 1) * sizeof *grown);

        if (!grown)
                return -ENOMEM;
        p->imported = grown;
        *ret = &grown[p->n_imported];
        **ret = (struct imported){ .id = strdup(id), .was_here = was_here };
        if (!(*ret)->id)
                return -ENOMEM;
        p->n_imported++;
        return 0;
}

/* The whole archive is here: the name that the caller chose goes to its one image. */
static int finish_import(struct pull *p, struct err *err)
{
        struct image *image = p->n_imported ? map_get(p->store->images, p->imported[0].id) : NULL;

        if (!p->import_name || !image)
                return 0;
        if (p->n_imported == 1)
                return name_and_note(p, image, p->import_name, &p->imported[0], err);
        return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                            "name: '%s': expected an archive of one image, this one holds %zu: "
                            "leave the name away",
                            p->import_name, p->n_imported);
}

/* What an import that failed brought in and nobody can name. */
static void drop_nameless(struct pull *p)
{
        for (size_t i = 0; i < p->n_imported; i++) {
                const struct imported *n = &p->imported[i];
                const struct image *image = map_get(p->store->images, n->id);

                if (image && !n->was_here && !image->repo_tags && !image->repo_digests)
                        image_store_remove(p->store, n->id, NULL);
        }
}

static int on_image(struct pull *p, struct image_event_image *what, struct err *err)
{
        _cleanup_strv_ char **names = TAKE_PTR(what->names);
        _cleanup_free_ char *digest = strdup_null(what->index_digest ? what->index_digest
                                                                     : what->manifest_digest);
        bool was_here = what->id && map_get(p->store->images, what->id);
        const int auth_index = what->auth_index;
        struct imported *note;
        struct image *image;
        int r = image_store_add_image(p->store, p->dir_fd, what, &image, err);

        if (r < 0)
                return r;
        p->auth_index = auth_index;
        if (!p->key)
                r = add_imported(p, image->what.id, was_here, &note) < 0
                            ? err_sys(err, -ENOMEM, "import")
                            : name_imported(p, image, names, note, err);
        else if (digest)
                r = name_pulled(p, image, p->ref.digest ? p->ref.digest : digest, err);
        else
                r = err_set(err, -EBADMSG, "a pull without a manifest");
        if (r == 0 && free_and_strdup(&p->image_id, image->what.id) < 0)
                r = err_sys(err, -ENOMEM, "name image");
        return r;
}

static int on_present(struct pull *p, const struct image_present *present, struct err *err)
{
        struct image *image = image_store_find_manifest(p->store, present->manifest_digest);
        const char *digest = present->index_digest ? present->index_digest
                                                   : present->manifest_digest;
        int r;

        if (!image)
                return err_set(err, -EAGAIN, "the image was removed while it was looked for");
        if (!p->key)
                return err_set(err, -EBADMSG, "an import of nothing");
        p->auth_index = present->auth_index;
        r = name_pulled(p, image, p->ref.digest ? p->ref.digest : digest, err);
        if (r == 0 && free_and_strdup(&p->image_id, image->what.id) < 0)
                r = err_sys(err, -ENOMEM, "name image");
        return r;
}

static int on_event_line(struct pull *p, const char *line, size_t n, struct err *err)
{
        _cleanup_image_event_ struct image_event e = { 0 };
        int r = image_event_from_line(line, n, &e, err);

        if (r < 0)
                return r;
        switch (e.kind) {
        case IMAGE_EVENT_PROGRESS:
                log_debug("layer %u of %u: %llu of %llu bytes", e.progress.layer + 1,
                          e.progress.of_layers, (unsigned long long)e.progress.bytes,
                          (unsigned long long)e.progress.of_bytes);
                return 0;
        case IMAGE_EVENT_LAYER:
                return image_store_add_layer(p->store, p->dir_fd, &e.layer, err);
        case IMAGE_EVENT_IMAGE:
                return on_image(p, &e.image, err);
        case IMAGE_EVENT_PRESENT:
                return on_present(p, &e.present, err);
        case IMAGE_EVENT_ERROR:
                err_move(err, &e.err);
                return e.error;
        case IMAGE_EVENT_DONE:
        default:
                p->is_complete = true;
                return p->key ? 0 : finish_import(p, err);
        }
}

static void failed(struct pull *p, int r, struct err *err)
{
        if (p->error == 0) {
                p->error = r;
                err_move(&p->err, err);
        }
}

/* Whole lines out of what has been read. */
static void take_lines(struct pull *p)
{
        size_t at = 0;
        char *end;

        while (p->error == 0 && at < p->line.len &&
               (end = memchr(p->line.data + at, '\n', p->line.len - at))) {
                _cleanup_err_ struct err err = { 0 };
                size_t n = (size_t)(end - (p->line.data + at));
                int r = on_event_line(p, p->line.data + at, n, &err);

                if (r < 0)
                        failed(p, r, &err);
                at += n + 1;
        }
        memmove(p->line.data, p->line.data + at, p->line.len - at);
        p->line.len -= at;
}

/* ---- the end of a job ---- */

static void start_waiting(struct image_store *s);

/* What an import brought, for who asked; owned. NULL: nothing, or no memory. */
static struct image_imported *list_imported(const struct pull *p)
{
        struct image_imported *list = p->n_imported ? calloc(p->n_imported, sizeof *list) : NULL;

        for (size_t i = 0; list && i < p->n_imported; i++) {
                const struct imported *n = &p->imported[i];
                const struct image *image = map_get(p->store->images, n->id);

                list[i] = (struct image_imported){ n->id, image ? image->info.size : 0, n->names,
                                                   n->refused };
        }
        return list;
}

static void tell(struct pull *p, int r, const struct image *image)
{
        _cleanup_free_ struct image_imported *imported = r == 0 ? list_imported(p) : NULL;
        struct list waits;
        struct pull_wait *w;

        /* a callback may ask for the same image again: this pull is over */
        list_remove(&p->node);
        list_init(&waits);
        while (!list_is_empty(&p->waits)) {
                struct list_node *n = list_pop(&p->waits);

                list_append(&waits, n);
        }
        while ((w = LIST_FIRST(&waits, struct pull_wait, node))) {
                struct image_pull_result result = { 0 };

                list_remove(&w->node);
                if (r == 0)
                        result = (struct image_pull_result){ image->info.id, image->info.size,
                                                             p->auth_index, imported,
                                                             imported ? p->n_imported : 0 };
                if (!w->op.abandoned)
                        w->done(r, r == 0 ? &result : NULL, &p->err, w->userdata);
                free(w);
        }
}

static void finish(struct pull *p)
{
        struct image_store *s = p->store;
        struct image *image = p->image_id ? map_get(s->images, p->image_id) : NULL;
        int r = p->error;

        if (r == 0 && (!p->is_complete || !image))
                r = err_set_kind(&p->err, -EIO, ERR_IMAGE_PULL,
                                 "skiff-image ended without saying how");
        if (r < 0)
                drop_nameless(p);
        if (p->dir_name[0] && image_store_trash(s, s->incoming_fd, p->dir_name) < 0)
                log_warn(0, "Failed to clear up images/incoming/%s, the next start will",
                         p->dir_name);
        if (p->child) {
                p->child = child_free(p->child);
                s->n_running--;
        }
        tell(p, r, image);
        pull_free(p);
        start_waiting(s);
}

static int on_events(_unused_ sd_event_source *source, int fd, _unused_ uint32_t revents,
                     void *userdata)
{
        struct pull *p = userdata;
        char chunk[16 << 10];
        ssize_t n = read(fd, chunk, sizeof chunk);

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return 0;
        if (n > 0 && p->line.len + (size_t)n <= IMAGE_EVENT_LINE_MAX) {
                strbuf_add_n(&p->line, chunk, (size_t)n);
                if (!p->line.failed)
                        take_lines(p);
                if (!p->line.failed && p->error == 0)
                        return 0;
        }
        if (n > 0 && p->error == 0) {
                _cleanup_err_ struct err err = { 0 };

                failed(p, err_set(&err, -EBADMSG, "skiff-image says too much"), &err);
        }
        if (n > 0)
                child_kill(p->child, SIGKILL);
        p->events_source = sd_event_source_disable_unref(p->events_source);
        if (p->has_exited)
                finish(p);
        return 0;
}

static void on_exited(_unused_ struct child *c, const struct child_result *result, void *userdata)
{
        struct pull *p = userdata;

        p->has_exited = true;
        if (result->errors_len > 0)
                log_warn(0, "skiff-image: %.1024s", result->errors);
        if (result->timed_out && p->error == 0) {
                _cleanup_err_ struct err err = { 0 };

                failed(p,
                       err_set_kind(&err, -ETIMEDOUT, ERR_REGISTRY_UNAVAILABLE,
                                    "the pull took more than 12 hours"),
                       &err);
        }
        if (!p->events_source)
                finish(p);
}

/* ---- the start of a job ---- */

static int make_dir(struct pull *p, struct err *err)
{
        struct image_store *s = p->store;

        do
                snprintf(p->dir_name, sizeof p->dir_name, "%u", s->next_job++);
        while (mkdirat(s->incoming_fd, p->dir_name, 0700) < 0 && errno == EEXIST);
        p->dir_fd = fs_open_beneath(s->incoming_fd, p->dir_name, O_RDONLY | O_DIRECTORY, 0);
        return p->dir_fd < 0
                       ? err_sys(err, p->dir_fd, "make directory 'images/incoming/%s'", p->dir_name)
                       : 0;
}

static int start(struct pull *p, struct err *err)
{
        struct image_store *s = p->store;
        _cleanup_close_ int write_end = -1;
        int ends[2], fds[4], r = make_dir(p, err);

        if (r < 0)
                return r;
        if (pipe2(ends, O_CLOEXEC) < 0)
                return err_sys(err, -errno, "make a pipe");
        p->events_fd = ends[0];
        write_end = ends[1];
        if (fcntl(p->events_fd, F_SETFL, O_NONBLOCK) < 0)
                return err_sys(err, -errno, "make a pipe");
        r = sd_event_add_io(s->event, &p->events_source, p->events_fd, EPOLLIN, on_events, p);
        if (r < 0)
                return err_sys(err, r, "hear skiff-image");
        fds[0] = write_end;
        fds[1] = p->dir_fd;
        fds[2] = s->layers_fd;
        fds[3] = p->archive_fd;
        r = image_store_spawn(s, &p->job, fds, p->archive_fd >= 0 ? 4 : 3, on_exited, p, &p->child,
                              err);
        if (r < 0)
                return r;
        s->n_running++;
        image_job_done(&p->job); /* credentials are with the child */
        p->archive_fd = safe_close(p->archive_fd);
        return 0;
}

/* The first in line that may run. */
static void start_waiting(struct image_store *s)
{
        struct pull *p, *next;

        LIST_FOREACH_SAFE (p, next, &s->pulls, node) {
                _cleanup_err_ struct err err = { 0 };
                int r;

                if (s->max_parallel_pulls && s->n_running >= s->max_parallel_pulls)
                        return;
                if (p->child)
                        continue;
                r = start(p, &err);
                if (r < 0) {
                        failed(p, r, &err);
                        p->events_source = sd_event_source_disable_unref(p->events_source);
                        finish(p); /* comes back here */
                        return;
                }
        }
}

static int on_start_due(sd_event_source *source, void *userdata)
{
        struct image_store *s = userdata;

        sd_event_source_set_enabled(source, SD_EVENT_OFF);
        start_waiting(s);
        return 0;
}

static int wait_for(struct pull *p, image_done_fn done, void *userdata, struct runtime_op **ret,
                    struct err *err)
{
        struct pull_wait *w = calloc(1, sizeof *w);

        if (!w)
                return err_sys(err, -ENOMEM, "wait for the pull");
        w->done = done;
        w->userdata = userdata;
        list_append(&p->waits, &w->node);
        *ret = &w->op;
        return 0;
}

/* Queues it; it starts from the loop, so that no callback comes out of the call that asked. */
static int queue(struct image_store *s, struct pull *p, struct err *err)
{
        int r;

        if (!s->start_source) {
                r = sd_event_add_defer(s->event, &s->start_source, on_start_due, s);
                if (r < 0)
                        return err_sys(err, r, "start the pull");
        }
        r = sd_event_source_set_enabled(s->start_source, SD_EVENT_ONESHOT);
        if (r < 0)
                return err_sys(err, r, "start the pull");
        list_append(&s->pulls, &p->node);
        return 0;
}

static struct pull *pull_new(struct image_store *s)
{
        struct pull *p = calloc(1, sizeof *p);

        if (!p)
                return NULL;
        *p = (struct pull){
                .store = s, .archive_fd = -1, .dir_fd = -1, .events_fd = -1, .auth_index = -1
        };
        list_init(&p->waits);
        return p;
}

/*
 * Same reference and same credentials. With other credentials it is another pull, or a pod would
 * get by another's secret what its own does not open (KEP-2535).
 */
static char *make_key(const struct image_ref *ref, const struct image_auth *auths, size_t n_auths)
{
        _cleanup_free_ char *name = image_ref_format(ref);
        _cleanup_(digest_freep)
        struct digest *d = digest_new("sha256:");

        if (!name || !d)
                return NULL;
        for (size_t i = 0; i < n_auths; i++) {
                const char *parts[] = { auths[i].username, auths[i].password,
                                        auths[i].identity_token };

                for (size_t k = 0; k < ARRAY_SIZE(parts); k++) {
                        const char *part = parts[k] ? parts[k] : "\1";

                        digest_add(d, part, strlen(part) + 1);
                }
        }
        return text_printf("%s %s", name, digest_text(d));
}

static struct pull *find_pull(struct image_store *s, const char *key)
{
        struct pull *p;

        LIST_FOREACH (p, &s->pulls, node)
                if (p->key && streq(p->key, key) && p->error == 0)
                        return p;
        return NULL;
}

int image_store_pull(struct image_store *s, const char *reference, const struct image_auth *auths,
                     size_t n_auths, image_done_fn done, void *userdata, struct runtime_op **ret,
                     struct err *err)
{
        _cleanup_(pull_freep)
        struct pull *p = pull_new(s);
        struct pull *joined;
        int r;

        if (!p)
                return err_sys(err, -ENOMEM, "pull");
        r = image_ref_parse(reference, &p->ref, err);
        if (r < 0)
                return r;
        p->key = make_key(&p->ref, auths, n_auths);
        if (!p->key)
                return err_sys(err, -ENOMEM, "pull");
        joined = find_pull(s, p->key);
        if (joined)
                return wait_for(joined, done, userdata, ret, err);
        r = image_plan_pull(s, &p->ref, auths, n_auths, &p->job, err);
        if (r == 0)
                r = wait_for(p, done, userdata, ret, err);
        if (r == 0)
                r = queue(s, p, err);
        if (r < 0)
                return r;
        TAKE_PTR(p);
        return 0;
}

int image_store_import(struct image_store *s, int fd, const char *name, image_done_fn done,
                       void *userdata, struct runtime_op **ret, struct err *err)
{
        _cleanup_close_ int archive_fd = fd;
        _cleanup_(pull_freep)
        struct pull *p = pull_new(s);
        int r;

        if (!p)
                return err_sys(err, -ENOMEM, "import");
        p->archive_fd = TAKE_FD(archive_fd);
        r = name ? image_normalize(name, &p->import_name, err) : 0;
        if (r == 0)
                r = image_plan_import(s, &p->job, err);
        if (r == 0)
                r = wait_for(p, done, userdata, ret, err);
        if (r == 0)
                r = queue(s, p, err);
        if (r < 0)
                return r;
        TAKE_PTR(p);
        return 0;
}
