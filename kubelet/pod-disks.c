#include "kubelet/pod-disks.h"

#include <errno.h>
#include <string.h>

#include "base/disk-meter.h"
#include "base/log.h"
#include "base/map.h"
#include "base/text.h"
#include "kubelet/local-limit.h"
#include "kubelet/pod-files.h"
#include "kubelet/pod-observe.h"

/* Somewhat less than the kubelet's 10 s and 1 min, so that a timer of that period finds it due. */
#define LIMITED_USEC (9 * USEC_PER_SEC)
#define OTHERS_USEC  (59 * USEC_PER_SEC)
#define TIMEOUT_USEC (5 * USEC_PER_MINUTE)
enum { LIMITED_REST = 20, OTHERS_REST = 100 }; /* rest at least so many times what it took */

#define EMPTY_DIR_PATH "%s/pods/%s/volumes/kubernetes.io~empty-dir/%s"
#define VOLUMES_DIR    "volumes" /* of a pod's folder: measured one by one */

struct entry {                /* one uid */
        struct pod_disk disk; /* as measured last */
        struct pod_disk next; /* being measured */
        usec_t measured_at;   /* CLOCK_MONOTONIC; 0: never */
        usec_t took_usec;
        bool is_here, is_due;
        size_t last_tree; /* while collecting: 1 + index of the one added last; 0: none */
};

struct tree { /* one to measure */
        struct entry *entry;
        enum pod_disk_kind kind;
        char *name, *path;  /* owned */
        usec_t created_at;  /* LAYER: of the instance */
        size_t tree_before; /* while collecting: 1 + index, of the same entry; 0: none */
};

struct pod_disks {
        struct pod_disks_options options;
        const struct context *ctx;
        struct map *entries; /* uid -> struct entry, owned */
        struct disk_meter *meter;
        struct tree *trees; /* owned; of the job under way, or being collected */
        size_t n_trees, cap;
        bool failed; /* collecting: no memory */
};

static void entry_free(void *value)
{
        struct entry *e = value;

        pod_disk_done(&e->disk);
        pod_disk_done(&e->next);
        free(e);
}

static void clear_trees(struct pod_disks *d)
{
        for (size_t i = 0; i < d->n_trees; i++) {
                free(d->trees[i].name);
                free(d->trees[i].path);
        }
        free(d->trees);
        d->trees = NULL;
        d->n_trees = d->cap = 0;
}

/* ---- whose turn it is ---- */

static bool is_due(const struct entry *e, const struct pod *pod, bool all, usec_t now)
{
        bool often = all || local_limit_is_set(pod);
        usec_t rest = MAX(often ? LIMITED_USEC : OTHERS_USEC,
                          e->took_usec * (often ? LIMITED_REST : OTHERS_REST));

        return e->measured_at == 0 || now >= e->measured_at + rest;
}

/* ---- collecting ---- */

/* Takes @path. */
static struct tree *add_tree(struct pod_disks *d, struct entry *e, enum pod_disk_kind kind,
                             const char *name, char *path)
{
        struct tree *t;

        if (d->n_trees == d->cap) {
                size_t cap = d->cap * 2 + 64;
                struct tree *grown = realloc(d->trees, cap * sizeof *grown);

                if (!grown) {
                        free(path);
                        d->failed = true;
                        return NULL;
                }
                d->trees = grown;
                d->cap = cap;
        }
        t = &d->trees[d->n_trees++];
        *t = (struct tree){ .entry = e,
                            .kind = kind,
                            .name = strdup_null(name),
                            .path = path,
                            .tree_before = e->last_tree };
        e->last_tree = d->n_trees;
        d->failed = d->failed || !path || (name && !t->name);
        return t;
}

