#include "base/frames.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

void frame_header(enum frame_channel c, uint32_t n, uint8_t out[static FRAME_HEADER])
{
        uint32_t length = htonl(n);

        memset(out, 0, FRAME_HEADER);
        out[0] = (uint8_t)c;
        memcpy(out + 4, &length, sizeof length);
}

static int check_header(struct frame_reader *r, struct err *err)
{
        uint32_t length;

        if (r->header[0] >= _FRAME_CHANNEL_MAX || r->header[1] || r->header[2] || r->header[3])
                return err_set_kind(err, -EBADMSG, ERR_BAD_INPUT,
                                    "a frame begins with %u %u %u %u: expected a channel from 0 to "
                                    "%d and three zeros",
                                    r->header[0], r->header[1], r->header[2], r->header[3],
                                    _FRAME_CHANNEL_MAX - 1);
        memcpy(&length, r->header + 4, sizeof length);
        r->left = ntohl(length);
        return 0;
}

int frame_read(struct frame_reader *r, const void *data, size_t n, frame_fn fn, void *userdata,
               struct err *err)
{
        const uint8_t *p = data, *end = p + n;
        int k;

        while (p < end || (r->have == FRAME_HEADER && r->left == 0)) {
                size_t take;

                if (r->have < FRAME_HEADER) {
                        take = MIN((size_t)(end - p), FRAME_HEADER - r->have);
                        memcpy(r->header + r->have, p, take);
                        r->have += take;
                        p += take;
                        k = r->have == FRAME_HEADER ? check_header(r, err) : 0;
                        if (k < 0)
                                return k;
                        continue;
                }
                take = MIN((size_t)(end - p), (size_t)r->left);
                r->left -= (uint32_t)take;
                if (r->left == 0)
                        r->have = 0;
                k = fn((enum frame_channel)r->header[0], p, take, r->left == 0, userdata);
                if (k < 0)
                        return k;
                p += take;
        }
        return 0;
}
