#include "netproxy/conntrack.h"

#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <string.h>

#include "base/netlink.h"
#include "base/text.h"

enum {
        MESSAGE_ROOM = 512,
        CHUNK = 48 * 1024,        /* of deletions sent in one go */
        FILTER_PROTOCOL = 1 << 3, /* CTA_FILTER_F_CTA_PROTO_NUM, which no header gives */
        DUMPS = 5,                /* while the table changes under it */
};

struct sweep {
        int family;
        struct udp_plan *plan;
        struct netlink *netlink; /* borrowed */
        struct strbuf deletions; /* complete messages */
        uint32_t seq;
        size_t n;
};

static struct nl_msg *new_message(int type, int family)
{
        struct nfgenmsg header = { .nfgen_family = (uint8_t)family, .version = NFNETLINK_V0 };

        return netlink_message((uint16_t)(NFNL_SUBSYS_CTNETLINK << 8 | type), 0, &header,
                               sizeof header, MESSAGE_ROOM);
}

/* Only UDP is of interest, and the table may hold millions of other flows (Linux 5.8). */
static struct nl_msg *dump_message(int family)
{
        struct nl_msg *m = new_message(IPCTNL_MSG_CT_GET, family);
        struct nlattr *tuple, *protocol, *filter;
        int r = 0;

        if (!m)
                return NULL;
        tuple = nla_nest_start(m, CTA_TUPLE_ORIG | NLA_F_NESTED);
        protocol = nla_nest_start(m, CTA_TUPLE_PROTO | NLA_F_NESTED);
        netlink_keep(&r, nla_put_u8(m, CTA_PROTO_NUM, IPPROTO_UDP));
        nla_nest_end(m, protocol);
        nla_nest_end(m, tuple);
        filter = nla_nest_start(m, CTA_FILTER | NLA_F_NESTED);
        netlink_keep(&r, nla_put_u32(m, CTA_FILTER_ORIG_FLAGS, FILTER_PROTOCOL));
        netlink_keep(&r, nla_put_u32(m, CTA_FILTER_REPLY_FLAGS, 0));
        nla_nest_end(m, filter);
        return m;
}

struct tuple {
        struct ip src, dst;
        uint16_t src_port, dst_port;
        uint8_t protocol;
};

static bool parse_ip(struct nlattr *a, int family, struct ip *ret)
{
        *ret = (struct ip){ .family = (uint8_t)family };
        if (!a || (size_t)nla_len(a) != ip_len(ret))
                return false;
        memcpy(ret->bytes, nla_data(a), ip_len(ret));
        return true;
}

static bool parse_tuple(struct nlattr *a, int family, struct tuple *ret)
{
        struct nlattr *t[CTA_TUPLE_MAX + 1] = { 0 }, *ip[CTA_IP_MAX + 1] = { 0 },
                                         *p[CTA_PROTO_MAX + 1] = { 0 };
        bool v6 = family == AF_INET6;

        if (!a || nla_parse_nested(t, CTA_TUPLE_MAX, a, NULL) < 0 || !t[CTA_TUPLE_IP] ||
            !t[CTA_TUPLE_PROTO] || nla_parse_nested(ip, CTA_IP_MAX, t[CTA_TUPLE_IP], NULL) < 0 ||
            nla_parse_nested(p, CTA_PROTO_MAX, t[CTA_TUPLE_PROTO], NULL) < 0)
                return false;
        if (!p[CTA_PROTO_NUM] || !p[CTA_PROTO_SRC_PORT] || !p[CTA_PROTO_DST_PORT])
                return false;
        ret->protocol = nla_get_u8(p[CTA_PROTO_NUM]);
        ret->src_port = ntohs(nla_get_u16(p[CTA_PROTO_SRC_PORT]));
        ret->dst_port = ntohs(nla_get_u16(p[CTA_PROTO_DST_PORT]));
        return parse_ip(ip[v6 ? CTA_IP_V6_SRC : CTA_IP_V4_SRC], family, &ret->src) &&
               parse_ip(ip[v6 ? CTA_IP_V6_DST : CTA_IP_V4_DST], family, &ret->dst);
}

