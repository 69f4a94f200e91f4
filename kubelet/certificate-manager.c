#include "kubelet/certificate-manager.h"

#include <errno.h>
#include <string.h>

#include "base/json.h"
#include "base/kube-watch.h"
#include "base/log.h"
#include "base/text.h"
#include "kubelet/certificate-store.h"

#define REQUESTS             "/apis/certificates.k8s.io/v1/certificatesigningrequests"
#define APPROVAL_USEC        (15 * USEC_PER_MINUTE)
#define LOOK_AGAIN_USEC      (60 * USEC_PER_MINUTE) /* the clock may be set meanwhile */
#define BETWEEN_USEC         (10 * USEC_PER_SEC)    /* two certificates, however short they live */
#define RETRY_JITTER_PERCENT 10

enum state {
        STATE_RESTING,  /* the timer ends at the rotation, or earlier to look at the clock */
        STATE_RETRY,    /* the timer ends a pause after a failure */
        STATE_SENDING,  /* the request is on its way; no timer */
        STATE_WAITING,  /* for its approval; the timer ends that */
        STATE_ANSWERED, /* the watch has seen how it ended; the timer, due now, takes it up */
};

struct certificate_manager {
        struct certificate_manager_options options;
        enum state state;
        sd_event_source *timer;       /* owned */
        struct certificate_info info; /* of the one in use; not_after 0: none */
        usec_t used_since;            /* CLOCK_REALTIME; 0: from before our start */
        usec_t rotate_at;             /* CLOCK_REALTIME */
        struct kube_session *asked;   /* borrowed; the one that .call or .watch belongs to */
        struct kube_call *call;       /* owned */
        struct kube_watch *watch;     /* owned */
        char *key;                    /* owned, secret: of the request under way */
        char *chain;                  /* owned; STATE_ANSWERED: what was issued, or NULL and .err */
        struct err err;
        struct backoff backoff;
        struct certificate_counts counts;
};

const double certificate_age_buckets[CERTIFICATE_AGE_BUCKETS] = {
        60, 3600, 14400, 86400, 604800, 2592000, 7776000, 15552000, 31104000, 124416000,
};

static const char *name_of(const struct certificate_manager *m)
{
        return certificate_purpose_prefix(m->options.purpose);
}

static void arm(struct certificate_manager *m, enum state state, usec_t delay)
{
        m->state = state;
        sd_event_source_set_time(m->timer, now_monotonic() + delay);
        sd_event_source_set_enabled(m->timer, SD_EVENT_ONESHOT);
}

static void drop_request(struct certificate_manager *m)
{
        m->call = kube_cancel(m->call);
        m->watch = kube_watch_free(m->watch);
        m->asked = NULL;
        if (m->key)
                explicit_bzero(m->key, strlen(m->key));
        free(TAKE_PTR(m->key));
        free(TAKE_PTR(m->chain));
        err_done(&m->err);
}

/* Logs why, and tries again after a pause. */
static void fail(struct certificate_manager *m, const struct err *err)
{
        usec_t pause = usec_jitter(backoff_next(&m->backoff), RETRY_JITTER_PERCENT, random_u32());
        char text[TIME_TEXT_MAX];

        m->counts.renew_errors++;
        log_warn(0, "Failed to get certificate '%s', next try in %s: %s", name_of(m),
                 duration_format(pause, text), err_text(err));
        drop_request(m);
        arm(m, STATE_RETRY, pause);
}

static bool is_valid(const struct certificate_manager *m)
{
        usec_t now = now_realtime();

        return now >= m->info.not_before && now < m->info.not_after;
}

/* ---- asking ---- */

static int on_event(enum kube_event event, _unused_ const char *key, const json_t *object,
                    void *userdata, _unused_ struct err *err)
{
        struct certificate_manager *m = userdata;
        int r;

        if (m->state == STATE_ANSWERED)
                return 0;
        if (event == KUBE_DELETED) {
                err_set(&m->err, -ENOENT, "somebody removed the request");
                r = -ENOENT;
        } else {
                r = certificate_request_read(object, &m->chain, &m->err);
        }
        if (r != CERTIFICATE_PENDING) /* from the timer: a watch is not freed below its own feet */
                arm(m, STATE_ANSWERED, 0);
        return 0;
}

