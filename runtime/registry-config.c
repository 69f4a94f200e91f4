#include "runtime/registry-config.h"

#include <errno.h>
#include <regex.h>
#include <string.h>

#include "base/json.h"
#include "base/text.h"

enum {
        ENDPOINTS_MAX = 32,
        REWRITES_MAX = 32,
        GROUPS_MAX = 10,
        PATTERN_MAX = 256,
};

/* ---- credentials and TLS ---- */

static int decode_absolute_path(const json_t *v, void *member, const void *arg, struct err *err)
{
        int r = decode_string(v, member, arg, err);

        if (r == 0 && **(char **)member != '/')
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT, "'%s': expected an absolute path",
                                    *(char **)member);
        return r;
}

/* "auth" is base64 of "user:password", as in Docker's config; errors never quote it. */
static int decode_user_password(const json_t *v, void *member, _unused_ const void *arg,
                                struct err *err)
{
        struct registry_host *h = member;
        const char *text = json_string_value(v);
        _cleanup_free_ uint8_t *plain = NULL;
        size_t n;
        char *colon;

        if (!text || base64_decode(text, strlen(text), &plain, &n) < 0 || memchr(plain, '\0', n) ||
            !(colon = strchr((char *)plain, ':')))
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                    "expected base64 of 'user:password'");
        *colon = '\0';
        if (free_and_strdup(&h->username, (char *)plain) < 0 ||
            free_and_strdup(&h->password, colon + 1) < 0)
                return err_sys(err, -ENOMEM, "keep credential");
        explicit_bzero(plain, n);
        return 0;
}

static const struct json_field auth_fields[] = { /* clang-format off */
        { "username",       decode_string,        offsetof(struct registry_host, username),       JSON_OPTIONAL },
        { "password",       decode_string,        offsetof(struct registry_host, password),       JSON_OPTIONAL },
        { "auth",           decode_user_password, 0,                                              JSON_OPTIONAL },
        { "identity_token", decode_string,        offsetof(struct registry_host, identity_token), JSON_OPTIONAL },
        {}
};
static const struct json_field tls_fields[] = {
        { "ca_file",              decode_absolute_path, offsetof(struct registry_host, ca_file),              JSON_OPTIONAL },
        { "cert_file",            decode_absolute_path, offsetof(struct registry_host, cert_file),            JSON_OPTIONAL },
        { "key_file",             decode_absolute_path, offsetof(struct registry_host, key_file),             JSON_OPTIONAL },
        { "insecure_skip_verify", decode_bool,          offsetof(struct registry_host, insecure_skip_verify), JSON_OPTIONAL },
        {}
}; /* clang-format on */

/* auth and tls are objects in the file, and members of the host here. */
static int decode_part(const json_t *v, void *member, const void *arg, struct err *err)
{
        return json_decode(v, arg, member, err);
}

static const struct json_field host_fields[] = { /* clang-format off */
        { "auth",         decode_part, 0,                                            JSON_OPTIONAL, auth_fields },
        { "tls",          decode_part, 0,                                            JSON_OPTIONAL, tls_fields },
        { "token_realms", decode_strv, offsetof(struct registry_host, token_realms), JSON_OPTIONAL },
        {}
}; /* clang-format on */

static int decode_host(const char *name, const json_t *v, struct registry_host *h, struct err *err)
{
        int r;

        h->host = strdup(name);
        if (!h->host)
                return err_sys(err, -ENOMEM, "keep host");
        r = json_is_null(v) ? 0 : json_decode(v, host_fields, h, err);
        if (r == 0 && !h->cert_file != !h->key_file)
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                    "tls: cert_file and key_file belong together");
        return r;
}

/* ---- mirrors ---- */

static int decode_endpoint(const char *text, char **ret, struct err *err)
{
        _cleanup_registry_url_ struct registry_url u = { 0 };
        bool bare = !strstr(text, "://");
        _cleanup_free_ char *whole = NULL;
        int r;

        whole = text_printf("%s%s",
                            !bare                          ? ""
                            : registry_host_is_local(text) ? "http://"
                                                           : "https://",
                            text);
        if (!whole)
                return err_sys(err, -ENOMEM, "keep endpoint");
        r = registry_url_parse(whole, NULL, &u, err);
        if (r < 0)
                return r;
        if (strchr(u.text, '?'))
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT, "'%s': expected no query", text);
        /* a path is the whole prefix ("/v2/proxy-cache"); without one it is "/v2" */
        *ret = streq(u.path, "/") ? text_printf("%sv2", u.text) : strdup(u.text);
        if (!*ret)
                return err_sys(err, -ENOMEM, "keep endpoint");
        for (size_t n = strlen(*ret); n > 0 && (*ret)[n - 1] == '/'; n--)
                (*ret)[n - 1] = '\0';
        return 0;
}

