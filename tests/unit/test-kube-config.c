#include "base/kube-client.h"

#include <errno.h>

#include "base/text.h"
#include "tests/check.h"

/* base64 of "-----BEGIN X-----\n" */
#define PEM "LS0tLS1CRUdJTiBYLS0tLS0K"

static int parse(const char *cluster, const char *user, struct kube_config *k, struct err *err)
{
        _cleanup_free_ char *text =
                text_printf("apiVersion: v1\nkind: Config\ncurrent-context: here\n"
                            "contexts:\n- name: there\n  context: {cluster: x, user: x}\n"
                            "- name: here\n  context: {cluster: c, user: u, namespace: ns}\n"
                            "clusters:\n- name: x\n  cluster: {}\n- name: c\n  cluster: %s\n"
                            "users:\n- name: u\n  user: %s\n",
                            cluster, user);

        return kube_config_parse(text, strlen(text), "/etc/k", k, err);
}

TEST(the_current_context_is_resolved)
{
        _cleanup_(kube_config_done)
        struct kube_config k = { 0 };
        _cleanup_err_ struct err err = { 0 };

        if (parse("{server: 'https://[fd00::1]:6443/base//', certificate-authority: ca.crt, "
                  "tls-server-name: api, proxy-url: 'http://p:1', unknown: 1}",
                  "{client-certificate: /abs/c.pem, client-key-data: " PEM ", token: t, "
                  "tokenFile: tok, exec: null, username: ''}",
                  &k, &err) < 0)
                fail_msg("%s", err_text(&err));
        CHECK_STR(k.server, "https://[fd00::1]:6443/base");
        CHECK_STR(k.ca_file, "/etc/k/ca.crt");
        CHECK_STR(k.tls_server_name, "api");
        CHECK_STR(k.proxy_url, "http://p:1");
        CHECK_STR(k.cert_file, "/abs/c.pem");
        CHECK_STR(k.key_data, "-----BEGIN X-----\n");
        CHECK_STR(k.token, "t");
        CHECK_STR(k.token_file, "/etc/k/tok");
        CHECK_STR(k.namespace, "ns");
        CHECK(!k.insecure_skip_verify);
}

TEST(inline_data_wins_over_files)
{
        _cleanup_(kube_config_done)
        struct kube_config k = { 0 };

        CHECK_INT(parse("{server: 'https://a', certificate-authority: f, "
                        "certificate-authority-data: " PEM "}",
                        "{client-certificate: f, client-certificate-data: " PEM
                        ", client-key: f, client-key-data: " PEM "}",
                        &k, NULL),
                  0);
        CHECK(k.ca_data && k.cert_data && k.key_data);
        CHECK(!k.ca_file && !k.cert_file && !k.key_file);
}

