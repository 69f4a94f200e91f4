#include "runtime/registry-config.h"

#include <errno.h>

#include "base/text.h"
#include "base/yaml.h"
#include "tests/check.h"

static struct registries read_yaml(const char *yaml)
{
        struct registries r = { 0 };
        _cleanup_err_ struct err err = { 0 };
        json_auto_t *root = NULL;

        CHECK_INT(yaml_parse(yaml, strlen(yaml), &root, &err), 0);
        if (registries_decode(root, &r, &err) < 0)
                fail_msg("refused: %s", err_text(&err));
        return r;
}

static void refused(const char *yaml, const char *why)
{
        struct registries r = { 0 };
        _cleanup_err_ struct err err = { 0 };
        json_auto_t *root = NULL;

        CHECK_INT(yaml_parse(yaml, strlen(yaml), &root, &err), 0);
        if (registries_decode(root, &r, &err) >= 0)
                fail_msg("accepted: %s", yaml);
        CHECK_CONTAINS(err_text(&err), why);
        CHECK(!r.mirrors && !r.hosts);
}

/* The endpoints of an image as text: "url repository[ own][ user]; …". */
static char *plan(const struct registries *r, const char *image)
{
        _cleanup_image_ref_ struct image_ref ref = { 0 };
        _cleanup_err_ struct err err = { 0 };
        struct registry_endpoint *e = NULL;
        struct strbuf b = { 0 };
        size_t n;

        CHECK_INT(image_ref_parse(image, &ref, NULL), 0);
        if (registries_endpoints(r, &ref, &e, &n, &err) < 0) {
                strbuf_add(&b, err_text(&err));
                return strbuf_take(&b);
        }
        for (size_t i = 0; i < n; i++)
                strbuf_addf(&b, "%s%s %s%s%s", i ? "; " : "", e[i].url.text, e[i].repository,
                            e[i].is_registry ? " own" : "",
                            e[i].host && e[i].host->username ? " user" : "");
        registry_endpoints_free(e, n);
        return strbuf_take(&b);
}

static void check_plan(const struct registries *r, const char *image, const char *wanted)
{
        _cleanup_free_ char *got = plan(r, image);

        CHECK_STR(got, wanted);
}

TEST(without_a_file_the_registry_itself_is_asked)
{
        _cleanup_registries_ struct registries r = { 0 };

        check_plan(&r, "busybox", "https://registry-1.docker.io/v2 library/busybox own");
        check_plan(&r, "reg.io/a/b", "https://reg.io/v2 a/b own");
        check_plan(&r, "reg.io:5000/a", "https://reg.io:5000/v2 a own");
        check_plan(&r, "localhost:5000/a", "http://localhost:5000/v2 a own");
        check_plan(&r, "[::1]:5000/a", "http://[::1]:5000/v2 a own");
}

TEST(an_empty_file_says_nothing)
{
        _cleanup_registries_ struct registries r = read_yaml("");
        _cleanup_registries_ struct registries s = read_yaml("mirrors:\nconfigs:\n");
        _cleanup_registries_ struct registries t = read_yaml("mirrors:\n  docker.io:\n");

        check_plan(&r, "a.io/b", "https://a.io/v2 b own");
        check_plan(&s, "a.io/b", "https://a.io/v2 b own");
        check_plan(&t, "busybox", "https://registry-1.docker.io/v2 library/busybox own");
}

TEST(mirrors_come_in_order_and_the_registry_last)
{
        _cleanup_registries_ struct registries r = read_yaml(
                "mirrors:\n"
                "  docker.io:\n"
                "    endpoint:\n"
                "      - https://one.example:5000\n"
                "      - http://two.example/v2/proxy/\n"
                "      - three.example\n"
                "      - localhost:5000\n"
                "  \"*\":\n"
                "    endpoint: [\"https://all.example\"]\n"
                "configs:\n"
                "  one.example:5000:\n"
                "    auth: {username: u, password: p}\n");

        check_plan(&r, "busybox",
                   "https://one.example:5000/v2 library/busybox user; "
                   "http://two.example/v2/proxy library/busybox; "
                   "https://three.example/v2 library/busybox; "
                   "http://localhost:5000/v2 library/busybox; "
                   "https://registry-1.docker.io/v2 library/busybox own");
        check_plan(&r, "other.io/x", "https://all.example/v2 x; https://other.io/v2 x own");
}

TEST(a_registry_listed_as_its_own_mirror_is_not_asked_twice)
{
        _cleanup_registries_ struct registries r = read_yaml(
                "mirrors:\n  reg:5000:\n    endpoint: [\"http://reg:5000\"]\n");

        check_plan(&r, "reg:5000/a", "http://reg:5000/v2 a own");
}

