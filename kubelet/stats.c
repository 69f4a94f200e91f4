#include "kubelet/stats.h"

#include <errno.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/map.h"
#include "base/prometheus.h"
#include "base/text.h"
#include "kubelet/cpu-rate.h"
#include "kubelet/pod-disks.h"
#include "kubelet/pod-observe.h"
#include "kubelet/resource-metrics.h"
#include "kubelet/stats-snapshot.h"
#include "kubelet/stats-summary.h"

#define NET_DEV_MAX    (1 << 20)
#define EMPTY_DIR_PATH "%s/pods/%s/volumes/kubernetes.io~empty-dir/%s"

struct stats {
        const struct context *ctx;
        const struct pod_manager *pods; /* borrowed */
        usec_t booted_at;
        struct map *rates; /* struct rate, owned; by container id, pod uid, or NODE_KEY */
        uint64_t round;
};
#define NODE_KEY "node"

struct rate {
        struct cpu_rate cpu;
        uint64_t round; /* when it was read last: what a round did not read is gone */
};

/* One look under way. */
struct look {
        struct stats *stats;
        struct stats_snapshot *snapshot;
        struct stats_pod *pod;       /* being filled */
        const struct pod_disk *disk; /* what it holds; NULL: not measured yet */
        bool with_disks;             /* file systems and networks too */
        bool failed;                 /* no memory */
};

/* ---- CPU, memory, swap ---- */
static uint64_t fold_rate(struct stats *s, const char *key, uint64_t cpu_usec)
{
        struct rate *rate = map_get(s->rates, key);

        if (cpu_usec == UINT64_MAX)
                return STATS_UNKNOWN;
        if (!rate) {
                rate = calloc(1, sizeof *rate);
                if (!rate || map_put(s->rates, key, rate, NULL) < 0) {
                        free(rate);
                        return STATS_UNKNOWN;
                }
        }
        rate->round = s->round;
        return cpu_rate_fold(&rate->cpu, now_monotonic(), cpu_usec);
}

static void forget_rates(struct stats *s)
{
        const char *key;
        struct rate *rate;

        MAP_FOREACH (key, rate, s->rates)
                if (rate->round != s->round)
                        free(map_remove(s->rates, key));
}

static struct stats_usage usage_of(struct stats *s, const char *key, const struct runtime_usage *u)
{
        return (struct stats_usage){
                .read_at = now_realtime(),
                .cpu_usec = u->cpu_usec,
                .cpu_nanocores = fold_rate(s, key, u->cpu_usec),
                .memory_usage = u->memory_current,
                .memory_working_set = u->memory_working_set,
                .memory_rss = u->memory_anon,
                .memory_limit = u->memory_limit,
                .page_faults = u->page_faults,
                .major_page_faults = u->major_page_faults,
                .swap_usage = u->swap_current,
                .swap_limit = u->swap_limit,
                .cpu_pressure = u->cpu_pressure,
                .memory_pressure = u->memory_pressure,
                .io_pressure = u->io_pressure,
        };
}

/* ---- file systems ---- */
/* What the file system of @path has; what is used of it counts only @with_used. */
static struct stats_fs fs_of(const char *path, bool with_used)
{
        struct stats_fs fs = { 0 };
        struct statvfs v;

        if (statvfs(path, &v) < 0)
                return fs;
        fs = (struct stats_fs){
                .read_at = now_realtime(),
                .available = (uint64_t)v.f_bavail * v.f_frsize,
                .capacity = (uint64_t)v.f_blocks * v.f_frsize,
                .used = STATS_UNKNOWN,
                .inodes = v.f_files,
                .inodes_free = v.f_ffree,
                .inodes_used = STATS_UNKNOWN,
        };
        if (with_used) {
                fs.used = (uint64_t)(v.f_blocks - v.f_bfree) * v.f_frsize;
                fs.inodes_used = v.f_files - v.f_ffree;
        }
        return fs;
}

/* The file system that something lies on, and what that takes of it; NULL: not measured yet. */
static struct stats_fs with_usage(struct stats_fs fs, const struct disk_usage *usage)
{
        fs.used = usage ? usage->bytes : STATS_UNKNOWN;
        fs.inodes_used = usage ? usage->inodes : STATS_UNKNOWN;
        return fs;
}

/* All files of a container's logs, the rotated ones too. */
static struct stats_fs logs_of(const char *log_path, const struct disk_usage *usage)
{
        const char *end = strrchr(log_path, '/');
        _cleanup_free_ char *folder = end ? strndup(log_path, (size_t)(end - log_path)) : NULL;