static int watch_request(struct certificate_manager *m, const char *name, struct err *err)
{
        static const struct kube_watch_ops ops = { .on_event = on_event };
        _cleanup_free_ char *selector = text_printf("metadata.name=%s", name);
        const struct kube_watch_options options = { .path = REQUESTS,
                                                    .field_selector = selector,
                                                    .what = "certificate request" };

        if (!selector)
                return err_sys(err, -ENOMEM, "watch '%s'", name);
        return kube_watch_new(m->asked, &options, &ops, m, &m->watch, err);
}

static void on_created(_unused_ struct kube_call *call, int status, json_t *object,
                       const struct err *call_err, void *userdata)
{
        struct certificate_manager *m = userdata;
        const char *name = json_text_at(json_object_get(object, "metadata"), "name");
        _cleanup_err_ struct err err = { 0 };

        m->call = NULL;
        if (status != 201 || !name) {
                err_set(&err, -EIO, "the request was not taken: %s", err_text(call_err));
                fail(m, &err);
                return;
        }
        if (watch_request(m, name, &err) < 0) {
                fail(m, &err);
                return;
        }
        log_info("Requested certificate '%s' as '%s', waiting for its approval", name_of(m), name);
        arm(m, STATE_WAITING, APPROVAL_USEC);
}

static struct kube_session *session_to_ask(struct certificate_manager *m)
{
        struct kube_session *first = NULL;

        if (!is_valid(m) && m->options.first_session)
                first = m->options.first_session(m->options.userdata);
        return first ? first : m->options.session;
}

static int send_request(struct certificate_manager *m, struct err *err)
{
        _cleanup_free_ char *name = text_printf("system:node:%s", m->options.node_name);
        _cleanup_free_ char *request = NULL;
        json_auto_t *body = NULL;
        const struct certificate_subject subject = { .common_name = name,
                                                     .organization = "system:nodes",
                                                     .dns_names = m->options.dns_names,
                                                     .addresses = m->options.addresses };
        struct kube_request call = {
                .method = "POST", .path = REQUESTS, .done = on_created, .userdata = m
        };
        int r = name ? certificate_request_make(&subject, &m->key, &request, err)
                     : err_sys(err, -ENOMEM, "ask");

        if (r < 0)
                return r;
        call.body = body = certificate_request_json(m->options.purpose, request);
        if (!body)
                return err_sys(err, -ENOMEM, "ask");
        m->asked = session_to_ask(m);
        return kube_start(m->asked, &call, &m->call, err);
}

static void ask(struct certificate_manager *m)
{
        _cleanup_err_ struct err err = { 0 };

        drop_request(m);
        m->state = STATE_SENDING;
        if (send_request(m, &err) < 0)
                fail(m, &err);
}

/* ---- resting ---- */

static void rest(struct certificate_manager *m)
{
        usec_t now = now_realtime();
        usec_t left = m->rotate_at > now ? m->rotate_at - now : 0;

        if (m->options.once) {
                m->state = STATE_RESTING;
                sd_event_source_set_enabled(m->timer, SD_EVENT_OFF);
                return;
        }
        arm(m, STATE_RESTING, MIN(MAX(left, BETWEEN_USEC), LOOK_AGAIN_USEC));
}

static void take_up(struct certificate_manager *m, struct certificate_info *info)
{
        char until[TIME_TEXT_MAX], next[TIME_TEXT_MAX];

        certificate_info_done(&m->info);
        m->info = *info;
        *info = (struct certificate_info){ 0 };
        m->counts.not_after = m->info.not_after;
        m->rotate_at = certificate_rotate_at(&m->info, random_u32());
        backoff_reset(&m->backoff);
        log_info("Certificate '%s' is valid until %s, the next one is due at %s", name_of(m),
                 time_format(m->info.not_after, until),
                 m->options.once ? "no time: rotateCertificates is off"
                                 : time_format(m->rotate_at, next));
        rest(m);
}

static void count_replaced(struct certificate_manager *m)
{
        usec_t now = now_realtime(), since = m->used_since ? m->used_since : m->info.not_before;
        double age = now > since ? (double)(now - since) / USEC_PER_SEC : 0;
        int i = 0;

        m->used_since = now;
        if (m->info.not_after == 0)
                return;
        while (i < CERTIFICATE_AGE_BUCKETS && age > certificate_age_buckets[i])
                i++;
        m->counts.ages[i]++;
        m->counts.n_replaced++;
        m->counts.age_sum_sec += age;
}

