#include "kubelet/cadvisor-metrics.h"

#include <string.h>

#include "base/prometheus.h"

enum unit {
        UNIT_PLAIN,
        UNIT_USEC,  /* told in seconds */
        UNIT_LIMIT, /* without a limit 0 is told */
        UNIT_SHARES,
};

/* One number of each cgroup; @label is one more label, of value @label_value. */
static const struct family {
        const char *name, *type, *help;
        enum unit unit;
        size_t offset; /* of a uint64_t in struct cadvisor_subject */
        const char *label, *label_value;
} families[] = {
#define USAGE(member)  offsetof(struct cadvisor_subject, usage.member)
#define DETAIL(member) offsetof(struct cadvisor_subject, detail.member)
        /* clang-format off */
        { "container_cpu_cfs_periods_total", "counter", "Number of elapsed enforcement period intervals.",
          UNIT_PLAIN, DETAIL(cpu_periods), NULL, NULL },
        { "container_cpu_cfs_throttled_periods_total", "counter", "Number of throttled period intervals.",
          UNIT_PLAIN, DETAIL(cpu_throttled_periods), NULL, NULL },
        { "container_cpu_cfs_throttled_seconds_total", "counter", "Total time duration the container has been throttled.",
          UNIT_USEC, DETAIL(cpu_throttled_usec), NULL, NULL },
        { "container_cpu_system_seconds_total", "counter", "Cumulative system cpu time consumed in seconds.",
          UNIT_USEC, DETAIL(cpu_system_usec), NULL, NULL },
        { "container_cpu_usage_seconds_total", "counter", "Cumulative cpu time consumed in seconds.",
          UNIT_USEC, USAGE(cpu_usec), "cpu", "total" },
        { "container_cpu_user_seconds_total", "counter", "Cumulative user cpu time consumed in seconds.",
          UNIT_USEC, DETAIL(cpu_user_usec), NULL, NULL },
        { "container_memory_cache", "gauge", "Number of bytes of page cache memory.",
          UNIT_PLAIN, DETAIL(memory_file), NULL, NULL },
        { "container_memory_mapped_file", "gauge", "Size of memory mapped files in bytes.",
          UNIT_PLAIN, DETAIL(memory_mapped_file), NULL, NULL },
        { "container_memory_max_usage_bytes", "gauge", "Maximum memory usage recorded in bytes",
          UNIT_PLAIN, DETAIL(memory_peak), NULL, NULL },
        { "container_memory_rss", "gauge", "Size of RSS in bytes.",
          UNIT_PLAIN, USAGE(memory_anon), NULL, NULL },
        { "container_memory_swap", "gauge", "Container swap usage in bytes.",
          UNIT_PLAIN, USAGE(swap_current), NULL, NULL },
        { "container_memory_total_active_file_bytes", "gauge", "Current total active file in bytes.",
          UNIT_PLAIN, DETAIL(memory_active_file), NULL, NULL },
        { "container_memory_total_inactive_file_bytes", "gauge", "Current total inactive file in bytes.",
          UNIT_PLAIN, DETAIL(memory_inactive_file), NULL, NULL },
        { "container_memory_usage_bytes", "gauge", "Current memory usage in bytes, including all memory regardless of when it was accessed",
          UNIT_PLAIN, USAGE(memory_current), NULL, NULL },
        { "container_memory_working_set_bytes", "gauge", "Current working set in bytes.",
          UNIT_PLAIN, USAGE(memory_working_set), NULL, NULL },
        { "container_oom_events_total", "counter", "Count of out of memory events observed for the container",
          UNIT_PLAIN, DETAIL(oom_kills), NULL, NULL },
        { "container_processes", "gauge", "Number of processes running inside the container.",
          UNIT_PLAIN, DETAIL(processes), NULL, NULL },
        { "container_spec_cpu_period", "gauge", "CPU period of the container.",
          UNIT_PLAIN, DETAIL(cpu_period_usec), NULL, NULL },
        { "container_spec_cpu_quota", "gauge", "CPU quota of the container.",
          UNIT_PLAIN, DETAIL(cpu_quota_usec), NULL, NULL },
        { "container_spec_cpu_shares", "gauge", "CPU share of the container.",
          UNIT_SHARES, DETAIL(cpu_weight), NULL, NULL },
        { "container_spec_memory_limit_bytes", "gauge", "Memory limit for the container.",
          UNIT_LIMIT, USAGE(memory_limit), NULL, NULL },
        { "container_spec_memory_reservation_limit_bytes", "gauge", "Memory reservation limit for the container.",
          UNIT_LIMIT, DETAIL(memory_low), NULL, NULL },
        { "container_spec_memory_swap_limit_bytes", "gauge", "Memory swap limit for the container.",
          UNIT_LIMIT, USAGE(swap_limit), NULL, NULL },
        { "container_threads", "gauge", "Number of threads running inside the container",
          UNIT_PLAIN, DETAIL(threads), NULL, NULL },
        { "container_threads_max", "gauge", "Maximum number of threads allowed inside the container, infinity if value is zero",
          UNIT_LIMIT, DETAIL(pids_max), NULL, NULL },
}; /* clang-format on */

