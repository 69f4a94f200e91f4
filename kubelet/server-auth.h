/*
 * Who may do what on :10250: a client certificate or a bearer token says who (TokenReview), a
 * SubjectAccessReview says whether. Answers are cached; the same question under way is asked once.
 * Every error denies.
 *
 */
#pragma once
#include "base/http-server.h"
#include "base/kube-client.h"
#include "kubelet/review.h"
#include "kubelet/server-route.h"

struct server_auth;  /* opaque */
struct auth_request; /* opaque; until done was called */

struct server_auth_options {
        const char *node_name;        /* borrowed */
        struct kube_session *session; /* borrowed; NULL (standalone): no token, no review */
        bool anonymous;               /* without a certificate and a token: system:anonymous */
        bool token_webhook;           /* false: tokens are not accepted */
        bool authorize_always;        /* AlwaysAllow */
        usec_t token_ttl, allowed_ttl, denied_ttl;
};
int server_auth_new(const struct server_auth_options *options, struct server_auth **ret);
struct server_auth *server_auth_free(struct server_auth *a); /* after all its requests */
DEFINE_CLEANUP(struct server_auth *, server_auth_free)

/*
 * @status:  200: go on; 401, 403 or 500 with the text to answer
 * @who:     borrowed; NULL for 401
 */
typedef void (*auth_done_fn)(int status, const struct identity *who, const char *text,
                             void *userdata);
/**
 * server_auth_check() - may the peer do this?
 * @authorization: the header's value, or NULL
 * @what:          borrowed until @done
 * @done:          called once, perhaps before this returns
 * Return: the request, for server_auth_cancel(), or NULL when @done was called already.
 */
struct auth_request *server_auth_check(struct server_auth *a, const struct http_peer *peer,
                                       const char *authorization, const struct server_request *what,
                                       auth_done_fn done, void *userdata);
struct auth_request *server_auth_cancel(struct auth_request *r); /* NULL is fine */
