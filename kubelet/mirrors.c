#include "kubelet/mirrors.h"

#include <errno.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "base/map.h"
#include "base/text.h"
#include "kubelet/pod-log.h"

#define RETRY_FIRST_USEC (200 * USEC_PER_MSEC)
#define RETRY_MAX_USEC   (20 * USEC_PER_SEC)

struct pair { /* a static pod and its mirror, either of which may be missing */
        struct mirrors *owner;
        char *key;
        struct pod *statics, *mirror; /* one reference each */
        struct kube_call *call;       /* owned */
        bool deleting;                /* what the call under way does */
        sd_event_source *timer;       /* owned */
        struct backoff backoff;
};

struct mirrors {
        struct kube_session *session; /* borrowed */
        struct mirrors_options options;
        char *node_name;
        struct map *pairs; /* "ns/name" -> struct pair, owned */
        bool synced;
};

static void reconcile(struct pair *p);

static void pair_free(void *value)
{
        struct pair *p = value;

        if (!p)
                return;
        kube_cancel(p->call);
        sd_event_source_disable_unref(p->timer);
        pod_unref(p->statics);
        pod_unref(p->mirror);
        free(p->key);
        free(p);
}

static int on_timer(_unused_ sd_event_source *s, _unused_ uint64_t usec, void *userdata)
{
        reconcile(userdata);
        return 0;
}

static struct pair *pair_of(struct mirrors *m, const char *namespace, const char *name)
{
        _cleanup_free_ char *key = text_printf("%s/%s", namespace, name);
        struct pair *p = key ? map_get(m->pairs, key) : NULL;

        if (p || !key)
                return p;
        p = calloc(1, sizeof *p);
        if (!p)
                return NULL;
        *p = (struct pair){ .owner = m,
                            .key = TAKE_PTR(key),
                            .backoff = { RETRY_FIRST_USEC, RETRY_MAX_USEC, 0 } };
        if (sd_event_add_time(kube_session_event(m->session), &p->timer, CLOCK_MONOTONIC, 0,
                              ACCURACY_USEC, on_timer, p) < 0 ||
            sd_event_source_set_enabled(p->timer, SD_EVENT_OFF) < 0 ||
            map_put(m->pairs, p->key, p, NULL) < 0) {
                pair_free(p);
                return NULL;
        }
        return p;
}

static void retry(struct pair *p)
{
        sd_event_source_set_time(p->timer, now_monotonic() + backoff_next(&p->backoff));
        sd_event_source_set_enabled(p->timer, SD_EVENT_ONESHOT);
}

static void on_done(_unused_ struct kube_call *call, int status, _unused_ json_t *object,
                    const struct err *err, void *userdata)
{
        struct pair *p = userdata;

        p->call = NULL;
        if (status >= 200 && status < 300) {
                backoff_reset(&p->backoff);
                /* the watch shows what became of it; it may have shown the end of a deletion before
                 */
                if (p->deleting && !p->mirror)
                        reconcile(p);
                return;
        }
        if (status != 404 && status != 409 && status != 0)
                log_warn(0, "Mirror pod '%s': the API refused, trying again: %s", p->key,
                         err_text(err));
        retry(p);
}

/* The object to create: the static pod as it stands, with the two marks of a mirror. */
static json_t *build_mirror(const struct pair *p, const char *node_uid)
{
        json_t *o = pod_to_json(p->statics), *metadata = json_object_get(o, "metadata");
        json_t *annotations = json_object_get(metadata, "annotations");
        const char *hash = string_map_get(&p->statics->annotations, POD_ANNOTATION_HASH);

        if (!annotations) {
                annotations = json_object();
                json_object_set_new(metadata, "annotations", annotations);
        }
        json_set_text(annotations, POD_ANNOTATION_MIRROR, hash);
        json_object_del(metadata, "uid");
        json_object_set_new(metadata, "ownerReferences",
                            json_pack("[{s:s, s:s, s:s, s:s, s:b}]", "apiVersion", "v1", "kind",
                                      "Node", "name", p->owner->node_name, "uid", node_uid,
                                      "controller", 1));
        json_set_text(o, "apiVersion", "v1");
        json_set_text(o, "kind", "Pod");
        return o;
}

static void start(struct pair *p, const char *method, const char *path, const json_t *body)
{
        const struct kube_request request = {
                .method = method, .path = path, .body = body, .done = on_done, .userdata = p
        };

        if (kube_start(p->owner->session, &request, &p->call, NULL) < 0)
                retry(p);
}