enum { LABELS_MAX = 10 };

/* The text as it grows, one family after the other. */
struct page {
        struct strbuf *b;
        const char *name, *type, *help; /* the head is written with the first sample */
        bool has_head;
};

/* @more: pairs of label and value, NULL-terminated, in front of the cgroup's own. */
static void add(struct page *page, const struct cadvisor_subject *s, const char *const *more,
                double value)
{
        struct prometheus_label labels[LABELS_MAX] = {
                { "container", s->container }, { "id", s->id },
                { "image", s->image },         { "name", s->name },
                { "namespace", s->namespace }, { "pod", s->pod },
        };
        size_t n = 6;

        for (; more && more[0] && n < LABELS_MAX; more += 2)
                labels[n++] = (struct prometheus_label){ more[0], more[1] };
        if (!page->has_head)
                prometheus_add_head(page->b, page->name, page->type, page->help);
        page->has_head = true;
        prometheus_add_sample(page->b, page->name, labels, n, value, s->read_at);
}

static uint64_t number_at(const struct cadvisor_subject *s, size_t offset)
{
        return *(const uint64_t *)((const char *)s + offset);
}

/* cpu.weight [1, 10000] as cpu.shares [2, 262144], cadvisor's way. */
static double shares_of(uint64_t weight)
{
        uint64_t shares = weight == 0 ? 0 : 2 + (weight - 1) * 262142 / 9999;

        return (double)shares;
}

static void add_family(struct strbuf *b, const struct family *f, const struct cadvisor_subject *s,
                       size_t n)
{
        struct page page = { b, f->name, f->type, f->help, false };
        const char *const more[] = { f->label, f->label_value, NULL };

        for (size_t i = 0; i < n; i++) {
                uint64_t value = number_at(&s[i], f->offset);

                if (value == UINT64_MAX && f->unit != UNIT_LIMIT)
                        continue;
                if (f->unit == UNIT_USEC)
                        add(&page, &s[i], more, (double)value / USEC_PER_SEC);
                else if (f->unit == UNIT_SHARES)
                        add(&page, &s[i], more, shares_of(value));
                else
                        add(&page, &s[i], more, value == UINT64_MAX ? 0 : (double)value);
        }
}

/* What cgroup v2 does not have, and who looks for it finds 0. */
static void add_zeros(struct strbuf *b, const struct cadvisor_subject *s, size_t n)
{
        static const char *const names[][3] = {
                { "container_memory_failcnt", "counter", "Number of memory usage hits limits" },
                { "container_memory_kernel_usage", "gauge",
                  "Size of kernel memory allocated in "
                  "bytes." },
        };

        for (size_t f = 0; f < ARRAY_SIZE(names); f++) {
                struct page page = { b, names[f][0], names[f][1], names[f][2], false };

                for (size_t i = 0; i < n; i++)
                        add(&page, &s[i], NULL, 0);
        }
}

