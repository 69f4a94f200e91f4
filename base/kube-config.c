/*
 * kubeconfig. Source: k8s.io/client-go tools/clientcmd (api/v1 types, validation.go).
 */
#include <curl/curl.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/json.h"
#include "base/kube-client.h"
#include "base/text.h"
#include "base/yaml.h"

#define FILE_MAX (1 << 20)

struct cluster {
        char *server, *tls_server_name, *ca_file, *ca_data, *proxy_url;
        bool insecure_skip_verify;
};

struct user {
        char *cert_file, *cert_data, *key_file, *key_data, *token, *token_file;
};

struct context {
        char *cluster, *user, *namespace;
};

/* ---- tables ---- */

/* PEM inside base64; text, so that the rest of us may treat it as a string. */
static int decode_pem_data(const json_t *value, void *member, _unused_ const void *arg,
                           struct err *err)
{
        _cleanup_free_ uint8_t *data = NULL;
        const char *s = json_string_value(value);
        size_t n;

        if (!s)
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT, "expected a string");
        if (!*s)
                return 0;
        if (base64_decode(s, strlen(s), &data, &n) < 0)
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT, "expected base64");
        if (strlen((char *)data) != n || !strstr((char *)data, "-----BEGIN "))
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT, "expected PEM inside the base64");
        free(*(char **)member);
        *(char **)member = (char *)TAKE_PTR(data);
        return 0;
}

static int decode_text(const json_t *value, void *member, const void *arg, struct err *err)
{
        if (json_is_string(value) && json_string_length(value) == 0)
                return 0; /* as good as absent */
        return decode_string(value, member, arg, err);
}

/* @arg: why it is refused. */
static int decode_refused(const json_t *value, _unused_ void *member, const void *arg,
                          struct err *err)
{
        if (json_is_string(value) && json_string_length(value) == 0)
                return 0;
        return err_set_kind(err, -EINVAL, ERR_BAD_INPUT, "%s", (const char *)arg);
}

static const char no_plugins[] = "credential plugins are not supported: use client certificates, "
                                 "token or tokenFile";
static const char no_passwords[] = "passwords are not supported: use client certificates, token or "
                                   "tokenFile";
static const char no_impersonation[] = "impersonation is not supported";

static const struct json_field
        cluster_fields[] = { /* clang-format off */
        { "server", decode_text, offsetof(struct cluster, server), JSON_REQUIRED, NULL },
        { "tls-server-name", decode_text, offsetof(struct cluster, tls_server_name), JSON_OPTIONAL, NULL },
        { "insecure-skip-tls-verify", decode_bool, offsetof(struct cluster, insecure_skip_verify), JSON_OPTIONAL, NULL },
        { "certificate-authority", decode_text, offsetof(struct cluster, ca_file), JSON_OPTIONAL, NULL },
        { "certificate-authority-data", decode_pem_data, offsetof(struct cluster, ca_data), JSON_OPTIONAL, NULL },
        { "proxy-url", decode_text, offsetof(struct cluster, proxy_url), JSON_OPTIONAL, NULL },
        {}
};

static const struct json_field user_fields[] = {
        { "client-certificate", decode_text, offsetof(struct user, cert_file), JSON_OPTIONAL, NULL },
        { "client-certificate-data", decode_pem_data, offsetof(struct user, cert_data), JSON_OPTIONAL, NULL },
        { "client-key", decode_text, offsetof(struct user, key_file), JSON_OPTIONAL, NULL },
        { "client-key-data", decode_pem_data, offsetof(struct user, key_data), JSON_OPTIONAL, NULL },
        { "token", decode_text, offsetof(struct user, token), JSON_OPTIONAL, NULL },
        { "tokenFile", decode_text, offsetof(struct user, token_file), JSON_OPTIONAL, NULL },
        { "exec", decode_refused, 0, JSON_OPTIONAL, no_plugins },
        { "auth-provider", decode_refused, 0, JSON_OPTIONAL, no_plugins },
        { "username", decode_refused, 0, JSON_OPTIONAL, no_passwords },
        { "password", decode_refused, 0, JSON_OPTIONAL, no_passwords },
        { "as", decode_refused, 0, JSON_OPTIONAL, no_impersonation },
        { "as-uid", decode_refused, 0, JSON_OPTIONAL, no_impersonation },
        { "as-groups", decode_refused, 0, JSON_OPTIONAL, no_impersonation },
        { "as-user-extra", decode_refused, 0, JSON_OPTIONAL, no_impersonation },
        {}
};

