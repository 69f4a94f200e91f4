/* Further processes in a running container: captured (probes, hooks) or with their streams. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/text.h"
#include "runtime/container.h"
#include "runtime/plan.h"

enum { ARGS_MAX = 1024, ARGS_BYTES_MAX = 128 << 10, OUTPUT_MAX = 16 << 20 };

struct exec_op {
        struct runtime_op op; /* first member */
        struct runtime *rt;   /* borrowed */
        char container_id[RUNTIME_ID_SIZE];
        uint64_t request;
        uint16_t flags; /* SHIM_EXEC_… */
        exec_done_fn done;
        void (*started)(int r, const struct exec_streams *streams, const struct err *err,
                        void *userdata);
        void (*exited)(int exit_code, void *userdata);
        void *userdata;
};

static int check_arguments(const char *const *argv, struct err *err)
{
        size_t n = 0, bytes = 0;

        for (; argv && argv[n]; n++) {
                bytes += strlen(argv[n]) + 1;
                if (n == ARGS_MAX || bytes > ARGS_BYTES_MAX)
                        return err_set_kind(err, -E2BIG, ERR_BAD_INPUT,
                                            "command: expected at most %d arguments and %d bytes",
                                            ARGS_MAX, ARGS_BYTES_MAX);
        }
        return n && argv[0][0]
                       ? 0
                       : err_set_kind(err, -EINVAL, ERR_BAD_INPUT, "command: expected a program");
}

static int compile(const char *const *argv, struct err *err)
{
        _cleanup_(plan_writer_done)
        struct plan_writer w = { 0 };
        int r = check_arguments(argv, err);

        if (r == 0)
                r = plan_compile_exec(argv, &w, err);
        if (r < 0)
                return r;
        r = fs_sealed_memfd("exec-plan", w.data, w.len);
        return r < 0 ? err_sys(err, r, "make the command's plan") : r;
}

/* A probe nobody waits for any more must not go on; a stream goes on as long as its ends do. */
static void on_abandon(struct runtime_op *base)
{
        struct exec_op *op = CONTAINER_OF(base, struct exec_op, op);
        struct container *c = container_get(op->rt, op->container_id);
        struct shim_message m = { .verb = SHIM_EXEC_KILL, .value = (int64_t)op->request };

        if (!c || !c->sandbox || !c->sandbox->shim)
                return;
        memcpy(m.id, c->id, sizeof c->id);
        shim_request(c->sandbox->shim, &m, NULL, 0, NULL, NULL, NULL);
}

static int find_running(struct runtime *rt, const char *container_id, struct container **ret,
                        struct err *err)
{
        struct container *c = container_get(rt, container_id);

        if (!c)
                return err_set_kind(err, -ENOENT, ERR_NOT_FOUND, "no container '%s'", container_id);
        if (c->status.state != CONTAINER_RUNNING || !c->sandbox || !c->sandbox->shim)
                return err_set_kind(err, -ESRCH, ERR_NOT_RUNNING, "container '%s' does not run",
                                    container_id);
        *ret = c;
        return 0;
}

static int begin(struct runtime *rt, const char *container_id, const char *const *argv,
                 struct shim_message *m, shim_answer_fn answer, struct exec_op *op, struct err *err)
{
        _cleanup_close_ int plan_fd = -1;
        struct container *c;
        int r = find_running(rt, container_id, &c, err);

        if (r < 0)
                return r;
        plan_fd = compile(argv, err);
        if (plan_fd < 0)
                return plan_fd;
        op->rt = rt;
        op->flags = m->flags;
        memcpy(op->container_id, c->id, sizeof c->id);
        memcpy(m->id, c->id, sizeof c->id);
        m->verb = SHIM_EXEC;
        r = shim_request(c->sandbox->shim, m, &plan_fd, 1, answer, op, &op->request);
        if (r == -ENOTCONN)
                return err_set_kind(err, r, ERR_NOT_RUNNING, "the pod's shim died");
        return r < 0 ? err_sys(err, r, "ask the shim to run a command") : 0;
}

