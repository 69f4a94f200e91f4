#include "kubelet/node-pressure.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/text.h"
#include "kubelet/node-facts.h"
#include "runtime/runtime.h"

#define PODS_CGROUP "kubepods"

struct node_pressure {
        struct node_pressure_options options;
        const struct runtime *rt; /* borrowed; NULL: not yet */
        struct eviction_thresholds thresholds;
        struct eviction_observation seen[_EVICTION_SIGNAL_MAX];
        struct eviction_state state;
        bool holds[_EVICTION_CONDITION_MAX];
};

int64_t node_pressure_memory_threshold(const struct node_pressure *p)
{
        return (int64_t)eviction_hard_amount(&p->thresholds, EVICTION_MEMORY,
                                             p->options.memory_capacity);
}

int64_t node_pressure_disk_threshold(const struct node_pressure *p, uint64_t capacity)
{
        return (int64_t)eviction_hard_amount(&p->thresholds, EVICTION_NODEFS, capacity);
}

/* ---- looking ---- */

static struct eviction_observation observed(uint64_t available, uint64_t capacity)
{
        return (struct eviction_observation){ true, MIN(available, capacity), capacity };
}

/* As the kubelet has it, whatever is not in the working set; but no more than the kernel finds
 * available, whose own memory is in no working set. */
static void look_at_memory(struct node_pressure *p)
{
        struct runtime_usage usage;
        uint64_t available;

        if (memory_available_read(&available) < 0)
                return;
        if (runtime_machine_usage(&usage) == 0 && usage.memory_limit != UINT64_MAX &&
            usage.memory_working_set <= usage.memory_limit)
                available = MIN(available, usage.memory_limit - usage.memory_working_set);
        p->seen[EVICTION_MEMORY] = observed(available, p->options.memory_capacity);
}

static void look_at_pods_memory(struct node_pressure *p)
{
        struct runtime_usage usage;

        if (!p->rt || runtime_cgroup_usage(p->rt, PODS_CGROUP, &usage) < 0 ||
            usage.memory_limit == UINT64_MAX || usage.memory_working_set == UINT64_MAX)
                return;
        p->seen[EVICTION_ALLOCATABLE_MEMORY] =
                observed(usage.memory_limit - MIN(usage.memory_working_set, usage.memory_limit),
                         usage.memory_limit);
}

static void look_at_disk(struct node_pressure *p, const char *path, enum eviction_signal bytes,
                         enum eviction_signal inodes)
{
        struct fs_capacity c;

        if (fs_capacity_read(path, &c) < 0)
                return;
        p->seen[bytes] = observed(c.available_bytes, c.bytes);
        if (c.inodes > 0) /* btrfs has none to run out of */
                p->seen[inodes] = observed(c.inodes_free, c.inodes);
}

static int read_number(const char *path, uint64_t *ret)
{
        _cleanup_free_ char *text = NULL;
        int r = fs_read_line_at(AT_FDCWD, path, &text);

        return r < 0 ? r : text_to_u64(text, ret);
}

/* "0.20 0.18 0.12 1/80 11206": all tasks are 80. */
static int count_tasks(uint64_t *ret)
{
        _cleanup_free_ char *text = NULL;
        char *number;
        int r = fs_read_line_at(AT_FDCWD, "/proc/loadavg", &text);

        if (r < 0)
                return r;
        number = strchr(text, '/');
        if (!number++)
                return -EBADMSG;
        number[strspn(number, "0123456789")] = '\0';
        return text_to_u64(number, ret);
}

static void look_at_pids(struct node_pressure *p)
{
        uint64_t max, threads, tasks;

        if (read_number("/proc/sys/kernel/pid_max", &max) < 0 ||
            read_number("/proc/sys/kernel/threads-max", &threads) < 0 || count_tasks(&tasks) < 0)
                return;
        max = MIN(max, threads);
        p->seen[EVICTION_PIDS] = observed(max - MIN(tasks, max), max);
}

static void look(struct node_pressure *p)
{
        memset(p->seen, 0, sizeof p->seen);
        look_at_memory(p);
        look_at_pods_memory(p);
        look_at_disk(p, p->options.root_dir, EVICTION_NODEFS, EVICTION_NODEFS_INODES);
        look_at_disk(p, p->options.state_dir, EVICTION_IMAGEFS, EVICTION_IMAGEFS_INODES);
        look_at_pids(p);
}

bool node_pressure_look(struct node_pressure *p, usec_t now)
{
        bool changed = false;

        look(p);
        eviction_fold(&p->thresholds, p->seen, now, &p->state);
        for (size_t i = 0; i < _EVICTION_CONDITION_MAX; i++) {
                bool holds = eviction_condition_holds(&p->state, (enum eviction_condition)i,
                                                      p->options.config->eviction_transition_usec,
                                                      now);

                changed |= holds != p->holds[i];
                p->holds[i] = holds;
        }
        return changed;
}

/* ---- what was seen ---- */

bool node_pressure_has(const struct node_pressure *p, enum eviction_condition c)
{
        return p->holds[c];
}

const struct eviction_threshold *node_pressure_chosen(const struct node_pressure *p)
{
        return eviction_choose(&p->thresholds, &p->state);
}

const struct eviction_observation *node_pressure_seen(const struct node_pressure *p,
                                                      enum eviction_signal signal)
{
        return &p->seen[signal];
}

bool node_pressure_is_relieved(struct node_pressure *p)
{
        look(p);
        return eviction_is_relieved(&p->thresholds, p->seen);
}

bool node_pressure_has_image_fs(const struct node_pressure *p)
{
        struct stat a, b;

        return stat(p->options.root_dir, &a) == 0 && stat(p->options.state_dir, &b) == 0 &&
               a.st_dev != b.st_dev;
}

void node_pressure_set_runtime(struct node_pressure *p, const struct runtime *rt)
{
        p->rt = rt;
}

int node_pressure_new(const struct node_pressure_options *options, struct node_pressure **ret,
                      struct err *err)
{
        struct eviction_config config = kubelet_config_eviction(options->config);
        struct node_pressure *p = calloc(1, sizeof *p);
        int r;

        if (!p)
                return err_sys(err, -ENOMEM, "watch the node's resources");
        p->options = *options;
        r = eviction_thresholds_parse(&config, &p->thresholds, err);
        if (r < 0) {
                free(p);
                return r;
        }
        *ret = p;
        return 0;
}

struct node_pressure *node_pressure_free(struct node_pressure *p)
{
        free(p);
        return NULL;
}
