#include "base/certificate.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <time.h>

#include "base/text.h"

static void free_key(EVP_PKEY **key)
{
        EVP_PKEY_free(*key);
}

static void free_request(X509_REQ **r)
{
        X509_REQ_free(*r);
}

static void free_certificate(X509 **x)
{
        X509_free(*x);
}

static void free_bio(BIO **b)
{
        BIO_free(*b);
}

static int refused(struct err *err, const char *what)
{
        const char *reason = ERR_reason_error_string(ERR_peek_last_error());
        int r = err_set_kind(err, -EINVAL, ERR_BAD_INPUT, "%s: %s", what,
                             reason ? reason : "not usable");

        ERR_clear_error();
        return r;
}

/* ---- requests ---- */

static int add_name(X509_NAME *name, const char *field, const char *value)
{
        if (!value)
                return 0;
        return X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8, (const unsigned char *)value,
                                          -1, -1, 0) == 1
                       ? 0
                       : -EINVAL;
}

/* A name with a comma would be two of them to OpenSSL. */
static int add_alternatives(struct strbuf *b, const char *kind, const char *const *names)
{
        for (; names && *names; names++) {
                if (!**names || strpbrk(*names, ",\n"))
                        return -EINVAL;
                strbuf_addf(b, "%s%s:%s", b->len > 0 ? "," : "", kind, *names);
        }
        return b->failed ? -ENOMEM : 0;
}

static void free_extensions(STACK_OF(X509_EXTENSION) * *list)
{
        sk_X509_EXTENSION_pop_free(*list, X509_EXTENSION_free);
}

static int add_subject_alternatives(X509_REQ *request, const struct certificate_subject *s)
{
        _cleanup_strbuf_ struct strbuf b = { 0 };
        _cleanup_(free_extensions)
        STACK_OF(X509_EXTENSION) *list = NULL;
        X509_EXTENSION *e;

        if (add_alternatives(&b, "DNS", s->dns_names) < 0 ||
            add_alternatives(&b, "IP", s->addresses) < 0)
                return -EINVAL;
        if (b.len == 0)
                return 0;
        list = sk_X509_EXTENSION_new_null();
        e = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, b.data);
        if (!list || !e || sk_X509_EXTENSION_push(list, e) <= 0) {
                X509_EXTENSION_free(e);
                return -EINVAL;
        }
        return X509_REQ_add_extensions(request, list) == 1 ? 0 : -EINVAL;
}

static int fill(X509_REQ *request, EVP_PKEY *key, const struct certificate_subject *s)
{
        X509_NAME *name = X509_REQ_get_subject_name(request);

        if (add_name(name, "O", s->organization) < 0 || add_name(name, "CN", s->common_name) < 0 ||
            X509_REQ_set_version(request, 0) != 1 || X509_REQ_set_pubkey(request, key) != 1 ||
            add_subject_alternatives(request, s) < 0)
                return -EINVAL;
        return X509_REQ_sign(request, key, EVP_sha256()) > 0 ? 0 : -EINVAL;
}

static char *text_of(BIO *bio)
{
        char *data;
        long n = BIO_get_mem_data(bio, &data);

        return n > 0 ? strndup(data, (size_t)n) : NULL;
}

int certificate_request_make(const struct certificate_subject *subject, char **ret_key,
                             char **ret_request, struct err *err)
{
        _cleanup_(free_key)
        EVP_PKEY *key = NULL;
        _cleanup_(free_request)
        X509_REQ *request = X509_REQ_new();
        _cleanup_(free_bio)
        BIO *key_bio = BIO_new(BIO_s_secmem());
        _cleanup_(free_bio)
        BIO *request_bio = BIO_new(BIO_s_mem());
        char *key_text, *request_text;

        ERR_clear_error();
        key = EVP_EC_gen("P-256");
        if (!key || !request || !key_bio || !request_bio)
                return err_sys(err, -ENOMEM, "make a certificate request");
        if (fill(request, key, subject) < 0)
                return refused(err, "make a certificate request");
        if (PEM_write_bio_PrivateKey(key_bio, key, NULL, NULL, 0, NULL, NULL) != 1 ||
            PEM_write_bio_X509_REQ(request_bio, request) != 1)
                return err_sys(err, -ENOMEM, "make a certificate request");
        key_text = text_of(key_bio);
        request_text = text_of(request_bio);
        if (!key_text || !request_text) {
                if (key_text)
                        explicit_bzero(key_text, strlen(key_text));
                free(key_text);
                free(request_text);
                return err_sys(err, -ENOMEM, "make a certificate request");
        }
        *ret_key = key_text;
        *ret_request = request_text;
        return 0;
}