        return folder ? with_usage(fs_of(folder, false), usage) : (struct stats_fs){ 0 };
}

static void read_image_fs(struct look *look)
{
        struct stats_snapshot *s = look->snapshot;
        struct image_fs_usage usage;

        if (image_fs_usage(look->stats->ctx->rt, &usage) < 0)
                return;
        s->image_fs = (struct stats_fs){
                .read_at = now_realtime(),
                .available = usage.available_bytes,
                .capacity = usage.capacity_bytes,
                .used = usage.used_bytes,
                .inodes = usage.inodes,
                .inodes_free = usage.inodes_free,
                .inodes_used = usage.inodes - usage.inodes_free,
        };
        s->container_fs = s->image_fs; /* writable layers lie beside the images */
        s->container_fs.used = s->container_fs.inodes_used = 0;
}

static void add_layer(struct stats_fs *sum, const struct disk_usage *layer)
{
        if (!layer || sum->read_at == 0)
                return;
        sum->used += layer->bytes;
        sum->inodes_used += layer->inodes;
}

static size_t count_empty_dirs(const struct pod *pod)
{
        size_t n = 0;

        for (size_t i = 0; i < pod->n_volumes; i++)
                n += pod->volumes[i].source.kind == POD_VOLUME_EMPTY_DIR;
        return n;
}

/* emptyDir only; one in memory is a file system, what one on disk takes was measured. */
static void read_volumes(struct look *look)
{
        struct stats_pod *p = look->pod;
        const struct pod *pod = pod_manager_find(look->stats->pods, p->namespace, p->name, NULL);

        if (!pod || !streq(pod->uid, p->uid) || count_empty_dirs(pod) == 0)
                return;
        p->volumes = calloc(count_empty_dirs(pod), sizeof *p->volumes);
        look->failed = look->failed || !p->volumes;
        for (size_t i = 0; i < pod->n_volumes && p->volumes; i++) {
                const struct pod_volume *v = &pod->volumes[i];
                _cleanup_free_ char *path = NULL;
                struct stats_volume *to = &p->volumes[p->n_volumes];
                bool is_memory = v->medium && streq(v->medium, "Memory");

                if (v->source.kind != POD_VOLUME_EMPTY_DIR)
                        continue;
                path = text_printf(EMPTY_DIR_PATH, look->stats->ctx->root_dir, p->uid, v->name);
                look->failed = look->failed || !path;
                if (!path)
                        continue;
                *to = (struct stats_volume){ v->name, fs_of(path, is_memory) };
                if (!is_memory)
                        to->fs = with_usage(to->fs,
                                            pod_disk_find(look->disk, POD_DISK_VOLUME, v->name));
                if (to->fs.read_at > 0)
                        p->n_volumes++;
        }
}

/* ---- networks ---- */
static void read_network(struct look *look, const char *path, struct stats_network *ret)
{
        _cleanup_free_ char *text = NULL;

        if (fs_read_at(AT_FDCWD, path, NET_DEV_MAX, &text, NULL) < 0)
                return;
        if (stats_network_parse(text, ret) < 0)
                look->failed = true;
        else
                ret->read_at = now_realtime();
}

/* ---- containers and pods ---- */
static void count_running(const struct container_status *c, void *userdata)
{
        size_t *n = userdata;

        *n += c->state == CONTAINER_RUNNING;
}

/* The place of @name: of two instances the one started last counts. */
static struct stats_container *container_place(struct stats_pod *pod, const char *name,
                                               usec_t started_at)
{
        for (size_t i = 0; i < pod->n_containers; i++)
                if (streq(pod->containers[i].name, name))
                        return pod->containers[i].started_at < started_at ? &pod->containers[i]
                                                                          : NULL;
        return &pod->containers[pod->n_containers++];
}

static void read_container(const struct container_status *c, void *userdata)
{
        struct look *look = userdata;
        const char *name = string_map_get(c->labels, LABEL_CONTAINER_NAME);
        const struct disk_usage *layer;
        struct stats_container *to;
        struct runtime_usage usage;

        if (c->state != CONTAINER_RUNNING || !name)
                return;
        to = container_place(look->pod, name, c->started_at);
        if (!to)
                return;
        *to = (struct stats_container){ .name = name, .started_at = c->started_at };
        if (container_usage(look->stats->ctx->rt, c->id, &usage) == 0)
                to->usage = usage_of(look->stats, c->id, &usage);
        if (!look->with_disks)
                return;
        layer = pod_disk_find(look->disk, POD_DISK_LAYER, name);
        to->rootfs = with_usage(look->snapshot->container_fs, layer);
        add_layer(&look->snapshot->container_fs, layer);
        if (c->log_path)
                to->logs = logs_of(c->log_path, pod_disk_find(look->disk, POD_DISK_LOGS, name));
}

