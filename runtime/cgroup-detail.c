#include "runtime/cgroup-detail.h"

#include <string.h>

#include "base/fs.h"
#include "base/text.h"
#include "runtime/cgroup-usage.h"

#define TEXT_MAX (1 << 20)

#define FIELD(member) offsetof(struct runtime_detail, member)

static void read_keys(int dir_fd, const char *file, const struct usage_key *keys, size_t n,
                      struct runtime_detail *ret)
{
        _cleanup_free_ char *text = NULL;

        if (fs_read_at(dir_fd, file, TEXT_MAX, &text, NULL) == 0)
                usage_parse(text, keys, n, 1, ret);
}

static uint64_t read_number(int dir_fd, const char *file)
{
        _cleanup_free_ char *text = NULL;
        uint64_t value;

        if (fs_read_line_at(dir_fd, file, &text) < 0 || text_to_u64(text, &value) < 0)
                return UINT64_MAX;
        return value;
}

/* "max 100000" or "50000 100000" */
static void read_quota(int dir_fd, struct runtime_detail *ret)
{
        _cleanup_free_ char *text = NULL;
        _cleanup_strv_ char **words = NULL;

        if (fs_read_line_at(dir_fd, "cpu.max", &text) < 0 || strv_split(text, " ", &words) < 0 ||
            strv_len(words) != 2)
                return;
        (void)text_to_u64(words[0], &ret->cpu_quota_usec);
        (void)text_to_u64(words[1], &ret->cpu_period_usec);
}

static uint64_t count_lines(int dir_fd, const char *file)
{
        _cleanup_free_ char *text = NULL;
        uint64_t n = 0;

        if (fs_read_at(dir_fd, file, TEXT_MAX, &text, NULL) < 0)
                return UINT64_MAX;
        for (const char *p = text; (p = strchr(p, '\n')); p++)
                n++;
        return n;
}

static void take_count(const char *word, struct runtime_device_io *io)
{
        const struct {
                const char *name;
                uint64_t *to;
        } counts[] = { { "rbytes=", &io->read_bytes },
                       { "wbytes=", &io->written_bytes },
                       { "rios=", &io->reads },
                       { "wios=", &io->writes } };

        for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
                const char *digits = startswith(word, counts[i].name);

                if (digits)
                        (void)text_to_u64(digits, counts[i].to);
        }
}

/* False for what is no line of a device. */
static bool parse_device(const char *line, struct runtime_device_io *ret)
{
        _cleanup_strv_ char **words = NULL;
        const char *colon;
        _cleanup_free_ char *major = NULL;

        *ret = (struct runtime_device_io){ 0 };
        if (strv_split(line, " ", &words) < 0 || strv_len(words) < 2)
                return false;
        colon = strchr(words[0], ':');
        major = colon ? strndup(words[0], (size_t)(colon - words[0])) : NULL;
        if (!major || text_to_u32(major, &ret->major) < 0 ||
            text_to_u32(colon + 1, &ret->minor) < 0)
                return false;
        for (char **w = words + 1; *w; w++)
                take_count(*w, ret);
        return true;
}

void io_stat_parse(const char *text, struct runtime_detail *ret)
{
        _cleanup_strv_ char **lines = NULL;

        ret->n_devices = 0;
        if (strv_split(text, "\n", &lines) < 0)
                return;
        STRV_FOREACH (line, lines)
                if (ret->n_devices < ARRAY_SIZE(ret->devices) &&
                    parse_device(*line, &ret->devices[ret->n_devices]))
                        ret->n_devices++;
}

void cgroup_detail_read(int dir_fd, struct runtime_detail *ret)
{
        static const struct usage_key cpu[] = {
                { "user_usec", FIELD(cpu_user_usec) },
                { "system_usec", FIELD(cpu_system_usec) },
                { "nr_periods", FIELD(cpu_periods) },
                { "nr_throttled", FIELD(cpu_throttled_periods) },
                { "throttled_usec", FIELD(cpu_throttled_usec) },
        };
        static const struct usage_key memory[] = {
                { "file", FIELD(memory_file) },
                { "file_mapped", FIELD(memory_mapped_file) },
                { "active_file", FIELD(memory_active_file) },
                { "inactive_file", FIELD(memory_inactive_file) },
        };
        static const struct usage_key events[] = { { "oom_kill", FIELD(oom_kills) } };
        _cleanup_free_ char *io = NULL;

        memset(ret, 0xff, offsetof(struct runtime_detail, devices)); /* all of it UINT64_MAX */
        ret->n_devices = 0;
        read_keys(dir_fd, "cpu.stat", cpu, ARRAY_SIZE(cpu), ret);
        read_keys(dir_fd, "memory.stat", memory, ARRAY_SIZE(memory), ret);
        read_keys(dir_fd, "memory.events", events, ARRAY_SIZE(events), ret);
        read_quota(dir_fd, ret);
        ret->cpu_weight = read_number(dir_fd, "cpu.weight");
        ret->memory_peak = read_number(dir_fd, "memory.peak");
        ret->memory_low = read_number(dir_fd, "memory.low");
        ret->pids_max = read_number(dir_fd, "pids.max");
        ret->processes = count_lines(dir_fd, "cgroup.procs");
        ret->threads = count_lines(dir_fd, "cgroup.threads");
        if (fs_read_at(dir_fd, "io.stat", TEXT_MAX, &io, NULL) == 0)
                io_stat_parse(io, ret);
}
