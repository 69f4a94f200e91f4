/*
 * Channels as base/frames has them, on the local socket: "Upgrade: skiff-frames". The last word is
 * {"exitCode": N} or {"error": "…"}.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/frames.h"
#include "base/text.h"
#include "kubelet/remote-internal.h"

static int on_frame(enum frame_channel c, const void *data, size_t n, bool ends, void *userdata)
{
        struct remote *r = userdata;
        const struct remote_ops *ops = r->options.ops;

        if (r->is_finishing)
                return 0;
        if (c == FRAME_STDIN && r->options.wants.in && n == 0 && ends)
                ops->on_end(REMOTE_STDIN, r->options.userdata);
        else if (c == FRAME_STDIN && r->options.wants.in && n > 0)
                ops->on_data(REMOTE_STDIN, data, n, r->options.userdata);
        else if (c == FRAME_RESIZE && r->options.wants.tty && n > 0)
                ops->on_data(REMOTE_RESIZE, data, n, r->options.userdata);
        return 0;
}

static int feed(struct remote *r, const void *data, size_t n, struct err *err)
{
        return frame_read(r->state, data, n, on_frame, r, err);
}

static void send_data(struct remote *r, enum remote_channel c, const void *data, size_t n)
{
        uint8_t header[FRAME_HEADER];

        frame_header((enum frame_channel)c, (uint32_t)n, header);
        remote_queue(r, header, sizeof header);
        remote_queue(r, data, n);
}

static void finish(struct remote *r, int exit_code, const char *failure)
{
        json_auto_t *o = failure ? json_pack("{s:s}", "error", failure)
                                 : json_pack("{s:i}", "exitCode", exit_code);
        char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;

        if (text)
                send_data(r, REMOTE_ERROR, text, strlen(text));
        free(text);
}

static void state_free(struct remote *r)
{
        free(r->state);
}

bool remote_open_frames(struct remote *r, struct http_exchange *x)
{
        static const struct remote_carrier carrier = { feed, send_data, finish, state_free };

        static_assert((int)REMOTE_STDERR == FRAME_STDERR && (int)REMOTE_ERROR == FRAME_END &&
                              (int)REMOTE_RESIZE == FRAME_RESIZE,
                      "channels are numbered alike");
        r->state = calloc(1, sizeof(struct frame_reader));
        r->carrier = &carrier;
        if (!r->state || http_exchange_upgrade(x, "skiff-frames", &r->stream) < 0) {
                http_answer_text(x, 500, "out of memory");
                return false;
        }
        remote_ready(r);
        return true;
}