/* 0, or why the certificate that was issued is none that we can use. */
static int keep(struct certificate_manager *m, struct certificate_info *ret, struct err *err)
{
        const char *prefix = name_of(m);
        usec_t now = now_realtime();
        int r;

        if (!m->chain) {
                err_move(err, &m->err);
                return -EACCES;
        }
        r = certificate_store_put(m->options.dir, prefix, m->chain, m->key, now, err);
        return r < 0 ? r : certificate_store_load(m->options.dir, prefix, now, ret, err);
}

static void on_issued(struct certificate_manager *m)
{
        _cleanup_(certificate_info_done)
        struct certificate_info info = { 0 };
        _cleanup_free_ char *path = certificate_store_path(m->options.dir, name_of(m));
        _cleanup_err_ struct err err = { 0 };

        if (keep(m, &info, &err) < 0) {
                fail(m, &err);
                return;
        }
        drop_request(m);
        count_replaced(m);
        take_up(m, &info);
        if (m->options.on_changed && path)
                m->options.on_changed(path, m->options.userdata);
}

static int on_timer(_unused_ sd_event_source *s, _unused_ uint64_t usec, void *userdata)
{
        struct certificate_manager *m = userdata;
        _cleanup_err_ struct err err = { 0 };

        switch (m->state) {
        case STATE_RESTING:
                if (now_realtime() < m->rotate_at)
                        rest(m);
                else
                        ask(m);
                break;
        case STATE_RETRY:
                ask(m);
                break;
        case STATE_WAITING:
                err_set(&err, -ETIMEDOUT, "nobody approved or denied the request");
                fail(m, &err);
                break;
        case STATE_ANSWERED:
                on_issued(m);
                break;
        case STATE_SENDING:
                break;
        }
        return 0;
}

/* ---- life ---- */

/* What is there from before, if it will do; else the first request is due at once. */
static void start(struct certificate_manager *m)
{
        _cleanup_(certificate_info_done)
        struct certificate_info info = { 0 };
        _cleanup_err_ struct err err = { 0 };
        int r = certificate_store_load(m->options.dir, name_of(m), now_realtime(), &info, &err);

        if (r == -ENOENT && m->options.initial) {
                info = *m->options.initial;
                *m->options.initial = (struct certificate_info){ 0 };
                r = 0;
        }
        m->options.initial = NULL;
        if (r < 0 && r != -ENOENT)
                log_warn(0, "Asking for a new certificate: %s", err_text(&err));
        if (r == 0)
                take_up(m, &info);
        if (r == 0 && certificate_covers(&m->info, m->options.dns_names, m->options.addresses))
                return;
        if (r == 0)
                log_info("Certificate '%s' lacks an address or name of this node, asking anew",
                         name_of(m));
        arm(m, STATE_RETRY, 0);
}

int certificate_manager_new(const struct certificate_manager_options *options,
                            struct certificate_manager **ret, struct err *err)
{
        _cleanup_(certificate_manager_freep)
        struct certificate_manager *m = calloc(1, sizeof *m);
        sd_event *event = kube_session_event(options->session);
        int r;

        if (!m)
                return err_sys(err, -ENOMEM, "manage certificates");
        *m = (struct certificate_manager){ .options = *options,
                                           .backoff = { 2 * USEC_PER_SEC, 32 * USEC_PER_SEC, 0 } };
        r = sd_event_add_time(event, &m->timer, CLOCK_MONOTONIC, UINT64_MAX, USEC_PER_MSEC,
                              on_timer, m);
        if (r < 0)
                return err_sys(err, r, "manage certificates");
        start(m);
        *ret = TAKE_PTR(m);
        return 0;
}

struct certificate_manager *certificate_manager_free(struct certificate_manager *m)
{
        if (!m)
                return NULL;
        drop_request(m);
        sd_event_source_disable_unref(m->timer);
        certificate_info_done(&m->info);
        free(m);
        return NULL;
}

const struct certificate_counts *certificate_manager_counts(const struct certificate_manager *m)
{
        return &m->counts;
}