static void read_pod_disks(struct look *look, const struct sandbox_status *sandbox)
{
        struct stats_pod *pod = look->pod;
        const struct disk_usage total = pod_disk_total(look->disk);
        _cleanup_free_ char *net_dev = NULL;

        if (sandbox->shim_pid > 0 && !sandbox->host_network) {
                net_dev = text_printf("/proc/%d/net/dev", sandbox->shim_pid);
                if (net_dev)
                        read_network(look, net_dev, &pod->network);
        }
        read_volumes(look);
        pod->ephemeral = with_usage(look->snapshot->fs, total.is_known ? &total : NULL);
}

static bool is_of_pod(const struct sandbox_status *sandbox)
{
        return sandbox->state == SANDBOX_READY && string_map_get(sandbox->labels, LABEL_POD_NAME) &&
               string_map_get(sandbox->labels, LABEL_POD_NAMESPACE) &&
               string_map_get(sandbox->labels, LABEL_POD_UID);
}

static void count_pods(const struct sandbox_status *sandbox, void *userdata)
{
        size_t *n = userdata;

        *n += is_of_pod(sandbox);
}

static void read_pod(const struct sandbox_status *sandbox, void *userdata)
{
        struct look *look = userdata;
        struct stats_pod *pod = &look->snapshot->pods[look->snapshot->n_pods];
        const struct runtime *rt = look->stats->ctx->rt;
        const char *cgroup = string_map_get(sandbox->labels, LABEL_CGROUP);
        struct runtime_usage usage;
        size_t n = 0;

        if (!is_of_pod(sandbox))
                return;
        container_foreach(rt, sandbox->id, count_running, &n);
        *pod = (struct stats_pod){
                .name = string_map_get(sandbox->labels, LABEL_POD_NAME),
                .namespace = string_map_get(sandbox->labels, LABEL_POD_NAMESPACE),
                .uid = string_map_get(sandbox->labels, LABEL_POD_UID),
                .started_at = sandbox->created_at,
                .containers = calloc(n + 1, sizeof *pod->containers),
        };
        look->failed = look->failed || !pod->containers;
        if (!pod->containers)
                return;
        look->snapshot->n_pods++;
        look->pod = pod;
        look->disk = pod_disks_find(look->stats->ctx->disks, pod->uid);
        container_foreach(rt, sandbox->id, read_container, look);
        if (cgroup && runtime_cgroup_usage(rt, cgroup, &usage) == 0)
                pod->usage = usage_of(look->stats, pod->uid, &usage);
        if (look->with_disks)
                read_pod_disks(look, sandbox);
}

/* ---- the node ---- */
static uint64_t number_in(const char *path)
{
        _cleanup_free_ char *text = NULL;
        uint64_t value;

        if (fs_read_line_at(AT_FDCWD, path, &text) < 0 || text_to_u64(text, &value) < 0)
                return STATS_UNKNOWN;
        return value;
}

/* "0.20 0.18 0.12 1/80 11206": all tasks are 80. */
static uint64_t count_tasks(void)
{
        _cleanup_free_ char *text = NULL, *digits = NULL;
        const char *slash;
        uint64_t value;

        if (fs_read_line_at(AT_FDCWD, "/proc/loadavg", &text) < 0)
                return STATS_UNKNOWN;
        slash = strchr(text, '/');
        digits = slash ? strndup(slash + 1, strspn(slash + 1, "0123456789")) : NULL;
        return digits && text_to_u64(digits, &value) == 0 ? value : STATS_UNKNOWN;
}

static void read_node(struct look *look)
{
        struct stats_snapshot *s = look->snapshot;
        struct runtime_usage usage;
        int r = runtime_machine_usage(&usage);

        if (r < 0) {
                log_warn(r, "Failed to read what the machine uses, leaving it out");
                s->has_failed = true;
        } else {
                s->node = usage_of(look->stats, NODE_KEY, &usage);
        }
        if (!look->with_disks)
                return;
        s->fs = fs_of(look->stats->ctx->root_dir, true);
        read_image_fs(look);
        read_network(look, "/proc/self/net/dev", &s->network);
        s->limits_read_at = now_realtime();
        s->max_pid = MIN(number_in("/proc/sys/kernel/pid_max"),
                         number_in("/proc/sys/kernel/threads-max"));
        s->processes = count_tasks();
}