static void add_failures(struct strbuf *b, const struct cadvisor_subject *s, size_t n)
{
        struct page page = { b, "container_memory_failures_total", "counter",
                             "Cumulative count of memory allocation failures.", false };
        static const struct {
                const char *type;
                size_t offset;
        } kinds[] = { { "pgfault", USAGE(page_faults) },
                      { "pgmajfault", USAGE(major_page_faults) } };
        static const char *const scopes[] = { "container", "hierarchy" };

        for (size_t i = 0; i < n; i++)
                for (size_t k = 0; k < ARRAY_SIZE(kinds) * ARRAY_SIZE(scopes); k++) {
                        uint64_t value = number_at(&s[i], kinds[k / 2].offset);
                        const char *const more[] = { "failure_type", kinds[k / 2].type, "scope",
                                                     scopes[k % 2], NULL };

                        if (value != UINT64_MAX)
                                add(&page, &s[i], more, (double)value);
                }
}

/* ---- block devices ---- */

static void add_device_family(struct strbuf *b, const char *name, const char *help, size_t offset,
                              const struct cadvisor_subject *s, size_t n)
{
        struct page page = { b, name, "counter", help, false };

        for (size_t i = 0; i < n; i++)
                for (size_t d = 0; d < s[i].detail.n_devices; d++) {
                        const struct runtime_device_io *io = &s[i].detail.devices[d];
                        char device[32];
                        const char *const more[] = { "device", device, NULL };

                        snprintf(device, sizeof device, "%u:%u", io->major, io->minor);
                        add(&page, &s[i], more,
                            (double)*(const uint64_t *)((const char *)io + offset));
                }
}

static void add_device_usage(struct strbuf *b, const struct cadvisor_subject *s, size_t n)
{
        struct page page = { b, "container_blkio_device_usage_total", "counter",
                             "Blkio device bytes usage", false };

        for (size_t i = 0; i < n; i++)
                for (size_t d = 0; d < s[i].detail.n_devices; d++) {
                        const struct runtime_device_io *io = &s[i].detail.devices[d];
                        char major[16], minor[16];
                        const char *more[] = { "device", "",          "major", major, "minor",
                                               minor,    "operation", "Read",  NULL };

                        snprintf(major, sizeof major, "%u", io->major);
                        snprintf(minor, sizeof minor, "%u", io->minor);
                        add(&page, &s[i], more, (double)io->read_bytes);
                        more[7] = "Write";
                        add(&page, &s[i], more, (double)io->written_bytes);
                }
}

static void add_devices(struct strbuf *b, const struct cadvisor_subject *s, size_t n)
{
#define IO(member) offsetof(struct runtime_device_io, member)
        add_device_usage(b, s, n);
        add_device_family(b, "container_fs_reads_bytes_total", "Cumulative count of bytes read",
                          IO(read_bytes), s, n);
        add_device_family(b, "container_fs_reads_total", "Cumulative count of reads completed",
                          IO(reads), s, n);
        add_device_family(b, "container_fs_writes_bytes_total", "Cumulative count of bytes written",
                          IO(written_bytes), s, n);
        add_device_family(b, "container_fs_writes_total", "Cumulative count of writes completed",
                          IO(writes), s, n);
}

