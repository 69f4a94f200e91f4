#include "kubelet/status-writer.h"

#include <errno.h>
#include <string.h>

#include "base/json.h"
#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "base/text.h"
#include "kubelet/pod-log.h"
#include "kubelet/status-patch.h"

#define RETRY_FIRST_USEC (200 * USEC_PER_MSEC)
#define RETRY_MAX_USEC   (30 * USEC_PER_SEC)
#define AWAY_USEC        (500 * USEC_PER_MSEC) /* no answer at all: the server is asked again soon */
#define HOLD_USEC        USEC_PER_SEC          /* a step on the way: the next one may replace it */

struct entry {
        struct status_writer *writer;
        struct pod *pod; /* one reference; the newest told */
        char *path;      /* owned; /api/v1/namespaces/…/pods/… */
        char *have;      /* owned; status of the server as JSON text (trees are ten times larger) */
        uint64_t version;  /* resourceVersion that .have is of; 0: unknown */
        uint64_t seen;     /* the newest that the watch showed while a call was under way */
        json_t *want;      /* owned; NULL: nothing to write */
        json_t *sending;   /* owned; what the call under way makes of it */
        usec_t held_until; /* 0: nothing is held back */
        bool delete_wanted, deleting;
        bool refreshing; /* the call under way looks at the pod, for nothing but .have */
        bool refused;    /* what is wanted was refused once, maybe for what .have did not know */
        struct kube_call *call; /* owned */
        sd_event_source *timer; /* owned */
        struct backoff backoff;
        unsigned refusals; /* in a row */
};

struct status_writer {
        struct kube_session *session; /* borrowed */
        struct map *entries;          /* uid -> struct entry, owned */
        struct status_writer_ops ops;
};

static struct entry *entry_free(struct entry *e)
{
        if (!e)
                return NULL;
        kube_cancel(e->call);
        sd_event_source_disable_unref(e->timer);
        json_decref(e->want);
        json_decref(e->sending);
        free(e->have);
        free(e->path);
        pod_unref(e->pod);
        free(e);
        return NULL;
}

static void entry_go_on(struct entry *e);

static int on_timer(_unused_ sd_event_source *s, _unused_ uint64_t usec, void *userdata)
{
        entry_go_on(userdata);
        return 0;
}

static struct entry *entry_of(struct status_writer *w, struct pod *pod)
{
        struct entry *e = map_get(w->entries, pod->uid);

        if (e) {
                if (e->pod != pod) {
                        pod_unref(e->pod);
                        e->pod = pod_ref(pod);
                }
                return e;
        }
        e = calloc(1, sizeof *e);
        if (!e)
                return NULL;
        *e = (struct entry){
                .writer = w,
                .pod = pod_ref(pod),
                .path = text_printf("/api/v1/namespaces/%s/pods/%s", pod->namespace, pod->name),
                .have = strdup_null(pod->status_text),
                .backoff = { RETRY_FIRST_USEC, RETRY_MAX_USEC, 0 },
        };
        if (!e->path ||
            sd_event_add_time(kube_session_event(w->session), &e->timer, CLOCK_MONOTONIC, 0,
                              ACCURACY_USEC, on_timer, e) < 0 ||
            sd_event_source_set_enabled(e->timer, SD_EVENT_OFF) < 0 ||
            map_put(w->entries, pod->uid, e, NULL) < 0)
                return entry_free(e);
        return e;
}

static json_t *have_status(const struct entry *e)
{
        json_t *have = NULL;

        if (e->have && json_parse(e->have, strlen(e->have), false, &have, NULL) == 0)
                return have;
        return json_object();
}

static uint64_t version_of(const char *resource_version)
{
        uint64_t v;

        return resource_version && text_to_u64(resource_version, &v) == 0 ? v : 0;
}

/* @object is the server's answer: the whole pod. */
static void set_have(struct entry *e, const json_t *object)
{
        const json_t *status = json_object_get(object, "status");

        free(e->have);
        e->have = status ? json_dumps(status, JSON_COMPACT) : NULL;
        e->version = version_of(
                json_text_at(json_object_get(object, "metadata"), "resourceVersion"));
}

static void try_again(struct entry *e, int status, const char *why, const char *what)
{
        usec_t pause = status == 0 ? usec_jitter(AWAY_USEC, 100, random_u32())
                                   : usec_jitter(backoff_next(&e->backoff), 50, random_u32());

        if (status != 0 && e->refusals++ == 0)
                log_pod_warn(e->pod, 0, "Failed to %s, trying again: %s", what, why);
        sd_event_source_set_time(e->timer, now_monotonic() + pause);
        sd_event_source_set_enabled(e->timer, SD_EVENT_ONESHOT);
}

