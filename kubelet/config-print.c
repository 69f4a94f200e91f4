#include "kubelet/config-print.h"

#include <errno.h>
#include <string.h>

#include "base/text.h"
#include "kubelet/config-fields.h"
#include "kubelet/decode.h"

/*
 * The tables that decode are read backwards: each decoder has a twin that prints its member. NULL
 * for nothing to print, *failed without memory.
 */
typedef json_t *(*print_fn)(const void *member, const void *arg, bool *failed);

static json_t *print_fields(const struct json_field *fields, const void *base, bool *failed);

static json_t *made(json_t *value, bool *failed)
{
        *failed |= !value;
        return value;
}

static json_t *print_bool(const void *member, const void _unused_ *arg, bool *failed)
{
        return made(json_boolean(*(const bool *)member), failed);
}

static json_t *print_text(const void *member, const void _unused_ *arg, bool *failed)
{
        const char *text = *(char *const *)member;

        return text && *text ? made(json_string(text), failed) : NULL;
}

/* "" says something here: nothing is inherited. */
static json_t *print_string(const void *member, const void _unused_ *arg, bool *failed)
{
        const char *text = *(char *const *)member;

        return text ? made(json_string(text), failed) : NULL;
}

static json_t *print_duration(const void *member, const void _unused_ *arg, bool *failed)
{
        char text[TIME_TEXT_MAX];

        return made(json_string(duration_format(*(const usec_t *)member, text)), failed);
}

/* A number out of its own range was never set. */
static json_t *print_i32(const void *member, const void *arg, bool *failed)
{
        const struct json_range *range = arg;
        int32_t v = *(const int32_t *)member;

        return range && v < range->min ? NULL : made(json_integer(v), failed);
}

static json_t *print_i64(const void *member, const void _unused_ *arg, bool *failed)
{
        return made(json_integer(*(const int64_t *)member), failed);
}

static json_t *print_port(const void *member, const void _unused_ *arg, bool *failed)
{
        return made(json_integer(*(const uint16_t *)member), failed);
}

static json_t *print_size(const void *member, const void _unused_ *arg, bool *failed)
{
        static const struct {
                int64_t unit;
                const char *suffix;
        } units[] = { { INT64_C(1) << 30, "Gi" }, { INT64_C(1) << 20, "Mi" }, { 1 << 10, "Ki" } };
        int64_t v = *(const int64_t *)member;
        char text[32];

        for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
                if (v % units[i].unit != 0)
                        continue;
                snprintf(text, sizeof text, "%lld%s", (long long)(v / units[i].unit),
                         units[i].suffix);
                return made(json_string(text), failed);
        }
        snprintf(text, sizeof text, "%lld", (long long)v);
        return made(json_string(text), failed);
}

static json_t *print_named(const void *member, const void *arg, bool *failed)
{
        const char *const *names = arg;

        return made(json_string(names[*(const int *)member]), failed);
}

static json_t *print_named_bool(const void *member, const void *arg, bool *failed)
{
        const char *const *names = arg;

        return made(json_string(names[*(const bool *)member]), failed);
}

static json_t *print_strv(const void *member, const void _unused_ *arg, bool *failed)
{
        char *const *list = *(char **const *)member;
        json_t *array = list && *list ? made(json_array(), failed) : NULL;

        STRV_FOREACH (s, list)
                *failed |= json_array_append_new(array, json_string(*s)) < 0;
        return array;
}

static json_t *print_string_map(const void *member, const void _unused_ *arg, bool *failed)
{
        const struct string_map *m = member;
        json_t *o = m->n > 0 ? made(json_object(), failed) : NULL;

        for (size_t i = 0; i < m->n; i++)
                *failed |= json_set_text(o, m->entries[i].key, m->entries[i].value) < 0;
        return o;
}

static json_t *print_object(const void *member, const void *arg, bool *failed)
{
        return print_fields(arg, member, failed);
}

static json_t *print_array(const void *member, const void *arg, bool *failed)
{
        const struct json_array *a = arg;
        const char *elements = *(const char *const *)member;
        size_t n = *(const size_t *)((const char *)member + a->count_offset);
        json_t *array = n > 0 ? made(json_array(), failed) : NULL;

        for (size_t i = 0; i < n; i++)
                *failed |= json_array_append_new(array, print_fields(a->fields,
                                                                     elements + i * a->element_size,
                                                                     failed)) < 0;
        return array;
}

