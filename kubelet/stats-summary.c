#include "kubelet/stats-summary.h"

#include "base/json.h"
#include "base/text.h"

/*
 * Objects are built by functions that give a new reference, or NULL without memory; .failed of the
 * builder remembers the latter, so that nobody has to ask after each step.
 */
struct builder {
        bool failed, only_cpu_and_memory;
};

static void set(struct builder *b, json_t *object, const char *key, json_t *value)
{
        if (json_object_set_new(object, key, value) < 0) /* it has dropped @value then */
                b->failed = true;
}

static void set_text(struct builder *b, json_t *object, const char *key, const char *value)
{
        set(b, object, key, json_string(value));
}

static void set_time(struct builder *b, json_t *object, const char *key, usec_t t)
{
        char text[TIME_TEXT_MAX];

        set_text(b, object, key, time_format(t, text));
}

static void set_number(struct builder *b, json_t *object, const char *key, uint64_t value)
{
        if (value != STATS_UNKNOWN && value <= INT64_MAX)
                set(b, object, key, json_integer((json_int_t)value));
}

/* What is left of @limit; unknown when either is. */
static uint64_t left_of(uint64_t limit, uint64_t used)
{
        if (limit == STATS_UNKNOWN || used == STATS_UNKNOWN)
                return STATS_UNKNOWN;
        return limit > used ? limit - used : 0;
}

/* ---- cpu, memory, swap, io ---- */
static json_t *stall_json(struct builder *b, const struct runtime_stall *s)
{
        json_t *stall = json_object();

        set_number(b, stall, "total", s->total_usec * NSEC_PER_USEC);
        set(b, stall, "avg10", json_real(s->avg10));
        set(b, stall, "avg60", json_real(s->avg60));
        set(b, stall, "avg300", json_real(s->avg300));
        return stall;
}

static void set_pressure(struct builder *b, json_t *object, const struct runtime_pressure *p)
{
        json_t *psi;

        if (!p->is_known)
                return;
        psi = json_object();
        set(b, psi, "full", stall_json(b, &p->full));
        set(b, psi, "some", stall_json(b, &p->some));
        set(b, object, "psi", psi);
}

static void set_io(struct builder *b, json_t *object, const struct stats_usage *u)
{
        json_t *io;

        if (!u->io_pressure.is_known || b->only_cpu_and_memory)
                return;
        io = json_object();
        set_time(b, io, "time", u->read_at);
        set_pressure(b, io, &u->io_pressure);
        set(b, object, "io", io);
}

static void set_cpu(struct builder *b, json_t *object, const struct stats_usage *u)
{
        json_t *cpu;

        if (u->cpu_usec == STATS_UNKNOWN)
                return;
        cpu = json_object();
        set_time(b, cpu, "time", u->read_at);
        set_number(b, cpu, "usageNanoCores", u->cpu_nanocores);
        set_number(b, cpu, "usageCoreNanoSeconds", u->cpu_usec * NSEC_PER_USEC);
        set_pressure(b, cpu, &u->cpu_pressure);
        set(b, object, "cpu", cpu);
}

static void set_memory(struct builder *b, json_t *object, const struct stats_usage *u)
{
        json_t *memory;

        if (u->memory_usage == STATS_UNKNOWN)
                return;
        memory = json_object();
        set_time(b, memory, "time", u->read_at);
        set_number(b, memory, "availableBytes", left_of(u->memory_limit, u->memory_working_set));
        set_number(b, memory, "usageBytes", u->memory_usage);
        set_number(b, memory, "workingSetBytes", u->memory_working_set);
        set_number(b, memory, "rssBytes", u->memory_rss);
        set_number(b, memory, "pageFaults", u->page_faults);
        set_number(b, memory, "majorPageFaults", u->major_page_faults);
        set_pressure(b, memory, &u->memory_pressure);
        set(b, object, "memory", memory);
}

static void set_swap(struct builder *b, json_t *object, const struct stats_usage *u)
{
        json_t *swap;

        if (u->swap_usage == STATS_UNKNOWN)
                return;
        swap = json_object();
        set_time(b, swap, "time", u->read_at);
        set_number(b, swap, "swapAvailableBytes", left_of(u->swap_limit, u->swap_usage));
        set_number(b, swap, "swapUsageBytes", u->swap_usage);
        set(b, object, "swap", swap);
}

static void set_usage(struct builder *b, json_t *object, const struct stats_usage *u)
{
        if (u->read_at == 0)
                return;
        set_cpu(b, object, u);
        set_memory(b, object, u);
        set_swap(b, object, u);
        set_io(b, object, u);
}

/* ---- disks and networks ---- */
static void set_fs_values(struct builder *b, json_t *object, const struct stats_fs *fs)
{
        set_time(b, object, "time", fs->read_at);
        set_number(b, object, "availableBytes", fs->available);
        set_number(b, object, "capacityBytes", fs->capacity);
        set_number(b, object, "usedBytes", fs->used);
        set_number(b, object, "inodesFree", fs->inodes_free);
        set_number(b, object, "inodes", fs->inodes);
        set_number(b, object, "inodesUsed", fs->inodes_used);
}