static int decode_endpoints(const json_t *v, void *member, _unused_ const void *arg,
                            struct err *err)
{
        char ***endpoints = member;
        const json_t *e;
        size_t i;

        if (!json_is_array(v) || json_array_size(v) > ENDPOINTS_MAX)
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                    "expected an array of at most %d URLs", ENDPOINTS_MAX);
        json_array_foreach ((json_t *)v, i, e) {
                _cleanup_free_ char *text = NULL, *endpoint = NULL;
                int r = decode_string(e, &text, NULL, err);

                if (r == 0)
                        r = decode_endpoint(text, &endpoint, err);
                if (r == 0)
                        r = strv_consume(endpoints, TAKE_PTR(endpoint));
                if (r < 0)
                        return err_wrap(err, r, "[%zu]", i);
        }
        return 0;
}

/* "$1", "${1}": the number of the group, and how long the spelling is. -EINVAL for other names. */
static int parse_group(const char *p, size_t *ret_len)
{
        bool braces = p[1] == '{';
        const char *digits = p + 1 + braces;
        size_t n = strspn(digits, "0123456789");

        if (n != 1)
                return -EINVAL;
        if (braces ? digits[n] != '}'
                   : (digits[n] == '_' || (digits[n] >= 'a' && digits[n] <= 'z') ||
                      (digits[n] >= 'A' && digits[n] <= 'Z')))
                return -EINVAL; /* "$1x" would be the group named "1x" */
        *ret_len = (size_t)(digits - p) + n + braces;
        return digits[0] - '0';
}

static int check_replacement(const char *text, size_t n_groups, struct err *err)
{
        for (const char *p = text; *p;) {
                size_t len = 1;
                int group = *p == '$' ? parse_group(p, &len) : 0;

                if (group < 0 || (size_t)group > n_groups)
                        return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                            "'%s': expected $N or ${N} of a group in the pattern",
                                            text);
                p += len;
        }
        return 0;
}

static int check_rewrite(const char *pattern, const char *replacement, struct err *err)
{
        regex_t re;
        int r;

        if (strlen(pattern) > PATTERN_MAX)
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                    "pattern of more than %d characters", PATTERN_MAX);
        r = regcomp(&re, pattern, REG_EXTENDED);
        if (r != 0) {
                char why[100];

                regerror(r, &re, why, sizeof why);
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT, "not an extended pattern: %s",
                                    why);
        }
        r = check_replacement(replacement, MIN(re.re_nsub, GROUPS_MAX - 1), err);
        regfree(&re);
        return r;
}

static int decode_rewrites(const json_t *v, void *member, _unused_ const void *arg, struct err *err)
{
        struct registry_mirror *m = member;
        const char *pattern;
        json_t *value;

        if (!json_is_object(v) || json_object_size(v) > REWRITES_MAX)
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                    "expected an object of at most %d patterns", REWRITES_MAX);
        m->rewrites = calloc(json_object_size(v) + 1, sizeof *m->rewrites);
        if (!m->rewrites)
                return err_sys(err, -ENOMEM, "keep rewrites");
        json_object_foreach ((json_t *)v, pattern, value) {
                struct registry_rewrite *w = &m->rewrites[m->n_rewrites++];
                int r = decode_string(value, &w->replacement, NULL, err);

                if (r == 0)
                        r = check_rewrite(pattern, w->replacement, err);
                if (r < 0)
                        return err_wrap(err, r, "'%.64s'", pattern);
                w->pattern = strdup(pattern);
                if (!w->pattern)
                        return err_sys(err, -ENOMEM, "keep rewrites");
        }
        return 0;
}

static const struct json_field mirror_fields[] = { /* clang-format off */
        { "endpoint", decode_endpoints, offsetof(struct registry_mirror, endpoints), JSON_OPTIONAL },
        { "rewrite",  decode_rewrites,  0,                                           JSON_OPTIONAL },
        {}
}; /* clang-format on */

static int decode_mirror(const char *name, const json_t *v, struct registry_mirror *m,
                         struct err *err)
{
        m->registry = strdup(name);
        if (!m->registry)
                return err_sys(err, -ENOMEM, "keep mirror");
        return json_is_null(v) ? 0 : json_decode(v, mirror_fields, m, err);
}

