#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "runtime/shim-protocol.h"
#include "tests/check.h"

static char text[SHIM_TEXT_MAX + 1];

static void make_pair(int pair[2])
{
        CHECK_INT(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
}

TEST(a_message_arrives_with_its_text_and_descriptors)
{
        struct shim_message m = { .verb = SHIM_CREATE, .request = 7, .value = -3, .id = "abc" },
                            got;
        int pair[2], pipe_fds[2], fds[SHIM_MAX_FDS];
        unsigned n = 9;

        make_pair(pair);
        CHECK_INT(pipe(pipe_fds), 0);
        CHECK_INT(shim_send(pair[0], &m, "hello", pipe_fds, 2), 0);
        CHECK_INT(shim_receive(pair[1], &got, text, fds, &n), 1);
        CHECK_INT(got.verb, SHIM_CREATE);
        CHECK_INT(got.request, 7);
        CHECK_INT(got.value, -3);
        CHECK_STR(got.id, "abc");
        CHECK_STR(text, "hello");
        CHECK_INT(n, 2);
        CHECK(fcntl(fds[0], F_GETFD) & FD_CLOEXEC);
        CHECK_INT(write(fds[1], "x", 1), 1);
        for (int i = 0; i < 2; i++) {
                close(fds[i]);
                close(pipe_fds[i]);
                close(pair[i]);
        }
}

TEST(nothing_to_read_and_the_end_are_told_apart)
{
        struct shim_message got;
        int pair[2], fds[SHIM_MAX_FDS];
        unsigned n;

        make_pair(pair);
        CHECK_INT(shim_receive(pair[1], &got, text, fds, &n), -EAGAIN);
        close(pair[0]);
        CHECK_INT(shim_receive(pair[1], &got, text, fds, &n), 0);
        close(pair[1]);
}

TEST(text_beyond_the_maximum_is_cut)
{
        static char big[2 * SHIM_TEXT_MAX];
        struct shim_message m = { .verb = SHIM_FAILED }, got;
        int pair[2], fds[SHIM_MAX_FDS];
        unsigned n;

        make_pair(pair);
        memset(big, 'x', sizeof big - 1);
        CHECK_INT(shim_send(pair[0], &m, big, NULL, 0), 0);
        CHECK_INT(shim_receive(pair[1], &got, text, fds, &n), 1);
        CHECK_INT(strlen(text), SHIM_TEXT_MAX);
        close(pair[0]);
        close(pair[1]);
}

TEST(a_message_that_lies_is_refused_and_its_descriptors_are_closed)
{
        struct shim_message m = { .version = SHIM_PROTOCOL_VERSION, .verb = SHIM_HELLO }, got;
        int pair[2], fds[SHIM_MAX_FDS], before, after;
        unsigned n;

        make_pair(pair);
        before = dup(0);
        close(before);

        CHECK(write(pair[0], &m, sizeof m - 1) > 0); /* short */
        CHECK_INT(shim_receive(pair[1], &got, text, fds, &n), -EBADMSG);
        m.text_len = 5; /* text that did not come */
        CHECK(write(pair[0], &m, sizeof m) > 0);
        CHECK_INT(shim_receive(pair[1], &got, text, fds, &n), -EBADMSG);
        m.text_len = 0;
        memset(m.id, 'a', sizeof m.id); /* an id without end */
        CHECK(write(pair[0], &m, sizeof m) > 0);
        CHECK_INT(shim_receive(pair[1], &got, text, fds, &n), -EBADMSG);
        m.id[0] = '\0';
        m.version++; /* another version, with a descriptor */
        {
                union {
                        struct cmsghdr align;
                        char space[CMSG_SPACE(sizeof(int))];
                } control = { 0 };
                struct iovec iov = { &m, sizeof m };
                struct msghdr msg = { .msg_iov = &iov,
                                      .msg_iovlen = 1,
                                      .msg_control = &control,
                                      .msg_controllen = sizeof control };
                struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
                int zero = 0;

                c->cmsg_level = SOL_SOCKET;
                c->cmsg_type = SCM_RIGHTS;
                c->cmsg_len = CMSG_LEN(sizeof(int));
                memcpy(CMSG_DATA(c), &zero, sizeof zero);
                CHECK(sendmsg(pair[0], &msg, 0) > 0);
        }
        CHECK_INT(shim_receive(pair[1], &got, text, fds, &n), -EBADMSG);
        CHECK_INT(n, 0);
        after = dup(0);
        close(after);
        CHECK_INT(before, after);
        close(pair[0]);
        close(pair[1]);
}

TEST(a_peer_that_does_not_read_gives_eagain_not_a_wait)
{
        struct shim_message m = { .verb = SHIM_EV_STATE };
        int pair[2], r = 0;

        make_pair(pair);
        for (int i = 0; r == 0 && i < 100000; i++)
                r = shim_send(pair[0], &m, NULL, NULL, 0);
        CHECK_INT(r, -EAGAIN);
        close(pair[1]);
        r = shim_send(pair[0], &m, NULL, NULL, 0);
        CHECK(r == -EPIPE || r == -ECONNRESET);
        close(pair[0]);
}
