#include "runtime/image-read.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/text.h"
#include "runtime/image-store-internal.h"

enum { READS_MAX = 4, EVENTS_MAX = 1 << 20 };

struct image_read {
        struct runtime_op op; /* first member */
        struct list_node node;
        struct image_store *store;
        struct image_job job;
        char **held;         /* owned: image ids */
        struct child *child; /* owned */
        int events_fd;       /* owned: a memfd; what skiff-image says */
        runtime_done_fn done;
        void *userdata;
};

static struct image_read *read_free(struct image_read *r)
{
        if (!r)
                return NULL;
        list_remove(&r->node);
        child_free(r->child);
        STRV_FOREACH (id, r->held)
                image_store_unpin(r->store, *id);
        strv_free(r->held);
        image_job_done(&r->job);
        safe_close(r->events_fd);
        free(r);
        return NULL;
}
DEFINE_CLEANUP(struct image_read *, read_free)

void image_reads_stop(struct image_store *s)
{
        struct image_read *r, *next;

        if (!s->reads.head.next)
                return;
        LIST_FOREACH_SAFE (r, next, &s->reads, node)
                read_free(r);
}

/* The last line that it said. */
static int outcome(const struct image_read *r, struct err *err)
{
        _cleanup_image_event_ struct image_event e = { 0 };
        _cleanup_free_ char *text = NULL;
        const char *line;
        size_t n = 0;

        if (lseek(r->events_fd, 0, SEEK_SET) < 0 ||
            fs_read_fd(r->events_fd, EVENTS_MAX, &text, &n) < 0 || n == 0)
                return err_set(err, -EIO, "skiff-image ended without saying how");
        text[n - 1] = '\0'; /* the last newline */
        line = strrchr(text, '\n');
        line = line ? line + 1 : text;
        if (image_event_from_line(line, strlen(line), &e, err) < 0)
                return err_wrap(err, -EBADMSG, "skiff-image");
        if (e.kind == IMAGE_EVENT_DONE)
                return 0;
        if (e.kind != IMAGE_EVENT_ERROR || e.error >= 0)
                return err_set(err, -EIO, "skiff-image ended without saying how");
        return err_set_kind(err, e.error, e.err.kind, "%s", err_text(&e.err));
}

static void on_exited(_unused_ struct child *c, const struct child_result *result, void *userdata)
{
        _cleanup_(read_freep)
        struct image_read *r = userdata;
        _cleanup_err_ struct err err = { 0 };
        int k;

        if (result->errors_len > 0)
                log_warn(0, "skiff-image: %.1024s", result->errors);
        k = outcome(r, &err);
        if (!r->op.abandoned)
                r->done(k, &err, r->userdata);
}

/* Nobody reads any more. */
static void on_abandon(struct runtime_op *base)
{
        struct image_read *r = CONTAINER_OF(base, struct image_read, op);

        child_kill(r->child, SIGKILL);
}

/* ---- what is read ---- */

static bool has_layer(const struct image_job *job, const char *name)
{
        for (size_t i = 0; i < job->n_layers; i++)
                if (streq(job->layers[i].name, name))
                        return true;
        return false;
}

static int add_layers(struct image_read *r, const struct image *i, bool once)
{
        const size_t n = strv_len(i->what.diff_ids);
        struct image_job_layer *grown = realloc(r->job.layers,
                                                (r->job.n_layers + n + 1) * sizeof *grown);

        if (!grown)
                return -ENOMEM;
        r->job.layers = grown;
        for (size_t k = 0; k < n; k++) {
                const struct layer *l = i->layers[k];
                struct image_job_layer *to = &grown[r->job.n_layers];

                if (once && has_layer(&r->job, l->name))
                        continue;
                *to = (struct image_job_layer){ .diff_id = strdup(l->what.diff_id),
                                                .name = strdup(l->name),
                                                .size = l->what.unpacked_size };
                r->job.n_layers++;
                if (!to->diff_id || !to->name)
                        return -ENOMEM;
        }
        return 0;
}

static int add_image(struct image_read *r, struct image *i)
{
        int k = strv_append(&r->held, i->what.id);

        if (k < 0)
                return k;
        i->pins++;
        if (r->job.kind == IMAGE_JOB_EXPORT)
                return add_layers(r, i, false);
        k = strv_append(&r->job.known_manifests, i->what.id);
        if (k == 0 && i->what.manifest_digest)
                k = strv_append(&r->job.known_manifests, i->what.manifest_digest);
        return k < 0 ? k : add_layers(r, i, true);
}