static void create(struct pair *p)
{
        const char *uid = p->owner->options.node_uid(p->owner->options.userdata);
        _cleanup_free_ char *path = text_printf("/api/v1/namespaces/%s/pods",
                                                p->statics->namespace);
        json_auto_t *body = uid ? build_mirror(p, uid) : NULL;

        p->deleting = false;
        if (uid && path && body)
                start(p, "POST", path, body);
}

static void delete (struct pair *p)
{
        _cleanup_free_ char *path = text_printf("/api/v1/namespaces/%s/pods/%s",
                                                p->mirror->namespace, p->mirror->name);
        json_auto_t *body = json_pack("{s:s, s:s, s:i, s:{s:s}}", "apiVersion", "v1", "kind",
                                      "DeleteOptions", "gracePeriodSeconds", 0, "preconditions",
                                      "uid", p->mirror->uid);

        p->deleting = true;
        if (path && body)
                start(p, "DELETE", path, body);
}

static bool is_current(const struct pair *p)
{
        return !p->mirror->deleted_at &&
               streq_null(string_map_get(&p->mirror->annotations, POD_ANNOTATION_MIRROR),
                          string_map_get(&p->statics->annotations, POD_ANNOTATION_HASH));
}

static void reconcile(struct pair *p)
{
        if (p->call)
                return;
        if (!p->statics && !p->mirror) {
                map_remove(p->owner->pairs, p->key);
                pair_free(p);
        } else if (p->mirror && (p->statics ? !is_current(p) : p->owner->synced)) {
                delete (p);
        } else if (p->statics && !p->mirror) {
                create(p);
        }
}

void mirrors_set_static(struct mirrors *m, struct pod *pod)
{
        struct pair *p = pair_of(m, pod->namespace, pod->name);

        if (!p)
                return log_oom();
        pod_ref(pod);
        pod_unref(p->statics);
        p->statics = pod;
        reconcile(p);
}

void mirrors_clear_static(struct mirrors *m, const char *namespace, const char *name)
{
        struct pair *p = pair_of(m, namespace, name);

        if (!p)
                return log_oom();
        p->statics = pod_unref(p->statics);
        reconcile(p);
}

void mirrors_seen(struct mirrors *m, struct pod *mirror)
{
        struct pair *p = pair_of(m, mirror->namespace, mirror->name);

        if (!p)
                return log_oom();
        pod_ref(mirror);
        pod_unref(p->mirror);
        p->mirror = mirror;
        m->options.on_changed(mirror->namespace, mirror->name, m->options.userdata);
        reconcile(p);
}

void mirrors_unseen(struct mirrors *m, const char *namespace, const char *name)
{
        struct pair *p = pair_of(m, namespace, name);

        if (!p)
                return log_oom();
        p->mirror = pod_unref(p->mirror);
        reconcile(p);
}

static void reconcile_all(struct mirrors *m)
{
        _cleanup_strv_ char **keys = map_keys(m->pairs);

        STRV_FOREACH (key, keys) {
                struct pair *p = map_get(m->pairs, *key);

                if (p)
                        reconcile(p);
        }
}

void mirrors_synced(struct mirrors *m)
{
        m->synced = true;
        reconcile_all(m);
}

void mirrors_node_changed(struct mirrors *m)
{
        reconcile_all(m);
}

struct pod *mirrors_find(const struct mirrors *m, const char *namespace, const char *name)
{
        _cleanup_free_ char *key = text_printf("%s/%s", namespace, name);
        const struct pair *p = key ? map_get(m->pairs, key) : NULL;

        return p ? p->mirror : NULL;
}

int mirrors_new(struct kube_session *session, const struct mirrors_options *options,
                struct mirrors **ret, struct err *err)
{
        _cleanup_(mirrors_freep)
        struct mirrors *m = calloc(1, sizeof *m);

        if (!m)
                return err_sys(err, -ENOMEM, "start the mirror pods");
        *m = (struct mirrors){ .session = session,
                               .options = *options,
                               .node_name = strdup(options->node_name),
                               .pairs = map_new() };
        if (!m->node_name || !m->pairs)
                return err_sys(err, -ENOMEM, "start the mirror pods");
        *ret = TAKE_PTR(m);
        return 0;
}

struct mirrors *mirrors_free(struct mirrors *m)
{
        if (!m)
                return NULL;
        map_free_with(m->pairs, pair_free);
        free(m->node_name);
        free(m);
        return NULL;
}
