#include "base/yaml.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <yaml.h>

#include "base/fs.h"
#include "base/json.h"
#include "base/text.h"

#define FILE_MAX        (10 << 20)
#define KEY_MAX         256 /* longer keys are printed with "? ": a simple key ends at 1024 */
#define NUMBER_TEXT_MAX 400 /* a plain scalar this long is no number to anybody */

/* ---- typing of plain scalars: go-yaml v2's resolver, which sigs.k8s.io/yaml uses ---- */

static bool is_one_of(const char *s, const char *const *words)
{
        for (; *words; words++)
                if (streq(s, *words))
                        return true;
        return false;
}

static bool is_null_word(const char *s)
{
        static const char *const words[] = { "", "~", "null", "Null", "NULL", NULL };

        return is_one_of(s, words);
}

static bool is_bool_word(const char *s, bool *ret)
{
        static const char *const yes[] = { "y",    "Y",    "yes", "Yes", "YES", "true",
                                           "True", "TRUE", "on",  "On",  "ON",  NULL };
        static const char *const no[] = { "n",     "N",     "no",  "No",  "NO",  "false",
                                          "False", "FALSE", "off", "Off", "OFF", NULL };

        *ret = is_one_of(s, yes);
        return *ret || is_one_of(s, no);
}

static bool is_no_number_word(const char *s)
{
        static const char *const words[] = { ".inf",  ".Inf",  ".INF",  "+.inf", "+.Inf",
                                             "+.INF", "-.inf", "-.Inf", "-.INF", ".nan",
                                             ".NaN",  ".NAN",  NULL };

        return is_one_of(s, words);
}

static int digit_value(char c)
{
        if (c >= '0' && c <= '9')
                return c - '0';
        c |= 0x20;
        return c >= 'a' && c <= 'f' ? c - 'a' + 10 : 99;
}

/* Go's ParseInt with base 0: 0x, 0o, 0b, a leading 0 is octal ("defaultMode: 0644"). */
static bool parse_integer(const char *s, int64_t *ret)
{
        bool negative = *s == '-';
        uint64_t v = 0, limit = negative ? UINT64_C(1) << 63 : INT64_MAX;
        unsigned base = 10;

        s += *s == '-' || *s == '+';
        if (*s == '0' && s[1]) {
                char c = s[1] | 0x20;

                base = c == 'x' ? 16 : c == 'b' ? 2 : 8;
                s += c == 'x' || c == 'b' || c == 'o' ? 2 : 1;
        }
        if (!*s)
                return false;
        for (; *s; s++) {
                unsigned d = (unsigned)digit_value(*s);

                if (d >= base || v > (limit - d) / base)
                        return false;
                v = v * base + d;
        }
        *ret = negative ? (int64_t)(0 - v) : (int64_t)v;
        return true;
}

static const char *skip_digits(const char *s)
{
        while (*s >= '0' && *s <= '9')
                s++;
        return s;
}

/*
 * [-+]? (\.[0-9]+ | [0-9]+(\.[0-9]*)?) ([eE][-+]?[0-9]+)? is rewritten as JSON writes numbers and
 * read by jansson, which is free of the locale. What overflows a double stays a string, as in Go.
 */
static json_t *parse_real(const char *s)
{
        char text[NUMBER_TEXT_MAX + 8];
        const char *whole = s + (*s == '-' || *s == '+'), *point = skip_digits(whole), *end = point;
        int whole_len, fraction_len = 0;

        if (*point == '.') {
                end = skip_digits(point + 1);
                fraction_len = (int)(end - point - 1);
        }
        if (point == whole && fraction_len == 0)
                return NULL;
        if (*end) {
                const char *e = end + 1;

                if (*end != 'e' && *end != 'E')
                        return NULL;
                e += *e == '-' || *e == '+';
                if (!*e || *skip_digits(e))
                        return NULL;
        }
        while (whole + 1 < point && *whole == '0')
                whole++;
        whole_len = (int)(point - whole);
        snprintf(text, sizeof text, "%s%.*s.%.*s%s", *s == '-' ? "-" : "",
                 whole_len ? whole_len : 1, whole_len ? whole : "0",
                 fraction_len ? fraction_len : 1, fraction_len ? point + 1 : "0", end);
        return json_loads(text, JSON_DECODE_ANY, NULL);
}