static void add_volumes(struct pod_disks *d, struct entry *e, const struct pod *pod)
{
        for (size_t i = 0; i < pod->n_volumes; i++) {
                const struct pod_volume *v = &pod->volumes[i];

                if (v->source.kind == POD_VOLUME_EMPTY_DIR && *v->medium == '\0')
                        add_tree(d, e, POD_DISK_VOLUME, v->name,
                                 text_printf(EMPTY_DIR_PATH, d->ctx->root_dir, pod->uid, v->name));
        }
}

struct collecting {
        struct pod_disks *disks;
        bool all;
        usec_t now;
};

static void collect_pod(struct pod *pod, struct pod_worker *w, void *userdata)
{
        struct collecting *c = userdata;
        struct pod_disks *d = c->disks;
        struct entry *e = map_get(d->entries, pod->uid);

        if (!w || pod_worker_state(w) >= POD_WORKER_TERMINATED)
                return;
        if (!e) {
                e = calloc(1, sizeof *e);
                if (!e || map_put(d->entries, pod->uid, e, NULL) < 0) {
                        free(e);
                        d->failed = true;
                        return;
                }
        }
        e->is_here = true;
        e->is_due = is_due(e, pod, c->all, c->now);
        e->last_tree = 0;
        if (!e->is_due)
                return;
        add_volumes(d, e, pod);
        add_tree(d, e, POD_DISK_FILES, NULL, text_printf("%s/pods/%s", d->ctx->root_dir, pod->uid));
}

static struct tree *find_tree(const struct pod_disks *d, const struct entry *e,
                              enum pod_disk_kind kind, const char *name)
{
        struct tree *t = NULL;

        for (size_t i = e->last_tree; i > 0; i = t->tree_before) {
                t = &d->trees[i - 1];
                if (t->kind == kind && streq_null(t->name, name))
                        return t;
        }
        return NULL;
}

/* Of a container the newest instance counts: what those before it wrote is on its way out. */
static void collect_layer(struct pod_disks *d, struct entry *e, const char *name,
                          const struct container_status *c)
{
        struct tree *t = find_tree(d, e, POD_DISK_LAYER, name);
        char *path;

        if (!c->image_id || (t && t->created_at > c->created_at))
                return;
        path = container_layer_path(d->ctx->rt, c->id);
        if (!t) {
                t = add_tree(d, e, POD_DISK_LAYER, name, path);
        } else {
                free(t->path);
                t->path = path;
                d->failed = d->failed || !path;
        }
        if (t)
                t->created_at = c->created_at;
}

static void collect_logs(struct pod_disks *d, struct entry *e, const char *name,
                         const struct container_status *c)
{
        const char *slash = c->log_path ? strrchr(c->log_path, '/') : NULL;

        if (slash && !find_tree(d, e, POD_DISK_LOGS, name))
                add_tree(d, e, POD_DISK_LOGS, name,
                         strndup(c->log_path, (size_t)(slash - c->log_path)));
}

static void collect_container(const struct container_status *c, void *userdata)
{
        struct pod_disks *d = userdata;
        const char *uid = string_map_get(c->labels, LABEL_POD_UID);
        const char *name = string_map_get(c->labels, LABEL_CONTAINER_NAME);
        struct entry *e = uid ? map_get(d->entries, uid) : NULL;

        if (!e || !e->is_due || !name)
                return;
        collect_layer(d, e, name, c);
        collect_logs(d, e, name, c);
}

/* Pods that have left are forgotten. */
static void drop_gone(struct pod_disks *d)
{
        const char *uid;
        struct entry *e;

        MAP_FOREACH (uid, e, d->entries) {
                if (!e->is_here) {
                        entry_free(map_remove(d->entries, uid));
                        continue;
                }
                e->is_here = false;
        }
}

/* ---- measuring ---- */