TEST(each_refusal_names_the_field_and_the_rule)
{
        static const char *const cases[][3] = {
                { "{}", "{}", "clusters 'c': cluster: server: required, but missing" },
                { "{server: ''}", "{}", "server: '': expected https://host:port" },
                { "{server: 'ftp://a'}", "{}", "server: 'ftp://a': expected https://host:port" },
                { "{server: a}", "{}", "server: 'a': expected" },
                { "{server: 'https://'}", "{}", "server: 'https://': expected" },
                { "{server: 'https://u:p@a'}", "{}", "server: 'https://u:p@a': expected" },
                { "{server: 'https://a?x=1'}", "{}", "server: 'https://a?x=1': expected" },
                { "{server: 'https://a#x'}", "{}", "server: 'https://a#x': expected" },
                { "{server: 'https://a:99999'}", "{}", "server: 'https://a:99999': expected" },
                { "{server: 5}", "{}", "server: expected a string, not a number" },
                { "{server: 'https://a', proxy-url: x}", "{}", "proxy-url: 'x': expected http" },
                { "{server: 'https://a', insecure-skip-tls-verify: true, "
                  "certificate-authority: f}",
                  "{}", "insecure-skip-tls-verify: not allowed beside" },
                { "{server: 'https://a', insecure-skip-tls-verify: 1}", "{}",
                  "insecure-skip-tls-verify: expected true or false" },
                { "{server: 'https://a', certificate-authority-data: '!'}", "{}",
                  "certificate-authority-data: expected base64" },
                { "{server: 'https://a', certificate-authority-data: aGVsbG8=}", "{}",
                  "certificate-authority-data: expected PEM" },
                { "{server: 'https://a'}", "{client-certificate: f}",
                  "client-certificate and client-key: expected both or none" },
                { "{server: 'https://a'}", "{client-key: f}", "expected both or none" },
                { "{server: 'https://a'}", "{token: \"a\\r\\nX-Evil: 1\"}",
                  "users 'u': user: token: expected no blank or control" },
                { "{server: 'https://a'}", "{exec: {command: x}}",
                  "exec: credential plugins are not supported" },
                { "{server: 'https://a'}", "{auth-provider: {name: gcp}}",
                  "auth-provider: credential plugins are not supported" },
                { "{server: 'https://a'}", "{username: a}", "username: passwords are not" },
                { "{server: 'https://a'}", "{password: a}", "password: passwords are not" },
                { "{server: 'https://a'}", "{as: a}", "as: impersonation is not supported" },
                { "{server: 'https://a'}", "x", "users 'u': user: expected an object" },
                { "[]", "{}", "clusters 'c': cluster: expected an object" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_(kube_config_done)
                struct kube_config k = { 0 };
                _cleanup_err_ struct err err = { 0 };

                CHECK_INT(parse(cases[i][0], cases[i][1], &k, &err), -EINVAL);
                CHECK_INT(err.kind, ERR_BAD_INPUT);
                CHECK_CONTAINS(err_text(&err), cases[i][2]);
                CHECK(k.server == NULL);
        }
}

TEST(a_file_without_what_it_points_to_is_refused)
{
        static const char *const cases[][2] = {
                { "", "expected an object" },
                { "kind: Pod\n", "kind: 'Pod': expected Config" },
                { "kind: Config\n", "current-context: required" },
                { "current-context: ''\n", "current-context: required" },
                { "current-context: a\n", "contexts: no entry is named 'a'" },
                { "current-context: a\ncontexts: 7\n", "contexts: no entry is named 'a'" },
                { "current-context: a\ncontexts: [{name: a, context: {user: u}}]\n",
                  "contexts 'a': context: cluster: required" },
                { "current-context: a\ncontexts: [{name: a, context: {cluster: c}}]\n",
                  "clusters: no entry is named 'c'" },
                { "current-context: a\ncontexts: [{name: a, context: {cluster: c, user: u}}]\n"
                  "clusters: [{name: c, cluster: {server: 'https://a'}}]\n",
                  "users: no entry is named 'u'" },
                { "a: [\n", "YAML line 2" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_(kube_config_done)
                struct kube_config k = { 0 };
                _cleanup_err_ struct err err = { 0 };

                CHECK_INT(kube_config_parse(cases[i][0], strlen(cases[i][0]), ".", &k, &err),
                          -EINVAL);
                CHECK_CONTAINS(err_text(&err), cases[i][1]);
        }
}

TEST(a_file_that_the_kubeconfig_names_must_be_there)
{
        static const char text[] =
                "apiVersion: v1\nkind: Config\ncurrent-context: x\n"
                "contexts: [{name: x, context: {cluster: c, user: u}}]\n"
                "clusters: [{name: c, cluster: {server: 'https://a', certificate-authority: ca}}]\n"
                "users: [{name: u, user: {token: t}}]\n";
        char path[] = "/tmp/test-kube-config-XXXXXX";
        _cleanup_(kube_config_done)
        struct kube_config k = { 0 };
        _cleanup_err_ struct err err = { 0 };
        _cleanup_close_ int fd = mkstemp(path);

        CHECK(fd >= 0 && write(fd, text, sizeof text - 1) == (ssize_t)sizeof text - 1);
        CHECK_INT(kube_config_load(path, &k, &err), -ENOENT);
        unlink(path);
        CHECK_CONTAINS(err_text(&err), "certificate-authority: '/tmp/ca': No such file");
        CHECK(k.server == NULL);
}

TEST(a_missing_file_is_named)
{
        _cleanup_(kube_config_done)
        struct kube_config k = { 0 };
        _cleanup_err_ struct err err = { 0 };

        CHECK_INT(kube_config_load("/nonexistent/kc", &k, &err), -ENOENT);
        CHECK_STR(err_text(&err), "kubeconfig '/nonexistent/kc': No such file or directory");
}
