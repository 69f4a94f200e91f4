#include "tests/check.h"

#include <stdio.h>
#include <stdlib.h>

static struct CMUnitTest tests[512];
static size_t n_tests;

void check_register(const char *name, void (*fn)(void **state))
{
        if (n_tests == sizeof(tests) / sizeof(tests[0])) {
                fprintf(stderr, "check: more than %zu tests in one program\n", n_tests);
                exit(99);
        }
        tests[n_tests++] = (struct CMUnitTest){ .name = name, .test_func = fn };
}

void check_skip_all(const char *fmt, ...)
{
        va_list ap;

        printf("skipped: ");
        va_start(ap, fmt);
        vprintf(fmt, ap);
        va_end(ap);
        printf("\n");
        exit(77);
}

int main(void)
{
        cmocka_set_test_filter(getenv("TEST")); /* TEST='a_pod_*': those alone; NULL: all */
        return _cmocka_run_group_tests("tests", tests, n_tests, NULL, NULL) ? 1 : 0;
}
