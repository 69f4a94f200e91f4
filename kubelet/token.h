/*
 * Service-account tokens for pods: TokenRequests bound to the pod, cached, and asked anew at 80 %
 * of their life or after 24 hours. A refresh that fails keeps the old token while it is valid.
 * Source: pkg/kubelet/token/token_manager.go; spec.serviceAccountToken of projected volumes.
 */
#pragma once
#include "base/kube-client.h"

struct token; /* opaque: one token kept fresh */

struct token_options {
        const char *namespace, *service_account, *pod_name, *pod_uid; /* copied */
        const char *audience; /* NULL: the API server's own */
        int64_t expiration_sec;
        void (*changed)(struct token *t,
                        void *userdata); /* a (new) token is there, or the first try failed */
        void *userdata;
};
int token_new(struct kube_session *session, const struct token_options *options,
              struct token **ret);
struct token *token_free(struct token *t); /* wipes it */
DEFINE_CLEANUP(struct token *, token_free)
const char *token_text(const struct token *t); /* NULL: none yet */
const char *
token_error(const struct token *t); /* why there is none; "" while the first answer is awaited */
/* When to ask again: 80 % of the life, at most 24 h after now. Pure. */
usec_t token_refresh_at(usec_t now, usec_t expires_at);
