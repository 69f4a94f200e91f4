#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/err.h"
#include "runtime/shim.h"

int plan_map(int fd, struct mapped_plan *ret, const char **why)
{
        enum { SEALED = F_SEAL_WRITE | F_SEAL_SHRINK };
        struct stat st;
        void *data;
        int r;

        *why = "it is no sealed memfd";
        if (fstat(fd, &st) < 0)
                return -errno;
        /* what was checked must be what is used, and there to its end */
        if ((fcntl(fd, F_GET_SEALS) & SEALED) != SEALED || st.st_size <= 0 || st.st_size > PLAN_MAX)
                return -EBADMSG;
        data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (data == MAP_FAILED)
                return -errno;
        r = plan_view_open(&ret->view, data, (size_t)st.st_size, why);
        if (r < 0) {
                munmap(data, (size_t)st.st_size);
                return r;
        }
        ret->data = data;
        ret->len = (size_t)st.st_size;
        return 0;
}

void plan_unmap(struct mapped_plan *p)
{
        if (p->data)
                munmap(p->data, p->len);
        p->data = NULL;
}

static bool is_id(const char *id)
{
        size_t n = strspn(id, "0123456789abcdef");

        return n == SHIM_ID_SIZE - 1 && id[n] == '\0';
}

static void hello(struct connection *c, struct reply_to *to)
{
        struct shim_message end = { .verb = SHIM_EV_END };

        connection_want_events(c);
        reply_ok(to, NULL, getpid());
        containers_tell(c);
        send_event(c, &end, NULL);
}

static void refuse(struct reply_to *to, const struct shim_message *m, const char *text)
{
        reply_failed(to, m->id, -EINVAL, ERR_BAD_INPUT, text);
}

/* The requests about one container. */
static void handle_container(struct reply_to to, const struct shim_message *m, int *fds,
                             unsigned n_fds)
{
        if (!is_id(m->id)) {
                refuse(&to, m, "container id: expected 64 lower-case hexadecimal digits");
                return;
        }
        switch (m->verb) {
        case SHIM_CREATE:
                if (shim.ending || n_fds < 2)
                        refuse(&to, m,
                               shim.ending ? "the sandbox is shutting down"
                                           : "create: expected a plan and a cgroup");
                else
                        container_create(to, m->id, fds, n_fds);
                break;
        case SHIM_START:
                container_start(to, m->id);
                break;
        case SHIM_KILL:
                if (m->value < 0 || m->value > SIGRTMAX)
                        refuse(&to, m, "kill: expected a signal's number");
                else
                        container_kill(to, m->id, (int)m->value);
                break;
        case SHIM_EXEC:
                if (n_fds < 1)
                        refuse(&to, m, "exec: expected a plan");
                else
                        exec_start(to, m, fds[0]);
                break;
        case SHIM_REOPEN:
                container_reopen_log(to, m->id);
                break;
        case SHIM_ATTACH:
                container_attach(to, m);
                break;
        default: /* SHIM_DELETE */
                container_delete(to, m->id);
                break;
        }
}

void request_handle(struct connection *c, const struct shim_message *m, int *fds, unsigned n_fds)
{
        struct reply_to to = { .connection = c, .request = m->request };

        switch (m->verb) {
        case SHIM_HELLO:
                hello(c, &to);
                break;
        case SHIM_CREATE:
        case SHIM_START:
        case SHIM_KILL:
        case SHIM_EXEC:
        case SHIM_REOPEN:
        case SHIM_ATTACH:
        case SHIM_DELETE:
                handle_container(to, m, fds, n_fds);
                break;
        case SHIM_EXEC_KILL:
                exec_kill(to, (uint64_t)m->value);
                break;
        case SHIM_ACK:
                containers_acknowledge((uint64_t)m->value);
                break;
        case SHIM_SHUTDOWN:
                shim_shutdown(to);
                break;
        default:
                refuse(&to, m, "a verb that nobody knows");
        }
        for (unsigned n = 0; n < n_fds; n++)
                safe_close(fds[n]);
}
