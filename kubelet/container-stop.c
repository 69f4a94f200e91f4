#include "kubelet/container-stop.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>

#include "base/log.h"
#include "base/text.h"
#include "kubelet/pod-log.h"

#define MINIMUM_USEC    (2 * USEC_PER_SEC) /* between signal and SIGKILL, whatever the grace */
#define KILL_AGAIN_USEC (10 * USEC_PER_SEC)

struct container_stop {
        const struct context *ctx;
        struct pod *pod; /* one reference */
        const struct pod_container *container;
        char *container_id;
        enum stop_stage state;
        bool must_wait;
        usec_t started_at, signaled_at, deadline; /* CLOCK_MONOTONIC */
        struct attempt *hook;                     /* owned */
        sd_event_source *timer;                   /* owned */
};

static const char *container_name(const struct container_stop *s)
{
        return s->container ? s->container->name : "?";
}

const char *container_stop_container_id(const struct container_stop *s)
{
        return s->container_id;
}

enum stop_stage container_stop_stage(const struct container_stop *s, usec_t *ret_since,
                                     usec_t *ret_deadline)
{
        *ret_since = s->started_at;
        *ret_deadline = s->state == STOP_SIGNALED ? MAX(s->deadline, s->signaled_at + MINIMUM_USEC)
                                                  : s->deadline;
        return s->state;
}

static void wake_at(struct container_stop *s, usec_t when)
{
        sd_event_source_set_time(s->timer, when);
        sd_event_source_set_enabled(s->timer, SD_EVENT_ONESHOT);
}

/* SIGUSR1 of "SIGUSR1", "USR1" or "10"; SIGTERM of anything else. */
static int signal_number(const char *name)
{
        uint16_t number;

        if (!name || !*name)
                return SIGTERM;
        if (text_to_u16(name, &number) == 0)
                return number >= 1 && number <= SIGRTMAX ? number : SIGTERM;
        if (startswith(name, "SIG"))
                name += 3;
        for (int i = 1; i < SIGRTMIN; i++) {
                const char *abbreviation = sigabbrev_np(i);

                if (abbreviation && streq(abbreviation, name))
                        return i;
        }
        return SIGTERM;
}

static int stop_signal(const struct container_stop *s)
{
        const struct container_status *c = container_find(s->ctx->rt, s->container_id);
        const struct image_info *image = c ? image_find(s->ctx->rt, c->image_id) : NULL;

        return signal_number(image ? image->stop_signal : NULL);
}

static void send_signal(struct container_stop *s, int signal)
{
        _cleanup_err_ struct err err = { 0 };
        int r = container_kill(s->ctx->rt, s->container_id, signal, &err);

        if (r < 0 && r != -ESRCH)
                log_container_warn(s->pod, container_name(s), r, "Failed to send signal %d: %s",
                                   signal, err_text(&err));
}

static void kill_now(struct container_stop *s)
{
        s->state = STOP_KILLED;
        send_signal(s, SIGKILL);
        wake_at(s, now_monotonic() + KILL_AGAIN_USEC);
}

static void signal_now(struct container_stop *s)
{
        s->state = STOP_SIGNALED;
        s->signaled_at = now_monotonic();
        send_signal(s, stop_signal(s));
        wake_at(s, MAX(s->deadline, s->signaled_at + MINIMUM_USEC));
}

/* The hook is over or abandoned. */
static void after_hook(struct container_stop *s)
{
        if (s->must_wait && now_monotonic() < s->deadline) {
                s->state = STOP_WAITING;
                wake_at(s, s->deadline);
        } else {
                signal_now(s);
        }
}

static void on_hook_done(enum handler_outcome outcome, const char *output, void *userdata)
{
        struct container_stop *s = userdata;

        s->hook = NULL;
        if (outcome == HANDLER_FAILURE || outcome == HANDLER_ERROR) {
                log_container_warn(s->pod, container_name(s), 0, "preStop hook failed: %s", output);
                pod_event(s->ctx, s->pod, s->container, EVENT_WARNING, "FailedPreStopHook",
                          "PreStopHook failed");
        }
        after_hook(s);
}