static const struct json_field context_fields[] = {
        { "cluster", decode_text, offsetof(struct context, cluster), JSON_REQUIRED, NULL },
        { "user", decode_text, offsetof(struct context, user), JSON_OPTIONAL, NULL },
        { "namespace", decode_text, offsetof(struct context, namespace), JSON_OPTIONAL, NULL },
        {}
}; /* clang-format on */

static void cluster_done(struct cluster *c)
{
        free(c->server);
        free(c->tls_server_name);
        free(c->ca_file);
        free(c->ca_data);
        free(c->proxy_url);
}

static void secret_free(char *s)
{
        if (s)
                explicit_bzero(s, strlen(s));
        free(s);
}

static void user_done(struct user *u)
{
        free(u->cert_file);
        free(u->cert_data);
        free(u->key_file);
        secret_free(u->key_data);
        secret_free(u->token);
        free(u->token_file);
}

static void context_done(struct context *c)
{
        free(c->cluster);
        free(c->user);
        free(c->namespace);
}

void kube_config_done(struct kube_config *c)
{
        free(c->server);
        free(c->ca_file);
        free(c->ca_data);
        free(c->cert_file);
        free(c->cert_data);
        free(c->key_file);
        secret_free(c->key_data);
        secret_free(c->token);
        free(c->token_file);
        free(c->tls_server_name);
        free(c->proxy_url);
        free(c->namespace);
        *c = (struct kube_config){ 0 };
}

/* ---- the file ---- */

/* [{name: @name, @member: {...}}]: decodes what stands below @member. The first of a name counts.
 */
static int decode_named(const json_t *root, const char *list, const char *member, const char *name,
                        const struct json_field *fields, void *target, struct err *err)
{
        const json_t *all = json_object_get(root, list), *e;
        size_t i;

        json_array_foreach ((json_t *)all, i, e) {
                const char *this = json_text_at(e, "name");
                const json_t *value = json_object_get(e, member);
                int r;

                if (!this || !streq(this, name))
                        continue;
                if (!json_is_object(value))
                        return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                            "%s '%s': %s: expected an object", list, name, member);
                r = json_decode(value, fields, target, err);
                return r < 0 ? err_wrap(err, r, "%s '%s': %s", list, name, member) : 0;
        }
        return err_set_kind(err, -EINVAL, ERR_BAD_INPUT, "%s: no entry is named '%s'", list, name);
}

/* http(s)://host[:port][/path] and no more. */
static bool is_server_url(const char *text)
{
        static const CURLUPart unwanted[] = { CURLUPART_USER, CURLUPART_PASSWORD, CURLUPART_QUERY,
                                              CURLUPART_FRAGMENT };
        CURLU *url = curl_url();
        bool ok = url && (startswith(text, "http://") || startswith(text, "https://")) &&
                  curl_url_set(url, CURLUPART_URL, text, 0) == CURLUE_OK;

        for (size_t i = 0; ok && i < ARRAY_SIZE(unwanted); i++) {
                char *part = NULL;

                ok = curl_url_get(url, unwanted[i], &part, 0) != CURLUE_OK;
                curl_free(part);
        }
        curl_url_cleanup(url);
        return ok;
}

static bool is_proxy_url(const char *text)
{
        static const char *const schemes[] = { "http://", "https://", "socks5://", "socks5h://" };

        for (size_t i = 0; i < ARRAY_SIZE(schemes); i++) {
                const char *rest = startswith(text, schemes[i]);

                if (rest && *rest)
                        return true;
        }
        return false;
}

static int validate(const struct cluster *c, const struct user *u, const char *cluster_name,
                    const char *user_name, struct err *err)
{
        bool has_cert = u->cert_file || u->cert_data, has_key = u->key_file || u->key_data;

        if (!c->server || !is_server_url(c->server))
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                    "clusters '%s': cluster: server: '%s': expected "
                                    "https://host:port",
                                    cluster_name, c->server ? c->server : "");
        if (c->proxy_url && !is_proxy_url(c->proxy_url))
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                    "clusters '%s': cluster: proxy-url: '%s': expected http, https "
                                    "or socks5",
                                    cluster_name, c->proxy_url);
        if (c->insecure_skip_verify && (c->ca_file || c->ca_data))
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                    "clusters '%s': cluster: insecure-skip-tls-verify: not allowed "
                                    "beside a certificate authority",
                                    cluster_name);
        if (has_cert != has_key)
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                    "users '%s': user: client-certificate and client-key: expected "
                                    "both or none",
                                    user_name);
        for (const char *p = u->token; p && *p; p++)
                if (*p <= ' ' || *p == 0x7f)
                        return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                            "users '%s': user: token: expected no blank or control "
                                            "character",
                                            user_name);
        return 0;
}

