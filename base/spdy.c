#include "base/spdy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/spdy-block.h"

enum frame_type {
        SYN_STREAM = 1,
        SYN_REPLY = 2,
        RST_STREAM = 3,
        SETTINGS = 4,
        PING = 6,
        GOAWAY = 7,
        HEADERS = 8,
        WINDOW_UPDATE = 9,
};
enum { FRAME_HEADER = 8, FLAG_FIN = 1, VERSION = 3 };
enum { PROTOCOL_ERROR = 1, INVALID_STREAM = 2, REFUSED_STREAM = 3, CANCEL = 5 };
enum { GOAWAY_OK = 0, GOAWAY_PROTOCOL_ERROR = 1 };

struct stream {
        uint32_t id;
        bool ours_ended, theirs_ended;
};

struct spdy {
        const struct spdy_ops *ops; /* borrowed */
        void *userdata;
        struct spdy_block_reader *reader; /* owned */
        struct spdy_block_writer *writer; /* owned */
        struct stream *streams;           /* owned; open ones, in the order they were opened */
        size_t n_streams, cap;
        uint32_t last; /* highest id the peer has opened */
        bool is_away;  /* GOAWAY was sent */

        /* the frame under way */
        uint8_t header[FRAME_HEADER];
        size_t have;      /* of the header */
        uint32_t left;    /* of its payload */
        uint8_t *control; /* owned; SPDY_CONTROL_MAX bytes, made for the first control frame */
        size_t n_control;
};