/* A fraction that is a whole number is one in JSON too ("1.0", "1e3"): Go prints it so. */
static json_t *resolve_number(const char *s)
{
        char plain[NUMBER_TEXT_MAX];
        size_t n = 0;
        int64_t i;
        json_t *real;

        if (!strchr("+-.0123456789", *s) || strlen(s) >= sizeof plain)
                return NULL;
        for (const char *p = s; *p; p++)
                if (*p != '_')
                        plain[n++] = *p;
        plain[n] = '\0';
        if (*s != '.' && parse_integer(plain, &i))
                return json_integer(i);
        real = parse_real(*s == '.' ? s : plain);
        if (real) {
                double d = json_real_value(real);

                if (fabs(d) < 0x1p53 && d == trunc(d)) {
                        json_decref(real);
                        return json_integer((int64_t)d);
                }
        }
        return real;
}

/* New reference, or NULL with *err set. NaN and infinities have no place in JSON. */
static json_t *resolve_plain(const char *s, size_t n, struct err *err)
{
        json_t *v;
        bool b;

        if (strlen(s) == n) {
                if (is_null_word(s))
                        return json_null();
                if (is_bool_word(s, &b))
                        return json_boolean(b);
                if (is_no_number_word(s)) {
                        err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                     "'%s': infinities and NaN are not allowed", s);
                        return NULL;
                }
                v = resolve_number(s);
                if (v)
                        return v;
        }
        v = json_stringn(s, n);
        if (!v)
                err_sys(err, -ENOMEM, "read scalar");
        return v;
}

/* ---- parser ---- */

static int refuse(const yaml_mark_t *mark, struct err *err, const char *fmt, ...) _printf_(3, 4);

static int refuse(const yaml_mark_t *mark, struct err *err, const char *fmt, ...)
{
        char text[512];
        va_list ap;

        va_start(ap, fmt);
        vsnprintf(text, sizeof text, fmt, ap);
        va_end(ap);
        return err_set_kind(err, -EINVAL, ERR_BAD_INPUT, "YAML line %zu column %zu: %s",
                            mark->line + 1, mark->column + 1, text);
}

static int next_event(yaml_parser_t *p, yaml_event_t *event, struct err *err)
{
        const yaml_mark_t *mark = &p->mark;

        if (yaml_parser_parse(p, event))
                return 0;
        if (p->error == YAML_MEMORY_ERROR)
                return err_sys(err, -ENOMEM, "read YAML");
        if (p->error != YAML_READER_ERROR)
                mark = &p->problem_mark;
        return refuse(mark, err, "%s%s%s", p->context ? p->context : "", p->context ? ": " : "",
                      p->problem ? p->problem : "not YAML");
}

static bool tag_is(const yaml_char_t *tag, const char *name)
{
        const char *rest = tag ? startswith((const char *)tag, "tag:yaml.org,2002:") : NULL;

        return rest && streq(rest, name);
}

static bool typed_as_tagged(const json_t *v, const yaml_char_t *tag)
{
        return (tag_is(tag, "int") && json_is_integer(v)) ||
               (tag_is(tag, "float") && json_is_number(v)) ||
               (tag_is(tag, "bool") && json_is_boolean(v)) ||
               (tag_is(tag, "null") && json_is_null(v));
}

static int read_scalar(const yaml_event_t *event, json_t **ret, struct err *err)
{
        const char *s = (const char *)event->data.scalar.value;
        size_t n = event->data.scalar.length;
        const yaml_char_t *tag = event->data.scalar.tag;
        bool plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
        _cleanup_err_ struct err why = { 0 };
        json_auto_t *v = NULL;

        if (event->data.scalar.anchor)
                return refuse(&event->start_mark, err, "anchors are not allowed");
        if (tag_is(tag, "str") || (tag && streq((const char *)tag, "!")) || (!tag && !plain)) {
                v = json_stringn(s, n);
                if (!v)
                        return err_sys(err, -ENOMEM, "read scalar");
                *ret = TAKE_PTR(v);
                return 0;
        }
        v = resolve_plain(s, n, &why);
        if (!v)
                return refuse(&event->start_mark, err, "%s", err_text(&why));
        if (tag && !typed_as_tagged(v, tag))
                return refuse(&event->start_mark, err, "tag '%.100s' is not allowed for '%.100s'",
                              tag, s);
        *ret = TAKE_PTR(v);
        return 0;
}

