#include "netproxy/sysctls.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/text.h"

#define NETFILTER "/proc/sys/net/netfilter/"
#define HASH_SIZE "/sys/module/nf_conntrack/parameters/hashsize"

enum { CONNTRACK_MAX_SCALED = 1048576 };

uint64_t sysctls_conntrack_max(const struct proxy_config *c, unsigned n_cpus)
{
        uint64_t scaled = (uint64_t)c->conntrack_max_per_core * n_cpus;

        if (scaled == 0)
                return 0;
        if (scaled > CONNTRACK_MAX_SCALED)
                return CONNTRACK_MAX_SCALED;
        return MAX(scaled, (uint64_t)c->conntrack_min);
}

static int read_number(const char *path, uint64_t *ret)
{
        _cleanup_free_ char *text = NULL;
        int r = fs_read_line_at(AT_FDCWD, path, &text);

        return r < 0 ? r : text_to_u64(text, ret);
}

static void write_number(const char *path, uint64_t value)
{
        char text[24];
        uint64_t now;
        int r = read_number(path, &now);

        if (r == 0 && now == value)
                return;
        snprintf(text, sizeof text, "%" PRIu64, value);
        r = fs_write_kernel_at(AT_FDCWD, path, text);
        if (r < 0)
                log_warn(r, "Failed to set '%s' to %s, going on without", path, text);
        else
                log_info("Set '%s' to %s", path, text);
}

static bool in_first_network_namespace(void)
{
        struct stat ours, first;

        return stat("/proc/self/ns/net", &ours) == 0 && stat("/proc/1/ns/net", &first) == 0 &&
               ours.st_ino == first.st_ino && ours.st_dev == first.st_dev;
}

static void set_table_size(const struct proxy_config *c)
{
        long n_cpus = sysconf(_SC_NPROCESSORS_ONLN);
        uint64_t max = sysctls_conntrack_max(c, n_cpus > 0 ? (unsigned)n_cpus : 1), buckets;

        if (max == 0)
                return;
        write_number(NETFILTER "nf_conntrack_max", max);
        /* a table of four entries a bucket: more make every lookup slow */
        if (read_number(HASH_SIZE, &buckets) == 0 && buckets < max / 4)
                write_number(HASH_SIZE, max / 4);
}

static void set_timeout(const char *path, usec_t timeout_usec)
{
        if (timeout_usec > 0)
                write_number(path, timeout_usec / USEC_PER_SEC);
}

void sysctls_apply(const struct proxy_config *c)
{
        uint64_t any;

        if (read_number(NETFILTER "nf_conntrack_tcp_timeout_established", &any) == -ENOENT) {
                log_info("No connection tracker yet: its times and limits stay as they are");
                return;
        }
        if (in_first_network_namespace())
                set_table_size(c);
        set_timeout(NETFILTER "nf_conntrack_tcp_timeout_established",
                    c->tcp_established_timeout_usec);
        set_timeout(NETFILTER "nf_conntrack_tcp_timeout_close_wait",
                    c->tcp_close_wait_timeout_usec);
        set_timeout(NETFILTER "nf_conntrack_udp_timeout", c->udp_timeout_usec);
        set_timeout(NETFILTER "nf_conntrack_udp_timeout_stream", c->udp_stream_timeout_usec);
        if (c->tcp_be_liberal)
                write_number(NETFILTER "nf_conntrack_tcp_be_liberal", 1);
}
