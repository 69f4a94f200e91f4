#include "kubelet/remote-internal.h"

#include <errno.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "base/text.h"

#define READY_USEC  (30 * USEC_PER_SEC)
#define LINGER_USEC (30 * USEC_PER_SEC) /* for a client to take the last word */
#define READ_MAX    (64 * 1024)

struct remote *remote_free(struct remote *r)
{
        if (!r)
                return NULL;
        if (r->carrier)
                r->carrier->free(r);
        byte_stream_free(r->stream);
        sd_event_source_disable_unref(r->timer);
        sd_event_source_disable_unref(r->deferred);
        free(r);
        return NULL;
}

/* Nothing may follow: the owner frees @r, or we do if it has let go of it. */
static void gone(struct remote *r, const char *why)
{
        if (r->is_finishing)
                remote_free(r);
        else
                r->options.ops->on_gone(why, r->options.userdata);
}

static void set_timer(struct remote *r, usec_t usec)
{
        if (usec == USEC_NEVER) {
                sd_event_source_set_enabled(r->timer, SD_EVENT_OFF);
                return;
        }
        sd_event_source_set_time(r->timer, now_monotonic() + usec);
        sd_event_source_set_enabled(r->timer, SD_EVENT_ONESHOT);
}

static int on_timer(_unused_ sd_event_source *s, _unused_ uint64_t usec, void *userdata)
{
        struct remote *r = userdata;

        gone(r, r->is_ready ? "it was idle for too long" : "its streams did not come within 30 s");
        return 0;
}

static int on_deferred(_unused_ sd_event_source *s, void *userdata)
{
        struct remote *r = userdata;

        r->options.ops->on_ready(r->options.userdata);
        return 0;
}

void remote_ready(struct remote *r)
{
        r->is_ready = true;
        set_timer(r, r->options.idle_usec);
        if (sd_event_source_set_enabled(r->deferred, SD_EVENT_ONESHOT) < 0)
                r->is_broken = true;
}

/* ---- the connection ---- */

static void on_readable(struct byte_stream *stream, void *userdata)
{
        static char chunk[READ_MAX];
        _cleanup_err_ struct err err = { 0 };
        struct remote *r = userdata;
        ssize_t n = byte_stream_read(stream, chunk, sizeof chunk);

        if (n == -EAGAIN)
                return;
        if (n <= 0) {
                gone(r, n < 0 ? "the connection broke" : NULL);
                return;
        }
        if (r->is_ready)
                set_timer(r, r->is_finishing ? LINGER_USEC : r->options.idle_usec);
        if (r->carrier->feed(r, chunk, (size_t)n, &err) < 0) {
                byte_stream_flush(stream);
                gone(r, err_text(&err));
        } else if (r->is_broken) {
                gone(r, "out of memory");
        } else {
                byte_stream_flush(stream);
        }
}

static void on_drained(_unused_ struct byte_stream *stream, void *userdata)
{
        struct remote *r = userdata;

        if (r->is_finishing)
                byte_stream_shutdown(
                        r->stream); /* and wait for the client to close, or the timer */
        else
                r->options.ops->on_drained(r->options.userdata);
}

static void on_progress(_unused_ struct byte_stream *stream, void *userdata)
{
        struct remote *r = userdata;

        set_timer(r, r->is_finishing ? LINGER_USEC : r->options.idle_usec);
}

static void on_hangup(_unused_ struct byte_stream *stream, bool is_broken, void *userdata)
{
        gone(userdata, is_broken ? "the connection broke" : NULL);
}

void remote_queue(struct remote *r, const void *data, size_t n)
{
        if (byte_stream_queue(r->stream, data, n) < 0)
                r->is_broken = true;
}

/* ---- for its owner ---- */

size_t remote_send(struct remote *r, enum remote_channel c, const void *data, size_t n)
{
        r->carrier->send(r, c, data, n);
        byte_stream_flush(r->stream);
        set_timer(r, r->options.idle_usec);
        return byte_stream_queued(r->stream);
}

