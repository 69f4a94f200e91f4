#include "netproxy/events.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "base/text.h"

enum {
        QUEUE_MAX = 100,
        TRIES_MAX = 12,
        RETRY_SEC = 10,
        BURST = 25,
        SEC_PER_TOKEN = 5,
        NOTE_MAX = 1024, /* the API's limit */
        REMEMBERED_MAX = 1000,
        QUIET_MINUTES = 10,
};

struct item {
        struct list_node node;
        char *path;   /* owned */
        json_t *body; /* owned */
        unsigned tries;
};

struct proxy_events {
        struct kube_session *session; /* borrowed */
        char *node_name, *instance;   /* owned */
        struct list queue;
        size_t n_queued;
        struct kube_call *call; /* owned: for the first one of the queue */
        sd_event_source *timer; /* owned: the next try or token */
        double tokens;
        usec_t refilled_at; /* CLOCK_MONOTONIC */
        struct map *sent;   /* of usec_t, CLOCK_MONOTONIC: when this was said last; owned */
};

static void item_free(struct item *i)
{
        if (!i)
                return;
        free(i->path);
        json_decref(i->body);
        free(i);
}
static void item_freep(struct item **i)
{
        item_free(*i);
}

static void drop_first(struct proxy_events *e)
{
        item_free(CONTAINER_OF(list_pop(&e->queue), struct item, node));
        e->n_queued--;
}

static void wake(struct proxy_events *e, usec_t pause)
{
        if (sd_event_source_set_time(e->timer, now_monotonic() + pause) < 0 ||
            sd_event_source_set_enabled(e->timer, SD_EVENT_ONESHOT) < 0)
                log_debug("Failed to arm a timer: events wait for the next one");
}

/* 0: a token was taken; else how long until there is one. */
static usec_t take_token(struct proxy_events *e)
{
        usec_t now = now_monotonic();

        e->tokens += (double)(now - e->refilled_at) / (SEC_PER_TOKEN * USEC_PER_SEC);
        e->tokens = MIN(e->tokens, (double)BURST);
        e->refilled_at = now;
        if (e->tokens < 1)
                return (usec_t)((1 - e->tokens) * SEC_PER_TOKEN * USEC_PER_SEC) + USEC_PER_MSEC;
        e->tokens -= 1;
        return 0;
}

static void send_next(struct proxy_events *e);

static void on_sent(_unused_ struct kube_call *call, int status, _unused_ json_t *object,
                    const struct err *err, void *userdata)
{
        struct proxy_events *e = userdata;
        struct item *i = LIST_FIRST(&e->queue, struct item, node);

        e->call = NULL;
        if ((status == 0 || status == 429 || status >= 500) && ++i->tries < TRIES_MAX) {
                wake(e, usec_jitter(RETRY_SEC * USEC_PER_SEC / 2, 100, random_u32()));
                return;
        }
        if (status < 200 || status > 299)
                log_debug("An event was not taken and is dropped: %s", err_text(err));
        drop_first(e);
        send_next(e);
}

static void send_next(struct proxy_events *e)
{
        struct item *i = LIST_FIRST(&e->queue, struct item, node);
        struct kube_request request = { .method = "POST", .done = on_sent, .userdata = e };
        usec_t pause;

        if (!i || e->call)
                return;
        pause = take_token(e);
        if (pause > 0) {
                wake(e, pause);
                return;
        }
        request.path = i->path;
        request.body = i->body;
        if (kube_start(e->session, &request, &e->call, NULL) < 0)
                wake(e, RETRY_SEC * USEC_PER_SEC);
}

static int on_timer(_unused_ sd_event_source *s, _unused_ uint64_t due_usec, void *userdata)
{
        send_next(userdata);
        return 0;
}

/* One sentence about one object, and when it was said. */
static bool was_said_lately(struct proxy_events *e, const char *kind, const char *key,
                            const char *note)
{
        _cleanup_free_ char *id = text_printf("%s %s %s", kind, key, note);
        _cleanup_free_ usec_t *now = malloc(sizeof *now);
        usec_t *before = id ? map_get(e->sent, id) : NULL;
        void *old = NULL;

        if (!id || !now)
                return true;
        *now = now_monotonic();
        if (before && *now < *before + QUIET_MINUTES * USEC_PER_MINUTE)
                return true;
        if (map_size(e->sent) >= REMEMBERED_MAX) {
                struct map *fresh = map_new();

                if (!fresh)
                        return true;
                map_free_with(e->sent, free);
                e->sent = fresh;
        }
        if (map_put(e->sent, id, now, &old) < 0)
                return true;
        now = NULL;
        free(old);
        return false;
}

