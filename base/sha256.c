#include "base/sha256.h"

#include <errno.h>
#include <openssl/evp.h>

int sha256_hex(const void *data, size_t n, char ret[static SHA256_HEX_SIZE])
{
        static const char digits[] = "0123456789abcdef";
        unsigned char hash[EVP_MAX_MD_SIZE];
        unsigned size = 0;

        if (EVP_Digest(data, n, hash, &size, EVP_sha256(), NULL) != 1)
                return -ENOMEM;
        for (unsigned i = 0; i < size; i++) {
                *ret++ = digits[hash[i] >> 4];
                *ret++ = digits[hash[i] & 15];
        }
        *ret = '\0';
        return 0;
}
