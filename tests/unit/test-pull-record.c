#include "kubelet/pull-record.h"

#include <errno.h>
#include <string.h>

#include "base/json.h"
#include "base/text.h"
#include "tests/check.h"

static const char app[] = "r.io/team/app";

static struct pull_origin origin(const char *uid, const char *name, const char *hash)
{
        struct pull_origin o = { .uid = (char *)uid,
                                 .namespace = (char *)"ns",
                                 .name = (char *)name };

        snprintf(o.hash, sizeof o.hash, "%s", hash);
        return o;
}

static enum pull_access access_of(const json_t *record, const char *repository,
                                  struct pull_origin *o)
{
        const struct pull_auths auths = { .origins = o, .n = o ? 1 : 0 };
        const struct pull_origin *by;
        enum pull_access a = pull_record_access(record, repository, &auths, &by);

        CHECK(a != PULL_GRANTED_ANEW || by == o);
        return a;
}

TEST(a_repository_is_the_reference_without_tag_and_digest)
{
        static const char *const cases[][2] = {
                { "docker.io/library/busybox:1.36", "docker.io/library/busybox" },
                { "r.io:5000/app", "r.io:5000/app" },
                { "r.io:5000/app:v1", "r.io:5000/app" },
                { "r.io/app@sha256:0123", "r.io/app" },
                { "r.io:5000/app:v1@sha256:0123", "r.io:5000/app" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_free_ char *r = pull_repository(cases[i][0]);

                CHECK_STR(r, cases[i][1]);
        }
}

TEST(what_must_be_verified_is_the_policys_choice)
{
        char *list[] = { (char *)"r.io/team/app", (char *)"r.io/open/*", (char *)"busybox", NULL };

        CHECK(!pull_must_verify(PULL_NEVER_VERIFY, NULL, app, true));
        CHECK(pull_must_verify(PULL_NEVER_VERIFY_PRELOADED, NULL, app, true));
        CHECK(!pull_must_verify(PULL_NEVER_VERIFY_PRELOADED, NULL, app, false));
        CHECK(pull_must_verify(PULL_ALWAYS_VERIFY, NULL, app, false));
        CHECK(!pull_must_verify(PULL_NEVER_VERIFY_ALLOWLISTED, list, app, true));
        CHECK(!pull_must_verify(PULL_NEVER_VERIFY_ALLOWLISTED, list, "r.io/open/x/y", true));
        CHECK(!pull_must_verify(PULL_NEVER_VERIFY_ALLOWLISTED, list, "docker.io/library/busybox",
                                true));
        CHECK(pull_must_verify(PULL_NEVER_VERIFY_ALLOWLISTED, list, "r.io/team/app2", false));
        CHECK(pull_must_verify(PULL_NEVER_VERIFY_ALLOWLISTED, list, "r.io/openx", false));
}

TEST(a_pattern_names_an_image_or_all_below_a_slash)
{
        static const char *const bad[] = { "",   "*",        "r.io/a*",         "r.*/a",
                                           "/*", "r.io/a:1", "r.io/a@sha256:x", "r.io/UPPER" };
        _cleanup_err_ struct err err = { 0 };

        CHECK_INT(pull_pattern_check("r.io/team/app", &err), 0);
        CHECK_INT(pull_pattern_check("r.io/team/*", &err), 0);
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
                if (pull_pattern_check(bad[i], &err) != -EINVAL)
                        fail_msg("'%s' passes", bad[i]);
        CHECK_CONTAINS(err_text(&err), "preloadedImagesVerificationAllowlist: 'r.io/UPPER': ");
}

TEST(a_fresh_record_opens_to_nobody)
{
        json_auto_t *record = pull_record_new("sha256:1");
        struct pull_origin o = origin("u", "s", "h");

        CHECK_STR(json_text_at(record, "kind"), "ImagePulledRecord");
        CHECK_STR(json_text_at(record, "imageRef"), "sha256:1");
        CHECK_INT(access_of(record, app, NULL), PULL_DENIED);
        CHECK_INT(access_of(record, app, &o), PULL_DENIED);
}

TEST(who_has_the_secret_or_the_same_credential_gets_in)
{
        json_auto_t *record = pull_record_new("sha256:1");
        struct pull_origin o = origin("u", "s", "h"), other = origin("u2", "s2", "h"),
                           rotated = origin("u", "s", "h2"), stranger = origin("u3", "s3", "h3");

        CHECK_INT(pull_record_grant(record, app, &o), 1);
        CHECK_INT(pull_record_grant(record, app, &o), 0); /* nothing new */
        CHECK_INT(access_of(record, app, &o), PULL_GRANTED);
        CHECK_INT(access_of(record, app, &other), PULL_GRANTED_ANEW);
        CHECK_INT(access_of(record, app, &rotated), PULL_GRANTED_ANEW);
        CHECK_INT(access_of(record, app, &stranger), PULL_DENIED);
        CHECK_INT(access_of(record, app, NULL), PULL_DENIED);
        CHECK_INT(access_of(record, "r.io/team/other", &o), PULL_DENIED);
        CHECK_INT(pull_record_grant(record, app, &rotated), 1);
        CHECK_INT(access_of(record, app, &rotated), PULL_GRANTED);
        CHECK_INT(json_array_size(
                          json_path(record, "credentialMapping", app, "kubernetesSecrets", NULL)),
                  1);
}

TEST(a_secret_without_a_hash_matches_by_no_hash)
{
        json_auto_t *record = pull_record_new("sha256:1");
        struct pull_origin o = origin("u", "s", ""), other = origin("u2", "s2", "");

        CHECK_INT(pull_record_grant(record, app, &o), 1);
        CHECK_INT(access_of(record, app, &other), PULL_DENIED);
}

TEST(what_was_pulled_without_credentials_is_everybodys_and_stays_so)
{
        json_auto_t *record = pull_record_new("sha256:1");
        struct pull_origin o = origin("u", "s", "h");

        CHECK_INT(pull_record_grant(record, app, &o), 1);
        CHECK_INT(pull_record_grant(record, app, NULL), 1);
        CHECK_INT(access_of(record, app, NULL), PULL_GRANTED);
        CHECK_INT(pull_record_grant(record, app, &o), 0);
        CHECK(!json_path(record, "credentialMapping", app, "kubernetesSecrets", NULL));
}

TEST(a_full_record_learns_nothing_from_who_comes_by)
{
        json_auto_t *record = pull_record_new("sha256:1");
        struct pull_origin same = origin("u0", "s", "new"), hash = origin("x", "y", "h7");

        for (int i = 0; i < 100; i++) {
                char uid[16], h[16];
                struct pull_origin o;

                snprintf(uid, sizeof uid, "u%d", i);
                snprintf(h, sizeof h, "h%d", i);
                o = origin(uid, "s", h);
                CHECK_INT(pull_record_grant(record, app, &o), 1);
        }
        CHECK_INT(access_of(record, app, &hash), PULL_GRANTED);
        CHECK_INT(access_of(record, app, &same), PULL_DENIED);
}

TEST(a_damaged_record_opens_to_nobody_and_can_be_granted_again)
{
        static const char *const texts[] = {
                "{}", "{\"credentialMapping\":7}", "{\"credentialMapping\":{\"r.io/team/app\":[]}}",
                "{\"credentialMapping\":{\"r.io/team/app\":{\"kubernetesSecrets\":{}}}}"
        };
        struct pull_origin o = origin("u", "s", "h");

        for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
                json_auto_t *record = NULL;

                CHECK_INT(json_parse(texts[i], strlen(texts[i]), true, &record, NULL), 0);
                CHECK_INT(access_of(record, app, &o), PULL_DENIED);
                CHECK_INT(pull_record_grant(record, app, &o), 1);
                CHECK_INT(access_of(record, app, &o), PULL_GRANTED);
        }
}