/* 0 or -ENOMEM. */
static int look_around(struct stats *stats, bool with_disks, struct stats_snapshot *ret)
{
        _cleanup_(stats_snapshot_done)
        struct stats_snapshot s = { .node_name = stats->ctx->node_name,
                                    .booted_at = stats->booted_at };
        struct look look = { .stats = stats, .snapshot = &s, .with_disks = with_disks };
        size_t n = 0;

        stats->round++;
        sandbox_foreach(stats->ctx->rt, count_pods, &n);
        s.pods = calloc(n + 1, sizeof *s.pods);
        if (!s.pods)
                return -ENOMEM;
        read_node(&look);
        sandbox_foreach(stats->ctx->rt, read_pod, &look);
        forget_rates(stats);
        if (look.failed)
                return -ENOMEM;
        *ret = s;
        s = (struct stats_snapshot){ 0 };
        return 0;
}

/* ---- what is asked for ---- */
char *stats_resource_metrics(struct stats *s)
{
        _cleanup_(stats_snapshot_done)
        struct stats_snapshot snapshot = { 0 };

        return look_around(s, false, &snapshot) < 0 ? NULL : resource_metrics_format(&snapshot);
}

json_t *stats_summary(struct stats *s, bool only_cpu_and_memory)
{
        _cleanup_(stats_snapshot_done)
        struct stats_snapshot snapshot = { 0 };

        return look_around(s, !only_cpu_and_memory, &snapshot) < 0
                       ? NULL
                       : stats_summary_json(&snapshot, only_cpu_and_memory);
}

static void count_state(const struct container_status *c, void *userdata)
{
        size_t *counts = userdata;

        counts[c->state]++;
}

static void add_counts(struct strbuf *b, const struct runtime *rt)
{
        static const char *const states[] = {
                [CONTAINER_CREATED] = "created",
                [CONTAINER_RUNNING] = "running",
                [CONTAINER_EXITED] = "exited",
                [CONTAINER_UNKNOWN] = "unknown",
        };
        size_t pods = 0, counts[ARRAY_SIZE(states)] = { 0 };

        sandbox_foreach(rt, count_pods, &pods);
        container_foreach(rt, NULL, count_state, counts);
        prometheus_add_head(b, "kubelet_running_pods", "gauge",
                            "[ALPHA] Number of pods that have a running pod sandbox");
        prometheus_add_sample(b, "kubelet_running_pods", NULL, 0, (double)pods, 0);
        prometheus_add_head(b, "kubelet_running_containers", "gauge",
                            "[ALPHA] Number of containers currently running");
        for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
                const struct prometheus_label label = { "container_state", states[i] };

                if (counts[i] > 0)
                        prometheus_add_sample(b, "kubelet_running_containers", &label, 1,
                                              (double)counts[i], 0);
        }
}

char *stats_agent_metrics(struct stats *s)
{
        const struct prometheus_label node = { "node", s->ctx->node_name };
        _cleanup_strbuf_ struct strbuf b = { 0 };

        prometheus_add_head(&b, "kubelet_node_name", "gauge",
                            "[ALPHA] The node's name. The count is always 1.");
        prometheus_add_sample(&b, "kubelet_node_name", &node, 1, 1, 0);
        add_counts(&b, s->ctx->rt);
        termination_counts_format(s->ctx->ended, &b);
        prometheus_add_process(&b, s->ctx->started_at);
        prometheus_add_build_info(&b);
        return strbuf_take(&b);
}

/* ---- set-up ---- */
int stats_new(const struct context *ctx, const struct pod_manager *pods, struct stats **ret)
{
        struct stats *s = malloc(sizeof *s);
        struct timespec since_boot;

        if (!s)
                return -ENOMEM;
        clock_gettime(CLOCK_BOOTTIME, &since_boot);
        *s = (struct stats){
                .ctx = ctx,
                .pods = pods,
                .booted_at = now_realtime() - (usec_t)since_boot.tv_sec * USEC_PER_SEC,
                .rates = map_new(),
        };
        if (!s->rates) {
                free(s);
                return -ENOMEM;
        }
        *ret = s;
        return 0;
}

struct stats *stats_free(struct stats *s)
{
        if (!s)
                return NULL;
        map_free_with(s->rates, free);
        free(s);
        return NULL;
}
