#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/http-server.h"
#include "base/text.h"

enum { VALID_DAYS = 365 };

static void free_key(EVP_PKEY **key)
{
        EVP_PKEY_free(*key);
}

static void free_certificate(X509 **x)
{
        X509_free(*x);
}

static void free_bio(BIO **b)
{
        BIO_free(*b);
}

static bool is_address(const char *text)
{
        struct in6_addr a;

        return inet_pton(AF_INET, text, &a) == 1 || inet_pton(AF_INET6, text, &a) == 1;
}

/* "DNS:node-1,IP:10.0.0.1" */
static char *alternative_names(const char *host, const char *const *addresses)
{
        _cleanup_strbuf_ struct strbuf b = { 0 };

        strbuf_addf(&b, "%s:%s", is_address(host) ? "IP" : "DNS", host);
        for (; addresses && *addresses; addresses++)
                strbuf_addf(&b, ",IP:%s", *addresses);
        return strbuf_take(&b);
}

static int add_extension(X509 *x, int nid, const char *value)
{
        X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
        int r = e && X509_add_ext(x, e, -1) == 1 ? 0 : -EINVAL;

        X509_EXTENSION_free(e);
        return r;
}

static int set_serial(X509 *x)
{
        uint64_t serial;

        if (RAND_bytes((unsigned char *)&serial, sizeof serial) != 1)
                return -EIO;
        return ASN1_INTEGER_set_uint64(X509_get_serialNumber(x), serial >> 1) == 1 ? 0 : -ENOMEM;
}

static int fill(X509 *x, EVP_PKEY *key, const char *host, const char *const *addresses)
{
        _cleanup_free_ char *names = alternative_names(host, addresses);
        X509_NAME *name = X509_get_subject_name(x);

        if (!names)
                return -ENOMEM;
        if (X509_set_version(x, X509_VERSION_3) != 1 || set_serial(x) < 0 ||
            !X509_gmtime_adj(X509_getm_notBefore(x), -3600) ||
            !X509_gmtime_adj(X509_getm_notAfter(x), (long)VALID_DAYS * 24 * 3600) ||
            X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)host, -1,
                                       -1, 0) != 1 ||
            X509_set_issuer_name(x, name) != 1 || X509_set_pubkey(x, key) != 1)
                return -EINVAL;
        if (add_extension(x, NID_basic_constraints, "critical,CA:FALSE") < 0 ||
            add_extension(x, NID_key_usage, "critical,digitalSignature") < 0 ||
            add_extension(x, NID_ext_key_usage, "serverAuth") < 0 ||
            add_extension(x, NID_subject_alt_name, names) < 0)
                return -EINVAL;
        return X509_sign(x, key, EVP_sha256()) > 0 ? 0 : -EINVAL;
}

static int write_bio(const char *path, BIO *bio, mode_t mode, struct err *err)
{
        char *data;
        long n = BIO_get_mem_data(bio, &data);
        int r = fs_replace_at(AT_FDCWD, path, data, (size_t)n, mode, true);

        return r < 0 ? err_sys(err, r, "write '%s'", path) : 0;
}

static int write_pair(const char *cert_file, X509 *x, const char *key_file, EVP_PKEY *key,
                      struct err *err)
{
        _cleanup_(free_bio)
        BIO *cert_bio = BIO_new(BIO_s_mem());
        _cleanup_(free_bio)
        BIO *key_bio = BIO_new(BIO_s_secmem());
        int r;

        if (!cert_bio || !key_bio || PEM_write_bio_X509(cert_bio, x) != 1 ||
            PEM_write_bio_PrivateKey(key_bio, key, NULL, NULL, 0, NULL, NULL) != 1)
                return -ENOMEM;
        r = write_bio(key_file, key_bio, 0600, err);
        return r < 0 ? r : write_bio(cert_file, cert_bio, 0644, err);
}

int http_tls_make_self_signed(const char *cert_file, const char *key_file, const char *host,
                              const char *const *addresses, struct err *err)
{
        _cleanup_(free_key)
        EVP_PKEY *key = NULL;
        _cleanup_(free_certificate)
        X509 *x = NULL;
        bool have_cert = faccessat(AT_FDCWD, cert_file, F_OK, 0) == 0;
        bool have_key = faccessat(AT_FDCWD, key_file, F_OK, 0) == 0;

        if (have_cert && have_key)
                return 0;
        if (have_cert || have_key)
                return err_set(err, -EEXIST, "'%s' exists without '%s': expected both or neither",
                               have_cert ? cert_file : key_file, have_cert ? key_file : cert_file);
        ERR_clear_error();
        key = EVP_EC_gen("P-256");
        x = X509_new();
        if (!key || !x)
                return -ENOMEM;
        if (fill(x, key, host, addresses) < 0) {
                const char *reason = ERR_reason_error_string(ERR_peek_last_error());

                ERR_clear_error();
                return err_set(err, -EINVAL, "make a certificate for '%s': %s", host,
                               reason ? reason : "a name or address is not usable");
        }
        return write_pair(cert_file, x, key_file, key, err);
}