static uint32_t u32_at(const uint8_t *p)
{
        return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void put_u32(uint8_t *p, uint32_t v)
{
        p[0] = (uint8_t)(v >> 24);
        p[1] = (uint8_t)(v >> 16);
        p[2] = (uint8_t)(v >> 8);
        p[3] = (uint8_t)v;
}

/* ---- streams ---- */

static struct stream *find(const struct spdy *s, uint32_t id)
{
        for (size_t i = s->n_streams; i-- > 0;) /* most often it is a young one */
                if (s->streams[i].id == id)
                        return &s->streams[i];
        return NULL;
}

static int add(struct spdy *s, uint32_t id)
{
        if (s->n_streams == s->cap) {
                size_t cap = s->cap * 2 + 8;
                struct stream *grown = realloc(s->streams, cap * sizeof *grown);

                if (!grown)
                        return -ENOMEM;
                s->streams = grown;
                s->cap = cap;
        }
        s->streams[s->n_streams++] = (struct stream){ .id = id };
        return 0;
}

static void drop(struct spdy *s, struct stream *st)
{
        size_t after = (size_t)(s->streams + s->n_streams - (st + 1));

        memmove(st, st + 1, after * sizeof *st);
        s->n_streams--;
}

static void drop_if_ended(struct spdy *s, uint32_t id)
{
        struct stream *st = find(s, id);

        if (st && st->ours_ended && st->theirs_ended)
                drop(s, st);
}

bool spdy_is_open(const struct spdy *s, uint32_t stream)
{
        return find(s, stream) != NULL;
}

/* ---- writing ---- */

static void put_control(struct spdy *s, enum frame_type type, const uint8_t *payload, size_t n)
{
        uint8_t header[FRAME_HEADER];

        if (s->is_away)
                return;
        put_u32(header, UINT32_C(0x80000000) | (uint32_t)VERSION << 16 | type);
        put_u32(header + 4, (uint32_t)n);
        s->ops->output(header, sizeof header, s->userdata);
        s->ops->output(payload, n, s->userdata);
}

static void put_two(struct spdy *s, enum frame_type type, uint32_t a, uint32_t b)
{
        uint8_t payload[8];

        put_u32(payload, a);
        put_u32(payload + 4, b);
        put_control(s, type, payload, sizeof payload);
}

static void put_data(struct spdy *s, uint32_t id, const void *data, size_t n, bool fin)
{
        uint8_t header[FRAME_HEADER];

        if (s->is_away)
                return;
        put_u32(header, id);
        put_u32(header + 4, (fin ? (uint32_t)FLAG_FIN << 24 : 0) | (uint32_t)n);
        s->ops->output(header, sizeof header, s->userdata);
        if (n > 0)
                s->ops->output(data, n, s->userdata);
}

int spdy_send(struct spdy *s, uint32_t stream, const void *data, size_t n)
{
        const struct stream *st = find(s, stream);

        if (!st || st->ours_ended)
                return -EPIPE;
        while (n > 0) {
                size_t part = MIN(n, (size_t)1 << 20); /* a length has 24 bits */

                put_data(s, stream, data, part, false);
                data = (const uint8_t *)data + part;
                n -= part;
        }
        return 0;
}

void spdy_end(struct spdy *s, uint32_t stream)
{
        struct stream *st = find(s, stream);

        if (!st || st->ours_ended)
                return;
        st->ours_ended = true;
        put_data(s, stream, NULL, 0, true);
        drop_if_ended(s, stream);
}

void spdy_reset(struct spdy *s, uint32_t stream)
{
        struct stream *st = find(s, stream);

        if (!st)
                return;
        drop(s, st);
        put_two(s, RST_STREAM, stream, CANCEL);
}

static void go_away(struct spdy *s, uint32_t status)
{
        put_two(s, GOAWAY, s->last, status);
        s->is_away = true;
}

void spdy_goaway(struct spdy *s)
{
        if (!s->is_away)
                go_away(s, GOAWAY_OK);
}

/* ---- reading ---- */

static int bad(struct spdy *s, struct err *err, const char *what, const char *rule)
{
        go_away(s, GOAWAY_PROTOCOL_ERROR);
        return err_set_kind(err, -EPROTO, ERR_BAD_INPUT, "SPDY %s: expected %s", what, rule);
}

static int reply(struct spdy *s, uint32_t id)
{
        uint8_t payload[4 + SPDY_EMPTY_BLOCK_MAX];
        int n = spdy_block_write_empty(s->writer, payload + 4);

        if (n < 0)
                return n;
        put_u32(payload, id);
        put_control(s, SYN_REPLY, payload, 4 + (size_t)n);
        return 0;
}

static int on_syn_stream(struct spdy *s, uint8_t flags, struct err *err)
{
        struct spdy_headers headers;
        uint32_t id;
        int r;

        if (s->n_control < 10)
                return bad(s, err, "SYN_STREAM", "at least 10 bytes");
        id = u32_at(s->control) & INT32_MAX;
        /* refused or not, the block belongs to the one zlib stream of the connection */
        r = spdy_block_read(s->reader, s->control + 10, s->n_control - 10, &headers, err);
        if (r < 0) {
                go_away(s, GOAWAY_PROTOCOL_ERROR);
                return r;
        }
        if (id % 2 == 0 || id <= s->last)
                return bad(s, err, "SYN_STREAM", "an odd stream id, higher than all before");
        s->last = id;
        if (s->n_streams >= SPDY_STREAMS_MAX) {
                put_two(s, RST_STREAM, id, REFUSED_STREAM);
                return 0;
        }
        r = add(s, id);
        if (r == 0)
                r = reply(s, id);
        if (r < 0)
                return err_sys(err, r, "open a SPDY stream");
        find(s, id)->theirs_ended = flags & FLAG_FIN;
        if (!s->ops->on_open(id, &headers, flags & FLAG_FIN, s->userdata) && find(s, id)) {
                drop(s, find(s, id));
                put_two(s, RST_STREAM, id, REFUSED_STREAM);
        }
        return 0;
}

static int on_rst_stream(struct spdy *s, struct err *err)
{
        struct stream *st;

        if (s->n_control != 8)
                return bad(s, err, "RST_STREAM", "8 bytes");
        st = find(s, u32_at(s->control) & INT32_MAX);
        if (st) {
                uint32_t id = st->id;

                drop(s, st);
                s->ops->on_reset(id, s->userdata);
        }
        return 0;
}

static int on_control(struct spdy *s, struct err *err)
{
        enum frame_type type = u32_at(s->header) & 0xffff;
        uint8_t flags = s->header[4];
        struct spdy_headers ignored;

        switch (type) {
        case SYN_STREAM:
                return on_syn_stream(s, flags, err);
        case RST_STREAM:
                return on_rst_stream(s, err);
        case PING:
                if (s->n_control != 4)
                        return bad(s, err, "PING", "4 bytes");
                put_control(s, PING, s->control, 4); /* we send none: it is the peer's */
                return 0;
        case SYN_REPLY: /* we open nothing, but its block, too, belongs to the zlib stream */
        case HEADERS:
                if (s->n_control < 4)
                        return bad(s, err, "HEADERS", "at least 4 bytes");
                if (spdy_block_read(s->reader, s->control + 4, s->n_control - 4, &ignored, err) <
                    0) {
                        go_away(s, GOAWAY_PROTOCOL_ERROR);
                        return -EPROTO;
                }
                return 0;
        case SETTINGS:
        case WINDOW_UPDATE:
        case GOAWAY: /* its streams go on */
                return 0;
        }
        return bad(s, err, "frame", "a type of the protocol");
}

static bool is_control(const struct spdy *s)
{
        return s->header[0] & 0x80;
}

static int begin_frame(struct spdy *s, struct err *err)
{
        s->left = u32_at(s->header + 4) & 0xffffff;
        if (!is_control(s)) {
                if (u32_at(s->header) == 0 || u32_at(s->header) > s->last)
                        return bad(s, err, "DATA", "a stream that was opened");
                return 0;
        }
        if ((u32_at(s->header) >> 16 & 0x7fff) != VERSION)
                return bad(s, err, "frame", "version 3");
        if (s->left > SPDY_CONTROL_MAX)
                return bad(s, err, "control frame", "at most 16 KiB");
        if (!s->control)
                s->control = malloc(SPDY_CONTROL_MAX);
        s->n_control = 0;
        return s->control ? 0 : err_sys(err, -ENOMEM, "read a SPDY frame");
}

static void on_payload(struct spdy *s, const uint8_t *data, size_t n)
{
        const struct stream *st;

        if (is_control(s)) {
                memcpy(s->control + s->n_control, data, n);
                s->n_control += n;
                return;
        }
        st = find(s, u32_at(s->header));
        if (st && !st->theirs_ended)
                s->ops->on_data(st->id, data, n, s->userdata);
}

static int end_frame(struct spdy *s, struct err *err)
{
        uint32_t id = u32_at(s->header);
        struct stream *st;

        s->have = 0;
        if (is_control(s))
                return on_control(s, err);
        st = find(s, id);
        if (!st) { /* reset by us while this was on its way, or ended both ways */
                if (!(s->header[4] & FLAG_FIN))
                        put_two(s, RST_STREAM, id, INVALID_STREAM);
                return 0;
        }
        if ((s->header[4] & FLAG_FIN) && !st->theirs_ended) {
                st->theirs_ended = true;
                s->ops->on_end(id, s->userdata);
                drop_if_ended(s, id);
        }
        return 0;
}

int spdy_feed(struct spdy *s, const void *data, size_t n, struct err *err)
{
        const uint8_t *p = data;
        int r = 0;

        if (s->is_away) /* what the peer still says reaches nobody */
                return 0;
        while (r == 0 && (n > 0 || (s->have == FRAME_HEADER && s->left == 0))) {
                size_t part;

                if (s->have < FRAME_HEADER) {
                        part = MIN(n, FRAME_HEADER - s->have);
                        memcpy(s->header + s->have, p, part);
                        s->have += part;
                        if (s->have == FRAME_HEADER)
                                r = begin_frame(s, err);
                } else {
                        part = MIN(n, s->left);
                        if (part > 0)
                                on_payload(s, p, part);
                        s->left -= (uint32_t)part;
                        if (s->left == 0)
                                r = end_frame(s, err);
                }
                p += part;
                n -= part;
                if (s->is_away)
                        return r;
        }
        return r;
}

struct spdy *spdy_new(const struct spdy_ops *ops, void *userdata)
{
        _cleanup_(spdy_freep)
        struct spdy *s = calloc(1, sizeof *s);

        if (!s)
                return NULL;
        s->ops = ops;
        s->userdata = userdata;
        s->reader = spdy_block_reader_new();
        s->writer = spdy_block_writer_new();
        return s->reader && s->writer ? TAKE_PTR(s) : NULL;
}

struct spdy *spdy_free(struct spdy *s)
{
        if (!s)
                return NULL;
        spdy_block_reader_free(s->reader);
        spdy_block_writer_free(s->writer);
        free(s->streams);
        free(s->control);
        free(s);
        return NULL;
}
