#include "kubelet/node-facts.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>

#include "base/fs.h"
#include "base/text.h"

#define KIB 1024

void node_facts_done(struct node_facts *f)
{
        free(f->machine_id);
        free(f->system_uuid);
        free(f->boot_id);
        free(f->kernel_version);
        free(f->os_image);
        *f = (struct node_facts){ 0 };
}

/* First of several files that can be read; "" when none can. */
static char *first_line_of(const char *const *paths)
{
        for (; *paths; paths++) {
                char *line;

                if (fs_read_line_at(AT_FDCWD, *paths, &line) == 0)
                        return line;
        }
        return strdup("");
}

/* "name:  123 kB" in a file of such lines, in bytes. */
static bool meminfo_value(const char *text, const char *name, uint64_t *ret)
{
        for (const char *line = text; line && *line; line = strchr(line, '\n')) {
                const char *p;

                if (*line == '\n')
                        line++;
                p = startswith(line, name);
                if (p && *p == ':') {
                        char digits[24];
                        size_t n;

                        p += 1 + strspn(p + 1, " ");
                        n = strspn(p, "0123456789");
                        if (n == 0 || n >= sizeof digits)
                                return false;
                        memcpy(digits, p, n);
                        digits[n] = '\0';
                        if (text_to_u64(digits, ret) < 0)
                                return false;
                        *ret *= KIB;
                        return true;
                }
        }
        return false;
}

static int read_memory(struct node_facts *f, struct err *err)
{
        _cleanup_free_ char *text = NULL;
        int r = fs_read_at(AT_FDCWD, "/proc/meminfo", 65536, &text, NULL);

        if (r < 0 || !meminfo_value(text, "MemTotal", &f->memory_bytes))
                return err_sys(err, r < 0 ? r : -EINVAL, "read MemTotal from /proc/meminfo");
        if (!meminfo_value(text, "SwapTotal", &f->swap_bytes))
                f->swap_bytes = 0;
        return 0;
}

int memory_available_read(uint64_t *ret)
{
        _cleanup_free_ char *text = NULL;
        int r = fs_read_at(AT_FDCWD, "/proc/meminfo", 65536, &text, NULL);

        if (r < 0)
                return r;
        return meminfo_value(text, "MemAvailable", ret) ? 0 : -EINVAL;
}

static void read_hugepages(struct node_facts *f)
{
        _cleanup_strv_ char **names = NULL;

        if (fs_list_at(AT_FDCWD, "/sys/kernel/mm/hugepages", &names) < 0)
                return;
        STRV_FOREACH (name, names) {
                struct node_hugepages *h = &f->hugepages[f->n_hugepages];
                _cleanup_free_ char *path = NULL, *count = NULL, *digits = NULL;
                const char *kb = startswith(*name, "hugepages-");

                if (!kb || f->n_hugepages == ARRAY_SIZE(f->hugepages))
                        continue;
                digits = strndup(kb, strspn(kb, "0123456789"));
                path = text_printf("/sys/kernel/mm/hugepages/%s/nr_hugepages", *name);
                if (!digits || !path || text_to_u64(digits, &h->size_bytes) < 0 ||
                    fs_read_line_at(AT_FDCWD, path, &count) < 0 ||
                    text_to_u64(count, &h->count) < 0)
                        continue;
                h->size_bytes *= KIB;
                f->n_hugepages++;
        }
}

/* As runc and the kubelet ask; and whether our profile is among "name (mode)" lines. */
static void read_apparmor(struct node_facts *f)
{
        static const char folder[] = "/sys/kernel/security/apparmor";
        _cleanup_free_ char *enabled = NULL, *profiles = NULL;

        if (access(folder, F_OK) < 0 ||
            fs_read_line_at(AT_FDCWD, "/sys/module/apparmor/parameters/enabled", &enabled) < 0)
                return;
        f->has_apparmor = enabled[0] == 'Y';
        if (f->has_apparmor &&
            fs_read_at(AT_FDCWD, "/sys/kernel/security/apparmor/profiles", 1 << 20, &profiles,
                       NULL) == 0 &&
            (startswith(profiles, APPARMOR_DEFAULT " (enforce)") ||
             strstr(profiles, "\n" APPARMOR_DEFAULT " (enforce)")))
                f->apparmor_default = APPARMOR_DEFAULT;
}

/* PRETTY_NAME of os-release, quotes removed. */
static char *read_os_image(void)
{
        static const char *const paths[] = { "/etc/os-release", "/usr/lib/os-release", NULL };
        _cleanup_free_ char *text = NULL;
        const char *p = NULL;

        for (size_t i = 0; paths[i] && !text; i++)
                if (fs_read_at(AT_FDCWD, paths[i], 65536, &text, NULL) < 0)
                        text = NULL;
        for (const char *line = text; line; line = strchr(line, '\n')) {
                line += *line == '\n';
                p = startswith(line, "PRETTY_NAME=");
                if (p)
                        break;
        }
        if (!p)
                return strdup("Linux");
        if (*p == '"')
                p++;
        return strndup(p, strcspn(p, "\"\n"));
}

