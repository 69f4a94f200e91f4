#include "kubelet/image-collector.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/log.h"
#include "base/text.h"
#include "kubelet/config.h"
#include "kubelet/image-gc.h"

#define PERIOD_USEC (5 * USEC_PER_MINUTE)
#define FIRST_USEC  (5 * USEC_PER_SEC)
#define ACCURACY    (1 * USEC_PER_SEC)

struct image_collector {
        const struct context *ctx;
        const struct pod_manager *pods; /* borrowed */
        sd_event_source *timer;         /* owned */
        bool has_failed;                /* last time */
};

struct images {                /* a look at those that are here */
        struct gc_image *list; /* owned */
        size_t n, cap;
        const struct context *ctx;
        bool failed; /* no memory */
};

static struct image_gc_policy policy_of(const struct kubelet_config *c)
{
        return (struct image_gc_policy){
                .high_percent = (unsigned)c->image_gc_high_percent,
                .low_percent = (unsigned)c->image_gc_low_percent,
                .min_age = c->image_min_gc_age_usec,
                .max_age = c->image_max_gc_age_usec,
        };
}

/* ---- which are here, and which are used ---- */

static void add_image(const struct image_info *i, void *userdata)
{
        struct images *l = userdata;

        if (l->n == l->cap) {
                size_t cap = l->cap * 2 + 32;
                struct gc_image *grown = realloc(l->list, cap * sizeof *grown);

                if (!grown) {
                        l->failed = true;
                        return;
                }
                l->list = grown;
                l->cap = cap;
        }
        l->list[l->n++] = (struct gc_image){ .id = i->id,
                                             .size = i->size,
                                             .last_used_at = i->last_used_at,
                                             .pulled_at = i->pulled_at,
                                             .is_used = i->n_users > 0 };
}

static void mark(struct images *l, const char *reference)
{
        const struct image_info *image = reference ? image_find(l->ctx->rt, reference) : NULL;

        for (size_t i = 0; image && i < l->n; i++)
                if (l->list[i].id == image->id)
                        l->list[i].is_used = true;
}

/* A container that needs it may be about to start. */
static void mark_named(struct pod *pod, struct pod_worker *w, void *userdata)
{
        struct images *l = userdata;
        const struct pod_container *c;

        if (!w || pod_worker_state(w) >= POD_WORKER_TERMINATED)
                return;
        POD_FOREACH_CONTAINER(c, pod)
        {
                mark(l, c->image);
        }
        for (size_t i = 0; i < pod->n_volumes; i++)
                if (pod->volumes[i].source.kind == POD_VOLUME_IMAGE)
                        mark(l, pod->volumes[i].image);
}

static int look(const struct image_collector *c, struct images *l)
{
        *l = (struct images){ .ctx = c->ctx };
        image_foreach(c->ctx->rt, add_image, l);
        if (l->failed)
                return -ENOMEM;
        pod_manager_foreach(c->pods, mark_named, l);
        image_gc_sort(l->list, l->n);
        return 0;
}

/* ---- removing ---- */

/* Trouble with one does not keep the others; it is in @err, and returned, when all were tried. */
static int remove_chosen(const struct image_collector *c, const struct images *l,
                         size_t *ret_removed, struct err *err)
{
        size_t removed = 0;
        int result = 0;

        for (size_t i = 0; i < l->n; i++) {
                _cleanup_free_ char *id = NULL;
                int r;

                if (!l->list[i].must_go)
                        continue;
                id = strdup(l->list[i].id); /* it goes with the image */
                r = id ? image_remove(c->ctx->rt, id, err) : err_sys(err, -ENOMEM, "remove image");
                if (r < 0) {
                        log_warn(0, "Failed to remove unused image '%s': %s", id ? id : "?",
                                 err_text(err));
                        result = r;
                        continue;
                }
                log_info("Removed unused image '%s' of %" PRIu64 " bytes", id, l->list[i].size);
                removed++;
        }
        *ret_removed = removed;
        return result;
}

size_t image_collector_free_all(struct image_collector *c)
{
        const struct image_gc_policy policy = policy_of(c->ctx->config);
        _cleanup_err_ struct err err = { 0 };
        struct images l;
        size_t removed = 0;

        if (look(c, &l) < 0) {
                log_oom();
        } else {
                image_gc_choose(l.list, l.n, &policy, UINT64_MAX, now_realtime());
                remove_chosen(c, &l, &removed, &err);
        }
        free(l.list);
        return removed;
}

