/*
 * Certificates that are asked for: a fresh key and the PKCS#10 request that goes with it, and what
 * stands in a certificate that came back. No files, no clock.
 */
#pragma once
#include "base/err.h"
#include "base/usec.h"

/* Whom a request names. */
struct certificate_subject {
        const char *common_name, *organization; /* organization NULL: none */
        const char *const *dns_names;           /* NULL-terminated, or NULL: none */
        const char *const *addresses;           /* numeric; likewise */
};
/**
 * certificate_request_make() - a new ECDSA P-256 key and a request signed with it
 * @ret_key:     PEM (PKCS#8), owned by the caller, who wipes it
 * @ret_request: PEM, owned by the caller
 * Return: 0, -EINVAL for a name that does not fit in a certificate, -ENOMEM.
 */
int certificate_request_make(const struct certificate_subject *subject, char **ret_key,
                             char **ret_request, struct err *err);

/* Of the first certificate of a PEM text. */
struct certificate_info {
        usec_t not_before, not_after;  /* CLOCK_REALTIME */
        char *common_name;             /* owned; "" when it has none */
        char **dns_names, **addresses; /* owned; NULL: none. Addresses as inet_ntop() has them */
        bool has_key;                  /* the same text holds the key that belongs to it */
};
void certificate_info_done(struct certificate_info *i);
/* -EINVAL: no certificate in it, or one that cannot be read. */
int certificate_read(const char *pem, size_t n, struct certificate_info *ret, struct err *err);