/* ---- the file ---- */

static int decode_mirrors(const json_t *v, void *member, _unused_ const void *arg, struct err *err)
{
        struct registries *out = member;
        const char *name;
        json_t *value;

        if (!json_is_object(v))
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT, "expected an object by registry");
        out->mirrors = calloc(json_object_size(v) + 1, sizeof *out->mirrors);
        if (!out->mirrors)
                return err_sys(err, -ENOMEM, "keep mirrors");
        json_object_foreach ((json_t *)v, name, value) {
                int r = decode_mirror(name, value, &out->mirrors[out->n_mirrors++], err);

                if (r < 0)
                        return err_wrap(err, r, "%s", name);
        }
        return 0;
}

static int decode_hosts(const json_t *v, void *member, _unused_ const void *arg, struct err *err)
{
        struct registries *out = member;
        const char *name;
        json_t *value;

        if (!json_is_object(v))
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT, "expected an object by host");
        out->hosts = calloc(json_object_size(v) + 1, sizeof *out->hosts);
        if (!out->hosts)
                return err_sys(err, -ENOMEM, "keep hosts");
        json_object_foreach ((json_t *)v, name, value) {
                int r = decode_host(name, value, &out->hosts[out->n_hosts++], err);

                if (r < 0)
                        return err_wrap(err, r, "%s", name);
        }
        return 0;
}

static const struct json_field file_fields[] = { /* clang-format off */
        { "mirrors", decode_mirrors, 0, JSON_OPTIONAL },
        { "configs", decode_hosts,   0, JSON_OPTIONAL },
        {}
}; /* clang-format on */

static void wipe(char *secret)
{
        if (secret)
                explicit_bzero(secret, strlen(secret));
        free(secret);
}

static void host_done(struct registry_host *h)
{
        free(h->host);
        free(h->username);
        wipe(h->password);
        wipe(h->identity_token);
        free(h->ca_file);
        free(h->cert_file);
        free(h->key_file);
        strv_free(h->token_realms);
}

static void mirror_done(struct registry_mirror *m)
{
        for (size_t i = 0; i < m->n_rewrites; i++) {
                free(m->rewrites[i].pattern);
                free(m->rewrites[i].replacement);
        }
        free(m->rewrites);
        free(m->registry);
        strv_free(m->endpoints);
}

void registries_done(struct registries *r)
{
        for (size_t i = 0; i < r->n_mirrors; i++)
                mirror_done(&r->mirrors[i]);
        for (size_t i = 0; i < r->n_hosts; i++)
                host_done(&r->hosts[i]);
        free(r->mirrors);
        free(r->hosts);
        *r = (struct registries){ 0 };
}

int registries_decode(const json_t *root, struct registries *ret, struct err *err)
{
        _cleanup_registries_ struct registries out = { 0 };
        int r = json_is_null(root) ? 0 : json_decode(root, file_fields, &out, err);

        if (r < 0)
                return r;
        *ret = out;
        out = (struct registries){ 0 };
        return 0;
}

/* ---- what follows from it ---- */

static const struct registry_mirror *find_mirror(const struct registries *r, const char *registry)
{
        const struct registry_mirror *any = NULL;

        for (size_t i = 0; i < r->n_mirrors; i++) {
                if (streq(r->mirrors[i].registry, registry))
                        return &r->mirrors[i];
                if (streq(r->mirrors[i].registry, "*"))
                        any = &r->mirrors[i];
        }
        return any;
}

static const struct registry_host *find_host(const struct registries *r, const char *name)
{
        for (size_t i = 0; i < r->n_hosts; i++)
                if (streq(r->hosts[i].host, name))
                        return &r->hosts[i];
        return NULL;
}

