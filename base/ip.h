/*
 * IP addresses and ranges of both families as plain values. Pure; nothing is looked up anywhere.
 */
#pragma once
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ip {
        uint8_t family;    /* AF_INET, AF_INET6; 0: none */
        uint8_t bytes[16]; /* network byte order; the rest is zero for IPv4 */
};
struct cidr {
        struct ip ip; /* bits behind the prefix are zero */
        uint8_t prefix;
};
struct ip_range { /* both ends belong to it */
        struct ip first, last;
};
enum { IP_TEXT_MAX = INET6_ADDRSTRLEN, CIDR_TEXT_MAX = INET6_ADDRSTRLEN + 4 };

static inline size_t ip_len(const struct ip *ip)
{
        return ip->family == AF_INET6 ? 16 : 4;
}
/* Strict: as inet_pton(3), no zone. -EINVAL. */
int ip_parse(const char *text, struct ip *ret);
/* As the API's older objects have it: leading zeros in IPv4 parts are dropped ("010.0.0.1"), and
 * "::ffff:10.0.0.1" is the IPv4 address it stands for. */
int ip_parse_sloppy(const char *text, struct ip *ret);
const char *ip_format(const struct ip *ip, char buf[static IP_TEXT_MAX]);
/* By family, then bytes. */
int ip_compare(const struct ip *a, const struct ip *b);
bool ip_equal(const struct ip *a, const struct ip *b);
/* Unspecified, loopback, link-local, multicast, IPv4 in IPv6: nothing that a Service may lead to.
 */
bool ip_is_special(const struct ip *ip);
bool ip_is_loopback(const struct ip *ip);
bool ip_is_unspecified(const struct ip *ip);

/* "10.0.0.0/8"; bits behind the prefix are cleared. -EINVAL. */
int cidr_parse(const char *text, struct cidr *ret);
const char *cidr_format(const struct cidr *c, char buf[static CIDR_TEXT_MAX]);
bool cidr_contains(const struct cidr *c, const struct ip *ip);
struct ip_range cidr_range(const struct cidr *c);
/* Sorts, and joins what overlaps or touches. Returns how many are left. */
size_t ip_ranges_merge(struct ip_range *ranges, size_t n);
/* The address behind @ip; false when it was the last of its family. */
bool ip_next(const struct ip *ip, struct ip *ret);
