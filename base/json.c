#include "base/json.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "base/text.h"
#include "base/usec.h"

#define ARRAY_MAX_DEFAULT 4096

static const char *type_name(const json_t *v)
{
        static const char *const names[] = {
                [JSON_OBJECT] = "an object", [JSON_ARRAY] = "an array",  [JSON_STRING] = "a string",
                [JSON_INTEGER] = "a number", [JSON_REAL] = "a fraction", [JSON_TRUE] = "true",
                [JSON_FALSE] = "false",      [JSON_NULL] = "null",
        };

        return names[json_typeof(v)];
}

static int expected(const json_t *v, const char *what, struct err *err)
{
        return err_set_kind(err, -EINVAL, ERR_BAD_INPUT, "expected %s, not %s", what, type_name(v));
}

int json_decode(const json_t *object, const struct json_field *fields, void *target,
                struct err *err)
{
        if (!json_is_object(object))
                return expected(object, "an object", err);
        for (const struct json_field *f = fields; f->name; f++) {
                const json_t *value = json_object_get(object, f->name);
                int r;

                if (!value || json_is_null(value)) {
                        if (f->flags & JSON_REQUIRED)
                                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                                    "%s: required, but missing", f->name);
                        continue;
                }
                r = f->decode(value, (char *)target + f->offset, f->arg, err);
                if (r < 0)
                        return err_wrap(err, r, "%s", f->name);
        }
        return 0;
}

int decode_string(const json_t *value, void *member, _unused_ const void *arg, struct err *err)
{
        char **s = member;

        if (!json_is_string(value))
                return expected(value, "a string", err);
        if (strlen(json_string_value(value)) != json_string_length(value))
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                    "expected a string without NUL bytes");
        return free_and_strdup(s, json_string_value(value));
}

int decode_bool(const json_t *value, void *member, _unused_ const void *arg, struct err *err)
{
        if (!json_is_boolean(value))
                return expected(value, "true or false", err);
        *(bool *)member = json_is_true(value);
        return 0;
}

int decode_tristate(const json_t *value, void *member, _unused_ const void *arg, struct err *err)
{
        if (!json_is_boolean(value))
                return expected(value, "true or false", err);
        *(int *)member = json_is_true(value);
        return 0;
}

static int integer_in(const json_t *value, const struct json_range *range, int64_t min, int64_t max,
                      int64_t *ret, struct err *err)
{
        int64_t v;

        if (!json_is_integer(value))
                return expected(value, "a whole number", err);
        v = json_integer_value(value);
        if (range) {
                min = MAX(min, range->min);
                max = MIN(max, range->max);
        }
        if (v < min || v > max)
                return err_set_kind(err, -ERANGE, ERR_BAD_INPUT, "%lld: expected %lld to %lld",
                                    (long long)v, (long long)min, (long long)max);
        *ret = v;
        return 0;
}

int decode_i64(const json_t *value, void *member, const void *arg, struct err *err)
{
        return integer_in(value, arg, INT64_MIN, INT64_MAX, member, err);
}

int decode_i32(const json_t *value, void *member, const void *arg, struct err *err)
{
        int64_t v;
        int r = integer_in(value, arg, INT32_MIN, INT32_MAX, &v, err);

        if (r == 0)
                *(int32_t *)member = (int32_t)v;
        return r;
}

int decode_u32(const json_t *value, void *member, const void *arg, struct err *err)
{
        int64_t v;
        int r = integer_in(value, arg, 0, UINT32_MAX, &v, err);

        if (r == 0)
                *(uint32_t *)member = (uint32_t)v;
        return r;
}

int decode_port(const json_t *value, void *member, _unused_ const void *arg, struct err *err)
{
        int64_t v;
        int r = integer_in(value, NULL, 1, UINT16_MAX, &v, err);

        if (r == 0)
                *(uint16_t *)member = (uint16_t)v;
        return r;
}

int decode_time(const json_t *value, void *member, _unused_ const void *arg, struct err *err)
{
        const char *s = json_string_value(value);
        int r = s ? time_parse(s, member) : -EINVAL;

        if (r < 0)
                return err_set_kind(err, r, ERR_BAD_INPUT, "'%s': expected an RFC 3339 time",
                                    s ? s : "");
        return 0;
}

