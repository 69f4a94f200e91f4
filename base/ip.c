#include "base/ip.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

int ip_parse(const char *text, struct ip *ret)
{
        struct ip ip = { .family = strchr(text, ':') ? AF_INET6 : AF_INET };

        if (inet_pton(ip.family, text, ip.bytes) != 1)
                return -EINVAL;
        *ret = ip;
        return 0;
}

static bool is_mapped(const struct ip *ip)
{
        static const uint8_t prefix[12] = { [10] = 0xff, [11] = 0xff };

        return ip->family == AF_INET6 && memcmp(ip->bytes, prefix, sizeof prefix) == 0;
}

/* Copies dotted decimal without the zeros that lead its parts. */
static int drop_leading_zeros(const char *text, char *buf, size_t size)
{
        size_t n = 0;

        for (const char *p = text; *p; p++) {
                bool leads = p == text || p[-1] == '.';

                if (leads)
                        while (p[0] == '0' && p[1] >= '0' && p[1] <= '9')
                                p++;
                if (n + 1 >= size)
                        return -EINVAL;
                buf[n++] = *p;
        }
        buf[n] = 0;
        return 0;
}

int ip_parse_sloppy(const char *text, struct ip *ret)
{
        char plain[IP_TEXT_MAX];
        struct ip ip;
        int r;

        if (!strchr(text, ':')) {
                r = drop_leading_zeros(text, plain, sizeof plain);
                return r < 0 ? r : ip_parse(plain, ret);
        }
        r = ip_parse(text, &ip);
        if (r < 0)
                return r;
        *ret = ip;
        if (is_mapped(&ip)) {
                *ret = (struct ip){ .family = AF_INET };
                memcpy(ret->bytes, ip.bytes + 12, 4);
        }
        return 0;
}

const char *ip_format(const struct ip *ip, char buf[static IP_TEXT_MAX])
{
        if (ip->family == 0 || !inet_ntop(ip->family, ip->bytes, buf, IP_TEXT_MAX))
                buf[0] = 0;
        return buf;
}

int ip_compare(const struct ip *a, const struct ip *b)
{
        if (a->family != b->family)
                return a->family < b->family ? -1 : 1;
        return memcmp(a->bytes, b->bytes, sizeof a->bytes);
}

bool ip_equal(const struct ip *a, const struct ip *b)
{
        return ip_compare(a, b) == 0;
}

bool ip_is_unspecified(const struct ip *ip)
{
        static const uint8_t zero[16];

        return memcmp(ip->bytes, zero, sizeof zero) == 0;
}

bool ip_is_loopback(const struct ip *ip)
{
        static const uint8_t one[16] = { [15] = 1 };

        if (ip->family == AF_INET)
                return ip->bytes[0] == 127;
        return memcmp(ip->bytes, one, sizeof one) == 0;
}

bool ip_is_special(const struct ip *ip)
{
        const uint8_t *b = ip->bytes;

        if (ip->family == 0 || ip_is_unspecified(ip) || ip_is_loopback(ip) || is_mapped(ip))
                return true;
        if (ip->family == AF_INET) /* 0/8, 169.254/16, 224/4 and what is beyond */
                return b[0] == 0 || (b[0] == 169 && b[1] == 254) || b[0] >= 224;
        return b[0] == 0xff || (b[0] == 0xfe && (b[1] & 0xc0) == 0x80);
}

static void mask(struct ip *ip, unsigned prefix)
{
        for (unsigned i = 0; i < 16; i++) {
                unsigned keep = prefix > 8 * i ? MIN(prefix - 8 * i, 8U) : 0;

                ip->bytes[i] &= (uint8_t)(0xff00 >> keep);
        }
}

int cidr_parse(const char *text, struct cidr *ret)
{
        const char *slash = strchr(text, '/');
        char address[IP_TEXT_MAX];
        struct cidr c;
        uint16_t prefix;

        if (!slash || (size_t)(slash - text) >= sizeof address)
                return -EINVAL;
        memcpy(address, text, (size_t)(slash - text));
        address[slash - text] = 0;
        if (ip_parse_sloppy(address, &c.ip) < 0 || text_to_u16(slash + 1, &prefix) < 0 ||
            prefix > 8 * ip_len(&c.ip))
                return -EINVAL;
        c.prefix = (uint8_t)prefix;
        mask(&c.ip, prefix);
        *ret = c;
        return 0;
}

const char *cidr_format(const struct cidr *c, char buf[static CIDR_TEXT_MAX])
{
        char address[IP_TEXT_MAX];

        snprintf(buf, CIDR_TEXT_MAX, "%s/%u", ip_format(&c->ip, address), c->prefix);
        return buf;
}

bool cidr_contains(const struct cidr *c, const struct ip *ip)
{
        struct ip head = *ip;

        mask(&head, c->prefix);
        return ip_equal(&head, &c->ip);
}

struct ip_range cidr_range(const struct cidr *c)
{
        struct ip_range range = { .first = c->ip, .last = c->ip };

        for (unsigned i = 0; i < ip_len(&c->ip); i++) {
                unsigned keep = c->prefix > 8 * i ? MIN(c->prefix - 8 * i, 8U) : 0;

                range.last.bytes[i] |= (uint8_t)(0xff >> keep);
        }
        return range;
}

bool ip_next(const struct ip *ip, struct ip *ret)
{
        struct ip next = *ip;

        for (size_t i = ip_len(ip); i-- > 0;) {
                if (++next.bytes[i] != 0) {
                        *ret = next;
                        return true;
                }
        }
        return false;
}

static int compare_ranges(const void *a, const void *b)
{
        return ip_compare(&((const struct ip_range *)a)->first,
                          &((const struct ip_range *)b)->first);
}

size_t ip_ranges_merge(struct ip_range *ranges, size_t n)
{
        size_t kept = 0;

        if (n == 0)
                return 0;
        qsort(ranges, n, sizeof *ranges, compare_ranges);
        for (size_t i = 1; i < n; i++) {
                struct ip_range *last = &ranges[kept];
                struct ip behind;
                bool same = ranges[i].first.family == last->last.family;

                if (same && (!ip_next(&last->last, &behind) ||
                             ip_compare(&ranges[i].first, &behind) <= 0)) {
                        if (ip_compare(&ranges[i].last, &last->last) > 0)
                                last->last = ranges[i].last;
                } else {
                        ranges[++kept] = ranges[i];
                }
        }
        return kept + 1;
}
