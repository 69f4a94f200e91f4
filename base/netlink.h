/*
 * Netlink: one request with its acknowledgement, one dump, one batch, or notifications on the loop.
 *
 * The kernel works a request off inside sendmsg(2): when that returns, the answer waits in the
 * socket. So requests and dumps are plain calls that never wait for anybody else; only
 * notifications, which come when they come, are a source of the event loop. Messages are built and
 * taken apart with libnl (nla_put(), nlmsg_parse(), …).
 */
#pragma once
#include <linux/netlink.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <systemd/sd-event.h>

#include "base/err.h"

struct netlink; /* opaque; a socket of one protocol, in the network namespace it was opened in */

/* @protocol: NETLINK_ROUTE, NETLINK_NETFILTER, … */
int netlink_open(int protocol, struct netlink **ret, struct err *err);
struct netlink *netlink_free(struct netlink *n);
DEFINE_CLEANUP(struct netlink *, netlink_free)
uint32_t netlink_port(const struct netlink *n); /* our address: who caused a notification */

/**
 * netlink_message() - a message with room for @room bytes of attributes
 * @header: the family's header (struct rtmsg, struct nfgenmsg, …), copied
 * Return: owned (nlmsg_free(), or given to one of the calls below); NULL without memory.
 */
struct nl_msg *netlink_message(uint16_t type, uint16_t flags, const void *header, size_t header_len,
                               size_t room);
/* For building: every nla_put() may fail for lack of room; this keeps the first failure. */
static inline void netlink_keep(int *r, int result)
{
        if (*r >= 0 && result < 0)
                *r = result;
}

/**
 * netlink_request() - sends @m with NLM_F_ACK and takes the answer
 * @m: taken, also on failure; NULL is -ENOMEM
 * Return: 0, or the kernel's negative errno (its own words, where it has some, go to @err).
 */
int netlink_request(struct netlink *n, struct nl_msg *m, struct err *err);

/* Return: 0 to go on; a negative errno ends the dump with it. */
typedef int (*netlink_message_fn)(const struct nlmsghdr *h, void *userdata);
/**
 * netlink_dump() - sends @m with NLM_F_DUMP and hands over every message of the answer
 * @m: taken, also on failure; NULL is -ENOMEM
 * Return: 0; -EINTR when what was listed changed meanwhile (list again); else a negative errno.
 */
int netlink_dump(struct netlink *n, struct nl_msg *m, netlink_message_fn fn, void *userdata,
                 struct err *err);
/* One message that is answered by one message instead of an acknowledgement. */
int netlink_get(struct netlink *n, struct nl_msg *m, netlink_message_fn fn, void *userdata,
                struct err *err);

/**
 * netlink_batch() - sends many messages in one go (nfnetlink batches)
 * @data:    complete messages in a row, with sequence numbers set by the caller
 * @last:    sequence number of a message that carries NLM_F_ACK: its answer ends the batch; 0: only
 *           failures are answered
 * @ret_seq: sequence number of the first message that failed; may be NULL
 * Return: 0 when @last was acknowledged and nothing failed; else the first failure.
 */
int netlink_batch(struct netlink *n, const void *data, size_t len, uint32_t last, uint32_t *ret_seq,
                  struct err *err);

struct netlink_watch; /* opaque; notifications of some groups */
struct netlink_watch_ops {
        void (*on_message)(const struct nlmsghdr *h, void *userdata);
        void (*on_lost)(void *userdata); /* more came than fits: look for yourself */
};
int netlink_watch_new(sd_event *event, int protocol, const unsigned *groups, size_t n_groups,
                      const struct netlink_watch_ops *ops, void *userdata,
                      struct netlink_watch **ret, struct err *err);
struct netlink_watch *netlink_watch_free(struct netlink_watch *w);
DEFINE_CLEANUP(struct netlink_watch *, netlink_watch_free)
/* Leaves the groups for a while (the kernel does not even build the messages), and joins again. */
int netlink_watch_pause(struct netlink_watch *w);
int netlink_watch_resume(struct netlink_watch *w);
/* Hands over what is waiting already, without the loop. */
void netlink_watch_drain(struct netlink_watch *w);