/* Keys are strings in JSON: what a plain key was typed as is written out as JSON writes it. */
static int read_key(const yaml_event_t *event, char **ret, struct err *err)
{
        json_auto_t *v = NULL;
        int r;

        if (event->type != YAML_SCALAR_EVENT)
                return refuse(&event->start_mark, err, "a key must be a scalar");
        r = read_scalar(event, &v, err);
        if (r < 0)
                return r;
        if (json_is_null(v))
                return refuse(&event->start_mark, err, "a key must not be null");
        if (json_is_string(v) && strlen(json_string_value(v)) != json_string_length(v))
                return refuse(&event->start_mark, err, "a key must not hold a NUL byte");
        if (json_is_string(v) && streq(json_string_value(v), "<<") &&
            event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE)
                return refuse(&event->start_mark, err, "merge keys are not allowed");
        *ret = json_is_string(v) ? strdup(json_string_value(v)) : json_dumps(v, JSON_ENCODE_ANY);
        return *ret ? 0 : err_sys(err, -ENOMEM, "read key");
}

static int read_node(yaml_parser_t *p, const yaml_event_t *first, unsigned depth, json_t **ret,
                     struct err *err);

static int read_sequence(yaml_parser_t *p, unsigned depth, json_t *array, struct err *err)
{
        for (;;) {
                _cleanup_(yaml_event_delete)
                yaml_event_t event = { 0 };
                json_t *v;
                int r = next_event(p, &event, err);

                if (r < 0 || event.type == YAML_SEQUENCE_END_EVENT)
                        return r;
                r = read_node(p, &event, depth, &v, err);
                if (r < 0)
                        return r;
                if (json_array_append_new(array, v) < 0)
                        return err_sys(err, -ENOMEM, "read sequence");
        }
}

static int read_mapping(yaml_parser_t *p, unsigned depth, json_t *object, struct err *err)
{
        for (;;) {
                _cleanup_(yaml_event_delete)
                yaml_event_t key_event = { 0 }, event = { 0 };
                _cleanup_free_ char *key = NULL;
                json_t *v;
                int r = next_event(p, &key_event, err);

                if (r < 0 || key_event.type == YAML_MAPPING_END_EVENT)
                        return r;
                r = read_key(&key_event, &key, err);
                if (r < 0)
                        return r;
                if (json_object_get(object, key))
                        return refuse(&key_event.start_mark, err, "key '%.100s' is there twice",
                                      key);
                r = next_event(p, &event, err);
                if (r < 0)
                        return r;
                r = read_node(p, &event, depth, &v, err);
                if (r < 0)
                        return r;
                if (json_object_set_new(object, key, v) < 0)
                        return err_sys(err, -ENOMEM, "read mapping");
        }
}

static int read_node(yaml_parser_t *p, const yaml_event_t *first, unsigned depth, json_t **ret,
                     struct err *err)
{
        bool is_map = first->type == YAML_MAPPING_START_EVENT;
        const yaml_char_t *tag, *anchor;
        json_auto_t *v = NULL;
        int r;

        if (first->type == YAML_SCALAR_EVENT)
                return read_scalar(first, ret, err);
        if (first->type != YAML_SEQUENCE_START_EVENT && !is_map)
                return refuse(&first->start_mark, err, "aliases are not allowed");
        tag = is_map ? first->data.mapping_start.tag : first->data.sequence_start.tag;
        anchor = is_map ? first->data.mapping_start.anchor : first->data.sequence_start.anchor;
        if (anchor)
                return refuse(&first->start_mark, err, "anchors are not allowed");
        if (tag && !tag_is(tag, is_map ? "map" : "seq"))
                return refuse(&first->start_mark, err, "tag '%.100s' is not allowed here", tag);
        if (depth >= JSON_DEPTH_MAX)
                return refuse(&first->start_mark, err, "nested deeper than %d", JSON_DEPTH_MAX);
        v = is_map ? json_object() : json_array();
        if (!v)
                return err_sys(err, -ENOMEM, "read YAML");
        r = is_map ? read_mapping(p, depth + 1, v, err) : read_sequence(p, depth + 1, v, err);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(v);
        return 0;
}

/* The next one; JSON null for an empty one. @ret_end: there was none any more. */
static int read_document(yaml_parser_t *p, json_t **ret, bool *ret_end, struct err *err)
{
        *ret_end = false;
        for (;;) {
                _cleanup_(yaml_event_delete)
                yaml_event_t event = { 0 };
                int r = next_event(p, &event, err);

                if (r < 0)
                        return r;
                if (event.type == YAML_STREAM_END_EVENT) {
                        *ret_end = true;
                        *ret = json_null();
                        return 0;
                }
                if (event.type != YAML_STREAM_START_EVENT &&
                    event.type != YAML_DOCUMENT_START_EVENT &&
                    event.type != YAML_DOCUMENT_END_EVENT)
                        return read_node(p, &event, 0, ret, err);
        }
}

