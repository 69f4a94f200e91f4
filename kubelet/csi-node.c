/*
 * Theory of operation. Each driver whose entry has to change is a struct change, in a queue; the
 * first is at work: GET Node, PATCH it, GET CSINode, then POST or PUT it. A CSINode that an earlier
 * Node of this name left behind is deleted first, and what has failed goes to the queue's end.
 */
#include "kubelet/csi-node.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/list.h"
#include "base/log.h"

#define TRIES_MAX        5 /* of an installation: its driver tries again by itself */
#define RETRY_FIRST_USEC (20 * USEC_PER_MSEC)
#define RETRY_MAX_USEC   (60 * USEC_PER_SEC)
#define CSI_NODES        "/apis/storage.k8s.io/v1/csinodes"

struct change {
        struct list_node node;
        char *driver;              /* owned */
        struct csi_node_info info; /* owned; without node id: take it out */
        csi_node_done_fn done;     /* NULL: nobody asks */
        void *userdata;
        unsigned tries;
};

struct csi_node {
        struct kube_session *session; /* borrowed */
        struct csi_node_options options;
        char *name, *node_path, *status_path, *path; /* owned */
        struct list changes;
        struct change *current; /* at work, and not in the list; or NULL */
        struct kube_call *call; /* owned */
        sd_event_source *timer; /* owned; the next step is due */
        struct backoff backoff;
};

static void change_free(struct change *c)
{
        list_remove(&c->node);
        free(c->driver);
        csi_node_info_done(&c->info);
        free(c);
}

static const struct csi_node_info *info_of(const struct change *c)
{
        return c->info.node_id ? &c->info : NULL;
}

static void schedule(struct csi_node *n, usec_t delay)
{
        sd_event_source_set_time_relative(n->timer, delay);
        sd_event_source_set_enabled(n->timer, SD_EVENT_ONESHOT);
}

/* The current change is carried out, or given up. */
static void finish(struct csi_node *n, const struct err *why_not)
{
        struct change *c = TAKE_PTR(n->current);

        backoff_reset(&n->backoff);
        schedule(n, 0);
        if (c->done)
                c->done(why_not, c->userdata);
        change_free(c);
}

static void fail(struct csi_node *n, const char *what, const struct err *why)
{
        struct change *c = n->current;
        _cleanup_err_ struct err err = { 0 };
        usec_t pause;

        err_set_kind(&err, -EIO, why->kind, "error updating %s with CSI driver node info: %s", what,
                     err_text(why));
        if (c->done && ++c->tries >= TRIES_MAX)
                return finish(n, &err);
        pause = usec_jitter(backoff_next(&n->backoff), 20, random_u32());
        if (!c->done)
                log_warn(0, "Failed to remove the CSI driver '%s', next try in %" PRIu64 " ms: %s",
                         c->driver, pause / USEC_PER_MSEC, err_text(&err));
        list_append(&n->changes, &c->node);
        n->current = NULL;
        schedule(n, pause);
}

static void send(struct csi_node *n, const char *method, const char *path, const json_t *body,
                 enum kube_patch patch, kube_done_fn done)
{
        const struct kube_request request = { .method = method,
                                              .path = path,
                                              .body = body,
                                              .patch = patch,
                                              .done = done,
                                              .userdata = n };
        _cleanup_err_ struct err err = { 0 };

        if (kube_start(n->session, &request, &n->call, &err) < 0)
                fail(n, "Node and CSINode objects", &err);
}

/* ---- the CSINode ---- */

static void on_csi_node_written(_unused_ struct kube_call *call, int status,
                                _unused_ json_t *object, const struct err *err, void *userdata)
{
        struct csi_node *n = userdata;

        n->call = NULL;
        if (status / 100 == 2)
                finish(n, NULL);
        else
                fail(n, "CSINode object", err);
}

static void on_csi_node_deleted(_unused_ struct kube_call *call, int status,
                                _unused_ json_t *object, const struct err *err, void *userdata)
{
        struct csi_node *n = userdata;
        _cleanup_err_ struct err again = { 0 };

        n->call = NULL;
        if (status / 100 == 2 || status == 404) {
                err_set(&again, -EAGAIN, "CSINode '%s' was owned by another node: it was deleted",
                        n->name);
                err = &again;
        }
        fail(n, "CSINode object", err);
}

static void create_csi_node(struct csi_node *n)
{
        const char *uid = n->options.node_uid(n->options.userdata);
        json_auto_t *object = uid ? csi_node_object(n->name, uid) : NULL;
        _cleanup_err_ struct err err = { 0 };

        if (object && csi_node_object_set(object, n->current->driver, info_of(n->current)) >= 0)
                return send(n, "POST", CSI_NODES, object, KUBE_PATCH_NONE, on_csi_node_written);
        err_set(&err, -EAGAIN, uid ? "out of memory" : "the Node is not known yet");
        fail(n, "CSINode object", &err);
}

static void on_csi_node(_unused_ struct kube_call *call, int status, json_t *object,
                        const struct err *err, void *userdata)
{
        struct csi_node *n = userdata;
        const char *uid = n->options.node_uid(n->options.userdata);
        _cleanup_err_ struct err oom = { 0 };
        int r;

        n->call = NULL;
        if (status == 404 && !info_of(n->current))
                return finish(n, NULL);
        if (status == 404)
                return create_csi_node(n);
        if (status != 200 || !object)
                return fail(n, "CSINode object", err);
        if (uid && !csi_node_object_is_owned(object, n->name, uid))
                return send(n, "DELETE", n->path, NULL, KUBE_PATCH_NONE, on_csi_node_deleted);
        r = csi_node_object_set(object, n->current->driver, info_of(n->current));
        if (r == 0)
                return finish(n, NULL);
        if (r > 0)
                return send(n, "PUT", n->path, object, KUBE_PATCH_NONE, on_csi_node_written);
        err_sys(&oom, r, "write the CSINode");
        fail(n, "CSINode object", &oom);
}

