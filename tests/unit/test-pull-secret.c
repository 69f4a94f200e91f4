#include "kubelet/pull-secret.h"

#include <errno.h>

#include "base/text.h"
#include "tests/check.h"

/* A Secret whose .dockerconfigjson is @config. */
static json_t *secret(const char *config)
{
        _cleanup_free_ char *encoded = base64_encode(config, strlen(config));

        return json_pack("{s:{s:s}}", "data", ".dockerconfigjson", encoded);
}

TEST(credentials_are_taken_for_the_registry_they_name_only)
{
        static const char config[] =
                "{\"auths\":{\"https://index.docker.io/v1/\":{\"username\":\"hub\",\"password\":\"1\"},"
                "\"*.example.com\":{\"auth\":\"dXNlcjpwYXNz\"},\"r.io/team\":{\"username\":\"team\",\"password\":\"2\"}}}";
        static const struct {
                const char *image, *user;
        } cases[] = {
                { "docker.io/library/busybox:1", "hub" },
                { "a.example.com/x:1", "user" },
                { "r.io/team/app:1", "team" },
                { "r.io/other:1", NULL },
                { "example.com/x:1", NULL },
                { "a.b.example.com/x:1", NULL },
                { "evil-docker.io/x", NULL },
        };
        json_auto_t *s = secret(config);

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_(pull_auths_done)
                struct pull_auths a = { 0 };

                CHECK_INT(pull_auths_add(&a, s, cases[i].image, NULL), 0);
                CHECK_INT(a.n, cases[i].user ? 1 : 0);
                if (cases[i].user)
                        CHECK_STR(a.auths[0].username, cases[i].user);
        }
}

TEST(a_malformed_secret_is_told_by_key_and_rule)
{
        _cleanup_(pull_auths_done)
        struct pull_auths a = { 0 };
        _cleanup_err_ struct err err = { 0 };
        json_auto_t *s = secret("{\"auths\":{\"r.io\":{\"auth\":\"%%%\"}}}");

        CHECK_INT(pull_auths_add(&a, s, "r.io/x:1", &err), -EINVAL);
        CHECK_STR(err_text(&err),
                  ".dockerconfigjson: registry 'r.io': auth: expected base64 of 'user:password'");
        CHECK_INT(a.n, 0);
}
