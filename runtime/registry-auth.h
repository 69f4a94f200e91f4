/*
 * Who may get a credential: challenges of registries taken apart, token servers judged, token
 * answers decoded. Pure. A credential is bound to the scheme, host and port that it was configured
 * for, and not for others.
 *
 * Source: RFC 9110 11.6.1 (WWW-Authenticate); distribution/distribution docs/spec/auth (token.md,
 * oauth.md).
 */
#pragma once
#include "base/usec.h"
#include "runtime/registry-url.h"

enum auth_scheme { AUTH_NONE, AUTH_BASIC, AUTH_BEARER };

struct auth_challenge {
        enum auth_scheme scheme;
        char *realm, *service,
                *scope; /* owned; of Bearer; realm is set there, others may be NULL */
};
/**
 * auth_challenge_parse() - the challenge to answer, out of a 401's WWW-Authenticate headers
 * @headers: their values joined by ", "
 * Bearer wins over Basic, the first of a kind wins. A header that does not parse, or with schemes
 * that are unknown only, gives AUTH_NONE.
 * Return: 0 or -ENOMEM.
 */
int auth_challenge_parse(const char *headers, struct auth_challenge *ret);
void auth_challenge_done(struct auth_challenge *c);
#define _cleanup_auth_challenge_ _cleanup_(auth_challenge_done)

enum realm_trust {
        REALM_TRUSTED,   /* may see the registry's credential */
        REALM_ANONYMOUS, /* may be asked, but without a credential */
};
/**
 * auth_judge_realm() - may this token server be asked, and may it see credentials?
 * @registry: the endpoint that named it
 * @trusted:  strv of "host" or "host:port" that the node's configuration names; may be NULL
 * Return: enum realm_trust; -EINVAL when it must not be contacted at all, with the rule in @err.
 */
int auth_judge_realm(const struct registry_url *registry, const struct registry_url *realm,
                     char *const *trusted, struct err *err);

/**
 * auth_scope() - the scope to ask a token for
 * @offered: of the challenge; used when it is a pull of @repository or of a longer path that ends
 *           in it (registries behind a path prefix), else "repository:<repository>:pull"
 * Return: owned; NULL without memory.
 */
char *auth_scope(const char *offered, const char *repository);

/* "token" or "access_token" out of a token server's answer; owned; *ret_expires_sec at least 60. */
int auth_token_parse(const char *text, size_t n, char **ret, uint32_t *ret_expires_sec,
                     struct err *err);

/**
 * auth_judge_redirect() - may this Location be followed?
 * @endpoint: where the request went first
 * https only, but for a redirect within an endpoint that is plain http by configuration.
 * Return: 1 with the credential, 0 without it; -EINVAL with the rule in @err.
 */
int auth_judge_redirect(const struct registry_url *endpoint, const struct registry_url *location,
                        struct err *err);
