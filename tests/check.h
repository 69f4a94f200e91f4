/*
 * A page of macros over cmocka: TEST() registers itself, CHECK() stops the test that it fails in,
 * and main() (in check.c) runs them all and prints the closing count.
 *
 *      TEST(readiness_falls_on_the_third_failure_in_a_row)
 *      {
 *              CHECK(probe_fold(&s, &limits, PROBE_FAILURE) == PROBE_UNCHANGED);
 *      }
 */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

void check_register(const char *name, void (*fn)(void **state));
/* Ends the test program as skipped (exit 77), saying in one line what is missing. */
__attribute__((noreturn, format(printf, 1, 2))) void check_skip_all(const char *fmt, ...);

#define TEST(name)                                                     \
        static void name(void **state);                                \
        __attribute__((constructor)) static void register_##name(void) \
        {                                                              \
                check_register(#name, name);                           \
        }                                                              \
        static void name(__attribute__((unused)) void **state)

/* Skips the test that it stands in, saying in one line what this machine lacks. */
#define SKIP(...)                                       \
        do {                                            \
                print_message("skipped: " __VA_ARGS__); \
                print_message("\n");                    \
                skip();                                 \
        } while (0)

#define CHECK(condition) assert_true(condition)
#define CHECK_STR(a, b)  assert_string_equal((a), (b))
#define CHECK_INT(a, b)  assert_int_equal((a), (b))
#define CHECK_CONTAINS(a, b)                                                            \
        do {                                                                            \
                const char *_a = (a), *_b = (b);                                        \
                if (!_a || !strstr(_a, _b))                                             \
                        fail_msg("'%s' does not contain '%s'", _a ? _a : "(null)", _b); \
        } while (0)
