#include "base/text.h"

#include <errno.h>

#include "tests/check.h"

TEST(numbers_are_digits_and_nothing_else)
{
        static const char *const bad[] = { "", " 1", "1 ", "+1", "-1", "0x1", "1.0", "1e3", "٣" };
        uint64_t v;
        int64_t i;

        for (size_t k = 0; k < ARRAY_SIZE(bad); k++)
                CHECK_INT(text_to_u64(bad[k], &v), -EINVAL);
        CHECK_INT(text_to_u64("18446744073709551615", &v), 0);
        CHECK(v == UINT64_MAX);
        CHECK_INT(text_to_u64("18446744073709551616", &v), -ERANGE);
        CHECK_INT(text_to_i64("-9223372036854775808", &i), 0);
        CHECK(i == INT64_MIN);
        CHECK_INT(text_to_i64("9223372036854775808", &i), -ERANGE);
}

TEST(narrow_numbers_know_their_limit)
{
        uint16_t a;
        uint32_t b;

        CHECK_INT(text_to_u16("65535", &a), 0);
        CHECK_INT(text_to_u16("65536", &a), -ERANGE);
        CHECK_INT(text_to_u32("4294967296", &b), -ERANGE);
        CHECK_INT(text_to_octal("0644", &b), 0);
        CHECK_INT(b, 0644);
        CHECK_INT(text_to_octal("8", &b), -EINVAL);
}

TEST(names_follow_rfc_1123)
{
        char long_label[65];

        memset(long_label, 'a', 64);
        long_label[64] = '\0';
        CHECK(!is_dns_label(long_label));
        CHECK(is_dns_label(long_label + 1));
        CHECK(is_dns_label("web-0"));
        CHECK(!is_dns_label("-web"));
        CHECK(!is_dns_label("Web"));
        CHECK(!is_dns_label("a.b"));
        CHECK(is_dns_subdomain("a.b-c.d"));
        CHECK(is_dns_subdomain(long_label)); /* generated pod names get this long */
        CHECK(!is_dns_subdomain("a..b"));
        CHECK(!is_dns_subdomain(""));
}

TEST(a_buffer_grows_and_is_handed_over)
{
        struct strbuf b = { 0 };
        _cleanup_free_ char *s = NULL;

        for (int i = 0; i < 100; i++)
                strbuf_addf(&b, "%d,", i);
        CHECK_INT(b.len, 290);
        s = strbuf_take(&b);
        CHECK(startswith(s, "0,1,2,"));
        CHECK(endswith(s, "98,99,"));
        CHECK(b.data == NULL);
}

TEST(vectors_split_join_and_copy)
{
        _cleanup_strv_ char **v = NULL, **copy = NULL;
        _cleanup_free_ char *s = NULL;

        CHECK_INT(strv_split(" a, b,,c ", ", ", &v), 0);
        CHECK_INT(strv_len(v), 3);
        copy = strv_copy(v);
        s = strv_join(copy, "+");
        CHECK_STR(s, "a+b+c");
        CHECK(strv_contains(v, "b"));
        CHECK(!strv_contains(NULL, "b"));
}

TEST(base64_goes_both_ways_and_refuses_the_rest)
{
        static const char *const bad[] = {
                "a", "ab", "abc", "a===", "ab=c", "ab==c", "a b=", "===="
        };
        static const char data[] = "any carnal pleas";

        for (size_t n = 0; n < sizeof data; n++) {
                _cleanup_free_ char *text = base64_encode(data, n);
                _cleanup_free_ uint8_t *back = NULL;
                size_t len;

                CHECK_INT(base64_decode(text, strlen(text), &back, &len), 0);
                CHECK_INT(len, n);
                CHECK(memcmp(back, data, n) == 0);
        }
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
                uint8_t *out;
                size_t len;

                CHECK_INT(base64_decode(bad[i], strlen(bad[i]), &out, &len), -EINVAL);
        }
}
