#include "kubelet/object-cache.h"

#include <errno.h>
#include <string.h>

#include "base/json.h"
#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "base/text.h"

#define RETRY_FIRST_USEC (20 * USEC_PER_MSEC)
#define RETRY_MAX_USEC   (2 * USEC_PER_SEC)

struct object_cache {
        struct kube_session *session; /* borrowed */
        struct map *entries;          /* "<kind>/<namespace>/<name>" -> struct entry, owned */
};

struct entry {
        struct object_cache *cache;
        enum object_kind kind;
        char *key, *namespace, *name, *error; /* owned */
        enum object_state state;
        json_t *object;           /* owned */
        struct kube_call *call;   /* owned; the first GET */
        struct kube_watch *watch; /* owned */
        sd_event_source *timer;   /* owned; the next GET */
        sd_event_source *notify;  /* owned; tells the users from the loop */
        struct backoff backoff;
        struct list refs;
};

struct object_ref {
        struct entry *entry; /* borrowed: lives as long as any reference */
        object_changed_fn changed;
        void *userdata;
        struct list_node node;
        bool told; /* of the round of notifications under way */
};

static const struct {
        const char *resource, *what, *api;
} kinds[_OBJECT_KIND_MAX] = {
        [OBJECT_SECRET] = { "secrets", "secret", "/api/v1" },
        [OBJECT_CONFIG_MAP] = { "configmaps", "configmap", "/api/v1" },
        [OBJECT_RUNTIME_CLASS] = { "runtimeclasses", "RuntimeClass", "/apis/node.k8s.io/v1" },
};

static struct entry *entry_free(struct entry *e)
{
        if (!e)
                return NULL;
        kube_watch_free(e->watch);
        kube_cancel(e->call);
        sd_event_source_disable_unref(e->timer);
        sd_event_source_disable_unref(e->notify);
        json_decref(e->object);
        free(e->key);
        free(e->namespace);
        free(e->name);
        free(e->error);
        free(e);
        return NULL;
}
DEFINE_CLEANUP(struct entry *, entry_free)

static void set_state(struct entry *e, enum object_state state, json_t *object, const char *error)
{
        bool same = e->state == state &&
                    (object == e->object || (object && e->object && json_equal(object, e->object)));

        json_incref(object);
        json_decref(e->object);
        e->object = object;
        e->state = state;
        free_and_strdup(&e->error, error ? error : "");
        if (!same)
                sd_event_source_set_enabled(e->notify, SD_EVENT_ONESHOT);
}

/* Users may come and go while they are told, so each round starts from the front again. */
static int on_notify(_unused_ sd_event_source *s, void *userdata)
{
        struct entry *e = userdata;
        struct object_ref *ref;

        LIST_FOREACH (ref, &e->refs, node)
                ref->told = false;
        for (;;) {
                struct object_ref *next = NULL;
                bool last = true;

                LIST_FOREACH (ref, &e->refs, node) {
                        if (ref->told)
                                continue;
                        if (next) {
                                last = false;
                                break;
                        }
                        next = ref;
                }
                if (!next)
                        return 0;
                next->told = true;
                next->changed(next, next->userdata);
                if (last)
                        return 0; /* the entry may be gone now */
        }
}

static bool is_immutable(const json_t *object)
{
        return json_is_true(json_object_get(object, "immutable"));
}

static int on_watch_event(enum kube_event event, _unused_ const char *key, const json_t *object,
                          void *userdata, _unused_ struct err *err)
{
        struct entry *e = userdata;

        if (event == KUBE_DELETED)
                set_state(e, OBJECT_ABSENT, NULL, NULL);
        else
                set_state(e, OBJECT_PRESENT, (json_t *)object, NULL);
        return 0;
}

static void on_watch_synced(_unused_ void *userdata)
{
}

/* Without a namespace: objects of the whole cluster. */
static char *collection_path(const struct entry *e)
{
        const bool is_in_one = *e->namespace;

        return text_printf("%s%s%s/%s", kinds[e->kind].api, is_in_one ? "/namespaces/" : "",
                           e->namespace, kinds[e->kind].resource);
}

static void start_watch(struct entry *e)
{
        static const struct kube_watch_ops ops = { on_watch_event, on_watch_synced };
        _cleanup_free_ char *path = collection_path(e);
        _cleanup_free_ char *selector = text_printf("metadata.name=%s", e->name);
        const struct kube_watch_options options = { .path = path,
                                                    .field_selector = selector,
                                                    .what = kinds[e->kind].what };
        _cleanup_err_ struct err err = { 0 };
        int r = path && selector
                        ? kube_watch_new(e->cache->session, &options, &ops, e, &e->watch, &err)
                        : -ENOMEM;

        if (r < 0)
                log_warn(r, "Failed to watch %s '%s/%s', its changes will not be seen: %s",
                         kinds[e->kind].what, e->namespace, e->name, err_text(&err));
}

