#include "kubelet/review.h"

#include <errno.h>
#include <openssl/evp.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"
#include "base/text.h"

enum {
        TOKEN_MAX = 32 * 1024,
        GROUPS_MAX = 1000,
};

static struct identity *identity_of(const char *user, const char *const *groups, const char *more)
{
        _cleanup_(identity_unrefp)
        struct identity *i = malloc(sizeof *i);

        if (!i)
                return NULL;
        *i = (struct identity){ .refs = 1, .user = strdup(user) };
        i->groups = groups ? strv_copy((char *const *)groups) : NULL;
        if (!i->user || (groups && groups[0] && !i->groups))
                return NULL;
        if (!strv_contains(i->groups, more) && strv_append(&i->groups, more) < 0)
                return NULL;
        return TAKE_PTR(i);
}

struct identity *identity_new(const char *user, const char *const *groups)
{
        return identity_of(user, groups, "system:authenticated");
}

struct identity *identity_anonymous(void)
{
        return identity_of("system:anonymous", NULL, "system:unauthenticated");
}

struct identity *identity_ref(struct identity *i)
{
        if (i)
                i->refs++;
        return i;
}

struct identity *identity_unref(struct identity *i)
{
        if (!i || --i->refs > 0)
                return NULL;
        free(i->user);
        free(i->uid);
        strv_free(i->groups);
        json_decref(i->extra);
        free(i);
        return NULL;
}

const char *bearer_token(const char *authorization)
{
        const char *token;
        size_t n;

        if (!authorization || strncasecmp(authorization, "bearer ", 7) != 0)
                return NULL;
        token = authorization + 7;
        n = strlen(token);
        if (n == 0 || n > TOKEN_MAX)
                return NULL;
        for (const char *s = token; *s; s++)
                if (*s < 0x21 || *s > 0x7e)
                        return NULL;
        return token;
}

json_t *token_review_json(const char *token)
{
        return json_pack("{s:s, s:s, s:{s:s}}", "apiVersion", "authentication.k8s.io/v1", "kind",
                         "TokenReview", "spec", "token", token);
}

struct token_user {
        char *name, *uid, **groups;
        json_t *extra;
};

struct token_status {
        bool authenticated;
        char *error;
        struct token_user user;
};

static void token_status_done(struct token_status *s)
{
        free(s->error);
        free(s->user.name);
        free(s->user.uid);
        strv_free(s->user.groups);
        json_decref(s->user.extra);
}

static const struct json_field
        user_fields[] = { /* clang-format off */
        { "username", decode_string, offsetof(struct token_user, name), JSON_OPTIONAL, NULL },
        { "uid",      decode_string, offsetof(struct token_user, uid), JSON_OPTIONAL, NULL },
        { "groups",   decode_strv,   offsetof(struct token_user, groups), JSON_OPTIONAL, NULL },
        { "extra",    decode_json,   offsetof(struct token_user, extra), JSON_OPTIONAL, NULL },
        {}
};
static const struct json_field token_status_fields[] = {
        { "authenticated", decode_bool,   offsetof(struct token_status, authenticated), JSON_OPTIONAL, NULL },
        { "error",         decode_string, offsetof(struct token_status, error), JSON_OPTIONAL, NULL },
        { "user",          decode_object, offsetof(struct token_status, user), JSON_OPTIONAL, user_fields },
        {}
}; /* clang-format on */

int token_review_read(const json_t *answer, struct identity **ret, struct err *err)
{
        _cleanup_(token_status_done)
        struct token_status s = { 0 };
        const json_t *status = json_object_get(answer, "status");
        struct identity *who;
        int r;

        if (!json_is_object(status))
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT, "TokenReview: no status");
        r = json_decode(status, token_status_fields, &s, err);
        if (r < 0)
                return err_wrap(err, r, "TokenReview: status");
        if (s.error && *s.error)
                return err_set(err, -EACCES, "TokenReview: %s", s.error);
        if (!s.authenticated)
                return REVIEW_NO;
        if (!s.user.name || !*s.user.name || strv_len(s.user.groups) > GROUPS_MAX)
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                    "TokenReview: status: user: expected a name and at most %d "
                                    "groups",
                                    GROUPS_MAX);
        who = identity_new(s.user.name, (const char *const *)s.user.groups);
        if (!who)
                return -ENOMEM;
        who->uid = TAKE_PTR(s.user.uid);
        if (json_object_size(s.user.extra) > 0)
                who->extra = TAKE_PTR(s.user.extra);
        *ret = who;
        return REVIEW_YES;
}

static json_t *groups_json(char *const *groups)
{
        json_t *list = json_array();

        STRV_FOREACH (g, groups)
                if (json_array_append_new(list, json_string(*g)) < 0) {
                        json_decref(list);
                        return NULL;
                }
        return list;
}

json_t *access_review_json(const struct identity *who, const struct access *what)
{
        json_auto_t *spec = json_pack("{s:s, s:o, s:{s:s, s:s, s:s, s:s, s:s}}", "user", who->user,
                                      "groups", groups_json(who->groups), "resourceAttributes",
                                      "verb", what->verb, "version", "v1", "resource", "nodes",
                                      "subresource", what->subresource, "name", what->node);

        if (!spec || json_set_text(spec, "uid", who->uid) < 0 ||
            (who->extra && json_set(spec, "extra", json_incref(who->extra)) < 0))
                return NULL;
        return json_pack("{s:s, s:s, s:O}", "apiVersion", "authorization.k8s.io/v1", "kind",
                         "SubjectAccessReview", "spec", spec);
}

int access_review_read(const json_t *answer, struct err *err)
{
        const json_t *status = json_object_get(answer, "status");
        const json_t *allowed = json_object_get(status, "allowed");
        const json_t *denied = json_object_get(status, "denied");

        if (!json_is_boolean(allowed) || (denied && !json_is_boolean(denied)))
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                    "SubjectAccessReview: status: allowed: expected a boolean");
        return json_is_true(allowed) && !json_is_true(denied) ? REVIEW_YES : REVIEW_NO;
}

static int digest(const unsigned char salt[static REVIEW_SALT_SIZE], const char *text,
                  char key[static REVIEW_KEY_SIZE])
{
        EVP_MD_CTX *ctx = EVP_MD_CTX_new();
        unsigned char hash[EVP_MAX_MD_SIZE];
        bool ok = ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1 &&
                  EVP_DigestUpdate(ctx, salt, REVIEW_SALT_SIZE) == 1 &&
                  EVP_DigestUpdate(ctx, text, strlen(text)) == 1 &&
                  EVP_DigestFinal_ex(ctx, hash, NULL) == 1;

        EVP_MD_CTX_free(ctx);
        if (!ok)
                return -ENOMEM;
        hex_encode(hash, (REVIEW_KEY_SIZE - 1) / 2, key);
        return 0;
}

int token_review_key(const unsigned char salt[static REVIEW_SALT_SIZE], const char *token,
                     char key[static REVIEW_KEY_SIZE])
{
        return digest(salt, token, key);
}

int access_review_key(const unsigned char salt[static REVIEW_SALT_SIZE], const json_t *review,
                      char key[static REVIEW_KEY_SIZE])
{
        _cleanup_free_ char *text = json_dumps(review, JSON_COMPACT | JSON_SORT_KEYS);

        return text ? digest(salt, text, key) : -ENOMEM;
}
