#include "kubelet/events.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "base/list.h"
#include "base/log.h"
#include "base/text.h"

#define MESSAGE_MAX    1024 /* the API's limit */
#define QUEUE_MAX      1000
#define RECENT_MAX     200
#define TRIES_MAX      12
#define RETRY_USEC     (10 * USEC_PER_SEC)
#define SETTLE_USEC    (200 * USEC_PER_MSEC) /* the status of what happened goes first */
#define NAMESPACE_NODE "default"

struct item {
        struct list_node node;
        char *path, *name; /* owned */
        char *body;        /* owned; JSON text: a tree is ten times larger, and there may be many */
        char *full;        /* owned; for a PATCH of an event that is gone: create it instead */
        bool is_patch;
        unsigned tries;
};

struct events {
        struct kube_session *session; /* borrowed; NULL: standalone */
        struct event_correlator *correlator;
        char *node_name;
        int32_t qps, burst;
        double tokens;
        usec_t refilled_at;
        struct list queue;
        size_t n_queued;
        struct kube_call *call;   /* owned: for the first item of the queue */
        sd_event_source *timer;   /* owned: next try or next token */
        char *recent[RECENT_MAX]; /* owned; a ring of JSON texts, oldest at .recent_at */
        size_t recent_at;
};

static void item_free(struct item *i)
{
        free(i->path);
        free(i->name);
        free(i->body);
        free(i->full);
        free(i);
}

static struct item *first(const struct events *e)
{
        return LIST_FIRST(&e->queue, struct item, node);
}

static void drop_first(struct events *e)
{
        struct item *i = first(e);

        list_remove(&i->node);
        e->n_queued--;
        item_free(i);
}

static void wake(struct events *e, usec_t pause)
{
        sd_event_source_set_time(e->timer, now_monotonic() + pause);
        sd_event_source_set_enabled(e->timer, SD_EVENT_ONESHOT);
}

/* 0: a token was taken; else how long until there is one. */
static usec_t take_token(struct events *e)
{
        usec_t now = now_monotonic();

        if (e->qps <= 0)
                return 0;
        e->tokens += (double)(now - e->refilled_at) / USEC_PER_SEC * e->qps;
        e->tokens = MIN(e->tokens, e->burst);
        e->refilled_at = now;
        if (e->tokens < 1)
                return (usec_t)((1 - e->tokens) / e->qps * USEC_PER_SEC) + 1;
        e->tokens -= 1;
        return 0;
}

static void send_next(struct events *e);

static void on_sent(_unused_ struct kube_call *call, int status, _unused_ json_t *object,
                    const struct err *err, void *userdata)
{
        struct events *e = userdata;
        struct item *i = first(e);

        e->call = NULL;
        if (status == 404 && i->is_patch && i->full) {
                /* it expired in the API: make it anew */
                free(i->body);
                i->body = TAKE_PTR(i->full);
                i->is_patch = false;
        } else if ((status == 0 || status == 429 || status >= 500) && ++i->tries < TRIES_MAX) {
                wake(e, usec_jitter(RETRY_USEC / 2, 100, random_u32()));
                return;
        } else {
                if (status < 200 || status > 299) {
                        log_debug("Event '%s' was refused and is dropped: %s", i->name,
                                  err_text(err));
                        event_correlator_forget(e->correlator, i->name);
                }
                drop_first(e);
        }
        send_next(e);
}

static void send_next(struct events *e)
{
        struct item *i = first(e);
        _cleanup_free_ char *item_path = NULL;
        json_auto_t *body = NULL;
        struct kube_request request;
        usec_t pause;

        if (!i || e->call || !e->session)
                return;
        pause = take_token(e);
        if (pause) {
                wake(e, pause);
                return;
        }
        if (json_parse(i->body, strlen(i->body), false, &body, NULL) < 0) {
                wake(e, RETRY_USEC);
                return;
        }
        item_path = i->is_patch ? text_printf("%s/%s", i->path, i->name) : strdup(i->path);
        request = (struct kube_request){
                .method = i->is_patch ? "PATCH" : "POST",
                .path = item_path,
                .body = body,
                .patch = i->is_patch ? KUBE_PATCH_STRATEGIC : KUBE_PATCH_NONE,
                .done = on_sent,
                .userdata = e,
        };
        if (!item_path || kube_start(e->session, &request, &e->call, NULL) < 0)
                wake(e, RETRY_USEC);
}

static int on_timer(_unused_ sd_event_source *s, _unused_ uint64_t usec, void *userdata)
{
        send_next(userdata);
        return 0;
}

static json_t *build_event(const struct events *e, const struct event_object *o,
                           const struct event_decision *d, const char *type, const char *reason,
                           json_t *annotations, usec_t now)
{
        char first_text[TIME_TEXT_MAX], last_text[TIME_TEXT_MAX];
        const char *namespace = o->namespace && *o->namespace ? o->namespace : NAMESPACE_NODE;
        json_t *involved = json_pack("{s:s, s:s}", "kind", o->kind, "name", o->name);

        json_set_text(involved, "apiVersion", o->api_version);
        json_set_text(involved, "namespace", o->namespace);
        json_set_text(involved, "uid", o->uid);
        json_set_text(involved, "resourceVersion", o->resource_version);
        json_set_text(involved, "fieldPath", o->field_path);
        return json_pack(
                "{s:s, s:s, s:{s:s, s:s, s:O*}, s:o, s:s, s:s, s:s, s:{s:s, s:s}, s:s, s:s, s:i, "
                "s:s, s:s}",
                "apiVersion", "v1", "kind", "Event", "metadata", "name", d->name, "namespace",
                namespace, "annotations", annotations, "involvedObject", involved, "reason", reason,
                "message", d->message, "type", type, "source", "component", "kubelet", "host",
                e->node_name, "firstTimestamp", time_format(d->first_seen, first_text),
                "lastTimestamp", time_format(now, last_text), "count", (int)d->count,
                "reportingComponent", "kubelet", "reportingInstance", e->node_name);
}