/* ---- certificates ---- */

void certificate_info_done(struct certificate_info *i)
{
        free(i->common_name);
        strv_free(i->dns_names);
        strv_free(i->addresses);
        *i = (struct certificate_info){ 0 };
}

static int read_time(const ASN1_TIME *t, usec_t *ret)
{
        struct tm tm;
        time_t seconds;

        if (ASN1_TIME_to_tm(t, &tm) != 1)
                return -EINVAL;
        seconds = timegm(&tm);
        if (seconds < 0)
                return -EINVAL;
        *ret = (usec_t)seconds * USEC_PER_SEC;
        return 0;
}

static int read_common_name(const X509 *x, struct certificate_info *i)
{
        const X509_NAME *name = X509_get_subject_name(x);
        int at = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
        unsigned char *utf8 = NULL;
        int n = at < 0 ? 0
                       : ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(
                                                            X509_NAME_get_entry(name, at)));

        if (n >= 0)
                i->common_name = utf8 ? strndup((char *)utf8, (size_t)n) : strdup("");
        OPENSSL_free(utf8);
        return n < 0 ? -EINVAL : i->common_name ? 0 : -ENOMEM;
}

static int add_alternative(const GENERAL_NAME *name, struct certificate_info *i)
{
        char text[INET6_ADDRSTRLEN];
        const ASN1_STRING *s;
        int n;

        if (name->type == GEN_DNS) {
                s = name->d.dNSName;
                return strv_consume(&i->dns_names, strndup((const char *)ASN1_STRING_get0_data(s),
                                                           (size_t)ASN1_STRING_length(s)));
        }
        if (name->type != GEN_IPADD)
                return 0;
        s = name->d.iPAddress;
        n = ASN1_STRING_length(s);
        if ((n != 4 && n != 16) ||
            !inet_ntop(n == 4 ? AF_INET : AF_INET6, ASN1_STRING_get0_data(s), text, sizeof text))
                return 0;
        return strv_append(&i->addresses, text);
}

static int read_alternatives(const X509 *x, struct certificate_info *i)
{
        GENERAL_NAMES *names = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
        int r = 0;

        for (int n = 0; r == 0 && n < sk_GENERAL_NAME_num(names); n++)
                r = add_alternative(sk_GENERAL_NAME_value(names, n), i);
        GENERAL_NAMES_free(names);
        return r;
}

static bool holds_key_of(const char *pem, size_t n, X509 *x)
{
        _cleanup_(free_bio)
        BIO *bio = BIO_new_mem_buf(pem, (int)n);
        _cleanup_(free_key)
        EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, (void *)"") : NULL;
        bool fits = key && X509_check_private_key(x, key) == 1;

        ERR_clear_error();
        return fits;
}

int certificate_read(const char *pem, size_t n, struct certificate_info *ret, struct err *err)
{
        _cleanup_(free_bio)
        BIO *bio = n <= INT32_MAX ? BIO_new_mem_buf(pem, (int)n) : NULL;
        _cleanup_(free_certificate)
        X509 *x = NULL;
        int r;

        *ret = (struct certificate_info){ 0 };
        ERR_clear_error();
        x = bio ? PEM_read_bio_X509(bio, NULL, NULL, (void *)"") : NULL;
        if (!x)
                return refused(err, "read a certificate");
        r = read_time(X509_get0_notBefore(x), &ret->not_before);
        if (r == 0)
                r = read_time(X509_get0_notAfter(x), &ret->not_after);
        if (r == 0)
                r = read_common_name(x, ret);
        if (r == 0)
                r = read_alternatives(x, ret);
        ret->has_key = holds_key_of(pem, n, x);
        if (r == 0)
                return 0;
        certificate_info_done(ret);
        return r == -ENOMEM ? err_sys(err, r, "read a certificate")
                            : refused(err, "read a certificate");
}
