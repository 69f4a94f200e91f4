#include "runtime/cgroup-usage.h"

#include "tests/check.h"

struct target {
        uint64_t a, b, c;
};
static const struct usage_key keys[] = {
        { "anon", offsetof(struct target, a) },
        { "Inactive(file)", offsetof(struct target, b) },
        { "pgfault", offsetof(struct target, c) },
};

TEST(numbers_are_found_by_the_whole_name)
{
        struct target t = { UINT64_MAX, UINT64_MAX, UINT64_MAX };

        usage_parse("anon_thp 7\nanon 12\nInactive(file):     34 kB\nxpgfault 9\n", keys, 3, 1, &t);
        CHECK(t.a == 12 && t.b == 34);
        CHECK(t.c == UINT64_MAX);
}

TEST(what_is_no_number_is_left_out)
{
        struct target t = { UINT64_MAX, UINT64_MAX, UINT64_MAX };

        usage_parse("anon max\nInactive(file):\npgfault 99999999999999999999999", keys, 3, 1, &t);
        CHECK(t.a == UINT64_MAX && t.b == UINT64_MAX && t.c == UINT64_MAX);
        usage_parse("", keys, 3, 1, &t);
        usage_parse("anon 18446744073709551615\n", keys, 3, 1024, &t); /* too many bytes */
        CHECK(t.a == UINT64_MAX);
}
