#include "kubelet/expand.h"

#include <errno.h>

#include "base/text.h"
#include "tests/check.h"

static const char *lookup(const char *name, void *userdata)
{
        const char *const *vars = userdata;

        for (; *vars; vars += 2)
                if (streq(*vars, name))
                        return vars[1];
        return NULL;
}

static const char *const vars[] = { "A", "a-value", "EMPTY", "", "REF", "$(A)", "B(", "odd", NULL };

TEST(references_become_values_and_everything_else_stays)
{
        static const char *const cases[][2] = {
                { "", "" },
                { "plain", "plain" },
                { "$(A)", "a-value" },
                { "x$(A)y$(A)", "xa-valueya-value" },
                { "$(EMPTY)|", "|" },
                { "$(REF)", "$(A)" }, /* a value is not expanded again */
                { "$(UNKNOWN)", "$(UNKNOWN)" },
                { "$()", "$()" },
                { "$$", "$" },
                { "$$(A)", "$(A)" },
                { "$$$(A)", "$a-value" },
                { "$", "$" },
                { "a$", "a$" },
                { "$c", "$c" },
                { "$A", "$A" },
                { "$(A", "$(A" },
                { "$(", "$(" },
                { "$(A$(A)", "$(A$(A)" },
                { "$(B()", "odd" },
                { "\xc3\xa4$\xc3\xa4", "\xc3\xa4$\xc3\xa4" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_free_ char *text = NULL;

                CHECK_INT(expand(cases[i][0], lookup, (void *)vars, &text), 0);
                CHECK_STR(text, cases[i][1]);
        }
}

TEST(growth_has_an_end)
{
        char *big = malloc(EXPAND_MAX / 2 + 2);
        const char *const bomb[] = { "A", big, NULL };
        char *text = NULL;

        memset(big, 'x', EXPAND_MAX / 2 + 1);
        big[EXPAND_MAX / 2 + 1] = '\0';
        CHECK_INT(expand("$(A)$(A)", lookup, (void *)bomb, &text), -E2BIG);
        free(big);
}