int decode_duration(const json_t *value, void *member, _unused_ const void *arg, struct err *err)
{
        const char *s = json_string_value(value);
        int r;

        if (json_is_integer(value) && json_integer_value(value) >= 0) {
                *(usec_t *)member = (usec_t)json_integer_value(value) / NSEC_PER_USEC;
                return 0;
        }
        r = s ? duration_parse(s, member) : -EINVAL;
        if (r < 0)
                return err_set_kind(err, r, ERR_BAD_INPUT,
                                    "'%s': expected a duration such as 1m30s", s ? s : "");
        return 0;
}

int decode_enum(const json_t *value, void *member, const void *arg, struct err *err)
{
        const char *const *names = arg;
        const char *s = json_string_value(value);
        _cleanup_free_ char *all = NULL;

        if (!s)
                return expected(value, "a string", err);
        for (int i = 0; names[i]; i++) {
                if (streq(names[i], s)) {
                        *(int *)member = i;
                        return 0;
                }
        }
        all = strv_join((char *const *)names, ", ");
        return err_set_kind(err, -EINVAL, ERR_BAD_INPUT, "'%s': expected one of %s", s,
                            all ? all : "?");
}

int decode_strv(const json_t *value, void *member, _unused_ const void *arg, struct err *err)
{
        _cleanup_strv_ char **v = NULL;
        const json_t *e;
        size_t i;

        if (!json_is_array(value))
                return expected(value, "an array of strings", err);
        v = calloc(json_array_size(value) + 1, sizeof *v);
        if (!v)
                return err_sys(err, -ENOMEM, "read array");
        json_array_foreach ((json_t *)value, i, e) {
                int r = decode_string(e, &v[i], NULL, err);

                if (r < 0)
                        return err_wrap(err, r, "[%zu]", i);
        }
        strv_free(*(char ***)member);
        *(char ***)member = TAKE_PTR(v);
        return 0;
}

static int compare_entries(const void *a, const void *b)
{
        return strcmp(((const struct string_map_entry *)a)->key,
                      ((const struct string_map_entry *)b)->key);
}

int decode_string_map(const json_t *value, void *member, _unused_ const void *arg, struct err *err)
{
        struct string_map *m = member;
        const char *key;
        json_t *v;

        if (!json_is_object(value))
                return expected(value, "an object of strings", err);
        string_map_done(m);
        m->entries = calloc(json_object_size(value) + 1, sizeof *m->entries);
        if (!m->entries)
                return err_sys(err, -ENOMEM, "read object");
        json_object_foreach ((json_t *)value, key, v) {
                struct string_map_entry *e = &m->entries[m->n];
                int r;

                if (json_is_null(v))
                        continue;
                r = decode_string(v, &e->value, NULL, err);
                if (r < 0)
                        return err_wrap(err, r, "%s", key);
                e->key = strdup(key);
                if (!e->key) {
                        free(e->value);
                        return err_sys(err, -ENOMEM, "read object");
                }
                m->n++;
        }
        qsort(m->entries, m->n, sizeof *m->entries, compare_entries);
        return 0;
}

int decode_object(const json_t *value, void *member, const void *arg, struct err *err)
{
        return json_decode(value, arg, member, err);
}

int decode_object_pointer(const json_t *value, void *member, const void *arg, struct err *err)
{
        const struct json_object_pointer *o = arg;
        void **p = member;

        if (!*p) {
                *p = calloc(1, o->size);
                if (!*p)
                        return err_sys(err, -ENOMEM, "read object");
                if (o->init)
                        o->init(*p);
        }
        return json_decode(value, o->fields, *p, err);
}

int decode_array(const json_t *value, void *member, const void *arg, struct err *err)
{
        const struct json_array *a = arg;
        size_t *count = (size_t *)((char *)member + a->count_offset);
        size_t n, max = a->max ? a->max : ARRAY_MAX_DEFAULT, i;
        const json_t *e;
        char *elements;

        if (!json_is_array(value))
                return expected(value, "an array", err);
        n = json_array_size(value);
        if (n > max)
                return err_set_kind(err, -E2BIG, ERR_BAD_INPUT,
                                    "%zu elements: expected at most %zu", n, max);
        elements = calloc(n ? n : 1, a->element_size);
        if (!elements)
                return err_sys(err, -ENOMEM, "read array");
        *(void **)member = elements;
        *count = 0;
        json_array_foreach ((json_t *)value, i, e) {
                void *element = elements + i * a->element_size;
                int r;

                if (a->init)
                        a->init(element);
                *count = i + 1; /* the destructor sees the half-read element too */
                r = a->fields ? json_decode(e, a->fields, element, err)
                              : a->decode(e, element, a->decode_arg, err);
                if (r < 0)
                        return err_wrap(err, r, "[%zu]", i);
        }
        return 0;
}

