#include "runtime/address-pool.h"

#include <errno.h>
#include <string.h>

#include "base/text.h"

int address_pool_init(struct address_pool *p)
{
        *p = (struct address_pool){ .taken = map_new() };
        return p->taken ? 0 : -ENOMEM;
}

void address_pool_done(struct address_pool *p)
{
        map_free_with(p->taken, free);
        *p = (struct address_pool){ 0 };
}

static int parse_range(const char *text, struct cidr *ret, struct err *err)
{
        uint8_t bits;

        if (cidr_parse(text, ret) < 0)
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                    "podCIDR '%s': expected a range such as 10.244.1.0/24", text);
        bits = ret->ip.family == AF_INET ? 32 : 128;
        if (bits - ret->prefix < 2)
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                    "podCIDR '%s': expected room for a pod: at least a /%d", text,
                                    bits - 2);
        return 0;
}

int address_pool_set_ranges(struct address_pool *p, const char *cidrs, struct err *err)
{
        _cleanup_strv_ char **texts = NULL;
        struct cidr ranges[2];
        size_t n = 0;

        if (strv_split(cidrs, ", ", &texts) < 0)
                return err_sys(err, -ENOMEM, "read podCIDRs");
        STRV_FOREACH (text, texts) {
                int r;

                if (n == ARRAY_SIZE(ranges))
                        return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                            "podCIDRs '%s': expected at most two", cidrs);
                r = parse_range(*text, &ranges[n], err);
                if (r < 0)
                        return r;
                if (n == 1 && ranges[0].ip.family == ranges[1].ip.family)
                        return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                            "podCIDRs '%s': expected one per family", cidrs);
                n++;
        }
        for (size_t i = 0; i < n; i++)
                if (!cidr_contains(&ranges[i], &p->last[i]))
                        p->last[i] = (struct ip){ 0 };
        memcpy(p->ranges, ranges, n * sizeof *ranges);
        p->n_ranges = n;
        return 0;
}

/* The addresses of a range that pods may have; the smallest ranges have none to spare for the node.
 */
static struct ip_range usable(const struct cidr *c)
{
        bool smallest = c->prefix == (c->ip.family == AF_INET ? 30 : 126);
        struct ip_range range = cidr_range(c);

        for (int i = 0; i < (smallest ? 1 : 2); i++)
                ip_next(&range.first, &range.first);
        if (c->ip.family == AF_INET) /* it ends in a one, so nothing is borrowed */
                range.last.bytes[3]--;
        return range;
}

int address_pool_take(struct address_pool *p, size_t index, const char *owner, struct ip *ret)
{
        struct ip_range range = usable(&p->ranges[index]);
        struct ip start, at;

        start = p->last[index];
        if (!start.family || !ip_next(&start, &start) || ip_compare(&start, &range.first) < 0 ||
            ip_compare(&start, &range.last) > 0)
                start = range.first;
        at = start;
        do {
                int r = address_pool_owner(p, &at) ? -EEXIST : address_pool_mark(p, &at, owner);

                if (r == 0) {
                        p->last[index] = *ret = at;
                        return 0;
                }
                if (r != -EEXIST)
                        return r;
                if (ip_equal(&at, &range.last) || !ip_next(&at, &at))
                        at = range.first;
        } while (!ip_equal(&at, &start));
        return -ENOSPC;
}

int address_pool_mark(struct address_pool *p, const struct ip *ip, const char *owner)
{
        _cleanup_free_ char *copy = strdup(owner);
        char text[IP_TEXT_MAX];
        const char *has = address_pool_owner(p, ip);
        void *old = NULL;
        int r;

        if (has && !streq(has, owner))
                return -EEXIST;
        if (!copy)
                return -ENOMEM;
        r = map_put(p->taken, ip_format(ip, text), copy, &old);
        if (r < 0)
                return r;
        free(old);
        TAKE_PTR(copy);
        return 0;
}

void address_pool_release(struct address_pool *p, const struct ip *ip)
{
        char text[IP_TEXT_MAX];

        free(map_remove(p->taken, ip_format(ip, text)));
}

const char *address_pool_owner(const struct address_pool *p, const struct ip *ip)
{
        char text[IP_TEXT_MAX];

        return map_get(p->taken, ip_format(ip, text));
}
