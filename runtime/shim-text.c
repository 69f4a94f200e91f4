#include "runtime/shim-text.h"

#include <string.h>

void line_add_n(struct line *l, const char *s, size_t n)
{
        size_t room = l->size - l->len;

        if (l->size == 0)
                return;
        if (n > room - 1)
                n = room - 1;
        memcpy(l->data + l->len, s, n);
        l->len += n;
        l->data[l->len] = '\0';
}

void line_add(struct line *l, const char *s)
{
        line_add_n(l, s, strlen(s));
}

void line_add_padded(struct line *l, uint64_t v, unsigned width)
{
        char digits[20];
        unsigned n = sizeof digits;

        do {
                digits[--n] = (char)('0' + v % 10);
                v /= 10;
        } while (v > 0);
        while (n > 0 && sizeof digits - n < width)
                digits[--n] = '0';
        line_add_n(l, digits + n, sizeof digits - n);
}

void line_add_u64(struct line *l, uint64_t v)
{
        line_add_padded(l, v, 1);
}

void line_add_i64(struct line *l, int64_t v)
{
        if (v < 0)
                line_add(l, "-");
        line_add_u64(l, v < 0 ? -(uint64_t)v : (uint64_t)v);
}

void line_add_quoted(struct line *l, const char *s)
{
        line_add(l, "'");
        for (; *s; s++) {
                unsigned char c = (unsigned char)*s;

                line_add_n(l, c < ' ' || c == 127 ? "?" : s, 1);
        }
        line_add(l, "'");
}

void line_add_json(struct line *l, const char *s)
{
        static const char hex[] = "0123456789abcdef";

        line_add(l, "\"");
        for (; *s; s++) {
                unsigned char c = (unsigned char)*s;
                char escape[] = { '\\', 'u', '0', '0', hex[c >> 4], hex[c & 15] };

                if (c < ' ')
                        line_add_n(l, escape, sizeof escape);
                else if (c == '"' || c == '\\')
                        line_add_n(l, (char[]){ '\\', (char)c }, 2);
                else
                        line_add_n(l, s, 1);
        }
        line_add(l, "\"");
}

void line_add_error(struct line *l, int r)
{
        const char *text = strerrordesc_np(-r);

        line_add(l, ": ");
        if (text) {
                line_add(l, text);
        } else {
                line_add(l, "error ");
                line_add_i64(l, -(int64_t)r);
        }
}

struct date {
        uint64_t year;
        unsigned month, day, hour, minute, second;
};

/* Days since 1970 to a date, by eras of 400 years that begin in March. */
static struct date date_of(uint64_t seconds)
{
        uint64_t days = seconds / 86400 + 719468, era = days / 146097;
        unsigned rest = (unsigned)(seconds % 86400);
        unsigned of_era = (unsigned)(days % 146097);
        unsigned year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
        unsigned of_year = of_era - (365 * year + year / 4 - year / 100);
        unsigned month = (5 * of_year + 2) / 153;

        return (struct date){
                .year = year + era * 400 + (month >= 10),
                .month = month < 10 ? month + 3 : month - 9,
                .day = of_year - (153 * month + 2) / 5 + 1,
                .hour = rest / 3600,
                .minute = rest / 60 % 60,
                .second = rest % 60,
        };
}

void log_time_format(uint64_t seconds, uint32_t nanoseconds, char buf[static LOG_TIME_SIZE])
{
        struct line l = { .data = buf, .size = LOG_TIME_SIZE };
        struct date d = date_of(seconds);

        line_add_padded(&l, d.year, 4);
        line_add(&l, "-");
        line_add_padded(&l, d.month, 2);
        line_add(&l, "-");
        line_add_padded(&l, d.day, 2);
        line_add(&l, "T");
        line_add_padded(&l, d.hour, 2);
        line_add(&l, ":");
        line_add_padded(&l, d.minute, 2);
        line_add(&l, ":");
        line_add_padded(&l, d.second, 2);
        line_add(&l, ".");
        line_add_padded(&l, nanoseconds, 9);
        line_add(&l, "Z");
}

void rotated_time_format(uint64_t seconds, char buf[static ROTATED_TIME_SIZE])
{
        struct line l = { .data = buf, .size = ROTATED_TIME_SIZE };
        struct date d = date_of(seconds);

        line_add_padded(&l, d.year, 4);
        line_add_padded(&l, d.month, 2);
        line_add_padded(&l, d.day, 2);
        line_add(&l, "-");
        line_add_padded(&l, d.hour, 2);
        line_add_padded(&l, d.minute, 2);
        line_add_padded(&l, d.second, 2);
}

bool text_is_number(const char *s, size_t n, uint64_t *ret)
{
        uint64_t v = 0;

        if (n == 0)
                return false;
        for (size_t i = 0; i < n; i++) {
                if (s[i] < '0' || s[i] > '9' || __builtin_mul_overflow(v, 10, &v) ||
                    __builtin_add_overflow(v, (uint64_t)(s[i] - '0'), &v))
                        return false;
        }
        *ret = v;
        return true;
}
