#include "base/usec.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/text.h"

static usec_t now(clockid_t clock)
{
        struct timespec ts;

        clock_gettime(clock, &ts);
        return (usec_t)ts.tv_sec * USEC_PER_SEC + (usec_t)ts.tv_nsec / NSEC_PER_USEC;
}

usec_t now_monotonic(void)
{
        return now(CLOCK_MONOTONIC);
}

usec_t now_realtime(void)
{
        return now(CLOCK_REALTIME);
}

static size_t format_seconds(usec_t t, char buf[static TIME_TEXT_MAX])
{
        time_t sec = (time_t)(t / USEC_PER_SEC);
        struct tm tm;

        gmtime_r(&sec, &tm);
        return strftime(buf, TIME_TEXT_MAX, "%Y-%m-%dT%H:%M:%S", &tm);
}

const char *time_format(usec_t t, char buf[static TIME_TEXT_MAX])
{
        size_t n = format_seconds(t, buf);

        snprintf(buf + n, TIME_TEXT_MAX - n, "Z");
        return buf;
}

const char *time_format_micro(usec_t t, char buf[static TIME_TEXT_MAX])
{
        size_t n = format_seconds(t, buf);

        snprintf(buf + n, TIME_TEXT_MAX - n, ".%06" PRIu64 "Z", t % USEC_PER_SEC);
        return buf;
}

/* Reads exactly @n digits. */
static bool take_digits(const char **p, int n, int *ret)
{
        int v = 0;

        for (int i = 0; i < n; i++) {
                if ((*p)[i] < '0' || (*p)[i] > '9')
                        return false;
                v = v * 10 + ((*p)[i] - '0');
        }
        *p += n;
        *ret = v;
        return true;
}

static bool take_char(const char **p, char c)
{
        if (**p != c)
                return false;
        (*p)++;
        return true;
}

static bool take_fraction(const char **p, usec_t *ret)
{
        usec_t unit = USEC_PER_SEC / 10, v = 0;
        int n = 0;

        for (; **p >= '0' && **p <= '9'; (*p)++, n++, unit /= 10)
                v += unit * (usec_t)(**p - '0');
        *ret = v;
        return n > 0 && n <= 9;
}

static bool take_offset(const char **p, int *ret_sec)
{
        int h, m, sign = **p == '-' ? -1 : 1;

        if (take_char(p, 'Z') || take_char(p, 'z')) {
                *ret_sec = 0;
                return true;
        }
        if (**p != '+' && **p != '-')
                return false;
        (*p)++;
        if (!take_digits(p, 2, &h) || !take_char(p, ':') || !take_digits(p, 2, &m) || h > 23 ||
            m > 59)
                return false;
        *ret_sec = sign * (h * 3600 + m * 60);
        return true;
}

int time_parse(const char *text, usec_t *ret)
{
        struct tm tm = { 0 };
        const char *p = text;
        usec_t fraction = 0;
        int offset;
        time_t t;

        if (!take_digits(&p, 4, &tm.tm_year) || !take_char(&p, '-') ||
            !take_digits(&p, 2, &tm.tm_mon) || !take_char(&p, '-') ||
            !take_digits(&p, 2, &tm.tm_mday) || (!take_char(&p, 'T') && !take_char(&p, 't')) ||
            !take_digits(&p, 2, &tm.tm_hour) || !take_char(&p, ':') ||
            !take_digits(&p, 2, &tm.tm_min) || !take_char(&p, ':') ||
            !take_digits(&p, 2, &tm.tm_sec))
                return -EINVAL;
        if (tm.tm_mon < 1 || tm.tm_mon > 12 || tm.tm_mday < 1 || tm.tm_mday > 31 ||
            tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 60)
                return -EINVAL;
        if (take_char(&p, '.') && !take_fraction(&p, &fraction))
                return -EINVAL;
        if (!take_offset(&p, &offset) || *p)
                return -EINVAL;
        tm.tm_year -= 1900;
        tm.tm_mon -= 1;
        t = timegm(&tm) - offset;
        if (t < 0)
                return -ERANGE;
        *ret = (usec_t)t * USEC_PER_SEC + fraction;
        return 0;
}

