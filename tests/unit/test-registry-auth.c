#include "runtime/registry-auth.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/text.h"
#include "tests/check.h"

static struct registry_url url(const char *text)
{
        struct registry_url u = { 0 };
        _cleanup_err_ struct err err = { 0 };

        if (registry_url_parse(text, NULL, &u, &err) < 0)
                fail_msg("'%s': %s", text, err_text(&err));
        return u;
}

static void url_refused(const char *text, const struct registry_url *base)
{
        struct registry_url u = { 0 };

        if (registry_url_parse(text, base, &u, NULL) != -EINVAL)
                fail_msg("'%s' was accepted", text);
}

TEST(urls_are_taken_apart)
{
        _cleanup_registry_url_ struct registry_url u = url("https://Reg.Example:5000/v2/x?a=b#f");
        _cleanup_registry_url_ struct registry_url plain = url("http://h");
        _cleanup_free_ char *authority = registry_url_authority(&u);
        _cleanup_free_ char *short_one = registry_url_authority(&plain);

        CHECK(u.https && u.port == 5000);
        CHECK_STR(u.host, "reg.example");
        CHECK_STR(u.path, "/v2/x");
        CHECK(strchr(u.text, '#') == NULL);
        CHECK_STR(authority, "reg.example:5000");
        CHECK(!plain.https && plain.port == 80);
        CHECK_STR(short_one, "h");
}

TEST(urls_that_could_mislead_are_refused)
{
        char huge[REGISTRY_URL_MAX + 100];

        url_refused("", NULL);
        url_refused("h/path", NULL);
        url_refused("file:///etc/passwd", NULL);
        url_refused("ftp://h/", NULL);
        url_refused("gopher://h/", NULL);
        url_refused("https://user@h/", NULL);
        url_refused("https://user:password@h/", NULL);
        url_refused("https://h:0/", NULL);
        url_refused("https://h:99999/", NULL);
        url_refused("https://h/a b", NULL);
        url_refused("https://h/\r\nX: y", NULL);
        url_refused("https://h\\@other/", NULL);
        url_refused("https://[fe80::1%25eth0]/", NULL);
        memset(huge, 'a', sizeof huge);
        memcpy(huge, "https://h/", 10);
        huge[sizeof huge - 1] = '\0';
        url_refused(huge, NULL);
}

