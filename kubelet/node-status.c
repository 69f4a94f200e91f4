#include "kubelet/node-status.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "base/text.h"

#define REGISTER_BACKOFF_USEC     (100 * USEC_PER_MSEC)
#define REGISTER_BACKOFF_MAX_USEC (7 * USEC_PER_SEC)
#define REQUEST_TIMEOUT_USEC      (10 * USEC_PER_SEC)
#define COALESCE_USEC             (20 * USEC_PER_MSEC)

struct node_status {
        struct kube_session *session; /* borrowed */
        struct node_status_options options;
        char *name, *path, *status_path, *selector; /* owned */
        struct kube_watch *watch;                   /* owned */
        struct kube_call *call;                     /* owned; registration or patch under way */
        sd_event_source *timer;                     /* owned */
        struct backoff backoff;
        bool registered;    /* or found there; or we do not register and it was seen */
        bool dirty;         /* compute again when the call under way is done */
        json_t *node;       /* owned; last seen */
        json_t *sent;       /* owned; status that the server has from us; NULL: none yet */
        uint64_t version;   /* resourceVersion of the answer to it; 0: unknown */
        json_t *sending;    /* owned; status in the call under way */
        usec_t sent_at;     /* CLOCK_MONOTONIC */
        usec_t report_usec; /* period, shifted once by up to half, so that nodes do not report in
                               step */
};

const char *node_status_uid(const struct node_status *n)
{
        return json_string_value(json_path(n->node, "metadata", "uid", NULL));
}

const json_t *node_status_node(const struct node_status *n)
{
        return n->node;
}

static void schedule(struct node_status *n, usec_t delay)
{
        sd_event_source_set_time(n->timer, now_monotonic() + delay);
        sd_event_source_set_enabled(n->timer, SD_EVENT_ONESHOT);
}

void node_status_changed(struct node_status *n)
{
        n->dirty = true;
        if (!n->call && n->registered)
                schedule(n, COALESCE_USEC);
}

static struct node_input input_now(struct node_status *n)
{
        struct node_input in = { .name = n->name, .now = now_realtime() };

        n->options.fill(&in, n->options.userdata);
        in.shown = json_object_get(n->node, "status");
        return in;
}

static const json_t *condition_of(const json_t *status, const char *type)
{
        const json_t *c;
        size_t i;

        json_array_foreach (json_object_get(status, "conditions"), i, c)
                if (streq_null(json_text_at(c, "type"), type))
                        return c;
        return NULL;
}

/* Tells which conditions flipped between two statuses; every one when there was none. */
static void tell_conditions(struct node_status *n, const json_t *before, const json_t *after)
{
        const json_t *c;
        size_t i;

        json_array_foreach (json_object_get(after, "conditions"), i, c) {
                const json_t *old = condition_of(before, json_text_at(c, "type"));
                const char *reason = json_text_at(c, "reason");
                _cleanup_free_ char *name = NULL;

                if (old && streq_null(json_text_at(old, "status"), json_text_at(c, "status")))
                        continue;
                /* "KubeletHasDiskPressure" is the event NodeHasDiskPressure, KubeletReady NodeReady
                 */
                name = text_printf("Node%s", startswith(reason, "Kubelet"));
                if (name)
                        n->options.on_condition(name, n->options.userdata);
        }
}

static int start(struct node_status *n, const char *method, const char *path, const json_t *body,
                 enum kube_patch patch, kube_done_fn done)
{
        _cleanup_err_ struct err err = { 0 };
        const struct kube_request request = {
                .method = method,
                .path = path,
                .body = body,
                .patch = patch,
                .timeout_usec = REQUEST_TIMEOUT_USEC,
                .done = done,
                .userdata = n,
        };
        int r = kube_start(n->session, &request, &n->call, &err);

        if (r < 0) {
                log_warn(r, "Failed to send the node status, trying again: %s", err_text(&err));
                schedule(n, backoff_next(&n->backoff));
        }
        return r;
}