static bool take_unit(const char **p, double *ret_usec)
{
        static const struct {
                const char *name;
                double usec;
        } units[] = {
                { "ns", 1e-3 }, { "us", 1 },  { "µs", 1 },  { "μs", 1 },
                { "ms", 1e3 },  { "s", 1e6 }, { "m", 6e7 }, { "h", 3.6e9 },
        };

        for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
                size_t n = strlen(units[i].name);
                const char *end = *p + n;

                /* "m" must not swallow the start of "ms" */
                if (strncmp(*p, units[i].name, n) == 0 &&
                    (!*end || *end == '.' || (*end >= '0' && *end <= '9'))) {
                        *p = end;
                        *ret_usec = units[i].usec;
                        return true;
                }
        }
        return false;
}

int duration_parse(const char *text, usec_t *ret)
{
        const char *p = text;
        double total = 0;

        if (*p == '-')
                return -ERANGE;
        if (*p == '+')
                p++;
        if (strcmp(p, "0") == 0) {
                *ret = 0;
                return 0;
        }
        if (!*p)
                return -EINVAL;
        while (*p) {
                double value = 0, unit, scale = 1;
                int digits = 0;

                for (; *p >= '0' && *p <= '9'; p++, digits++)
                        value = value * 10 + (*p - '0');
                if (*p == '.')
                        for (p++; *p >= '0' && *p <= '9'; p++, digits++)
                                value += (scale /= 10) * (*p - '0');
                if (digits == 0 || digits > 18 || !take_unit(&p, &unit))
                        return -EINVAL;
                total += value * unit;
                if (total > 9.2e15) /* Go's limit: 2^63 ns, some 292 years */
                        return -ERANGE;
        }
        *ret = (usec_t)(total + 0.5);
        return 0;
}

const char *duration_format(usec_t d, char buf[static TIME_TEXT_MAX])
{
        usec_t h = d / (3600 * USEC_PER_SEC), m = d / USEC_PER_MINUTE % 60;
        char sec[16];
        size_t n = 0;

        if (d == 0)
                return memcpy(buf, "0s", sizeof "0s");
        if (d < USEC_PER_MSEC) {
                snprintf(buf, TIME_TEXT_MAX, "%" PRIu64 "µs", d);
                return buf;
        }
        if (d < USEC_PER_SEC) {
                text_format_fraction(d, 3, sec, sizeof sec);
                snprintf(buf, TIME_TEXT_MAX, "%sms", sec);
                return buf;
        }
        if (h)
                n += (size_t)snprintf(buf + n, TIME_TEXT_MAX - n, "%" PRIu64 "h", h);
        if (h || m)
                n += (size_t)snprintf(buf + n, TIME_TEXT_MAX - n, "%" PRIu64 "m", m);
        text_format_fraction(d % USEC_PER_MINUTE, 6, sec, sizeof sec);
        snprintf(buf + n, TIME_TEXT_MAX - n, "%ss", sec);
        return buf;
}

usec_t backoff_next(struct backoff *b)
{
        if (b->current_usec == 0)
                b->current_usec = b->initial_usec;
        else if (b->current_usec > b->max_usec / 2)
                b->current_usec = b->max_usec;
        else
                b->current_usec *= 2;
        if (b->current_usec > b->max_usec)
                b->current_usec = b->max_usec;
        return b->current_usec;
}

usec_t usec_jitter(usec_t d, unsigned percent, uint32_t random)
{
        usec_t width = d / 100 * percent;

        return d + (usec_t)((double)width * ((double)random / 4294967296.0));
}

uint32_t random_u32(void)
{
        uint32_t v = 0;

        if (getrandom(&v, sizeof v, 0) != sizeof v)
                v = (uint32_t)now_monotonic();
        return v;
}
