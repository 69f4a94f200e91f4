#include "runtime/cgroup-usage.h"

#include <string.h>

#include "base/fs.h"
#include "base/text.h"

#define KIB      UINT64_C(1024)
#define TEXT_MAX (1 << 20) /* /proc/vmstat has some 5 KB */

static void parse_line(const char *line, const struct usage_key *key, uint64_t unit, void *target)
{
        const char *p = startswith(line, key->name);
        char digits[24];
        uint64_t value;
        size_t n;

        if (!p || (*p != ' ' && *p != ':'))
                return;
        p += strspn(p, ": ");
        n = strspn(p, "0123456789");
        if (n == 0 || n >= sizeof digits)
                return;
        memcpy(digits, p, n);
        digits[n] = '\0';
        if (text_to_u64(digits, &value) == 0 && !__builtin_mul_overflow(value, unit, &value))
                *(uint64_t *)((char *)target + key->offset) = value;
}

void usage_parse(const char *text, const struct usage_key *keys, size_t n, uint64_t unit,
                 void *target)
{
        for (const char *line = text; line; line = strchr(line, '\n')) {
                line += *line == '\n';
                for (size_t i = 0; i < n; i++)
                        parse_line(line, &keys[i], unit, target);
        }
}

static void read_keys(int dir_fd, const char *path, const struct usage_key *keys, size_t n,
                      uint64_t unit, void *target)
{
        _cleanup_free_ char *text = NULL;

        if (fs_read_at(dir_fd, path, TEXT_MAX, &text, NULL) == 0)
                usage_parse(text, keys, n, unit, target);
}

/* A file that is one number; "max" is none. */
static uint64_t read_number(int dir_fd, const char *file)
{
        _cleanup_free_ char *text = NULL;
        uint64_t value;

        if (fs_read_line_at(dir_fd, file, &text) < 0 || text_to_u64(text, &value) < 0)
                return UINT64_MAX;
        return value;
}

/* What could be dropped at once does not count as working set. */
static void set_working_set(struct runtime_usage *u, uint64_t inactive_file)
{
        u->memory_working_set = u->memory_current;
        if (u->memory_current != UINT64_MAX && inactive_file != UINT64_MAX)
                u->memory_working_set -= MIN(inactive_file, u->memory_current);
}

static const struct runtime_usage unknown = {
        .cpu_usec = UINT64_MAX,
        .memory_current = UINT64_MAX,
        .memory_working_set = UINT64_MAX,
        .memory_anon = UINT64_MAX,
        .memory_limit = UINT64_MAX,
        .page_faults = UINT64_MAX,
        .major_page_faults = UINT64_MAX,
        .swap_current = UINT64_MAX,
        .swap_limit = UINT64_MAX,
        .pids = UINT64_MAX,
};

/* "12.34", as the kernel prints percentages: always two decimals. */
static bool parse_percent(const char *text, double *ret)
{
        size_t whole = strspn(text, "0123456789");
        char digits[8];
        uint64_t hundredths;

        if (whole == 0 || whole > 3 || text[whole] != '.' ||
            strspn(text + whole + 1, "0123456789") != 2 || text[whole + 3])
                return false;
        memcpy(digits, text, whole);
        memcpy(digits + whole, text + whole + 1, 3);
        if (text_to_u64(digits, &hundredths) < 0)
                return false;
        *ret = (double)hundredths / 100;
        return true;
}

/* "some avg10=0.00 avg60=0.00 avg300=0.00 total=0" */
static bool parse_stall(const char *line, const char *name, struct runtime_stall *ret)
{
        _cleanup_strv_ char **words = NULL;
        const char *avg10, *avg60, *avg300, *total;

        if (strv_split(line, " ", &words) < 0 || strv_len(words) != 5 || !streq(words[0], name))
                return false;
        avg10 = startswith(words[1], "avg10=");
        avg60 = startswith(words[2], "avg60=");
        avg300 = startswith(words[3], "avg300=");
        total = startswith(words[4], "total=");
        return avg10 && avg60 && avg300 && total && parse_percent(avg10, &ret->avg10) &&
               parse_percent(avg60, &ret->avg60) && parse_percent(avg300, &ret->avg300) &&
               text_to_u64(total, &ret->total_usec) == 0;
}

struct runtime_pressure pressure_parse(const char *text)
{
        _cleanup_strv_ char **lines = NULL;
        struct runtime_pressure p = { 0 };

