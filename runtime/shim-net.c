/*
 * Sandbox and host hold on a wire of their own, so both know each other's hardware address from the
 * start: permanent neighbours on both sides instead of ARP and neighbour discovery, host routes
 * instead of a subnet, link-local next hops (169.254.1.1, fe80::1) that belong to no interface.
 *
 *      sandbox                                       host
 *      eth0, 10.244.1.7/32                           <host_name>
 *      169.254.1.1 lladdr <host mac> permanent       10.244.1.7 lladdr <our mac> permanent
 *      169.254.1.1 scope link                        10.244.1.7 scope link
 *      default via 169.254.1.1
 *
 * The link goes with the namespace: nobody deletes it, which would cost 15 ms each.
 */
#include "runtime/shim-net.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* Several requests in one buffer; each wants its acknowledgement. */
struct batch {
        _Alignas(NLMSG_ALIGNTO) char data[1536];
        size_t len;
        struct nlmsghdr *last;
        unsigned requests;
        int failed; /* -EMSGSIZE: it did not fit */
};

static void *append(struct batch *b, size_t n)
{
        void *at = b->data + b->len;

        if (b->failed || sizeof b->data - b->len < NLMSG_ALIGN(n)) {
                b->failed = -EMSGSIZE;
                return NULL;
        }
        memset(at, 0, NLMSG_ALIGN(n));
        b->len += NLMSG_ALIGN(n);
        b->last->nlmsg_len = (uint32_t)(b->data + b->len - (char *)b->last);
        return at;
}

static void *begin(struct batch *b, uint16_t type, uint16_t flags, size_t body)
{
        struct nlmsghdr *h = (struct nlmsghdr *)(b->data + b->len);

        if (b->failed || sizeof b->data - b->len < NLMSG_HDRLEN + NLMSG_ALIGN(body)) {
                b->failed = -EMSGSIZE;
                return NULL;
        }
        *h = (struct nlmsghdr){
                .nlmsg_type = type,
                .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags,
                .nlmsg_seq = ++b->requests,
        };
        b->last = h;
        b->len += NLMSG_HDRLEN;
        return append(b, body);
}

static struct rtattr *attribute(struct batch *b, uint16_t type, const void *data, size_t n)
{
        struct rtattr *a = append(b, RTA_LENGTH(n));

        if (!a)
                return NULL;
        a->rta_type = type;
        a->rta_len = (uint16_t)RTA_LENGTH(n);
        if (n)
                memcpy(RTA_DATA(a), data, n);
        return a;
}

static void close_nest(struct batch *b, struct rtattr *a)
{
        if (a)
                a->rta_len = (uint16_t)(b->data + b->len - (char *)a);
}

/* The first failure among the acknowledgements. */
static int read_acks(int netlink, unsigned requests)
{
        _Alignas(NLMSG_ALIGNTO) char answer[2048];
        int r = 0;

        while (requests > 0) {
                ssize_t n = recv(netlink, answer, sizeof answer, 0);
                size_t left = n > 0 ? (size_t)n : 0;

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return n < 0 ? -errno : -EIO;
                for (struct nlmsghdr *h = (struct nlmsghdr *)answer; NLMSG_OK(h, left);
                     h = NLMSG_NEXT(h, left)) {
                        const struct nlmsgerr *e = NLMSG_DATA(h);

                        if (h->nlmsg_type != NLMSG_ERROR || requests == 0)
                                continue;
                        requests--;
                        if (r == 0)
                                r = e->error;
                }
        }
        return r;
}

static int transact(int netlink, const struct batch *b)
{
        struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };

        if (b->failed)
                return b->failed;
        if (sendto(netlink, b->data, b->len, 0, (struct sockaddr *)&kernel, sizeof kernel) < 0)
                return -errno;
        return read_acks(netlink, b->requests);
}

int net_open(void)
{
        int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), yes = 1;

        if (fd < 0)
                return -errno;
        /* an error's answer need not repeat the request */
        setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &yes, sizeof yes);
        return fd;
}

static void set_up(struct batch *b, int index)
{
        struct ifinfomsg *link = begin(b, RTM_NEWLINK, 0, sizeof *link);

        if (link)
                *link = (struct ifinfomsg){ .ifi_index = index,
                                            .ifi_flags = IFF_UP,
                                            .ifi_change = IFF_UP };
}

int net_up_loopback(int netlink)
{
        struct batch b = { .len = 0 };

        set_up(&b, 1);
        return transact(netlink, &b);
}

static void add_end(struct batch *b, const char *name, const uint8_t mac[6], uint32_t mtu)
{
        attribute(b, IFLA_IFNAME, name, strlen(name) + 1);
        attribute(b, IFLA_ADDRESS, mac, 6);
        if (mtu)
                attribute(b, IFLA_MTU, &mtu, sizeof mtu);
}

/* Both ends in one request, each born in its namespace: moving one there would cost an RCU grace
 * period. */
