/* One volume of a pod. What this node does not carry out keeps its field's name for the refusal. */
#include <errno.h>
#include <string.h>

#include "base/quantity.h"
#include "base/text.h"
#include "kubelet/pod-decode.h"
#include "kubelet/volume-spec.h"

#define DEFAULT_MODE        0644
#define DEFAULT_EXPIRATION  3600
#define FIELD(type, member) offsetof(struct type, member)

static const struct json_range modes = { 0, 0777 };
static const struct json_range expirations = { 600, INT64_C(1) << 32 };

static void item_init(void *element)
{
        ((struct pod_volume_item *)element)->mode = POD_UNSET;
}

static const struct json_field key_to_path_fields[] = { /* clang-format off */
        { "key",  decode_string,        FIELD(pod_volume_item, key), JSON_REQUIRED, NULL },
        { "path", decode_relative_path, FIELD(pod_volume_item, path), JSON_REQUIRED, NULL },
        { "mode", decode_i32,           FIELD(pod_volume_item, mode), 0, &modes },
        {}
};
static const struct json_array key_to_path_items = {
        .fields = key_to_path_fields, .element_size = sizeof(struct pod_volume_item),
        .init = item_init, .count_offset = JSON_ARRAY_COUNT(struct pod_volume_source, items, n_items),
};

#define ITEM_SOURCE(kind_, fields_) \
        &(const struct json_variant){ kind_, FIELD(pod_value_from, kind), fields_, "source" }
static const struct json_field downward_source_fields[] = {
        { "fieldRef",         decode_variant, 0, 0, ITEM_SOURCE(POD_VALUE_FIELD, pod_field_ref_fields) },
        { "resourceFieldRef", decode_variant, 0, 0, ITEM_SOURCE(POD_VALUE_RESOURCE, pod_resource_ref_fields) },
        {}
};
static const struct json_field downward_item_fields[] = {
        { "path", decode_relative_path, FIELD(pod_volume_item, path), JSON_REQUIRED, NULL },
        { "mode", decode_i32,           FIELD(pod_volume_item, mode), 0, &modes },
        {}
}; /* clang-format on */

static int decode_downward_item(const json_t *value, void *member, _unused_ const void *arg,
                                struct err *err)
{
        struct pod_volume_item *item = member;
        int r = json_decode(value, downward_item_fields, item, err);

        if (r == 0)
                r = json_decode(value, downward_source_fields, &item->from, err);
        if (r < 0)
                return r;
        if (item->from.kind == POD_VALUE_NONE)
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                    "expected fieldRef or resourceFieldRef");
        return 0;
}

static const struct json_array downward_items = {
        /* clang-format off */
        .decode = decode_downward_item, .element_size = sizeof(struct pod_volume_item),
        .init = item_init, .count_offset = JSON_ARRAY_COUNT(struct pod_volume_source, items, n_items),
};

/* ---- sources that a volume and a projection have in common; names differ for the Secret ---- */
static const struct json_field config_map_fields[] = {
        { "name",     decode_string, FIELD(pod_volume_source, name), 0, NULL },
        { "items",    decode_array,  FIELD(pod_volume_source, items), 0, &key_to_path_items },
        { "optional", decode_bool,   FIELD(pod_volume_source, optional), 0, NULL },
        {}
};
static const struct json_field secret_volume_fields[] = {
        { "secretName", decode_string, FIELD(pod_volume_source, name), 0, NULL },
        { "items",      decode_array,  FIELD(pod_volume_source, items), 0, &key_to_path_items },
        { "optional",   decode_bool,   FIELD(pod_volume_source, optional), 0, NULL },
        {}
};
static const struct json_field downward_fields[] = {
        { "items", decode_array, FIELD(pod_volume_source, items), 0, &downward_items },
        {}
};
static const struct json_field token_fields[] = {
        { "audience",          decode_text,          FIELD(pod_volume_source, audience), 0, NULL },
        { "expirationSeconds", decode_i64,           FIELD(pod_volume_source, expiration_sec), 0, &expirations },
        { "path",              decode_relative_path, FIELD(pod_volume_source, path), JSON_REQUIRED, NULL },
        {}
};
static const struct json_field host_path_fields[] = {
        { "path", decode_string, FIELD(pod_volume_source, path), JSON_REQUIRED, NULL },
        {}
};
static const struct json_field no_fields[] = { {} };

#define SOURCE(kind_, fields_) \
        &(const struct json_variant){ kind_, FIELD(pod_volume_source, kind), fields_, "source" }