static const char *go_architecture(const char *machine)
{
        static const char *const names[][2] = {
                { "x86_64", "amd64" }, { "aarch64", "arm64" },   { "armv7l", "arm" },
                { "armv6l", "arm" },   { "riscv64", "riscv64" }, { "ppc64le", "ppc64le" },
                { "s390x", "s390x" },  { "i686", "386" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(names); i++)
                if (streq(names[i][0], machine))
                        return names[i][1];
        return "unknown";
}

int node_facts_read(struct node_facts *ret, struct err *err)
{
        static const char *const machine_ids[] = { "/etc/machine-id", "/var/lib/dbus/machine-id",
                                                   NULL };
        static const char *const uuids[] = { "/sys/class/dmi/id/product_uuid",
                                             "/proc/device-tree/vm,uuid", "/etc/machine-id", NULL };
        static const char *const boot_ids[] = { "/proc/sys/kernel/random/boot_id", NULL };
        _cleanup_(node_facts_done)
        struct node_facts f = { 0 };
        struct utsname u;
        long cpus = sysconf(_SC_NPROCESSORS_ONLN);
        int r;

        uname(&u);
        f.machine_id = first_line_of(machine_ids);
        f.system_uuid = first_line_of(uuids);
        f.boot_id = first_line_of(boot_ids);
        f.kernel_version = strdup(u.release);
        f.os_image = read_os_image();
        f.architecture = go_architecture(u.machine);
        f.cpus = cpus > 0 ? (uint32_t)cpus : 1;
        if (!f.machine_id || !f.system_uuid || !f.boot_id || !f.kernel_version || !f.os_image)
                return err_sys(err, -ENOMEM, "read what this machine is");
        r = read_memory(&f, err);
        if (r < 0)
                return r;
        read_hugepages(&f);
        read_apparmor(&f);
        *ret = f;
        f = (struct node_facts){ 0 };
        return 0;
}

int fs_capacity_read(const char *path, struct fs_capacity *ret)
{
        struct statvfs v;

        if (statvfs(path, &v) < 0)
                return -errno;
        *ret = (struct fs_capacity){
                .bytes = (uint64_t)v.f_blocks * v.f_frsize,
                .available_bytes = (uint64_t)v.f_bavail * v.f_frsize,
                .inodes = v.f_files,
                .inodes_free = v.f_ffree,
        };
        return 0;
}

/* Name of the interface with the default route (IPv4, then IPv6), from /proc/net. */
static int default_interface(char name[static IF_NAMESIZE])
{
        _cleanup_free_ char *text = NULL;
        char *state = NULL;

        if (fs_read_at(AT_FDCWD, "/proc/net/route", 1 << 20, &text, NULL) < 0)
                return -ENOENT;
        for (char *line = strtok_r(text, "\n", &state); line; line = strtok_r(NULL, "\n", &state)) {
                size_t n = strcspn(line, "\t ");
                const char *destination = line + n + strspn(line + n, "\t ");

                if (n < IF_NAMESIZE && startswith(destination, "00000000")) {
                        memcpy(name, line, n);
                        name[n] = '\0';
                        return 0;
                }
        }
        return -ENOENT;
}

static bool is_usable(const struct sockaddr *sa)
{
        if (sa->sa_family == AF_INET) {
                uint32_t a = ntohl(((const struct sockaddr_in *)sa)->sin_addr.s_addr);

                return a != 0 && a >> 24 != 127 && a >> 16 != 0xa9fe && a >> 28 != 0xe;
        }
        if (sa->sa_family == AF_INET6) {
                const struct in6_addr *a = &((const struct sockaddr_in6 *)sa)->sin6_addr;

                return !IN6_IS_ADDR_LOOPBACK(a) && !IN6_IS_ADDR_LINKLOCAL(a) &&
                       !IN6_IS_ADDR_MULTICAST(a) && !IN6_IS_ADDR_UNSPECIFIED(a);
        }
        return false;
}

static const char *address_text(const struct sockaddr *sa, char buf[static INET6_ADDRSTRLEN])
{
        const void *a = sa->sa_family == AF_INET
                                ? (const void *)&((const struct sockaddr_in *)sa)->sin_addr
                                : (const void *)&((const struct sockaddr_in6 *)sa)->sin6_addr;

        return inet_ntop(sa->sa_family, a, buf, INET6_ADDRSTRLEN);
}

/* Does this address row answer the question: the administrator's address, or the default
 * interface's IPv4? */
static bool matches(const struct ifaddrs *i, const char *node_ip, const char *interface)
{
        char text[INET6_ADDRSTRLEN];

        if (!i->ifa_addr || !is_usable(i->ifa_addr))
                return false;
        if (node_ip)
                return streq(address_text(i->ifa_addr, text), node_ip);
        return i->ifa_addr->sa_family == AF_INET && streq(i->ifa_name, interface);
}

int node_address_choose(const char *node_ip, char **ret, struct err *err)
{
        char interface[IF_NAMESIZE] = "", text[INET6_ADDRSTRLEN];
        struct ifaddrs *all, *found = NULL;
        char *copy = NULL;

        if (!node_ip && default_interface(interface) < 0)
                return err_set(err, -EADDRNOTAVAIL,
                               "no default route to choose the node's address by: set --node-ip");
        if (getifaddrs(&all) < 0)
                return err_sys(err, -errno, "read the addresses of this machine");
        for (struct ifaddrs *i = all; i && !found; i = i->ifa_next)
                if (matches(i, node_ip, interface))
                        found = i;
        if (found)
                copy = strdup(address_text(found->ifa_addr, text));
        freeifaddrs(all);
        if (!found && node_ip)
                return err_set(err, -EADDRNOTAVAIL,
                               "node-ip '%s': expected a global address of an interface here",
                               node_ip);
        if (!found)
                return err_set(err, -EADDRNOTAVAIL, "interface '%s' has no usable IPv4 address",
                               interface);
        if (!copy)
                return err_sys(err, -ENOMEM, "choose the node's address");
        *ret = copy;
        return 0;
}
