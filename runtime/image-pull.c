/*
 * Pulls and imports: one skiff-image per job. Its events come line by line over a pipe and are
 * believed as far as a stranger's; layers are taken out of the job's directory as they get
 * complete, so that an interrupted pull need not fetch them again, and the image is recorded last.
 * Callers that want the same are served by the same job.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/text.h"
#include "base/yaml.h"
#include "runtime/image-ref.h"
#include "runtime/image-store-internal.h"
#include "runtime/runtime-internal.h"

#define RESERVE_BYTES   (256ULL << 20) /* left free on the file system */
#define PARALLEL_LAYERS 3
#define STALL_SEC       60
#define CA_MAX          (1 << 20)

struct image_task {
        struct image_store *store;
        struct list_node node;
        struct list waiters;  /* struct pull_op */
        char *key;            /* of identical pulls; NULL: an import */
        char *reference;      /* normalized; import: the name to give, or NULL */
        struct image_ref ref; /* of a pull */
        json_t *job;          /* owned until started; holds credentials */
        int archive_fd;       /* owned; import */
        char dir_name[16];
        int dir_fd, events_fd;   /* owned */
        struct child *child;     /* owned */
        sd_event_source *events; /* owned */
        struct strbuf line;
        struct stored_image *image; /* what came */
        bool done, failed;
        int result;
        struct err err;
};

struct pull_op {
        struct runtime_op op; /* first */
        struct image_task *task;
        struct list_node node;
        image_done_fn done;
        void *userdata;
};

static void start_waiting_tasks(struct image_store *s);

/* ---- ends ---- */

static void task_free(struct image_task *t)
{
        struct pull_op *op, *next;

        LIST_FOREACH_SAFE (op, next, &t->waiters, node) {
                list_remove(&op->node);
                free(op);
        }
        list_remove(&t->node);
        child_free(t->child);
        sd_event_source_disable_unref(t->events);
        safe_close(t->events_fd);
        if (t->dir_fd >= 0) {
                safe_close(t->dir_fd);
                fs_remove_tree_at(t->store->jobs_fd, t->dir_name);
        }
        safe_close(t->archive_fd);
        strbuf_done(&t->line);
        json_decref(t->job);
        image_ref_done(&t->ref);
        err_done(&t->err);
        free(t->key);
        free(t->reference);
        free(t);
}

void image_store_stop_jobs(struct image_store *s)
{
        struct image_task *t, *next;

        LIST_FOREACH_SAFE (t, next, &s->jobs, node)
                task_free(t);
}

/* Tells everybody who waits, then goes. */
static void task_finish(struct image_task *t)
{
        struct image_store *s = t->store;
        bool was_running = t->child || t->dir_fd >= 0;
        struct list_node *node;

        list_remove(&t->node); /* a new pull of the same may start from a callback */
        while ((node = list_pop(&t->waiters))) {
                struct pull_op *op = CONTAINER_OF(node, struct pull_op, node);
                const struct image_pull_result result = { t->image ? t->image->id : NULL,
                                                          t->image ? t->image->info.size : 0 };

                if (!op->op.abandoned)
                        op->done(t->result, t->result < 0 ? NULL : &result,
                                 t->result < 0 ? &t->err : NULL, op->userdata);
                free(op);
        }
        task_free(t);
        if (was_running)
                s->n_running--;
        image_store_sweep(s);
        start_waiting_tasks(s);
}

static void task_fail(struct image_task *t, int r, struct err *why)
{
        if (t->failed)
                return;
        t->failed = true;
        t->result = r < 0 ? r : -EIO;
        err_move(&t->err, why);
        err_kind(&t->err, t->result, ERR_IMAGE_PULL);
}

/* ---- events of skiff-image ---- */

