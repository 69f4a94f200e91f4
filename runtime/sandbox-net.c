#include "runtime/sandbox-net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/text.h"
#include "runtime/address-pool.h"
#include "runtime/record.h"

enum { MTU_DEFAULT = 1500, MTU_MIN = 1280 };
#define CURSOR_FILE "network/last.json"
#define GATEWAY     "169.254.1.1"
#define GATEWAY6    "fe80::1"

struct pod_network {
        struct runtime *rt; /* borrowed */
        int addresses_fd;   /* network/addresses */
        struct address_pool pool;
        uint32_t mtu;
        bool has_ranges;
};

/* ---- on disk ---- */

static void load_address(struct pod_network *n, const char *name)
{
        _cleanup_err_ struct err err = { 0 };
        json_auto_t *record = NULL;
        const char *owner = ADDRESS_POOL_OWNER_UNKNOWN;
        struct ip ip;
        int r;

        if (ip_parse(name, &ip) < 0)
                return; /* a record set aside, or a temporary file */
        r = record_read(n->addresses_fd, name, &record, &err);
        if (r < 0) /* its name alone says that it is taken: until all sandboxes are known */
                log_warn(0, "Owner of address '%s' is not known (%s), keeping it for now", name,
                         err_text(&err));
        else if (streq_null(json_text_at(record, "bootId"), n->rt->boot_id))
                owner = json_text_at(record, "sandboxId");
        else {
                unlinkat(n->addresses_fd, name, 0); /* nothing of another boot is alive */
                return;
        }
        r = address_pool_mark(&n->pool, &ip, owner ? owner : ADDRESS_POOL_OWNER_UNKNOWN);
        if (r < 0)
                log_warn(r, "Failed to keep address '%s'", name);
}

static int load_addresses(struct pod_network *n)
{
        _cleanup_strv_ char **names = NULL;
        int r = fs_list_at(n->addresses_fd, ".", &names);

        if (r < 0)
                return r;
        STRV_FOREACH (name, names)
                load_address(n, *name);
        return 0;
}

static void load_cursor(struct pod_network *n)
{
        _cleanup_err_ struct err err = { 0 };
        json_auto_t *record = NULL;
        int r = record_read(n->rt->state_fd, CURSOR_FILE, &record, &err);

        if (r == -ENOENT)
                return;
        if (r < 0) {
                record_set_aside(n->rt->state_fd, CURSOR_FILE, r, &err);
                return;
        }
        for (size_t i = 0; i < ARRAY_SIZE(n->pool.last); i++) {
                const char *text = json_string_value(
                        json_array_get(json_object_get(record, "last"), i));

                if (text && ip_parse(text, &n->pool.last[i]) < 0)
                        n->pool.last[i] = (struct ip){ 0 };
        }
}

static int save_cursor(struct pod_network *n)
{
        json_t *last = json_array();
        char text[IP_TEXT_MAX];

        for (size_t i = 0; i < n->pool.n_ranges; i++)
                json_array_append_new(last, json_string(n->pool.last[i].family
                                                                ? ip_format(&n->pool.last[i], text)
                                                                : ""));
        return record_write(n->rt->state_fd, CURSOR_FILE, json_pack("{s:o}", "last", last));
}

static int save_address(struct pod_network *n, const struct ip *ip, const char *sandbox_id)
{
        char name[IP_TEXT_MAX];

        return record_write(n->addresses_fd, ip_format(ip, name),
                            json_pack("{s:s, s:s}", "sandboxId", sandbox_id, "bootId",
                                      n->rt->boot_id));
}

static void release(struct pod_network *n, const struct ip *ip)
{
        char name[IP_TEXT_MAX];
        int r;

        address_pool_release(&n->pool, ip);
        /* whatever lies there: a folder would keep the address from ever being given again */
        r = fs_remove_tree_at(n->addresses_fd, ip_format(ip, name));
        if (r < 0 && r != -ENOENT)
                log_warn(r, "Failed to remove the record of address '%s'", name);
}

/* ---- the node's side of routing ---- */

