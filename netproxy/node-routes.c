#include "netproxy/node-routes.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/netlink.h"
#include "base/usec.h"

enum {
        PROTOCOL = 83,     /* of rtm_protocol: free in /etc/iproute2/rt_protos */
        END_METRIC = 9999, /* a CNI plugin's own route to our podCIDR comes first */
        MESSAGE_ROOM = 256,
        DUMPS = 5,
        SETTLE_MSEC = 200, /* after a link came up */
        RETRY_SEC = 30,
        LINKS_MAX = 16,
};

struct found_route {
        struct node_route route;
        unsigned link; /* 0: none */
};
struct found {
        struct found_route *items; /* owned; sorted */
        size_t n;
};

struct node_routes {
        sd_event *event;             /* borrowed */
        struct netlink *netlink;     /* owned */
        struct netlink_watch *watch; /* owned */
        sd_event_source *timer;      /* owned; the next attempt, when one is due */
        struct node_route *wanted;   /* owned; sorted */
        size_t n_wanted;
        unsigned links[LINKS_MAX]; /* that carry routes of ours */
        size_t n_links;
        bool has_failed; /* something could not be set */
};

static struct nl_msg *route_message(int type, uint16_t flags, const struct node_route *route)
{
        bool is_end = route->via.family == 0;
        struct rtmsg header = {
                .rtm_family = route->dst.ip.family,
                .rtm_dst_len = route->dst.prefix,
                .rtm_table = RT_TABLE_MAIN,
                .rtm_protocol = PROTOCOL,
                .rtm_scope = RT_SCOPE_UNIVERSE,
                .rtm_type = is_end ? RTN_UNREACHABLE : RTN_UNICAST,
        };
        struct nl_msg *m = netlink_message((uint16_t)type, flags, &header, sizeof header,
                                           MESSAGE_ROOM);
        size_t n = ip_len(&route->dst.ip);
        int r = 0;

        if (!m)
                return NULL;
        netlink_keep(&r, nla_put(m, RTA_DST, (int)n, route->dst.ip.bytes));
        if (is_end)
                netlink_keep(&r, nla_put_u32(m, RTA_PRIORITY, END_METRIC));
        else
                netlink_keep(&r, nla_put(m, RTA_GATEWAY, (int)n, route->via.bytes));
        if (r < 0) {
                nlmsg_free(m);
                return NULL;
        }
        return m;
}

static bool take_address(struct nlattr *a, struct ip *ip)
{
        if (!a || (size_t)nla_len(a) != ip_len(ip))
                return false;
        memcpy(ip->bytes, nla_data(a), ip_len(ip));
        return true;
}

static int on_route(const struct nlmsghdr *h, void *userdata)
{
        struct found *found = userdata;
        const struct rtmsg *header = nlmsg_data(h);
        struct nlattr *a[RTA_MAX + 1] = { 0 };
        struct found_route f = { 0 };
        struct found_route *more;

        if (h->nlmsg_type != RTM_NEWROUTE || header->rtm_protocol != PROTOCOL ||
            header->rtm_table != RT_TABLE_MAIN ||
            nlmsg_parse((struct nlmsghdr *)h, sizeof *header, a, RTA_MAX, NULL) < 0)
                return 0;
        f.route.dst.ip.family = header->rtm_family;
        f.route.dst.prefix = header->rtm_dst_len;
        (void)take_address(a[RTA_DST], &f.route.dst.ip);
        if (header->rtm_type == RTN_UNICAST) {
                f.route.via.family = header->rtm_family;
                (void)take_address(a[RTA_GATEWAY], &f.route.via);
                f.link = a[RTA_OIF] ? nla_get_u32(a[RTA_OIF]) : 0;
        }
        more = reallocarray(found->items, found->n + 1, sizeof *more);
        if (!more)
                return -ENOMEM;
        found->items = more;
        more[found->n++] = f;
        return 0;
}

static void found_done(struct found *f)
{
        free(f->items);
        *f = (struct found){ 0 };
}

static int compare_found(const void *a, const void *b)
{
        const struct found_route *x = a, *y = b;

        return node_route_compare(&x->route, &y->route);
}

