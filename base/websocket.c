#include "base/websocket.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

enum opcode { CONTINUATION = 0, TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10 };
enum { CONTROL_MAX = 125, HEADER_MAX = 14, KEY_SIZE = 16 };

struct websocket {
        const struct websocket_ops *ops; /* borrowed */
        void *userdata;
        bool in_message;       /* its last frame has not come */
        bool begins;           /* nothing of it was told yet */
        bool is_closed;        /* our close frame is out */
        bool has_said_goodbye; /* theirs is in */

        /* the frame under way */
        uint8_t header[HEADER_MAX];
        size_t have;   /* of the header */
        uint64_t left; /* of the payload */
        uint8_t mask[4];
        size_t mask_at;
        uint8_t control[CONTROL_MAX];
        size_t n_control;
};

/* ---- writing ---- */

static size_t put_header(uint8_t *out, enum opcode opcode, uint64_t n)
{
        out[0] = 0x80 | (uint8_t)opcode;
        if (n <= CONTROL_MAX) {
                out[1] = (uint8_t)n;
                return 2;
        }
        if (n <= UINT16_MAX) {
                out[1] = 126;
                out[2] = (uint8_t)(n >> 8);
                out[3] = (uint8_t)n;
                return 4;
        }
        out[1] = 127;
        for (int i = 0; i < 8; i++)
                out[2 + i] = (uint8_t)(n >> (56 - 8 * i));
        return 10;
}

static void put(struct websocket *w, enum opcode opcode, const void *head, size_t n_head,
                const void *data, size_t n)
{
        uint8_t header[HEADER_MAX];

        if (w->is_closed)
                return;
        w->ops->output(header, put_header(header, opcode, n_head + n), w->userdata);
        if (n_head > 0)
                w->ops->output(head, n_head, w->userdata);
        if (n > 0)
                w->ops->output(data, n, w->userdata);
}

void websocket_send(struct websocket *w, bool is_text, const void *head, size_t n_head,
                    const void *data, size_t n)
{
        put(w, is_text ? TEXT : BINARY, head, n_head, data, n);
}

void websocket_close(struct websocket *w, uint16_t code)
{
        const uint8_t payload[2] = { (uint8_t)(code >> 8), (uint8_t)code };

        put(w, CLOSE, payload, sizeof payload, NULL, 0);
        w->is_closed = true;
}

/* ---- reading ---- */

static int bad(struct websocket *w, struct err *err, const char *rule)
{
        websocket_close(w, WEBSOCKET_PROTOCOL_ERROR);
        return err_set_kind(err, -EPROTO, ERR_BAD_INPUT, "WebSocket frame: expected %s", rule);
}

static enum opcode opcode_of(const struct websocket *w)
{
        return (enum opcode)(w->header[0] & 0x0f);
}

static bool is_last(const struct websocket *w)
{
        return w->header[0] & 0x80;
}

static bool is_control(const struct websocket *w)
{
        return opcode_of(w) >= CLOSE;
}

/* Bytes of a length beyond the first two, then four of the mask. */
static size_t header_size(const struct websocket *w)
{
        unsigned length = w->header[1] & 0x7f;

        return w->have < 2 ? 2 : 2 + (length == 126 ? 2U : length == 127 ? 8U : 0U) + 4;
}

static uint64_t length_of(const struct websocket *w)
{
        size_t n = header_size(w) - 4;
        uint64_t length = 0;

        if (n == 2)
                return w->header[1] & 0x7f;
        for (size_t i = 2; i < n; i++)
                length = length << 8 | w->header[i];
        return length;
}

static int check_start(struct websocket *w, struct err *err)
{
        switch (opcode_of(w)) {
        case CONTINUATION:
                return w->in_message ? 0 : bad(w, err, "a message to go on with");
        case TEXT:
        case BINARY:
                return w->in_message ? bad(w, err, "the rest of the message before") : 0;
        case CLOSE:
        case PING:
        case PONG:
                return is_last(w) ? 0 : bad(w, err, "a control frame in one piece");
        }
        return bad(w, err, "a known opcode");
}

