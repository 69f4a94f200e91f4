#include "base/prometheus.h"

#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/fs.h"

void prometheus_add_head(struct strbuf *b, const char *name, const char *type, const char *help)
{
        strbuf_addf(b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void add_escaped(struct strbuf *b, const char *value)
{
        for (const char *p = value; *p; p++) {
                if (*p == '\n')
                        strbuf_add(b, "\\n");
                else if (*p == '"' || *p == '\\')
                        strbuf_addf(b, "\\%c", *p);
                else
                        strbuf_add_n(b, p, 1);
        }
}

void prometheus_add_sample(struct strbuf *b, const char *name,
                           const struct prometheus_label *labels, size_t n, double value, usec_t at)
{
        strbuf_add(b, name);
        for (size_t i = 0; i < n; i++) {
                strbuf_addf(b, "%c%s=\"", i == 0 ? '{' : ',', labels[i].name);
                add_escaped(b, labels[i].value);
                strbuf_add(b, "\"");
        }
        /* µs since 1970 need 16 digits. No daemon has a locale, so that the point is a point. */
        if (isinf(value))
                strbuf_addf(b, "%s %cInf", n > 0 ? "}" : "", value > 0 ? '+' : '-');
        else
                strbuf_addf(b, "%s %.16g", n > 0 ? "}" : "", value);
        if (at > 0)
                strbuf_addf(b, " %" PRIu64, at / USEC_PER_MSEC);
        strbuf_add(b, "\n");
}

/* ---- histograms ---- */

const double prometheus_bounds[PROMETHEUS_BOUNDS] = { .005, .01, .025, .05, .1, .25,
                                                      .5,   1,   2.5,  5,   10 };

void prometheus_observe(struct prometheus_histogram *h, usec_t duration)
{
        double seconds = (double)duration / USEC_PER_SEC;
        int i = 0;

        while (i < PROMETHEUS_BOUNDS && seconds > prometheus_bounds[i])
                i++;
        h->counts[i]++;
        h->sum += seconds;
}

uint64_t prometheus_count(const struct prometheus_histogram *h)
{
        uint64_t total = 0;

        for (int i = 0; i <= PROMETHEUS_BOUNDS; i++)
                total += h->counts[i];
        return total;
}

void prometheus_add_buckets(struct strbuf *b, const char *name,
                            const struct prometheus_label *labels, size_t n, const double *bounds,
                            const uint64_t *counts, size_t n_bounds, double sum)
{
        struct prometheus_label with_bound[PROMETHEUS_LABELS_MAX + 1];
        char part[128], bound[32];
        uint64_t total = 0;

        n = MIN(n, (size_t)PROMETHEUS_LABELS_MAX);
        if (n > 0)
                memcpy(with_bound, labels, n * sizeof *labels);
        with_bound[n] = (struct prometheus_label){ "le", bound };
        snprintf(part, sizeof part, "%s_bucket", name);
        for (size_t i = 0; i <= n_bounds; i++) {
                total += counts[i];
                if (i < n_bounds)
                        snprintf(bound, sizeof bound, "%.16g", bounds[i]);
                else
                        snprintf(bound, sizeof bound, "+Inf");
                prometheus_add_sample(b, part, with_bound, n + 1, (double)total, 0);
        }
        snprintf(part, sizeof part, "%s_sum", name);
        prometheus_add_sample(b, part, labels, n, sum, 0);
        snprintf(part, sizeof part, "%s_count", name);
        prometheus_add_sample(b, part, labels, n, (double)total, 0);
}

void prometheus_add_histogram(struct strbuf *b, const char *name,
                              const struct prometheus_label *labels, size_t n,
                              const struct prometheus_histogram *h)
{
        prometheus_add_buckets(b, name, labels, n, prometheus_bounds, h->counts, PROMETHEUS_BOUNDS,
                               h->sum);
}

/* ---- this process ---- */
static void add_process(struct strbuf *b, const char *name, const char *type, const char *help,
                        double value)
{
        prometheus_add_head(b, name, type, help);
        prometheus_add_sample(b, name, NULL, 0, value, 0);
}

void prometheus_add_start_time(struct strbuf *b, usec_t started_at)
{
        add_process(b, "process_start_time_seconds", "gauge",
                    "Start time of the process since unix epoch in seconds.",
                    (double)started_at / USEC_PER_SEC);
}

static void add_memory(struct strbuf *b)
{
        _cleanup_free_ char *line = NULL;
        _cleanup_strv_ char **pages = NULL;
        uint64_t size, resident, page = (uint64_t)sysconf(_SC_PAGESIZE);

        if (fs_read_line_at(AT_FDCWD, "/proc/self/statm", &line) < 0 ||
            strv_split(line, " ", &pages) < 0 || strv_len(pages) < 2 ||
            text_to_u64(pages[0], &size) < 0 || text_to_u64(pages[1], &resident) < 0)
                return;
        add_process(b, "process_virtual_memory_bytes", "gauge", "Virtual memory size in bytes.",
                    (double)(size * page));
        add_process(b, "process_resident_memory_bytes", "gauge", "Resident memory size in bytes.",
                    (double)(resident * page));
}

static void add_descriptors(struct strbuf *b)
{
        _cleanup_strv_ char **names = NULL;
        struct rlimit limit;

        if (fs_list_at(AT_FDCWD, "/proc/self/fd", &names) == 0) /* one of them is this look's */
                add_process(b, "process_open_fds", "gauge", "Number of open file descriptors.",
                            (double)strv_len(names) - 1);
        if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
                add_process(b, "process_max_fds", "gauge",
                            "Maximum number of open file descriptors.", (double)limit.rlim_cur);
}

static double seconds_of(const struct timeval *t)
{
        return (double)t->tv_sec + (double)t->tv_usec / USEC_PER_SEC;
}

void prometheus_add_process(struct strbuf *b, usec_t started_at)
{
        struct rusage usage;

        if (getrusage(RUSAGE_SELF, &usage) == 0)
                add_process(b, "process_cpu_seconds_total", "counter",
                            "Total user and system CPU time spent in seconds.",
                            seconds_of(&usage.ru_utime) + seconds_of(&usage.ru_stime));
        prometheus_add_start_time(b, started_at);
        add_memory(b);
        add_descriptors(b);
}

void prometheus_add_build_info(struct strbuf *b)
{
        static const struct prometheus_label labels[] = {
                { "git_version", KUBERNETES_VERSION },
                { "skiff_version", SKIFF_VERSION },
        };

        prometheus_add_head(b, "kubernetes_build_info", "gauge",
                            "[ALPHA] The version of Kubernetes that this is compatible with");
        prometheus_add_sample(b, "kubernetes_build_info", labels, ARRAY_SIZE(labels), 1, 0);
}
