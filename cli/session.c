#include "cli/session.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <termios.h>

#include "base/frames.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/text.h"
#include "cli/upgrade.h"

enum { CHUNK = 32768, LAST_WORD_MAX = 65536 };

struct session {
        const struct session_options *o;
        int fd, signals;         /* owned */
        struct strbuf out;       /* to the daemon, not taken yet */
        struct strbuf last_word; /* {"exitCode": N} */
        struct frame_reader reader;
        struct termios before; /* of the terminal, when .is_raw */
        bool is_raw, in_ended, is_over;
        struct err *err; /* borrowed; while a frame is read */
};

/* ---- the request ---- */

static int begin(struct session *s, struct strbuf *head, size_t *ret_rest, struct err *err)
{
        int r;

        s->fd = upgrade_ask(s->o->socket, s->o->path, "skiff-frames", err);
        if (s->fd < 0)
                return s->fd;
        do {
                char chunk[4096];
                ssize_t n = read(s->fd, chunk, sizeof chunk);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return err_sys(err, -errno, "read skiffd's answer");
                strbuf_add_n(head, chunk, (size_t)n);
                r = upgrade_answer(head, n == 0, ret_rest, err);
        } while (r == 0);
        if (r < 0)
                return r;
        return fcntl(s->fd, F_SETFL, O_NONBLOCK) < 0 ? err_sys(err, -errno, "ask skiffd") : 0;
}

/* ---- the terminal ---- */

static void leave_raw(struct session *s)
{
        if (s->is_raw)
                tcsetattr(STDIN_FILENO, TCSADRAIN, &s->before);
        s->is_raw = false;
}

static void enter_raw(struct session *s)
{
        struct termios raw;

        if (!s->o->tty || tcgetattr(STDIN_FILENO, &s->before) < 0)
                return;
        raw = s->before;
        cfmakeraw(&raw);
        s->is_raw = tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) == 0;
}

static void queue(struct session *s, enum frame_channel c, const void *data, size_t n)
{
        uint8_t header[FRAME_HEADER];

        frame_header(c, (uint32_t)n, header);
        strbuf_add_n(&s->out, header, sizeof header);
        strbuf_add_n(&s->out, data, n);
}