static const struct printer {
        json_decode_fn decode;
        print_fn print;
} printers[] = {
        { decode_bool, print_bool },
        { decode_text, print_text },
        { decode_string, print_string },
        { decode_duration, print_duration },
        { config_decode_span, print_duration },
        { decode_i32, print_i32 },
        { config_decode_i32, print_i32 },
        { decode_i64, print_i64 },
        { config_decode_i64, print_i64 },
        { decode_port_or_zero, print_port },
        { config_decode_port, print_port },
        { config_decode_size, print_size },
        { decode_named, print_named },
        { decode_named_bool, print_named_bool },
        { decode_strv, print_strv },
        { decode_string_map, print_string_map },
        { decode_quantities, print_string_map },
        { decode_object, print_object },
        { decode_array, print_array },
};

static print_fn printer_of(json_decode_fn decode)
{
        for (size_t i = 0; i < ARRAY_SIZE(printers); i++)
                if (printers[i].decode == decode)
                        return printers[i].print;
        return NULL;
}

static json_t *print_fields(const struct json_field *fields, const void *base, bool *failed)
{
        json_t *o = made(json_object(), failed);

        for (; o && fields->name; fields++) {
                print_fn print = printer_of(fields->decode);
                json_t *value = print ? print((const char *)base + fields->offset, fields->arg,
                                              failed)
                                      : NULL;

                if (value)
                        *failed |= json_object_set_new(o, fields->name, value) < 0;
        }
        return o;
}

/* Of a default, which is a string, a number or a boolean. (jansson's own reader does not survive a
 * string for which there is no memory.) */
static json_t *json_of_default(const char *text)
{
        return *text == '"' ? json_stringn(text + 1, strlen(text) - 2)
                            : json_loads(text, JSON_DECODE_ANY, NULL);
}

/* "1m" is "1m0s" in Go's mouth. Steals @value. */
static json_t *in_go_form(json_t *value)
{
        const char *text = json_string_value(value);
        char form[TIME_TEXT_MAX];
        usec_t v;

        if (!text || duration_parse(text, &v) < 0)
                return value;
        json_decref(value);
        return json_string(duration_format(v, form));
}

/* @path: "memorySwap.swapBehavior", at most two levels. */
static const json_t *value_at(const json_t *document, const char *path)
{
        const char *dot = strchr(path, '.');
        _cleanup_free_ char *first = dot ? strndup(path, (size_t)(dot - path)) : NULL;

        if (!dot)
                return json_object_get(document, path);
        return first ? json_object_get(json_object_get(document, first), dot + 1) : NULL;
}

/* What is known and not acted upon: as the document has it, else its default. */
static int add_ignored(json_t *o, const json_t *document)
{
        const char *path, *usual;

        for (size_t i = 0; config_ignored_field(i, &path, &usual); i++) {
                const json_t *given = value_at(document, path);
                json_t *value;

                if (strchr(path, '.') || json_object_get(o, path))
                        continue; /* decoded: it was printed already */
                if (given && !config_says_nothing(given))
                        value = json_deep_copy(given);
                else if (usual)
                        value = json_of_default(usual);
                else
                        continue;
                value = value ? in_go_form(value) : NULL;
                if (!value || json_object_set_new(o, path, value) < 0)
                        return -ENOMEM;
        }
        return 0;
}

/* Always there in the kubelet's answer. */
static int add_constants(json_t *o)
{
        json_t *logging = json_pack("{s:s, s:s, s:i, s:{s:{s:s}, s:{s:s}}}", "format", "text",
                                    "flushFrequency", "5s", "verbosity", 0, "options", "text",
                                    "infoBufferSize", "0", "json", "infoBufferSize", "0");

        if (json_object_get(o, "logging"))
                json_decref(logging);
        else if (json_object_set_new(o, "logging", logging) < 0)
                return -ENOMEM;
        return json_set_text(o, "apiVersion", "kubelet.config.k8s.io/v1beta1") < 0 ||
                               json_set_text(o, "kind", "KubeletConfiguration") < 0
                       ? -ENOMEM
                       : 0;
}

json_t *config_print(const struct kubelet_config *c, const json_t *document)
{
        bool failed = false;
        json_auto_t *o = print_fields(config_fields, c, &failed);

        bool merges = json_is_true(json_object_get(document, "mergeDefaultEvictionSettings"));

        if (failed || !o || add_ignored(o, document) < 0 || add_constants(o) < 0 ||
            json_object_set_new(o, "mergeDefaultEvictionSettings", json_boolean(merges)) < 0)
                return NULL;
        return json_incref(o);
}
