#include "runtime/digest.h"

#include <openssl/evp.h>

#include "base/text.h"

struct digest {
        EVP_MD_CTX *context;
        EVP_MD *algorithm; /* fetched once: EVP_sha256() would be looked up for every file */
        bool failed, is_sha512;
        char text[DIGEST_TEXT_MAX];
};

struct digest *digest_free(struct digest *d)
{
        if (!d)
                return NULL;
        EVP_MD_CTX_free(d->context);
        EVP_MD_free(d->algorithm);
        free(d);
        return NULL;
}

static void begin(struct digest *d)
{
        d->failed = EVP_DigestInit_ex2(d->context, d->algorithm, NULL) != 1;
}

struct digest *digest_new(const char *like)
{
        _cleanup_(digest_freep)
        struct digest *d = calloc(1, sizeof *d);

        if (!d)
                return NULL;
        d->is_sha512 = startswith(like, "sha512:") != NULL;
        d->context = EVP_MD_CTX_new();
        d->algorithm = EVP_MD_fetch(NULL, d->is_sha512 ? "SHA512" : "SHA256", NULL);
        if (!d->context || !d->algorithm)
                return NULL;
        begin(d);
        return TAKE_PTR(d);
}

void digest_add(struct digest *d, const void *data, size_t n)
{
        if (EVP_DigestUpdate(d->context, data, n) != 1)
                d->failed = true;
}

size_t digest_bytes(struct digest *d, unsigned char *out)
{
        unsigned n = 0;

        if (EVP_DigestFinal_ex(d->context, out, &n) != 1 || d->failed)
                n = 0;
        begin(d);
        return n;
}

const char *digest_text(struct digest *d)
{
        unsigned char raw[EVP_MAX_MD_SIZE];
        size_t n = digest_bytes(d, raw), at;

        d->text[0] = '\0';
        if (n == 0)
                return d->text;
        at = (size_t)snprintf(d->text, sizeof d->text, "%s:", d->is_sha512 ? "sha512" : "sha256");
        hex_encode(raw, n, d->text + at);
        return d->text;
}
