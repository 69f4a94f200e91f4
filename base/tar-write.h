/*
 * Headers of a tar archive: ustar, with GNU's long names where a name does not fit, for every tar
 * in the field reads those (busybox passes over pax headers). Pure.
 */
#pragma once
#include "base/tar.h"
#include "base/text.h"

enum { TAR_BLOCK_SIZE = 512 };
/* The header of an entry (extended attributes are not written); its data follow, and then
 * tar_write_padding(). A failure stays in @b. */
void tar_write_header(struct strbuf *b, const struct tar_entry *e);
/* Up to the next block behind @size bytes of data. */
void tar_write_padding(struct strbuf *b, uint64_t size);
void tar_write_end(struct strbuf *b);
