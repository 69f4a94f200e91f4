#include "kubelet/review.h"

#include <errno.h>
#include <string.h>

#include "base/json.h"
#include "base/text.h"
#include "tests/check.h"

static int read_token(const char *text, struct identity **ret)
{
        json_auto_t *answer = NULL;

        CHECK_INT(json_parse(text, strlen(text), false, &answer, NULL), 0);
        return token_review_read(answer, ret, NULL);
}

static int read_access(const char *text)
{
        json_auto_t *answer = NULL;

        CHECK_INT(json_parse(text, strlen(text), false, &answer, NULL), 0);
        return access_review_read(answer, NULL);
}

TEST(only_a_plain_bearer_token_is_one)
{
        CHECK_STR(bearer_token("Bearer abc.def"), "abc.def");
        CHECK_STR(bearer_token("bEARER x"), "x");
        CHECK(bearer_token(NULL) == NULL);
        CHECK(bearer_token("") == NULL);
        CHECK(bearer_token("Bearer") == NULL);
        CHECK(bearer_token("Bearer ") == NULL);
        CHECK(bearer_token("Bearer  x") == NULL);
        CHECK(bearer_token("Bearer a b") == NULL);
        CHECK(bearer_token("Bearer a\x80") == NULL);
        CHECK(bearer_token("Basic abc") == NULL);
        CHECK(bearer_token("Bearerx abc") == NULL);
}

TEST(a_token_review_names_the_user)
{
        struct identity *who = NULL;

        CHECK_INT(read_token("{\"status\":{\"authenticated\":true,\"user\":{\"username\":\"u\","
                             "\"uid\":\"1\",\"groups\":[\"a\",\"b\"],\"extra\":{\"k\":[\"v\"]}}}}",
                             &who),
                  REVIEW_YES);
        CHECK_STR(who->user, "u");
        CHECK_STR(who->uid, "1");
        CHECK_INT(strv_len(who->groups), 3);
        CHECK(strv_contains(who->groups, "system:authenticated"));
        CHECK_INT(json_object_size(who->extra), 1);
        identity_unref(who);
}

TEST(a_token_review_that_is_no_clear_yes_denies)
{
        static const struct {
                const char *text;
                int result;
        } cases[] = {
                { "{}", -EINVAL },
                { "{\"status\":[]}", -EINVAL },
                { "{\"status\":{}}", REVIEW_NO },
                { "{\"status\":{\"authenticated\":false}}", REVIEW_NO },
                { "{\"status\":{\"authenticated\":\"true\"}}", -EINVAL },
                { "{\"status\":{\"authenticated\":1}}", -EINVAL },
                { "{\"status\":{\"authenticated\":true}}", -EINVAL },
                { "{\"status\":{\"authenticated\":true,\"user\":{\"username\":\"\"}}}", -EINVAL },
                { "{\"status\":{\"authenticated\":true,\"user\":{\"username\":7}}}", -EINVAL },
                { "{\"status\":{\"authenticated\":true,\"error\":\"x\",\"user\":{\"username\":"
                  "\"u\"}}}",
                  -EACCES },
                { "{\"status\":{\"authenticated\":false,\"error\":\"expired\"}}", -EACCES },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct identity *who = NULL;

                if (read_token(cases[i].text, &who) != cases[i].result)
                        fail_msg("%s", cases[i].text);
                CHECK(who == NULL);
        }
}

TEST(somebody_in_ten_thousand_groups_is_refused)
{
        _cleanup_strbuf_ struct strbuf b = { 0 };
        struct identity *who = NULL;

        strbuf_add(&b, "{\"status\":{\"authenticated\":true,\"user\":{\"username\":\"u\","
                       "\"groups\":[\"g\"");
        for (int i = 0; i < 10000; i++)
                strbuf_addf(&b, ",\"g%d\"", i);
        strbuf_add(&b, "]}}}");
        CHECK(read_token(b.data, &who) < 0);
}

TEST(an_access_review_allows_only_what_says_allowed_and_not_denied)
{
        CHECK_INT(read_access("{\"status\":{\"allowed\":true}}"), REVIEW_YES);
        CHECK_INT(read_access("{\"status\":{\"allowed\":true,\"denied\":false}}"), REVIEW_YES);
        CHECK_INT(read_access("{\"status\":{\"allowed\":false}}"), REVIEW_NO);
        CHECK_INT(read_access("{\"status\":{\"allowed\":true,\"denied\":true}}"), REVIEW_NO);
        CHECK_INT(read_access("{\"status\":{\"allowed\":false,\"evaluationError\":\"no role\"}}"),
                  REVIEW_NO);
        CHECK_INT(read_access("{\"status\":{}}"), -EINVAL);
        CHECK_INT(read_access("{\"status\":{\"allowed\":\"true\"}}"), -EINVAL);
        CHECK_INT(read_access("{\"status\":{\"allowed\":true,\"denied\":\"no\"}}"), -EINVAL);
        CHECK_INT(read_access("{\"allowed\":true}"), -EINVAL);
}

TEST(an_access_review_asks_about_this_node)
{
        static const char *const groups[] = { "g", NULL };
        struct identity *who = identity_new("u", groups);
        struct access what = { "get", "node-1", "proxy" };
        json_auto_t *review = access_review_json(who, &what);
        const json_t *spec = json_path(review, "spec", NULL);
        const json_t *attributes = json_path(spec, "resourceAttributes", NULL);

        CHECK_STR(json_text_at(spec, "user"), "u");
        CHECK_INT(json_array_size(json_path(spec, "groups", NULL)), 2);
        CHECK_STR(json_text_at(attributes, "verb"), "get");
        CHECK_STR(json_text_at(attributes, "resource"), "nodes");
        CHECK_STR(json_text_at(attributes, "subresource"), "proxy");
        CHECK_STR(json_text_at(attributes, "name"), "node-1");
        CHECK(json_text_at(spec, "uid") == NULL);
        identity_unref(who);
}

TEST(keys_differ_by_question_and_by_process)
{
        unsigned char salt[REVIEW_SALT_SIZE] = { 0 };
        char a[REVIEW_KEY_SIZE], b[REVIEW_KEY_SIZE];

        CHECK_INT(token_review_key(salt, "x", a), 0);
        CHECK_INT(token_review_key(salt, "x", b), 0);
        CHECK_STR(a, b);
        CHECK_INT(token_review_key(salt, "y", b), 0);
        CHECK(!streq(a, b));
        salt[0] = 1;
        CHECK_INT(token_review_key(salt, "x", b), 0);
        CHECK(!streq(a, b));
        CHECK(is_hex_lower(a, 64));
}