static void retry(struct entry *e)
{
        sd_event_source_set_time(e->timer, now_monotonic() + backoff_next(&e->backoff));
        sd_event_source_set_enabled(e->timer, SD_EVENT_ONESHOT);
}

static void on_got(_unused_ struct kube_call *call, int status, json_t *object,
                   const struct err *err, void *userdata)
{
        struct entry *e = userdata;

        e->call = NULL;
        if (status == 200 && object) {
                set_state(e, OBJECT_PRESENT, object, NULL);
                if (!is_immutable(object))
                        start_watch(e);
        } else if (status == 404) {
                set_state(e, OBJECT_ABSENT, NULL, NULL);
                start_watch(e);
        } else {
                /* a first refusal is often the authorizer that has not seen the binding yet */
                if (e->backoff.current_usec >= RETRY_MAX_USEC / 2 || status != 403)
                        set_state(e, OBJECT_FAILED, NULL, err_text(err));
                retry(e);
        }
}

static int on_timer(_unused_ sd_event_source *s, _unused_ uint64_t usec, void *userdata)
{
        struct entry *e = userdata;
        _cleanup_free_ char *folder = collection_path(e),
                            *path = folder ? text_printf("%s/%s", folder, e->name) : NULL;
        const struct kube_request request = {
                .method = "GET", .path = path, .done = on_got, .userdata = e
        };
        _cleanup_err_ struct err err = { 0 };

        if (!path || kube_start(e->cache->session, &request, &e->call, &err) < 0)
                retry(e);
        return 0;
}

static int entry_new(struct object_cache *c, enum object_kind kind, const char *namespace,
                     const char *name, const char *key, struct entry **ret)
{
        sd_event *event = kube_session_event(c->session);
        _cleanup_(entry_freep)
        struct entry *e = calloc(1, sizeof *e);
        int r;

        if (!e)
                return -ENOMEM;
        *e = (struct entry){
                .cache = c,
                .kind = kind,
                .key = strdup(key),
                .namespace = strdup(namespace),
                .name = strdup(name),
                .backoff = { RETRY_FIRST_USEC, RETRY_MAX_USEC, 0 },
        };
        list_init(&e->refs);
        if (!e->key || !e->namespace || !e->name)
                return -ENOMEM;
        r = sd_event_add_time(event, &e->timer, CLOCK_MONOTONIC, 0, ACCURACY_USEC, on_timer, e);
        if (r >= 0)
                r = sd_event_add_defer(event, &e->notify, on_notify, e);
        if (r >= 0)
                r = sd_event_source_set_enabled(e->notify, SD_EVENT_OFF);
        if (r >= 0)
                r = map_put(c->entries, key, e, NULL);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(e);
        return 0;
}

int object_ref_new(struct object_cache *c, enum object_kind kind, const char *namespace,
                   const char *name, object_changed_fn changed, void *userdata,
                   struct object_ref **ret)
{
        _cleanup_free_ char *key = text_printf("%d/%s/%s", (int)kind, namespace, name);
        struct object_ref *ref = calloc(1, sizeof *ref);
        struct entry *e = key ? map_get(c->entries, key) : NULL;
        int r = key && ref ? 0 : -ENOMEM;

        if (r == 0 && !e)
                r = entry_new(c, kind, namespace, name, key, &e);
        if (r < 0) {
                free(ref);
                return r;
        }
        *ref = (struct object_ref){ .entry = e, .changed = changed, .userdata = userdata };
        list_append(&e->refs, &ref->node);
        *ret = ref;
        return 0;
}

struct object_ref *object_ref_free(struct object_ref *ref)
{
        struct entry *e;

        if (!ref)
                return NULL;
        e = ref->entry;
        list_remove(&ref->node);
        free(ref);
        if (list_is_empty(&e->refs)) {
                map_remove(e->cache->entries, e->key);
                entry_free(e);
        }
        return NULL;
}

enum object_state object_ref_state(const struct object_ref *ref)
{
        return ref->entry->state;
}

const json_t *object_ref_object(const struct object_ref *ref)
{
        return ref->entry->object;
}

const char *object_ref_error(const struct object_ref *ref)
{
        return ref->entry->error ? ref->entry->error : "";
}

const char *object_ref_name(const struct object_ref *ref)
{
        return ref->entry->name;
}

enum object_kind object_ref_kind(const struct object_ref *ref)
{
        return ref->entry->kind;
}

int object_cache_new(struct kube_session *session, struct object_cache **ret)
{
        struct object_cache *c = calloc(1, sizeof *c);

        if (!c)
                return -ENOMEM;
        c->session = session;
        c->entries = map_new();
        if (!c->entries) {
                free(c);
                return -ENOMEM;
        }
        *ret = c;
        return 0;
}

static void free_entry_value(void *value)
{
        entry_free(value);
}

struct object_cache *object_cache_free(struct object_cache *c)
{
        if (!c)
                return NULL;
        map_free_with(c->entries, free_entry_value);
        free(c);
        return NULL;
}
