#include "runtime/registry-auth.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"
#include "base/text.h"

enum {
        VALUE_MAX = 2048, /* of a realm, service or scope */
        TOKEN_MAX = 64 << 10,
        EXPIRES_MIN_SEC = 60, /* tokens without a lifetime have this one */
};

void auth_challenge_done(struct auth_challenge *c)
{
        free(c->realm);
        free(c->service);
        free(c->scope);
        *c = (struct auth_challenge){ 0 };
}

/* ---- WWW-Authenticate ---- */

static bool is_token_char(char c)
{
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               (c && strchr("!#$%&'*+-.^_`|~", c));
}

static void skip_blanks(const char **p)
{
        while (**p == ' ' || **p == '\t')
                (*p)++;
}

static size_t token_length(const char *p)
{
        size_t n = 0;

        while (is_token_char(p[n]))
                n++;
        return n;
}

/* A token or a quoted string; NULL @ret skips it. */
static int read_value(const char **p, char **ret)
{
        struct strbuf b = { 0 };

        if (**p != '"') {
                size_t n = token_length(*p);

                if (n == 0 || n > VALUE_MAX)
                        return -EINVAL;
                strbuf_add_n(&b, *p, n);
                *p += n;
        } else {
                for ((*p)++; **p != '"'; (*p)++) {
                        if (**p == '\\')
                                (*p)++;
                        if ((unsigned char)**p < ' ' || b.len > VALUE_MAX) { /* the end, too */
                                strbuf_done(&b);
                                return -EINVAL;
                        }
                        strbuf_add_n(&b, *p, 1);
                }
                (*p)++;
        }
        *ret = strbuf_take(&b);
        return *ret ? 0 : -ENOMEM;
}

static void store(char **member, char **value)
{
        if (!*member) /* the first of a name counts */
                *member = TAKE_PTR(*value);
}

/* One `name=value` of a challenge. */
static int read_parameter(const char **p, size_t name_len, struct auth_challenge *c)
{
        const char *name = *p;
        _cleanup_free_ char *value = NULL;
        int r;

        *p += name_len;
        skip_blanks(p);
        (*p)++; /* the caller saw '=' */
        skip_blanks(p);
        r = read_value(p, &value);
        if (r < 0)
                return r;
        if (name_len == 5 && strncasecmp(name, "realm", 5) == 0)
                store(&c->realm, &value);
        else if (name_len == 7 && strncasecmp(name, "service", 7) == 0)
                store(&c->service, &value);
        else if (name_len == 5 && strncasecmp(name, "scope", 5) == 0)
                store(&c->scope, &value);
        return 0;
}

static bool is_parameter(const char *p, size_t name_len)
{
        p += name_len;
        skip_blanks(&p);
        return *p == '=';
}

static enum auth_scheme scheme_of(const char *p, size_t n)
{
        if (n == 6 && strncasecmp(p, "Bearer", 6) == 0)
                return AUTH_BEARER;
        if (n == 5 && strncasecmp(p, "Basic", 5) == 0)
                return AUTH_BASIC;
        return AUTH_NONE;
}

/* A scheme and its parameters, up to the next scheme or the end. */
static int read_challenge(const char **p, struct auth_challenge *c)
{
        size_t n = token_length(*p);
        int r;

        if (n == 0)
                return -EINVAL;
        c->scheme = scheme_of(*p, n);
        *p += n;
        for (;;) {
                const char *before;

                skip_blanks(p);
                before = *p;
                while (**p == ',' || **p == ' ' || **p == '\t')
                        (*p)++;
                n = token_length(*p);
                if (n == 0 || !is_parameter(*p, n))
                        return **p == '\0' || (*p > before && n > 0) ? 0 : -EINVAL;
                r = read_parameter(p, n, c);
                if (r < 0)
                        return r;
        }
}

int auth_challenge_parse(const char *headers, struct auth_challenge *ret)
{
        _cleanup_auth_challenge_ struct auth_challenge best = { 0 };

        for (const char *p = headers; *p;) {
                _cleanup_auth_challenge_ struct auth_challenge c = { 0 };
                int r;

                skip_blanks(&p);
                if (*p == ',') {
                        p++;
                        continue;
                }
                r = *p ? read_challenge(&p, &c) : 0;
                if (r == -ENOMEM)
                        return r;
                if (r < 0)
                        break; /* what came before the nonsense still counts */
                if (c.scheme == AUTH_BEARER && !c.realm)
                        continue;
                if (c.scheme > best.scheme) {
                        struct auth_challenge worse = best;

                        best = c;
                        c = worse;
                }
        }
        *ret = best;
        best = (struct auth_challenge){ 0 };
        return 0;
}