static int list_routes(struct netlink *netlink, struct found *ret, struct err *err)
{
        struct rtmsg header = { .rtm_family = AF_UNSPEC, .rtm_table = RT_TABLE_MAIN };
        int r = -EINTR;

        for (int i = 0; i < DUMPS && r == -EINTR; i++) {
                found_done(ret);
                r = netlink_dump(netlink,
                                 netlink_message(RTM_GETROUTE, 0, &header, sizeof header, 64),
                                 on_route, ret, err);
        }
        if (r < 0)
                return err_wrap(err, r, "list routes");
        if (ret->n > 1)
                qsort(ret->items, ret->n, sizeof *ret->items, compare_found);
        return 0;
}

static void set_route(struct node_routes *r, const struct node_route *route, uint16_t flags)
{
        _cleanup_err_ struct err err = { 0 };
        char dst[CIDR_TEXT_MAX], via[IP_TEXT_MAX];

        if (netlink_request(r->netlink, route_message(RTM_NEWROUTE, NLM_F_CREATE | flags, route),
                            &err) >= 0)
                return;
        r->has_failed = true;
        log_warn(0, "Failed to set the route to pods %s via %s, next try in %d s: %s",
                 cidr_format(&route->dst, dst),
                 route->via.family ? ip_format(&route->via, via) : "nowhere", RETRY_SEC,
                 err_text(&err));
}

static void delete_route(struct netlink *netlink, const struct node_route *route)
{
        _cleanup_err_ struct err err = { 0 };
        char dst[CIDR_TEXT_MAX];
        int r = netlink_request(netlink, route_message(RTM_DELROUTE, 0, route), &err);

        if (r < 0 && r != -ESRCH)
                log_warn(0, "Failed to delete the route to pods %s: %s",
                         cidr_format(&route->dst, dst), err_text(&err));
}

static void remember_links(struct node_routes *r, const struct found *found)
{
        r->n_links = 0;
        for (size_t i = 0; i < found->n && r->n_links < LINKS_MAX; i++) {
                bool known = found->items[i].link == 0;

                for (size_t k = 0; k < r->n_links; k++)
                        known |= r->links[k] == found->items[i].link;
                if (!known)
                        r->links[r->n_links++] = found->items[i].link;
        }
}

/* Walks both sorted lists; says whether it did anything. */
static bool merge(struct node_routes *r, const struct found *found)
{
        size_t i = 0, k = 0;
        bool acted = false;

        while (i < r->n_wanted || k < found->n) {
                const struct node_route *w = i < r->n_wanted ? &r->wanted[i] : NULL;
                const struct node_route *f = k < found->n ? &found->items[k].route : NULL;
                int order = !w ? 1 : !f ? -1 : node_route_compare(w, f);

                if (order < 0) {
                        set_route(r, w, NLM_F_EXCL);
                        acted = true;
                        i++;
                        continue;
                }
                if (order == 0 && ip_equal(&w->via, &f->via)) {
                        i++;
                        k++;
                        continue;
                }
                acted = true;
                if (order == 0 && w->via.family && f->via.family) {
                        set_route(r, w, NLM_F_REPLACE);
                        i++;
                } else if (f) {
                        delete_route(r->netlink, f); /* and comes again, if it is to be another */
                }
                k++;
        }
        return acted;
}

static void arm(struct node_routes *r, usec_t delay_usec);

static void sync_routes(struct node_routes *r)
{
        _cleanup_(found_done)
        struct found found = { 0 }, after = { 0 };
        _cleanup_err_ struct err err = { 0 };

        r->has_failed = false;
        if (list_routes(r->netlink, &found, &err) < 0) {
                log_warn(0, "Failed to set routes to other nodes' pods, next try in %d s: %s",
                         RETRY_SEC, err_text(&err));
                arm(r, RETRY_SEC * USEC_PER_SEC);
                return;
        }
        if (merge(r, &found) && list_routes(r->netlink, &after, NULL) == 0)
                remember_links(r, &after);
        else
                remember_links(r, &found);
        if (r->has_failed)
                arm(r, RETRY_SEC * USEC_PER_SEC);
}

static int on_timer(_unused_ sd_event_source *s, _unused_ uint64_t due_usec, void *userdata)
{
        sync_routes(userdata);
        return 0;
}

