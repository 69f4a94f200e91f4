#include "kubelet/image-puller.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/log.h"
#include "base/map.h"
#include "base/text.h"
#include "kubelet/pod-log.h"
#include "kubelet/pull-records.h"

#define BACKOFF_FIRST_USEC (10 * USEC_PER_SEC)
#define BACKOFF_MAX_USEC   (300 * USEC_PER_SEC)
#define BACKOFF_IDLE_USEC  (600 * USEC_PER_SEC)

struct pull_backoff {         /* of one image for one pod */
        usec_t current, last; /* CLOCK_MONOTONIC of the last failure */
        char *error;          /* owned: "ErrImagePull: …" of it */
};

struct image_puller {
        const struct context *ctx;
        struct map *backoffs;         /* "<pod uid>_<image>" -> struct pull_backoff, owned */
        struct pull_records *records; /* owned */
};

struct image_need {
        struct image_puller *puller;
        struct pod *pod;             /* one reference */
        struct image_wanted what;    /* its strings are the pod's */
        char *name;                  /* owned: normalized reference of a pull under way */
        struct pull_origin *origins; /* owned, with their strings: of the pull's credentials */
        size_t n_origins;
        struct runtime_op *op; /* owned */
        usec_t asked_at;
        image_ready_fn ready;
        void *userdata;
};

/* For the log; NULL: it is the pod's. */
static const char *name_of(const struct image_need *w)
{
        return w->what.container ? w->what.container->name : NULL;
}

static void backoff_free(void *value)
{
        struct pull_backoff *b = value;

        free(b->error);
        free(b);
}

static char *backoff_key(const struct pod *pod, const char *image)
{
        return text_printf("%s_%s", pod->uid, image);
}

static struct pull_backoff *find_backoff(struct image_puller *p, const struct pod *pod,
                                         const char *image)
{
        _cleanup_free_ char *key = backoff_key(pod, image);
        struct pull_backoff *b = key ? map_get(p->backoffs, key) : NULL;

        if (b && now_monotonic() > b->last + b->current + BACKOFF_IDLE_USEC) {
                backoff_free(map_remove(p->backoffs, key));
                return NULL;
        }
        return b;
}

static void grow_backoff(struct image_puller *p, const struct pod *pod, const char *image,
                         const char *reason, const char *error)
{
        _cleanup_free_ char *key = backoff_key(pod, image);
        struct pull_backoff *b = find_backoff(p, pod, image);

        if (!key)
                return log_oom();
        if (!b) {
                b = calloc(1, sizeof *b);
                if (!b || map_put(p->backoffs, key, b, NULL) < 0) {
                        free(b);
                        return log_oom();
                }
        }
        b->current = b->current ? MIN(b->current * 2, BACKOFF_MAX_USEC) : BACKOFF_FIRST_USEC;
        b->last = now_monotonic();
        free(b->error);
        b->error = text_printf("%s: %s", reason, error);
}

void image_puller_forget(struct image_puller *p, const char *pod_uid)
{
        size_t n = strlen(pod_uid);
        struct pull_backoff *b;
        const char *key;

        MAP_FOREACH (key, b, p->backoffs)
                if (strncmp(key, pod_uid, n) == 0 && key[n] == '_') {
                        _cleanup_free_ char *copy = strdup(key);

                        if (copy)
                                backoff_free(map_remove(p->backoffs, copy));
                }
}

static struct image_need *wait_free(struct image_need *w)
{
        if (!w)
                return NULL;
        runtime_op_abandon(w->op);
        if (w->op)
                pull_records_abandon(w->puller->records, w->name);
        for (size_t i = 0; i < w->n_origins; i++)
                pull_origin_done(&w->origins[i]);
        free(w->origins);
        free(w->name);
        pod_unref(w->pod);
        free(w);
        return NULL;
}

struct image_need *image_need_cancel(struct image_need *w)
{
        return wait_free(w);
}

/* The one error kind that has a reason of its own beside ErrImagePull. */
static const char *pull_reason(enum err_kind kind)
{
        switch (kind) {
        case ERR_REGISTRY_UNAVAILABLE:
                return "RegistryUnavailable";
        case ERR_INVALID_IMAGE_NAME:
                return "InvalidImageName";
        default:
                return "ErrImagePull";
        }
}

