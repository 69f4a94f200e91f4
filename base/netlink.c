#include "base/netlink.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "base/usec.h"

enum {
        RECEIVE_SIZE = 64 * 1024,     /* one datagram of a dump is at most 32 KiB */
        RECEIVE_TIMEOUT_SEC = 5,      /* the kernel answers at once; never hang if it does not */
        RECEIVE_BUFFER = 1024 * 1024, /* notifications wait here */
        SEND_BUFFER_SLACK = 16 * 1024,
};

struct netlink {
        int fd;
        uint32_t seq, port;
        size_t send_buffer; /* SO_SNDBUF asked for so far */
        uint8_t *buffer;    /* owned, RECEIVE_SIZE */
};

static int open_socket(int protocol, uint32_t *ret_port, struct err *err)
{
        _cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
        struct sockaddr_nl address = { .nl_family = AF_NETLINK };
        socklen_t len = sizeof address;
        int on = 1;

        if (fd < 0)
                return err_sys(err, -errno, "open netlink socket of protocol %d", protocol);
        if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0 ||
            getsockname(fd, (struct sockaddr *)&address, &len) < 0)
                return err_sys(err, -errno, "bind netlink socket of protocol %d", protocol);
        /* Without these, errors come without the kernel's words and with the whole request. */
        (void)setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on);
        (void)setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on);
        *ret_port = address.nl_pid;
        return TAKE_FD(fd);
}

int netlink_open(int protocol, struct netlink **ret, struct err *err)
{
        struct timeval timeout = { .tv_sec = RECEIVE_TIMEOUT_SEC };
        _cleanup_(netlink_freep)
        struct netlink *n = calloc(1, sizeof *n);

        if (!n)
                return err_sys(err, -ENOMEM, "open netlink socket");
        n->fd = -1;
        n->buffer = malloc(RECEIVE_SIZE);
        if (!n->buffer)
                return err_sys(err, -ENOMEM, "open netlink socket");
        n->fd = open_socket(protocol, &n->port, err);
        if (n->fd < 0)
                return n->fd;
        if (setsockopt(n->fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout) < 0)
                return err_sys(err, -errno, "set time-out of netlink socket");
        n->seq = 1;
        *ret = TAKE_PTR(n);
        return 0;
}

struct netlink *netlink_free(struct netlink *n)
{
        if (!n)
                return NULL;
        safe_close(n->fd);
        free(n->buffer);
        free(n);
        return NULL;
}

uint32_t netlink_port(const struct netlink *n)
{
        return n->port;
}

struct nl_msg *netlink_message(uint16_t type, uint16_t flags, const void *header, size_t header_len,
                               size_t room)
{
        struct nl_msg *m = nlmsg_alloc_size(NLMSG_SPACE(header_len) + room);

        if (!m)
                return NULL;
        if (!nlmsg_put(m, NL_AUTO_PORT, 0, type, 0, flags) ||
            nlmsg_append(m, (void *)header, header_len, NLMSG_ALIGNTO) < 0) {
                nlmsg_free(m);
                return NULL;
        }
        return m;
}

