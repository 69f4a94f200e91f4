/*
 * Theory of operation. One group after the other is told to end; a tick looks whether every pod of
 * it has, volumes and all, and whether its last status has reached the API server; then, or when
 * the group's time is over, the next group is told. Groups without pods take no time.
 */
#include "kubelet/node-shutdown.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/map.h"
#include "base/prometheus.h"
#include "base/text.h"
#include "kubelet/config.h"
#include "kubelet/logind.h"
#include "kubelet/pod-log.h"
#include "kubelet/reason.h"
#include "kubelet/shutdown-plan.h"

#define STATE_FILE "graceful_node_shutdown_state"
#define TICK_USEC  (50 * USEC_PER_MSEC)
#define UNSET_TIME "0001-01-01T00:00:00Z" /* of Go's time.Time */
#define MESSAGE    "Pod was terminated in response to imminent node shutdown."

struct node_shutdown {
        struct node_shutdown_options options;
        const struct context *ctx;
        struct shutdown_plan plan;
        struct logind *logind;
        struct map *waited_for;      /* uids of the group that is ending */
        size_t group;                /* index of it; plan.n: all are through */
        usec_t group_ends;           /* CLOCK_MONOTONIC */
        sd_event_source *tick;       /* owned; runs while pods end */
        usec_t started_at, ended_at; /* CLOCK_REALTIME, of the last one; 0: none */
        bool is_on;
};

bool node_shutdown_is_on(const struct node_shutdown *s)
{
        return s && s->is_on;
}

/* ---- when it was, for who asks after the reboot ---- */

static const char *state_time(usec_t t, char text[static TIME_TEXT_MAX])
{
        return t ? time_format_micro(t, text) : UNSET_TIME;
}

static void save_times(const struct node_shutdown *s)
{
        char start[TIME_TEXT_MAX], end[TIME_TEXT_MAX];
        _cleanup_free_ char *text = text_printf("{\"startTime\":\"%s\",\"endTime\":\"%s\"}",
                                                state_time(s->started_at, start),
                                                state_time(s->ended_at, end));
        _cleanup_err_ struct err err = { 0 };
        _cleanup_close_ int dir = fs_open_dir(s->ctx->root_dir, 0750, &err);
        int r = dir < 0 ? dir : text ? 0 : -ENOMEM;

        if (r == 0)
                r = fs_replace_at(dir, STATE_FILE, text, strlen(text), 0644, true);
        if (r < 0)
                log_warn(r, "Failed to note when the shutdown was: '%s'", STATE_FILE);
}

static usec_t read_time(const json_t *state, const char *key)
{
        const char *text = json_text_at(state, key);
        usec_t t;

        return text && !streq(text, UNSET_TIME) && time_parse(text, &t) == 0 ? t : 0;
}

static void load_times(struct node_shutdown *s)
{
        _cleanup_err_ struct err err = { 0 };
        _cleanup_close_ int dir = fs_open_dir(s->ctx->root_dir, 0750, &err);
        _cleanup_free_ char *text = NULL;
        json_auto_t *state = NULL;
        size_t n;

        if (dir < 0 || fs_read_at(dir, STATE_FILE, 4096, &text, &n) < 0 ||
            json_parse(text, n, false, &state, NULL) < 0)
                return;
        s->started_at = read_time(state, "startTime");
        s->ended_at = read_time(state, "endTime");
}

void node_shutdown_add_metrics(const struct node_shutdown *s, struct strbuf *b)
{
        const struct {
                const char *name, *help;
                usec_t t;
        } gauges[] = {
                { "kubelet_graceful_shutdown_start_time_seconds",
                  "[ALPHA] Last graceful shutdown start time since unix epoch in seconds",
                  s->started_at },
                { "kubelet_graceful_shutdown_end_time_seconds",
                  "[ALPHA] Last graceful shutdown end time since unix epoch in seconds",
                  s->ended_at },
        };

        for (size_t i = 0; i < ARRAY_SIZE(gauges); i++) {
                prometheus_add_head(b, gauges[i].name, "gauge", gauges[i].help);
                prometheus_add_sample(b, gauges[i].name, NULL, 0,
                                      trunc((double)gauges[i].t / (double)USEC_PER_SEC), 0);
        }
}

/* ---- the groups ---- */

static void end_pod(struct pod *pod, struct pod_worker *w, void *userdata)
{
        struct node_shutdown *s = userdata;
        const struct shutdown_group *group = &s->plan.groups[s->group];
        int32_t priority = pod->has_priority ? pod->priority : 0;
        int64_t grace;

        if (!w || pod_worker_state(w) >= POD_WORKER_TERMINATED ||
            shutdown_plan_group(&s->plan, priority) != s->group)
                return;
        grace = shutdown_plan_grace(group, pod->grace_sec);
        if (map_put(s->waited_for, pod->uid, s, NULL) < 0)
                log_oom();
        log_pod_info(pod, "The machine shuts down: it ends within %" PRIi64 " s", grace);
        pod_worker_kill(w, grace, REASON_TERMINATED, MESSAGE);
}

