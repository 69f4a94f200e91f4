#include "kubelet/env-file.h"

#include <errno.h>

#include "tests/check.h"

TEST(a_value_is_found_by_its_name)
{
        static const struct {
                const char *text, *value;
        } cases[] = {
                { "K='v'", "v" },
                { "# c\n\n  \n\tK='v' # why\nK='w'", "v" },
                { "A='x'\nK='a b = c $(D) \\'\n", "a b = c $(D) \\" },
                { "K='two\nlines'", "two\nlines" },
                { "A='two\nK=lines'\nK='v'", "v" },
                { "K=''", "" },
                { "K= 'v'\nK='w'", "" },
                { "A= 'v'\nK='w'", "w" },
                { "KK='v'", "" },
                { "", "" },
                { "K='v'\r\n", "v" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_free_ char *value = NULL;

                CHECK_INT(env_file_get(cases[i].text, "K", &value, NULL), 0);
                CHECK_STR(value, cases[i].value);
        }
}

TEST(a_file_that_breaks_a_rule_is_refused_by_line)
{
        static const struct {
                const char *text, *error;
        } cases[] = {
                { "A\n", "at line 1: missing '='" },
                { "B='x'\n='v'", "at line 2: empty variable name" },
                { "K ='v'", "at line 1: whitespace before '=' is not allowed" },
                { "K=v", "at line 1: value must be enclosed in single quotes" },
                { "K=\"v\"", "value must be enclosed in single quotes" },
                { "K='v", "unclosed single quote" },
                { "A='x\ny'z\n", "at line 2: unexpected content after closing quote" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_err_ struct err err = { 0 };
                char *value = NULL;

                CHECK_INT(env_file_get(cases[i].text, "K", &value, &err), -EINVAL);
                CHECK_CONTAINS(err_text(&err), cases[i].error);
        }
}