/* Makes what @dir owns absolute; data beside it makes the file superfluous. */
static int take_file(char **dst, char **src, const char *data, const char *dir)
{
        if (!*src || data)
                return 0;
        *dst = **src == '/' || !dir ? TAKE_PTR(*src) : text_printf("%s/%s", dir, *src);
        return *dst ? 0 : -ENOMEM;
}

static int assemble(struct cluster *c, struct user *u, struct context *x, const char *dir,
                    struct kube_config *ret)
{
        struct kube_config k = { .insecure_skip_verify = c->insecure_skip_verify };
        size_t n = c->server ? strlen(c->server) : 0;

        while (n > 0 && c->server[n - 1] == '/')
                c->server[--n] = '\0';
        k.server = TAKE_PTR(c->server);
        k.tls_server_name = TAKE_PTR(c->tls_server_name);
        k.proxy_url = TAKE_PTR(c->proxy_url);
        k.namespace = TAKE_PTR(x->namespace);
        k.ca_data = TAKE_PTR(c->ca_data);
        k.cert_data = TAKE_PTR(u->cert_data);
        k.key_data = TAKE_PTR(u->key_data);
        k.token = TAKE_PTR(u->token);
        if (take_file(&k.ca_file, &c->ca_file, k.ca_data, dir) < 0 ||
            take_file(&k.cert_file, &u->cert_file, k.cert_data, dir) < 0 ||
            take_file(&k.key_file, &u->key_file, k.key_data, dir) < 0 ||
            take_file(&k.token_file, &u->token_file, NULL, dir) < 0) {
                kube_config_done(&k);
                return -ENOMEM;
        }
        *ret = k;
        return 0;
}

static int decode_root(const json_t *root, const char *dir, struct kube_config *ret,
                       struct err *err)
{
        _cleanup_(context_done)
        struct context x = { 0 };
        _cleanup_(cluster_done)
        struct cluster c = { 0 };
        _cleanup_(user_done)
        struct user u = { 0 };
        const char *kind = json_text_at(root, "kind"), *current;
        int r;

        if (!json_is_object(root))
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT, "expected an object");
        if (kind && *kind && !streq(kind, "Config"))
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT, "kind: '%s': expected Config",
                                    kind);
        current = json_text_at(root, "current-context");
        if (!current || !*current)
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                    "current-context: required, but missing");
        r = decode_named(root, "contexts", "context", current, context_fields, &x, err);
        if (r < 0)
                return r;
        r = decode_named(root, "clusters", "cluster", x.cluster ? x.cluster : "", cluster_fields,
                         &c, err);
        if (r == 0 && x.user)
                r = decode_named(root, "users", "user", x.user, user_fields, &u, err);
        if (r == 0)
                r = validate(&c, &u, x.cluster, x.user ? x.user : "", err);
        if (r < 0)
                return r;
        r = assemble(&c, &u, &x, dir, ret);
        return r < 0 ? err_sys(err, r, "read kubeconfig") : 0;
}

int kube_config_parse(const char *text, size_t n, const char *dir, struct kube_config *ret,
                      struct err *err)
{
        json_auto_t *root = NULL;
        int r = yaml_parse(text, n, &root, err);

        return r < 0 ? r : decode_root(root, dir, ret, err);
}

/* What is missing now is better said now than by each request. */
static int check_files(const struct kube_config *k, struct err *err)
{
        const struct {
                const char *field, *path;
        } files[] = { { "certificate-authority", k->ca_file },
                      { "client-certificate", k->cert_file },
                      { "client-key", k->key_file },
                      { "tokenFile", k->token_file } };

        for (size_t i = 0; i < ARRAY_SIZE(files); i++)
                if (files[i].path && access(files[i].path, R_OK) < 0)
                        return err_sys(err, -errno, "%s: '%s'", files[i].field, files[i].path);
        return 0;
}

int kube_config_load(const char *path, struct kube_config *ret, struct err *err)
{
        _cleanup_free_ char *text = NULL, *dir = strdup(path);
        char *slash;
        size_t n;
        int r = dir ? fs_read_at(AT_FDCWD, path, FILE_MAX, &text, &n) : -ENOMEM;

        if (r < 0)
                return err_sys(err, r, "kubeconfig '%s'", path);
        slash = strrchr(dir, '/');
        if (slash)
                slash[slash == dir ? 1 : 0] = '\0';
        r = kube_config_parse(text, n, slash ? dir : ".", ret, err);
        explicit_bzero(text, n);
        if (r == 0) {
                r = check_files(ret, err);
                if (r < 0)
                        kube_config_done(ret);
        }
        return r < 0 ? err_wrap(err, r, "kubeconfig '%s'", path) : 0;
}
