/*
 * Credentials and tokens. A request is first sent without any; what the registry answers decides.
 * Credentials are tried in order; when there are some, nothing is tried without one, but for token
 * servers that must not see them.
 */
#include <errno.h>
#include <string.h>

#include "base/text.h"
#include "runtime/registry-auth.h"
#include "runtime/registry-internal.h"

enum { TOKEN_ANSWER_MAX = 1 << 20, LOGINS_MAX = 32, EARLY_SEC = 10 };

const char *registry_authorization(struct registry_endpoint_state *e)
{
        if (e->authorization && now_monotonic() >= e->authorization_end) {
                free(e->authorization);
                e->authorization = NULL;
        }
        return e->authorization;
}

static int set_authorization(struct registry_endpoint_state *e, const char *scheme,
                             const char *value, usec_t end, bool used_credential)
{
        char *text = text_printf("%s %s", scheme, value);

        if (!text)
                return -ENOMEM;
        free(e->authorization);
        e->authorization = text;
        e->authorization_end = end;
        e->authorization_works = false;
        e->used_credential = used_credential;
        return 1;
}

static char *basic_value(const struct image_credential *c)
{
        _cleanup_free_ char *pair = text_printf("%s:%s", c->username,
                                                c->password ? c->password : "");
        char *encoded = pair ? base64_encode(pair, strlen(pair)) : NULL;

        if (pair)
                explicit_bzero(pair, strlen(pair));
        return encoded;
}

static const struct image_credential *current_credential(const struct registry_endpoint_state *e)
{
        return e->credential < e->n_credentials ? &e->credentials[e->credential] : NULL;
}

static int basic(struct registry_endpoint_state *e)
{
        const struct image_credential *c = current_credential(e);
        _cleanup_free_ char *value = NULL;

        if (!c || !c->username)
                return 0;
        value = basic_value(c);
        return value ? set_authorization(e, "Basic", value, USEC_NEVER, true) : -ENOMEM;
}

/* ---- tokens ---- */

static void add_parameter(struct strbuf *b, const char *separator, const char *name,
                          const char *value)
{
        if (!value)
                return;
        strbuf_addf(b, "%s%s=", separator, name);
        for (const char *p = value; *p; p++) {
                bool plain = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
                             (*p >= '0' && *p <= '9') || strchr("-._~", *p);

                strbuf_addf(b, plain ? "%c" : "%%%02X", (unsigned char)*p);
        }
}

/* GET with user and password, POST with an identity token, GET without anything. */
static int build_token_request(const struct auth_challenge *challenge,
                               const struct registry_endpoint_state *e,
                               const struct image_credential *c, struct registry_url *ret_url,
                               char **ret_form, char **ret_basic, struct err *err)
{
        _cleanup_strbuf_ struct strbuf query = { 0 };
        _cleanup_free_ char *scope = auth_scope(challenge->scope, e->job->repository), *url = NULL;
        bool post = c && c->identity_token;

        add_parameter(&query, "", "service", challenge->service ? challenge->service : "");
        add_parameter(&query, "&", "scope", scope);
        if (post) {
                add_parameter(&query, "&", "grant_type", "refresh_token");
                add_parameter(&query, "&", "client_id", "skiff");
                add_parameter(&query, "&", "refresh_token", c->identity_token);
        }
        if (!scope || query.failed)
                return err_sys(err, -ENOMEM, "ask for a token");
        if (post) {
                *ret_form = strbuf_take(&query);
                return registry_url_parse(challenge->realm, NULL, ret_url, err);
        }
        if (c && c->username && !(*ret_basic = basic_value(c)))
                return err_sys(err, -ENOMEM, "ask for a token");
        url = text_printf("%s%s%s", challenge->realm, strchr(challenge->realm, '?') ? "&" : "?",
                          query.data);
        return url ? registry_url_parse(url, NULL, ret_url, err)
                   : err_sys(err, -ENOMEM, "ask for a token");
}

