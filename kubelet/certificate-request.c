#include "kubelet/certificate-request.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "base/json.h"
#include "base/text.h"

static const struct {
        const char *prefix, *signer, *usage;
} purposes[] = {
        [CERTIFICATE_CLIENT] = { "kubelet-client", "kubernetes.io/kube-apiserver-client-kubelet",
                                 "client auth" },
        [CERTIFICATE_SERVING] = { "kubelet-server", "kubernetes.io/kubelet-serving",
                                  "server auth" },
};

const char *certificate_purpose_prefix(enum certificate_purpose p)
{
        return purposes[p].prefix;
}

json_t *certificate_request_json(enum certificate_purpose p, const char *request)
{
        _cleanup_free_ char *encoded = base64_encode(request, strlen(request));

        if (!encoded)
                return NULL;
        /* No key encipherment: the key is an elliptic one. The approver knows this very set. */
        return json_pack("{s:s, s:s, s:{s:s}, s:{s:s, s:s, s:[s, s]}}", "apiVersion",
                         "certificates.k8s.io/v1", "kind", "CertificateSigningRequest", "metadata",
                         "generateName", "csr-", "spec", "request", encoded, "signerName",
                         purposes[p].signer, "usages", "digital signature", purposes[p].usage);
}

/* The condition that ends it, or NULL. */
static const json_t *find_refusal(const json_t *conditions)
{
        const json_t *c;
        size_t i;

        json_array_foreach (conditions, i, c) {
                const char *type = json_text_at(c, "type");

                if (type && (streq(type, "Denied") || streq(type, "Failed")))
                        return c;
        }
        return NULL;
}

int certificate_request_read(const json_t *object, char **ret_chain, struct err *err)
{
        const json_t *status = json_object_get(object, "status");
        const json_t *refusal = find_refusal(json_object_get(status, "conditions"));
        const char *encoded = json_text_at(status, "certificate");
        _cleanup_free_ uint8_t *chain = NULL;
        size_t n;

        if (!json_is_object(object))
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT, "expected an object");
        if (refusal) {
                const char *reason = json_text_at(refusal, "reason");
                const char *message = json_text_at(refusal, "message");

                return err_set_kind(err, -EACCES, ERR_FORBIDDEN, "%s: %s: %s",
                                    json_text_at(refusal, "type"), reason ? reason : "",
                                    message ? message : "");
        }
        if (!encoded || !*encoded)
                return CERTIFICATE_PENDING;
        if (base64_decode(encoded, strlen(encoded), &chain, &n) < 0 || n == 0 ||
            memchr(chain, '\0', n))
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                    "status.certificate: expected PEM inside base64");
        *ret_chain = strndup((const char *)chain, n);
        return *ret_chain ? CERTIFICATE_ISSUED : -ENOMEM;
}

usec_t certificate_rotate_at(const struct certificate_info *i, uint32_t random)
{
        usec_t life = i->not_after > i->not_before ? i->not_after - i->not_before : 0;

        return i->not_before + life / 10 * 7 + (usec_t)((double)life / 5 * random / UINT32_MAX);
}

/* "::1" is "0:0:0:0:0:0:0:1". */
static bool is_same_address(const char *a, const char *b)
{
        struct in6_addr x = { 0 }, y = { 0 };
        int family = strchr(a, ':') ? AF_INET6 : AF_INET;

        return inet_pton(family, a, &x) == 1 && inet_pton(family, b, &y) == 1 &&
               memcmp(&x, &y, sizeof x) == 0;
}

bool certificate_covers(const struct certificate_info *i, const char *const *dns_names,
                        const char *const *addresses)
{
        for (; dns_names && *dns_names; dns_names++)
                if (!i->dns_names || !strv_contains(i->dns_names, *dns_names))
                        return false;
        for (; addresses && *addresses; addresses++) {
                bool found = false;

                STRV_FOREACH (a, i->addresses)
                        found |= is_same_address(*a, *addresses);
                if (!found)
                        return false;
        }
        return true;
}
