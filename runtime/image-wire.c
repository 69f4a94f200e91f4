#include "runtime/image-wire.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

int wire_send(int socket_fd, const struct wire_message *m, const int *fds, size_t n_fds)
{
        union {
                char bytes[CMSG_SPACE(sizeof(int) * WIRE_FDS_MAX)];
                struct cmsghdr align;
        } control = { 0 };
        struct iovec iov = { (void *)m, sizeof *m };
        struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

        if (n_fds > 0) {
                struct cmsghdr *c;

                msg.msg_control = control.bytes;
                msg.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
                c = CMSG_FIRSTHDR(&msg);
                c->cmsg_level = SOL_SOCKET;
                c->cmsg_type = SCM_RIGHTS;
                c->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
                memcpy(CMSG_DATA(c), fds, sizeof(int) * n_fds);
        }
        while (sendmsg(socket_fd, &msg, MSG_NOSIGNAL) < 0)
                if (errno != EINTR)
                        return -errno;
        return 0;
}

int wire_send_failure(int socket_fd, int r, const struct err *err)
{
        struct wire_message m = { .type = WIRE_FAILED, .error = r, .kind = err->kind };

        snprintf(m.text, sizeof m.text, "%s", err_text(err));
        return wire_send(socket_fd, &m, NULL, 0);
}

void wire_close_fds(int fds[static WIRE_FDS_MAX])
{
        for (size_t i = 0; i < WIRE_FDS_MAX; i++)
                fds[i] = safe_close(fds[i]);
}

static size_t take_fds(struct msghdr *msg, int *fds)
{
        size_t n = 0;

        for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
                size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

                if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
                        continue;
                for (size_t i = 0; i < count && n < WIRE_FDS_MAX; i++)
                        memcpy(&fds[n++], CMSG_DATA(c) + i * sizeof(int), sizeof(int));
        }
        return n;
}

int wire_receive(int socket_fd, struct wire_message *ret, int ret_fds[static WIRE_FDS_MAX])
{
        union {
                char bytes[CMSG_SPACE(sizeof(int) * WIRE_FDS_MAX)];
                struct cmsghdr align;
        } control;
        struct iovec iov = { ret, sizeof *ret };
        struct msghdr msg = { .msg_iov = &iov,
                              .msg_iovlen = 1,
                              .msg_control = control.bytes,
                              .msg_controllen = sizeof control.bytes };
        ssize_t n;

        for (size_t i = 0; i < WIRE_FDS_MAX; i++)
                ret_fds[i] = -1;
        do
                n = recvmsg(socket_fd, &msg, MSG_CMSG_CLOEXEC);
        while (n < 0 && errno == EINTR);
        if (n <= 0)
                return n < 0 && errno != ECONNRESET ? -errno : 0;
        take_fds(&msg, ret_fds);
        if (n != sizeof *ret || (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) ||
            ret->type >= _WIRE_TYPE_MAX || ret->error > 0 || ret->kind >= _ERR_KIND_MAX) {
                wire_close_fds(ret_fds);
                return -EBADMSG;
        }
        ret->digest[sizeof ret->digest - 1] = '\0';
        ret->diff_id[sizeof ret->diff_id - 1] = '\0';
        ret->index_digest[sizeof ret->index_digest - 1] = '\0';
        ret->text[sizeof ret->text - 1] = '\0';
        return 1;
}