/* The MTU of the interface that the default route leaves by. */
static uint32_t find_mtu(void)
{
        _cleanup_free_ char *routes = NULL;
        _cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        struct ifreq request = { 0 };
        char *state = NULL;

        if (fd < 0 || fs_read_at(AT_FDCWD, "/proc/net/route", 1 << 20, &routes, NULL) < 0)
                return MTU_DEFAULT;
        for (char *line = strtok_r(routes, "\n", &state); line;
             line = strtok_r(NULL, "\n", &state)) {
                const char *destination = strchr(line, '\t');
                size_t name_len = destination ? (size_t)(destination - line) : 0;

                if (name_len == 0 || name_len >= sizeof request.ifr_name ||
                    !startswith(destination, "\t00000000\t"))
                        continue;
                memcpy(request.ifr_name, line, name_len);
                request.ifr_name[name_len] = '\0';
                if (ioctl(fd, SIOCGIFMTU, &request) == 0 && request.ifr_mtu >= MTU_MIN)
                        return (uint32_t)request.ifr_mtu;
        }
        return MTU_DEFAULT;
}

static bool is_first_network_namespace(void)
{
        struct stat ours, first;

        return stat("/proc/self/ns/net", &ours) == 0 && stat("/proc/1/ns/net", &first) == 0 &&
               ours.st_ino == first.st_ino && ours.st_dev == first.st_dev;
}

/*
 * Forwarding is a matter of the whole node. In the first network namespace it is ours to switch on,
 * as every network plug-in does; elsewhere somebody made the namespace, and made it his way.
 */
static void enable_forwarding(const char *path)
{
        _cleanup_free_ char *value = NULL;
        int r;

        if (fs_read_line_at(AT_FDCWD, path, &value) < 0 || !streq(value, "0"))
                return;
        if (!is_first_network_namespace()) {
                log_warn(0, "'%s' is 0 in this network namespace: pods reach nothing beyond it",
                         path);
                return;
        }
        r = fs_write_kernel_at(AT_FDCWD, path, "1");
        if (r < 0)
                log_warn(r, "Failed to set '%s' to 1: pods reach nothing beyond this node", path);
        else
                log_notice("Set '%s' to 1, so that pods reach what is beyond this node", path);
}

/* ---- interface ---- */

