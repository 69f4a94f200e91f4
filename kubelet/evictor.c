/*
 * Theory of operation. round() runs every 10 s, and every second while something that takes time is
 * under way: what was removed (RECLAIMING) or the pod evicted last (CLEANING) still holds what the
 * node needs. Only from IDLE something new is begun. Disk usage is measured in a child, so that a
 * round that needs it ends in on_measured().
 */
#include "kubelet/evictor.h"

#include <errno.h>

#include "base/log.h"
#include "base/text.h"
#include "kubelet/config.h"
#include "kubelet/container-config.h"
#include "kubelet/image-collector.h"
#include "kubelet/local-limit.h"
#include "kubelet/pod-log.h"
#include "kubelet/pod-observe.h"
#include "kubelet/reason.h"

#define PERIOD_USEC    (10 * USEC_PER_SEC)
#define POLL_USEC      (1 * USEC_PER_SEC)
#define PATIENCE_USEC  (30 * USEC_PER_SEC) /* with what is under way */
#define TIMER_ACCURACY (100 * USEC_PER_MSEC)
enum { IMMEDIATE_GRACE_SEC = 1 };

struct evictor {
        struct evictor_options options;
        const struct context *ctx;
        struct pod_disks *disks;        /* owned */
        struct image_collector *images; /* owned */
        sd_event_source *timer;         /* owned */
        bool is_started;
        enum { IDLE, RECLAIMING, CLEANING } state;
        usec_t until;      /* CLOCK_MONOTONIC: RECLAIMING and CLEANING end then at the latest */
        char *victim;      /* owned; CLEANING: uid */
        bool awaits_disks; /* the measurement under way decides who goes for lack of disk */
        size_t n_limited;  /* evicted for their limits in this pass */
};

static bool evict(struct evictor *e, struct pod *pod, struct pod_worker *w, int64_t grace_sec,
                  const char *message, json_t *annotations)
{
        char path[POD_FIELD_PATH_MAX];
        const struct event_object object = pod_event_object(pod, NULL, path);

        if (!pod_worker_evict(w, grace_sec, message, annotations != NULL))
                return false;
        log_pod_warn(pod, 0, "Evicted: %s", message);
        events_add_annotated(e->ctx->events, &object, EVENT_WARNING, REASON_EVICTED, annotations,
                             message);
        return true;
}

/* ---- limits of pods ---- */

static void check_limits(struct pod *pod, struct pod_worker *w, void *userdata)
{
        struct evictor *e = userdata;
        const struct pod_disk *disk = pod_disks_find(e->disks, pod->uid);
        bool with_layers = !node_pressure_has_image_fs(e->options.pressure);
        _cleanup_free_ char *message = NULL;

        if (!w || !disk || pod_is_critical(pod) || !local_limit_is_set(pod))
                return;
        if (local_limit_check(pod, disk, with_layers, &message) < 0)
                return log_oom();
        if (message)
                e->n_limited += evict(e, pod, w, IMMEDIATE_GRACE_SEC, message, NULL);
}

/* ---- who is to go ---- */

struct candidates {
        struct evictor *evictor;
        const struct eviction_threshold *threshold;
        bool has_image_fs;
        struct eviction_pod *list; /* owned */
        size_t n, cap;
        bool failed; /* no memory */
};

static void weigh(const struct candidates *c, struct eviction_pod *p)
{
        const struct context *ctx = c->evictor->ctx;
        _cleanup_free_ char *cgroup = pod_cgroup_path(p->pod);
        struct runtime_usage usage;

        if (cgroup && runtime_cgroup_usage(ctx->rt, cgroup, &usage) == 0) {
                p->is_known = true;
                p->memory_bytes = usage.memory_working_set == UINT64_MAX ? 0
                                                                         : usage.memory_working_set;
                p->processes = usage.pids == UINT64_MAX ? 0 : usage.pids;
        }
        p->disk = eviction_disk_use(pod_disks_find(c->evictor->disks, p->pod->uid),
                                    c->threshold->signal, c->has_image_fs);
}

static void add_candidate(struct pod *pod, struct pod_worker *w, void *userdata)
{
        struct candidates *c = userdata;

        if (!w || pod_worker_state(w) >= POD_WORKER_TERMINATED)
                return;
        if (c->n == c->cap) {
                size_t cap = c->cap * 2 + 32;
                struct eviction_pod *grown = realloc(c->list, cap * sizeof *grown);

                if (!grown) {
                        c->failed = true;
                        return;
                }
                c->list = grown;
                c->cap = cap;
        }
        c->list[c->n] = (struct eviction_pod){ .pod = pod };
        weigh(c, &c->list[c->n++]);
}

