#include "runtime/address-pool.h"

#include <errno.h>

#include "tests/check.h"

static void check_next(struct address_pool *p, size_t range, const char *want)
{
        char text[IP_TEXT_MAX];
        struct ip ip;

        CHECK(address_pool_take(p, range, "pod", &ip) == 0);
        CHECK_STR(ip_format(&ip, text), want);
}

static void release(struct address_pool *p, const char *text)
{
        struct ip ip;

        CHECK(ip_parse(text, &ip) == 0);
        address_pool_release(p, &ip);
}

TEST(addresses_are_handed_out_in_a_circle)
{
        struct address_pool p;
        struct ip ip;

        CHECK(address_pool_init(&p) == 0);
        CHECK(address_pool_set_ranges(&p, "10.1.0.0/29", NULL) == 0);
        check_next(&p, 0, "10.1.0.2");
        check_next(&p, 0, "10.1.0.3");
        release(&p, "10.1.0.2");
        check_next(&p, 0, "10.1.0.4"); /* not the one that was just returned */
        check_next(&p, 0, "10.1.0.5");
        check_next(&p, 0, "10.1.0.6");
        check_next(&p, 0, "10.1.0.2");
        CHECK_INT(address_pool_take(&p, 0, "pod", &ip), -ENOSPC);
        release(&p, "10.1.0.4");
        check_next(&p, 0, "10.1.0.4");
        address_pool_done(&p);
}

TEST(no_address_is_ever_handed_out_twice)
{
        struct address_pool p;
        unsigned seed = 1;
        struct ip held[200];
        size_t n = 0;

        CHECK(address_pool_init(&p) == 0);
        CHECK(address_pool_set_ranges(&p, "10.1.2.0/25", NULL) == 0);
        for (int round = 0; round < 20000; round++) {
                struct ip ip;

                seed = seed * 1103515245 + 12345;
                if (n && seed >> 16 & 1) {
                        size_t i = (seed >> 17) % n;

                        address_pool_release(&p, &held[i]);
                        held[i] = held[--n];
                        continue;
                }
                if (address_pool_take(&p, 0, "x", &ip) == -ENOSPC) {
                        CHECK_INT(n, 125);
                        continue;
                }
                for (size_t i = 0; i < n; i++)
                        CHECK(!ip_equal(&held[i], &ip));
                CHECK(cidr_contains(&p.ranges[0], &ip));
                held[n++] = ip;
        }
        address_pool_done(&p);
}

TEST(both_families_have_their_range)
{
        struct address_pool p;

        CHECK(address_pool_init(&p) == 0);
        CHECK(address_pool_set_ranges(&p, "10.1.0.0/24,fd00:1::/64", NULL) == 0);
        CHECK_INT(p.n_ranges, 2);
        check_next(&p, 0, "10.1.0.2");
        check_next(&p, 1, "fd00:1::2");
        check_next(&p, 1, "fd00:1::3");
        address_pool_done(&p);
}

TEST(a_range_ends_with_its_last_usable_address)
{
        struct address_pool p;
        struct ip ip;

        CHECK(address_pool_init(&p) == 0);
        CHECK(address_pool_set_ranges(&p, "255.255.255.252/30", NULL) == 0);
        check_next(&p, 0, "255.255.255.253");
        check_next(&p, 0, "255.255.255.254");
        CHECK_INT(address_pool_take(&p, 0, "pod", &ip), -ENOSPC);
        CHECK(address_pool_set_ranges(&p, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffc/126", NULL) ==
              0);
        check_next(&p, 0, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffd");
        address_pool_done(&p);
}

TEST(what_was_found_on_disk_is_not_given_away)
{
        struct address_pool p;
        struct ip ip;

        CHECK(address_pool_init(&p) == 0);
        CHECK(ip_parse("10.1.0.2", &ip) == 0);
        CHECK(address_pool_mark(&p, &ip, "a") == 0);
        CHECK(address_pool_mark(&p, &ip, "a") == 0);
        CHECK_INT(address_pool_mark(&p, &ip, "b"), -EEXIST);
        CHECK_STR(address_pool_owner(&p, &ip), "a");
        CHECK(address_pool_set_ranges(&p, "10.1.0.0/24", NULL) == 0);
        check_next(&p, 0, "10.1.0.3");
        address_pool_done(&p);
}

TEST(ranges_that_cannot_be_are_refused)
{
        static const struct {
                const char *text, *said;
        } cases[] = {
                { "10.1.0.0", "podCIDR '10.1.0.0': expected a range" },
                { "10.1.0.0/31", "expected room for a pod: at least a /30" },
                { "fd00::/128", "at least a /126" },
                { "10.0.0.0/24,10.1.0.0/24", "expected one per family" },
                { "10.0.0.0/24,fd00::/64,10.2.0.0/24", "expected at most two" },
                { "moon", "podCIDR 'moon'" },
        };
        struct address_pool p;

        CHECK(address_pool_init(&p) == 0);
        CHECK(address_pool_set_ranges(&p, "10.9.0.0/24", NULL) == 0);
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
                _cleanup_err_ struct err err = { 0 };

                CHECK_INT(address_pool_set_ranges(&p, cases[i].text, &err), -EINVAL);
                CHECK_CONTAINS(err.message, cases[i].said);
        }
        check_next(&p, 0, "10.9.0.2"); /* the old range is still in force */
        address_pool_done(&p);
}