int decode_json(const json_t *value, void *member, _unused_ const void *arg,
                _unused_ struct err *err)
{
        json_t **p = member;

        json_decref(*p);
        *p = json_incref((json_t *)value);
        return 0;
}

void string_map_done(struct string_map *m)
{
        for (size_t i = 0; i < m->n; i++) {
                free(m->entries[i].key);
                free(m->entries[i].value);
        }
        free(m->entries);
        *m = (struct string_map){ 0 };
}

const char *string_map_get(const struct string_map *m, const char *key)
{
        struct string_map_entry wanted = { .key = (char *)key }, *e;

        if (m->n == 0)
                return NULL;
        e = bsearch(&wanted, m->entries, m->n, sizeof *m->entries, compare_entries);
        return e ? e->value : NULL;
}

json_t *string_map_to_json(const struct string_map *m)
{
        json_t *o = json_object();

        for (size_t i = 0; o && i < m->n; i++)
                if (json_object_set_new(o, m->entries[i].key, json_string(m->entries[i].value)) <
                    0) {
                        json_decref(o);
                        o = NULL;
                }
        return o;
}

int string_map_copy(struct string_map *dst, const struct string_map *src)
{
        struct string_map copy = { .entries = calloc(src->n + 1, sizeof *copy.entries) };

        if (!copy.entries)
                return -ENOMEM;
        for (; copy.n < src->n; copy.n++) {
                copy.entries[copy.n].key = strdup(src->entries[copy.n].key);
                copy.entries[copy.n].value = strdup(src->entries[copy.n].value);
                if (!copy.entries[copy.n].key || !copy.entries[copy.n].value) {
                        copy.n++;
                        string_map_done(&copy);
                        return -ENOMEM;
                }
        }
        string_map_done(dst);
        *dst = copy;
        return 0;
}

/* Brackets that are open at once; where the text is no JSON, at least as many as jansson opens. */
static bool is_deeper_than(const char *text, size_t n, size_t max)
{
        size_t depth = 0;
        bool in_string = false;

        for (size_t i = 0; i < n && depth <= max; i++) {
                char c = text[i];

                if (in_string && c == '\\')
                        i++;
                else if (c == '"')
                        in_string = !in_string;
                else if (!in_string && (c == '[' || c == '{'))
                        depth++;
                else if (!in_string && (c == ']' || c == '}') && depth > 0)
                        depth--;
        }
        return depth > max;
}

int json_parse(const char *text, size_t n, bool strict, json_t **ret, struct err *err)
{
        json_error_t e;
        json_t *root;

        if (is_deeper_than(text, n, JSON_DEPTH_MAX))
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT, "JSON is nested deeper than %d",
                                    JSON_DEPTH_MAX);
        root = json_loadb(text, n, JSON_ALLOW_NUL | (strict ? JSON_REJECT_DUPLICATES : 0), &e);
        if (!root)
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT, "JSON line %d column %d: %s",
                                    e.line, e.column, e.text);
        *ret = root;
        return 0;
}

const json_t *json_path(const json_t *root, ...)
{
        const char *key;
        va_list ap;

        va_start(ap, root);
        while (root && (key = va_arg(ap, const char *)))
                root = json_object_get(root, key);
        va_end(ap);
        return root;
}

const char *json_text_at(const json_t *object, const char *key)
{
        return json_string_value(json_object_get(object, key));
}

int json_set(json_t *object, const char *key, json_t *value)
{
        return json_object_set_new(object, key, value) < 0 ? -ENOMEM : 0;
}

int json_set_text(json_t *object, const char *key, const char *value)
{
        return value ? json_set(object, key, json_string(value)) : 0;
}

const char *json_real_format(double v, char buf[static JSON_REAL_TEXT_MAX])
{
        json_auto_t *real = json_real(v);

        for (unsigned precision = 15; real && precision <= 17; precision++) {
                size_t flags = JSON_ENCODE_ANY | JSON_REAL_PRECISION(precision);
                size_t n = json_dumpb(real, buf, JSON_REAL_TEXT_MAX - 1, flags);
                json_auto_t *back = json_loadb(buf, MIN(n, JSON_REAL_TEXT_MAX - 1), JSON_DECODE_ANY,
                                               NULL);

                buf[MIN(n, JSON_REAL_TEXT_MAX - 1)] = '\0';
                if (back && json_real_value(back) == v)
                        return buf;
        }
        if (!real)
                snprintf(buf, JSON_REAL_TEXT_MAX, "0");
        return buf;
}