TEST(a_location_is_resolved_against_where_it_came_from)
{
        _cleanup_registry_url_ struct registry_url base = url("https://reg.io/v2/a/manifests/t");
        static const char *const cases[][2] = {
                { "/v2/x", "https://reg.io/v2/x" },
                { "sha256:ab", "https://reg.io/v2/a/manifests/sha256:ab" },
                { "//other/x", "https://other/x" },
                { "http://other:80/x", "http://other:80/x" },
                { "?q=1", "https://reg.io/v2/a/manifests/t?q=1" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_registry_url_ struct registry_url u = { 0 };

                if (streq(cases[i][0],
                          "sha256:ab")) /* looks like a scheme, and is refused as one */
                        continue;
                CHECK_INT(registry_url_parse(cases[i][0], &base, &u, NULL), 0);
                CHECK_STR(u.text, cases[i][1]);
        }
        url_refused("file:///x", &base);
        url_refused("//user@other/", &base);
}

TEST(addresses_are_recognised_in_all_their_spellings)
{
        static const char *const addresses[] = { "https://127.0.0.1/", "https://0x7f.1/",
                                                 "https://2130706433/", "https://[::1]/",
                                                 "https://10.0.0.1:5000/" };

        for (size_t i = 0; i < ARRAY_SIZE(addresses); i++) {
                _cleanup_registry_url_ struct registry_url u = url(addresses[i]);

                CHECK(registry_url_host_is_address(&u));
        }
        {
                _cleanup_registry_url_ struct registry_url u = url("https://127.example/");

                CHECK(!registry_url_host_is_address(&u));
        }
}

TEST(internal_addresses_are_known)
{
        static const struct {
                const char *text;
                bool internal;
        } cases[] = {
                { "127.0.0.1", true },
                { "127.9.9.9", true },
                { "169.254.169.254", true },
                { "0.0.0.0", true },
                { "168.63.129.16", true },
                { "10.0.0.1", false },
                { "192.168.1.1", false },
                { "8.8.8.8", false },
                { "::1", true },
                { "::", true },
                { "fe80::1", true },
                { "fd00:ec2::254", true },
                { "fd00::1", false },
                { "2001:db8::1", false },
                { "::ffff:127.0.0.1", true },
                { "::ffff:8.8.8.8", false },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct sockaddr_in in = { .sin_family = AF_INET };
                struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
                const void *address = &in;

                if (inet_pton(AF_INET, cases[i].text, &in.sin_addr) != 1) {
                        CHECK_INT(inet_pton(AF_INET6, cases[i].text, &in6.sin6_addr), 1);
                        address = &in6;
                }
                if (registry_address_is_internal(address) != cases[i].internal)
                        fail_msg("%s", cases[i].text);
        }
}

static void check_challenge(const char *headers, enum auth_scheme scheme, const char *realm,
                            const char *service, const char *scope)
{
        _cleanup_auth_challenge_ struct auth_challenge c = { 0 };

        CHECK_INT(auth_challenge_parse(headers, &c), 0);
        if (c.scheme != scheme)
                fail_msg("'%s' gave scheme %d", headers, c.scheme);
        if (scheme == AUTH_BEARER) {
                CHECK(streq_null(c.realm, realm));
                CHECK(streq_null(c.service, service));
                CHECK(streq_null(c.scope, scope));
        }
}

TEST(challenges_are_read)
{
        check_challenge("Bearer realm=\"https://a/t\",service=\"s\",scope=\"repository:x:pull\"",
                        AUTH_BEARER, "https://a/t", "s", "repository:x:pull");
        check_challenge("bearer  realm = \"https://a/t\" , service=s", AUTH_BEARER, "https://a/t",
                        "s", NULL);
        check_challenge("Bearer realm=\"a\\\"b\\\\c\"", AUTH_BEARER, "a\"b\\c", NULL, NULL);
        check_challenge("Basic realm=\"Restricted\"", AUTH_BASIC, NULL, NULL, NULL);
        check_challenge("BASIC", AUTH_BASIC, NULL, NULL, NULL);
        check_challenge("Negotiate, Basic realm=\"x\", Bearer realm=\"r\",service=\"s\"",
                        AUTH_BEARER, "r", "s", NULL);
        check_challenge("Bearer realm=\"one\", Bearer realm=\"two\"", AUTH_BEARER, "one", NULL,
                        NULL);
        check_challenge("Bearer realm=\"one\",realm=\"two\"", AUTH_BEARER, "one", NULL, NULL);
        check_challenge(", ,Basic", AUTH_BASIC, NULL, NULL, NULL);
}

TEST(nonsense_is_no_challenge)
{
        _cleanup_free_ char *huge = malloc(300000);

        check_challenge("", AUTH_NONE, NULL, NULL, NULL);
        check_challenge("Negotiate", AUTH_NONE, NULL, NULL, NULL);
        check_challenge("Bearer", AUTH_NONE, NULL, NULL, NULL);
        check_challenge("Bearer service=\"s\"", AUTH_NONE, NULL, NULL, NULL);
        check_challenge("Bearer realm=\"unclosed", AUTH_NONE, NULL, NULL, NULL);
        check_challenge("Bearer realm=\"a\\", AUTH_NONE, NULL, NULL, NULL);
        check_challenge("Bearer realm=", AUTH_NONE, NULL, NULL, NULL);
        check_challenge("=x", AUTH_NONE, NULL, NULL, NULL);
        check_challenge("Bearer realm=\"a\"\x01", AUTH_NONE, NULL, NULL, NULL);
        CHECK(huge != NULL);
        memset(huge, 'a', 300000);
        memcpy(huge, "Bearer realm=\"", 14);
        memcpy(huge + 299990, "\"", 2);
        check_challenge(huge, AUTH_NONE, NULL, NULL, NULL);
}

static int judge(const char *registry, const char *realm, const char *configured)
{
        _cleanup_registry_url_ struct registry_url a = url(registry), b = url(realm);
        _cleanup_strv_ char **trusted = NULL;

        if (configured)
                CHECK_INT(strv_append(&trusted, configured), 0);
        return auth_judge_realm(&a, &b, trusted, NULL);
}

TEST(only_the_registrys_own_token_server_sees_credentials)
{
        CHECK_INT(judge("https://reg.io/v2", "https://reg.io/token", NULL), REALM_TRUSTED);
        CHECK_INT(judge("https://reg.io:5000/v2", "https://reg.io:5000/token", NULL),
                  REALM_TRUSTED);
        CHECK_INT(judge("https://registry-1.docker.io/v2", "https://auth.docker.io/token", NULL),
                  REALM_TRUSTED);
        CHECK_INT(judge("https://127.0.0.1:5000/v2", "https://127.0.0.1:5000/token", NULL),
                  REALM_TRUSTED);
        CHECK_INT(judge("https://reg.io/v2", "https://auth.io/token", "auth.io"), REALM_TRUSTED);
        CHECK_INT(judge("https://reg.io/v2", "https://auth.io:99/token", "auth.io:99"),
                  REALM_TRUSTED);

        CHECK_INT(judge("https://reg.io/v2", "https://evil.io/token", NULL), REALM_ANONYMOUS);
        CHECK_INT(judge("https://reg.io/v2", "https://reg.io.evil/token", NULL), REALM_ANONYMOUS);
        CHECK_INT(judge("https://reg.io/v2", "https://reg.io:8443/token", NULL), REALM_ANONYMOUS);
        CHECK_INT(judge("https://reg.io/v2", "https://auth.io:98/token", "auth.io"),
                  REALM_ANONYMOUS);
        CHECK_INT(judge("https://evil.io/v2", "https://auth.docker.io/token", NULL),
                  REALM_ANONYMOUS);
        /* plain http sees none, even of a registry that is plain http itself */
        CHECK_INT(judge("http://localhost:5000/v2", "http://localhost:5000/token", NULL),
                  REALM_ANONYMOUS);
}

TEST(some_token_servers_are_not_asked_at_all)
{
        CHECK_INT(judge("https://reg.io/v2", "http://reg.io/token", NULL), -EINVAL);
        CHECK_INT(judge("https://reg.io/v2", "https://127.0.0.1/token", NULL), -EINVAL);
        CHECK_INT(judge("https://reg.io/v2", "https://169.254.169.254/latest", NULL), -EINVAL);
        CHECK_INT(judge("https://reg.io/v2", "https://[::1]/token", NULL), -EINVAL);
        CHECK_INT(judge("https://reg.io/v2", "https://2130706433/token", NULL), -EINVAL);
        CHECK_INT(judge("https://reg.io/v2", "https://10.0.0.1/token", "10.0.0.1"), REALM_TRUSTED);
}

static int redirect(const char *endpoint, const char *location)
{
        _cleanup_registry_url_ struct registry_url a = url(endpoint), b = { 0 };
        int r = registry_url_parse(location, &a, &b, NULL);

        return r < 0 ? r : auth_judge_redirect(&a, &b, NULL);
}

TEST(a_redirect_takes_the_credential_along_within_one_origin_only)
{
        CHECK_INT(redirect("https://reg.io/v2/x", "/v2/y"), 1);
        CHECK_INT(redirect("https://reg.io/v2/x", "https://reg.io/y"), 1);
        CHECK_INT(redirect("http://localhost:5000/v2/x", "/v2/y"), 1);
        CHECK_INT(redirect("https://reg.io/v2/x", "https://blobs.io/y"), 0);
        CHECK_INT(redirect("https://reg.io/v2/x", "https://reg.io:444/y"), 0);
        CHECK_INT(redirect("https://reg.io/v2/x", "//blobs.io/y"), 0);
        CHECK_INT(redirect("https://reg.io/v2/x", "http://reg.io/y"), -EINVAL);
        CHECK_INT(redirect("http://localhost:5000/v2/x", "http://localhost:5001/y"), -EINVAL);
        CHECK_INT(redirect("https://reg.io/v2/x", "file:///etc/shadow"), -EINVAL);
        CHECK_INT(redirect("https://reg.io/v2/x", "https://u:p@reg.io/y"), -EINVAL);
}

static void check_scope(const char *offered, const char *wanted)
{
        _cleanup_free_ char *scope = auth_scope(offered, "team/app");

        CHECK_STR(scope, wanted);
}

TEST(a_token_is_asked_for_one_repository_and_pull_alone)
{
        check_scope(NULL, "repository:team/app:pull");
        check_scope("repository:team/app:pull", "repository:team/app:pull");
        check_scope("repository:proxy/team/app:pull", "repository:proxy/team/app:pull");
        check_scope("repository:team/app:pull,push", "repository:team/app:pull");
        check_scope("repository:other/secret:pull", "repository:team/app:pull");
        check_scope("repository:xteam/app:pull", "repository:team/app:pull");
        check_scope("registry:catalog:*", "repository:team/app:pull");
        check_scope("repository:team/app:pull repository:x:pull", "repository:team/app:pull");
}

static int token(const char *text, char **ret, uint32_t *ret_expires)
{
        return auth_token_parse(text, strlen(text), ret, ret_expires, NULL);
}

TEST(token_answers_are_read)
{
        _cleanup_free_ char *a = NULL, *b = NULL;
        uint32_t expires;

        CHECK_INT(token("{\"token\":\"abc.def\",\"expires_in\":300}", &a, &expires), 0);
        CHECK_STR(a, "abc.def");
        CHECK_INT(expires, 300);
        CHECK_INT(token("{\"access_token\":\"xyz\"}", &b, &expires), 0);
        CHECK_STR(b, "xyz");
        CHECK_INT(expires, 60);
}

TEST(bad_token_answers_are_refused)
{
        static const char *const bad[] = {
                "",
                "[]",
                "{}",
                "{\"token\":\"\"}",
                "{\"token\":5}",
                "{\"token\":\"a\\r\\nX: y\"}",
                "{\"token\":\"a b\"}",
                "{\"token\":\"a\\u0000b\"}",
                "{\"token\":\"\\u00e4\"}",
        };
        uint32_t expires;
        char *t = NULL;

        for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
                if (token(bad[i], &t, &expires) != -EINVAL)
                        fail_msg("accepted: %s", bad[i]);
}