static void set_fs(struct builder *b, json_t *object, const char *key, const struct stats_fs *fs)
{
        json_t *value;

        if (fs->read_at == 0 || b->only_cpu_and_memory)
                return;
        value = json_object();
        set_fs_values(b, value, fs);
        set(b, object, key, value);
}

static void set_interface(struct builder *b, json_t *object, const struct stats_interface *i)
{
        set_text(b, object, "name", i->name);
        set_number(b, object, "rxBytes", i->rx_bytes);
        set_number(b, object, "rxErrors", i->rx_errors);
        set_number(b, object, "txBytes", i->tx_bytes);
        set_number(b, object, "txErrors", i->tx_errors);
}

static void append(struct builder *b, json_t *array, json_t *value)
{
        if (json_array_append_new(array, value) < 0)
                b->failed = true;
}

/* The flat fields are those of eth0, which a pod always has, and a node by chance. */
static void set_network(struct builder *b, json_t *object, const struct stats_network *n)
{
        json_t *network, *list;

        if (n->read_at == 0 || b->only_cpu_and_memory)
                return;
        network = json_object();
        list = json_array();
        set_time(b, network, "time", n->read_at);
        set_text(b, network, "name", "");
        for (size_t i = 0; i < n->n; i++) {
                json_t *one = json_object();

                if (streq(n->list[i].name, "eth0"))
                        set_interface(b, network, &n->list[i]);
                set_interface(b, one, &n->list[i]);
                append(b, list, one);
        }
        set(b, network, "interfaces", list);
        set(b, object, "network", network);
}

static void set_volumes(struct builder *b, json_t *object, const struct stats_pod *pod)
{
        json_t *list;

        if (pod->n_volumes == 0 || b->only_cpu_and_memory)
                return;
        list = json_array();
        for (size_t i = 0; i < pod->n_volumes; i++) {
                json_t *volume = json_object();

                set_fs_values(b, volume, &pod->volumes[i].fs);
                set_text(b, volume, "name", pod->volumes[i].name);
                append(b, list, volume);
        }
        set(b, object, "volume", list);
}

/* ---- node, pods, containers ---- */
static json_t *container_json(struct builder *b, const struct stats_container *c)
{
        json_t *object = json_object();

        set_text(b, object, "name", c->name);
        set_time(b, object, "startTime", c->started_at);
        set_usage(b, object, &c->usage);
        set_fs(b, object, "rootfs", &c->rootfs);
        set_fs(b, object, "logs", &c->logs);
        return object;
}

static json_t *pod_json(struct builder *b, const struct stats_pod *pod)
{
        json_t *object = json_object(), *containers = json_array();

        set(b, object, "podRef",
            json_pack("{s:s, s:s, s:s}", "name", pod->name, "namespace", pod->namespace, "uid",
                      pod->uid));
        set_time(b, object, "startTime", pod->started_at);
        for (size_t i = 0; i < pod->n_containers; i++)
                append(b, containers, container_json(b, &pod->containers[i]));
        set(b, object, "containers", containers);
        set_usage(b, object, &pod->usage);
        set_network(b, object, &pod->network);
        set_volumes(b, object, pod);
        set_fs(b, object, "ephemeral-storage", &pod->ephemeral);
        return object;
}

static void set_runtime(struct builder *b, json_t *node, const struct stats_snapshot *s)
{
        json_t *runtime;

        if (b->only_cpu_and_memory)
                return;
        runtime = json_object();
        set_fs(b, runtime, "imageFs", &s->image_fs);
        set_fs(b, runtime, "containerFs", &s->container_fs);
        set(b, node, "runtime", runtime);
}

static void set_limits(struct builder *b, json_t *node, const struct stats_snapshot *s)
{
        json_t *limits;

        if (s->limits_read_at == 0 || b->only_cpu_and_memory)
                return;
        limits = json_object();
        set_time(b, limits, "time", s->limits_read_at);
        set_number(b, limits, "maxpid", s->max_pid);
        set_number(b, limits, "curproc", s->processes);
        set(b, node, "rlimit", limits);
}

static json_t *node_json(struct builder *b, const struct stats_snapshot *s)
{
        json_t *object = json_object();

        set_text(b, object, "nodeName", s->node_name);
        set_time(b, object, "startTime", s->booted_at);
        set_usage(b, object, &s->node);
        set_network(b, object, &s->network);
        set_fs(b, object, "fs", &s->fs);
        set_runtime(b, object, s);
        set_limits(b, object, s);
        return object;
}

json_t *stats_summary_json(const struct stats_snapshot *s, bool only_cpu_and_memory)
{
        struct builder b = { .only_cpu_and_memory = only_cpu_and_memory };
        json_auto_t *summary = json_object();
        json_t *pods = json_array();

        set(&b, summary, "node", node_json(&b, s));
        for (size_t i = 0; i < s->n_pods; i++)
                append(&b, pods, pod_json(&b, &s->pods[i]));
        set(&b, summary, "pods", pods);
        return b.failed ? NULL : json_incref(summary);
}
