#include "kubelet/decode.h"

#include <errno.h>
#include <string.h>

#include "base/quantity.h"
#include "base/text.h"

static int bad(struct err *err, const char *value, const char *rule)
{
        return err_set_kind(err, -EINVAL, ERR_BAD_INPUT, "'%s': expected %s", value, rule);
}

int decode_text(const json_t *value, void *member, const void *arg, struct err *err)
{
        char **s = member;
        int r = decode_string(value, s, arg, err);

        if (r == 0 && **s == '\0') {
                free(*s);
                *s = NULL;
        }
        return r;
}

static bool is_unset(const json_t *value)
{
        return json_is_string(value) && json_string_length(value) == 0;
}

int decode_named(const json_t *value, void *member, const void *arg, struct err *err)
{
        return is_unset(value) ? 0 : decode_enum(value, member, arg, err);
}

int decode_named_bool(const json_t *value, void *member, const void *arg, struct err *err)
{
        int choice = *(bool *)member;
        int r = decode_named(value, &choice, arg, err);

        if (r == 0)
                *(bool *)member = choice == 1;
        return r;
}

int decode_port_or_zero(const json_t *value, void *member, _unused_ const void *arg,
                        struct err *err)
{
        static const struct json_range ports = { 0, UINT16_MAX };
        int32_t port;
        int r = decode_i32(value, &port, &ports, err);

        if (r == 0)
                *(uint16_t *)member = (uint16_t)port;
        return r;
}

int decode_dns_label(const json_t *value, void *member, const void *arg, struct err *err)
{
        char **s = member;
        int r = decode_string(value, s, arg, err);

        if (r == 0 && !is_dns_label(*s))
                return bad(err, *s,
                           "a DNS label (at most 63 of a-z, 0-9 and '-', no '-' at either end)");
        return r;
}

int decode_dns_subdomain(const json_t *value, void *member, const void *arg, struct err *err)
{
        char **s = member;
        int r = decode_string(value, s, arg, err);

        if (r == 0 && !is_dns_subdomain(*s))
                return bad(err, *s,
                           "a DNS subdomain (at most 253 of a-z, 0-9, '-' and '.', each label "
                           "starting and ending with a letter or digit)");
        return r;
}

int decode_relative_path(const json_t *value, void *member, const void *arg, struct err *err)
{
        char **s = member;
        int r = decode_string(value, s, arg, err);
        _cleanup_strv_ char **parts = NULL;

        if (r < 0)
                return r;
        if (**s == '\0' || **s == '/')
                return bad(err, *s, "a relative path");
        r = strv_split(*s, "/", &parts);
        if (r < 0)
                return err_sys(err, r, "read path");
        if (strv_contains(parts, ".."))
                return bad(err, *s, "a path without '..'");
        return 0;
}

int decode_names(const json_t *value, void *member, const void *arg, struct err *err)
{
        _cleanup_strv_ char **names = NULL;
        const char *key = arg;
        const json_t *e;
        size_t i;

        if (!json_is_array(value))
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT, "expected an array of objects");
        json_array_foreach ((json_t *)value, i, e) {
                const json_t *name = json_object_get(e, key);
                char *s = NULL;
                int r;

                if (!name || is_unset(name))
                        continue;
                r = decode_string(name, &s, NULL, err);
                if (r < 0)
                        return err_wrap(err, r, "[%zu]: %s", i, key);
                r = strv_consume(&names, s);
                if (r < 0)
                        return err_sys(err, r, "read array");
        }
        strv_free(*(char ***)member);
        *(char ***)member = TAKE_PTR(names);
        return 0;
}

/*
 * A quantity is text in JSON; YAML writers also leave the quotes away. The nearest double to 0.1 is
 * more than that, and a quantity is rounded up: the text has to be the one that was written. Owned;
 * NULL on -ENOMEM.
 */
static char *quantity_text(const json_t *value)
{
        char real[JSON_REAL_TEXT_MAX];

        if (json_is_string(value))
                return strdup(json_string_value(value));
        if (json_is_real(value))
                return strdup(json_real_format(json_real_value(value), real));
        return json_dumps(value, JSON_ENCODE_ANY);
}

static int check_quantity(const char *text, bool in_milli, struct err *err)
{
        int64_t v;
        int r = in_milli ? quantity_parse_milli(text, &v) : quantity_parse(text, &v);

        if (r < 0)
                return err_set_kind(err, r, ERR_BAD_INPUT,
                                    "'%s': expected a quantity such as 500m, 2 or 64Mi", text);
        if (v < 0)
                return err_set_kind(err, -ERANGE, ERR_BAD_INPUT,
                                    "'%s': expected a quantity that is not negative", text);
        return 0;
}

int decode_quantity_text(const json_t *value, void *member, _unused_ const void *arg,
                         struct err *err)
{
        _cleanup_free_ char *text = NULL;
        int r;

        if (!json_is_string(value) && !json_is_number(value))
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT, "expected a quantity");
        text = quantity_text(value);
        if (!text)
                return err_sys(err, -ENOMEM, "read quantity");
        r = check_quantity(text, false, err);
        if (r < 0)
                return r;
        free(*(char **)member);
        *(char **)member = TAKE_PTR(text);
        return 0;
}

int decode_quantities(const json_t *value, void *member, const void *arg, struct err *err)
{
        json_auto_t *texts = json_object();
        const char *name;
        json_t *q;
        int r;

        if (!json_is_object(value))
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                    "expected an object of quantities");
        if (!texts)
                return err_sys(err, -ENOMEM, "read quantities");
        json_object_foreach ((json_t *)value, name, q) {
                _cleanup_free_ char *text = NULL;

                if (json_is_null(q))
                        continue;
                r = decode_quantity_text(q, &text, NULL, err);
                if (r == 0)
                        r = check_quantity(text, streq(name, "cpu"), err);
                if (r < 0)
                        return err_wrap(err, r, "%s", name);
                if (json_object_set_new(texts, name, json_string(text)) < 0)
                        return err_sys(err, -ENOMEM, "read quantities");
        }
        return decode_string_map(texts, member, arg, err);
}

int decode_variant(const json_t *value, void *member, const void *arg, struct err *err)
{
        const struct json_variant *v = arg;
        int *kind = (int *)((char *)member + v->kind_offset);

        if (*kind != 0)
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT, "expected only one %s", v->what);
        *kind = v->kind;
        return json_decode(value, v->fields, member, err);
}
