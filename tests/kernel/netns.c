#include "tests/kernel/netns.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/netlink.h"
#include "base/text.h"
#include "tests/check.h"

static void request(struct nl_msg *m)
{
        _cleanup_(netlink_freep)
        struct netlink *n = NULL;
        _cleanup_err_ struct err err = { 0 };

        if (netlink_open(NETLINK_ROUTE, &n, &err) < 0 || netlink_request(n, m, &err) < 0)
                fail_msg("%s", err_text(&err));
}

static void link_up(const char *name)
{
        struct ifinfomsg header = { .ifi_index = (int)if_nametoindex(name),
                                    .ifi_flags = IFF_UP,
                                    .ifi_change = IFF_UP };

        request(netlink_message(RTM_NEWLINK, 0, &header, sizeof header, 64));
}

static void write_file(const char *path, const char *value)
{
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);

        if (fd >= 0 && write(fd, value, strlen(value)) < 0)
                fail_msg("%s: %m", path);
}

void netns_enter_fresh(void)
{
        if (unshare(CLONE_NEWNET) < 0)
                check_skip_all("no network namespace of our own: %s", strerror(errno));
        link_up("lo");
}

int netns_make(int forwarding)
{
        _cleanup_close_ int here = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
        _cleanup_close_ int made = -1;

        CHECK(here >= 0 && unshare(CLONE_NEWNET) == 0);
        made = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
        link_up("lo");
        /* an address that still waits for its duplicates cannot be used */
        write_file("/proc/sys/net/ipv6/conf/default/accept_dad", "0");
        if (forwarding) {
                write_file("/proc/sys/net/ipv4/ip_forward", "1");
                write_file("/proc/sys/net/ipv6/conf/all/forwarding", "1");
        }
        CHECK(made >= 0 && setns(here, CLONE_NEWNET) == 0);
        return TAKE_FD(made);
}

int netns_enter(int fd)
{
        int here = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);

        CHECK(here >= 0 && setns(fd, CLONE_NEWNET) == 0);
        return here;
}

void netns_leave(int fd)
{
        CHECK(setns(fd, CLONE_NEWNET) == 0);
        close(fd);
}

void netns_veth(const char *name, const char *peer_name, int peer_fd)
{
        struct ifinfomsg header = { 0 };
        struct nl_msg *m = netlink_message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &header,
                                           sizeof header, 1024);
        struct nlattr *info, *data, *peer;
        int back;

        nla_put_string(m, IFLA_IFNAME, name);
        info = nla_nest_start(m, IFLA_LINKINFO);
        nla_put_string(m, IFLA_INFO_KIND, "veth");
        data = nla_nest_start(m, IFLA_INFO_DATA);
        peer = nla_nest_start(m, VETH_INFO_PEER);
        nlmsg_append(m, &header, sizeof header, NLMSG_ALIGNTO);
        nla_put_string(m, IFLA_IFNAME, peer_name);
        nla_put_u32(m, IFLA_NET_NS_FD, (uint32_t)peer_fd);
        nla_nest_end(m, peer);
        nla_nest_end(m, data);
        nla_nest_end(m, info);
        request(m);
        link_up(name);
        back = netns_enter(peer_fd);
        link_up(peer_name);
        netns_leave(back);
}

/* Splits "10.0.0.1/24"; returns the address's length. */
static int split(const char *cidr, int *ret_family, uint8_t address[static 16])
{
        char text[64];
        char *slash;

        snprintf(text, sizeof text, "%s", cidr);
        slash = strchr(text, '/');
        if (slash)
                *slash = 0;
        *ret_family = strchr(text, ':') ? AF_INET6 : AF_INET;
        CHECK(inet_pton(*ret_family, text, address) == 1);
        return *ret_family == AF_INET6 ? 16 : 4;
}

static uint8_t prefix_of(const char *cidr)
{
        const char *slash = strchr(cidr, '/');
        uint32_t prefix = strchr(cidr, ':') ? 128 : 32;

        if (slash)
                CHECK(text_to_u32(slash + 1, &prefix) == 0);
        return (uint8_t)prefix;
}

void netns_address(const char *link, const char *cidr)
{
        struct ifaddrmsg header = { .ifa_index = if_nametoindex(link),
                                    .ifa_prefixlen = prefix_of(cidr),
                                    .ifa_flags = IFA_F_NODAD };
        uint8_t address[16];
        int family, n = split(cidr, &family, address);
        struct nl_msg *m;

        header.ifa_family = (uint8_t)family;
        m = netlink_message(RTM_NEWADDR, NLM_F_CREATE, &header, sizeof header, 128);
        nla_put(m, IFA_LOCAL, n, address);
        nla_put(m, IFA_ADDRESS, n, address);
        request(m);
}

void netns_route(int family, const char *cidr, const char *via, const char *link)
{
        struct rtmsg header = { .rtm_family = (uint8_t)family,
                                .rtm_table = RT_TABLE_MAIN,
                                .rtm_protocol = RTPROT_STATIC,
                                .rtm_type = RTN_UNICAST,
                                .rtm_scope = via || family == AF_INET6 ? RT_SCOPE_UNIVERSE
                                                                       : RT_SCOPE_LINK };
        uint8_t address[16];
        struct nl_msg *m;
        int n;

        if (!streq(cidr, "default"))
                header.rtm_dst_len = prefix_of(cidr);
        m = netlink_message(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, &header, sizeof header,
                            128);
        if (header.rtm_dst_len > 0) {
                n = split(cidr, &family, address);
                nla_put(m, RTA_DST, n, address);
        }
        if (via) {
                n = split(via, &family, address);
                nla_put(m, RTA_GATEWAY, n, address);
        }
        if (link)
                nla_put_u32(m, RTA_OIF, if_nametoindex(link));
        request(m);
}
