/* What several parts of a pod share: names, quantities, profiles, references. */
#include <errno.h>

#include "base/text.h"
#include "kubelet/pod-decode.h"

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
        if (!all)
                return -ENOMEM;
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