/* Of the machine's own file system; what a container holds of it stands in /stats/summary. */
static void add_file_systems(struct strbuf *b, const struct cadvisor_subject *s, size_t n)
{
        static const struct {
                const char *name, *help;
                size_t offset;
        } sizes[] = {
                { "container_fs_inodes_free", "Number of available Inodes",
                  offsetof(struct stats_fs, inodes_free) },
                { "container_fs_inodes_total", "Number of Inodes",
                  offsetof(struct stats_fs, inodes) },
                { "container_fs_limit_bytes",
                  "Number of bytes that can be consumed by the container on this filesystem.",
                  offsetof(struct stats_fs, capacity) },
                { "container_fs_usage_bytes",
                  "Number of bytes that are consumed by the container on this filesystem.",
                  offsetof(struct stats_fs, used) },
        };
        static const char *const more[] = { "device", "", NULL };

        for (size_t f = 0; f < ARRAY_SIZE(sizes); f++) {
                struct page page = { b, sizes[f].name, "gauge", sizes[f].help, false };

                for (size_t i = 0; i < n; i++) {
                        uint64_t value = *(const uint64_t *)((const char *)&s[i].fs +
                                                             sizes[f].offset);

                        if (s[i].fs.read_at > 0 && value != STATS_UNKNOWN)
                                add(&page, &s[i], more, (double)value);
                }
        }
}

/* ---- networks ---- */

static void add_networks(struct strbuf *b, const struct cadvisor_subject *s, size_t n)
{
#define NET(member) offsetof(struct stats_interface, member)
        static const struct {
                const char *name, *help;
                size_t offset;
        } counts[] = {
                { "container_network_receive_bytes_total", "Cumulative count of bytes received",
                  NET(rx_bytes) },
                { "container_network_receive_errors_total",
                  "Cumulative count of errors encountered while receiving", NET(rx_errors) },
                { "container_network_receive_packets_dropped_total",
                  "Cumulative count of packets dropped while receiving", NET(rx_dropped) },
                { "container_network_receive_packets_total", "Cumulative count of packets received",
                  NET(rx_packets) },
                { "container_network_transmit_bytes_total", "Cumulative count of bytes transmitted",
                  NET(tx_bytes) },
                { "container_network_transmit_errors_total",
                  "Cumulative count of errors encountered while transmitting", NET(tx_errors) },
                { "container_network_transmit_packets_dropped_total",
                  "Cumulative count of packets dropped while transmitting", NET(tx_dropped) },
                { "container_network_transmit_packets_total",
                  "Cumulative count of packets transmitted", NET(tx_packets) },
        };

        for (size_t f = 0; f < ARRAY_SIZE(counts); f++) {
                struct page page = { b, counts[f].name, "counter", counts[f].help, false };

                for (size_t i = 0; i < n; i++)
                        for (size_t k = 0; k < s[i].network.n; k++) {
                                const struct stats_interface *net = &s[i].network.list[k];
                                const char *const more[] = { "interface", net->name, NULL };

                                add(&page, &s[i], more,
                                    (double)*(const uint64_t *)((const char *)net +
                                                                counts[f].offset));
                        }
        }
}

/* ---- pressure, times ---- */

static void add_pressure(struct strbuf *b, const char *name, const char *help, size_t offset,
                         bool full, const struct cadvisor_subject *s, size_t n)
{
        struct page page = { b, name, "counter", help, false };

        for (size_t i = 0; i < n; i++) {
                const struct runtime_pressure *p = (const void *)((const char *)&s[i] + offset);

                if (p->is_known)
                        add(&page, &s[i], NULL,
                            (double)(full ? p->full : p->some).total_usec / USEC_PER_SEC);
        }
}

static void add_pressures(struct strbuf *b, const struct cadvisor_subject *s, size_t n)
{
        static const struct {
                const char *waiting, *stalled;
                size_t offset;
        } resources[] = {
                { "container_pressure_cpu_waiting_seconds_total",
                  "container_pressure_cpu_stalled_seconds_total", USAGE(cpu_pressure) },
                { "container_pressure_io_waiting_seconds_total",
                  "container_pressure_io_stalled_seconds_total", USAGE(io_pressure) },
                { "container_pressure_memory_waiting_seconds_total",
                  "container_pressure_memory_stalled_seconds_total", USAGE(memory_pressure) },
        };

        for (size_t i = 0; i < ARRAY_SIZE(resources); i++) {
                add_pressure(b, resources[i].stalled,
                             "Total time duration no tasks in the container could make progress.",
                             resources[i].offset, true, s, n);
                add_pressure(b, resources[i].waiting,
                             "Total time duration tasks in the container have waited.",
                             resources[i].offset, false, s, n);
        }
}