struct containers { /* of the pod that is to go */
        const struct evictor *evictor;
        const struct pod *pod;
        struct eviction_container *list; /* owned; as many as the pod has */
        size_t n;
};

static void add_container(const struct container_status *c, void *userdata)
{
        struct containers *l = userdata;
        const char *uid = string_map_get(c->labels, LABEL_POD_UID);
        const char *name = string_map_get(c->labels, LABEL_CONTAINER_NAME);
        const struct pod_disk *disk = pod_disks_find(l->evictor->disks, l->pod->uid);
        const struct disk_usage *layer, *logs;
        struct eviction_container *to;
        struct runtime_usage usage;

        if (c->state != CONTAINER_RUNNING || !uid || !name || !streq(uid, l->pod->uid) ||
            l->n == pod_n_containers(l->pod))
                return;
        to = &l->list[l->n++];
        *to = (struct eviction_container){ name, EVICTION_UNKNOWN, EVICTION_UNKNOWN };
        if (container_usage(l->evictor->ctx->rt, c->id, &usage) == 0)
                to->memory_bytes = usage.memory_working_set;
        layer = pod_disk_find(disk, POD_DISK_LAYER, name);
        logs = pod_disk_find(disk, POD_DISK_LOGS, name);
        if (layer && logs)
                to->disk_bytes = layer->bytes + logs->bytes;
}

/* False: another one has to go instead. */
static bool evict_candidate(struct evictor *e, struct eviction_pod *p,
                            const struct eviction_threshold *t)
{
        struct containers l = { e, p->pod, calloc(pod_n_containers(p->pod) + 1, sizeof *l.list),
                                0 };
        struct pod_worker *w = pod_manager_worker(e->options.pods, p->pod->uid);
        int64_t grace = eviction_grace_sec(t, e->ctx->config->eviction_max_grace_sec, p->pod);
        _cleanup_free_ char *message = NULL;
        json_auto_t *annotations = NULL;
        bool went = false;

        if (l.list) {
                container_foreach(e->ctx->rt, NULL, add_container, &l);
                p->containers = l.list;
                p->n_containers = l.n;
        }
        if (!l.list || eviction_message(p, t, node_pressure_seen(e->options.pressure, t->signal),
                                        &message, &annotations) < 0)
                log_oom();
        else
                went = evict(e, (struct pod *)p->pod, w, grace, message, annotations);
        free(l.list);
        return went;
}

static void begin_state(struct evictor *e, int state)
{
        e->state = state;
        e->until = now_monotonic() + PATIENCE_USEC;
}

/* One pod, and no other before what it held is free. */
static void evict_one(struct evictor *e, const struct eviction_threshold *t)
{
        struct candidates c = { .evictor = e,
                                .threshold = t,
                                .has_image_fs = node_pressure_has_image_fs(e->options.pressure) };
        size_t i = 0;

        pod_manager_foreach(e->options.pods, add_candidate, &c);
        if (c.failed || eviction_rank(c.list, c.n, t->signal) < 0) {
                log_oom();
                c.n = 0;
        }
        while (i < c.n && (pod_is_critical(c.list[i].pod) || !evict_candidate(e, &c.list[i], t)))
                i++;
        if (i < c.n && free_and_strdup(&e->victim, c.list[i].pod->uid) == 0)
                begin_state(e, CLEANING);
        else if (i == c.n)
                log_warn(0, "The node is short of %s, and no pod can be evicted",
                         eviction_resource_name(t->signal));
        free(c.list);
}

/* ---- the node is short of something ---- */

/* Images and layers of the dead can be removed where they lie on the disk that is short. */
static bool can_reclaim(const struct evictor *e, enum eviction_signal s)
{
        return s == EVICTION_IMAGEFS || s == EVICTION_IMAGEFS_INODES ||
               (eviction_signal_is_disk(s) && !node_pressure_has_image_fs(e->options.pressure));
}

static void relieve(struct evictor *e, const struct eviction_threshold *t)
{
        const char *resource = eviction_resource_name(t->signal);

        log_warn(0, "Attempting to reclaim %s: threshold '%s' is met", resource,
                 eviction_signal_name(t->signal));
        node_event(e->ctx, EVENT_WARNING, "EvictionThresholdMet", "Attempting to reclaim %s",
                   resource);
        if (can_reclaim(e, t->signal) && image_collector_free_all(e->images) > 0)
                begin_state(e, RECLAIMING);
        else
                evict_one(e, t);
}

