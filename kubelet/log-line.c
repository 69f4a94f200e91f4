#include "kubelet/log-line.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

enum {
        DATE_LEN = 19, /* "2006-01-02T15:04:05" */
        NANO_DIGITS = 9,
};

/* The next blank-terminated word of @line, which is cut behind it. */
static int take_word(const char **line, size_t *n, const char **ret, size_t *ret_len)
{
        const char *blank = memchr(*line, ' ', *n);

        if (!blank || blank == *line)
                return -EINVAL;
        *ret = *line;
        *ret_len = (size_t)(blank - *line);
        *line = blank + 1;
        *n -= *ret_len + 1;
        return 0;
}

/* "2006-01-02T15:04:05", a fraction of up to nine digits, "Z" or an offset. */
static bool is_time(const char *s, size_t n)
{
        static const char mask[] = "0000-00-00T00:00:00";
        size_t digits = 0;

        if (n <= DATE_LEN || n > LOG_TIME_MAX)
                return false;
        for (size_t i = 0; i < DATE_LEN; i++)
                if (mask[i] == '0' ? s[i] < '0' || s[i] > '9' : s[i] != mask[i])
                        return false;
        s += DATE_LEN;
        n -= DATE_LEN;
        if (*s == '.') {
                for (digits = 1; digits < n && s[digits] >= '0' && s[digits] <= '9'; digits++)
                        ;
                if (digits == 1 || digits > NANO_DIGITS + 1)
                        return false;
        }
        s += digits;
        n -= digits;
        if (n == 1)
                return *s == 'Z';
        return n == 6 && (s[0] == '+' || s[0] == '-') && s[3] == ':';
}

static int parse_stream(const char *word, size_t n, enum log_stream *ret)
{
        if (n != 6)
                return -EINVAL;
        if (memcmp(word, "stdout", 6) == 0)
                *ret = LOG_STDOUT;
        else if (memcmp(word, "stderr", 6) == 0)
                *ret = LOG_STDERR;
        else
                return -EINVAL;
        return 0;
}

int log_line_parse(const char *line, size_t n, struct log_record *ret)
{
        struct log_record record;
        const char *word;
        size_t len;

        if (take_word(&line, &n, &record.time, &record.time_len) < 0 ||
            !is_time(record.time, record.time_len))
                return -EINVAL;
        if (take_word(&line, &n, &word, &len) < 0 || parse_stream(word, len, &record.stream) < 0)
                return -EINVAL;
        /* Tags are separated by ':'; only the first has a meaning so far. */
        if (take_word(&line, &n, &word, &len) < 0)
                return -EINVAL;
        record.is_partial = word[0] == 'P' && (len == 1 || word[1] == ':');
        if (record.is_partial && n > 0 && line[n - 1] == '\n')
                n--;
        record.content = line;
        record.content_len = n;
        *ret = record;
        return 0;
}

int log_record_usec(const struct log_record *record, usec_t *ret)
{
        char text[LOG_TIME_MAX + 1];

        memcpy(text, record->time, record->time_len);
        text[record->time_len] = '\0';
        return time_parse(text, ret);
}

/* Always nine digits, as the kubelet writes them, whatever the record has. */
static void add_timestamp(const struct log_record *r, struct strbuf *out)
{
        static const char zeros[] = "000000000";
        const char *fraction = r->time + DATE_LEN;
        size_t rest = r->time_len - DATE_LEN, digits = 0;

        if (*fraction == '.')
                digits = strspn(fraction + 1, "0123456789");
        strbuf_add_n(out, r->time, DATE_LEN);
        strbuf_add(out, ".");
        strbuf_add_n(out, fraction + (digits > 0), digits);
        strbuf_add_n(out, zeros, NANO_DIGITS - digits);
        fraction += digits > 0 ? digits + 1 : 0;
        rest -= digits > 0 ? digits + 1 : 0;
        if (rest == 6 && memcmp(fraction + 1, "00:00", 5) == 0)
                strbuf_add(out, "Z");
        else
                strbuf_add_n(out, fraction, rest);
        strbuf_add(out, " ");
}

enum log_filter_result log_filter_add(struct log_filter *f, const struct log_record *r,
                                      struct strbuf *out)
{
        size_t before = out->len;
        usec_t at;

        if (!(f->streams & r->stream))
                return LOG_FILTER_GO_ON;
        if (f->since_usec > 0 && (log_record_usec(r, &at) < 0 || at < f->since_usec))
                return LOG_FILTER_GO_ON;
        if (f->timestamps && !f->in_line)
                add_timestamp(r, out);
        strbuf_add_n(out, r->content, r->content_len);
        f->in_line = r->content_len > 0 && r->content[r->content_len - 1] != '\n';
        if (f->left == UINT64_MAX || out->failed)
                return LOG_FILTER_GO_ON;
        if (out->len - before >= f->left) {
                out->len = before + (size_t)f->left;
                f->left = 0;
                return LOG_FILTER_FULL;
        }
        f->left -= out->len - before;
        return LOG_FILTER_GO_ON;
}

