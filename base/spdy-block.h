/*
 * SPDY header blocks: a deflate stream in each direction for the whole connection, with the
 * dictionary of SPDY/3. Pure.
 */
#pragma once
#include "base/spdy.h"

struct spdy_block_reader; /* opaque */
struct spdy_block_writer; /* opaque */

struct spdy_block_reader *spdy_block_reader_new(void); /* NULL without memory */
struct spdy_block_reader *spdy_block_reader_free(struct spdy_block_reader *r);
/* Reads one block. @ret is borrowed until the next. -EPROTO with the rule, -ENOMEM. */
int spdy_block_read(struct spdy_block_reader *r, const uint8_t *data, size_t n,
                    struct spdy_headers *ret, struct err *err);

struct spdy_block_writer *spdy_block_writer_new(void);
struct spdy_block_writer *spdy_block_writer_free(struct spdy_block_writer *w);
/* The block without headers, all that we ever answer. Bytes in @out, or -ENOMEM. */
enum { SPDY_EMPTY_BLOCK_MAX = 64 };
int spdy_block_write_empty(struct spdy_block_writer *w, uint8_t out[static SPDY_EMPTY_BLOCK_MAX]);