static void arm(struct evictor *e)
{
        usec_t pause = e->state == IDLE ? PERIOD_USEC : POLL_USEC;

        sd_event_source_set_time(e->timer, now_monotonic() + pause);
        sd_event_source_set_enabled(e->timer, SD_EVENT_ONESHOT);
}

static void look(struct evictor *e)
{
        if (node_pressure_look(e->options.pressure, now_monotonic()))
                e->options.on_conditions(e->options.userdata);
}

static void begin_round(struct evictor *e)
{
        const struct eviction_threshold *t;
        bool of_disk, is_measuring;

        look(e);
        if (!e->is_started)
                return;
        t = node_pressure_chosen(e->options.pressure);
        of_disk = t && eviction_signal_is_disk(t->signal);
        is_measuring = pod_disks_measure(e->disks, of_disk) > 0;
        e->awaits_disks = of_disk && is_measuring;
        if (t && !e->awaits_disks)
                relieve(e, t);
}

static void on_measured(void *userdata)
{
        struct evictor *e = userdata;
        const struct eviction_threshold *t;

        e->n_limited = 0;
        if (e->ctx->config->local_storage_isolation)
                pod_manager_foreach(e->options.pods, check_limits, e);
        if (!e->awaits_disks)
                return;
        e->awaits_disks = false;
        if (e->n_limited > 0 || e->state != IDLE)
                return; /* they may have been what it lacked */
        look(e);
        t = node_pressure_chosen(e->options.pressure);
        if (t && eviction_signal_is_disk(t->signal))
                relieve(e, t);
        arm(e);
}

/* ---- rounds ---- */

static bool is_removing(const struct evictor *e)
{
        return runtime_is_removing(e->ctx->rt) || volumes_are_removing(e->ctx->volumes);
}

static bool victim_is_gone(const struct evictor *e)
{
        const struct pod_worker *w = pod_manager_worker(e->options.pods, e->victim);

        return (!w || pod_worker_state(w) >= POD_WORKER_FINISHED) && !is_removing(e);
}

static void go_on_reclaiming(struct evictor *e)
{
        const struct eviction_threshold *t;

        if (node_pressure_is_relieved(e->options.pressure)) {
                log_info("Removing what nobody uses was enough, no pod is evicted");
                e->state = IDLE;
                return;
        }
        if (is_removing(e) && now_monotonic() < e->until)
                return;
        e->state = IDLE;
        look(e);
        t = node_pressure_chosen(e->options.pressure);
        if (t)
                evict_one(e, t);
}

static void go_on_cleaning(struct evictor *e)
{
        bool is_gone = victim_is_gone(e);

        if (!is_gone && now_monotonic() < e->until)
                return;
        if (!is_gone)
                log_warn(0, "The pod evicted last is not gone yet, going on without waiting");
        e->state = IDLE;
        begin_round(e);
}

static int on_timer(_unused_ sd_event_source *s, _unused_ uint64_t usec, void *userdata)
{
        struct evictor *e = userdata;

        switch (e->state) {
        case IDLE:
                begin_round(e);
                break;
        case RECLAIMING:
                go_on_reclaiming(e);
                break;
        case CLEANING:
                go_on_cleaning(e);
                break;
        }
        arm(e);
        return 0;
}

void evictor_start(struct evictor *e)
{
        e->is_started = true;
        image_collector_start(e->images);
}

const struct pod_disks *evictor_disks(const struct evictor *e)
{
        return e->disks;
}

int evictor_new(const struct evictor_options *options, struct evictor **ret, struct err *err)
{
        _cleanup_(evictor_freep)
        struct evictor *e = calloc(1, sizeof *e);
        const struct pod_disks_options disks = { options->ctx, options->pods, on_measured, e };
        int r;

        if (!e)
                return err_sys(err, -ENOMEM, "watch over what pods use");
        *e = (struct evictor){ .options = *options, .ctx = options->ctx };
        r = pod_disks_new(&disks, &e->disks, err);
        if (r == 0)
                r = image_collector_new(e->ctx, options->pods, &e->images, err);
        if (r < 0)
                return r;
        r = sd_event_add_time(e->ctx->event, &e->timer, CLOCK_MONOTONIC,
                              now_monotonic() + PERIOD_USEC, TIMER_ACCURACY, on_timer, e);
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
        pod_disks_free(e->disks);
        image_collector_free(e->images);
        free(e->victim);
        free(e);
        return NULL;
}
