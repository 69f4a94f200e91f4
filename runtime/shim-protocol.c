#include "runtime/shim-protocol.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

int shim_send(int fd, const struct shim_message *m, const char *text, const int *fds,
              unsigned n_fds)
{
        union {
                struct cmsghdr align;
                char space[CMSG_SPACE(sizeof(int) * SHIM_MAX_FDS)];
        } control = { 0 };
        struct shim_message header = *m;
        size_t text_len = text ? strlen(text) : 0;
        struct iovec iov[2];
        struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };

        if (n_fds > SHIM_MAX_FDS)
                return -EINVAL;
        if (text_len > SHIM_TEXT_MAX)
                text_len = SHIM_TEXT_MAX;
        header.version = SHIM_PROTOCOL_VERSION;
        header.text_len = (uint32_t)text_len;
        header.id[sizeof header.id - 1] = '\0';
        iov[0] = (struct iovec){ &header, sizeof header };
        iov[1] = (struct iovec){ (char *)text, text_len };
        if (n_fds) {
                struct cmsghdr *c;

                msg.msg_control = control.space;
                msg.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
                c = CMSG_FIRSTHDR(&msg);
                c->cmsg_level = SOL_SOCKET;
                c->cmsg_type = SCM_RIGHTS;
                c->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
                memcpy(CMSG_DATA(c), fds, sizeof(int) * n_fds);
        }
        if (sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
                return -errno;
        return 0;
}

/* Takes out the descriptors that came along; more than we have room for is a lie. */
static int collect_fds(struct msghdr *msg, int *fds, unsigned *ret_n)
{
        unsigned n = 0;
        int r = 0;

        for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
                size_t count;

                if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
                        continue;
                count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
                for (size_t i = 0; i < count; i++) {
                        int fd;

                        memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
                        if (n < SHIM_MAX_FDS) {
                                fds[n++] = fd;
                        } else {
                                close(fd);
                                r = -EBADMSG;
                        }
                }
        }
        *ret_n = n;
        return r;
}

static int message_check(const struct shim_message *m, size_t received)
{
        if (received < sizeof *m || m->version != SHIM_PROTOCOL_VERSION)
                return -EBADMSG;
        if (m->text_len > SHIM_TEXT_MAX || received != sizeof *m + m->text_len)
                return -EBADMSG;
        if (!memchr(m->id, '\0', SHIM_ID_SIZE))
                return -EBADMSG;
        return 0;
}

int shim_receive(int fd, struct shim_message *m, char *text, int *fds, unsigned *n_fds)
{
        union {
                struct cmsghdr align;
                char space[CMSG_SPACE(sizeof(int) * SHIM_MAX_FDS)];
        } control;
        struct iovec iov[2] = { { m, sizeof *m }, { text, SHIM_TEXT_MAX + 1 } };
        struct msghdr msg = {
                .msg_iov = iov,
                .msg_iovlen = 2,
                .msg_control = control.space,
                .msg_controllen = sizeof control.space,
        };
        ssize_t n;
        int r;

        *n_fds = 0;
        n = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (n < 0)
                return -errno;
        r = collect_fds(&msg, fds, n_fds);
        if (n == 0 && *n_fds == 0)
                return 0;
        if (r == 0 && (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)))
                r = -EBADMSG;
        if (r == 0)
                r = message_check(m, (size_t)n);
        if (r < 0) {
                while (*n_fds > 0)
                        close(fds[--*n_fds]);
                return r;
        }
        text[m->text_len] = '\0';
        return 1;
}