static uint64_t version_of(const json_t *node)
{
        const char *text = json_text_at(json_object_get(node, "metadata"), "resourceVersion");
        uint64_t v = 0;

        return text && text_to_u64(text, &v) == 0 ? v : 0;
}

static void take_sent(struct node_status *n, const json_t *answer)
{
        tell_conditions(n, n->sent, n->sending);
        json_decref(n->sent);
        n->sent = TAKE_PTR(n->sending);
        n->sent_at = now_monotonic();
        n->version = version_of(answer);
}

static bool has_condition_of_others(const json_t *ours, const json_t *theirs)
{
        const json_t *c;
        size_t i;

        json_array_foreach (json_object_get(ours, "conditions"), i, c) {
                const json_t *now = condition_of(theirs, json_text_at(c, "type"));

                if (!now || !streq_null(json_text_at(now, "status"), json_text_at(c, "status")))
                        return true;
        }
        return false;
}

/*
 * The controller manager makes the conditions Unknown when nothing was heard of the node for a
 * while: they are ours to put right, now and not at the next report.
 */
static void repair(struct node_status *n)
{
        json_t *status = json_object_get(n->node, "status");

        if (n->call || !n->sent || version_of(n->node) <= n->version ||
            !has_condition_of_others(n->sent, status))
                return;
        json_decref(n->sent);
        n->sent = json_incref(status);
        node_status_changed(n);
}

static void after_write(struct node_status *n)
{
        backoff_reset(&n->backoff);
        schedule(n, n->dirty ? COALESCE_USEC
                             : usec_jitter(n->options.update_period_usec, 4, random_u32()));
        repair(n); /* what the watch showed meanwhile */
}

static void on_patched(_unused_ struct kube_call *call, int status, json_t *object,
                       const struct err *err, void *userdata)
{
        struct node_status *n = userdata;

        n->call = NULL;
        if (status == 200) {
                take_sent(n, object);
                after_write(n);
                return;
        }
        json_decref(n->sending);
        n->sending = NULL;
        log_warn(0, "Failed to write the node status, trying again: %s", err_text(err));
        schedule(n, MIN(backoff_next(&n->backoff), n->options.update_period_usec));
}

static void write_status(struct node_status *n)
{
        struct node_input in = input_now(n);
        json_auto_t *status = node_status_build(&in, n->sent);
        json_auto_t *patch = NULL;

        n->dirty = false;
        if (!status)
                return log_oom();
        if (n->sent && node_status_equal(status, n->sent) &&
            now_monotonic() < n->sent_at + n->report_usec) {
                after_write(n);
                return;
        }
        patch = node_status_patch(status);
        json_decref(n->sending);
        n->sending = json_incref(status);
        start(n, "PATCH", n->status_path, patch, KUBE_PATCH_STRATEGIC, on_patched);
}

static void set_registered(struct node_status *n)
{
        n->registered = true;
        backoff_reset(&n->backoff);
}

/*
 * The first status is written against what an earlier skiffd left in the Node, so that conditions
 * keep the time of their last change: not before the watch has shown it.
 */
static void adopt(struct node_status *n)
{
        if (n->sent || n->call || !n->node)
                return;
        n->sent = json_incref(json_object_get(n->node, "status"));
        if (!n->options.register_node)
                set_registered(n);
        schedule(n, 0);
}

static void on_registered(_unused_ struct kube_call *call, int status, json_t *object,
                          const struct err *err, void *userdata)
{
        struct node_status *n = userdata;

        n->call = NULL;
        if (status == 201 && object) {
                log_info("Registered node '%s'", n->name);
                set_registered(n);
                take_sent(n, object);
                after_write(n);
        } else if (status == 409) {
                /* it is there already: labels and status follow by patches of the status
                 * sub-resource */
                log_info("Node '%s' was registered before", n->name);
                json_decref(n->sending);
                n->sending = NULL;
                set_registered(n);
                adopt(n);
        } else {
                usec_t pause = backoff_next(&n->backoff);

                log_warn(0, "Failed to register node '%s', next try in %" PRIu64 " ms: %s", n->name,
                         pause / USEC_PER_MSEC, err_text(err));
                schedule(n, pause);
        }
}