static void tell_pulled(const struct image_need *w, uint64_t size)
{
        char took[TIME_TEXT_MAX], waited[TIME_TEXT_MAX];
        usec_t d = (now_monotonic() - w->asked_at) / USEC_PER_MSEC * USEC_PER_MSEC;

        duration_format(d, took);
        duration_format(d, waited);
        pod_event(
                w->puller->ctx, w->pod, w->what.container, EVENT_NORMAL, "Pulled",
                "Successfully pulled image \"%s\" in %s (%s including waiting). Image size: %" PRIu64
                " bytes.",
                w->what.image, took, waited, size);
}

static void on_pulled(int r, const struct image_pull_result *result, const struct err *err,
                      void *userdata)
{
        struct image_need *w = userdata;
        const struct context *ctx = w->puller->ctx;
        _cleanup_free_ char *message = NULL;
        const char *reason;

        w->op = NULL;
        pull_records_end(w->puller->records, w->name, r >= 0 ? result->id : NULL,
                         r >= 0 && result->auth_index >= 0 &&
                                         (size_t)result->auth_index < w->n_origins
                                 ? &w->origins[result->auth_index]
                                 : NULL);
        if (r >= 0) {
                _cleanup_free_ char *key = backoff_key(w->pod, w->what.image);
                struct pull_backoff *b = key ? map_get(w->puller->backoffs, key) : NULL;

                if (b) /* the pause stays, the reason is gone */
                        free_and_strdup(&b->error, NULL);
                tell_pulled(w, result->size);
                w->ready(result->id, NULL, NULL, 0, w->userdata);
                wait_free(w);
                return;
        }
        reason = pull_reason(err->kind);
        if (streq(reason, "RegistryUnavailable"))
                message = text_printf(
                        "image pull failed for %s because the registry is unavailable: %s",
                        w->what.image, err_text(err));
        else
                message = text_printf("failed to pull image \"%s\": %s", w->what.image,
                                      err_text(err));
        pod_event(ctx, w->pod, w->what.container, EVENT_WARNING, "Failed",
                  "Failed to pull image \"%s\": %s", w->what.image, message ? message : "");
        pod_event(ctx, w->pod, w->what.container, EVENT_WARNING, "Failed", "Error: %s", reason);
        grow_backoff(w->puller, w->pod, w->what.image, reason, message ? message : "");
        log_container_warn(w->pod, name_of(w), r, "Failed to pull '%s': %s", w->what.image,
                           err_text(err));
        w->ready(NULL, reason, message ? message : "", now_monotonic(), w->userdata);
        wait_free(w);
}

/* Still in back-off after a failed pull? Then says so. */
static bool is_backing_off(struct image_need *w)
{
        struct image_puller *p = w->puller;
        const struct pull_backoff *b = find_backoff(p, w->pod, w->what.image);
        _cleanup_free_ char *message = NULL;

        if (!b || !b->error || now_monotonic() >= b->last + b->current)
                return false;
        pod_event(p->ctx, w->pod, w->what.container, EVENT_NORMAL, "BackOff",
                  "Back-off pulling image \"%s\"", w->what.image);
        pod_event(p->ctx, w->pod, w->what.container, EVENT_WARNING, "Failed",
                  "Error: ImagePullBackOff");
        message = text_printf("Back-off pulling image \"%s\": %s", w->what.image, b->error);
        w->ready(NULL, "ImagePullBackOff", message ? message : "", b->last + b->current,
                 w->userdata);
        return true;
}

static void tell_invalid(struct image_need *w, const struct err *why)
{
        const struct context *ctx = w->puller->ctx;
        _cleanup_free_ char *message = text_printf("Failed to apply default image tag \"%s\": %s",
                                                   w->what.image, err_text(why));

        pod_event(ctx, w->pod, w->what.container, EVENT_WARNING, "InspectFailed", "%s",
                  message ? message : "");
        pod_event(ctx, w->pod, w->what.container, EVENT_WARNING, "Failed",
                  "Error: InvalidImageName");
        w->ready(NULL, "InvalidImageName", message ? message : "",
                 now_monotonic() + BACKOFF_FIRST_USEC, w->userdata);
}