static void send_size(struct session *s)
{
        struct winsize size;
        char text[64];
        int n;

        if (!s->o->tty || ioctl(STDIN_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col == 0)
                return;
        n = snprintf(text, sizeof text, "{\"Width\":%u,\"Height\":%u}", size.ws_col, size.ws_row);
        queue(s, FRAME_RESIZE, text, (size_t)n);
}

/* ---- both ways ---- */

static int on_frame(enum frame_channel c, const void *data, size_t n, bool ends, void *userdata)
{
        struct session *s = userdata;

        switch (c) {
        case FRAME_STDOUT:
                if (s->o->on_output)
                        return s->o->on_output(data, n, s->o->userdata, s->err);
                return fs_write_all(STDOUT_FILENO, data, n);
        case FRAME_STDERR:
                return fs_write_all(STDERR_FILENO, data, n);
        case FRAME_END:
                if (s->last_word.len < LAST_WORD_MAX)
                        strbuf_add_n(&s->last_word, data, n);
                s->is_over = ends;
                return 0;
        default:
                return 0;
        }
}

static int take_output(struct session *s, struct err *err)
{
        static char chunk[CHUNK];
        ssize_t n = read(s->fd, chunk, sizeof chunk);
        int r;

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return 0;
        if (n <= 0)
                return err_set(err, -EPIPE,
                               "the connection to skiffd ended before the command did");
        r = frame_read(&s->reader, chunk, (size_t)n, on_frame, s, err);
        return r < 0 && r != -EBADMSG && !s->o->on_output ? err_sys(err, r, "write the output") : r;
}

static void take_input(struct session *s)
{
        static char chunk[CHUNK];
        ssize_t n = read(s->o->in_fd, chunk, sizeof chunk);

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (n <= 0) {
                s->in_ended = true;
                n = 0;
        }
        queue(s, FRAME_STDIN, chunk, (size_t)n);
}

static void flush_out(struct session *s)
{
        ssize_t n = s->out.len ? send(s->fd, s->out.data, s->out.len, MSG_NOSIGNAL) : 0;

        if (n > 0)
                strbuf_consume(&s->out, (size_t)n);
        else if (n < 0 && errno != EAGAIN && errno != EINTR) /* reading tells why */
                s->out.len = 0;
}

/* 1: we are to end. */
static int take_signal(struct session *s)
{
        struct signalfd_siginfo info;

        if (read(s->signals, &info, sizeof info) != sizeof info)
                return 0;
        if (info.ssi_signo == SIGWINCH) {
                send_size(s);
                return 0;
        }
        return 1;
}

static int loop(struct session *s, struct err *err)
{
        while (!s->is_over) {
                bool wants_in = s->o->in && !s->in_ended && s->out.len == 0;
                struct pollfd fds[] = {
                        { .fd = s->fd, .events = (short)(POLLIN | (s->out.len ? POLLOUT : 0)) },
                        { .fd = s->signals, .events = POLLIN },
                        { .fd = wants_in ? s->o->in_fd : -1, .events = POLLIN },
                };
                int r = 0;

                if (poll(fds, ARRAY_SIZE(fds), -1) < 0) {
                        if (errno == EINTR)
                                continue;
                        return err_sys(err, -errno, "wait");
                }
                if (fds[1].revents && take_signal(s))
                        return err_set(err, -EINTR, "ended by a signal");
                if (fds[2].revents)
                        take_input(s);
                if (s->out.failed)
                        return err_sys(err, -ENOMEM, "read the input");
                flush_out(s);
                if (fds[0].revents & (POLLIN | POLLHUP | POLLERR))
                        r = take_output(s, err);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int last_word(const struct session *s, int *ret_exit_code, struct err *err)
{
        json_auto_t *o = NULL;
        const char *failure;

        if (json_parse(s->last_word.data ? s->last_word.data : "", s->last_word.len, false, &o,
                       err) < 0)
                return err_wrap(err, -EBADMSG, "skiffd's last word");
        failure = json_text_at(o, "error");
        if (failure)
                return err_set(err, -EREMOTEIO, "%s", failure);
        *ret_exit_code = (int)json_integer_value(json_object_get(o, "exitCode"));
        return 0;
}

/* Signals come through a descriptor, so that the terminal is always put back. */
static int catch_signals(struct session *s, sigset_t *old, struct err *err)
{
        sigset_t set;

        sigemptyset(&set);
        sigaddset(&set, SIGWINCH);
        sigaddset(&set, SIGTERM);
        sigaddset(&set, SIGHUP);
        sigaddset(&set, SIGINT);
        sigprocmask(SIG_BLOCK, &set, old);
        s->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
        return s->signals < 0 ? err_sys(err, -errno, "watch for signals") : 0;
}

int session_run(const struct session_options *o, int *ret_exit_code, struct err *err)
{
        struct session s = { .o = o, .fd = -1, .signals = -1, .err = err };
        _cleanup_strbuf_ struct strbuf head = { 0 };
        sigset_t old;
        size_t rest;
        int r = catch_signals(&s, &old, err);

        if (r == 0)
                r = begin(&s, &head, &rest, err);
        if (r == 0) {
                enter_raw(&s);
                send_size(&s);
                r = frame_read(&s.reader, head.data + rest, head.len - rest, on_frame, &s, err);
                if (r == 0)
                        r = loop(&s, err);
                leave_raw(&s);
        }
        if (r == 0)
                r = last_word(&s, ret_exit_code, err);
        sigprocmask(SIG_SETMASK, &old, NULL);
        strbuf_done(&s.out);
        strbuf_done(&s.last_word);
        safe_close(s.fd);
        safe_close(s.signals);
        return r;
}
