#include "kubelet/cadvisor.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>

#include "base/fs.h"
#include "base/text.h"
#include "kubelet/cadvisor-metrics.h"
#include "kubelet/node-facts.h"
#include "kubelet/pod-observe.h"

enum {
        NET_DEV_MAX = 1 << 20,
        FIXED_SUBJECTS = 4, /* the machine, and the cgroups above pods */
        CORES_MAX = 4096,
};

struct cadvisor {
        const struct context *ctx;
        struct node_facts facts;
        usec_t booted_at;
        uint32_t cores, sockets;
};

/* One look under way. */
struct look {
        const struct cadvisor *cadvisor;
        struct cadvisor_subject *subjects; /* owned */
        size_t n, max;
        const struct sandbox_status *sandbox; /* whose containers are read */
        bool failed;                          /* no memory */
};

/* ---- the machine ---- */

static bool topology_number(unsigned cpu, const char *file, uint32_t *ret)
{
        _cleanup_free_ char *path = text_printf("/sys/devices/system/cpu/cpu%u/topology/%s", cpu,
                                                file);
        _cleanup_free_ char *text = NULL;

        return path && fs_read_line_at(AT_FDCWD, path, &text) == 0 && text_to_u32(text, ret) == 0;
}

static void note(uint64_t *seen, size_t *n, uint64_t value)
{
        for (size_t i = 0; i < *n; i++)
                if (seen[i] == value)
                        return;
        seen[(*n)++] = value;
}

/* Distinct cores and sockets of the CPUs; both stay 0 where the kernel does not say. */
static void count_cores(struct cadvisor *c)
{
        uint32_t cpus = MIN(c->facts.cpus, (uint32_t)CORES_MAX), socket, core;
        uint64_t *cores = calloc(cpus + 1, sizeof *cores);
        uint64_t *sockets = calloc(cpus + 1, sizeof *sockets);
        size_t n_cores = 0, n_sockets = 0;

        for (unsigned cpu = 0; cores && sockets && cpu < cpus; cpu++) {
                if (!topology_number(cpu, "physical_package_id", &socket) ||
                    !topology_number(cpu, "core_id", &core))
                        continue;
                note(sockets, &n_sockets, socket);
                note(cores, &n_cores, (uint64_t)socket << 32 | core);
        }
        c->cores = (uint32_t)n_cores;
        c->sockets = (uint32_t)n_sockets;
        free(cores);
        free(sockets);
}

int cadvisor_new(const struct context *ctx, struct cadvisor **ret, struct err *err)
{
        _cleanup_(cadvisor_freep)
        struct cadvisor *c = calloc(1, sizeof *c);
        struct timespec since_boot;
        int r;

        if (!c)
                return err_sys(err, -ENOMEM, "measure cgroups");
        c->ctx = ctx;
        clock_gettime(CLOCK_BOOTTIME, &since_boot);
        c->booted_at = now_realtime() - (usec_t)since_boot.tv_sec * USEC_PER_SEC;
        r = node_facts_read(&c->facts, err);
        if (r < 0)
                return r;
        count_cores(c);
        *ret = TAKE_PTR(c);
        return 0;
}

struct cadvisor *cadvisor_free(struct cadvisor *c)
{
        if (!c)
                return NULL;
        node_facts_done(&c->facts);
        free(c);
        return NULL;
}

/* ---- cgroups ---- */

/* The next place, or NULL: there is no more than was counted. */
static struct cadvisor_subject *next_subject(struct look *look)
{
        struct cadvisor_subject *s = look->n < look->max ? &look->subjects[look->n] : NULL;

        if (s)
                *s = (struct cadvisor_subject){ .container = "",
                                                .image = "",
                                                .name = "",
                                                .namespace = "",
                                                .pod = "",
                                                .read_at = now_realtime() };
        return s;
}

/* What was read to the place stays there. */
static void keep_subject(struct look *look, struct cadvisor_subject *s)
{
        s->id = s->detail.path;
        look->n++;
}

static void read_network(struct look *look, const char *path, struct cadvisor_subject *s)
{
        _cleanup_free_ char *text = NULL;

        if (fs_read_at(AT_FDCWD, path, NET_DEV_MAX, &text, NULL) == 0)
                look->failed |= stats_network_parse(text, &s->network) < 0;
}

static void read_machine(struct look *look)
{
        struct cadvisor_subject *s = next_subject(look);
        struct statvfs v;

        if (!s || runtime_machine_usage(&s->usage) < 0 || runtime_machine_detail(&s->detail) < 0)
                return;
        s->started_at = look->cadvisor->booted_at;
        if (statvfs(look->cadvisor->ctx->root_dir, &v) == 0)
                s->fs = (struct stats_fs){
                        .read_at = s->read_at,
                        .capacity = (uint64_t)v.f_blocks * v.f_frsize,
                        .used = (uint64_t)(v.f_blocks - v.f_bfree) * v.f_frsize,
                        .inodes = v.f_files,
                        .inodes_free = v.f_ffree,
                };
        read_network(look, "/proc/self/net/dev", s);
        keep_subject(look, s);
}