/* The same words will be refused again: the server found fault with what they say. */
static bool is_refused_for_good(int status)
{
        return status == 400 || status == 413 || status == 422;
}

static void entry_accepted(struct entry *e)
{
        backoff_reset(&e->backoff);
        e->refusals = 0;
}

/* The pod is gone, or its name belongs to another one now. */
static void entry_gone(struct entry *e)
{
        struct status_writer *w = e->writer;
        _cleanup_free_ char *uid = strdup(e->pod->uid);

        map_remove(w->entries, e->pod->uid);
        entry_free(e);
        if (uid)
                w->ops.on_gone(uid, w->ops.userdata);
}

/* A conflict: is it still our pod? */
static void on_looked(_unused_ struct kube_call *call, int status, json_t *object,
                      const struct err *err, void *userdata)
{
        struct entry *e = userdata;
        const char *uid = json_text_at(json_object_get(object, "metadata"), "uid");
        bool refreshing = e->refreshing;

        e->call = NULL;
        e->refreshing = false;
        if (status == 404 || (status == 200 && uid && !streq(uid, e->pod->uid))) {
                log_pod_debug(e->pod, "Its status has no pod in the API any more");
                entry_gone(e);
                return;
        }
        if (status == 200)
                set_have(e, object);
        if (status == 200 && refreshing)
                entry_go_on(e);
        else
                try_again(e, status, status == 200 ? "conflict" : err_text(err),
                          "write the pod's status");
}

static int start(struct entry *e, const struct kube_request *request)
{
        _cleanup_err_ struct err err = { 0 };
        int r = kube_start(e->writer->session, request, &e->call, &err);

        if (r < 0)
                try_again(e, -1, err_text(&err), "reach the API server");
        return r;
}

static void look(struct entry *e)
{
        const struct kube_request request = {
                .method = "GET", .path = e->path, .done = on_looked, .userdata = e
        };

        start(e, &request);
}

/* @status was computed against what is not there any more: once more, against what is. */
static void refresh(struct entry *e, json_t *status)
{
        if (!e->want)
                e->want = json_incref(status);
        e->refreshing = true;
        look(e);
}

static void on_patched(_unused_ struct kube_call *call, int status, json_t *object,
                       const struct err *err, void *userdata)
{
        struct entry *e = userdata;
        json_auto_t *sent = TAKE_PTR(e->sending);

        e->call = NULL;
        if (status == 200) {
                entry_accepted(e);
                set_have(e, object);
                e->refused = false;
                if (e->seen > e->version) /* somebody wrote after us */
                        refresh(e, sent);
                else
                        entry_go_on(e);
        } else if (status == 404) {
                log_pod_debug(e->pod, "Its status has no pod in the API any more");
                entry_gone(e);
        } else if (is_refused_for_good(status) && !e->refused) {
                e->refused = true;
                refresh(e, sent);
        } else if (is_refused_for_good(status)) {
                /* what comes next, a newer status or the deletion, does not wait for this one */
                log_pod_error(e->pod, 0, "Failed to write the pod's status, dropping it: %s",
                              err_text(err));
                entry_accepted(e);
                entry_go_on(e);
        } else {
                if (!e->want) /* unless there is a newer one */
                        e->want = json_incref(sent);
                if (status == 409)
                        look(e);
                else
                        try_again(e, status, err_text(err), "write the pod's status");
        }
}

static void on_deleted(_unused_ struct kube_call *call, int status, _unused_ json_t *object,
                       const struct err *err, void *userdata)
{
        struct entry *e = userdata;

        e->call = NULL;
        e->deleting = false;
        if (status == 200 || status == 202 || status == 404)
                entry_gone(e);
        else if (status == 409)
                look(e);
        else
                try_again(e, status, err_text(err), "delete the pod's object");
}

static void send_delete(struct entry *e)
{
        json_auto_t *body = json_pack("{s:s, s:s, s:i, s:{s:s}}", "apiVersion", "v1", "kind",
                                      "DeleteOptions", "gracePeriodSeconds", 0, "preconditions",
                                      "uid", e->pod->uid);
        const struct kube_request request = {
                .method = "DELETE", .path = e->path, .body = body, .done = on_deleted, .userdata = e
        };

        e->deleting = start(e, &request) == 0;
}

/* A pod on its way to Running passes through some states that nobody waits for; each of them would
 * cost the server as much as the last, which would wait for it. */
