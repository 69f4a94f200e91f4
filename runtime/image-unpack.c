#include "runtime/image-unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>

#include "runtime/image-sandbox.h"

/* Descriptors of the child, in order; all others are closed. */
enum { INPUT_FD = 3, WIRE_FD, ROOT_FD, INDEX_FD, IMPLIED_FD, _END_FD };

static int on_opaque(int dir_fd, _unused_ void *userdata)
{
        struct wire_message m = { .type = WIRE_OPAQUE };

        return wire_send(WIRE_FD, &m, &dir_fd, 1);
}

static int unpack(const struct unpack_job *job, pid_t parent, struct wire_message *m,
                  struct err *err)
{
        struct layer_job layer = {
                .compression = job->compression,
                .digest = job->digest,
                .diff_id = job->diff_id,
                .size = job->size,
                .input_fd = INPUT_FD,
                .index_fd = INDEX_FD,
                .tree = {
                        .implied_fd = IMPLIED_FD,
                        .make_opaque = on_opaque,
                        .reserve_bytes = job->reserve_bytes,
                },
        };
        int root_fd = sandbox_enter_unpacker(ROOT_FD, parent, err), r;

        if (root_fd < 0)
                return root_fd;
        close(ROOT_FD);
        layer.tree.root_fd = root_fd;
        r = layer_unpack(&layer, &m->result, err);
        if (r == 0 && syncfs(root_fd) < 0)
                r = err_sys(err, -errno, "sync the layer");
        return r;
}

static __attribute__((noreturn)) void child(const struct unpack_job *job, pid_t parent)
{
        struct wire_message m = { .type = WIRE_UNPACKED };
        struct err err = { 0 };
        int r = unpack(job, parent, &m, &err);

        if (r < 0)
                r = wire_send_failure(WIRE_FD, r, &err);
        else
                r = wire_send(WIRE_FD, &m, NULL, 0);
        _exit(r < 0);
}

/* Puts descriptors to INPUT_FD and so on and closes the rest. */
static int arrange(const int fds[_END_FD - INPUT_FD])
{
        int high[_END_FD - INPUT_FD];

        for (int i = 0; i < _END_FD - INPUT_FD; i++) {
                high[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, _END_FD);
                if (high[i] < 0)
                        return -errno;
        }
        for (int i = 0; i < _END_FD - INPUT_FD; i++)
                if (dup3(high[i], INPUT_FD + i, O_CLOEXEC) < 0)
                        return -errno;
        return close_range(_END_FD, ~0U, 0) < 0 ? -errno : 0;
}

pid_t image_unpack_start(const struct unpack_job *job, int *ret_pipe, int *ret_wire,
                         struct err *err)
{
        _cleanup_close_ int read_end = -1, write_end = -1, ours = -1, theirs = -1;
        pid_t parent = getpid(), pid;
        int ends[2];

        if (pipe2(ends, O_CLOEXEC) < 0)
                return err_sys(err, -errno, "make a pipe");
        read_end = ends[0];
        write_end = ends[1];
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
                return err_sys(err, -errno, "make a socket");
        ours = ends[0];
        theirs = ends[1];
        if (fcntl(ours, F_SETFL, O_NONBLOCK) < 0)
                return err_sys(err, -errno, "make a socket");
        pid = fork();
        if (pid < 0)
                return err_sys(err, -errno, "start an unpacker");
        if (pid == 0) {
                const int fds[] = { read_end, theirs, job->root_fd, job->index_fd,
                                    job->implied_fd };

                if (arrange(fds) < 0)
                        _exit(1);
                child(job, parent);
        }
        *ret_pipe = TAKE_FD(write_end);
        *ret_wire = TAKE_FD(ours);
        return pid;
}