int pod_network_new(struct runtime *rt, struct pod_network **ret, struct err *err)
{
        _cleanup_(pod_network_freep)
        struct pod_network *n = calloc(1, sizeof *n);
        int r;

        if (!n)
                return err_sys(err, -ENOMEM, "open the pod network");
        n->rt = rt;
        n->addresses_fd = -1;
        r = address_pool_init(&n->pool);
        if (r == 0)
                r = fs_mkdir_p_at(rt->state_fd, "network/addresses", 0700);
        if (r == 0) {
                n->addresses_fd = openat(rt->state_fd, "network/addresses",
                                         O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                r = n->addresses_fd < 0 ? -errno : load_addresses(n);
        }
        if (r < 0)
                return err_sys(err, r, "open '%s/network/addresses'", rt->options.state_dir);
        load_cursor(n);
        *ret = TAKE_PTR(n);
        return 0;
}

struct pod_network *pod_network_free(struct pod_network *n)
{
        if (!n)
                return NULL;
        address_pool_done(&n->pool);
        safe_close(n->addresses_fd);
        free(n);
        return NULL;
}

int runtime_set_pod_cidrs(struct runtime *rt, const char *cidrs, struct err *err)
{
        struct pod_network *n = rt->network;
        int r = address_pool_set_ranges(&n->pool, cidrs, err);

        if (r < 0)
                return r;
        n->has_ranges = n->pool.n_ranges > 0;
        n->mtu = find_mtu();
        for (size_t i = 0; i < n->pool.n_ranges; i++)
                enable_forwarding(n->pool.ranges[i].ip.family == AF_INET
                                          ? "/proc/sys/net/ipv4/ip_forward"
                                          : "/proc/sys/net/ipv6/conf/all/forwarding");
        return 0;
}

bool runtime_network_is_ready(const struct runtime *rt, const char **ret_why_not)
{
        if (!rt->network->has_ranges && ret_why_not)
                *ret_why_not = "no podCIDR has been assigned to this node yet";
        return rt->network->has_ranges;
}

int pod_network_acquire(struct pod_network *n, const char *sandbox_id, struct pod_addresses *ret,
                        struct err *err)
{
        struct pod_addresses got = { .n = 0 };
        int r = 0;

        if (!n->has_ranges)
                return err_set_kind(err, -ENETDOWN, ERR_SANDBOX_NETWORK,
                                    "no podCIDR has been assigned to this node yet");
        for (; r == 0 && got.n < n->pool.n_ranges; got.n++) {
                char range[CIDR_TEXT_MAX];

                r = address_pool_take(&n->pool, got.n, sandbox_id, &got.ips[got.n]);
                if (r == -ENOSPC)
                        r = err_set_kind(err, r, ERR_SANDBOX_NETWORK,
                                         "all addresses of podCIDR %s are taken",
                                         cidr_format(&n->pool.ranges[got.n], range));
                if (r < 0)
                        break;
                r = save_address(n, &got.ips[got.n], sandbox_id);
                if (r < 0)
                        err_sys(err, r, "record an address of the pod");
        }
        if (r == 0) {
                r = save_cursor(n);
                if (r < 0)
                        err_sys(err, r, "record the address given last");
        }
        if (r < 0) {
                pod_network_release(n, sandbox_id);
                return err_kind(err, r, ERR_SANDBOX_NETWORK);
        }
        *ret = got;
        return 0;
}

void pod_network_release(struct pod_network *n, const char *sandbox_id)
{
        _cleanup_strv_ char **taken = map_keys(n->pool.taken);

        STRV_FOREACH (text, taken) {
                struct ip ip;

                if (streq(map_get(n->pool.taken, *text), sandbox_id) && ip_parse(*text, &ip) == 0)
                        release(n, &ip);
        }
}

int pod_network_adopt(struct pod_network *n, const char *sandbox_id, const struct pod_addresses *a)
{
        for (size_t i = 0; i < a->n; i++) {
                const char *owner = address_pool_owner(&n->pool, &a->ips[i]);
                int r;

                if (owner && streq(owner, sandbox_id))
                        continue;
                if (owner && streq(owner, ADDRESS_POOL_OWNER_UNKNOWN))
                        release(n, &a->ips[i]);
                r = address_pool_mark(&n->pool, &a->ips[i], sandbox_id);
                if (r == 0)
                        r = save_address(n, &a->ips[i], sandbox_id);
                if (r < 0)
                        return r;
        }
        return 0;
}

void pod_network_settle(struct pod_network *n)
{
        _cleanup_strv_ char **taken = map_keys(n->pool.taken);

        STRV_FOREACH (text, taken) {
                const char *owner = map_get(n->pool.taken, *text);
                struct ip ip;

                if (map_get(n->rt->sandboxes, owner) || ip_parse(*text, &ip) < 0)
                        continue;
                log_info("Address '%s' belongs to no sandbox any more, giving it back", *text);
                release(n, &ip);
        }
}

/* Locally administered, from the sandbox's id, so that it is the same after a restart. */
static void fill_mac(const char *sandbox_id, const char *side, uint8_t mac[6])
{
        uint64_t h = fnv1a(side, strlen(side), fnv1a(sandbox_id, strlen(sandbox_id), FNV1A_SEED));

        memcpy(mac, &h, 6);
        mac[0] = (uint8_t)((mac[0] & 0xfc) | 0x02);
}

void pod_network_fill_link(const struct pod_network *n, const char *sandbox_id,
                           struct plan_link *ret)
{
        *ret = (struct plan_link){ .pod_name = "eth0", .mtu = n->mtu };
        snprintf(ret->host_name, sizeof ret->host_name, "%.8s-%s", n->rt->options.instance,
                 sandbox_id); /* as much of the id as fits: 24 bits or more */
        inet_pton(AF_INET, GATEWAY, &ret->gateway4);
        inet_pton(AF_INET6, GATEWAY6, ret->gateway6);
        fill_mac(sandbox_id, "host", ret->host_mac);
        fill_mac(sandbox_id, "pod", ret->pod_mac);
}

struct plan_address pod_network_plan_address(const struct ip *ip)
{
        struct plan_address a = {
                .family = ip->family,
                .prefix = ip->family == AF_INET ? 32 : 128,
        };

        memcpy(a.address, ip->bytes, sizeof a.address);
        return a;
}
