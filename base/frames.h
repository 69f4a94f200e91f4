/*
 * Channels on one connection of the local socket, as frames: a byte for the channel, three zeros,
 * the length in network order, the bytes. Both ends read with this; pieces of a frame are handed on
 * as they come, so that no length needs memory. Pure.
 */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum { FRAME_HEADER = 8 };
enum frame_channel {               /* as in channel.k8s.io */
                     FRAME_STDIN,  /* to the command; an empty frame ends it */
                     FRAME_STDOUT, /* from the command */
                     FRAME_STDERR,
                     FRAME_END, /* from the command, the last: {"exitCode": N} or {"error": ""} */
                     FRAME_RESIZE, /* to the command: {"Width": 80, "Height": 24} */
                     _FRAME_CHANNEL_MAX
};

/* Of one frame's bytes a piece, the whole, or none when it is empty. @ends: there are no more.
 * Negative: stop. */
typedef int (*frame_fn)(enum frame_channel c, const void *data, size_t n, bool ends,
                        void *userdata);
struct frame_reader { /* { 0 } is at the start of a frame */
        uint8_t header[FRAME_HEADER];
        size_t have;   /* bytes of the header */
        uint32_t left; /* bytes of the frame still to come */
};
/* Return: 0; what @fn returned; -EBADMSG: an unknown channel, or zeros that are none. */
int frame_read(struct frame_reader *r, const void *data, size_t n, frame_fn fn, void *userdata,
               struct err *err);
void frame_header(enum frame_channel c, uint32_t n, uint8_t out[static FRAME_HEADER]);