static int start(struct image_read *r, int fd, struct err *err)
{
        struct image_store *s = r->store;
        const int fds[] = { r->events_fd, s->documents_fd, s->layers_fd, fd, s->index_fd };

        return image_store_spawn(s, &r->job, fds, ARRAY_SIZE(fds), on_exited, r, &r->child, err);
}

static int begin(struct image_store *s, enum image_job_kind kind, runtime_done_fn done,
                 void *userdata, struct image_read **ret, struct err *err)
{
        const struct image_read *other;
        struct image_read *r;
        size_t n = 0;

        LIST_FOREACH (other, &s->reads, node)
                n++;
        if (n >= READS_MAX)
                return err_set_kind(err, -EBUSY, ERR_TOO_MANY,
                                    "images are read by %d others already", READS_MAX);
        r = calloc(1, sizeof *r);
        if (!r)
                return err_sys(err, -ENOMEM, "read an image");
        *r = (struct image_read){ .op.on_abandon = on_abandon,
                                  .store = s,
                                  .job.kind = kind,
                                  .events_fd = memfd_create("image-events", MFD_CLOEXEC),
                                  .done = done,
                                  .userdata = userdata };
        list_append(&s->reads, &r->node);
        if (r->events_fd < 0) {
                read_free(r);
                return err_sys(err, -errno, "read an image");
        }
        *ret = r;
        return 0;
}

static int not_here(const char *reference, struct err *err)
{
        return err_set_kind(err, -ENOENT, ERR_IMAGE_NOT_PRESENT, "no image '%s' on this node",
                            reference);
}

/* "docker.io/library/busybox:1.37": what was asked for, else any of its names. */
static int name_archive(struct image_read *r, const struct image *i, const char *reference)
{
        _cleanup_free_ char *asked = NULL;
        const char *name = i->repo_tags ? i->repo_tags[0] : NULL, *colon;

        if (image_normalize(reference, &asked, NULL) == 0 && asked &&
            strv_contains(i->repo_tags, asked))
                name = asked;
        r->job.digest = strdup(i->what.id);
        r->job.name = strdup_null(name);
        colon = name ? strrchr(name, ':') : NULL;
        r->job.tag = colon ? strdup(colon + 1) : NULL;
        return r->job.digest && !r->job.name == !name && !r->job.tag == !colon ? 0 : -ENOMEM;
}

int image_export(struct runtime *rt, const char *reference, int fd, runtime_done_fn done,
                 void *userdata, struct runtime_op **ret, struct err *err)
{
        struct image *i = image_store_find(rt->images, reference);
        _cleanup_(read_freep)
        struct image_read *r = NULL;
        _cleanup_close_ int owned = fd;
        int k;

        if (!i)
                return not_here(reference, err);
        k = begin(rt->images, IMAGE_JOB_EXPORT, done, userdata, &r, err);
        if (k < 0)
                return k;
        if (add_image(r, i) < 0 || name_archive(r, i, reference) < 0)
                return err_sys(err, -ENOMEM, "export an image");
        k = start(r, owned, err);
        if (k < 0)
                return k;
        *ret = &TAKE_PTR(r)->op;
        return 0;
}

int image_verify(struct runtime *rt, const char *reference, int fd, runtime_done_fn done,
                 void *userdata, struct runtime_op **ret, struct err *err)
{
        struct image *i = reference ? image_store_find(rt->images, reference) : NULL;
        _cleanup_(read_freep)
        struct image_read *r = NULL;
        _cleanup_close_ int owned = fd;
        const char *id;
        int k;

        if (reference && !i)
                return not_here(reference, err);
        k = begin(rt->images, IMAGE_JOB_CHECK, done, userdata, &r, err);
        if (k < 0)
                return k;
        if (reference)
                k = add_image(r, i);
        else
                MAP_FOREACH (id, i, rt->images->images)
                        if (k == 0)
                                k = add_image(r, i);
        if (k < 0)
                return err_sys(err, k, "verify images");
        k = start(r, owned, err);
        if (k < 0)
                return k;
        *ret = &TAKE_PTR(r)->op;
        return 0;
}