static void register_node(struct node_status *n)
{
        struct node_input in = input_now(n);
        json_auto_t *object = node_object_build(&in);

        if (!object)
                return log_oom();
        json_decref(n->sending);
        n->sending = json_incref(json_object_get(object, "status"));
        start(n, "POST", "/api/v1/nodes", object, KUBE_PATCH_NONE, on_registered);
}

static int on_timer(_unused_ sd_event_source *s, _unused_ uint64_t usec, void *userdata)
{
        struct node_status *n = userdata;

        if (n->call)
                return 0;
        if (n->registered)
                write_status(n);
        else if (n->options.register_node)
                register_node(n);
        return 0;
}

static int on_watch_event(enum kube_event event, _unused_ const char *key, const json_t *object,
                          void *userdata, _unused_ struct err *err)
{
        struct node_status *n = userdata;

        if (event == KUBE_DELETED) {
                log_warn(0,
                         "Node '%s' was deleted from the API; it is registered again when "
                         "skiffd is restarted",
                         n->name);
                return 0;
        }
        json_decref(n->node);
        n->node = json_incref((json_t *)object);
        adopt(n);
        repair(n);
        if (node_extended_resources_differ(json_object_get(n->node, "status")))
                node_status_changed(n);
        n->options.on_node(object, n->options.userdata);
        return 0;
}

static void on_watch_synced(void *userdata)
{
        struct node_status *n = userdata;

        n->options.on_synced(n->options.userdata);
}

int node_status_new(struct kube_session *session, const struct node_status_options *options,
                    struct node_status **ret, struct err *err)
{
        static const struct kube_watch_ops ops = { on_watch_event, on_watch_synced };
        _cleanup_(node_status_freep)
        struct node_status *n = calloc(1, sizeof *n);
        struct kube_watch_options watch;
        int r;

        if (!n)
                return err_sys(err, -ENOMEM, "start the node status");
        *n = (struct node_status){
                .session = session,
                .options = *options,
                .name = strdup(options->node_name),
                .path = text_printf("/api/v1/nodes/%s", options->node_name),
                .status_path = text_printf("/api/v1/nodes/%s/status", options->node_name),
                .selector = text_printf("metadata.name=%s", options->node_name),
                .backoff = { REGISTER_BACKOFF_USEC, REGISTER_BACKOFF_MAX_USEC, 0 },
                .report_usec = usec_jitter(options->report_period_usec / 2, 200, random_u32()),
        };
        if (!n->name || !n->path || !n->status_path || !n->selector)
                return err_sys(err, -ENOMEM, "start the node status");
        n->options.node_name = n->name;
        r = sd_event_add_time(kube_session_event(session), &n->timer, CLOCK_MONOTONIC, 0,
                              ACCURACY_USEC, on_timer, n);
        if (r < 0)
                return err_sys(err, r, "start the node status");
        watch = (struct kube_watch_options){ .path = "/api/v1/nodes",
                                             .field_selector = n->selector,
                                             .what = "own node" };
        r = kube_watch_new(session, &watch, &ops, n, &n->watch, err);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(n);
        return 0;
}

struct node_status *node_status_free(struct node_status *n)
{
        if (!n)
                return NULL;
        kube_watch_free(n->watch);
        kube_cancel(n->call);
        sd_event_source_disable_unref(n->timer);
        json_decref(n->node);
        json_decref(n->sent);
        json_decref(n->sending);
        free(n->name);
        free(n->path);
        free(n->status_path);
        free(n->selector);
        free(n);
        return NULL;
}