TEST(rewrites_change_the_name_for_mirrors_alone)
{
        _cleanup_registries_ struct registries r = read_yaml(
                "mirrors:\n"
                "  docker.io:\n"
                "    endpoint: [\"https://m.example\"]\n"
                "    rewrite:\n"
                "      \"^rancher/(.*)\": \"mirrorproject/rancher-images/$1\"\n"
                "      \"^library/(.*)$\": \"hub/${1}-x\"\n"
                "      \"b\": \"c\"\n");

        check_plan(&r, "rancher/pause",
                   "https://m.example/v2 mirrorproject/rancher-images/pause; "
                   "https://registry-1.docker.io/v2 rancher/pause own");
        check_plan(&r, "busybox",
                   "https://m.example/v2 hub/busybox-x; "
                   "https://registry-1.docker.io/v2 library/busybox own");
        check_plan(&r, "a/bobby",
                   "https://m.example/v2 a/coccy; "
                   "https://registry-1.docker.io/v2 a/bobby own");
        check_plan(&r, "a/x", "https://m.example/v2 a/x; https://registry-1.docker.io/v2 a/x own");
}

TEST(a_rewrite_that_makes_no_name_is_an_error_of_that_pull)
{
        _cleanup_registries_ struct registries r = read_yaml(
                "mirrors:\n  a.io:\n    endpoint: [\"https://m\"]\n    rewrite: {\"x\": \"../\"}\n");

        check_plan(&r, "a.io/x",
                   "mirrors: a.io: rewrite: 'x': makes '../' of 'x', which is no "
                   "repository name");
}

TEST(matches_of_nothing_end)
{
        _cleanup_registries_ struct registries r = read_yaml(
                "mirrors:\n  a.io:\n    endpoint: [\"https://m\"]\n    rewrite: {\"q*\": \"z\"}\n");
        _cleanup_free_ char *got = plan(&r, "a.io/abc");

        CHECK_CONTAINS(got, "https://m/v2 z");
}

TEST(credentials_and_tls_are_read)
{
        _cleanup_registries_ struct registries r = read_yaml(
                "configs:\n"
                "  reg.io:\n"
                "    auth: {auth: dXNlcjpwYXNzOndvcmQ=}\n"
                "    tls: {ca_file: /a, cert_file: /b, key_file: /c,"
                " insecure_skip_verify: true}\n"
                "    token_realms: [auth.io]\n"
                "  other:\n"
                "    auth: {identity_token: tok}\n");

        CHECK_INT(r.n_hosts, 2);
        CHECK_STR(r.hosts[0].username, "user");
        CHECK_STR(r.hosts[0].password, "pass:word");
        CHECK_STR(r.hosts[0].ca_file, "/a");
        CHECK(r.hosts[0].insecure_skip_verify);
        CHECK_STR(r.hosts[0].token_realms[0], "auth.io");
        CHECK_STR(r.hosts[1].identity_token, "tok");
}

TEST(bad_files_are_refused_by_path)
{
        refused("[]", "expected an object");
        refused("mirrors: []", "mirrors: expected an object by registry");
        refused("mirrors: {a: {endpoint: x}}", "mirrors: a: endpoint: expected an array");
        refused("mirrors: {a: {endpoint: [5]}}", "mirrors: a: endpoint: [0]: expected a string");
        refused("mirrors: {a: {endpoint: [\"ftp://x\"]}}", "endpoint: [0]: URL 'ftp://x'");
        refused("mirrors: {a: {endpoint: [\"https://u:p@x\"]}}", "user and password");
        refused("mirrors: {a: {endpoint: [\"https://x/?a=b\"]}}", "expected no query");
        refused("mirrors: {a: {rewrite: {\"(\": x}}}", "rewrite: '(': not an extended pattern");
        refused("mirrors: {a: {rewrite: {\"x\": \"$1\"}}}", "rewrite: 'x': '$1': expected $N");
        refused("mirrors: {a: {rewrite: {\"(x)\": \"$1y\"}}}", "expected $N");
        refused("mirrors: {a: {rewrite: {\"(x)\": \"${1\"}}}", "expected $N");
        refused("mirrors: {a: {rewrite: {\"(x)\": \"$\"}}}", "expected $N");
        refused("configs: {a: {tls: {ca_file: relative}}}",
                "configs: a: tls: ca_file: 'relative': expected an absolute path");
        refused("configs: {a: {tls: {cert_file: /x}}}", "belong together");
        refused("configs: {a: {tls: {insecure_skip_verify: \"yes\"}}}", "expected true or false");
        refused("configs: {a: {auth: {username: [x]}}}", "configs: a: auth: username");
}

TEST(a_bad_credential_is_not_quoted)
{
        _cleanup_err_ struct err err = { 0 };
        struct registries r = { 0 };
        json_auto_t *root = json_pack("{s:{s:{s:{s:s}}}}", "configs", "reg", "auth", "auth",
                                      "planted-secret");

        CHECK_INT(registries_decode(root, &r, &err), -EINVAL);
        CHECK_CONTAINS(err_text(&err), "configs: reg: auth: auth: expected base64");
        CHECK(strstr(err_text(&err), "planted") == NULL);
}
