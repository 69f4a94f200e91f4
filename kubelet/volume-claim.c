#include "kubelet/volume-claim.h"

#include <errno.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "base/text.h"

#define RETRY_FIRST_USEC (100 * USEC_PER_MSEC)
#define RETRY_MAX_USEC   (4 * USEC_PER_SEC)
#define QUIET_REFUSALS   3 /* the authorizer may not have seen the binding yet */
#define TELL_FIRST_USEC  (5 * USEC_PER_SEC)
#define TELL_MAX_USEC    (122 * USEC_PER_SEC)

struct volume_claim {
        struct kube_session *session; /* borrowed; NULL: standalone */
        struct node_volumes *volumes; /* borrowed */
        struct pod *pod;              /* one reference */
        char *volume_name;            /* owned */
        struct volume_claim_ops ops;
        void *userdata;
        char *name;               /* owned; of the claim; NULL: the source stands in the pod */
        json_t *claim;            /* owned; while its PersistentVolume is being read */
        struct kube_call *call;   /* owned */
        sd_event_source *timer;   /* owned */
        struct backoff backoff;   /* of asking */
        struct backoff tell;      /* of telling */
        usec_t tell_at;           /* CLOCK_MONOTONIC: the same sentence not before */
        unsigned refusals;        /* 403 in a row */
        char *problem;            /* owned; NULL: none, or it is the hold's */
        struct volume_spec *spec; /* one reference; NULL: not resolved */
        struct volume_hold *hold; /* owned */
};

static void set_problem(struct volume_claim *c, const char *sentence)
{
        usec_t now = now_monotonic();
        bool is_new = !c->problem || !streq(c->problem, sentence);

        if (free_and_strdup(&c->problem, sentence) < 0)
                return log_oom();
        if (is_new) {
                backoff_reset(&c->tell);
                c->tell_at = now;
        }
        if (now >= c->tell_at) {
                c->tell_at = now + backoff_next(&c->tell);
                c->ops.on_unresolved(sentence, c->userdata);
        }
        if (is_new)
                c->ops.on_changed(c->userdata);
}

static void again(struct volume_claim *c)
{
        json_decref(c->claim);
        c->claim = NULL;
        sd_event_source_set_time(c->timer, now_monotonic() + backoff_next(&c->backoff));
        sd_event_source_set_enabled(c->timer, SD_EVENT_ONESHOT);
}

static void fail(struct volume_claim *c, const struct err *err)
{
        set_problem(c, err_text(err));
        again(c);
}

static const struct pod_volume *volume_of(const struct volume_claim *c)
{
        return pod_find_volume(c->pod, c->volume_name);
}

static int hold(struct volume_claim *c, struct err *err)
{
        const struct volume_hold_ops ops = { c->ops.on_changed, c->ops.on_event };
        const struct pod_volume *volume = volume_of(c);
        int r = volume ? volume_spec_check_mode(c->spec, c->pod, volume, err)
                       : err_set(err, -EINVAL, "the pod has no volume '%s'", c->volume_name);

        if (r < 0)
                return r;
        r = volume_hold_new(c->volumes, c->pod, c->spec, &ops, c->userdata, &c->hold, err);
        if (r < 0)
                return r;
        free_and_strdup(&c->problem, NULL);
        c->ops.on_changed(c->userdata);
        return 0;
}

static void on_got_pv(_unused_ struct kube_call *call, int status, json_t *object,
                      const struct err *why, void *userdata)
{
        struct volume_claim *c = userdata;
        const struct pod_volume *volume = volume_of(c);
        const char *pv = json_string_value(json_path(c->claim, "spec", "volumeName", NULL));
        _cleanup_err_ struct err err = { 0 };
        int r;

        c->call = NULL;
        if (status != 200 || !object)
                r = err_set(&err, -EAGAIN, "failed to fetch PV %s from API server: %s",
                            pv ? pv : "", err_text(why));
        else
                r = volume_spec_from_pv(object, c->claim, volume && volume->claim_read_only,
                                        &c->spec, &err);
        if (r < 0) {
                err_wrap(&err, r, "error processing PVC %s/%s", c->pod->namespace, c->name);
                return fail(c, &err);
        }
        json_decref(c->claim);
        c->claim = NULL;
        if (hold(c, &err) < 0) {
                c->spec = volume_spec_free(c->spec); /* a claim may be made anew */
                fail(c, &err);
        }
}

static int get(struct volume_claim *c, const char *path, kube_done_fn done, struct err *err)
{
        const struct kube_request request = {
                .method = "GET", .path = path, .done = done, .userdata = c
        };

        return path ? kube_start(c->session, &request, &c->call, err)
                    : err_sys(err, -ENOMEM, "read the claim");
}