static bool hold_back(struct entry *e, const json_t *have)
{
        usec_t now = now_monotonic();

        if (e->delete_wanted || status_is_pressing(have, e->want, e->pod->deleted_at != 0))
                return false;
        if (!e->held_until)
                e->held_until = now + HOLD_USEC;
        if (now >= e->held_until)
                return false;
        sd_event_source_set_time(e->timer, e->held_until);
        sd_event_source_set_enabled(e->timer, SD_EVENT_ONESHOT);
        return true;
}

/* Sends @e->want if it differs from what the server has. 0: there is nothing to send. */
static int send_status(struct entry *e)
{
        json_auto_t *have = have_status(e);
        json_auto_t *patch = NULL;
        _cleanup_free_ char *path = text_printf("%s/status", e->path);
        struct kube_request request;
        int r = path && have ? status_patch_build(have, e->want, e->pod->uid, &patch) : -ENOMEM;

        if (r < 0) {
                _cleanup_err_ struct err err = { 0 };

                err_sys(&err, r, "write the pod's status");
                try_again(e, -1, err_text(&err), "write the pod's status");
                return r;
        }
        if (r == 0) {
                json_decref(e->want);
                e->want = NULL;
                e->held_until = 0;
                entry_accepted(e);
                return 0;
        }
        if (hold_back(e, have))
                return 1;
        e->held_until = 0;
        request = (struct kube_request){ .method = "PATCH",
                                         .path = path,
                                         .body = patch,
                                         .patch = KUBE_PATCH_STRATEGIC,
                                         .done = on_patched,
                                         .userdata = e };
        json_decref(e->sending);
        e->sending = TAKE_PTR(e->want);
        if (start(e, &request) < 0) {
                e->want = TAKE_PTR(e->sending);
                return -EAGAIN;
        }
        return 1;
}

static void entry_go_on(struct entry *e)
{
        if (e->call)
                return;
        sd_event_source_set_enabled(e->timer, SD_EVENT_OFF);
        if (e->want && send_status(e) != 0)
                return;
        if (e->delete_wanted)
                send_delete(e);
}

void status_writer_put(struct status_writer *w, struct pod *pod, json_t *status)
{
        struct entry *e = entry_of(w, pod);

        if (!e)
                return log_oom();
        json_incref(status);
        json_decref(e->want);
        e->want = status;
        e->refused = false;
        /* while a failed call waits for its next try, the newest waits with it */
        if (!e->call && e->refusals == 0)
                entry_go_on(e);
}

bool status_writer_seen(struct status_writer *w, const struct pod *pod)
{
        struct entry *e = map_get(w->entries, pod->uid);
        uint64_t version = version_of(pod->resource_version);

        if (!e || (version && version <= e->version))
                return false;
        /* the answer to a call under way is newer than what the watch shows meanwhile, or it is not
         */
        if (e->call) {
                e->seen = MAX(e->seen, version);
                return false;
        }
        e->version = version;
        if (streq_null(e->have, pod->status_text))
                return false;
        if (free_and_strdup(&e->have, pod->status_text) < 0)
                log_oom();
        return true;
}

void status_writer_delete(struct status_writer *w, struct pod *pod)
{
        struct entry *e = entry_of(w, pod);

        if (!e)
                return log_oom();
        e->delete_wanted = true;
        if (!e->call && e->refusals == 0)
                entry_go_on(e);
}

void status_writer_forget(struct status_writer *w, const char *pod_uid)
{
        entry_free(map_remove(w->entries, pod_uid));
}

bool status_writer_is_idle(const struct status_writer *w, const char *pod_uid)
{
        const struct entry *e = map_get(w->entries, pod_uid);

        return !e || (!e->call && !e->want && !e->delete_wanted);
}

int status_writer_new(struct kube_session *session, const struct status_writer_ops *ops,
                      struct status_writer **ret, struct err *err)
{
        struct status_writer *w = calloc(1, sizeof *w);

        if (!w)
                return err_sys(err, -ENOMEM, "start the status writer");
        *w = (struct status_writer){ .session = session, .entries = map_new(), .ops = *ops };
        if (!w->entries) {
                free(w);
                return err_sys(err, -ENOMEM, "start the status writer");
        }
        *ret = w;
        return 0;
}

static void free_entry_value(void *value)
{
        entry_free(value);
}

struct status_writer *status_writer_free(struct status_writer *w)
{
        if (!w)
                return NULL;
        map_free_with(w->entries, free_entry_value);
        free(w);
        return NULL;
}
