/* What several parts of a pod share: names, quantities, profiles, references. */
#include <errno.h>
#include <string.h>

#include "base/quantity.h"
#include "base/text.h"
#include "kubelet/pod-decode.h"

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

/* A quantity is text in JSON; YAML writers also leave the quotes away. Owned; NULL on -ENOMEM. */
static char *quantity_text(const json_t *value)
{
        return json_is_string(value) ? strdup(json_string_value(value))
                                     : json_dumps(value, JSON_ENCODE_ANY);
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

static const struct json_field resources_fields[] = { /* clang-format off */
        { "limits",   decode_quantities, offsetof(struct pod_resources, limits),   0, NULL },
        { "requests", decode_quantities, offsetof(struct pod_resources, requests), 0, NULL },
        { "claims",   decode_names,      offsetof(struct pod_resources, claims),   0, "name" },
        {}
}; /* clang-format on */

/* Each limit without a request is its own request (the API server does this, manifests do not). */
static int default_requests(struct pod_resources *r)
{
        json_auto_t *all = NULL;

        if (r->limits.n == 0)
                return 0;
        all = string_map_to_json(&r->limits);
        for (size_t i = 0; i < r->requests.n; i++)
                if (json_object_set_new(all, r->requests.entries[i].key,
                                        json_string(r->requests.entries[i].value)) < 0)
                        return -ENOMEM;
        return decode_string_map(all, &r->requests, NULL, NULL);
}

int decode_resources(const json_t *value, void *member, _unused_ const void *arg, struct err *err)
{
        int r = json_decode(value, resources_fields, member, err);

        if (r < 0)
                return r;
        r = default_requests(member);
        return r < 0 ? err_sys(err, r, "read resources") : 0;
}

void pod_resources_done(struct pod_resources *r)
{
        string_map_done(&r->limits);
        string_map_done(&r->requests);
        strv_free(r->claims);
}

int decode_int_or_name(const json_t *value, void *member, const void *arg, struct err *err)
{
        static const struct json_range ports = { 0, UINT16_MAX };
        struct pod_int_or_name *p = member;

        if (json_is_string(value))
                return decode_string(value, &p->name, arg, err);
        return decode_i32(value, &p->number, &ports, err);
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

/* ---- valueFrom ---- */
#define FIELD(type, member) offsetof(struct type, member)
const struct json_field pod_field_ref_fields[] = { /* clang-format off */
        { "fieldPath", decode_string, FIELD(pod_value_from, field_path), JSON_REQUIRED, NULL },
        {}
};
const struct json_field pod_resource_ref_fields[] = {
        { "containerName", decode_text,          FIELD(pod_value_from, container_name), 0, NULL },
        { "resource",      decode_string,        FIELD(pod_value_from, resource), JSON_REQUIRED, NULL },
        { "divisor",       decode_quantity_text, FIELD(pod_value_from, divisor), 0, NULL },
        {}
};
static const struct json_field key_ref_fields[] = {
        { "name",     decode_string, FIELD(pod_value_from, name), 0, NULL },
        { "key",      decode_string, FIELD(pod_value_from, key), JSON_REQUIRED, NULL },
        { "optional", decode_bool,   FIELD(pod_value_from, optional), 0, NULL },
        {}
};
static const struct json_field file_ref_fields[] = {
        { "volumeName", decode_string,        FIELD(pod_value_from, name), JSON_REQUIRED, NULL },
        { "path",       decode_relative_path, FIELD(pod_value_from, path), JSON_REQUIRED, NULL },
        { "key",        decode_string,        FIELD(pod_value_from, key), JSON_REQUIRED, NULL },
        { "optional",   decode_bool,          FIELD(pod_value_from, optional), 0, NULL },
        {}
};
#define SOURCE(kind_, fields_) \
        &(const struct json_variant){ kind_, FIELD(pod_value_from, kind), fields_, "source" }
const struct json_field pod_value_from_fields[] = {
        { "fieldRef",         decode_variant, 0, 0, SOURCE(POD_VALUE_FIELD, pod_field_ref_fields) },
        { "resourceFieldRef", decode_variant, 0, 0, SOURCE(POD_VALUE_RESOURCE, pod_resource_ref_fields) },
        { "configMapKeyRef",  decode_variant, 0, 0, SOURCE(POD_VALUE_CONFIG_MAP, key_ref_fields) },
        { "secretKeyRef",     decode_variant, 0, 0, SOURCE(POD_VALUE_SECRET, key_ref_fields) },
        { "fileKeyRef",       decode_variant, 0, 0, SOURCE(POD_VALUE_FILE, file_ref_fields) },
        {}
}; /* clang-format on */

void pod_value_from_done(struct pod_value_from *v)
{
        free(v->field_path);
        free(v->container_name);
        free(v->resource);
        free(v->divisor);
        free(v->name);
        free(v->key);
        free(v->path);
}

/* ---- profiles, SELinux, pairs ---- */
static const char *const profile_types[] = { "", "RuntimeDefault", "Unconfined", "Localhost",
                                             NULL };
const struct json_field pod_profile_fields[] = { /* clang-format off */
        { "type",             decode_named, FIELD(pod_profile, type), 0, profile_types },
        { "localhostProfile", decode_text,  FIELD(pod_profile, localhost), 0, NULL },
        {}
};
const struct json_field pod_selinux_fields[] = {
        { "user",  decode_text, FIELD(pod_selinux, user), 0, NULL },
        { "role",  decode_text, FIELD(pod_selinux, role), 0, NULL },
        { "type",  decode_text, FIELD(pod_selinux, type), 0, NULL },
        { "level", decode_text, FIELD(pod_selinux, level), 0, NULL },
        {}
};
const struct json_object_pointer pod_selinux_pointer = {
        .fields = pod_selinux_fields, .size = sizeof(struct pod_selinux),
};
const struct json_field pod_name_value_fields[] = {
        { "name",  decode_string, FIELD(pod_string_pair, name), 0, NULL },
        { "value", decode_string, FIELD(pod_string_pair, value), 0, NULL },
        {}
}; /* clang-format on */

void pod_profile_done(struct pod_profile *p)
{
        free(p->localhost);
}

struct pod_selinux *pod_selinux_free(struct pod_selinux *s)
{
        if (!s)
                return NULL;
        free(s->user);
        free(s->role);
        free(s->type);
        free(s->level);
        free(s);
        return NULL;
}

void pod_string_pairs_free(struct pod_string_pair *pairs, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                free(pairs[i].name);
                free(pairs[i].value);
        }
        free(pairs);
}
