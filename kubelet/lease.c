#include "kubelet/lease.h"

#include <errno.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "base/text.h"

#define LEASE_COLLECTION   "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
#define MAX_UPDATE_RETRIES 5
#define JITTER_PERCENT     4

struct lease {
        struct kube_session *session; /* borrowed */
        char *node_name, *path;       /* owned */
        uint32_t duration_sec;
        const char *(*node_uid)(void *userdata);
        void *userdata;

        json_t *object;         /* owned; last known copy, NULL: must be read or created */
        struct kube_call *call; /* owned; the request under way */
        sd_event_source *timer; /* owned; next renewal or retry */
        unsigned retries;       /* of this renewal */
        bool is_failing;        /* and that was said */
        usec_t reset_at;        /* CLOCK_MONOTONIC: when connections were dropped last; 0: never */
        struct backoff create_backoff;
};

static usec_t renew_interval(const struct lease *l)
{
        return (usec_t)l->duration_sec * USEC_PER_SEC / 4;
}

static void schedule(struct lease *l, usec_t delay)
{
        sd_event_source_set_time(l->timer, now_monotonic() + delay);
        sd_event_source_set_enabled(l->timer, SD_EVENT_ONESHOT);
}

static void schedule_renewal(struct lease *l)
{
        l->retries = 0;
        schedule(l, usec_jitter(renew_interval(l), JITTER_PERCENT, random_u32()));
}

static json_t *owner_references(const struct lease *l)
{
        const char *uid = l->node_uid(l->userdata);

        if (!uid)
                return NULL;
        return json_pack("[{s:s, s:s, s:s, s:s}]", "apiVersion", "v1", "kind", "Node", "name",
                         l->node_name, "uid", uid);
}

/* The object to send: the last copy (or a fresh one) with the time of now. */
static json_t *renewed(const struct lease *l)
{
        char now[TIME_TEXT_MAX];
        json_t *o = l->object ? json_deep_copy(l->object)
                              : json_pack("{s:s, s:s, s:{s:s, s:s}}", "apiVersion",
                                          "coordination.k8s.io/v1", "kind", "Lease", "metadata",
                                          "name", l->node_name, "namespace", "kube-node-lease");
        json_t *metadata = json_object_get(o, "metadata");

        if (!o)
                return NULL;
        if (!json_array_size(json_object_get(metadata, "ownerReferences"))) {
                json_t *owners = owner_references(l);

                if (owners)
                        json_object_set_new(metadata, "ownerReferences", owners);
        }
        json_object_set_new(o, "spec",
                            json_pack("{s:s, s:i, s:s}", "holderIdentity", l->node_name,
                                      "leaseDurationSeconds", (int)l->duration_sec, "renewTime",
                                      time_format_micro(now_realtime(), now)));
        return o;
}

static void remember(struct lease *l, json_t *object)
{
        json_decref(l->object);
        l->object = json_incref(object);
}

/* They may be dead without a word; but others' calls are on them, so this is not done at every try.
 */
static void drop_connections(struct lease *l)
{
        usec_t now = now_monotonic();

        if (l->reset_at && now < l->reset_at + renew_interval(l))
                return;
        l->reset_at = now;
        kube_session_reset(l->session, "the node lease could not be renewed");
}

static void on_done(_unused_ struct kube_call *call, int status, json_t *object,
                    const struct err *err, void *userdata)
{
        struct lease *l = userdata;

        l->call = NULL;
        if ((status == 200 || status == 201) && object) {
                if (l->is_failing)
                        log_info("The node lease is renewed again");
                l->is_failing = false;
                remember(l, object);
                backoff_reset(&l->create_backoff);
                schedule_renewal(l);
                return;
        }
        /* Somebody changed or removed it, or it exists although we knew none: read it anew. */
        if (status == 409 || status == 404) {
                json_decref(l->object);
                l->object = NULL;
        }
        if (status == 0)
                drop_connections(l);
        if (++l->retries <= MAX_UPDATE_RETRIES && status != 0) {
                schedule(l, backoff_next(&l->create_backoff));
                return;
        }
        if (!l->is_failing)
                log_warn(0, "Failed to renew the node lease, trying again: %s", err_text(err));
        l->is_failing = true;
        /* an API server that is away is tried again within a second */
        l->retries = 0;
        schedule(l, status == 0 ? USEC_PER_SEC : renew_interval(l));
}

static void on_read(_unused_ struct kube_call *call, int status, json_t *object,
                    const struct err *err, void *userdata);

static void send(struct lease *l, const char *method, const char *path, const json_t *body,
                 kube_done_fn done)
{
        _cleanup_err_ struct err err = { 0 };
        const struct kube_request request = {
                .method = method,
                .path = path,
                .body = body,
                .timeout_usec = MIN(renew_interval(l), 10 * USEC_PER_SEC),
                .done = done,
                .userdata = l,
        };
        int r = kube_start(l->session, &request, &l->call, &err);

        if (r < 0) {
                log_warn(r, "Failed to send the node lease, trying again: %s", err_text(&err));
                schedule(l, USEC_PER_SEC);
        }
}

static void write_lease(struct lease *l)
{
        json_auto_t *body = renewed(l);

        if (!body) {
                log_oom();
                schedule(l, USEC_PER_SEC);
                return;
        }
        if (l->object)
                send(l, "PUT", l->path, body, on_done);
        else
                send(l, "POST", LEASE_COLLECTION, body, on_done);
}

static void on_read(_unused_ struct kube_call *call, int status, json_t *object,
                    const struct err *err, void *userdata)
{
        struct lease *l = userdata;

        l->call = NULL;
        if (status == 200 && object) {
                remember(l, object);
                write_lease(l);
        } else if (status == 404 && l->node_uid(l->userdata)) {
                write_lease(l);
        } else if (status == 404) {
                /* the lease is made only when its Node exists; a Node comes within the second */
                schedule(l, 200 * USEC_PER_MSEC);
        } else {
                on_done(NULL, status, NULL, err, l);
        }
}

static int on_timer(_unused_ sd_event_source *s, _unused_ uint64_t usec, void *userdata)
{
        struct lease *l = userdata;

        if (l->call)
                return 0;
        if (l->object)
                write_lease(l);
        else
                send(l, "GET", l->path, NULL, on_read);
        return 0;
}

int lease_new(struct kube_session *session, const struct lease_options *options, struct lease **ret,
              struct err *err)
{
        _cleanup_(lease_freep)
        struct lease *l = calloc(1, sizeof *l);
        int r;

        if (!l)
                return err_sys(err, -ENOMEM, "start the node lease");
        *l = (struct lease){
                .session = session,
                .node_name = strdup(options->node_name),
                .path = text_printf(LEASE_COLLECTION "/%s", options->node_name),
                .duration_sec = options->duration_sec,
                .node_uid = options->node_uid,
                .userdata = options->userdata,
                .create_backoff = { 200 * USEC_PER_MSEC, 7 * USEC_PER_SEC, 0 },
        };
        if (!l->node_name || !l->path)
                return err_sys(err, -ENOMEM, "start the node lease");
        r = sd_event_add_time(kube_session_event(session), &l->timer, CLOCK_MONOTONIC, 0,
                              ACCURACY_USEC, on_timer, l);
        if (r < 0)
                return err_sys(err, r, "start the node lease");
        *ret = TAKE_PTR(l);
        return 0;
}

struct lease *lease_free(struct lease *l)
{
        if (!l)
                return NULL;
        kube_cancel(l->call);
        sd_event_source_disable_unref(l->timer);
        json_decref(l->object);
        free(l->node_name);
        free(l->path);
        free(l);
        return NULL;
}
