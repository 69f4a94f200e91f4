#include "base/quantity.h"

#include <errno.h>

#include "base/text.h"
#include "tests/check.h"

TEST(values_round_up_as_kubernetes_does)
{
        static const struct {
                const char *text;
                int64_t value, milli;
        } cases[] = {
                { "0", 0, 0 },
                { "0Ki", 0, 0 },
                { "-0", 0, 0 },
                { "1", 1, 1000 },
                { "+1", 1, 1000 },
                { "-1", -1, -1000 },
                { "500m", 1, 500 },
                { "1500m", 2, 1500 },
                { "0.5", 1, 500 },
                { ".5", 1, 500 },
                { "1.", 1, 1000 },
                { "0001", 1, 1000 },
                { "100n", 1, 1 },
                { "1u", 1, 1 },
                { "999999999n", 1, 1000 },
                { "1000000001n", 2, 1001 },
                { "1k", 1000, 1000000 },
                { "1Ki", 1024, 1024000 },
                { "64Mi", 67108864, 67108864000 },
                { "1.5Gi", 1610612736, 1610612736000 },
                { "0.1Ki", 103, 102400 },
                { "1G", 1000000000, 1000000000000 },
                { "2T", 2000000000000, 2000000000000000 },
                { "1Ti", INT64_C(1) << 40, (INT64_C(1) << 40) * 1000 },
                { "3e3", 3000, 3000000 },
                { "3E3", 3000, 3000000 },
                { "1e+3", 1000, 1000000 },
                { "5e-1", 1, 500 },
                { "1e-99999999999999999999", 1, 1 },
                { "0e99999999999999999999", 0, 0 },
                { "1.5e1", 15, 15000 },
                { "0.00000000000000000000000000000000000000000000000000001", 1, 1 },
                { "00000000000000000000000000000000000000000000000000001", 1, 1000 },
                { "123456789.000000000000000000000000000000", 123456789, 123456789000 },
                { "-1.5", -1, -1500 },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                int64_t value = 77, milli = 77;

                CHECK_INT(quantity_parse(cases[i].text, &value), 0);
                CHECK_INT(quantity_parse_milli(cases[i].text, &milli), 0);
                if (value != cases[i].value || milli != cases[i].milli)
                        fail_msg("'%s' became %lld and %lld m", cases[i].text, (long long)value,
                                 (long long)milli);
        }
}

TEST(what_is_no_quantity_is_refused)
{
        static const char *const cases[] = { "",    " ",     "1 ",    " 1",   "+",   "-",
                                             ".",   "1..2",  "1.2.3", "1K",   "1ki", "1kI",
                                             "1mi", "1Mib",  "1MM",   "m",    "Ki",  "1e",
                                             "1e+", "1ee",   "e3",    "0x10", "1,5", "--1",
                                             "+-1", "1e3.5", "1e+-3", "1eKi", "1Zi", "1Y",
                                             "NaN", "inf",   "1e3m",  "1_000" };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                int64_t value = 77;

                if (quantity_parse(cases[i], &value) != -EINVAL)
                        fail_msg("'%s' was taken", cases[i]);
                CHECK_INT(value, 77);
        }
}

TEST(the_edge_of_63_bits_is_exact)
{
        int64_t v = 0;

        CHECK_INT(quantity_parse("9223372036854775807", &v), 0);
        CHECK(v == INT64_MAX);
        CHECK_INT(quantity_parse("9223372036854775808", &v), -ERANGE);
        CHECK_INT(quantity_parse("9223372036854775806.1", &v), 0);
        CHECK(v == INT64_MAX);
        CHECK_INT(quantity_parse("9223372036854775807.1", &v), -ERANGE);
        CHECK_INT(quantity_parse("7Ei", &v), 0);
        CHECK(v == INT64_C(7) << 60);
        CHECK_INT(quantity_parse("8Ei", &v), -ERANGE);
        CHECK_INT(quantity_parse("9E", &v), 0);
        CHECK_INT(quantity_parse("10E", &v), -ERANGE);
        CHECK_INT(quantity_parse("99999999999999999999999999999999999999999Ei", &v), -ERANGE);
        CHECK_INT(quantity_parse("1e19", &v), -ERANGE);
        CHECK_INT(quantity_parse("1e99999999999999999999", &v), -ERANGE);
        CHECK_INT(quantity_parse_milli("9223372036854775807", &v), -ERANGE);
        CHECK_INT(quantity_parse_milli("9223372036854775807m", &v), 0);
        CHECK(v == INT64_MAX);
}

TEST(canonical_forms_take_the_largest_suffix_that_divides)
{
        char b[QUANTITY_TEXT_MAX];

        CHECK_STR(quantity_format_milli(0, b), "0");
        CHECK_STR(quantity_format_milli(1, b), "1m");
        CHECK_STR(quantity_format_milli(1500, b), "1500m");
        CHECK_STR(quantity_format_milli(2000, b), "2");
        CHECK_STR(quantity_format_milli(2000000, b), "2k");
        CHECK_STR(quantity_format_milli(-500, b), "-500m");
        CHECK_STR(quantity_format_bytes(0, b), "0");
        CHECK_STR(quantity_format_bytes(1000, b), "1000");
        CHECK_STR(quantity_format_bytes(1024, b), "1Ki");
        CHECK_STR(quantity_format_bytes(64 << 20, b), "64Mi");
        CHECK_STR(quantity_format_bytes((64 << 20) + 1024, b), "65537Ki");
        CHECK_STR(quantity_format_bytes(INT64_C(7) << 60, b), "7Ei");
        CHECK_STR(quantity_format_bytes(INT64_MAX, b), "9223372036854775807");
}