static int make_veth(const struct plan_link *l, int ours, int host_ns)
{
        /* the peer cannot be up before it has its peer: the host's end follows */
        static const struct ifinfomsg up = { .ifi_flags = IFF_UP, .ifi_change = IFF_UP },
                                      down = { .ifi_flags = 0 };
        struct batch b = { .len = 0 };
        struct rtattr *info, *data, *peer;
        struct ifinfomsg *link = begin(&b, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, sizeof *link);
        uint32_t fd = (uint32_t)host_ns;

        if (link)
                *link = up;
        add_end(&b, l->pod_name, l->pod_mac, l->mtu);
        info = attribute(&b, IFLA_LINKINFO, NULL, 0);
        attribute(&b, IFLA_INFO_KIND, "veth", 5);
        data = attribute(&b, IFLA_INFO_DATA, NULL, 0);
        peer = attribute(&b, VETH_INFO_PEER, &down, sizeof down);
        add_end(&b, l->host_name, l->host_mac, l->mtu);
        attribute(&b, IFLA_NET_NS_FD, &fd, sizeof fd);
        close_nest(&b, peer);
        close_nest(&b, data);
        close_nest(&b, info);
        return transact(ours, &b);
}

static int index_of(int netlink, const char *name)
{
        struct ifreq request = { 0 };

        memcpy(request.ifr_name, name, strnlen(name, IFNAMSIZ - 1));
        return ioctl(netlink, SIOCGIFINDEX, &request) < 0 ? -errno : request.ifr_ifindex;
}

static size_t size_of(uint8_t family)
{
        return family == AF_INET ? 4 : 16;
}

static void add_neighbour(struct batch *b, int index, uint8_t family, const void *address,
                          const uint8_t mac[6])
{
        struct ndmsg *n = begin(b, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, sizeof *n);

        if (n)
                *n = (struct ndmsg){ .ndm_family = family,
                                     .ndm_ifindex = index,
                                     .ndm_state = NUD_PERMANENT };
        attribute(b, NDA_DST, address, size_of(family));
        attribute(b, NDA_LLADDR, mac, 6);
}

/* @to NULL: default. @via NULL: on the link. */
static void add_route(struct batch *b, int index, uint8_t family, const void *to, const void *via)
{
        struct rtmsg *r = begin(b, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, sizeof *r);

        if (r)
                *r = (struct rtmsg){
                        .rtm_family = family,
                        .rtm_dst_len = to ? (uint8_t)(size_of(family) * 8) : 0,
                        .rtm_table = RT_TABLE_MAIN,
                        .rtm_protocol = RTPROT_STATIC,
                        .rtm_scope = via || family == AF_INET6 ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK,
                        .rtm_type = RTN_UNICAST,
                };
        if (to)
                attribute(b, RTA_DST, to, size_of(family));
        if (via)
                attribute(b, RTA_GATEWAY, via, size_of(family));
        attribute(b, RTA_OIF, &index, sizeof index);
}

static void add_address(struct batch *b, int index, const struct plan_address *a)
{
        uint32_t flags = IFA_F_PERMANENT | IFA_F_NODAD; /* nobody else is on the wire to ask */
        struct ifaddrmsg *m = begin(b, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, sizeof *m);

        if (m)
                *m = (struct ifaddrmsg){ .ifa_family = (uint8_t)a->family,
                                         .ifa_prefixlen = (uint8_t)a->prefix,
                                         .ifa_index = (uint32_t)index };
        attribute(b, IFA_LOCAL, a->address, size_of((uint8_t)a->family));
        attribute(b, IFA_ADDRESS, a->address, size_of((uint8_t)a->family));
        attribute(b, IFA_FLAGS, &flags, sizeof flags);
}

static const void *gateway_of(const struct plan_link *l, uint8_t family)
{
        return family == AF_INET ? (const void *)&l->gateway4 : l->gateway6;
}

static int configure_ours(const struct plan_view *plan, int netlink)
{
        const struct plan_link *l = plan->link;
        struct batch b = { .len = 0 };
        struct plan_record record;
        int index = index_of(netlink, l->pod_name);
        unsigned families = 0;

        if (index < 0)
                return index;
        PLAN_FOREACH(plan, PLAN_ADDRESS, record)
        {
                const struct plan_address *a = record.payload;
                uint8_t family = (uint8_t)a->family;
                const void *gateway = gateway_of(l, family);

                add_address(&b, index, a);
                if (families & (1u << family))
                        continue;
                families |= 1u << family;
                add_neighbour(&b, index, family, gateway, l->host_mac);
                add_route(&b, index, family, gateway, NULL);
                add_route(&b, index, family, NULL, gateway);
        }
        return b.requests ? transact(netlink, &b) : 0;
}

static int configure_hosts(const struct plan_view *plan, int netlink)
{
        const struct plan_link *l = plan->link;
        struct batch b = { .len = 0 };
        struct plan_record record;
        int index = index_of(netlink, l->host_name);

        if (index < 0)
                return index;
        set_up(&b, index);
        PLAN_FOREACH(plan, PLAN_ADDRESS, record)
        {
                const struct plan_address *a = record.payload;

                add_neighbour(&b, index, (uint8_t)a->family, a->address, l->pod_mac);
                add_route(&b, index, (uint8_t)a->family, a->address, NULL);
        }
        return transact(netlink, &b);
}

int net_make_link(const struct plan_view *plan, int ours, int hosts, int host_ns, const char **why)
{
        int r;

        *why = "make the veth";
        r = make_veth(plan->link, ours, host_ns);
        if (r < 0)
                return r;
        *why = "set the addresses and routes of the sandbox's end";
        r = configure_ours(plan, ours);
        if (r < 0)
                return r;
        *why = "set the routes of the host's end";
        return configure_hosts(plan, hosts);
}
