#include "kubelet/node-pressure.h"

#include <errno.h>
#include <string.h>

#include "base/fs.h"
#include "base/quantity.h"
#include "base/text.h"
#include "kubelet/node-facts.h"

enum { MEMORY, DISK, PIDS, _PRESSURE_MAX };

struct node_pressure {
        struct node_pressure_options options;
        usec_t seen_at[_PRESSURE_MAX]; /* CLOCK_MONOTONIC; 0: never */
};

int threshold_parse(const char *text, uint64_t capacity, uint64_t *ret)
{
        size_t n = strlen(text);
        int64_t v;

        if (n > 1 && text[n - 1] == '%') {
                _cleanup_free_ char *number = strndup(text, n - 1);

                if (!number)
                        return -ENOMEM;
                if (quantity_parse_milli(number, &v) < 0 || v < 0 || v > 100000)
                        return -EINVAL;
                *ret = (uint64_t)((double)capacity * (double)v / 100000);
                return 0;
        }
        if (quantity_parse(text, &v) < 0 || v < 0)
                return -EINVAL;
        *ret = (uint64_t)v;
        return 0;
}

static uint64_t threshold(const struct node_pressure *p, const char *signal, uint64_t capacity)
{
        const char *text = string_map_get(&p->options.config->eviction_hard, signal);
        uint64_t v;

        return text && threshold_parse(text, capacity, &v) == 0 ? v : 0;
}

int64_t node_pressure_memory_threshold(const struct node_pressure *p)
{
        return (int64_t)threshold(p, "memory.available", p->options.memory_capacity);
}

int64_t node_pressure_disk_threshold(const struct node_pressure *p, uint64_t capacity)
{
        return (int64_t)threshold(p, "nodefs.available", capacity);
}

static bool is_full(const struct node_pressure *p, const char *path, const char *bytes_signal,
                    const char *inodes_signal)
{
        struct fs_capacity c;

        if (fs_capacity_read(path, &c) < 0)
                return false;
        return c.available_bytes < threshold(p, bytes_signal, c.bytes) ||
               (c.inodes && c.inodes_free < threshold(p, inodes_signal, c.inodes));
}

static bool pids_are_short(const struct node_pressure *p)
{
        _cleanup_free_ char *max_text = NULL, *load = NULL;
        uint64_t max, running;
        char *slash, *end;

        if (!string_map_get(&p->options.config->eviction_hard, "pid.available") ||
            fs_read_line_at(AT_FDCWD, "/proc/sys/kernel/pid_max", &max_text) < 0 ||
            text_to_u64(max_text, &max) < 0 ||
            fs_read_line_at(AT_FDCWD, "/proc/loadavg", &load) < 0 || !(slash = strchr(load, '/')))
                return false;
        end = slash + 1 + strcspn(slash + 1, " ");
        *end = '\0';
        if (text_to_u64(slash + 1, &running) < 0)
                return false;
        return max - MIN(running, max) < threshold(p, "pid.available", max);
}

static bool hold(struct node_pressure *p, int which, bool is_now, usec_t now)
{
        if (is_now)
                p->seen_at[which] = now;
        return p->seen_at[which] &&
               now < p->seen_at[which] + p->options.config->eviction_transition_usec + 1;
}

void node_pressure_read(struct node_pressure *p, usec_t now, bool *ret_memory, bool *ret_disk,
                        bool *ret_pids)
{
        uint64_t available;
        bool memory = memory_available_read(&available) == 0 &&
                      available < (uint64_t)node_pressure_memory_threshold(p);
        bool disk = is_full(p, p->options.root_dir, "nodefs.available", "nodefs.inodesFree") ||
                    is_full(p, p->options.state_dir, "imagefs.available", "imagefs.inodesFree");

        *ret_memory = hold(p, MEMORY, memory, now);
        *ret_disk = hold(p, DISK, disk, now);
        *ret_pids = hold(p, PIDS, pids_are_short(p), now);
}

int node_pressure_new(const struct node_pressure_options *options, struct node_pressure **ret,
                      struct err *err)
{
        struct node_pressure *p = calloc(1, sizeof *p);

        if (!p)
                return err_sys(err, -ENOMEM, "watch the node's resources");
        p->options = *options;
        *ret = p;
        return 0;
}

struct node_pressure *node_pressure_free(struct node_pressure *p)
{
        free(p);
        return NULL;
}