/* ---- judging URLs ---- */

static bool is_well_known_pair(const char *registry, const char *realm)
{
        static const char *const pairs[][2] = {
                { "registry-1.docker.io", "auth.docker.io" },
                { "registry.gitlab.com", "gitlab.com" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(pairs); i++)
                if (streq(registry, pairs[i][0]) && streq(realm, pairs[i][1]))
                        return true;
        return false;
}

int auth_judge_realm(const struct registry_url *registry, const struct registry_url *realm,
                     char *const *trusted, struct err *err)
{
        _cleanup_free_ char *authority = registry_url_authority(realm);
        bool same_host = streq(registry->host, realm->host);
        bool configured;

        if (!authority)
                return err_sys(err, -ENOMEM, "judge token server");
        configured = strv_contains(trusted, authority);
        if (registry->https && !realm->https)
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                    "token server '%s' is not https, as the registry is",
                                    authority);
        if (registry_url_host_is_address(realm) && !same_host && !configured)
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                    "token server '%s' is an address, and not the registry's",
                                    authority);
        if (!realm->https)
                return REALM_ANONYMOUS;
        if (same_host && realm->port == registry->port)
                return REALM_TRUSTED;
        if (realm->port == 443 && registry->port == 443 &&
            is_well_known_pair(registry->host, realm->host))
                return REALM_TRUSTED;
        return configured ? REALM_TRUSTED : REALM_ANONYMOUS;
}

int auth_judge_redirect(const struct registry_url *endpoint, const struct registry_url *location,
                        struct err *err)
{
        if (registry_url_same_origin(endpoint, location))
                return 1;
        if (!location->https)
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT, "redirect to '%s': expected https",
                                    location->host);
        return 0;
}

/* ---- tokens ---- */

char *auth_scope(const char *offered, const char *repository)
{
        const char *path = offered ? startswith(offered, "repository:") : NULL;
        size_t n = path ? strcspn(path, ":") : 0, own = strlen(repository);

        if (path && streq(path + n, ":pull") && n >= own &&
            memcmp(path + n - own, repository, own) == 0 && (n == own || path[n - own - 1] == '/'))
                return strdup(offered);
        return text_printf("repository:%s:pull", repository);
}

struct token_answer {
        char *token, *access_token;
        int64_t expires_in;
};

static const struct json_range expires_range = { INT64_MIN, INT64_MAX };
static const struct json_field token_fields[] = { /* clang-format off */
        { "token",        decode_string, offsetof(struct token_answer, token),        JSON_OPTIONAL },
        { "access_token", decode_string, offsetof(struct token_answer, access_token), JSON_OPTIONAL },
        { "expires_in",   decode_i64,    offsetof(struct token_answer, expires_in),   JSON_OPTIONAL, &expires_range },
        {}
}; /* clang-format on */

int auth_token_parse(const char *text, size_t n, char **ret, uint32_t *ret_expires_sec,
                     struct err *err)
{
        json_auto_t *root = NULL;
        struct token_answer a = { 0 };
        _cleanup_free_ char *token = NULL, *access_token = NULL;
        const char *value;
        int r = json_parse(text, n, false, &root, err);

        if (r == 0)
                r = json_decode(root, token_fields, &a, err);
        token = a.token;
        access_token = a.access_token;
        if (r < 0)
                return err_wrap(err, r, "answer of the token server");
        value = token && *token ? token : access_token;
        if (!value || !*value)
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                    "answer of the token server: no token in it");
        /* it goes into a header: nothing that could end one */
        for (const char *c = value; *c; c++)
                if (*c <= ' ' || *c > '~')
                        return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                            "answer of the token server: token has characters "
                                            "that no header can carry");
        if (strlen(value) > TOKEN_MAX)
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                    "answer of the token server: token of more than %d bytes",
                                    TOKEN_MAX);
        *ret = strdup(value);
        if (!*ret)
                return err_sys(err, -ENOMEM, "keep token");
        *ret_expires_sec = (uint32_t)MIN(MAX(a.expires_in, EXPIRES_MIN_SEC), 86400);
        return 0;
}
