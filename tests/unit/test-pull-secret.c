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

/* So that a record of who pulled an image knows them again. */
TEST(a_credential_is_known_by_its_secret_and_by_a_hash_of_what_it_is)
{
        static const char *const configs[] = {
                "{\"auths\":{\"r.io\":{\"username\":\"a\",\"password\":\"bc\"}}}",
                "{\"auths\":{\"r.io\":{\"auth\":\"YTpiYw==\"}}}", /* the same, said otherwise */
                "{\"auths\":{\"r.io\":{\"username\":\"ab\",\"password\":\"c\"}}}",
        };
        _cleanup_(pull_auths_done)
        struct pull_auths a = { 0 };
        struct pull_origin *copy;

        for (size_t i = 0; i < ARRAY_SIZE(configs); i++) {
                json_auto_t *s = secret(configs[i]);

                json_object_set_new(s, "metadata",
                                    json_pack("{s:s, s:s, s:s}", "uid", "u1", "namespace", "ns",
                                              "name", "pull"));
                CHECK_INT(pull_auths_add(&a, s, "r.io/x:1", NULL), 0);
        }
        CHECK_INT(a.n, 3);
        CHECK_STR(a.origins[0].uid, "u1");
        CHECK_STR(a.origins[0].namespace, "ns");
        CHECK_STR(a.origins[0].name, "pull");
        CHECK_INT(strlen(a.origins[0].hash), 64);
        CHECK_STR(a.origins[0].hash, a.origins[1].hash);
        CHECK(!streq(a.origins[0].hash, a.origins[2].hash));
        copy = pull_auths_origins(&a);
        CHECK(copy);
        CHECK_STR(copy[2].hash, a.origins[2].hash);
        for (size_t i = 0; i < a.n; i++)
                pull_origin_done(&copy[i]);
        free(copy);
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
