#include "base/certificate.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/text.h"
#include "tests/check.h"

static X509_REQ *read_request(const char *pem)
{
        BIO *bio = BIO_new_mem_buf(pem, -1);
        X509_REQ *r = PEM_read_bio_X509_REQ(bio, NULL, NULL, NULL);

        BIO_free(bio);
        CHECK(r);
        return r;
}

static EVP_PKEY *read_key(const char *pem)
{
        BIO *bio = BIO_new_mem_buf(pem, -1);
        EVP_PKEY *k = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);

        BIO_free(bio);
        CHECK(k);
        return k;
}

/* A certificate for what @request asks, signed with its own key; owned PEM. */
static char *sign(const char *request, const char *key, long from, long to)
{
        X509_REQ *r = read_request(request);
        EVP_PKEY *k = read_key(key);
        STACK_OF(X509_EXTENSION) *list = X509_REQ_get_extensions(r);
        X509 *x = X509_new();
        BIO *bio = BIO_new(BIO_s_mem());
        char *data, *text;
        long n;

        X509_set_version(x, X509_VERSION_3);
        ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
        X509_gmtime_adj(X509_getm_notBefore(x), from);
        X509_gmtime_adj(X509_getm_notAfter(x), to);
        X509_set_subject_name(x, X509_REQ_get_subject_name(r));
        X509_set_issuer_name(x, X509_REQ_get_subject_name(r));
        X509_set_pubkey(x, X509_REQ_get0_pubkey(r));
        for (int i = 0; i < sk_X509_EXTENSION_num(list); i++)
                X509_add_ext(x, sk_X509_EXTENSION_value(list, i), -1);
        CHECK(X509_sign(x, k, EVP_sha256()) > 0);
        PEM_write_bio_X509(bio, x);
        n = BIO_get_mem_data(bio, &data);
        text = strndup(data, (size_t)n);
        BIO_free(bio);
        X509_free(x);
        sk_X509_EXTENSION_pop_free(list, X509_EXTENSION_free);
        X509_REQ_free(r);
        EVP_PKEY_free(k);
        return text;
}

static const char *const names[] = { "node-1", NULL };
static const char *const addresses[] = { "10.0.0.1", "fd00::1", NULL };
static const struct certificate_subject subject = { .common_name = "system:node:node-1",
                                                    .organization = "system:nodes",
                                                    .dns_names = names,
                                                    .addresses = addresses };

static void make(const struct certificate_subject *s, char **ret_key, char **ret_request)
{
        _cleanup_err_ struct err err = { 0 };

        if (certificate_request_make(s, ret_key, ret_request, &err) < 0)
                fail_msg("%s", err_text(&err));
}

TEST(a_request_names_the_node_in_the_order_that_signers_compare_and_is_signed_by_its_key)
{
        _cleanup_free_ char *key = NULL, *request = NULL, *line = NULL;
        EVP_PKEY *k;
        X509_REQ *r;

        make(&subject, &key, &request);
        r = read_request(request);
        k = read_key(key);
        CHECK_INT(X509_REQ_verify(r, k), 1);
        CHECK_INT(EVP_PKEY_get_base_id(k), EVP_PKEY_EC);
        line = X509_NAME_oneline(X509_REQ_get_subject_name(r), NULL, 0);
        CHECK_STR(line, "/O=system:nodes/CN=system:node:node-1");
        X509_REQ_free(r);
        EVP_PKEY_free(k);
}

TEST(each_request_has_a_key_of_its_own)
{
        _cleanup_free_ char *key = NULL, *request = NULL, *other_key = NULL, *other = NULL;

        make(&subject, &key, &request);
        make(&subject, &other_key, &other);
        CHECK(!streq(key, other_key));
}

TEST(a_client_certificates_request_has_no_names_beside_its_subject)
{
        static const struct certificate_subject plain = { .common_name = "system:node:n",
                                                          .organization = "system:nodes" };
        _cleanup_free_ char *key = NULL, *request = NULL;
        X509_REQ *r;
        STACK_OF(X509_EXTENSION) * list;

        make(&plain, &key, &request);
        r = read_request(request);
        list = X509_REQ_get_extensions(r);
        CHECK(!list || sk_X509_EXTENSION_num(list) == 0);
        sk_X509_EXTENSION_pop_free(list, X509_EXTENSION_free);
        X509_REQ_free(r);
}

TEST(names_that_no_certificate_can_hold_are_refused)
{
        static const char *const bad_names[][2] = { { "a,IP:1.2.3.4", NULL }, { "", NULL } };
        static const char *const no_address[] = { "10.0.0", NULL };
        struct certificate_subject s = { .common_name = "n" };
        char *key = NULL, *request = NULL;
        _cleanup_err_ struct err err = { 0 };

        for (size_t i = 0; i < ARRAY_SIZE(bad_names); i++) {
                s.dns_names = bad_names[i];
                CHECK_INT(certificate_request_make(&s, &key, &request, NULL), -EINVAL);
        }
        s.dns_names = NULL;
        s.addresses = no_address;
        CHECK_INT(certificate_request_make(&s, &key, &request, &err), -EINVAL);
        CHECK_CONTAINS(err_text(&err), "make a certificate request: ");
        CHECK(!key && !request);
}

TEST(a_certificate_says_whose_it_is_how_long_it_lives_and_whether_its_key_is_there)
{
        _cleanup_free_ char *key = NULL, *request = NULL, *pem = NULL, *both = NULL;
        _cleanup_(certificate_info_done)
        struct certificate_info info = { 0 }, with_key = { 0 };
        usec_t now = now_realtime();

        make(&subject, &key, &request);
        pem = sign(request, key, -3600, 7200);
        CHECK_INT(certificate_read(pem, strlen(pem), &info, NULL), 0);
        CHECK_STR(info.common_name, "system:node:node-1");
        CHECK_STR(info.dns_names[0], "node-1");
        CHECK_STR(info.addresses[0], "10.0.0.1");
        CHECK_STR(info.addresses[1], "fd00::1");
        CHECK(info.not_before > now - 3605 * USEC_PER_SEC &&
              info.not_before < now - 3595 * USEC_PER_SEC);
        CHECK_INT(info.not_after - info.not_before, 10800 * USEC_PER_SEC);
        CHECK(!info.has_key);
        both = text_printf("%s%s", pem, key);
        CHECK_INT(certificate_read(both, strlen(both), &with_key, NULL), 0);
        CHECK(with_key.has_key);
        certificate_info_done(&with_key);
}

TEST(somebody_elses_key_is_none)
{
        _cleanup_free_ char *key = NULL, *request = NULL, *other_key = NULL, *other = NULL,
                            *pem = NULL, *both = NULL;
        _cleanup_(certificate_info_done)
        struct certificate_info info = { 0 };

        make(&subject, &key, &request);
        make(&subject, &other_key, &other);
        pem = sign(request, key, 0, 10);
        both = text_printf("%s%s", pem, other_key);
        CHECK_INT(certificate_read(both, strlen(both), &info, NULL), 0);
        CHECK(!info.has_key);
}

TEST(what_is_no_certificate_is_refused)
{
        static const char not_der[] = "-----BEGIN CERTIFICATE-----\nAAAA\n"
                                      "-----END CERTIFICATE-----\n";
        const char *const texts[] = { "", "nonsense", "-----BEGIN CERTIFICATE-----\n", not_der };
        struct certificate_info info;
        _cleanup_err_ struct err err = { 0 };

        for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
                CHECK_INT(certificate_read(texts[i], strlen(texts[i]), &info, &err), -EINVAL);
        CHECK_CONTAINS(err_text(&err), "read a certificate: ");
}
