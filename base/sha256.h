/* SHA-256 of a text at once, in hex: names of files, and secrets that are compared but not kept. */
#pragma once
#include <stddef.h>

enum { SHA256_HEX_SIZE = 65 };
/* Lower case, NUL-terminated. 0, or -ENOMEM. */
int sha256_hex(const void *data, size_t n, char ret[static SHA256_HEX_SIZE]);