int yaml_parse(const char *text, size_t n, json_t **ret, struct err *err)
{
        _cleanup_(yaml_parser_delete)
        yaml_parser_t parser = { 0 };
        bool end;

        if (!yaml_parser_initialize(&parser))
                return err_sys(err, -ENOMEM, "read YAML");
        yaml_parser_set_input_string(&parser, (const unsigned char *)text, n);
        return read_document(&parser, ret, &end, err);
}

int yaml_parse_all(const char *text, size_t n, json_t **ret, struct err *err)
{
        _cleanup_(yaml_parser_delete)
        yaml_parser_t parser = { 0 };
        json_auto_t *list = json_array();
        bool end = false;

        if (!list || !yaml_parser_initialize(&parser))
                return err_sys(err, -ENOMEM, "read YAML");
        yaml_parser_set_input_string(&parser, (const unsigned char *)text, n);
        while (!end) {
                json_auto_t *document = NULL;
                int r = read_document(&parser, &document, &end, err);

                if (r < 0)
                        return r;
                if (!json_is_null(document) && json_array_append(list, document) < 0)
                        return err_sys(err, -ENOMEM, "read YAML");
        }
        *ret = TAKE_PTR(list);
        return 0;
}

int yaml_parse_file(const char *path, json_t **ret, struct err *err)
{
        _cleanup_free_ char *text = NULL;
        size_t n;
        int r = fs_read_at(AT_FDCWD, path, FILE_MAX, &text, &n);

        if (r < 0)
                return err_sys(err, r, "read '%s'", path);
        r = yaml_parse(text, n, ret, err);
        return r < 0 ? err_wrap(err, r, "'%s'", path) : 0;
}

/* ---- printer ---- */

static void add_indent(struct strbuf *b, unsigned n)
{
        strbuf_addf(b, "%*s", (int)n, "");
}

/* Decodes one UTF-8 character; jansson has checked that it is well formed. */
static const char *next_character(const char *s, const char *end, uint32_t *ret)
{
        unsigned char c = (unsigned char)*s++;
        unsigned more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : c >= 0xc0 ? 1 : 0;
        uint32_t v = more ? c & (0x3fu >> more) : c;

        for (; more > 0 && s < end; more--)
                v = v << 6 | ((unsigned char)*s++ & 0x3f);
        *ret = v;
        return s;
}

/* What YAML lets stand unescaped, line breaks of any kind and the byte order mark left out. */
static bool is_printable(uint32_t c)
{
        return (c >= 0x20 && c <= 0x7e) ||
               (c >= 0xa0 && c <= 0xd7ff && c != 0x2028 && c != 0x2029) ||
               (c >= 0xe000 && c <= 0xfffd && c != 0xfeff) || c >= 0x10000;
}

static void add_quoted(struct strbuf *b, const char *s, size_t n)
{
        const char *end = s + n, *next;

        strbuf_add(b, "\"");
        for (; s < end; s = next) {
                uint32_t c;

                next = next_character(s, end, &c);
                if (c == '"' || c == '\\')
                        strbuf_addf(b, "\\%c", (char)c);
                else if (c == '\n')
                        strbuf_add(b, "\\n");
                else if (c == '\t')
                        strbuf_add(b, "\\t");
                else if (is_printable(c))
                        strbuf_add_n(b, s, (size_t)(next - s));
                else
                        strbuf_addf(b, "\\u%04x", c);
        }
        strbuf_add(b, "\"");
}

static bool all_printable(const char *s, size_t n, bool with_newlines)
{
        for (const char *end = s + n; s < end;) {
                uint32_t c;

                s = next_character(s, end, &c);
                if (!is_printable(c) && !(with_newlines && (c == '\n' || c == '\t')))
                        return false;
        }
        return true;
}

/* Would @s, written without quotes in block context, be read back as this very string? */
static bool reads_back_plain(const char *s, size_t n)
{
        json_auto_t *v = NULL;

        if (n == 0 || !all_printable(s, n, false))
                return false;
        if (strchr(" !\"#%&'*,:>?@[]`{|}", *s) || (*s == '-' && (n == 1 || strchr(" -", s[1]))))
                return false;
        if (s[n - 1] == ' ' || s[n - 1] == ':' || strstr(s, ": ") || strstr(s, " #"))
                return false;
        if (startswith(s, "...") || streq(s, "<<") || streq(s, "="))
                return false;
        if (strchr("+-0123456789", *s) && strchr(s, ':'))
                return false; /* base 60 for readers of YAML 1.1 */
        v = resolve_plain(s, n, NULL);
        return json_is_string(v);
}