static int take_image(struct image_task *t, const struct image_event_image *e, struct err *err)
{
        struct image_store *s = t->store;
        _cleanup_free_ char *name = t->ref.host ? image_ref_name(&t->ref) : NULL, *digest = NULL;
        const char *manifest = e->index_digest ? e->index_digest : e->manifest_digest;
        int r;

        if (name && manifest)
                digest = text_printf("%s@%s", name, manifest);
        r = image_store_add_image(s, e, t->ref.tag ? t->reference : NULL, digest, &t->image, err);
        if (r < 0)
                return r;
        if (!t->ref.host && t->reference)
                return image_store_tag(s, t->image, t->reference, err);
        if (t->ref.host)
                return 0;
        STRV_FOREACH (n, e->names) { /* an archive's own names */
                _cleanup_free_ char *normalized = NULL;

                if (image_normalize(*n, &normalized, NULL) == 0 && !strchr(normalized, '@'))
                        r = image_store_tag(s, t->image, normalized, err);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* The registry's answer leads to a manifest that was known. */
static int take_present(struct image_task *t, const char *digest, struct err *err)
{
        _cleanup_free_ char *name = image_ref_name(&t->ref);

        t->image = name ? image_store_find_digest(t->store, name, digest) : NULL;
        if (!t->image)
                return err_set(err, -EBADMSG, "skiff-image says that '%s' is here, but it is not",
                               digest);
        return t->ref.tag ? image_store_tag(t->store, t->image, t->reference, err) : 0;
}

static int take_event(struct image_task *t, struct image_event *e, struct err *err)
{
        switch (e->kind) {
        case IMAGE_EVENT_PROGRESS:
                return 0;
        case IMAGE_EVENT_LAYER:
                return image_store_add_layer(t->store, t->dir_fd, &e->layer, err);
        case IMAGE_EVENT_IMAGE:
                return take_image(t, &e->image, err);
        case IMAGE_EVENT_PRESENT:
                return t->ref.host ? take_present(t, e->present, err) : -EBADMSG;
        case IMAGE_EVENT_ERROR:
                task_fail(t, e->error, &e->err);
                return 0;
        case IMAGE_EVENT_DONE:
                t->done = true;
                return 0;
        }
        return -EBADMSG;
}

static void take_line(struct image_task *t, const char *line, size_t n)
{
        _cleanup_image_event_ struct image_event e = { 0 };
        _cleanup_err_ struct err err = { 0 };
        int r = image_event_from_line(line, n, &e, &err);

        if (r == 0)
                r = take_event(t, &e, &err);
        if (r < 0)
                task_fail(t, r, &err);
}

static void take_lines(struct image_task *t)
{
        char *start = t->line.data, *end;
        size_t left = t->line.len;

        while (left && (end = memchr(start, '\n', left))) {
                take_line(t, start, (size_t)(end - start));
                left -= (size_t)(end - start) + 1;
                start = end + 1;
        }
        if (left && start != t->line.data)
                memmove(t->line.data, start, left);
        t->line.len = left;
}

/* 1: more may come; 0: the end. */
static int read_events(struct image_task *t)
{
        char chunk[16384];
        ssize_t n = read(t->events_fd, chunk, sizeof chunk);

        if (n < 0)
                return errno == EAGAIN || errno == EINTR ? 1 : 0;
        if (n == 0)
                return 0;
        strbuf_add_n(&t->line, chunk, (size_t)n);
        take_lines(t);
        if (t->line.failed || t->line.len > IMAGE_EVENT_LINE_MAX) {
                struct err err = { 0 };

                err_set(&err, -EMSGSIZE, "skiff-image sent an event of more than %d bytes",
                        IMAGE_EVENT_LINE_MAX);
                task_fail(t, -EMSGSIZE, &err);
                return 0;
        }
        return 1;
}

static int on_events(_unused_ sd_event_source *s, _unused_ int fd, _unused_ uint32_t revents,
                     void *userdata)
{
        struct image_task *t = userdata;

        if (read_events(t) == 0)
                t->events = sd_event_source_disable_unref(t->events);
        return 0;
}

static void on_child_done(_unused_ struct child *c, const struct child_result *result,
                          void *userdata)
{
        struct image_task *t = userdata;
        struct err err = { 0 };

        t->child = NULL;
        while (t->events && read_events(t) > 0) /* what it said last is in the pipe */
                if (!t->line.data)
                        break;
        if (!t->failed && (!t->done || !t->image)) {
                err_set(&err, -EIO, "skiff-image ended with %d before its job was done%s%.*s",
                        result->exit_code, result->errors_len ? ": " : "",
                        (int)MIN(result->errors_len, 400), result->errors);
                task_fail(t, -EIO, &err);
        }
        task_finish(t);
}

/* ---- jobs ---- */

static int read_pem(const char *path, char **ret, struct err *err)
{
        int r = path ? fs_read_at(AT_FDCWD, path, CA_MAX, ret, NULL) : 0;

        return r < 0 ? err_sys(err, r, "read '%s'", path) : 0;
}

static int add_host(struct image_job *job, const struct registry_host *h, struct err *err)
{
        struct image_job_host *grown, *out;
        int r;

        for (size_t i = 0; i < job->n_hosts; i++)
                if (streq(job->hosts[i].host, h->host))
                        return 0;
        grown = realloc(job->hosts, (job->n_hosts + 1) * sizeof *grown);
        if (!grown)
                return err_sys(err, -ENOMEM, "prepare the pull");
        job->hosts = grown;
        out = &grown[job->n_hosts++];
        *out = (struct image_job_host){ .host = strdup(h->host),
                                        .insecure_skip_verify = h->insecure_skip_verify };
        r = out->host ? 0 : -ENOMEM;
        if (r == 0)
                r = read_pem(h->ca_file, &out->ca, err);
        if (r == 0)
                r = read_pem(h->cert_file, &out->certificate, err);
        if (r == 0)
                r = read_pem(h->key_file, &out->key, err);
        return r;
}

static int add_endpoint(struct image_job *job, const struct registry_endpoint *e, struct err *err)
{
        struct image_job_endpoint *grown = realloc(job->endpoints,
                                                   (job->n_endpoints + 1) * sizeof *grown),
                                  *out;

        if (!grown)
                return err_sys(err, -ENOMEM, "prepare the pull");
        job->endpoints = grown;
        out = &grown[job->n_endpoints++];
        *out = (struct image_job_endpoint){ .url = strdup(e->url.text),
                                            .repository = strdup(e->repository),
                                            .is_registry = e->is_registry };
        if (!out->url || !out->repository)
                return err_sys(err, -ENOMEM, "prepare the pull");
        if (!e->host)
                return 0;
        out->credential = (struct image_credential){ strdup_null(e->host->username),
                                                     strdup_null(e->host->password),
                                                     strdup_null(e->host->identity_token) };
        out->token_realms = strv_copy(e->host->token_realms);
        return add_host(job, e->host, err);
}

static int load_registries(const struct image_store *s, struct registries *ret, struct err *err)
{
        json_auto_t *root = NULL;
        int r;

        if (!s->registries_file || faccessat(AT_FDCWD, s->registries_file, F_OK, 0) < 0)
                return 0;
        r = yaml_parse_file(s->registries_file, &root, err);
        if (r == 0)
                r = registries_decode(root, ret, err);
        return r < 0 ? err_wrap(err, r, "'%s'", s->registries_file) : 0;
}

static int add_endpoints(struct image_store *s, struct image_job *job, const struct image_ref *ref,
                         struct err *err)
{
        _cleanup_registries_ struct registries registries = { 0 };
        struct registry_endpoint *endpoints = NULL;
        size_t n = 0;
        int r = load_registries(s, &registries, err);

        if (r == 0)
                r = registries_endpoints(&registries, ref, &endpoints, &n, err);
        for (size_t i = 0; i < n && r == 0; i++)
                r = add_endpoint(job, &endpoints[i], err);
        for (size_t i = 0; i < registries.n_hosts && r == 0; i++)
                r = add_host(job, &registries.hosts[i], err);
        registry_endpoints_free(endpoints, n);
        return r;
}

/* What is here already need not come again. */
static int add_known(struct image_store *s, struct image_job *job, const struct image_ref *ref)
{
        _cleanup_free_ char *name = ref ? image_ref_name(ref) : NULL;
        struct stored_layer *l;
        struct stored_image *i;
        const char *key;

        job->layers = calloc(map_size(s->layers) + 1, sizeof *job->layers);
        if (!job->layers)
                return -ENOMEM;
        MAP_FOREACH (key, l, s->layers)
                job->layers[job->n_layers++] = (struct image_job_layer){ strdup(l->diff_id),
                                                                         strdup(l->name),
                                                                         strdup_null(l->chain_id) };
        MAP_FOREACH (key, i, s->images)
                STRV_FOREACH (d, i->digests) {
                        const char *rest = name ? startswith(*d, name) : NULL;

                        if (rest && *rest == '@' &&
                            strv_append(&job->known_manifests, rest + 1) < 0)
                                return -ENOMEM;
                }
        return 0;
}

static int add_auths(struct image_job *job, const struct image_auth *auths, size_t n)
{
        job->auths = calloc(n ? n : 1, sizeof *job->auths);
        if (!job->auths)
                return -ENOMEM;
        for (; job->n_auths < n; job->n_auths++)
                job->auths[job->n_auths] = (struct image_credential){
                        strdup_null(auths[job->n_auths].username),
                        strdup_null(auths[job->n_auths].password),
                        strdup_null(auths[job->n_auths].identity_token)
                };
        return 0;
}

static struct image_job job_defaults(enum image_job_kind kind)
{
        return (struct image_job){
                .kind = kind,
                .reserve_bytes = RESERVE_BYTES,
                .fetcher_uid = IMAGE_FETCHER_UID,
                .parallel_layers = PARALLEL_LAYERS,
                .stall_sec = STALL_SEC,
        };
}

/* ---- starting ---- */

static int make_job_dir(struct image_task *t, struct err *err)
{
        struct image_store *s = t->store;

        snprintf(t->dir_name, sizeof t->dir_name, "%u", s->next_job++);
        fs_remove_tree_at(s->jobs_fd, t->dir_name);
        if (mkdirat(s->jobs_fd, t->dir_name, 0700) < 0)
                return err_sys(err, -errno, "make a folder for the job");
        t->dir_fd = fs_open_beneath(s->jobs_fd, t->dir_name, O_RDONLY | O_DIRECTORY, 0);
        return t->dir_fd < 0 ? err_sys(err, t->dir_fd, "open the job's folder") : 0;
}

static int spawn(struct image_task *t, struct err *err)
{
        struct image_store *s = t->store;
        const char *const argv[] = { s->program, NULL };
        _cleanup_close_ int job_fd = -1, write_fd = -1;
        int pipe_fds[2], r;
        char *text = json_dumps(t->job, JSON_COMPACT);
        struct child_options options = { .argv = argv };

        if (!text)
                return err_sys(err, -ENOMEM, "start the pull");
        job_fd = fs_sealed_memfd("skiff-image-job", text, strlen(text));
        explicit_bzero(text, strlen(text));
        free(text);
        json_decref(t->job);
        t->job = NULL;
        if (job_fd < 0)
                return err_sys(err, job_fd, "hand over the job");
        r = make_job_dir(t, err);
        if (r < 0)
                return r;
        if (pipe2(pipe_fds, O_CLOEXEC) < 0)
                return err_sys(err, -errno, "make a pipe");
        t->events_fd = pipe_fds[0];
        write_fd = pipe_fds[1];
        if (fcntl(t->events_fd, F_SETFL, O_NONBLOCK) < 0)
                return err_sys(err, -errno, "make a pipe");
        {
                const int fds[] = { job_fd, write_fd, t->dir_fd, s->layers_fd, t->archive_fd };

                options.fds = fds;
                options.n_fds = t->archive_fd >= 0 ? 5 : 4;
                r = child_spawn(s->event, &options, on_child_done, t, &t->child, err);
        }
        if (r < 0)
                return err_wrap(err, r, "start skiff-image");
        r = sd_event_add_io(s->event, &t->events, t->events_fd, EPOLLIN, on_events, t);
        return r < 0 ? err_sys(err, r, "watch skiff-image") : 0;
}

static int on_failed_start(sd_event_source *source, void *userdata)
{
        struct image_task *t = userdata;

        sd_event_source_disable_unref(source);
        t->events = NULL;
        task_finish(t);
        return 0;
}

/* Counted as running from here to task_finish(), also when the start failed. */
static void task_start(struct image_task *t)
{
        struct err err = { 0 };
        int r;

        t->store->n_running++;
        r = spawn(t, &err);
        if (r >= 0)
                return;
        task_fail(t, r, &err);
        if (t->child) {
                child_kill(t->child, 9);
                return;
        }
        if (t->dir_fd < 0) /* so that task_finish() counts it */
                t->dir_fd = fcntl(t->store->jobs_fd, F_DUPFD_CLOEXEC, 3);
        sd_event_source_disable_unref(t->events);
        t->events = NULL;
        if (sd_event_add_defer(t->store->event, &t->events, on_failed_start, t) < 0)
                log_oom();
}

static bool is_started(const struct image_task *t)
{
        return !t->job;
}

static void start_waiting_tasks(struct image_store *s)
{
        struct image_task *t;

        LIST_FOREACH (t, &s->jobs, node) {
                if (s->max_parallel && s->n_running >= s->max_parallel)
                        return;
                if (!is_started(t))
                        task_start(t);
        }
}

static struct image_task *task_new(struct image_store *s)
{
        struct image_task *t = calloc(1, sizeof *t);

        if (!t)
                return NULL;
        *t = (struct image_task){ .store = s, .archive_fd = -1, .dir_fd = -1, .events_fd = -1 };
        list_init(&t->waiters);
        list_append(&s->jobs, &t->node);
        return t;
}

static int add_waiter(struct image_task *t, image_done_fn done, void *userdata,
                      struct runtime_op **ret)
{
        struct pull_op *op = calloc(1, sizeof *op);

        if (!op)
                return -ENOMEM;
        *op = (struct pull_op){ .task = t, .done = done, .userdata = userdata };
        list_append(&t->waiters, &op->node);
        *ret = &op->op;
        return 0;
}

/* Same reference, same credentials: the same pull. */
static char *pull_key(const char *reference, const struct image_auth *auths, size_t n)
{
        struct strbuf b = { 0 };

        strbuf_add(&b, reference);
        for (size_t i = 0; i < n; i++)
                strbuf_addf(&b, "\n%s\n%s\n%s", auths[i].username ? auths[i].username : "",
                            auths[i].password ? auths[i].password : "",
                            auths[i].identity_token ? auths[i].identity_token : "");
        return strbuf_take(&b);
}

static struct image_task *find_task(struct image_store *s, const char *key)
{
        struct image_task *t;

        LIST_FOREACH (t, &s->jobs, node)
                if (t->key && streq(t->key, key) && !t->failed && !t->done)
                        return t;
        return NULL;
}

static int prepare_pull(struct image_task *t, const struct image_auth *auths, size_t n,
                        struct err *err)
{
        struct image_job job = job_defaults(IMAGE_JOB_PULL);
        int r;

        job.name = image_ref_name(&t->ref);
        job.tag = strdup_null(t->ref.digest ? NULL : t->ref.tag);
        job.digest = strdup_null(t->ref.digest);
        r = job.name ? add_endpoints(t->store, &job, &t->ref, err) : -ENOMEM;
        if (r == 0)
                r = add_known(t->store, &job, &t->ref);
        if (r == 0)
                r = add_auths(&job, auths, n);
        if (r == 0) {
                t->job = image_job_to_json(&job);
                r = t->job ? 0 : -ENOMEM;
        }
        image_job_done(&job);
        return r == -ENOMEM ? err_sys(err, r, "prepare the pull") : r;
}

int image_pull(struct runtime *rt, const char *reference, const struct image_auth *auths,
               size_t n_auths, image_done_fn done, void *userdata, struct runtime_op **ret,
               struct err *err)
{
        struct image_store *s = rt->images;
        _cleanup_image_ref_ struct image_ref ref = { 0 };
        _cleanup_free_ char *normalized = NULL, *key = NULL;
        struct image_task *t;
        int r = image_ref_parse(reference, &ref, err);

        if (r < 0)
                return r;
        normalized = image_ref_format(&ref);
        key = normalized ? pull_key(normalized, auths, n_auths) : NULL;
        if (!key)
                return err_sys(err, -ENOMEM, "pull '%s'", reference);
        t = find_task(s, key);
        if (t)
                return add_waiter(t, done, userdata, ret);
        t = task_new(s);
        if (!t)
                return err_sys(err, -ENOMEM, "pull '%s'", reference);
        t->ref = ref;
        ref = (struct image_ref){ 0 };
        t->reference = TAKE_PTR(normalized);
        t->key = TAKE_PTR(key);
        r = prepare_pull(t, auths, n_auths, err);
        if (r == 0)
                r = add_waiter(t, done, userdata, ret);
        if (r < 0) {
                task_free(t);
                return r;
        }
        start_waiting_tasks(s);
        return 0;
}

int image_import(struct runtime *rt, int fd, const char *name, image_done_fn done, void *userdata,
                 struct runtime_op **ret, struct err *err)
{
        struct image_store *s = rt->images;
        struct image_job job = job_defaults(IMAGE_JOB_IMPORT);
        struct image_task *t = task_new(s);
        int r = t ? 0 : -ENOMEM;

        if (!t) {
                safe_close(fd);
                return err_sys(err, r, "import an image");
        }
        t->archive_fd = fd;
        if (name)
                r = image_normalize(name, &t->reference, err);
        if (r == 0)
                r = add_known(s, &job, NULL);
        if (r == 0) {
                t->job = image_job_to_json(&job);
                r = t->job ? add_waiter(t, done, userdata, ret) : -ENOMEM;
        }
        image_job_done(&job);
        if (r < 0) {
                task_free(t);
                return r == -ENOMEM ? err_sys(err, r, "import an image") : r;
        }
        start_waiting_tasks(s);
        return 0;
}
