/*
 * CertificateSigningRequests of a node: the object that is sent, what its status says, and when the
 * next is due. Pure. Source: k8s.io/client-go/util/certificate, pkg/kubelet/certificate.
 */
#pragma once
#include <jansson.h>

#include "base/certificate.h"

enum certificate_purpose {
        CERTIFICATE_CLIENT,  /* this node towards the API server */
        CERTIFICATE_SERVING, /* :10250 */
};
/* "kubelet-client" or "kubelet-server": the prefix of the files. */
const char *certificate_purpose_prefix(enum certificate_purpose p);

/* The object to POST, new reference, NULL without memory. @request: PKCS#10 as PEM. */
json_t *certificate_request_json(enum certificate_purpose p, const char *request);

enum certificate_answer { CERTIFICATE_PENDING, CERTIFICATE_ISSUED };
/**
 * certificate_request_read() - what became of a request
 * @ret_chain: PEM, owned by the caller; set for CERTIFICATE_ISSUED
 * Return: one of the above; -EACCES: denied or failed, with the words of whoever did it in @err;
 * -EINVAL: no such object.
 */
int certificate_request_read(const json_t *object, char **ret_chain, struct err *err);

/* A uniformly random moment in 70 to 90 % of the certificate's life; @random: 32 uniform bits. */
usec_t certificate_rotate_at(const struct certificate_info *i, uint32_t random);
/* Every name and address asked for is in @i. */
bool certificate_covers(const struct certificate_info *i, const char *const *dns_names,
                        const char *const *addresses);