static const struct json_field volume_source_fields[] = {
        { "emptyDir",    decode_variant, 0, 0, SOURCE(POD_VOLUME_EMPTY_DIR, no_fields) },
        { "hostPath",    decode_variant, 0, 0, SOURCE(POD_VOLUME_HOST_PATH, host_path_fields) },
        { "configMap",   decode_variant, 0, 0, SOURCE(POD_VOLUME_CONFIG_MAP, config_map_fields) },
        { "secret",      decode_variant, 0, 0, SOURCE(POD_VOLUME_SECRET, secret_volume_fields) },
        { "downwardAPI", decode_variant, 0, 0, SOURCE(POD_VOLUME_DOWNWARD_API, downward_fields) },
        { "projected",   decode_variant, 0, 0, SOURCE(POD_VOLUME_PROJECTED, no_fields) },
        { "image",       decode_variant, 0, 0, SOURCE(POD_VOLUME_IMAGE, no_fields) },
        { "persistentVolumeClaim", decode_variant, 0, 0, SOURCE(POD_VOLUME_CLAIM, no_fields) },
        { "ephemeral",   decode_variant, 0, 0, SOURCE(POD_VOLUME_EPHEMERAL, no_fields) },
        { "nfs",         decode_variant, 0, 0, SOURCE(POD_VOLUME_NFS, no_fields) },
        { "csi",         decode_variant, 0, 0, SOURCE(POD_VOLUME_CSI, no_fields) },
        {}
};
static const struct json_field projection_source_fields[] = {
        { "configMap",           decode_variant, 0, 0, SOURCE(POD_VOLUME_CONFIG_MAP, config_map_fields) },
        { "secret",              decode_variant, 0, 0, SOURCE(POD_VOLUME_SECRET, config_map_fields) },
        { "downwardAPI",         decode_variant, 0, 0, SOURCE(POD_VOLUME_DOWNWARD_API, downward_fields) },
        { "serviceAccountToken", decode_variant, 0, 0, SOURCE(POD_VOLUME_SERVICE_ACCOUNT_TOKEN, token_fields) },
        {}
}; /* clang-format on */

/* The first key that is neither the name nor absent: a kind that we do not know. */
static int name_unsupported(const json_t *value, struct pod_volume_source *s)
{
        const char *key;
        json_t *v;

        json_object_foreach ((json_t *)value, key, v)
                if (!streq(key, "name") && !json_is_null(v))
                        return free_and_strdup(&s->unsupported, key);
        return 0;
}

static int check_source(const struct pod_volume_source *s, struct err *err)
{
        if ((s->kind == POD_VOLUME_CONFIG_MAP || s->kind == POD_VOLUME_SECRET) && !s->name)
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT, "%s: required, but missing",
                                    s->kind == POD_VOLUME_SECRET ? "secretName" : "name");
        return 0;
}

static int decode_source(const json_t *value, const struct json_field *kinds,
                         struct pod_volume_source *s, struct err *err)
{
        int r;

        s->expiration_sec = DEFAULT_EXPIRATION;
        r = json_decode(value, kinds, s, err);
        if (r < 0)
                return r;
        if (s->kind == POD_VOLUME_UNSUPPORTED && name_unsupported(value, s) < 0)
                return err_sys(err, -ENOMEM, "read volume");
        return check_source(s, err);
}

static int decode_projection(const json_t *value, void *member, _unused_ const void *arg,
                             struct err *err)
{
        return decode_source(value, projection_source_fields, member, err);
}

/* ---- what only whole volumes have ---- */
static int decode_size(const json_t *value, void *member, const void *arg, struct err *err)
{
        _cleanup_free_ char *text = NULL;
        int r = decode_quantity_text(value, &text, arg, err);

        return r < 0 ? r : quantity_parse(text, member);
}