static double whole_seconds(usec_t t)
{
        uint64_t seconds = t / USEC_PER_SEC;

        return (double)seconds;
}

static void add_times(struct strbuf *b, const struct cadvisor_subject *s, size_t n)
{
        struct page seen = { b, "container_last_seen", "gauge",
                             "Last time a container was seen by the exporter", false };
        struct page start = { b, "container_start_time_seconds", "gauge",
                              "Start time of the container since unix epoch in seconds.", false };

        for (size_t i = 0; i < n; i++)
                add(&seen, &s[i], NULL, whole_seconds(s[i].read_at));
        for (size_t i = 0; i < n; i++)
                if (s[i].started_at > 0)
                        add(&start, &s[i], NULL, whole_seconds(s[i].started_at));
}

/* ---- the machine ---- */

static void add_machine(struct strbuf *b, const struct cadvisor_machine *m)
{
        const struct prometheus_label labels[] = {
                { "boot_id", m->boot_id },
                { "machine_id", m->machine_id },
                { "system_uuid", m->system_uuid },
        };
        const struct {
                const char *name, *help;
                uint64_t value;
        } numbers[] = {
                { "machine_cpu_cores", "Number of logical CPU cores.", m->cpus },
                { "machine_cpu_physical_cores", "Number of physical CPU cores.", m->physical_cpus },
                { "machine_cpu_sockets", "Number of CPU sockets.", m->sockets },
                { "machine_memory_bytes", "Amount of memory installed on the machine.",
                  m->memory_bytes },
                { "machine_swap_bytes", "Amount of swap memory available on the machine.",
                  m->swap_bytes },
        };
        const bool is_known[] = { true, m->physical_cpus > 0, m->sockets > 0, true, true };

        for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
                if (!is_known[i])
                        continue;
                prometheus_add_head(b, numbers[i].name, "gauge", numbers[i].help);
                prometheus_add_sample(b, numbers[i].name, labels, ARRAY_SIZE(labels),
                                      (double)numbers[i].value, 0);
        }
}

static void add_version(struct strbuf *b, const struct cadvisor_machine *m)
{
        const struct prometheus_label labels[] = {
                { "cadvisorRevision", "" },     { "cadvisorVersion", "" },
                { "dockerVersion", "" },        { "kernelVersion", m->kernel_version },
                { "osVersion", m->os_version },
        };

        prometheus_add_head(b, "cadvisor_version_info", "gauge",
                            "A metric with a constant '1' value labeled by kernel version, OS "
                            "version, docker version, cadvisor version & cadvisor revision.");
        prometheus_add_sample(b, "cadvisor_version_info", labels, ARRAY_SIZE(labels), 1, 0);
}

char *cadvisor_format(const struct cadvisor_machine *machine,
                      const struct cadvisor_subject *subjects, size_t n)
{
        _cleanup_strbuf_ struct strbuf b = { 0 };

        add_version(&b, machine);
        for (size_t i = 0; i < ARRAY_SIZE(families); i++)
                add_family(&b, &families[i], subjects, n);
        add_zeros(&b, subjects, n);
        add_failures(&b, subjects, n);
        add_devices(&b, subjects, n);
        add_file_systems(&b, subjects, n);
        add_networks(&b, subjects, n);
        add_pressures(&b, subjects, n);
        add_times(&b, subjects, n);
        prometheus_add_head(&b, "container_scrape_error", "gauge",
                            "1 if there was an error while getting container metrics, 0 otherwise");
        prometheus_add_sample(&b, "container_scrape_error", NULL, 0, 0, 0);
        add_machine(&b, machine);
        return strbuf_take(&b);
}