static void tell_never(struct image_need *w)
{
        const struct context *ctx = w->puller->ctx;
        _cleanup_free_ char *message =
                text_printf("Container image \"%s\" is not present with pull policy of Never",
                            w->what.image);

        pod_event(ctx, w->pod, w->what.container, EVENT_WARNING, "ErrImageNeverPull", "%s",
                  message ? message : "");
        pod_event(ctx, w->pod, w->what.container, EVENT_WARNING, "Failed",
                  "Error: ErrImageNeverPull");
        w->ready(NULL, "ErrImageNeverPull", message ? message : "",
                 now_monotonic() + BACKOFF_FIRST_USEC, w->userdata);
}

static void tell_present(struct image_need *w, const char *id)
{
        pod_event(
                w->puller->ctx, w->pod, w->what.container, EVENT_NORMAL, "Pulled",
                "Container image \"%s\" already present on machine and can be accessed by the pod",
                w->what.image);
        w->ready(id, NULL, NULL, 0, w->userdata);
}

static int start_pull(struct image_need *w, const struct pull_auths *auths)
{
        const struct context *ctx = w->puller->ctx;
        _cleanup_err_ struct err err = { 0 };
        int r;

        pod_event(ctx, w->pod, w->what.container, EVENT_NORMAL, "Pulling", "Pulling image \"%s\"",
                  w->what.image);
        w->asked_at = now_monotonic();
        w->origins = pull_auths_origins(auths);
        if (!w->origins)
                return -ENOMEM;
        w->n_origins = auths->n;
        r = pull_records_begin(w->puller->records, w->name, &err);
        if (r < 0) {
                log_container_warn(w->pod, name_of(w), 0, "%s", err_text(&err));
                return r;
        }
        r = image_pull(ctx->rt, w->what.image, auths->auths, auths->n, on_pulled, w, &w->op, &err);
        if (r < 0)
                log_container_warn(w->pod, name_of(w), r, "Failed to start the pull of '%s': %s",
                                   w->what.image, err_text(&err));
        if (r < 0)
                pull_records_end(w->puller->records, w->name, NULL, NULL);
        return r;
}

/* What is here may be somebody else's: then it is as if it were not, and the registry decides. */
static const struct image_info *find_present(const struct image_need *w,
                                             const struct pull_auths *auths)
{
        const struct image_info *image = image_find(w->puller->ctx->rt, w->name);

        return image && w->what.pull_policy != POD_PULL_ALWAYS &&
                               !pull_records_allow(w->puller->records, w->name, image->id, auths)
                       ? NULL
                       : image;
}

int image_ensure(struct image_puller *p, struct pod *pod, const struct image_wanted *what,
                 const struct pull_auths *auths, image_ready_fn ready, void *userdata,
                 struct image_need **ret)
{
        _cleanup_err_ struct err err = { 0 };
        struct image_need *w = calloc(1, sizeof *w);
        const struct image_info *image;
        int r;

        if (!w)
                return -ENOMEM;
        *w = (struct image_need){ .puller = p,
                                  .pod = pod_ref(pod),
                                  .what = *what,
                                  .ready = ready,
                                  .userdata = userdata };
        *ret = NULL;
        if (image_normalize(what->image, &w->name, &err) < 0) {
                tell_invalid(w, &err);
                wait_free(w);
                return 0;
        }
        image = find_present(w, auths);
        if (what->pull_policy == POD_PULL_NEVER && !image) {
                tell_never(w);
        } else if (image && what->pull_policy != POD_PULL_ALWAYS) {
                tell_present(w, image->id);
        } else if (!is_backing_off(w)) {
                *ret = w; /* before the start: the callback may come at any time after */
                r = start_pull(w, auths);
                if (r < 0) {
                        *ret = wait_free(w);
                        return r;
                }
                return 0;
        }
        wait_free(w);
        return 0;
}

void image_puller_images_changed(struct image_puller *p)
{
        pull_records_prune(p->records);
}

int image_puller_new(const struct context *ctx, struct image_puller **ret, struct err *err)
{
        _cleanup_(image_puller_freep)
        struct image_puller *p = calloc(1, sizeof *p);
        int r;

        if (!p)
                return err_sys(err, -ENOMEM, "start the image puller");
        *p = (struct image_puller){ .ctx = ctx, .backoffs = map_new() };
        if (!p->backoffs)
                return err_sys(err, -ENOMEM, "start the image puller");
        r = pull_records_new(ctx, &p->records, err);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(p);
        return 0;
}

struct image_puller *image_puller_free(struct image_puller *p)
{
        if (!p)
                return NULL;
        map_free_with(p->backoffs, backoff_free);
        pull_records_free(p->records);
        free(p);
        return NULL;
}
