#include "base/text.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "base/cleanup.h"

bool streq_null(const char *a, const char *b)
{
        return a && b ? streq(a, b) : a == b;
}

const char *startswith(const char *s, const char *prefix)
{
        size_t n = strlen(prefix);

        return strncmp(s, prefix, n) == 0 ? s + n : NULL;
}

bool endswith(const char *s, const char *suffix)
{
        size_t n = strlen(s), m = strlen(suffix);

        return n >= m && streq(s + n - m, suffix);
}

char *strdup_null(const char *s)
{
        return s ? strdup(s) : NULL;
}

int free_and_strdup(char **p, const char *s)
{
        char *copy = strdup_null(s);

        if (s && !copy)
                return -ENOMEM;
        free(*p);
        *p = copy;
        return 0;
}

char *text_printf(const char *fmt, ...)
{
        char *s = NULL;
        va_list ap;
        int n;

        va_start(ap, fmt);
        n = vasprintf(&s, fmt, ap);
        va_end(ap);
        return n < 0 ? NULL : s;
}

int text_to_u64(const char *s, uint64_t *ret)
{
        uint64_t v = 0;

        if (!*s)
                return -EINVAL;
        for (; *s; s++) {
                if (*s < '0' || *s > '9')
                        return -EINVAL;
                if (__builtin_mul_overflow(v, 10, &v) ||
                    __builtin_add_overflow(v, (uint64_t)(*s - '0'), &v))
                        return -ERANGE;
        }
        *ret = v;
        return 0;
}

static int to_limited(const char *s, uint64_t max, uint64_t *ret)
{
        int r = text_to_u64(s, ret);

        if (r < 0)
                return r;
        return *ret > max ? -ERANGE : 0;
}

int text_to_u32(const char *s, uint32_t *ret)
{
        uint64_t v;
        int r = to_limited(s, UINT32_MAX, &v);

        if (r == 0)
                *ret = (uint32_t)v;
        return r;
}

int text_to_u16(const char *s, uint16_t *ret)
{
        uint64_t v;
        int r = to_limited(s, UINT16_MAX, &v);

        if (r == 0)
                *ret = (uint16_t)v;
        return r;
}

int text_to_i64(const char *s, int64_t *ret)
{
        bool negative = *s == '-';
        uint64_t v;
        int r = to_limited(s + negative, (uint64_t)INT64_MAX + negative, &v);

        if (r == 0)
                *ret = negative ? (int64_t)-v : (int64_t)v;
        return r;
}

int text_to_octal(const char *s, uint32_t *ret)
{
        uint32_t v = 0;

        if (!*s)
                return -EINVAL;
        for (; *s; s++) {
                if (*s < '0' || *s > '7')
                        return -EINVAL;
                if (v >> 29)
                        return -ERANGE;
                v = v * 8 + (uint32_t)(*s - '0');
        }
        *ret = v;
        return 0;
}

void text_format_fraction(uint64_t v, unsigned decimals, char *buf, size_t size)
{
        uint64_t unit = 1;

        for (unsigned i = 0; i < decimals; i++)
                unit *= 10;
        if (v % unit == 0) {
                snprintf(buf, size, "%llu", (unsigned long long)(v / unit));
                return;
        }
        while (unit > 10 && v % 10 == 0) {
                v /= 10;
                unit /= 10;
                decimals--;
        }
        snprintf(buf, size, "%llu.%0*llu", (unsigned long long)(v / unit), (int)decimals,
                 (unsigned long long)(v % unit));
}

void strbuf_done(struct strbuf *b)
{
        free(b->data);
        *b = (struct strbuf){ 0 };
}

/* Room for @n more bytes and the NUL. */
static bool reserve(struct strbuf *b, size_t n)
{
        size_t want, cap = b->cap ? b->cap : 64;
        char *data;

        if (b->failed || __builtin_add_overflow(b->len, n, &want) || want >= SIZE_MAX / 2) {
                b->failed = true;
                return false;
        }
        if (want < b->cap)
                return true;
        while (cap <= want)
                cap *= 2;
        data = realloc(b->data, cap);
        if (!data) {
                b->failed = true;
                return false;
        }
        b->data = data;
        b->cap = cap;
        return true;
}

void strbuf_add_n(struct strbuf *b, const void *s, size_t n)
{
        if (!reserve(b, n))
                return;
        if (n)
                memcpy(b->data + b->len, s, n);
        b->len += n;
        b->data[b->len] = '\0';
}

void strbuf_add(struct strbuf *b, const char *s)
{
        strbuf_add_n(b, s, strlen(s));
}

void strbuf_addf(struct strbuf *b, const char *fmt, ...)
{
        va_list ap;
        int n;

        va_start(ap, fmt);
        n = vsnprintf(NULL, 0, fmt, ap);
        va_end(ap);
        if (n < 0 || !reserve(b, (size_t)n)) {
                b->failed = true;
                return;
        }
        va_start(ap, fmt);
        vsnprintf(b->data + b->len, (size_t)n + 1, fmt, ap);
        va_end(ap);
        b->len += (size_t)n;
}

void strbuf_consume(struct strbuf *b, size_t n)
{
        b->len -= n;
        if (b->len > 0)
                memmove(b->data, b->data + n, b->len);
}

char *strbuf_take(struct strbuf *b)
{
        char *s;

        strbuf_add(b, "");
        if (b->failed) {
                strbuf_done(b);
                return NULL;
        }
        s = TAKE_PTR(b->data);
        *b = (struct strbuf){ 0 };
        return s;
}

char **strv_free(char **v)
{
        STRV_FOREACH (s, v)
                free(*s);
        free(v);
        return NULL;
}