/* The whole header is here. */
static int begin_frame(struct websocket *w, struct err *err)
{
        int r;

        if (w->header[0] & 0x70)
                return bad(w, err, "no extension");
        if (!(w->header[1] & 0x80))
                return bad(w, err, "a mask, which every client's has");
        r = check_start(w, err);
        if (r < 0)
                return r;
        w->left = length_of(w);
        if (w->left > INT64_MAX)
                return bad(w, err, "a length below 2^63");
        if (is_control(w) && w->left > CONTROL_MAX)
                return bad(w, err, "at most 125 bytes of a control frame");
        memcpy(w->mask, w->header + header_size(w) - 4, 4);
        w->mask_at = 0;
        w->n_control = 0;
        if (opcode_of(w) == TEXT || opcode_of(w) == BINARY)
                w->in_message = w->begins = true;
        return 0;
}

static void tell(struct websocket *w, const void *data, size_t n, bool ends)
{
        bool begins = w->begins;

        w->begins = false;
        w->ops->on_message(data, n, begins, ends, w->userdata);
}

static void unmask(struct websocket *w, uint8_t *to, const uint8_t *from, size_t n)
{
        for (size_t i = 0; i < n; i++)
                to[i] = from[i] ^ w->mask[w->mask_at++ % 4];
}

/* The first of @n bytes of payload: how many were taken. */
static size_t take_payload(struct websocket *w, const uint8_t *data, size_t n)
{
        uint8_t plain[4096];

        n = MIN(n, w->left);
        if (is_control(w)) {
                unmask(w, w->control + w->n_control, data, n);
                w->n_control += n;
        } else {
                n = MIN(n, sizeof plain);
                unmask(w, plain, data, n);
                tell(w, plain, n, is_last(w) && n == w->left);
        }
        w->left -= n;
        return n;
}

static void end_frame(struct websocket *w, bool was_empty)
{
        w->have = 0;
        switch (opcode_of(w)) {
        case CLOSE:
                w->has_said_goodbye = true;
                websocket_close(w, WEBSOCKET_NORMAL);
                w->ops->on_close(w->userdata);
                return;
        case PING:
                put(w, PONG, w->control, w->n_control, NULL, 0);
                return;
        case PONG:
                return;
        default:
                if (was_empty && is_last(w))
                        tell(w, NULL, 0, true);
                w->in_message = !is_last(w);
        }
}

int websocket_feed(struct websocket *w, const void *data, size_t n, struct err *err)
{
        const uint8_t *p = data;

        while (n > 0 && !w->has_said_goodbye) {
                size_t part;

                if (w->left == 0) {
                        part = MIN(n, header_size(w) - w->have);
                        memcpy(w->header + w->have, p, part);
                        w->have += part;
                        if (w->have >= 2 && w->have == header_size(w)) {
                                int r = begin_frame(w, err);

                                if (r < 0)
                                        return r;
                                if (w->left == 0)
                                        end_frame(w, true);
                        }
                } else {
                        part = take_payload(w, p, n);
                        if (w->left == 0)
                                end_frame(w, false);
                }
                p += part;
                n -= part;
        }
        return 0;
}

/* ---- opening ---- */

struct websocket *websocket_new(const struct websocket_ops *ops, void *userdata)
{
        struct websocket *w = calloc(1, sizeof *w);

        if (w) {
                w->ops = ops;
                w->userdata = userdata;
        }
        return w;
}

struct websocket *websocket_free(struct websocket *w)
{
        free(w);
        return NULL;
}

bool websocket_accept(const char *key, char out[static WEBSOCKET_ACCEPT_SIZE])
{
        _cleanup_free_ char *text = text_printf("%s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);
        _cleanup_free_ uint8_t *bytes = NULL;
        uint8_t digest[EVP_MAX_MD_SIZE];
        unsigned n = 0;
        size_t len;

        if (!text || base64_decode(key, strlen(key), &bytes, &len) < 0 || len != KEY_SIZE ||
            !EVP_Digest(text, strlen(text), digest, &n, EVP_sha1(), NULL))
                return false;
        EVP_EncodeBlock((uint8_t *)out, digest, (int)n);
        return true;
}
