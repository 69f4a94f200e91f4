#include "kubelet/pull-secret.h"

#include <errno.h>
#include <fnmatch.h>
#include <string.h>

#include "base/text.h"

static void wipe_free(const char *s)
{
        if (!s)
                return;
        explicit_bzero((char *)s, strlen(s));
        free((char *)s);
}

void pull_origin_done(struct pull_origin *o)
{
        free(o->uid);
        free(o->namespace);
        free(o->name);
        *o = (struct pull_origin){ 0 };
}

void pull_auths_done(struct pull_auths *a)
{
        for (size_t i = 0; i < a->n; i++) {
                wipe_free(a->auths[i].username);
                wipe_free(a->auths[i].password);
                wipe_free(a->auths[i].identity_token);
                pull_origin_done(&a->origins[i]);
        }
        free(a->auths);
        free(a->origins);
        *a = (struct pull_auths){ 0 };
}

struct pull_origin *pull_auths_origins(const struct pull_auths *a)
{
        struct pull_origin *copy = calloc(a->n + 1, sizeof *copy);
        bool failed = !copy;

        for (size_t i = 0; i < a->n && !failed; i++) {
                copy[i].uid = strdup(a->origins[i].uid);
                copy[i].namespace = strdup(a->origins[i].namespace);
                copy[i].name = strdup(a->origins[i].name);
                memcpy(copy[i].hash, a->origins[i].hash, sizeof copy[i].hash);
                failed = !copy[i].uid || !copy[i].namespace || !copy[i].name;
        }
        if (!failed)
                return copy;
        for (size_t i = 0; copy && i < a->n; i++)
                pull_origin_done(&copy[i]);
        free(copy);
        return NULL;
}

/* "https://host:port/path" without scheme, trailing slash and the API version old files carry. */
static char *clean_registry(const char *key)
{
        const char *p = strstr(key, "://");
        char *clean = strdup(p ? p + 3 : key);
        size_t n;

        if (!clean)
                return NULL;
        n = strlen(clean);
        if (endswith(clean, "/v1/") || endswith(clean, "/v2/"))
                clean[n -= 4] = '\0';
        else if (endswith(clean, "/v1") || endswith(clean, "/v2"))
                clean[n -= 3] = '\0';
        while (n && clean[n - 1] == '/')
                clean[--n] = '\0';
        if (streq(clean, "index.docker.io") && free_and_strdup(&clean, "docker.io") < 0)
                return clean;
        return clean;
}

/* Hosts match label by label with globs, a path is a prefix at a slash. */
static bool registry_matches(const char *key, const char *image)
{
        _cleanup_free_ char *clean = clean_registry(key), *host = NULL, *image_host = NULL;
        size_t key_n, image_n;

        if (!clean)
                return false;
        key_n = strcspn(clean, "/");
        image_n = strcspn(image, "/");
        host = strndup(clean, key_n);
        image_host = strndup(image, image_n);
        if (!host || !image_host)
                return false;
        for (const char *a = host, *b = image_host;;) {
                _cleanup_free_ char *x = strndup(a, strcspn(a, ".")),
                                    *y = strndup(b, strcspn(b, "."));

                if (!x || !y || fnmatch(x, y, 0) != 0)
                        return false;
                a += strlen(x);
                b += strlen(y);
                if (!*a || !*b) {
                        if (*a || *b)
                                return false;
                        break;
                }
                a++;
                b++;
        }
        if (!clean[key_n])
                return true;
        return startswith(image + image_n, clean + key_n) != NULL;
}

/* Of what the credential is, so that the same one in another Secret is known again. */
static int hash_of(const struct image_auth *auth, char ret[static SHA256_HEX_SIZE])
{
        const char *parts[] = { auth->username, auth->password, auth->identity_token };
        _cleanup_strbuf_ struct strbuf b = { 0 };
        int r;

        for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
                strbuf_addf(&b, "%zu:%s", parts[i] ? strlen(parts[i]) : 0,
                            parts[i] ? parts[i] : "");
        r = b.failed ? -ENOMEM : sha256_hex(b.data, b.len, ret);
        if (b.data)
                explicit_bzero(b.data, b.len);
        return r;
}

