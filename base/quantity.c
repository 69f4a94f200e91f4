#include "base/quantity.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/text.h"

/*
 * A quantity is taken apart into digits * 10^exp10 * 2^exp2, sign aside. 20 digits are kept, which
 * with the largest binary suffix (2^60) still fits 128 bits; of those beyond it matters only that
 * there was something, as everything rounds up.
 */
struct parts {
        unsigned __int128 digits;
        int64_t exp10;
        unsigned exp2;
        bool negative, more; /* more: a digit beyond those kept was not 0 */
};

#define DIGITS_KEPT  20
#define EXPONENT_MAX 1000 /* beyond every range that has an answer other than 0, 1 or too large */

static const char *parse_digits(const char *s, struct parts *p)
{
        unsigned kept = 0;
        bool any = false, fraction = false;

        for (;; s++) {
                if (*s == '.' && !fraction) {
                        fraction = true;
                        continue;
                }
                if (*s < '0' || *s > '9')
                        return any ? s : NULL;
                any = true;
                if (kept < DIGITS_KEPT) {
                        p->digits = p->digits * 10 + (unsigned)(*s - '0');
                        kept += p->digits != 0;
                        p->exp10 -= fraction;
                } else {
                        p->more |= *s != '0';
                        p->exp10 += !fraction;
                }
        }
}

static int parse_exponent(const char *s, struct parts *p)
{
        int64_t e;
        int r = text_to_i64(*s == '+' ? s + 1 : s, &e);

        if (r == -ERANGE)
                e = *s == '-' ? -EXPONENT_MAX : EXPONENT_MAX;
        else if (r < 0 || (s[0] == '+' && s[1] == '-'))
                return -EINVAL;
        p->exp10 += MIN(MAX(e, -EXPONENT_MAX), EXPONENT_MAX);
        return 0;
}

static int parse_suffix(const char *s, struct parts *p)
{
        static const struct {
                char text[3];
                int8_t exp10, exp2;
        } suffixes[] = {
                { "", 0, 0 },    { "n", -9, 0 },  { "u", -6, 0 },  { "m", -3, 0 },
                { "k", 3, 0 },   { "M", 6, 0 },   { "G", 9, 0 },   { "T", 12, 0 },
                { "P", 15, 0 },  { "E", 18, 0 },  { "Ki", 0, 10 }, { "Mi", 0, 20 },
                { "Gi", 0, 30 }, { "Ti", 0, 40 }, { "Pi", 0, 50 }, { "Ei", 0, 60 },
        };

        for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
                if (streq(suffixes[i].text, s)) {
                        p->exp10 += suffixes[i].exp10;
                        p->exp2 = (unsigned)suffixes[i].exp2;
                        return 0;
                }
        }
        if (*s == 'e' || *s == 'E')
                return parse_exponent(s + 1, p);
        return -EINVAL;
}

/* The whole number at or above the parts; -ERANGE when it does not fit. */
static int round_up(const struct parts *p, int64_t *ret)
{
        unsigned __int128 v = p->digits << p->exp2;
        bool rest = p->more;
        int64_t e;

        if (p->digits == 0) {
                *ret = 0;
                return 0;
        }
        for (e = p->exp10; e < 0 && v > 0; e++) {
                rest |= v % 10 != 0;
                v /= 10;
        }
        for (; e > 0 && v <= INT64_MAX; e--)
                v *= 10;
        v += rest && !p->negative; /* up is towards zero for what is negative */
        if (v > INT64_MAX)
                return -ERANGE;
        *ret = p->negative ? -(int64_t)v : (int64_t)v;
        return 0;
}

static int parse(const char *text, int64_t scale, int64_t *ret)
{
        struct parts p = { .exp10 = scale, .negative = *text == '-' };
        const char *s = parse_digits(text + (*text == '-' || *text == '+'), &p);
        int r;

        if (!s)
                return -EINVAL;
        r = parse_suffix(s, &p);
        return r < 0 ? r : round_up(&p, ret);
}

int quantity_parse(const char *text, int64_t *ret_value)
{
        return parse(text, 0, ret_value);
}

int quantity_parse_milli(const char *text, int64_t *ret_milli)
{
        return parse(text, 3, ret_milli);
}

static const char *format(int64_t v, int64_t step, const char *const *suffixes, size_t n,
                          char buf[static QUANTITY_TEXT_MAX])
{
        size_t i = 0;

        while (v != 0 && v % step == 0 && i + 1 < n) {
                v /= step;
                i++;
        }
        snprintf(buf, QUANTITY_TEXT_MAX, "%" PRId64 "%s", v, suffixes[i]);
        return buf;
}

const char *quantity_format_milli(int64_t milli, char buf[static QUANTITY_TEXT_MAX])
{
        static const char *const suffixes[] = { "m", "", "k", "M", "G", "T", "P" };

        if (milli == 0)
                return format(0, 1000, suffixes + 1, 1, buf);
        return format(milli, 1000, suffixes, ARRAY_SIZE(suffixes), buf);
}

const char *quantity_format_like(int64_t value, const char *example,
                                 char buf[static QUANTITY_TEXT_MAX])
{
        static const char *const suffixes[] = { "", "k", "M", "G", "T", "P", "E" };

        return endswith(example, "i") ? quantity_format_bytes(value, buf)
                                      : format(value, 1000, suffixes, ARRAY_SIZE(suffixes), buf);
}

const char *quantity_format_bytes(int64_t bytes, char buf[static QUANTITY_TEXT_MAX])
{
        static const char *const suffixes[] = { "", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei" };

        return format(bytes, 1024, suffixes, ARRAY_SIZE(suffixes), buf);
}