/* Its volumes are off, and the server knows how it ended. */
static bool is_through(const struct node_shutdown *s, const char *uid)
{
        const struct pod_worker *w = pod_manager_worker(s->options.pods, uid);

        return !w || (pod_worker_state(w) == POD_WORKER_FINISHED &&
                      (!s->ctx->statuses || status_writer_is_idle(s->ctx->statuses, uid)));
}

static bool group_is_through(struct node_shutdown *s)
{
        _cleanup_strv_ char **uids = map_keys(s->waited_for);

        STRV_FOREACH (uid, uids)
                if (is_through(s, *uid))
                        map_remove(s->waited_for, *uid);
        return map_size(s->waited_for) == 0;
}

static void begin_group(struct node_shutdown *s)
{
        _cleanup_strv_ char **late = map_keys(s->waited_for);

        STRV_FOREACH (uid, late)
                map_remove(s->waited_for, *uid);
        pod_manager_foreach(s->options.pods, end_pod, s);
        s->group_ends = now_monotonic() + (usec_t)s->plan.groups[s->group].grace_sec * USEC_PER_SEC;
}

static void finish(struct node_shutdown *s)
{
        sd_event_source_set_enabled(s->tick, SD_EVENT_OFF);
        s->ended_at = now_realtime();
        save_times(s);
        log_info("The pods have ended: the machine may shut down");
        logind_release(s->logind);
}

/* Goes on to the first group that has somebody to wait for. */
static void go_on(struct node_shutdown *s)
{
        while (s->group < s->plan.n) {
                bool is_through = group_is_through(s);

                if (!is_through && now_monotonic() < s->group_ends) {
                        sd_event_source_set_time(s->tick, now_monotonic() + TICK_USEC);
                        sd_event_source_set_enabled(s->tick, SD_EVENT_ONESHOT);
                        return;
                }
                if (!is_through)
                        log_warn(0,
                                 "%zu pods of priority %" PRIi32
                                 " or more have not ended within %" PRIi64
                                 " s, going on without waiting",
                                 map_size(s->waited_for), s->plan.groups[s->group].priority,
                                 s->plan.groups[s->group].grace_sec);
                if (++s->group < s->plan.n)
                        begin_group(s);
        }
        finish(s);
}

static int on_tick(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata)
{
        go_on(userdata);
        return 0;
}

/* ---- what logind says ---- */

static void begin(struct node_shutdown *s)
{
        s->is_on = true;
        node_event(s->ctx, EVENT_NORMAL, "Shutdown", "Shutdown manager detected shutdown event");
        log_info("The machine is about to shut down: its pods end first");
        s->started_at = now_realtime();
        s->ended_at = 0;
        save_times(s);
        s->options.on_changed(s->options.userdata);
        s->group = 0;
        begin_group(s);
        go_on(s);
}

static void call_off(struct node_shutdown *s)
{
        sd_event_source_set_enabled(s->tick, SD_EVENT_OFF);
        s->is_on = false;
        node_event(s->ctx, EVENT_NORMAL, "Shutdown",
                   "Shutdown manager detected shutdown cancellation");
        log_info("The shutdown of the machine was called off");
        s->options.on_changed(s->options.userdata);
}

static void on_prepare(bool is_beginning, void *userdata)
{
        struct node_shutdown *s = userdata;

        if (is_beginning && !s->is_on)
                begin(s);
        else if (!is_beginning && s->is_on)
                call_off(s);
}

/* ---- from outside ---- */

int node_shutdown_new(const struct node_shutdown_options *options, struct node_shutdown **ret,
                      struct err *err)
{
        _cleanup_(node_shutdown_freep)
        struct node_shutdown *s = calloc(1, sizeof *s);
        struct logind_options logind = { .conf_dir = options->conf_dir,
                                         .on_prepare = on_prepare,
                                         .userdata = s };
        int r;

        *ret = NULL;
        if (!s || shutdown_plan_from(options->ctx->config, &s->plan) < 0)
                return err_sys(err, -ENOMEM, "wait for shutdowns");
        if (s->plan.n == 0)
                return 0;
        s->options = *options;
        s->ctx = options->ctx;
        s->waited_for = map_new();
        if (!s->waited_for)
                return err_sys(err, -ENOMEM, "wait for shutdowns");
        load_times(s);
        r = sd_event_add_time(s->ctx->event, &s->tick, CLOCK_MONOTONIC, 0, 10 * USEC_PER_MSEC,
                              on_tick, s);
        if (r >= 0)
                r = sd_event_source_set_enabled(s->tick, SD_EVENT_OFF);
        if (r < 0)
                return err_sys(err, r, "wait for shutdowns");
        logind.delay_usec = shutdown_plan_usec(&s->plan);
        r = logind_new(s->ctx->event, &logind, &s->logind, err);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(s);
        return 0;
}

struct node_shutdown *node_shutdown_free(struct node_shutdown *s)
{
        if (!s)
                return NULL;
        logind_free(s->logind);
        sd_event_source_disable_unref(s->tick);
        map_free(s->waited_for);
        shutdown_plan_done(&s->plan);
        free(s);
        return NULL;
}
