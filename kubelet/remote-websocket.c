/*
 * Channels as messages of a WebSocket whose first byte says which: its number, or the digit of it
 * with the rest in base64. "channel.k8s.io" and its "v4" (from where the last word is a
 * metav1.Status) and "v5" (from where a client can end its input: byte 255, then the channel).
 */
#include <errno.h>
#include <openssl/evp.h>
#include <string.h>

#include "base/text.h"
#include "base/websocket.h"
#include "kubelet/remote-internal.h"

enum { CLOSE_CHANNEL = 255, BASE64_MESSAGE_MAX = 256 * 1024 };

struct protocol {
        const char *name; /* "": none was offered */
        int version;
        bool is_base64;
};
static const struct protocol protocols[] = {
        { "v5.channel.k8s.io", 5, false },       { "v4.channel.k8s.io", 4, false },
        { "v4.base64.channel.k8s.io", 4, true }, { "channel.k8s.io", 1, false },
        { "base64.channel.k8s.io", 1, true },    { "", 1, false },
};

struct state {
        struct websocket *websocket; /* owned */
        const struct protocol *protocol;
        int channel;          /* of the message under way; -1: it is passed over */
        struct strbuf base64; /* what came of a message in base64 */
        bool is_closed;       /* the client has said good-bye */
};

static void on_output(const void *data, size_t n, void *userdata)
{
        remote_queue(userdata, data, n);
}

static void tell(struct remote *r, int c, const void *data, size_t n)
{
        bool is_read = (c == REMOTE_STDIN && r->options.wants.in) ||
                       (c == REMOTE_RESIZE && r->options.wants.tty);

        if (is_read && n > 0 && !r->is_finishing)
                r->options.ops->on_data((enum remote_channel)c, data, n, r->options.userdata);
}

static void end_channel(struct remote *r, int c)
{
        if (c == REMOTE_STDIN && r->options.wants.in && !r->is_finishing)
                r->options.ops->on_end(REMOTE_STDIN, r->options.userdata);
}

static void take_base64(struct remote *r, bool ends)
{
        struct state *s = r->state;
        _cleanup_free_ uint8_t *plain = NULL;
        size_t n;

        if (s->base64.failed || s->base64.len > BASE64_MESSAGE_MAX) {
                r->is_broken = true;
                strbuf_done(&s->base64);
        }
        if (!ends || !s->base64.data)
                return;
        if (base64_decode(s->base64.data, s->base64.len, &plain, &n) == 0)
                tell(r, s->channel, plain, n);
        s->base64.len = 0;
}

static void on_message(const void *data, size_t n, bool begins, bool ends, void *userdata)
{
        struct remote *r = userdata;
        struct state *s = r->state;
        const uint8_t *p = data;

        if (begins)
                s->channel = -1;
        if (begins && n > 0) {
                s->channel = s->protocol->is_base64 ? p[0] - '0' : p[0];
                p++;
                n--;
        }
        if (s->channel == CLOSE_CHANNEL && s->protocol->version >= 5) {
                if (n > 0)
                        end_channel(r, p[0]);
        } else if (s->protocol->is_base64) {
                strbuf_add_n(&s->base64, p, n);
                take_base64(r, ends);
        } else {
                tell(r, s->channel, p, n);
        }
}

static void on_close(void *userdata)
{
        struct remote *r = userdata;
        struct state *s = r->state;

        s->is_closed = true;
}

static int feed(struct remote *r, const void *data, size_t n, struct err *err)
{
        struct state *s = r->state;
        int k = websocket_feed(s->websocket, data, n, err);

        return k == 0 && s->is_closed ? err_set(err, -ECONNRESET, "the client closed the WebSocket")
                                      : k;
}

static void send_data(struct remote *r, enum remote_channel c, const void *data, size_t n)
{
        struct state *s = r->state;
        const uint8_t number = (uint8_t)c, digit = (uint8_t)('0' + c);
        _cleanup_free_ uint8_t *text = NULL;

        if (!s->protocol->is_base64) {
                websocket_send(s->websocket, false, &number, 1, data, n);
                return;
        }
        text = malloc(n / 3 * 4 + 8);
        if (text)
                websocket_send(s->websocket, true, &digit, 1, text,
                               (size_t)EVP_EncodeBlock(text, data, (int)n));
        else
                r->is_broken = true;
}