        if (strv_split(text, "\n", &lines) < 0 || strv_len(lines) == 0 ||
            !parse_stall(lines[0], "some", &p.some))
                return (struct runtime_pressure){ 0 };
        /* for CPU, "full" came later (Linux 5.13), and is 0 for the machine */
        if (lines[1] && !parse_stall(lines[1], "full", &p.full))
                return (struct runtime_pressure){ 0 };
        p.is_known = true;
        return p;
}

static struct runtime_pressure read_pressure(int dir_fd, const char *file)
{
        _cleanup_free_ char *text = NULL;

        return fs_read_at(dir_fd, file, TEXT_MAX, &text, NULL) < 0 ? (struct runtime_pressure){ 0 }
                                                                   : pressure_parse(text);
}

static void read_cpu_and_pressures(int dir_fd, struct runtime_usage *ret)
{
        static const struct usage_key key = { "usage_usec",
                                              offsetof(struct runtime_usage, cpu_usec) };

        read_keys(dir_fd, "cpu.stat", &key, 1, 1, ret);
        ret->cpu_pressure = read_pressure(dir_fd, "cpu.pressure");
        ret->memory_pressure = read_pressure(dir_fd, "memory.pressure");
        ret->io_pressure = read_pressure(dir_fd, "io.pressure");
}

void cgroup_usage_read(int dir_fd, struct runtime_usage *ret)
{
        struct memory_stat {
                uint64_t inactive_file;
                struct runtime_usage usage;
        } m = { UINT64_MAX, unknown };
        static const struct usage_key keys[] = {
                { "anon", offsetof(struct memory_stat, usage.memory_anon) },
                { "inactive_file", offsetof(struct memory_stat, inactive_file) },
                { "pgfault", offsetof(struct memory_stat, usage.page_faults) },
                { "pgmajfault", offsetof(struct memory_stat, usage.major_page_faults) },
        };

        read_cpu_and_pressures(dir_fd, &m.usage);
        m.usage.pids = read_number(dir_fd, "pids.current");
        m.usage.memory_current = read_number(dir_fd, "memory.current");
        m.usage.memory_limit = read_number(dir_fd, "memory.max");
        m.usage.swap_current = read_number(dir_fd, "memory.swap.current");
        m.usage.swap_limit = read_number(dir_fd, "memory.swap.max");
        read_keys(dir_fd, "memory.stat", keys, ARRAY_SIZE(keys), 1, &m);
        set_working_set(&m.usage, m.inactive_file);
        *ret = m.usage;
}

/*
 * The machine's memory is anonymous pages and the page cache, as the top cgroup's memory.stat
 * counts them; /proc/meminfo has the same numbers whether or not the memory controller is on v2.
 */
void cgroup_usage_read_machine(int mount_fd, struct runtime_usage *ret)
{
        struct meminfo {
                uint64_t total, anon, cached, buffers, swap_cached, inactive_file, swap_total,
                        swap_free;
        } m = { UINT64_MAX, UINT64_MAX, UINT64_MAX, 0, 0, UINT64_MAX, UINT64_MAX, UINT64_MAX };
        static const struct usage_key memory[] = {
                { "MemTotal", offsetof(struct meminfo, total) },
                { "AnonPages", offsetof(struct meminfo, anon) },
                { "Cached", offsetof(struct meminfo, cached) },
                { "Buffers", offsetof(struct meminfo, buffers) },
                { "SwapCached", offsetof(struct meminfo, swap_cached) },
                { "Inactive(file)", offsetof(struct meminfo, inactive_file) },
                { "SwapTotal", offsetof(struct meminfo, swap_total) },
                { "SwapFree", offsetof(struct meminfo, swap_free) },
        };
        static const struct usage_key faults[] = {
                { "pgfault", offsetof(struct runtime_usage, page_faults) },
                { "pgmajfault", offsetof(struct runtime_usage, major_page_faults) },
        };

        *ret = unknown;
        read_cpu_and_pressures(mount_fd, ret);
        read_keys(AT_FDCWD, "/proc/vmstat", faults, ARRAY_SIZE(faults), 1, ret);
        read_keys(AT_FDCWD, "/proc/meminfo", memory, ARRAY_SIZE(memory), KIB, &m);
        ret->memory_limit = m.total;
        ret->memory_anon = m.anon;
        if (m.anon != UINT64_MAX && m.cached != UINT64_MAX)
                ret->memory_current = m.anon + m.cached + m.buffers + m.swap_cached;
        set_working_set(ret, m.inactive_file);
        ret->swap_limit = m.swap_total;
        if (m.swap_total != UINT64_MAX && m.swap_free <= m.swap_total)
                ret->swap_current = m.swap_total - m.swap_free;
}