/* The deletion names the flow as the dump did, zone and id included. */
static int add_deletion(struct sweep *s, struct nlattr **a)
{
        static const int copied[] = { CTA_TUPLE_ORIG, CTA_ZONE, CTA_ID };
        struct nl_msg *m = new_message(IPCTNL_MSG_CT_DELETE, s->family);
        struct nlmsghdr *h;
        int r = 0;

        if (!m)
                return -ENOMEM;
        for (size_t i = 0; i < ARRAY_SIZE(copied); i++)
                if (a[copied[i]])
                        netlink_keep(&r, nla_put(m,
                                                 nla_type(a[copied[i]]) |
                                                         (copied[i] == CTA_TUPLE_ORIG ? NLA_F_NESTED
                                                                                      : 0),
                                                 nla_len(a[copied[i]]), nla_data(a[copied[i]])));
        h = nlmsg_hdr(m);
        h->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
        h->nlmsg_seq = ++s->seq;
        h->nlmsg_pid = 0;
        strbuf_add_n(&s->deletions, h, NLMSG_ALIGN(h->nlmsg_len));
        nlmsg_free(m);
        s->n++;
        return r < 0 || s->deletions.failed ? -ENOMEM : 0;
}

static int on_flow(const struct nlmsghdr *h, void *userdata)
{
        struct sweep *s = userdata;
        struct nlattr *a[CTA_MAX + 1] = { 0 };
        struct tuple original, reply;
        struct udp_flow flow;

        if (nlmsg_parse((struct nlmsghdr *)h, sizeof(struct nfgenmsg), a, CTA_MAX, NULL) < 0 ||
            !parse_tuple(a[CTA_TUPLE_ORIG], s->family, &original) ||
            !parse_tuple(a[CTA_TUPLE_REPLY], s->family, &reply) || original.protocol != IPPROTO_UDP)
                return 0;
        flow = (struct udp_flow){
                .src = original.src,
                .dst = original.dst,
                .src_port = original.src_port,
                .dst_port = original.dst_port,
                .answers = reply.src,
                .answers_port = reply.src_port,
        };
        return udp_flow_is_stale(s->plan, &flow) ? add_deletion(s, a) : 0;
}

/* Sends what was gathered, a good many messages at a time. A flow that is gone already is fine. */
static int send_deletions(struct sweep *s, struct err *err)
{
        size_t at = 0;
        int result = 0;

        while (at < s->deletions.len) {
                size_t n = 0;
                uint32_t last = 0;
                struct nlmsghdr *h;
                int r;

                do {
                        h = (struct nlmsghdr *)(s->deletions.data + at + n);
                        last = h->nlmsg_seq;
                        n += NLMSG_ALIGN(h->nlmsg_len);
                } while (at + n < s->deletions.len && n < CHUNK);
                r = netlink_batch(s->netlink, s->deletions.data + at, n, last, NULL, err);
                if (r < 0 && r != -ENOENT)
                        result = r;
                at += n;
        }
        return result;
}

int conntrack_forget(int family, struct udp_plan *plan, size_t *ret_deleted, struct err *err)
{
        _cleanup_(netlink_freep)
        struct netlink *netlink = NULL;
        struct sweep s = { .family = family, .plan = plan };
        int r = plan->n > 0 ? netlink_open(NETLINK_NETFILTER, &netlink, err) : 0;

        *ret_deleted = 0;
        if (r < 0 || plan->n == 0)
                return r;
        s.netlink = netlink;
        r = -EINTR;
        for (int i = 0; i < DUMPS && r == -EINTR; i++) {
                strbuf_done(&s.deletions);
                s.deletions = (struct strbuf){ 0 };
                s.n = 0;
                r = netlink_dump(netlink, dump_message(family), on_flow, &s, err);
        }
        if (r == 0 || r == -EINTR) /* of a table that never rests, what was seen */
                r = send_deletions(&s, err);
        *ret_deleted = s.n;
        strbuf_done(&s.deletions);
        return r < 0 ? err_wrap(err, r, "forget UDP flows") : 0;
}
