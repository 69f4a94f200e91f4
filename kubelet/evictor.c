#include "kubelet/evictor.h"

#include <errno.h>

#include "base/log.h"
#include "kubelet/config.h"
#include "kubelet/local-limit.h"
#include "kubelet/pod-log.h"
#include "kubelet/reason.h"

#define PERIOD_USEC    (10 * USEC_PER_SEC)
#define TIMER_ACCURACY (500 * USEC_PER_MSEC)
enum { IMMEDIATE_GRACE_SEC = 1 };

struct evictor {
        struct evictor_options options;
        const struct context *ctx;
        sd_event_source *timer; /* owned */
};

static bool evict(struct evictor *e, struct pod *pod, struct pod_worker *w, int64_t grace_sec,
                  const char *message, bool is_disruption)
{
        if (!pod_worker_evict(w, grace_sec, message, is_disruption))
                return false;
        log_pod_warn(pod, 0, "Evicted: %s", message);
        pod_event(e->ctx, pod, NULL, EVENT_WARNING, REASON_EVICTED, "%s", message);
        return true;
}

/* ---- limits of pods ---- */

static void check_limits(struct pod *pod, struct pod_worker *w, void *userdata)
{
        struct evictor *e = userdata;
        const struct pod_disk *disk = pod_disks_find(e->options.disks, pod->uid);
        _cleanup_free_ char *message = NULL;

        if (!w || !disk || pod_is_critical(pod))
                return;
        if (local_limit_check(pod, disk, true, &message) < 0)
                return log_oom();
        if (message)
                evict(e, pod, w, IMMEDIATE_GRACE_SEC, message, false);
}

void evictor_disks_measured(struct evictor *e)
{
        if (e->ctx->config->local_storage_isolation)
                pod_manager_foreach(e->options.pods, check_limits, e);
}

/* ---- rounds ---- */

static int on_timer(sd_event_source *s, _unused_ uint64_t usec, void *userdata)
{
        struct evictor *e = userdata;

        pod_disks_measure(e->options.disks, false);
        sd_event_source_set_time(s, now_monotonic() + PERIOD_USEC);
        sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
        return 0;
}

void evictor_start(struct evictor *e)
{
        sd_event_source_set_time(e->timer, now_monotonic() + PERIOD_USEC);
        sd_event_source_set_enabled(e->timer, SD_EVENT_ONESHOT);
}

int evictor_new(const struct evictor_options *options, struct evictor **ret, struct err *err)
{
        _cleanup_(evictor_freep)
        struct evictor *e = calloc(1, sizeof *e);
        int r;

        if (!e)
                return err_sys(err, -ENOMEM, "watch over what pods use");
        *e = (struct evictor){ .options = *options, .ctx = options->ctx };
        r = sd_event_add_time(e->ctx->event, &e->timer, CLOCK_MONOTONIC, 0, TIMER_ACCURACY,
                              on_timer, e);
        if (r >= 0)
                r = sd_event_source_set_enabled(e->timer, SD_EVENT_OFF);
        if (r < 0)
                return err_sys(err, r, "watch over what pods use");
        *ret = TAKE_PTR(e);
        return 0;
}

struct evictor *evictor_free(struct evictor *e)
{
        if (!e)
                return NULL;
        sd_event_source_disable_unref(e->timer);
        free(e);
        return NULL;
}
