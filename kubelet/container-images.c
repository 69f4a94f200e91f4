#include "kubelet/container-images.h"

#include <errno.h>
#include <string.h>

#include "base/text.h"
#include "kubelet/pod-log.h"
#include "kubelet/pull-secret.h"
#include "kubelet/reason.h"

#define RETRY_USEC (10 * USEC_PER_SEC)

struct container_images {
        const struct context *ctx;
        struct image_puller *puller;
        const struct pod_objects *objects;
        struct pod *pod; /* one reference */
        const struct pod_container *container;
        char **volume_ids;       /* owned; in the order of pod->volumes; NULL: none */
        char *own_id;            /* owned */
        size_t at;               /* the volume whose image is asked for; n_volumes: its own */
        struct image_need *need; /* owned */
        uint64_t pulled_bytes;
        container_images_fn ready;
        void *userdata;
};

const char *container_images_own(const struct container_images *i)
{
        return i->own_id;
}

const char *container_images_of_volume(const struct container_images *i, const char *volume)
{
        for (size_t k = 0; k < i->pod->n_volumes; k++)
                if (streq(i->pod->volumes[k].name, volume))
                        return i->volume_ids[k];
        return NULL;
}

static bool mounts_it(const struct pod_container *c, const struct pod_volume *v)
{
        for (size_t k = 0; k < c->n_mounts; k++)
                if (streq(c->mounts[k].name, v->name))
                        return true;
        return false;
}

/* The events of a volume's image are the pod's. */
static struct image_wanted wanted(const struct container_images *i)
{
        const struct pod_volume *v = i->at < i->pod->n_volumes ? &i->pod->volumes[i->at] : NULL;

        return (struct image_wanted){
                .container = v ? NULL : i->container,
                .image = v ? v->image : i->container->image,
                .pull_policy = v ? v->pull_policy : i->container->pull_policy,
        };
}

static int collect_auths(const struct container_images *i, const char *reference,
                         struct pull_auths *auths)
{
        const struct pod *pod = i->pod;
        _cleanup_free_ char *image = NULL, *missing = NULL;
        _cleanup_strv_ char **absent = NULL;

        if (!pod->image_pull_secrets || image_normalize(reference, &image, NULL) < 0)
                return 0;
        STRV_FOREACH (name, pod->image_pull_secrets) {
                const json_t *secret = pod_objects_get(i->objects, true, *name);
                _cleanup_err_ struct err err = { 0 };

                if (!secret) {
                        if (strv_append(&absent, *name) < 0)
                                return -ENOMEM;
                        continue;
                }
                if (pull_auths_add(auths, secret, image, &err) < 0)
                        log_pod_warn(pod, 0, "imagePullSecret '%s' is passed over: %s", *name,
                                     err_text(&err));
        }
        if (absent) {
                missing = strv_join(absent, ", ");
                pod_event(
                        i->ctx, pod, NULL, EVENT_WARNING, "FailedToRetrieveImagePullSecret",
                        "Unable to retrieve some image pull secrets (%s); attempting to pull the image may not succeed.",
                        missing ? missing : "");
        }
        return 0;
}

static void fail(struct container_images *i, const char *reason, const char *message,
                 usec_t wake_at)
{
        if (i->at < i->pod->n_volumes) /* of its own image the puller has told */
                pod_event(i->ctx, i->pod, i->container, EVENT_WARNING, "Failed", "Error: %s",
                          reason);
        i->ready(reason, message, wake_at, i->userdata);
}

static bool ask_next(struct container_images *i);

static void on_image_ready(const char *image_id, const char *reason, const char *message,
                           usec_t wake_at, void *userdata)
{
        struct container_images *i = userdata;
        char **id = i->at < i->pod->n_volumes ? &i->volume_ids[i->at] : &i->own_id;

        if (i->need && image_id) {
                const struct image_info *image = image_find(i->ctx->rt, image_id);

                i->pulled_bytes += image ? image->size : 0;
        }
        i->need = NULL;
        if (!image_id) {
                fail(i, reason, message, wake_at);
        } else if (free_and_strdup(id, image_id) < 0) {
                fail(i, REASON_ERR_IMAGE_PULL, "out of memory", now_monotonic() + RETRY_USEC);
        } else if (i->at == i->pod->n_volumes) {
                i->ready(NULL, NULL, 0, i->userdata);
        } else {
                i->at++;
                ask_next(i);
        }
}

/* Asks for the next one that is needed. It may be answered from inside: then @i may be gone. True:
 * a registry is asked. */
static bool ask_next(struct container_images *i)
{
        const struct pod *pod = i->pod;
        _cleanup_(pull_auths_done)
        struct pull_auths auths = { 0 };
        struct image_need *need = NULL;
        struct image_wanted what;
        int r;

        while (i->at < pod->n_volumes && (pod->volumes[i->at].source.kind != POD_VOLUME_IMAGE ||
                                          !mounts_it(i->container, &pod->volumes[i->at])))
                i->at++;
        what = wanted(i);
        r = collect_auths(i, what.image, &auths);
        if (r == 0)
                r = image_ensure(i->puller, i->pod, &what, &auths, on_image_ready, i, &need);
        if (r < 0)
                fail(i, REASON_ERR_IMAGE_PULL, strerror(-r), now_monotonic() + RETRY_USEC);
        else if (need)
                i->need = need;
        return r == 0 && need;
}

const char *container_images_asked(const struct container_images *i)
{
        return i->need ? wanted(i).image : NULL;
}

uint64_t container_images_pulled(const struct container_images *i)
{
        return i->pulled_bytes;
}

bool container_images_ensure(struct container_images *i, container_images_fn ready, void *userdata)
{
        i->ready = ready;
        i->userdata = userdata;
        return ask_next(i);
}

int container_images_new(const struct context *ctx, struct image_puller *puller,
                         const struct pod_objects *objects, struct pod *pod,
                         const struct pod_container *container, struct container_images **ret)
{
        _cleanup_(container_images_freep)
        struct container_images *i = calloc(1, sizeof *i);

        if (!i)
                return -ENOMEM;
        *i = (struct container_images){
                .ctx = ctx,
                .puller = puller,
                .objects = objects,
                .pod = pod_ref(pod),
                .container = container,
                .volume_ids = calloc(pod->n_volumes + 1, sizeof *i->volume_ids),
        };
        if (!i->volume_ids)
                return -ENOMEM;
        *ret = TAKE_PTR(i);
        return 0;
}

struct container_images *container_images_free(struct container_images *i)
{
        if (!i)
                return NULL;
        image_need_cancel(i->need);
        for (size_t k = 0; i->volume_ids && k < i->pod->n_volumes; k++)
                free(i->volume_ids[k]);
        free(i->volume_ids);
        free(i->own_id);
        pod_unref(i->pod);
        free(i);
        return NULL;
}