size_t strv_len(char *const *v)
{
        size_t n = 0;

        STRV_FOREACH (s, v)
                n++;
        return n;
}

int strv_consume(char ***v, char *s)
{
        size_t n = strv_len(*v);
        char **grown;

        if (!s)
                return -ENOMEM;
        grown = realloc(*v, (n + 2) * sizeof *grown);
        if (!grown) {
                free(s);
                return -ENOMEM;
        }
        grown[n] = s;
        grown[n + 1] = NULL;
        *v = grown;
        return 0;
}

int strv_append(char ***v, const char *s)
{
        return strv_consume(v, strdup(s));
}

char **strv_copy(char *const *v)
{
        size_t n = strv_len(v);
        char **copy = calloc(n + 1, sizeof *copy);

        if (!v || !copy) {
                free(copy);
                return NULL;
        }
        for (size_t i = 0; i < n; i++) {
                copy[i] = strdup(v[i]);
                if (!copy[i])
                        return strv_free(copy);
        }
        return copy;
}

bool strv_contains(char *const *v, const char *s)
{
        STRV_FOREACH (e, v)
                if (streq(*e, s))
                        return true;
        return false;
}

char *strv_join(char *const *v, const char *separator)
{
        struct strbuf b = { 0 };

        STRV_FOREACH (s, v) {
                if (s != v)
                        strbuf_add(&b, separator);
                strbuf_add(&b, *s);
        }
        return strbuf_take(&b);
}

int strv_split(const char *s, const char *separators, char ***ret)
{
        _cleanup_strv_ char **v = NULL;

        for (;;) {
                size_t n;
                int r;

                s += strspn(s, separators);
                n = strcspn(s, separators);
                if (n == 0)
                        break;
                r = strv_consume(&v, strndup(s, n));
                if (r < 0)
                        return r;
                s += n;
        }
        *ret = TAKE_PTR(v);
        return 0;
}

void hex_encode(const void *bytes, size_t n, char *out)
{
        static const char digits[] = "0123456789abcdef";
        const uint8_t *b = bytes;

        for (size_t i = 0; i < n; i++) {
                out[2 * i] = digits[b[i] >> 4];
                out[2 * i + 1] = digits[b[i] & 15];
        }
        out[2 * n] = '\0';
}

bool is_hex_lower(const char *s, size_t n)
{
        return strspn(s, "0123456789abcdef") == n && s[n] == '\0';
}

static bool is_label_n(const char *s, size_t n)
{
        if (n == 0 || s[0] == '-' || s[n - 1] == '-')
                return false;
        for (size_t i = 0; i < n; i++)
                if (!((s[i] >= 'a' && s[i] <= 'z') || (s[i] >= '0' && s[i] <= '9') || s[i] == '-'))
                        return false;
        return true;
}

bool is_dns_label(const char *s)
{
        size_t n = strlen(s);

        return n <= 63 && is_label_n(s, n);
}

bool is_dns_subdomain(const char *s)
{
        if (strlen(s) > 253)
                return false;
        for (;;) {
                size_t n = strcspn(s, ".");

                if (!is_label_n(s, n))
                        return false;
                if (!s[n])
                        return true;
                s += n + 1;
        }
}

uint64_t fnv1a(const void *data, size_t n, uint64_t seed)
{
        const uint8_t *b = data;

        for (size_t i = 0; i < n; i++)
                seed = (seed ^ b[i]) * UINT64_C(0x100000001b3);
        return seed;
}

static const char base64_digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

int base64_decode(const char *s, size_t n, uint8_t **ret, size_t *ret_len)
{
        _cleanup_free_ uint8_t *out = malloc(n / 4 * 3 + 4);
        uint32_t acc = 0;
        size_t len = 0;
        int have = 0, pad = 0;

        if (!out)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                const char *p;

                if (s[i] == '\n' || s[i] == '\r')
                        continue;
                if (s[i] == '=') {
                        pad++;
                        continue;
                }
                p = s[i] ? strchr(base64_digits, s[i]) : NULL;
                if (!p || pad)
                        return -EINVAL;
                acc = acc << 6 | (uint32_t)(p - base64_digits);
                if (++have == 4) {
                        out[len++] = (uint8_t)(acc >> 16);
                        out[len++] = (uint8_t)(acc >> 8);
                        out[len++] = (uint8_t)acc;
                        acc = 0;
                        have = 0;
                }
        }
        if ((have == 0 && pad != 0) || have == 1 || (have > 1 && have + pad != 4))
                return -EINVAL;
        if (have >= 2)
                out[len++] = (uint8_t)(acc >> (have == 2 ? 4 : 10));
        if (have == 3)
                out[len++] = (uint8_t)(acc >> 2);
        out[len] = 0;
        *ret = TAKE_PTR(out);
        *ret_len = len;
        return 0;
}

char *base64_encode(const void *data, size_t n)
{
        const uint8_t *b = data;
        char *out = malloc((n + 2) / 3 * 4 + 1), *p = out;

        if (!out)
                return NULL;
        for (size_t i = 0; i < n; i += 3) {
                size_t left = n - i;
                uint32_t v = (uint32_t)b[i] << 16 | (left > 1 ? (uint32_t)b[i + 1] << 8 : 0) |
                             (left > 2 ? b[i + 2] : 0);

                *p++ = base64_digits[v >> 18];
                *p++ = base64_digits[v >> 12 & 63];
                *p++ = left > 1 ? base64_digits[v >> 6 & 63] : '=';
                *p++ = left > 2 ? base64_digits[v & 63] : '=';
        }
        *p = '\0';
        return out;
}