/* The first pattern that changes the name wins; every match in it is replaced. */
static int rewrite_one(const struct registry_rewrite *w, const char *path, char **ret)
{
        _cleanup_strbuf_ struct strbuf b = { 0 };
        regmatch_t groups[GROUPS_MAX];
        const char *at = path;
        regex_t re;

        if (regcomp(&re, w->pattern, REG_EXTENDED) != 0)
                return -ENOMEM; /* it compiled before */
        while (regexec(&re, at, GROUPS_MAX, groups, at > path ? REG_NOTBOL : 0) == 0) {
                strbuf_add_n(&b, at, (size_t)groups[0].rm_so);
                for (const char *p = w->replacement; *p;) {
                        size_t len = 1;
                        int group = *p == '$' ? parse_group(p, &len) : -1;

                        if (group < 0)
                                strbuf_add_n(&b, p, 1);
                        else if (groups[group].rm_so >= 0)
                                strbuf_add_n(&b, at + groups[group].rm_so,
                                             (size_t)(groups[group].rm_eo - groups[group].rm_so));
                        p += len;
                }
                if (groups[0].rm_eo == groups[0].rm_so) /* an empty match moves on by one */
                        strbuf_add_n(&b, at + groups[0].rm_eo, at[groups[0].rm_eo] ? 1 : 0);
                at += groups[0].rm_eo + (groups[0].rm_eo == groups[0].rm_so);
                if (at > path + strlen(path) || b.len > 4096) {
                        at = "";
                        break;
                }
                if (!*at)
                        break;
        }
        regfree(&re);
        strbuf_add(&b, at);
        *ret = strbuf_take(&b);
        return *ret ? 0 : -ENOMEM;
}

static int rewrite(const struct registry_mirror *m, const char *path, char **ret, struct err *err)
{
        for (size_t i = 0; i < m->n_rewrites; i++) {
                _cleanup_free_ char *changed = NULL;
                int r = rewrite_one(&m->rewrites[i], path, &changed);

                if (r < 0)
                        return err_sys(err, r, "rewrite '%s'", path);
                if (streq(changed, path))
                        continue;
                if (!image_path_is_valid(changed))
                        return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                            "mirrors: %s: rewrite: '%s': makes '%.255s' of '%s', "
                                            "which is no repository name",
                                            m->registry, m->rewrites[i].pattern, changed, path);
                *ret = TAKE_PTR(changed);
                return 0;
        }
        *ret = strdup(path);
        return *ret ? 0 : err_sys(err, -ENOMEM, "rewrite '%s'", path);
}

/* Docker Hub's registry goes by another name than its images. */
static char *own_url(const char *host)
{
        if (streq(host, "docker.io"))
                return strdup("https://registry-1.docker.io/v2");
        return text_printf("%s://%s/v2", registry_host_is_local(host) ? "http" : "https", host);
}

static int set_endpoint(const struct registries *r, const struct image_ref *ref, const char *text,
                        const struct registry_mirror *m, struct registry_endpoint *e,
                        struct err *err)
{
        _cleanup_free_ char *authority = NULL;
        int n = registry_url_parse(text, NULL, &e->url, err);

        if (n < 0)
                return n;
        authority = registry_url_authority(&e->url);
        if (!authority)
                return err_sys(err, -ENOMEM, "keep endpoint");
        /* "reg:443" and "reg" are one registry */
        e->is_registry = !m || streq(authority, ref->host) ||
                         (streq(ref->host, "docker.io") && e->url.https &&
                          streq(authority, "registry-1.docker.io"));
        if (e->is_registry)
                e->host = find_host(r, ref->host);
        if (!e->host)
                e->host = find_host(r, authority);
        if (!e->host)
                e->host = find_host(r, "*");
        if (m)
                return rewrite(m, ref->path, &e->repository, err);
        e->repository = strdup(ref->path);
        return e->repository ? 0 : err_sys(err, -ENOMEM, "keep endpoint");
}

void registry_endpoints_free(struct registry_endpoint *e, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                registry_url_done(&e[i].url);
                free(e[i].repository);
        }
        free(e);
}

int registries_endpoints(const struct registries *r, const struct image_ref *ref,
                         struct registry_endpoint **ret, size_t *ret_n, struct err *err)
{
        const struct registry_mirror *m = find_mirror(r, ref->host);
        size_t max = strv_len(m ? m->endpoints : NULL) + 1, n = 0;
        struct registry_endpoint *list = calloc(max, sizeof *list);
        _cleanup_free_ char *own = own_url(ref->host);
        bool own_listed = false;
        int k = 0;

        if (!list || !own) {
                free(list);
                return err_sys(err, -ENOMEM, "list endpoints");
        }
        STRV_FOREACH (text, m ? m->endpoints : NULL) {
                k = set_endpoint(r, ref, *text, m, &list[n++], err);
                if (k < 0)
                        break;
                own_listed |= list[n - 1].is_registry;
        }
        if (k == 0 && !own_listed)
                k = set_endpoint(r, ref, own, NULL, &list[n++], err);
        if (k < 0) {
                registry_endpoints_free(list, n);
                return k;
        }
        *ret = list;
        *ret_n = n;
        return 0;
}