static void on_got_claim(_unused_ struct kube_call *call, int status, json_t *object,
                         const struct err *why, void *userdata)
{
        struct volume_claim *c = userdata;
        const struct pod_volume *volume = volume_of(c);
        _cleanup_err_ struct err err = { 0 };
        _cleanup_free_ char *path = NULL;
        int r;

        c->call = NULL;
        if (status == 403 && ++c->refusals <= QUIET_REFUSALS)
                return again(c);
        if (status != 403)
                c->refusals = 0;
        if (status != 200 || !object) {
                err_set(&err, -EAGAIN,
                        "error processing PVC %s/%s: failed to fetch PVC from API server: %s",
                        c->pod->namespace, c->name, err_text(why));
                return fail(c, &err);
        }
        r = volume ? claim_check(object, c->pod, volume, &err)
                   : err_set(&err, -EINVAL, "the pod has no volume '%s'", c->volume_name);
        if (r < 0)
                return fail(c, &err);
        c->claim = json_incref(object);
        path = text_printf("/api/v1/persistentvolumes/%s",
                           json_string_value(json_path(object, "spec", "volumeName", NULL)));
        if (get(c, path, on_got_pv, &err) < 0)
                fail(c, &err);
}

static int on_timer(_unused_ sd_event_source *s, _unused_ uint64_t usec, void *userdata)
{
        struct volume_claim *c = userdata;
        _cleanup_err_ struct err err = { 0 };
        _cleanup_free_ char *path = NULL;
        int r;

        if (c->spec) /* it stands in the pod */
                r = hold(c, &err);
        else if (!c->session)
                r = err_set(&err, -EOPNOTSUPP,
                            "cannot setup volume %s because kube client is not configured",
                            c->volume_name);
        else {
                path = text_printf("/api/v1/namespaces/%s/persistentvolumeclaims/%s",
                                   c->pod->namespace, c->name);
                r = get(c, path, on_got_claim, &err);
        }
        if (r < 0)
                fail(c, &err);
        return 0;
}

int volume_claim_new(sd_event *event, struct kube_session *session, struct node_volumes *volumes,
                     struct pod *pod, const struct pod_volume *volume,
                     const struct volume_claim_ops *ops, void *userdata, struct volume_claim **ret,
                     struct err *err)
{
        struct volume_claim *c = calloc(1, sizeof *c);
        int r;

        if (!c)
                return err_sys(err, -ENOMEM, "start volume '%s'", volume->name);
        *c = (struct volume_claim){
                .session = session,
                .volumes = volumes,
                .pod = pod_ref(pod),
                .volume_name = strdup(volume->name),
                .name = volume->spec ? NULL : claim_name_of(pod, volume),
                .spec = volume->spec ? volume_spec_ref(volume->spec) : NULL,
                .ops = *ops,
                .userdata = userdata,
                .backoff = { RETRY_FIRST_USEC, RETRY_MAX_USEC, 0 },
                .tell = { TELL_FIRST_USEC, TELL_MAX_USEC, 0 },
        };
        r = c->volume_name && (c->name || c->spec) ? 0 : -ENOMEM;
        if (r == 0)
                r = sd_event_add_time(event, &c->timer, CLOCK_MONOTONIC, 0, ACCURACY_USEC, on_timer,
                                      c);
        if (r < 0) {
                volume_claim_free(c);
                return err_sys(err, r, "start volume '%s'", volume->name);
        }
        *ret = c;
        return 0;
}

struct volume_claim *volume_claim_free(struct volume_claim *c)
{
        if (!c)
                return NULL;
        kube_cancel(c->call);
        volume_hold_free(c->hold);
        volume_spec_free(c->spec);
        sd_event_source_disable_unref(c->timer);
        json_decref(c->claim);
        pod_unref(c->pod);
        free(c->volume_name);
        free(c->name);
        free(c->problem);
        free(c);
        return NULL;
}

void volume_claim_set_pod(struct volume_claim *c, struct pod *pod)
{
        struct pod *old = c->pod;

        c->pod = pod_ref(pod);
        pod_unref(old);
        if (c->hold)
                volume_hold_set_pod(c->hold, pod);
}

const struct volume_spec *volume_claim_spec(const struct volume_claim *c)
{
        return c->hold ? c->spec : NULL;
}

const char *volume_claim_path(const struct volume_claim *c)
{
        return c->hold ? volume_hold_path(c->hold) : NULL;
}

const char *volume_claim_device(const struct volume_claim *c)
{
        return c->hold ? volume_hold_device(c->hold) : NULL;
}

const char *volume_claim_problem(const struct volume_claim *c)
{
        return c->hold ? volume_hold_problem(c->hold) : c->problem;
}

bool volume_claim_is_unattached(const struct volume_claim *c)
{
        return c->hold && volume_hold_is_unattached(c->hold);
}
