/*
 * How this node shows the API server who it is: a kubeconfig that stands, or, on a node that joins,
 * a bootstrap kubeconfig that is good for asking for a certificate; and rotateCertificates, which
 * asks for the next one in time.
 *
 * With a bootstrap kubeconfig the kubeconfig is written at once, with a certificate that does not
 * exist yet: whatever needs the API server tries until it does, and what needs none goes on.
 * Source: cmd/kubelet/app/server.go (buildClientCertificateManager),
 * pkg/kubelet/certificate/bootstrap.
 */
#pragma once
#include "base/kube-client.h"
#include "kubelet/certificate-manager.h"

struct credentials; /* opaque; owns the session */

struct credentials_options {
        sd_event *event;
        const char *kubeconfig;           /* borrowed during the call, like all below */
        const char *bootstrap_kubeconfig; /* NULL: none */
        const char *cert_dir, *node_name, *user_agent;
        bool rotate;
};
int credentials_new(const struct credentials_options *options, struct credentials **ret,
                    struct err *err);
struct credentials *credentials_free(struct credentials *c); /* after all users of the session */
DEFINE_CLEANUP(struct credentials *, credentials_free)
struct kube_session *credentials_session(const struct credentials *c); /* borrowed */
/* For metrics; NULL: the certificate is not ours to renew. */
const struct certificate_counts *credentials_counts(const struct credentials *c);