static int ask_for_token(struct registry *r, struct registry_endpoint_state *e,
                         const struct auth_challenge *challenge, const struct registry_url *realm,
                         const struct image_credential *c, struct http_answer *ret, struct err *err)
{
        _cleanup_registry_url_ struct registry_url url = { 0 };
        _cleanup_free_ char *form = NULL, *basic_text = NULL, *authorization = NULL;
        struct http_ask ask;
        int k = build_token_request(challenge, e, c, &url, &form, &basic_text, err);

        if (k < 0)
                return k;
        if (basic_text && !(authorization = text_printf("Basic %s", basic_text)))
                return err_sys(err, -ENOMEM, "ask for a token");
        ask = (struct http_ask){
                .url = &url,
                .tls_host = registry_url_same_origin(realm, &e->url) ? e->job->tls_host : NULL,
                .authorization = authorization,
                .form = form,
                .refuse_internal = !e->internal && !streq(realm->host, e->url.host),
                .body_max = TOKEN_ANSWER_MAX,
        };
        k = registry_http_get(r->http, &ask, ret, err);
        if (form)
                explicit_bzero(form, strlen(form));
        return k < 0 ? err_wrap(err, k, "token server") : 0;
}

static int bearer(struct registry *r, struct registry_endpoint_state *e,
                  const struct auth_challenge *challenge, struct err *err)
{
        const struct image_credential *c = current_credential(e);
        _cleanup_registry_url_ struct registry_url realm = { 0 };
        _cleanup_http_answer_ struct http_answer answer = { 0 };
        _cleanup_free_ char *token = NULL;
        uint32_t expires_sec;
        int trust, k = registry_url_parse(challenge->realm, NULL, &realm, err);

        if (k < 0)
                return err_wrap(err, k, "token server");
        trust = auth_judge_realm(&e->url, &realm, e->job->token_realms, err);
        if (trust < 0)
                return trust;
        if (trust == REALM_ANONYMOUS)
                c = NULL;
        k = ask_for_token(r, e, challenge, &realm, c, &answer, err);
        if (k < 0)
                return k;
        if (answer.status / 100 == 4)
                return 0; /* it does not know this credential */
        if (answer.status != 200)
                return err_set_kind(err, -EIO,
                                    answer.status / 100 == 5 ? ERR_SERVER : ERR_IMAGE_PULL,
                                    "token server '%s': HTTP status %d", realm.host, answer.status);
        k = auth_token_parse(answer.body, answer.body_len, &token, &expires_sec, err);
        explicit_bzero(answer.body, answer.body_len);
        if (k < 0)
                return k;
        expires_sec -= MIN(EARLY_SEC, expires_sec / 2);
        k = set_authorization(e, "Bearer", token, now_monotonic() + expires_sec * USEC_PER_SEC,
                              c != NULL);
        return k < 0 ? err_sys(err, k, "keep token") : k;
}

int registry_login(struct registry *r, struct registry_endpoint_state *e,
                   const struct http_answer *answer, struct err *err)
{
        _cleanup_auth_challenge_ struct auth_challenge challenge = { 0 };
        bool tried = e->authorization != NULL, renew = e->authorization_works;

        if (++e->logins > LOGINS_MAX ||
            auth_challenge_parse(answer->challenge ? answer->challenge : "", &challenge) < 0)
                return 0;
        free(e->authorization);
        e->authorization = NULL;
        e->authorization_works = false;
        if (tried && !renew)
                e->credential++; /* this one is not wanted */
        if (challenge.scheme == AUTH_NONE)
                return 0;
        /* without credentials there is one try, anonymously */
        for (; e->credential < MAX(e->n_credentials, 1); e->credential++) {
                int k = challenge.scheme == AUTH_BASIC ? basic(e) : bearer(r, e, &challenge, err);

                if (k != 0)
                        return k;
        }
        return 0;
}