/* The kernel drops nothing for lack of buffer here: it refuses with EMSGSIZE instead. */
static void make_room_to_send(struct netlink *n, size_t len)
{
        int size = (int)(len + SEND_BUFFER_SLACK);

        if (len + SEND_BUFFER_SLACK <= n->send_buffer)
                return;
        if (setsockopt(n->fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size) < 0)
                (void)setsockopt(n->fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
        n->send_buffer = (size_t)size;
}

static int send_bytes(struct netlink *n, const void *data, size_t len, struct err *err)
{
        struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
        ssize_t sent;

        if (len > 128 * 1024)
                make_room_to_send(n, len);
        do {
                sent = sendto(n->fd, data, len, 0, (struct sockaddr *)&kernel, sizeof kernel);
        } while (sent < 0 && errno == EINTR);
        return sent < 0 ? err_sys(err, -errno, "send %zu bytes to the kernel", len) : 0;
}

static ssize_t receive(int fd, void *buffer, int flags)
{
        struct sockaddr_nl from;
        socklen_t from_len;
        ssize_t got;

        do {
                from_len = sizeof from;
                got = recvfrom(fd, buffer, RECEIVE_SIZE, flags | MSG_TRUNC,
                               (struct sockaddr *)&from, &from_len);
                /* another process can send to our port: only the kernel (0) is believed */
        } while ((got < 0 && errno == EINTR) || (got >= 0 && from.nl_pid != 0));
        if (got < 0)
                return -errno;
        return got > RECEIVE_SIZE ? -EMSGSIZE : got;
}

/* What an NLMSG_ERROR says; 0 is an acknowledgement. */
static int answer_error(const struct nlmsghdr *h, struct err *err)
{
        const struct nlmsgerr *e = nlmsg_data(h);
        struct nlattr *attrs[NLMSGERR_ATTR_MAX + 1] = { 0 };
        const char *words = NULL;
        size_t skip = sizeof *e;

        if (h->nlmsg_len < NLMSG_LENGTH(sizeof *e))
                return err_set(err, -EBADMSG, "short answer from the kernel");
        if (e->error == 0)
                return 0;
        if (!(h->nlmsg_flags & NLM_F_CAPPED))
                skip += NLMSG_ALIGN(e->msg.nlmsg_len) - sizeof e->msg;
        if ((h->nlmsg_flags & NLM_F_ACK_TLVS) && NLMSG_LENGTH(skip) < h->nlmsg_len &&
            nla_parse(attrs, NLMSGERR_ATTR_MAX, (struct nlattr *)((char *)e + skip),
                      (int)(h->nlmsg_len - NLMSG_LENGTH(skip)), NULL) >= 0 &&
            attrs[NLMSGERR_ATTR_MSG])
                words = nla_get_string(attrs[NLMSGERR_ATTR_MSG]);
        if (words)
                return err_set(err, e->error, "%s: %s", strerror(-e->error), words);
        return err_set(err, e->error, "%s", strerror(-e->error));
}

/* Numbers the message and sends it. Takes @m. */
static int send_message(struct netlink *n, struct nl_msg *m, uint16_t flags, struct err *err)
{
        struct nlmsghdr *h;
        int r;

        if (!m)
                return err_sys(err, -ENOMEM, "build netlink message");
        h = nlmsg_hdr(m);
        h->nlmsg_flags |= NLM_F_REQUEST | flags;
        h->nlmsg_seq = ++n->seq;
        h->nlmsg_pid = n->port;
        r = send_bytes(n, h, h->nlmsg_len, err);
        nlmsg_free(m);
        return r;
}

/*
 * Reads answers to the last request until it is complete. A request with an acknowledgement or a
 * single answer ends at its first message; a dump ends with NLMSG_DONE.
 */
static int take_answers(struct netlink *n, bool is_dump, netlink_message_fn fn, void *userdata,
                        struct err *err)
{
        bool interrupted = false;
        int result = 0;

        for (;;) {
                ssize_t got = receive(n->fd, n->buffer, 0);
                int left = (int)got;

                if (got < 0)
                        return err_sys(err, (int)got, "wait for the kernel's answer");
                for (struct nlmsghdr *h = (struct nlmsghdr *)n->buffer; nlmsg_ok(h, left);
                     h = nlmsg_next(h, &left)) {
                        if (h->nlmsg_seq != n->seq)
                                continue; /* left over from a request that was given up */
                        if (h->nlmsg_flags & NLM_F_DUMP_INTR)
                                interrupted = true;
                        if (h->nlmsg_type == NLMSG_ERROR)
                                return answer_error(h, err);
                        if (h->nlmsg_type == NLMSG_DONE) {
                                int r = h->nlmsg_len >= NLMSG_LENGTH(sizeof(int))
                                                ? *(int *)nlmsg_data(h)
                                                : 0;

                                if (result < 0)
                                        return err_sys(err, result, "read the kernel's answer");
                                if (r < 0)
                                        return err_sys(err, r, "list");
                                return interrupted ? err_sys(err, -EINTR, "list") : 0;
                        }
                        if (fn && result >= 0)
                                result = fn(h, userdata);
                        if (!is_dump)
                                return result < 0 ? err_sys(err, result, "read the kernel's answer")
                                                  : 0;
                }
        }
}

int netlink_request(struct netlink *n, struct nl_msg *m, struct err *err)
{
        int r = send_message(n, m, NLM_F_ACK, err);

        return r < 0 ? r : take_answers(n, false, NULL, NULL, err);
}

int netlink_get(struct netlink *n, struct nl_msg *m, netlink_message_fn fn, void *userdata,
                struct err *err)
{
        int r = send_message(n, m, 0, err);

        return r < 0 ? r : take_answers(n, false, fn, userdata, err);
}

int netlink_dump(struct netlink *n, struct nl_msg *m, netlink_message_fn fn, void *userdata,
                 struct err *err)
{
        int r = send_message(n, m, NLM_F_DUMP, err);

        return r < 0 ? r : take_answers(n, true, fn, userdata, err);
}

int netlink_batch(struct netlink *n, const void *data, size_t len, uint32_t last, uint32_t *ret_seq,
                  struct err *err)
{
        bool acknowledged = last == 0;
        int first = 0, r;

        /* answers to a batch that was given up */
        while (receive(n->fd, n->buffer, MSG_DONTWAIT) >= 0)
                ;
        r = send_bytes(n, data, len, err);
        if (r < 0)
                return r;
        for (;;) {
                ssize_t got = receive(n->fd, n->buffer, MSG_DONTWAIT);
                int left = (int)got;

                if (got == -EAGAIN)
                        break;
                if (got == -ENOBUFS) {
                        /* so many failed that their answers did not fit: the first ones did */
                        continue;
                }
                if (got < 0)
                        return err_sys(err, (int)got, "wait for the kernel's answer");
                for (struct nlmsghdr *h = (struct nlmsghdr *)n->buffer; nlmsg_ok(h, left);
                     h = nlmsg_next(h, &left)) {
                        if (h->nlmsg_type != NLMSG_ERROR || first < 0)
                                continue;
                        first = answer_error(h, err);
                        if (first < 0 && ret_seq)
                                *ret_seq = h->nlmsg_seq;
                        if (first == 0 && h->nlmsg_seq == last)
                                acknowledged = true;
                }
        }
        if (first < 0)
                return first;
        return acknowledged ? 0 : err_set(err, -EIO, "the kernel did not answer the batch");
}

struct netlink_watch {
        int fd;
        unsigned groups[4];
        size_t n_groups;
        const struct netlink_watch_ops *ops;
        void *userdata;
        uint8_t *buffer;         /* owned, RECEIVE_SIZE */
        sd_event_source *source; /* owned */
};

static int set_membership(const struct netlink_watch *w, int option)
{
        for (size_t i = 0; i < w->n_groups; i++)
                if (setsockopt(w->fd, SOL_NETLINK, option, &w->groups[i], sizeof w->groups[i]) < 0)
                        return -errno;
        return 0;
}

int netlink_watch_pause(struct netlink_watch *w)
{
        return set_membership(w, NETLINK_DROP_MEMBERSHIP);
}

int netlink_watch_resume(struct netlink_watch *w)
{
        return set_membership(w, NETLINK_ADD_MEMBERSHIP);
}

void netlink_watch_drain(struct netlink_watch *w)
{
        for (;;) {
                ssize_t got = receive(w->fd, w->buffer, MSG_DONTWAIT);
                int left = (int)got;

                if (got == -ENOBUFS || got == -EMSGSIZE) {
                        w->ops->on_lost(w->userdata);
                        continue;
                }
                if (got < 0)
                        return;
                for (struct nlmsghdr *h = (struct nlmsghdr *)w->buffer; nlmsg_ok(h, left);
                     h = nlmsg_next(h, &left))
                        w->ops->on_message(h, w->userdata);
        }
}

static int on_notification(_unused_ sd_event_source *s, _unused_ int fd, _unused_ uint32_t revents,
                           void *userdata)
{
        netlink_watch_drain(userdata);
        return 0;
}

int netlink_watch_new(sd_event *event, int protocol, const unsigned *groups, size_t n_groups,
                      const struct netlink_watch_ops *ops, void *userdata,
                      struct netlink_watch **ret, struct err *err)
{
        _cleanup_(netlink_watch_freep)
        struct netlink_watch *w = calloc(1, sizeof *w);
        int size = RECEIVE_BUFFER, r;
        uint32_t port;

        if (!w)
                return err_sys(err, -ENOMEM, "watch netlink");
        w->fd = -1;
        w->ops = ops;
        w->userdata = userdata;
        w->n_groups = MIN(n_groups, ARRAY_SIZE(w->groups));
        memcpy(w->groups, groups, w->n_groups * sizeof *groups);
        w->buffer = malloc(RECEIVE_SIZE);
        if (!w->buffer)
                return err_sys(err, -ENOMEM, "watch netlink");
        w->fd = open_socket(protocol, &port, err);
        if (w->fd < 0)
                return w->fd;
        if (setsockopt(w->fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) < 0)
                (void)setsockopt(w->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
        r = netlink_watch_resume(w);
        if (r < 0)
                return err_sys(err, r, "join netlink group %u", groups[0]);
        r = sd_event_add_io(event, &w->source, w->fd, EPOLLIN, on_notification, w);
        if (r < 0)
                return err_sys(err, r, "watch netlink");
        *ret = TAKE_PTR(w);
        return 0;
}

struct netlink_watch *netlink_watch_free(struct netlink_watch *w)
{
        if (!w)
                return NULL;
        sd_event_source_disable_unref(w->source);
        safe_close(w->fd);
        free(w->buffer);
        free(w);
        return NULL;
}