/* Of the longest name that the API allows this one is cut, so that the whole is allowed, too. */
static char *event_name(const char *object)
{
        return text_printf("%.220s.%" PRIx64, object, now_realtime() * NSEC_PER_USEC);
}

/* Within the API's limit, and no letter in half. */
static char *cut_note(const char *note)
{
        size_t n = MIN(strlen(note), (size_t)NOTE_MAX);

        while (n > 0 && note[n] != '\0' && ((unsigned char)note[n] & 0xc0) == 0x80)
                n--;
        return strndup(note, n);
}

/* Takes @regarding. */
static void add(struct proxy_events *e, json_t *regarding, const char *namespace, const char *name,
                const char *type, const char *reason, const char *action, const char *note)
{
        _cleanup_free_ char *own_name = event_name(name);
        _cleanup_(item_freep)
        struct item *i = calloc(1, sizeof *i);
        _cleanup_free_ char *cut = cut_note(note);
        char now[TIME_TEXT_MAX];

        if (e->n_queued == QUEUE_MAX || !own_name || !i || !cut) {
                json_decref(regarding);
                log_debug("Too many events wait, one is dropped: %s", note);
                return;
        }
        i->path = text_printf("/apis/events.k8s.io/v1/namespaces/%s/events", namespace);
        i->body = json_pack("{s:s, s:s, s:{s:s, s:s}, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:o}",
                            "apiVersion", "events.k8s.io/v1", "kind", "Event", "metadata", "name",
                            own_name, "namespace", namespace, "eventTime",
                            time_format_micro(now_realtime(), now), "reportingController",
                            "kube-proxy", "reportingInstance", e->instance, "type", type, "reason",
                            reason, "action", action, "note", cut, "regarding", regarding);
        if (!i->path || !i->body)
                return log_oom();
        list_append(&e->queue, &i->node);
        i = NULL;
        e->n_queued++;
        send_next(e);
}

void proxy_events_started(struct proxy_events *e)
{
        /* kube-proxy's way: a Node's UID is its name here; `kubectl describe node` looks for it */
        add(e,
            json_pack("{s:s, s:s, s:s}", "kind", "Node", "name", e->node_name, "uid", e->node_name),
            "default", e->node_name, "Normal", "Starting", "StartKubeProxy", "");
}

void proxy_events_warn(struct proxy_events *e, const char *kind, const char *key,
                       const char *reason, const char *action, const char *note)
{
        const char *slash = strchr(key, '/');
        _cleanup_free_ char *namespace = slash ? strndup(key, (size_t)(slash - key)) : NULL;

        if (!namespace || !is_dns_label(namespace) || !is_dns_subdomain(slash + 1) ||
            was_said_lately(e, kind, key, note))
                return;
        add(e,
            json_pack("{s:s, s:s, s:s, s:s}", "apiVersion",
                      streq(kind, "Service") ? "v1" : "discovery.k8s.io/v1", "kind", kind,
                      "namespace", namespace, "name", slash + 1),
            namespace, slash + 1, "Warning", reason, action, note);
}

int proxy_events_new(struct kube_session *session, const char *node_name, struct proxy_events **ret,
                     struct err *err)
{
        _cleanup_(proxy_events_freep)
        struct proxy_events *e = calloc(1, sizeof *e);
        int r;

        if (!e)
                return err_sys(err, -ENOMEM, "start the event recorder");
        *e = (struct proxy_events){
                .session = session,
                .node_name = strdup(node_name),
                .instance = text_printf("kube-proxy-%.100s", node_name),
                .sent = map_new(),
                .tokens = BURST,
                .refilled_at = now_monotonic(),
        };
        list_init(&e->queue);
        if (!e->node_name || !e->instance || !e->sent)
                return err_sys(err, -ENOMEM, "start the event recorder");
        r = sd_event_add_time(kube_session_event(session), &e->timer, CLOCK_MONOTONIC, 0,
                              USEC_PER_MSEC, on_timer, e);
        if (r >= 0)
                r = sd_event_source_set_enabled(e->timer, SD_EVENT_OFF);
        if (r < 0)
                return err_sys(err, r, "start the event recorder");
        *ret = TAKE_PTR(e);
        return 0;
}

struct proxy_events *proxy_events_free(struct proxy_events *e)
{
        if (!e)
                return NULL;
        kube_cancel(e->call);
        sd_event_source_disable_unref(e->timer);
        while (e->n_queued > 0)
                drop_first(e);
        map_free_with(e->sent, free);
        free(e->node_name);
        free(e->instance);
        free(e);
        return NULL;
}