/* ---- the Node ---- */

static void on_node_patched(_unused_ struct kube_call *call, int status, _unused_ json_t *object,
                            const struct err *err, void *userdata)
{
        struct csi_node *n = userdata;

        n->call = NULL;
        if (status == 200)
                send(n, "GET", n->path, NULL, KUBE_PATCH_NONE, on_csi_node);
        else
                fail(n, "Node object", err);
}

static void on_node(_unused_ struct kube_call *call, int status, json_t *object,
                    const struct err *err, void *userdata)
{
        struct csi_node *n = userdata;
        _cleanup_err_ struct err why = { 0 };
        json_auto_t *patch = NULL;

        n->call = NULL;
        if (status != 200 || !object)
                return fail(n, "Node object", err);
        if (csi_node_patch(object, n->current->driver, info_of(n->current), &patch, &why) < 0)
                return fail(n, "Node object", &why);
        if (patch) /* the status sub-resource is what a node may write, its metadata included */
                send(n, "PATCH", n->status_path, patch, KUBE_PATCH_MERGE, on_node_patched);
        else
                send(n, "GET", n->path, NULL, KUBE_PATCH_NONE, on_csi_node);
}

static int on_timer(_unused_ sd_event_source *s, _unused_ uint64_t usec, void *userdata)
{
        struct csi_node *n = userdata;
        struct list_node *next;

        if (n->current)
                return 0;
        next = list_pop(&n->changes);
        if (!next)
                return 0;
        n->current = CONTAINER_OF(next, struct change, node);
        send(n, "GET", n->node_path, NULL, KUBE_PATCH_NONE, on_node);
        return 0;
}

/* ---- from outside ---- */

/* What was to be done for this driver is no longer of interest. */
static void overtake(struct csi_node *n, const char *driver)
{
        struct change *c, *next;

        if (n->current && streq(n->current->driver, driver)) {
                n->call = kube_cancel(n->call);
                change_free(TAKE_PTR(n->current));
        }
        LIST_FOREACH_SAFE (c, next, &n->changes, node)
                if (streq(c->driver, driver))
                        change_free(c);
}

static int copy_info(struct csi_node_info *dst, const struct csi_node_info *src)
{
        dst->node_id = strdup(src->node_id);
        dst->max_volumes = src->max_volumes;
        return dst->node_id ? string_map_copy(&dst->topology, &src->topology) : -ENOMEM;
}

static int add_change(struct csi_node *n, const char *driver, const struct csi_node_info *info,
                      csi_node_done_fn done, void *userdata)
{
        struct change *c;

        overtake(n, driver);
        c = calloc(1, sizeof *c);
        if (!c)
                return -ENOMEM;
        c->done = done;
        c->userdata = userdata;
        c->driver = strdup(driver);
        if (!c->driver || (info && copy_info(&c->info, info) < 0)) {
                change_free(c);
                return -ENOMEM;
        }
        list_append(&n->changes, &c->node);
        if (!n->current)
                schedule(n, 0);
        return 0;
}

int csi_node_install(struct csi_node *n, const char *driver, const struct csi_node_info *info,
                     csi_node_done_fn done, void *userdata, struct err *err)
{
        int r = add_change(n, driver, info, done, userdata);

        return r < 0 ? err_sys(err, r, "tell the API of the CSI driver") : 0;
}

void csi_node_remove(struct csi_node *n, const char *driver)
{
        if (add_change(n, driver, NULL, NULL, NULL) < 0)
                log_oom();
}

int csi_node_new(struct kube_session *session, const struct csi_node_options *options,
                 struct csi_node **ret, struct err *err)
{
        _cleanup_(csi_node_freep)
        struct csi_node *n = calloc(1, sizeof *n);
        int r;

        if (!n)
                return err_sys(err, -ENOMEM, "start the CSINode");
        *n = (struct csi_node){
                .session = session,
                .options = *options,
                .name = strdup(options->node_name),
                .node_path = text_printf("/api/v1/nodes/%s", options->node_name),
                .status_path = text_printf("/api/v1/nodes/%s/status", options->node_name),
                .path = text_printf(CSI_NODES "/%s", options->node_name),
                .backoff = { RETRY_FIRST_USEC, RETRY_MAX_USEC, 0 },
        };
        list_init(&n->changes);
        if (!n->name || !n->node_path || !n->status_path || !n->path)
                return err_sys(err, -ENOMEM, "start the CSINode");
        r = sd_event_add_time(kube_session_event(session), &n->timer, CLOCK_MONOTONIC, 0,
                              ACCURACY_USEC, on_timer, n);
        if (r < 0)
                return err_sys(err, r, "start the CSINode");
        *ret = TAKE_PTR(n);
        return 0;
}

struct csi_node *csi_node_free(struct csi_node *n)
{
        struct list_node *c;

        if (!n)
                return NULL;
        kube_cancel(n->call);
        if (n->current)
                change_free(n->current);
        while ((c = list_pop(&n->changes)))
                change_free(CONTAINER_OF(c, struct change, node));
        sd_event_source_disable_unref(n->timer);
        free(n->name);
        free(n->node_path);
        free(n->status_path);
        free(n->path);
        free(n);
        return NULL;
}