static int tell_not_enough(const struct image_collector *c, const struct image_fs_usage *fs,
                           uint64_t freed, struct err *err)
{
        uint64_t used = 100 - MIN(fs->available_bytes, fs->capacity_bytes) * 100 /
                                      MAX(fs->capacity_bytes, (uint64_t)1);
        char size[SIZE_TEXT_MAX];
        int r = err_set(err, -ENOSPC,
                        "Insufficient free disk space on the node's image filesystem (%" PRIu64
                        "%% of %s used). Failed to free sufficient space by deleting unused images "
                        "(freed %" PRIu64 " bytes). Investigate disk usage, as it could be used by "
                        "active images, logs, volumes, or other data.",
                        used, image_gc_size_text(fs->capacity_bytes, size), freed);

        node_event(c->ctx, EVENT_WARNING, "FreeDiskSpaceFailed", "%s", err_text(err));
        return r;
}

static int collect(struct image_collector *c, struct images *l, struct err *err)
{
        const struct image_gc_policy policy = policy_of(c->ctx->config);
        usec_t now = now_realtime();
        struct image_fs_usage fs;
        uint64_t wanted, freed;
        size_t removed;
        int r = look(c, l);

        if (r == 0)
                r = image_fs_usage(c->ctx->rt, &fs);
        if (r < 0)
                return err_sys(err, r, "look at the images");
        if (fs.capacity_bytes == 0) {
                r = err_set(err, -EINVAL, "invalid capacity 0 on image filesystem");
                node_event(c->ctx, EVENT_WARNING, "InvalidDiskCapacity", "%s", err_text(err));
                return r;
        }
        wanted = image_gc_wanted(&policy, fs.capacity_bytes, fs.available_bytes);
        image_gc_choose_old(l->list, l->n, &policy, c->ctx->started_at, now);
        freed = image_gc_choose(l->list, l->n, &policy, wanted, now);
        r = remove_chosen(c, l, &removed, err);
        if (r < 0)
                return err_wrap(err, r, "remove unused images");
        return freed < wanted ? tell_not_enough(c, &fs, freed, err) : 0;
}

/* As the kubelet, it tells of a failure only when it is not the first in a row. */
static void run(struct image_collector *c)
{
        _cleanup_err_ struct err err = { 0 };
        struct images l = { 0 };
        int r = collect(c, &l, &err);

        free(l.list);
        if (r < 0) {
                log_warn(0, "Failed to make room among the images, trying again in 5 min: %s",
                         err_text(&err));
                if (c->has_failed)
                        node_event(c->ctx, EVENT_WARNING, "ImageGCFailed", "%s", err_text(&err));
        }
        c->has_failed = r < 0;
}

static int on_timer(sd_event_source *s, _unused_ uint64_t usec, void *userdata)
{
        run(userdata);
        sd_event_source_set_time(s, now_monotonic() + PERIOD_USEC);
        sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
        return 0;
}

void image_collector_start(struct image_collector *c)
{
        const struct image_gc_policy policy = policy_of(c->ctx->config);

        if (policy.high_percent >= 100 && policy.max_age == 0)
                return;
        sd_event_source_set_time(c->timer, now_monotonic() + FIRST_USEC);
        sd_event_source_set_enabled(c->timer, SD_EVENT_ONESHOT);
}

int image_collector_new(const struct context *ctx, const struct pod_manager *pods,
                        struct image_collector **ret, struct err *err)
{
        _cleanup_(image_collector_freep)
        struct image_collector *c = calloc(1, sizeof *c);
        int r;

        if (!c)
                return err_sys(err, -ENOMEM, "watch over the images");
        *c = (struct image_collector){ .ctx = ctx, .pods = pods };
        r = sd_event_add_time(ctx->event, &c->timer, CLOCK_MONOTONIC, 0, ACCURACY, on_timer, c);
        if (r >= 0)
                r = sd_event_source_set_enabled(c->timer, SD_EVENT_OFF);
        if (r < 0)
                return err_sys(err, r, "watch over the images");
        *ret = TAKE_PTR(c);
        return 0;
}

struct image_collector *image_collector_free(struct image_collector *c)
{
        if (!c)
                return NULL;
        sd_event_source_disable_unref(c->timer);
        free(c);
        return NULL;
}