static int on_timer(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata)
{
        struct container_stop *s = userdata;

        switch (s->state) {
        case STOP_PRE_STOP: /* the grace period went by in the hook: it is left alone */
                s->hook = attempt_cancel(s->hook);
                signal_now(s);
                break;
        case STOP_WAITING:
                signal_now(s);
                break;
        case STOP_SIGNALED:
        case STOP_KILLED:
                kill_now(s);
                break;
        }
        return 0;
}

void container_stop_your_turn(struct container_stop *s)
{
        s->must_wait = false;
        if (s->state == STOP_WAITING)
                signal_now(s);
}

void container_stop_shorten(struct container_stop *s, uint32_t grace_sec)
{
        usec_t deadline = s->started_at + grace_sec * USEC_PER_SEC;

        if (deadline >= s->deadline)
                return;
        s->deadline = deadline;
        if (s->state == STOP_SIGNALED)
                wake_at(s, MAX(s->deadline, s->signaled_at + MINIMUM_USEC));
        else if (s->state != STOP_KILLED)
                wake_at(s, s->deadline);
}

static const char *pod_ip_of(const struct context *ctx, const char *container_id)
{
        const struct container_status *c = container_find(ctx->rt, container_id);
        const struct sandbox_status *sandbox = c ? sandbox_find(ctx->rt, c->sandbox_id) : NULL;

        if (!sandbox)
                return NULL;
        if (sandbox->host_network)
                return ctx->node_ip;
        return *sandbox->ipv4 ? sandbox->ipv4 : sandbox->ipv6;
}

static void start_hook(struct container_stop *s)
{
        const struct attempt_options options = {
                .handler = s->container->pre_stop,
                .container = s->container,
                .container_id = s->container_id,
                .pod_ip = pod_ip_of(s->ctx, s->container_id),
                .is_hook = true,
                .done = on_hook_done,
                .userdata = s,
        };
        _cleanup_err_ struct err err = { 0 };

        s->state = STOP_PRE_STOP;
        wake_at(s, s->deadline);
        if (attempt_start(s->ctx->handlers, &options, &s->hook, &err) < 0)
                on_hook_done(HANDLER_ERROR, err_text(&err), s);
}

int container_stop_new(const struct context *ctx, const struct container_stop_options *o,
                       struct container_stop **ret, struct err *err)
{
        _cleanup_(container_stop_freep)
        struct container_stop *s = calloc(1, sizeof *s);
        const struct container_status *status = container_find(ctx->rt, o->container_id);
        int r;

        if (!s)
                return err_sys(err, -ENOMEM, "stop a container");
        *s = (struct container_stop){
                .ctx = ctx,
                .pod = pod_ref(o->pod),
                .container = o->container,
                .container_id = strdup(o->container_id),
                .must_wait = o->must_wait,
                .started_at = now_monotonic(),
        };
        s->deadline = s->started_at + o->grace_sec * USEC_PER_SEC;
        if (!s->container_id)
                return err_sys(err, -ENOMEM, "stop a container");
        r = sd_event_add_time(ctx->event, &s->timer, CLOCK_MONOTONIC, USEC_NEVER - 1, ACCURACY_USEC,
                              on_timer, s);
        if (r < 0)
                return err_sys(err, r, "stop a container");
        pod_event(ctx, s->pod, s->container, EVENT_NORMAL, "Killing", "%s", o->message);
        log_container_info(s->pod, container_name(s), "%s (grace period %" PRIu32 " s)", o->message,
                           o->grace_sec);
        if (s->container && s->container->pre_stop && o->grace_sec > 0 && !o->skip_pre_stop &&
            status && status->state == CONTAINER_RUNNING)
                start_hook(s);
        else
                after_hook(s);
        *ret = TAKE_PTR(s);
        return 0;
}

struct container_stop *container_stop_free(struct container_stop *s)
{
        if (!s)
                return NULL;
        attempt_cancel(s->hook);
        sd_event_source_disable_unref(s->timer);
        pod_unref(s->pod);
        free(s->container_id);
        free(s);
        return NULL;
}