void remote_want_input(struct remote *r, bool want)
{
        byte_stream_want_read(r->stream, want);
}

void remote_finish(struct remote *r, int exit_code, const char *failure)
{
        r->carrier->finish(r, exit_code, failure);
        r->is_finishing = true;
        set_timer(r, LINGER_USEC);
        byte_stream_want_read(r->stream, true);
        byte_stream_flush(r->stream);
        if (byte_stream_queued(r->stream) == 0)
                byte_stream_shutdown(r->stream);
}

char *remote_status_text(int exit_code, const char *failure)
{
        json_auto_t *status = NULL;
        _cleanup_free_ char *text = NULL, *code = text_printf("%d", exit_code);

        if (failure)
                text = text_printf("error executing command in container: %s", failure);
        else
                text = text_printf("command terminated with non-zero exit code: exit code %d",
                                   exit_code);
        if (!text || !code)
                return NULL;
        if (failure) {
                _cleanup_free_ char *message = text_printf("Internal error occurred: %s", text);

                status = json_pack("{s:{}, s:s, s:s, s:s, s:{s:[{s:s}]}, s:i}", "metadata",
                                   "status", "Failure", "message", message, "reason",
                                   "InternalError", "details", "causes", "message", text, "code",
                                   500);
        } else if (exit_code == 0) {
                status = json_pack("{s:{}, s:s}", "metadata", "status", "Success");
        } else {
                status = json_pack("{s:{}, s:s, s:s, s:s, s:{s:[{s:s, s:s}]}}", "metadata",
                                   "status", "Failure", "message", text, "reason",
                                   "NonZeroExitCode", "details", "causes", "reason", "ExitCode",
                                   "message", code);
        }
        return status ? json_dumps(status, JSON_COMPACT) : NULL;
}

char *remote_plain_text(int exit_code, const char *failure)
{
        if (failure)
                return text_printf("error executing command in container: %s", failure);
        return exit_code ? text_printf("command terminated with non-zero exit code: exit code %d",
                                       exit_code)
                         : strdup("");
}

/* ---- opening ---- */

static bool open_carrier(struct remote *r, struct http_exchange *x)
{
        const char *protocol = http_exchange_upgrade_protocol(x);

        if (protocol && strcasecmp(protocol, "SPDY/3.1") == 0)
                return remote_open_spdy(r, x);
        if (protocol && strcasecmp(protocol, "websocket") == 0)
                return remote_open_websocket(r, x);
        if (protocol && r->options.is_local && strcasecmp(protocol, "skiff-frames") == 0)
                return remote_open_frames(r, x);
        http_answer_text(x, 400,
                         "unable to upgrade: Upgrade: expected SPDY/3.1 or websocket, not '%s'",
                         protocol ? protocol : "");
        return false;
}

struct remote *remote_open(struct http_exchange *x, const struct remote_options *options)
{
        static const struct byte_stream_ops ops = {
                .on_readable = on_readable,
                .on_drained = on_drained,
                .on_progress = on_progress,
                .on_hangup = on_hangup,
        };
        struct remote *r = calloc(1, sizeof *r);
        int k;

        if (!r) {
                http_answer_text(x, 500, "out of memory");
                return NULL;
        }
        r->options = *options;
        k = sd_event_add_time(options->event, &r->timer, CLOCK_MONOTONIC, 0, USEC_PER_SEC, on_timer,
                              r);
        if (k >= 0)
                k = sd_event_add_defer(options->event, &r->deferred, on_deferred, r);
        if (k >= 0)
                k = sd_event_source_set_enabled(r->deferred, SD_EVENT_OFF);
        if (k < 0) {
                http_answer_text(x, 500, "out of memory");
                return remote_free(r);
        }
        if (!open_carrier(r, x))
                return remote_free(r);
        if (!r->is_ready)
                set_timer(r, READY_USEC);
        byte_stream_set_ops(r->stream, &ops, r);
        byte_stream_want_read(r->stream, true);
        byte_stream_flush(r->stream);
        return r;
}