/* "|" keeps lines as they are; what would need an indentation indicator is quoted instead. */
static bool fits_literal(const char *s, size_t n)
{
        return memchr(s, '\n', n) && !strchr(" \t\n", *s) && all_printable(s, n, true);
}

static void add_literal(struct strbuf *b, const char *s, size_t n, unsigned indent)
{
        const char *end = s + n;

        strbuf_add(b, end[-1] != '\n' ? "|-" : end[-2] == '\n' ? "|+" : "|");
        while (s < end) {
                const char *eol = memchr(s, '\n', (size_t)(end - s));
                size_t len = (size_t)((eol ? eol : end) - s);

                strbuf_add(b, "\n");
                if (len)
                        add_indent(b, indent);
                strbuf_add_n(b, s, len);
                s += len + (eol ? 1 : 0);
        }
}

static void add_string(struct strbuf *b, const char *s, size_t n, unsigned indent)
{
        if (reads_back_plain(s, n))
                strbuf_add_n(b, s, n);
        else if (fits_literal(s, n))
                add_literal(b, s, n, indent);
        else
                add_quoted(b, s, n);
}

static void add_number_or_word(struct strbuf *b, const json_t *v)
{
        char buf[JSON_REAL_TEXT_MAX];

        if (json_is_real(v)) {
                strbuf_add(b, json_real_format(json_real_value(v), buf));
                return;
        }
        if (json_is_integer(v))
                strbuf_addf(b, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
        else
                strbuf_add(b, json_is_true(v) ? "true" : json_is_false(v) ? "false" : "null");
}

static bool is_block(const json_t *v)
{
        return (json_is_object(v) && json_object_size(v)) ||
               (json_is_array(v) && json_array_size(v));
}

static void add_block(struct strbuf *b, const json_t *v, unsigned indent);

/* What stands after "key:" or "-"; a block inside "-" begins on the same line. */
static void add_value(struct strbuf *b, const json_t *v, unsigned indent, bool in_array)
{
        if (is_block(v)) {
                if (in_array) {
                        strbuf_add(b, " ");
                } else {
                        strbuf_add(b, "\n");
                        indent -= json_is_array(v) ? 2 : 0; /* as kubectl prints lists */
                        add_indent(b, indent);
                }
                add_block(b, v, indent);
                return;
        }
        strbuf_add(b, " ");
        if (json_is_string(v))
                add_string(b, json_string_value(v), json_string_length(v), indent);
        else if (json_is_object(v) || json_is_array(v))
                strbuf_add(b, json_is_object(v) ? "{}" : "[]");
        else
                add_number_or_word(b, v);
        strbuf_add(b, "\n");
}

static void add_key(struct strbuf *b, const char *key, unsigned indent)
{
        size_t n = strlen(key);

        if (n > KEY_MAX)
                strbuf_add(b, "? ");
        if (n <= KEY_MAX && reads_back_plain(key, n))
                strbuf_add(b, key);
        else
                add_quoted(b, key, n);
        if (n > KEY_MAX) {
                strbuf_add(b, "\n");
                add_indent(b, indent);
        }
        strbuf_add(b, ":");
}

/* The caller has indented the first line. */
static void add_block(struct strbuf *b, const json_t *v, unsigned indent)
{
        bool first = true;
        const char *key;
        json_t *e;
        size_t i;

        if (json_is_array(v)) {
                json_array_foreach (v, i, e) {
                        if (i > 0)
                                add_indent(b, indent);
                        strbuf_add(b, "-");
                        add_value(b, e, indent + 2, true);
                }
                return;
        }
        json_object_foreach ((json_t *)v, key, e) {
                if (!first)
                        add_indent(b, indent);
                first = false;
                add_key(b, key, indent);
                add_value(b, e, indent + 2, false);
        }
}

char *yaml_print(const json_t *root)
{
        struct strbuf b = { 0 };

        if (is_block(root)) {
                add_block(&b, root, 0);
        } else {
                add_value(&b, root, 2, true);
                if (b.len)
                        memmove(b.data, b.data + 1, b.len); /* the blank that a "-" would want */
        }
        return strbuf_take(&b);
}
