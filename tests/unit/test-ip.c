#include "base/ip.h"

#include <errno.h>

#include "base/cleanup.h"
#include "tests/check.h"

static struct ip ip(const char *text)
{
        struct ip value;

        CHECK(ip_parse(text, &value) == 0);
        return value;
}

static struct cidr cidr(const char *text)
{
        struct cidr value;

        CHECK(cidr_parse(text, &value) == 0);
        return value;
}

TEST(addresses_are_parsed_strictly_and_come_back_canonical)
{
        static const char *const bad[] = { "",         "1.2.3",     "1.2.3.4.5", "256.0.0.1",
                                           "::1%eth0", "1.2.3.4/8", "010.0.0.1", "g::" };
        char buf[IP_TEXT_MAX];
        struct ip value;

        for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
                CHECK_INT(ip_parse(bad[i], &value), -EINVAL);
        value = ip("FD00:0:0::1");
        CHECK_STR(ip_format(&value, buf), "fd00::1");
        value = ip("10.0.0.1");
        CHECK_STR(ip_format(&value, buf), "10.0.0.1");
}

TEST(older_objects_may_have_leading_zeros_and_mapped_addresses)
{
        char buf[IP_TEXT_MAX];
        struct ip value;

        CHECK(ip_parse_sloppy("010.000.0.01", &value) == 0);
        CHECK_STR(ip_format(&value, buf), "10.0.0.1");
        CHECK(ip_parse_sloppy("::ffff:10.0.0.1", &value) == 0);
        CHECK_STR(ip_format(&value, buf), "10.0.0.1");
        CHECK_INT(ip_parse_sloppy("10.0.0.", &value), -EINVAL);
}

TEST(addresses_that_no_service_may_lead_to_are_told_apart)
{
        static const char *const special[] = {
                "127.0.0.1",      "0.0.0.0", "0.1.2.3", "169.254.169.254",  "::1",
                "fe80::1",        "::",      "ff02::1", "::ffff:127.0.0.1", "224.0.0.1",
                "255.255.255.255"
        };
        static const char *const fine[] = { "10.0.0.1", "169.253.0.1", "fd00::1", "2001:db8::1" };

        for (size_t i = 0; i < ARRAY_SIZE(special); i++) {
                struct ip value = ip(special[i]);

                CHECK(ip_is_special(&value));
        }
        for (size_t i = 0; i < ARRAY_SIZE(fine); i++) {
                struct ip value = ip(fine[i]);

                CHECK(!ip_is_special(&value));
        }
}

TEST(a_range_knows_its_ends_and_what_is_in_it)
{
        char buf[CIDR_TEXT_MAX], text[IP_TEXT_MAX];
        struct cidr c = cidr("10.1.2.3/12"), bad;
        struct ip_range range = cidr_range(&c);
        struct ip in = ip("10.15.255.255"), out = ip("10.16.0.0"), other = ip("fd00::");

        CHECK_STR(cidr_format(&c, buf), "10.0.0.0/12");
        CHECK_STR(ip_format(&range.last, text), "10.15.255.255");
        CHECK(cidr_contains(&c, &in) && !cidr_contains(&c, &out) && !cidr_contains(&c, &other));
        CHECK(cidr_parse("10.0.0.0/33", &bad) < 0 && cidr_parse("10.0.0.0", &bad) < 0 &&
              cidr_parse("10.0.0.0/", &bad) < 0 && cidr_parse("fd00::/129", &bad) < 0);
        c = cidr("fd00::1/127");
        range = cidr_range(&c);
        CHECK_STR(ip_format(&range.last, text), "fd00::1");
        c = cidr("0.0.0.0/0");
        CHECK(cidr_contains(&c, &in));
}

TEST(ranges_that_overlap_or_touch_become_one)
{
        struct cidr c[] = {
                cidr("10.244.1.0/24"), cidr("10.244.0.0/24"), cidr("10.0.0.0/24"),
                cidr("10.0.0.128/25"), cidr("fd00::/64"),     cidr("255.255.255.0/24")
        };
        struct ip_range ranges[ARRAY_SIZE(c)];
        char text[IP_TEXT_MAX];

        for (size_t i = 0; i < ARRAY_SIZE(c); i++)
                ranges[i] = cidr_range(&c[i]);
        CHECK_INT(ip_ranges_merge(ranges, ARRAY_SIZE(c)), 4);
        CHECK_STR(ip_format(&ranges[0].last, text), "10.0.0.255");
        CHECK_STR(ip_format(&ranges[1].first, text), "10.244.0.0");
        CHECK_STR(ip_format(&ranges[1].last, text), "10.244.1.255");
        CHECK_INT(ranges[3].first.family, AF_INET6);
        CHECK_INT(ip_ranges_merge(ranges, 0), 0);
}