/* ---- captured ---- */

static int map_output(int fd, int64_t size, const char **ret, size_t *ret_len)
{
        void *p;

        if (fd < 0 || size <= 0 || size > OUTPUT_MAX)
                return 0; /* nothing was written */
        /* the memfd is the shim's, and sealed by it: it cannot shrink under us */
        p = mmap(NULL, (size_t)size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (p == MAP_FAILED)
                return -errno;
        *ret = p;
        *ret_len = (size_t)size;
        return 0;
}

static bool is_sealed(int fd, int64_t size)
{
        struct stat st;
        int seals = fcntl(fd, F_GET_SEALS);

        return seals >= 0 && seals & F_SEAL_SHRINK && fstat(fd, &st) == 0 && st.st_size >= size;
}

static void tell_result(struct exec_op *op, const struct shim_message *m, int fd)
{
        struct exec_result result = {
                .exit_code = (int)(m->value & 0xff),
                .timed_out = m->flags & SHIM_EXEC_TIMED_OUT,
                .output = "",
        };
        const char *mapped = NULL;
        size_t len = 0;

        if (fd >= 0 && is_sealed(fd, m->value2) && map_output(fd, m->value2, &mapped, &len) == 0 &&
            mapped) {
                result.output = mapped;
                result.output_len = len;
        }
        op->done(0, &result, NULL, op->userdata);
        if (mapped)
                munmap((void *)mapped, len);
}

static void on_captured(const struct shim_message *answer, const char *text, int *fds,
                        unsigned n_fds, void *userdata)
{
        struct exec_op *op = userdata;
        _cleanup_err_ struct err err = { 0 };
        int r;

        if (answer && answer->verb == SHIM_OK)
                return; /* it runs */
        if (answer && !op->op.abandoned) {
                if (answer->verb == SHIM_FAILED) {
                        r = shim_failure(answer, text, &err);
                        op->done(r, NULL, &err, op->userdata);
                } else {
                        tell_result(op, answer, n_fds ? fds[0] : -1);
                }
        }
        free(op);
}

int exec_sync(struct runtime *rt, const char *container_id, const char *const *argv,
              usec_t timeout_usec, size_t output_max, exec_done_fn done, void *userdata,
              struct runtime_op **ret, struct err *err)
{
        _cleanup_free_ struct exec_op *op = calloc(1, sizeof *op);
        struct shim_message m = {
                .flags = SHIM_EXEC_CAPTURE,
                .value = (int64_t)((timeout_usec + USEC_PER_MSEC - 1) / USEC_PER_MSEC),
                .value2 = (int64_t)MIN(output_max, (size_t)OUTPUT_MAX),
        };
        int r;

        if (!op)
                return err_sys(err, -ENOMEM, "run a command");
        op->op.on_abandon = on_abandon;
        op->done = done;
        op->userdata = userdata;
        r = begin(rt, container_id, argv, &m, on_captured, op, err);
        if (r < 0)
                return r;
        if (ret)
                *ret = &op->op;
        TAKE_PTR(op);
        return 0;
}

/* ---- with streams ---- */

static int take(int *fds, unsigned n_fds, unsigned *at, bool wanted)
{
        unsigned i = *at;

        if (!wanted || i >= n_fds)
                return -1;
        *at = i + 1;
        return TAKE_FD(fds[i]);
}

static void tell_streams(struct exec_op *op, int *fds, unsigned n_fds)
{
        struct exec_streams streams;
        bool tty = op->flags & SHIM_EXEC_TTY;
        unsigned at = 0;

        streams.stdin_fd = take(fds, n_fds, &at, tty || op->flags & SHIM_EXEC_STDIN);
        streams.stdout_fd = take(fds, n_fds, &at, !tty && op->flags & SHIM_EXEC_STDOUT);
        streams.stderr_fd = take(fds, n_fds, &at, !tty && op->flags & SHIM_EXEC_STDERR);
        op->started(0, &streams, NULL, op->userdata);
}

static void on_stream(const struct shim_message *answer, const char *text, int *fds, unsigned n_fds,
                      void *userdata)
{
        struct exec_op *op = userdata;
        _cleanup_err_ struct err err = { 0 };
        int r;

        if (answer && answer->verb == SHIM_OK) {
                if (!op->op.abandoned)
                        tell_streams(op, fds, n_fds);
                return;
        }
        if (answer && !op->op.abandoned) {
                if (answer->verb == SHIM_FAILED) {
                        r = shim_failure(answer, text, &err);
                        op->started(r, NULL, &err, op->userdata);
                } else {
                        op->exited((int)(answer->value & 0xff), op->userdata);
                }
        }
        free(op);
}

int exec_stream(struct runtime *rt, const char *container_id, const struct exec_options *options,
                void (*started)(int r, const struct exec_streams *streams, const struct err *err,
                                void *userdata),
                void (*exited)(int exit_code, void *userdata), void *userdata,
                struct runtime_op **ret, struct err *err)
{
        _cleanup_free_ struct exec_op *op = calloc(1, sizeof *op);
        struct shim_message m = {
                .flags = (options->tty ? SHIM_EXEC_TTY : 0) |
                         (options->want_stdin ? SHIM_EXEC_STDIN : 0) |
                         (options->want_stdout ? SHIM_EXEC_STDOUT : 0) |
                         (options->want_stderr ? SHIM_EXEC_STDERR : 0),
        };
        int r;

        if (!op)
                return err_sys(err, -ENOMEM, "run a command");
        op->started = started;
        op->exited = exited;
        op->userdata = userdata;
        r = begin(rt, container_id, options->argv, &m, on_stream, op, err);
        if (r < 0)
                return r;
        if (ret)
                *ret = &op->op;
        TAKE_PTR(op);
        return 0;
}

/* ---- attaching ---- */

static void on_attached(const struct shim_message *answer, const char *text, int *fds,
                        unsigned n_fds, void *userdata)
{
        struct exec_op *op = userdata;
        _cleanup_err_ struct err err = { 0 };

        if (op->op.abandoned || !answer) {
                free(op);
                return;
        }
        if (answer->verb == SHIM_OK) {
                unsigned at = 0;
                struct exec_streams streams = {
                        .stdin_fd = take(fds, n_fds, &at, answer->flags & SHIM_EXEC_STDIN),
                        .stdout_fd = take(fds, n_fds, &at, answer->flags & SHIM_EXEC_STDOUT),
                        .stderr_fd = take(fds, n_fds, &at, answer->flags & SHIM_EXEC_STDERR),
                };

                op->started(0, &streams, NULL, op->userdata);
        } else {
                op->started(shim_failure(answer, text, &err), NULL, &err, op->userdata);
        }
        free(op);
}

int container_attach(struct runtime *rt, const char *container_id,
                     const struct exec_options *options,
                     void (*started)(int r, const struct exec_streams *streams,
                                     const struct err *err, void *userdata),
                     void *userdata, struct runtime_op **ret, struct err *err)
{
        struct exec_op *op;
        struct shim_message m = {
                .verb = SHIM_ATTACH,
                .flags = (options->want_stdin ? SHIM_EXEC_STDIN : 0) |
                         (options->want_stdout ? SHIM_EXEC_STDOUT : 0) |
                         (options->want_stderr ? SHIM_EXEC_STDERR : 0),
        };
        struct container *c;
        int r = find_running(rt, container_id, &c, err);

        if (r < 0)
                return r;
        op = calloc(1, sizeof *op);
        if (!op)
                return err_sys(err, -ENOMEM, "attach to a container");
        op->started = started;
        op->userdata = userdata;
        memcpy(m.id, c->id, sizeof c->id);
        r = shim_request(c->sandbox->shim, &m, NULL, 0, on_attached, op, NULL);
        if (r < 0) {
                free(op);
                return err_sys(err, r, "ask the shim to attach");
        }
        *ret = &op->op;
        return 0;
}