/* The cgroup at @path, in cgroupfs' spelling. */
static struct cadvisor_subject *read_cgroup(struct look *look, const char *path)
{
        const struct runtime *rt = look->cadvisor->ctx->rt;
        struct cadvisor_subject *s = next_subject(look);

        if (!s || runtime_cgroup_usage(rt, path, &s->usage) < 0 ||
            runtime_cgroup_detail(rt, path, &s->detail) < 0)
                return NULL;
        keep_subject(look, s);
        return s;
}

static void read_container(const struct container_status *c, void *userdata)
{
        struct look *look = userdata;
        const struct runtime *rt = look->cadvisor->ctx->rt;
        const struct string_map *pod = look->sandbox->labels;
        struct cadvisor_subject *s = next_subject(look);

        if (c->state != CONTAINER_RUNNING || !s || container_usage(rt, c->id, &s->usage) < 0 ||
            container_detail(rt, c->id, &s->detail) < 0)
                return;
        s->container = string_map_get(c->labels, LABEL_CONTAINER_NAME);
        s->image = c->image_name;
        s->name = c->id;
        s->namespace = string_map_get(pod, LABEL_POD_NAMESPACE);
        s->pod = string_map_get(pod, LABEL_POD_NAME);
        s->started_at = c->started_at;
        if (s->container && s->image && s->namespace && s->pod)
                keep_subject(look, s);
}

static void read_pod(const struct sandbox_status *sandbox, void *userdata)
{
        struct look *look = userdata;
        const char *cgroup = string_map_get(sandbox->labels, LABEL_CGROUP);
        const char *name = string_map_get(sandbox->labels, LABEL_POD_NAME);
        const char *namespace = string_map_get(sandbox->labels, LABEL_POD_NAMESPACE);
        struct cadvisor_subject *s;

        if (sandbox->state != SANDBOX_READY || !cgroup || !name || !namespace)
                return;
        s = read_cgroup(look, cgroup);
        if (s) {
                _cleanup_free_ char *net_dev = NULL;

                s->pod = name;
                s->namespace = namespace;
                s->started_at = sandbox->created_at;
                net_dev = sandbox->shim_pid > 0 && !sandbox->host_network
                                  ? text_printf("/proc/%d/net/dev", sandbox->shim_pid)
                                  : NULL;
                if (net_dev)
                        read_network(look, net_dev, s);
        }
        look->sandbox = sandbox;
        container_foreach(look->cadvisor->ctx->rt, sandbox->id, read_container, look);
}

static void count_sandbox(_unused_ const struct sandbox_status *s, void *userdata)
{
        ++*(size_t *)userdata;
}

static void count_container(_unused_ const struct container_status *c, void *userdata)
{
        ++*(size_t *)userdata;
}

static void look_around(struct look *look)
{
        static const char *const above_pods[] = { "kubepods", "kubepods/burstable",
                                                  "kubepods/besteffort" };

        read_machine(look);
        for (size_t i = 0; i < ARRAY_SIZE(above_pods); i++)
                read_cgroup(look, above_pods[i]);
        sandbox_foreach(look->cadvisor->ctx->rt, read_pod, look);
}

char *cadvisor_metrics(const struct cadvisor *c)
{
        const struct cadvisor_machine machine = {
                .machine_id = c->facts.machine_id,
                .system_uuid = c->facts.system_uuid,
                .boot_id = c->facts.boot_id,
                .kernel_version = c->facts.kernel_version,
                .os_version = c->facts.os_image,
                .cpus = c->facts.cpus,
                .physical_cpus = c->cores,
                .sockets = c->sockets,
                .memory_bytes = c->facts.memory_bytes,
                .swap_bytes = c->facts.swap_bytes,
        };
        struct look look = { .cadvisor = c, .max = FIXED_SUBJECTS };
        char *text = NULL;

        sandbox_foreach(c->ctx->rt, count_sandbox, &look.max);
        container_foreach(c->ctx->rt, NULL, count_container, &look.max);
        look.subjects = calloc(look.max, sizeof *look.subjects);
        if (!look.subjects)
                return NULL;
        look_around(&look);
        if (!look.failed)
                text = cadvisor_format(&machine, look.subjects, look.n);
        for (size_t i = 0; i < look.n; i++)
                free(look.subjects[i].network.list);
        free(look.subjects);
        return text;
}