static void remember(struct events *e, const char *text)
{
        char **place = &e->recent[e->recent_at++ % RECENT_MAX];

        free(*place);
        *place = strdup(text);
}

/* What counts an event that is there. */
static char *patch_of(const json_t *event)
{
        json_auto_t *patch = json_pack("{s:O, s:O, s:O}", "count", json_object_get(event, "count"),
                                       "lastTimestamp", json_object_get(event, "lastTimestamp"),
                                       "message", json_object_get(event, "message"));

        return patch ? json_dumps(patch, JSON_COMPACT) : NULL;
}

static void enqueue(struct events *e, const struct event_decision *d, const json_t *event,
                    const char *text)
{
        const json_t *metadata = json_object_get(event, "metadata");
        struct item *i;

        if (!e->session)
                return;
        if (e->n_queued >= QUEUE_MAX) {
                log_debug("The queue of events is full, '%s' is dropped", d->name);
                return;
        }
        i = calloc(1, sizeof *i);
        if (!i)
                return log_oom();
        *i = (struct item){
                .path = text_printf("/api/v1/namespaces/%s/events",
                                    json_text_at(metadata, "namespace")),
                .name = strdup(d->name),
                .is_patch = d->verdict == EVENT_COUNT,
        };
        i->body = i->is_patch ? patch_of(event) : strdup(text);
        i->full = i->is_patch ? strdup(text) : NULL;
        if (!i->path || !i->name || !i->body) {
                item_free(i);
                return log_oom();
        }
        list_append(&e->queue, &i->node);
        if (e->n_queued++ == 0)
                wake(e, SETTLE_USEC);
}

void events_add_annotated(struct events *e, const struct event_object *object, const char *type,
                          const char *reason, json_t *annotations, const char *message)
{
        _cleanup_free_ char *text = NULL;
        json_auto_t *event = NULL;
        struct event_decision d;
        usec_t now = now_realtime();

        if (event_correlate(e->correlator, object, type, reason, message, now, &d) < 0)
                return log_oom();
        if (d.verdict == EVENT_DROP)
                return;
        event = build_event(e, object, &d, type, reason, annotations, now);
        text = event ? json_dumps(event, JSON_COMPACT) : NULL;
        if (!text)
                return log_oom();
        remember(e, text);
        enqueue(e, &d, event, text);
}

void events_add(struct events *e, const struct event_object *object, const char *type,
                const char *reason, const char *fmt, ...)
{
        _cleanup_free_ char *message = NULL;
        va_list ap;
        int r;

        va_start(ap, fmt);
        r = vasprintf(&message, fmt, ap);
        va_end(ap);
        if (r < 0) {
                message = NULL;
                return log_oom();
        }
        if (strlen(message) > MESSAGE_MAX)
                memcpy(message + MESSAGE_MAX - 3, "...", 4);
        events_add_annotated(e, object, type, reason, NULL, message);
}

void events_forget_object(struct events *e, const struct event_object *object)
{
        event_correlator_forget_object(e->correlator, object);
}

json_t *events_recent(const struct events *e)
{
        json_t *array = json_array();

        for (size_t i = 0; array && i < RECENT_MAX; i++) {
                const char *text = e->recent[(e->recent_at + i) % RECENT_MAX];
                json_t *event = NULL;

                if (text && json_parse(text, strlen(text), false, &event, NULL) == 0)
                        json_array_append_new(array, event);
        }
        return array;
}

int events_new(sd_event *event, struct kube_session *session, const struct events_options *o,
               struct events **ret, struct err *err)
{
        _cleanup_(events_freep)
        struct events *e = calloc(1, sizeof *e);
        int r;

        if (!e)
                return err_sys(err, -ENOMEM, "start the event recorder");
        *e = (struct events){
                .session = session,
                .correlator = event_correlator_new(),
                .node_name = strdup(o->node_name),
                .qps = o->qps,
                .burst = MAX(o->burst, 1),
                .tokens = MAX(o->burst, 1),
                .refilled_at = now_monotonic(),
        };
        list_init(&e->queue);
        if (!e->correlator || !e->node_name)
                return err_sys(err, -ENOMEM, "start the event recorder");
        r = sd_event_add_time(event, &e->timer, CLOCK_MONOTONIC, 0, ACCURACY_USEC, on_timer, e);
        if (r >= 0)
                r = sd_event_source_set_enabled(e->timer, SD_EVENT_OFF);
        if (r < 0)
                return err_sys(err, r, "start the event recorder");
        *ret = TAKE_PTR(e);
        return 0;
}

struct events *events_free(struct events *e)
{
        if (!e)
                return NULL;
        kube_cancel(e->call);
        sd_event_source_disable_unref(e->timer);
        while (e->queue.head.next && first(e))
                drop_first(e);
        event_correlator_free(e->correlator);
        for (size_t i = 0; i < RECENT_MAX; i++)
                free(e->recent[i]);
        free(e->node_name);
        free(e);
        return NULL;
}
