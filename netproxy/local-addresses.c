#include "netproxy/local-addresses.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>

#include "base/netlink.h"

enum { DUMPS = 5 };

struct reader {
        const struct cidr *cidrs;
        size_t n_cidrs;
        struct ip_range *items; /* owned */
        size_t n;
};

static bool is_wanted(const struct reader *r, const struct ip *ip)
{
        if (ip_is_loopback(ip))
                return false;
        for (size_t i = 0; i < r->n_cidrs; i++)
                if (cidr_contains(&r->cidrs[i], ip))
                        return true;
        return false;
}

static int on_address(const struct nlmsghdr *h, void *userdata)
{
        struct reader *r = userdata;
        const struct ifaddrmsg *header = nlmsg_data(h);
        struct nlattr *a[IFA_MAX + 1] = { 0 }, *value;
        struct ip ip = { .family = header->ifa_family };
        struct ip_range *more;

        if (h->nlmsg_type != RTM_NEWADDR ||
            (header->ifa_family != AF_INET && header->ifa_family != AF_INET6) ||
            nlmsg_parse((struct nlmsghdr *)h, sizeof *header, a, IFA_MAX, NULL) < 0)
                return 0;
        value = a[IFA_LOCAL] ? a[IFA_LOCAL] : a[IFA_ADDRESS];
        if (!value || (size_t)nla_len(value) != ip_len(&ip))
                return 0;
        memcpy(ip.bytes, nla_data(value), ip_len(&ip));
        if (!is_wanted(r, &ip))
                return 0;
        more = reallocarray(r->items, r->n + 1, sizeof *more);
        if (!more)
                return -ENOMEM;
        r->items = more;
        more[r->n++] = (struct ip_range){ ip, ip };
        return 0;
}

int local_addresses_within(const struct cidr *cidrs, size_t n_cidrs, struct ip_range **ret,
                           size_t *ret_n, struct err *err)
{
        _cleanup_(netlink_freep)
        struct netlink *netlink = NULL;
        struct ifaddrmsg header = { .ifa_family = AF_UNSPEC };
        struct reader reader = { .cidrs = cidrs, .n_cidrs = n_cidrs };
        int r = netlink_open(NETLINK_ROUTE, &netlink, err);

        if (r < 0)
                return r;
        r = -EINTR;
        for (int i = 0; i < DUMPS && r == -EINTR; i++) {
                reader.n = 0;
                r = netlink_dump(netlink,
                                 netlink_message(RTM_GETADDR, 0, &header, sizeof header, 0),
                                 on_address, &reader, err);
        }
        if (r < 0) {
                free(reader.items);
                return err_wrap(err, r, "list addresses");
        }
        *ret = reader.items;
        *ret_n = reader.n;
        return 0;
}

struct local_addresses_watch {
        struct netlink_watch *netlink; /* owned */
        void (*on_change)(void *userdata);
        void *userdata;
};

static void on_message(const struct nlmsghdr *h, void *userdata)
{
        struct local_addresses_watch *w = userdata;

        if (h->nlmsg_type == RTM_NEWADDR || h->nlmsg_type == RTM_DELADDR)
                w->on_change(w->userdata);
}

static void on_lost(void *userdata)
{
        struct local_addresses_watch *w = userdata;

        w->on_change(w->userdata);
}

int local_addresses_watch_new(sd_event *event, void (*on_change)(void *userdata), void *userdata,
                              struct local_addresses_watch **ret, struct err *err)
{
        static const struct netlink_watch_ops ops = { .on_message = on_message,
                                                      .on_lost = on_lost };
        static const unsigned groups[] = { RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR };
        _cleanup_(local_addresses_watch_freep)
        struct local_addresses_watch *w = calloc(1, sizeof *w);
        int r;

        if (!w)
                return err_sys(err, -ENOMEM, "watch addresses");
        w->on_change = on_change;
        w->userdata = userdata;
        r = netlink_watch_new(event, NETLINK_ROUTE, groups, ARRAY_SIZE(groups), &ops, w,
                              &w->netlink, err);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(w);
        return 0;
}

struct local_addresses_watch *local_addresses_watch_free(struct local_addresses_watch *w)
{
        if (w)
                netlink_watch_free(w->netlink);
        free(w);
        return NULL;
}
