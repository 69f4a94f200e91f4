#include "kubelet/certificate-request.h"

#include <errno.h>

#include "base/text.h"
#include "tests/check.h"
#include "tests/unit/pod-fixture.h"

TEST(requests_carry_the_signer_and_usages_that_approvers_know)
{
        json_auto_t *client = certificate_request_json(CERTIFICATE_CLIENT, "abc");
        json_auto_t *serving = certificate_request_json(CERTIFICATE_SERVING, "abc");

        check_json(client, "{'apiVersion':'certificates.k8s.io/v1',"
                           "'kind':'CertificateSigningRequest','metadata':{'generateName':'csr-'},"
                           "'spec':{'request':'YWJj',"
                           "'signerName':'kubernetes.io/kube-apiserver-client-kubelet',"
                           "'usages':['digital signature','client auth']}}");
        check_json(json_object_get(serving, "spec"),
                   "{'request':'YWJj','signerName':'kubernetes.io/kubelet-serving',"
                   "'usages':['digital signature','server auth']}");
        CHECK_STR(certificate_purpose_prefix(CERTIFICATE_CLIENT), "kubelet-client");
        CHECK_STR(certificate_purpose_prefix(CERTIFICATE_SERVING), "kubelet-server");
}

static int read_answer(const char *text, char **chain, struct err *err)
{
        json_auto_t *object = json_of(text);

        return certificate_request_read(object, chain, err);
}

TEST(a_request_waits_until_its_certificate_is_there)
{
        char *chain = NULL;

        CHECK_INT(read_answer("{}", &chain, NULL), CERTIFICATE_PENDING);
        CHECK_INT(read_answer("{'status':{}}", &chain, NULL), CERTIFICATE_PENDING);
        CHECK_INT(read_answer("{'status':{'conditions':[{'type':'Approved'}],'certificate':''}}",
                              &chain, NULL),
                  CERTIFICATE_PENDING);
        CHECK_INT(read_answer("{'status':{'conditions':[{'type':'Approved'}],"
                              "'certificate':'YWJj'}}",
                              &chain, NULL),
                  CERTIFICATE_ISSUED);
        CHECK_STR(chain, "abc");
        free(chain);
}

TEST(a_refusal_is_told_in_the_words_of_who_refused)
{
        _cleanup_err_ struct err err = { 0 };
        char *chain = NULL;

        CHECK_INT(read_answer("{'status':{'conditions':[{'type':'Denied','reason':'NotUs',"
                              "'message':'no such node'}],'certificate':'YWJj'}}",
                              &chain, &err),
                  -EACCES);
        CHECK_STR(err_text(&err), "Denied: NotUs: no such node");
        CHECK_INT(read_answer("{'status':{'conditions':[{'type':'Failed'}]}}", &chain, &err),
                  -EACCES);
        CHECK(!chain);
}

TEST(an_answer_that_is_no_text_is_refused)
{
        char *chain = NULL;

        CHECK_INT(read_answer("{'status':{'certificate':'?'}}", &chain, NULL), -EINVAL);
        CHECK_INT(read_answer("{'status':{'certificate':'AAAA'}}", &chain, NULL), -EINVAL);
        CHECK_INT(certificate_request_read(NULL, &chain, NULL), -EINVAL);
        CHECK(!chain);
}

TEST(the_next_certificate_is_due_between_70_and_90_percent_of_the_life)
{
        const struct certificate_info info = { .not_before = 1000, .not_after = 2000 };
        const struct certificate_info odd = { .not_before = 1000, .not_after = 10 };

        CHECK_INT(certificate_rotate_at(&info, 0), 1700);
        CHECK_INT(certificate_rotate_at(&info, UINT32_MAX), 1900);
        CHECK_INT(certificate_rotate_at(&info, UINT32_MAX / 2), 1799);
        CHECK_INT(certificate_rotate_at(&odd, UINT32_MAX), 1000);
}

TEST(a_certificate_covers_what_it_names_and_no_more)
{
        char *dns[] = { "node-1", NULL }, *ips[] = { "10.0.0.1", "fd00::1", NULL };
        const struct certificate_info info = { .dns_names = dns, .addresses = ips };
        const char *const same[] = { "node-1", NULL }, *const other[] = { "node-2", NULL };
        const char *const v6[] = { "fd00:0::0001", NULL }, *const more[] = { "10.0.0.2", NULL };

        CHECK(certificate_covers(&info, same, v6));
        CHECK(certificate_covers(&info, NULL, NULL));
        CHECK(!certificate_covers(&info, other, NULL));
        CHECK(!certificate_covers(&info, same, more));
}