static int fill_origin(struct pull_origin *o, const json_t *secret, const struct image_auth *auth)
{
        const json_t *metadata = json_object_get(secret, "metadata");
        const char *uid = json_text_at(metadata, "uid"), *name = json_text_at(metadata, "name"),
                   *namespace = json_text_at(metadata, "namespace");

        o->uid = strdup(uid ? uid : "");
        o->namespace = strdup(namespace ? namespace : "");
        o->name = strdup(name ? name : "");
        return o->uid && o->namespace && o->name ? hash_of(auth, o->hash) : -ENOMEM;
}

/* Takes the three strings. */
static int add(struct pull_auths *a, const json_t *secret, char *username, char *password,
               char *token)
{
        struct image_auth *auths = realloc(a->auths, (a->n + 1) * sizeof *auths);
        struct pull_origin *origins = realloc(a->origins, (a->n + 1) * sizeof *origins);

        a->auths = auths ? auths : a->auths;
        a->origins = origins ? origins : a->origins;
        if (!auths || !origins) {
                wipe_free(username);
                wipe_free(password);
                wipe_free(token);
                return -ENOMEM;
        }
        auths[a->n] = (struct image_auth){ username, password, token };
        origins[a->n] = (struct pull_origin){ 0 };
        a->n++;
        return fill_origin(&origins[a->n - 1], secret, &auths[a->n - 1]);
}

/* { username, password } or { auth: base64("user:password") } or { identitytoken }. */
static int add_entry(struct pull_auths *a, const json_t *secret, const json_t *entry,
                     struct err *err)
{
        const char *user = json_text_at(entry, "username"),
                   *password = json_text_at(entry, "password");
        const char *token = json_text_at(entry, "identitytoken"),
                   *auth = json_text_at(entry, "auth");
        _cleanup_free_ uint8_t *decoded = NULL;
        char *colon;
        size_t n;

        if (auth && *auth) {
                if (base64_decode(auth, strlen(auth), &decoded, &n) < 0 ||
                    !(colon = strchr((char *)decoded, ':')))
                        return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                            "auth: expected base64 of 'user:password'");
                *colon = '\0';
                user = (char *)decoded;
                password = colon + 1;
                password = strndup(password, strcspn(password, "\n"));
                user = strdup(user);
                explicit_bzero(decoded, n);
                return add(a, secret, (char *)user, (char *)password, strdup_null(token));
        }
        if (!user && !token)
                return 0;
        return add(a, secret, strdup_null(user), strdup_null(password), strdup_null(token));
}

static int add_matching(struct pull_auths *a, const json_t *secret, const json_t *registries,
                        const char *image, struct err *err)
{
        const char *key;
        json_t *entry;

        json_object_foreach ((json_t *)registries, key, entry) {
                int r = registry_matches(key, image) ? add_entry(a, secret, entry, err) : 0;

                if (r < 0)
                        return err_wrap(err, r, "registry '%s'", key);
        }
        return 0;
}

int pull_auths_add(struct pull_auths *a, const json_t *secret, const char *image, struct err *err)
{
        static const char *const keys[] = { ".dockerconfigjson", ".dockercfg" };

        for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
                const char *text = json_string_value(json_path(secret, "data", keys[i], NULL));
                _cleanup_free_ uint8_t *decoded = NULL;
                json_auto_t *root = NULL;
                size_t n;
                int r;

                if (!text)
                        continue;
                if (base64_decode(text, strlen(text), &decoded, &n) < 0)
                        return err_set_kind(err, -EINVAL, ERR_BAD_INPUT, "%s: expected base64",
                                            keys[i]);
                r = json_parse((char *)decoded, n, false, &root, err);
                explicit_bzero(decoded, n);
                if (r == 0)
                        r = add_matching(a, secret, i == 0 ? json_object_get(root, "auths") : root,
                                         image, err);
                if (r < 0)
                        return err_wrap(err, r, "%s", keys[i]);
        }
        return 0;
}