static const struct json_array projections = {
        /* clang-format off */
        .decode = decode_projection, .element_size = sizeof(struct pod_volume_source),
        .count_offset = JSON_ARRAY_COUNT(struct pod_volume, sources, n_sources),
};
static const struct json_field empty_dir_rest[] = {
        { "medium",    decode_string,        FIELD(pod_volume, medium), 0, NULL },
        { "sizeLimit", decode_size,          FIELD(pod_volume, size_limit), 0, NULL },
        { "sizeLimit", decode_quantity_text, FIELD(pod_volume, size_limit_text), 0, NULL },
        {}
};
static const struct json_field host_path_rest[] = {
        { "type", decode_string, FIELD(pod_volume, host_path_type), 0, NULL },
        {}
};
static const struct json_field mode_rest[] = {
        { "defaultMode", decode_i32, FIELD(pod_volume, default_mode), 0, &modes },
        {}
};
static const struct json_field projected_rest[] = {
        { "defaultMode", decode_i32,   FIELD(pod_volume, default_mode), 0, &modes },
        { "sources",     decode_array, FIELD(pod_volume, sources), 0, &projections },
        {}
};
static const struct json_field image_rest[] = {
        { "reference",  decode_string, FIELD(pod_volume, image), 0, NULL },
        { "pullPolicy", decode_named,  FIELD(pod_volume, pull_policy), 0, pod_pull_policies },
        {}
};
static const struct json_field claim_rest[] = {
        { "claimName", decode_dns_subdomain, FIELD(pod_volume, claim), JSON_REQUIRED, NULL },
        { "readOnly",  decode_bool,          FIELD(pod_volume, claim_read_only), 0, NULL },
        {}
};
static const struct json_field volume_fields[] = {
        { "name",        decode_dns_label, FIELD(pod_volume, name), JSON_REQUIRED, NULL },
        { "emptyDir",    decode_object, 0, 0, empty_dir_rest },
        { "hostPath",    decode_object, 0, 0, host_path_rest },
        { "configMap",   decode_object, 0, 0, mode_rest },
        { "secret",      decode_object, 0, 0, mode_rest },
        { "downwardAPI", decode_object, 0, 0, mode_rest },
        { "projected",   decode_object, 0, 0, projected_rest },
        { "image",       decode_object, 0, 0, image_rest },
        { "persistentVolumeClaim", decode_object, 0, 0, claim_rest },
        {}
}; /* clang-format on */

/* What a driver mounts is decoded by those who decode it of a PersistentVolume too. */
static int decode_spec(const json_t *value, struct pod_volume *v, struct err *err)
{
        static const struct {
                enum pod_volume_kind kind;
                enum volume_spec_kind spec;
                const char *field;
        } kinds[] = { { POD_VOLUME_NFS, VOLUME_SPEC_NFS, "nfs" },
                      { POD_VOLUME_CSI, VOLUME_SPEC_CSI, "csi" } };

        for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
                int r;

                if (v->source.kind != kinds[i].kind)
                        continue;
                r = volume_spec_decode_inline(kinds[i].spec, v->name,
                                              json_object_get(value, kinds[i].field), &v->spec,
                                              err);
                if (r < 0)
                        return err_wrap(err, r, "%s", kinds[i].field);
        }
        return 0;
}

int decode_volume(const json_t *value, void *member, _unused_ const void *arg, struct err *err)
{
        struct pod_volume *v = member;
        int r;

        v->size_limit = POD_UNSET;
        v->default_mode = DEFAULT_MODE;
        v->pull_policy = _POD_PULL_MAX;
        r = json_decode(value, volume_fields, v, err);
        if (r == 0)
                r = decode_source(value, volume_source_fields, &v->source, err);
        if (r == 0)
                r = decode_spec(value, v, err);
        if (r < 0)
                return r;
        /* no source at all is an emptyDir */
        if (v->source.kind == POD_VOLUME_UNSUPPORTED && !v->source.unsupported)
                v->source.kind = POD_VOLUME_EMPTY_DIR;
        if (v->source.kind == POD_VOLUME_IMAGE && !v->image)
                r = free_and_strdup(&v->image, "");
        if (r == 0 && v->source.kind == POD_VOLUME_IMAGE && v->pull_policy == _POD_PULL_MAX)
                v->pull_policy = pod_default_pull_policy(v->image);
        if (r == 0 && v->source.kind == POD_VOLUME_EMPTY_DIR && !v->medium)
                r = free_and_strdup(&v->medium, "");
        if (r == 0 && v->source.kind == POD_VOLUME_HOST_PATH && !v->host_path_type)
                r = free_and_strdup(&v->host_path_type, "");
        return r < 0 ? err_sys(err, r, "read volume") : 0;
}

static void source_done(struct pod_volume_source *s)
{
        free(s->unsupported);
        free(s->name);
        for (size_t i = 0; i < s->n_items; i++) {
                free(s->items[i].key);
                free(s->items[i].path);
                pod_value_from_done(&s->items[i].from);
        }
        free(s->items);
        free(s->audience);
        free(s->path);
}

void pod_volume_done(struct pod_volume *v)
{
        free(v->name);
        source_done(&v->source);
        free(v->medium);
        free(v->size_limit_text);
        free(v->host_path_type);
        free(v->image);
        free(v->claim);
        volume_spec_free(v->spec);
        for (size_t i = 0; i < v->n_sources; i++)
                source_done(&v->sources[i]);
        free(v->sources);
}