static void take(struct tree *t, const struct disk_usage *usage)
{
        const struct disk_usage *before = pod_disk_find(&t->entry->disk, t->kind, t->name);
        struct pod_disk_item *item = pod_disk_add(&t->entry->next, t->kind, t->name);

        if (!item)
                return log_oom();
        item->usage = *usage;
        if (!usage->is_known && before) /* it was not reached this time */
                item->usage = *before;
        if (usage->is_partial && usage->took_usec == 0) /* it had no end */
                item->usage.took_usec = TIMEOUT_USEC;
}

static void on_done(const struct disk_usage *usage, size_t n, void *userdata)
{
        struct pod_disks *d = userdata;
        usec_t now = now_monotonic();

        for (size_t i = 0; i < n; i++)
                take(&d->trees[i], &usage[i]);
        for (size_t i = 0; i < n; i++) {
                struct entry *e = d->trees[i].entry;

                if (!e->is_due)
                        continue;
                e->is_due = false;
                pod_disk_done(&e->disk);
                e->disk = TAKE_VALUE(e->next);
                e->measured_at = now;
                e->took_usec = pod_disk_total(&e->disk).took_usec;
        }
        clear_trees(d);
        d->options.on_measured(d->options.userdata);
}

/* What is cheap comes first: a pod with millions of files lets nobody wait but itself. */
static int cheap_first(const void *a, const void *b)
{
        const struct tree *x = a, *y = b;
        usec_t tx = x->entry->took_usec, ty = y->entry->took_usec;

        return tx < ty ? -1 : tx > ty;
}

static int start(struct pod_disks *d)
{
        _cleanup_free_ struct disk_tree *trees = calloc(d->n_trees, sizeof *trees);
        _cleanup_err_ struct err err = { 0 };
        int r;

        if (!trees || d->failed) {
                log_oom();
                return 0;
        }
        qsort(d->trees, d->n_trees, sizeof *d->trees, cheap_first);
        for (size_t i = 0; i < d->n_trees; i++)
                trees[i] = (struct disk_tree){ d->trees[i].path, d->trees[i].kind == POD_DISK_FILES
                                                                         ? VOLUMES_DIR
                                                                         : NULL };
        r = disk_meter_start(d->meter, trees, d->n_trees, TIMEOUT_USEC, on_done, d, &err);
        if (r < 0) {
                log_warn(0, "Cannot see what pods hold on disk, trying again: %s", err_text(&err));
                return 0;
        }
        return 1;
}

int pod_disks_measure(struct pod_disks *d, bool all)
{
        struct collecting c = { d, all, now_monotonic() };
        int r;

        if (disk_meter_is_busy(d->meter))
                return 1;
        d->failed = false;
        pod_manager_foreach(d->options.pods, collect_pod, &c);
        drop_gone(d);
        if (d->n_trees == 0)
                return 0;
        container_foreach(d->ctx->rt, NULL, collect_container, d);
        r = start(d);
        if (r == 0)
                clear_trees(d);
        return r;
}

const struct pod_disk *pod_disks_find(const struct pod_disks *d, const char *uid)
{
        const struct entry *e = d ? map_get(d->entries, uid) : NULL;

        return e && e->measured_at ? &e->disk : NULL;
}

int pod_disks_new(const struct pod_disks_options *options, struct pod_disks **ret, struct err *err)
{
        _cleanup_(pod_disks_freep)
        struct pod_disks *d = calloc(1, sizeof *d);
        int r;

        if (!d)
                return err_sys(err, -ENOMEM, "measure what pods hold on disk");
        *d = (struct pod_disks){ .options = *options, .ctx = options->ctx, .entries = map_new() };
        r = d->entries ? disk_meter_new(d->ctx->event, &d->meter) : -ENOMEM;
        if (r < 0)
                return err_sys(err, r, "measure what pods hold on disk");
        *ret = TAKE_PTR(d);
        return 0;
}

struct pod_disks *pod_disks_free(struct pod_disks *d)
{
        if (!d)
                return NULL;
        disk_meter_free(d->meter);
        clear_trees(d);
        map_free_with(d->entries, entry_free);
        free(d);
        return NULL;
}
