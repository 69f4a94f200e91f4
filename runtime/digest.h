/*
 * Content digests ("sha256:…", "sha512:…") of bytes as they stream by. Pure.
 */
#pragma once
#include "base/err.h"
#include "runtime/image-ref.h"

struct digest; /* opaque */

/* For the algorithm that @like names ("sha512:…"; anything else is sha256). NULL without memory. */
struct digest *digest_new(const char *like);
struct digest *digest_free(struct digest *d);
DEFINE_CLEANUP(struct digest *, digest_free)
void digest_add(struct digest *d, const void *data, size_t n);
/* The text of all that was added since the last call; starts anew. "" when the library failed. */
const char *digest_text(struct digest *d);
/* As above, raw; @out has room for 64 bytes. Returns their number, 0 when the library failed. */
size_t digest_bytes(struct digest *d, unsigned char *out);
