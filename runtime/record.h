/*
 * Records: what of a sandbox or container must outlive a restart of skiffd, or a reboot.
 *
 * A record is one JSON object in a file of its own, replaced by rename and never half-written:
 * {"checksum":"<16 hex>","version":1,…}. The checksum covers the whole text, its own digits taken
 * as zeros, so that a flipped bit is noticed and not acted upon. A record that cannot be read is
 * set aside (renamed to *.bad) and logged; it stops nothing else.
 */
#pragma once
#include <jansson.h>

#include "base/err.h"

enum { RECORD_VERSION = 1, RECORD_MAX = 1 << 20 };

/* Writes @object (taken, also on failure; NULL is -ENOMEM) with version and checksum. Not synced:
 * what a power cut takes away is found out at the next start. */
int record_write(int dir_fd, const char *path, json_t *object);
/**
 * record_read() - a record that is whole, of our version
 * @ret: new reference
 * Return: 0; -ENOENT; -EBADMSG and why: damaged or of another version; else what reading gave.
 */
int record_read(int dir_fd, const char *path, json_t **ret, struct err *err);
/* The same for its bytes. Pure. */
int record_parse(const char *text, size_t n, json_t **ret, struct err *err);
/* Renames it to "<path>.bad" (replacing an older one) and logs why. */
void record_set_aside(int dir_fd, const char *path, int r, const struct err *why);