static void finish(struct remote *r, int exit_code, const char *failure)
{
        struct state *s = r->state;
        _cleanup_free_ char *text = s->protocol->version >= 4
                                            ? remote_status_text(exit_code, failure)
                                            : remote_plain_text(exit_code, failure);

        if (text && *text)
                send_data(r, REMOTE_ERROR, text, strlen(text));
        websocket_close(s->websocket, WEBSOCKET_NORMAL);
}

static void state_free(struct remote *r)
{
        struct state *s = r->state;

        websocket_free(s->websocket);
        strbuf_done(&s->base64);
        free(s);
}

/* ---- negotiation ---- */

static const struct protocol *find_protocol(const char *name)
{
        for (size_t i = 0; i < ARRAY_SIZE(protocols); i++)
                if (streq(protocols[i].name, name))
                        return &protocols[i];
        return NULL;
}

/* The first of those offered that we speak; NULL: none. */
static const struct protocol *choose(const struct http_exchange *x)
{
        const char *line = http_exchange_header(x, "Sec-WebSocket-Protocol");
        _cleanup_strv_ char **offered = NULL;

        if (!line)
                return find_protocol("");
        if (strv_split(line, ", ", &offered) < 0)
                return NULL;
        STRV_FOREACH (o, offered) {
                const struct protocol *p = find_protocol(*o);

                if (p)
                        return p;
        }
        return NULL;
}

/* False: answered. */
static bool shake_hands(struct http_exchange *x, const struct protocol *p)
{
        const char *version = http_exchange_header(x, "Sec-WebSocket-Version");
        const char *key = http_exchange_header(x, "Sec-WebSocket-Key");
        char accept[WEBSOCKET_ACCEPT_SIZE];

        if (!version || !streq(version, "13")) {
                (void)http_exchange_add_header(x, "Sec-WebSocket-Version", "13");
                http_answer_text(x, 426, "Sec-WebSocket-Version: expected 13");
        } else if (!key || !websocket_accept(key, accept)) {
                http_answer_text(x, 400, "Sec-WebSocket-Key: expected 16 bytes in base64");
        } else if (!p) {
                http_answer_text(x, 403,
                                 "Sec-WebSocket-Protocol: expected one of v5, v4 or no version of "
                                 "channel.k8s.io, or v4 or no version of base64.channel.k8s.io");
        } else if (http_exchange_add_header(x, "Sec-WebSocket-Accept", accept) < 0 ||
                   (*p->name &&
                    http_exchange_add_header(x, "Sec-WebSocket-Protocol", p->name) < 0)) {
                http_answer_text(x, 500, "out of memory");
        } else {
                return true;
        }
        return false;
}

bool remote_open_websocket(struct remote *r, struct http_exchange *x)
{
        static const struct remote_carrier carrier = { feed, send_data, finish, state_free };
        static const struct websocket_ops ops = { on_output, on_message, on_close };
        const struct protocol *p = choose(x);
        struct state *s;

        if (!shake_hands(x, p))
                return false;
        s = calloc(1, sizeof *s);
        if (s)
                s->websocket = websocket_new(&ops, r);
        if (!s || !s->websocket) {
                free(s);
                http_answer_text(x, 500, "out of memory");
                return false;
        }
        s->protocol = p;
        s->channel = -1;
        r->carrier = &carrier;
        r->state = s;
        if (http_exchange_upgrade(x, "websocket", &r->stream) < 0) {
                http_answer_text(x, 500, "out of memory");
                return false;
        }
        /* an empty message says that the channels stand */
        send_data(r,
                  r->options.wants.out   ? REMOTE_STDOUT
                  : r->options.wants.err ? REMOTE_STDERR
                                         : REMOTE_ERROR,
                  "", 0);
        remote_ready(r);
        return true;
}