bool log_tail_search(const char *block, size_t n, uint64_t *left, size_t *ret_offset)
{
        const char *newline;

        /* One newline more than lines: the first one found may end the last line. */
        while ((newline = memrchr(block, '\n', n))) {
                n = (size_t)(newline - block);
                if (*left == 0) {
                        *ret_offset = n + 1;
                        return true;
                }
                (*left)--;
        }
        return false;
}

/* Any value but "0" and "false" means yes, also none, as for the API server. */
static bool parse_bool(const char *value)
{
        return value && !streq(value, "0") && strcasecmp(value, "false") != 0;
}

/* *ret stays as it is when @value is NULL. */
static int parse_count(const char *name, const char *value, int64_t min, uint64_t *ret,
                       struct err *err)
{
        int64_t v;

        if (!value)
                return 0;
        if (text_to_i64(value, &v) < 0) {
                err_set_kind(err, -EINVAL, ERR_BAD_INPUT, "%s '%s': expected a number", name,
                             value);
                return 400;
        }
        if (v < min) {
                err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                             "%s '%s': expected a number that is not less than %d", name, value,
                             (int)min);
                return 422;
        }
        *ret = (uint64_t)v;
        return 0;
}

static int parse_since(const char *seconds, const char *time, usec_t now, usec_t *ret,
                       struct err *err)
{
        uint64_t s = 0;
        usec_t ago;
        int r;

        *ret = 0;
        if (time && *time) {
                r = time_parse(time, ret);
                if (r < 0 && r != -ERANGE) { /* before 1970: everything */
                        err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                     "sinceTime '%s': expected an RFC 3339 time", time);
                        return 400;
                }
        }
        r = parse_count("sinceSeconds", seconds, 1, &s, err);
        if (r != 0)
                return r;
        if (seconds && time) {
                err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                             "sinceTime and sinceSeconds: expected at most one of them");
                return 422;
        }
        if (seconds)
                *ret = __builtin_mul_overflow(s, USEC_PER_SEC, &ago) || ago >= now ? 0 : now - ago;
        return 0;
}

static int parse_streams(const char *value, bool has_tail, enum log_stream *ret, struct err *err)
{
        *ret = LOG_ALL;
        if (!value || streq(value, "All"))
                return 0;
        if (streq(value, "Stdout")) {
                *ret = LOG_STDOUT;
        } else if (streq(value, "Stderr")) {
                *ret = LOG_STDERR;
        } else {
                err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                             "stream '%s': expected All, Stdout or Stderr", value);
                return 400;
        }
        if (!has_tail)
                return 0;
        err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                     "tailLines and stream '%s': expected at most one of them", value);
        return 422;
}

int log_options_parse(const char *(*get)(const void *userdata, const char *key),
                      const void *userdata, usec_t now, struct log_options *ret, struct err *err)
{
        struct log_options o = { .tail = UINT64_MAX, .limit_bytes = UINT64_MAX };
        const char *tail = get(userdata, "tailLines"), *old_tail = get(userdata, "tail");
        int r;

        if (old_tail && *old_tail) /* the older name wins; "all" is no limit */
                tail = streq(old_tail, "all") ? NULL : old_tail;
        o.follow = parse_bool(get(userdata, "follow"));
        o.previous = parse_bool(get(userdata, "previous"));
        o.timestamps = parse_bool(get(userdata, "timestamps"));
        r = parse_count("tailLines", tail, 0, &o.tail, err);
        if (r == 0)
                r = parse_count("limitBytes", get(userdata, "limitBytes"), 1, &o.limit_bytes, err);
        if (r == 0)
                r = parse_since(get(userdata, "sinceSeconds"), get(userdata, "sinceTime"), now,
                                &o.since_usec, err);
        if (r == 0)
                r = parse_streams(get(userdata, "stream"), tail != NULL, &o.streams, err);
        if (r == 0)
                *ret = o;
        return r;
}

/* The rotation's part of a name ("20060102-150405"), or NULL when it is no rotated file of @base.
 */
static const char *rotated_stem(const char *name, const char *base, size_t *ret_len)
{
        const char *stem = startswith(name, base);

        if (!stem || stem[0] != '.' || !stem[1] || endswith(stem, ".tmp"))
                return NULL;
        stem++;
        *ret_len = strlen(stem) - (endswith(stem, ".gz") ? 3 : 0);
        return *ret_len > 0 ? stem : NULL;
}

bool log_file_is_same(const char *a, const char *b, const char *base)
{
        size_t a_len, b_len;

        a = rotated_stem(a, base, &a_len);
        b = rotated_stem(b, base, &b_len);
        return a && b && a_len == b_len && memcmp(a, b, a_len) == 0;
}

int log_files_select(char *const *names, const char *base, char ***ret)
{
        _cleanup_strv_ char **v = NULL;
        const char *last = NULL;
        size_t len;
        int r;

        /* Sorted names: the rotation times ascend, and a file comes right before its ".gz". */
        STRV_FOREACH (name, names) {
                if (!rotated_stem(*name, base, &len) ||
                    (last && log_file_is_same(last, *name, base)))
                        continue;
                r = strv_append(&v, *name);
                if (r < 0)
                        return r;
                last = *name;
        }
        if (strv_contains(names, base)) {
                r = strv_append(&v, base);
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(v);
        return 0;
}
