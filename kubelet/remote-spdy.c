/*
 * Channels as SPDY/3.1 streams, which the client opens and names by the header "streamtype".
 * Protocol versions 1 to 4 of the remote command protocol: from 3 on the terminal may be resized,
 * from 4 on the last word is a metav1.Status; before that it is a sentence, or nothing.
 */
#include <errno.h>
#include <string.h>

#include "base/spdy.h"
#include "base/text.h"
#include "kubelet/remote-internal.h"

static const char *const protocols[] = { "v4.channel.k8s.io", "v3.channel.k8s.io",
                                         "v2.channel.k8s.io", "channel.k8s.io" };

static const char *const stream_types[] = {
        [REMOTE_STDIN] = "stdin", [REMOTE_STDOUT] = "stdout", [REMOTE_STDERR] = "stderr",
        [REMOTE_ERROR] = "error", [REMOTE_RESIZE] = "resize",
};

struct state {
        struct spdy *spdy; /* owned */
        int version;       /* 1 to 4 */
        bool wanted[_REMOTE_CHANNEL_MAX];
        uint32_t streams[_REMOTE_CHANNEL_MAX]; /* ids; 0: not there yet */
};

static void on_output(const void *data, size_t n, void *userdata)
{
        remote_queue(userdata, data, n);
}

/* The channel of an open stream; _REMOTE_CHANNEL_MAX for none of ours. */
static enum remote_channel channel_of(const struct state *s, uint32_t stream)
{
        int c = 0;

        while (c < _REMOTE_CHANNEL_MAX && s->streams[c] != stream)
                c++;
        return (enum remote_channel)c;
}

static bool are_all_here(const struct state *s)
{
        for (int c = 0; c < _REMOTE_CHANNEL_MAX; c++)
                if (s->wanted[c] && !s->streams[c])
                        return false;
        return true;
}

static bool on_open(uint32_t stream, const struct spdy_headers *headers, bool is_ended,
                    void *userdata)
{
        struct remote *r = userdata;
        struct state *s = r->state;
        const char *type = spdy_header(headers, "streamtype");
        int c = 0;

        while (c < _REMOTE_CHANNEL_MAX && !(type && streq(type, stream_types[c])))
                c++;
        if (c == _REMOTE_CHANNEL_MAX || !s->wanted[c] || s->streams[c])
                return false;
        s->streams[c] = stream;
        if (are_all_here(s))
                remote_ready(r);
        if (is_ended && c == REMOTE_STDIN)
                r->options.ops->on_end(REMOTE_STDIN, r->options.userdata);
        return true;
}

static void on_data(uint32_t stream, const void *data, size_t n, void *userdata)
{
        struct remote *r = userdata;
        enum remote_channel c = channel_of(r->state, stream);

        if (!r->is_finishing && (c == REMOTE_STDIN || c == REMOTE_RESIZE))
                r->options.ops->on_data(c, data, n, r->options.userdata);
}

static void on_end(uint32_t stream, void *userdata)
{
        struct remote *r = userdata;
        enum remote_channel c = channel_of(r->state, stream);

        if (!r->is_finishing && (c == REMOTE_STDIN || c == REMOTE_RESIZE))
                r->options.ops->on_end(c, r->options.userdata);
}

static int feed(struct remote *r, const void *data, size_t n, struct err *err)
{
        struct state *s = r->state;

        return spdy_feed(s->spdy, data, n, err);
}

static void send_data(struct remote *r, enum remote_channel c, const void *data, size_t n)
{
        struct state *s = r->state;

        (void)spdy_send(s->spdy, s->streams[c], data,
                        n); /* one the client has reset takes nothing */
}

static void finish(struct remote *r, int exit_code, const char *failure)
{
        struct state *s = r->state;
        _cleanup_free_ char *text = s->version >= 4 ? remote_status_text(exit_code, failure)
                                                    : remote_plain_text(exit_code, failure);

        if (text && *text)
                send_data(r, REMOTE_ERROR, text, strlen(text));
        /* the outputs first: at the end of the error stream the client stops waiting */
        for (int c = REMOTE_STDOUT; c <= REMOTE_STDERR; c++)
                spdy_end(s->spdy, s->streams[c]);
        spdy_end(s->spdy, s->streams[REMOTE_ERROR]);
        spdy_end(s->spdy, s->streams[REMOTE_STDIN]);
        spdy_end(s->spdy, s->streams[REMOTE_RESIZE]);
}

static void state_free(struct remote *r)
{
        struct state *s = r->state;

        spdy_free(s->spdy);
        free(s);
}

/* ---- negotiation ---- */

/* The first of the client's protocols that we speak; its version in *ret. */
static const char *choose(const struct http_exchange *x, int *ret)
{
        const char *lines[16];
        size_t n = http_exchange_header_all(x, "X-Stream-Protocol-Version", lines,
                                            ARRAY_SIZE(lines));

        for (size_t i = 0; i < MIN(n, ARRAY_SIZE(lines)); i++) {
                _cleanup_strv_ char **offered = NULL;

                if (strv_split(lines[i], ", ", &offered) < 0)
                        return NULL;
                STRV_FOREACH (o, offered)
                        for (size_t p = 0; p < ARRAY_SIZE(protocols); p++)
                                if (streq(*o, protocols[p])) {
                                        *ret = (int)(ARRAY_SIZE(protocols) - p);
                                        return protocols[p];
                                }
        }
        return NULL;
}

static void refuse_protocol(struct http_exchange *x)
{
        if (!http_exchange_header(x, "X-Stream-Protocol-Version")) {
                http_answer_text(x, 400,
                                 "unable to upgrade: X-Stream-Protocol-Version header is required");
                return;
        }
        for (size_t p = 0; p < ARRAY_SIZE(protocols); p++)
                (void)http_exchange_add_header(x, "X-Accepted-Stream-Protocol-Versions",
                                               protocols[p]);
        http_answer_text(x, 403,
                         "unable to upgrade: unable to negotiate protocol: server accepts "
                         "[v4.channel.k8s.io v3.channel.k8s.io v2.channel.k8s.io channel.k8s.io]");
}

bool remote_open_spdy(struct remote *r, struct http_exchange *x)
{
        static const struct remote_carrier carrier = { feed, send_data, finish, state_free };
        static const struct spdy_ops ops = { .output = on_output,
                                             .on_open = on_open,
                                             .on_data = on_data,
                                             .on_end = on_end,
                                             .on_reset = on_end };
        const struct remote_wants *w = &r->options.wants;
        int version = 0, k;
        const char *protocol = choose(x, &version);
        struct state *s;

        if (!protocol) {
                refuse_protocol(x);
                return false;
        }
        s = calloc(1, sizeof *s);
        if (s)
                s->spdy = spdy_new(&ops, r);
        if (!s || !s->spdy) {
                free(s);
                http_answer_text(x, 500, "out of memory");
                return false;
        }
        r->carrier = &carrier;
        r->state = s;
        s->version = version;
        s->wanted[REMOTE_ERROR] = true;
        s->wanted[REMOTE_STDIN] = w->in;
        s->wanted[REMOTE_STDOUT] = w->out;
        s->wanted[REMOTE_STDERR] = w->err && !w->tty;
        s->wanted[REMOTE_RESIZE] = w->tty && version >= 3;
        k = http_exchange_add_header(x, "X-Stream-Protocol-Version", protocol);
        if (k == 0)
                k = http_exchange_upgrade(x, "SPDY/3.1", &r->stream);
        if (k < 0)
                http_answer_text(x, 500, "out of memory");
        return k == 0;
}