/* The earlier of two dates stands. */
static void arm(struct node_routes *r, usec_t delay_usec)
{
        usec_t due = now_monotonic() + delay_usec, before;
        int enabled = SD_EVENT_OFF;
        int result;

        if (r->timer && sd_event_source_get_enabled(r->timer, &enabled) >= 0 &&
            enabled != SD_EVENT_OFF && sd_event_source_get_time(r->timer, &before) >= 0 &&
            before <= due)
                return;
        if (!r->timer) {
                result = sd_event_add_time(r->event, &r->timer, CLOCK_MONOTONIC, due, USEC_PER_MSEC,
                                           on_timer, r);
        } else {
                result = sd_event_source_set_time(r->timer, due);
                if (result >= 0)
                        result = sd_event_source_set_enabled(r->timer, SD_EVENT_ONESHOT);
        }
        if (result < 0)
                log_warn(result, "Failed to arm a timer for routes");
}

static bool carries_ours(const struct node_routes *r, int link)
{
        for (size_t i = 0; i < r->n_links; i++)
                if (r->links[i] == (unsigned)link)
                        return true;
        return false;
}

static void on_message(const struct nlmsghdr *h, void *userdata)
{
        struct node_routes *r = userdata;
        const struct ifinfomsg *link = nlmsg_data(h);
        const struct rtmsg *route = nlmsg_data(h);

        if (h->nlmsg_pid == netlink_port(r->netlink))
                return;
        switch (h->nlmsg_type) {
        case RTM_DELROUTE:
                if (route->rtm_protocol == PROTOCOL)
                        arm(r, 0);
                break;
        case RTM_NEWLINK:
        case RTM_DELLINK:
                if (carries_ours(r, link->ifi_index) || (r->has_failed && link->ifi_flags & IFF_UP))
                        arm(r, SETTLE_MSEC * USEC_PER_MSEC);
                break;
        case RTM_NEWADDR:
                if (r->has_failed)
                        arm(r, SETTLE_MSEC * USEC_PER_MSEC);
                break;
        default:
                break;
        }
}

static void on_lost(void *userdata)
{
        arm(userdata, 0);
}

int node_routes_new(sd_event *event, struct node_routes **ret, struct err *err)
{
        static const struct netlink_watch_ops ops = { .on_message = on_message,
                                                      .on_lost = on_lost };
        static const unsigned groups[] = { RTNLGRP_LINK, RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE,
                                           RTNLGRP_IPV4_IFADDR };
        _cleanup_(node_routes_freep)
        struct node_routes *nr = calloc(1, sizeof *nr);
        int r;

        if (!nr)
                return err_sys(err, -ENOMEM, "watch routes");
        nr->event = event;
        r = netlink_open(NETLINK_ROUTE, &nr->netlink, err);
        if (r == 0)
                r = netlink_watch_new(event, NETLINK_ROUTE, groups, ARRAY_SIZE(groups), &ops, nr,
                                      &nr->watch, err);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(nr);
        return 0;
}

struct node_routes *node_routes_free(struct node_routes *r)
{
        if (!r)
                return NULL;
        sd_event_source_disable_unref(r->timer);
        netlink_watch_free(r->watch);
        netlink_free(r->netlink);
        free(r->wanted);
        free(r);
        return NULL;
}

int node_routes_set(struct node_routes *r, const struct node_route *wanted, size_t n)
{
        struct node_route *copy = calloc(n + 1, sizeof *copy);

        if (!copy)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++)
                copy[i] = wanted[i];
        free(r->wanted);
        r->wanted = copy;
        r->n_wanted = n;
        sync_routes(r);
        return 0;
}

int node_routes_remove_all(struct err *err)
{
        _cleanup_(netlink_freep)
        struct netlink *netlink = NULL;
        _cleanup_(found_done)
        struct found found = { 0 };
        int r = netlink_open(NETLINK_ROUTE, &netlink, err);

        if (r == 0)
                r = list_routes(netlink, &found, err);
        for (size_t i = 0; r == 0 && i < found.n; i++)
                delete_route(netlink, &found.items[i].route);
        return r;
}
